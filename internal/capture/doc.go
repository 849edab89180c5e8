// Package capture records what a tree of processes does, by seccomp user
// notification: a filter makes the kernel stop each process at the system calls
// that matter and ask this supervisor, which reads the arguments, writes a
// record, and lets the call go on or refuses it.
//
//	process                  kernel                     supervisor (one locked thread)
//	openat(…) ────────────▶ filter: USER_NOTIF ───────▶ RECV: pid, number, arguments
//	(stopped)                                           read strings from its memory
//	                                                    resolve the path in its root
//	                                                    record; digest ──▶ worker pool
//	          ◀──────────── continue, or an errno ◀──── SEND
//
// The supervisor's thread gives up the capabilities that pass over file
// permissions, so that what it may look up is what the traced process, which
// has none, may open: a predicted result is then the kernel's own answer for
// the same question a moment earlier. Every such record says truth "entry".
//
// The run ends when the kernel says that no process uses the filter any more,
// so daemons and orphans belong to the record.
package capture
