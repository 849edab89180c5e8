// Package sandbox runs commands in user, pid, mount, ipc, network and uts
// namespaces, without privilege and without any external program.
//
// Two processes of the same binary take part; the program's main function calls
// [Main] first, so that a re-executed copy takes its part at once:
//
//	supervisor (outside)            init (pid 1 inside)            command (inside)
//	Start ── clone NEW* ──────────▶ read setup frame
//	                                mounts, loopback up, listen
//	      ◀── ready + listener fd ─
//	gateway serves on that fd
//	Run   ── run frame + stdio ───▶ one thread of it: no_new_privs,
//	                                no capabilities, seccomp(NEW_LISTENER)
//	      ◀── notify fd ─────────── another thread
//	                                the first one: fork ─────────▶ execve(command)
//	capture answers on that fd                                     execve(command)
//	      ◀── exited frame ──────── reap (any child)
//	Kill  ── kill frame ──────────▶ kill(-1, SIGKILL)
//	Close ── end of file ─────────▶ exit; the kernel ends every process inside
//
// Init holds no secret and no authority: index credentials, keys and the
// recording stay with the supervisor. With Spec.Namespaces unset the same
// protocol runs without any confinement, init being a child subreaper.
package sandbox
