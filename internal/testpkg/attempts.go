package testpkg

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// When [Escape] makes its attempts.
const (
	PhaseBuild  = "build"  // in the build backend, step pip-install
	PhaseImport = "import" // at import, step pip-import
)

// EscapeAttempt is one attempt of [Escape].
type EscapeAttempt struct {
	Name string
	// Inside is true when the attempt may succeed: what it reaches is part of the
	// throw-away world. Without it, success is an escape.
	Inside bool
	// Signs are what the evidence of the step must hold, all of them.
	Signs []Sign
	// Phase is empty for attempts of both phases.
	Phase string
}

// Sign is something that the record of any process of a step must hold. $HOME,
// $SITE and $PHASE stand for the sandbox's home, its first site directory and the
// phase.
type Sign struct {
	// Text names it in a test's message.
	Text string
	// Call is the system call that must be trapped for it.
	Call string
	in   func(p evidence.Process, expand func(string) string) bool
}

// Find reports whether any process of the step has the sign.
func (s Sign) Find(run evidence.CommandRun, phase string) bool {
	site := ""
	if sites := run.Coverage.Sandbox.SitePackages; len(sites) > 0 {
		site = sites[0]
	}
	expand := strings.NewReplacer("$HOME", run.Coverage.Sandbox.Home, "$SITE", site, "$PHASE", phase).Replace
	return slices.ContainsFunc(run.Processes, func(p evidence.Process) bool { return s.in(p, expand) })
}

// Attempts lists what [Escape] tries, in order, with what must be seen of it.
func (t EscapeTargets) Attempts(architecture string) []EscapeAttempt {
	return slices.Concat(t.fileAttempts(), namespaceAttempts(), t.nestedAttempts(), t.kernelAttempts(architecture),
		t.processAttempts(), t.socketAttempts(), t.trickAttempts(), lastAttempts())
}

func outside(name string, signs ...Sign) EscapeAttempt {
	return EscapeAttempt{Name: name, Signs: signs}
}

func inside(name string, signs ...Sign) EscapeAttempt {
	return EscapeAttempt{Name: name, Signs: signs, Inside: true}
}

func (t EscapeTargets) fileAttempts() []EscapeAttempt {
	var all []EscapeAttempt
	for _, dir := range []string{"/etc", "/usr", "/usr/local/bin", "/opt", "/var", "/var/tmp", "/etc/cron.d", "/etc/systemd/system", "/etc/profile.d"} {
		// An overlay takes such a file; the host is looked at afterwards.
		all = append(all, inside("write "+dir, opened(dir+"/pip-witness-escape")))
	}
	for _, name := range []string{"/etc/ld.so.preload", "/etc/passwd", "/etc/profile", "/etc/crontab", "/var/spool/cron/crontabs/root"} {
		all = append(all, inside("open "+name, opened(name)))
	}
	all = append(all, inside("write $HOME", opened("$HOME/pip-witness-escape")), inside("write /tmp", opened("/tmp/pip-witness-escape")))
	for _, dir := range t.Directories {
		all = append(all, inside("write "+dir, opened(dir+"/pip-witness-escape")))
	}
	for _, name := range []string{".profile", ".bashrc", ".config/autostart/escape.desktop", ".config/systemd/user/escape.service", ".ssh/authorized_keys"} {
		all = append(all, inside("write ~/"+name, opened("$HOME/"+name)))
	}
	for _, name := range t.Files {
		all = append(all,
			inside("overwrite "+name, opened(name)), inside("unlink "+name, deleted(name)), inside("chmod "+name, permitted(name)),
			inside("rename "+name, renamed(name)), inside("times "+name, event("utimensat")))
	}
	for _, name := range slices.Concat(t.Fifos, t.Devices) {
		all = append(all, outside("open "+name, opened(name)))
	}
	return all
}

// namespaceKinds are the kinds of namespaces as the attempts name them.
func namespaceKinds() []string {
	return []string{"mount", "cgroup", "uts", "ipc", "user", "pid", "net", "time"}
}

func namespaceFlag(kind string) uint64 {
	return map[string]uint64{
		"mount": unix.CLONE_NEWNS, "cgroup": unix.CLONE_NEWCGROUP, "uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC,
		"user": unix.CLONE_NEWUSER, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "time": unix.CLONE_NEWTIME,
	}[kind]
}

func namespaceAttempts() []EscapeAttempt {
	var all []EscapeAttempt
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		all = append(all, outside("open /proc/1/ns/"+kind, opened("/proc/1/ns/"+kind, kind+":[")))
	}
	for _, kind := range namespaceKinds() {
		all = append(all, outside("setns "+kind, eventWith("setns", 1, namespaceFlag(kind))))
	}
	all = append(all, outside("nsenter", ran("nsenter")))
	for _, kind := range namespaceKinds() {
		a := outside("unshare "+kind, eventWith("unshare", 0, namespaceFlag(kind)))
		all = append(all, a)
	}
	return append(all,
		outside("mount tmpfs", eventDetail("mount", "tmpfs")), outside("mount remount", eventTarget("mount", "/etc")),
		outside("umount", eventPath("umount2", "/proc")), outside("pivot_root", event("pivot_root")), outside("chroot", event("chroot")),
		outside("fsopen", event("fsopen")), outside("open_tree", event("open_tree")), outside("mount_setattr", event("mount_setattr")),
		outside("sethostname", event("sethostname")))
}

// nestedAttempts need a user namespace of their own, which there is none of: what
// shows is that it was asked for.
func (t EscapeTargets) nestedAttempts() []EscapeAttempt {
	var names []string
	for _, dir := range []string{"/etc", "/usr", "/opt", "/var", "/sys", "/proc/sys"} {
		names = append(names, "remount "+dir, "umount "+dir)
	}
	names = append(names, "mount proc", "mount sysfs", "mount cgroup2", "cgroup2 cgroup.procs", "cgroup2 cgroup.kill")
	for _, controller := range []string{"memory", "freezer", "devices", "pids", "systemd"} {
		for _, file := range []string{"release_agent", "notify_on_release", "cgroup.procs"} {
			names = append(names, "cgroup "+controller+" "+file)
		}
	}
	for _, g := range t.Groups {
		names = append(names, "write "+g.Kind+" "+g.Options+" "+g.File)
	}
	var all []EscapeAttempt
	for _, name := range append(names, "mknod", "chroot /proc/1/root") {
		all = append(all, outside("nested "+name, eventWith("unshare", 0, unix.CLONE_NEWUSER)))
	}
	return all
}

func (t EscapeTargets) kernelAttempts(architecture string) []EscapeAttempt {
	var all []EscapeAttempt
	names := []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/hostname",
		"/proc/sys/vm/drop_caches", "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
	}
	for _, folder := range t.Cgroups {
		names = append(names, folder+"/release_agent", folder+"/notify_on_release", folder+"/cgroup.procs")
	}
	names = append(append(names, t.Disks...), "/dev/mem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/net/tun")
	for _, name := range names {
		all = append(all, outside("open "+name, opened(name)))
	}
	all = append(all, outside("mknod block", made("$HOME/block", "block")), outside("mknod char", made("$HOME/char", "char")))
	for _, call := range []string{"init_module", "finit_module", "delete_module", "kexec_load", "bpf"} {
		all = append(all, outside(call, event(call)))
	}
	all = append(all,
		inside("perf_event_open", event("perf_event_open")), // some hosts let a process count its own
		inside("add_key session", eventWith("add_key", 4, ^uint64(2))),
		inside("add_key user", event("add_key")),                                             // the keyring of the user in the sandbox's own namespace
		outside("keyctl read", event("keyctl")), inside("userfaultfd", event("userfaultfd")), // of its own memory
		outside("io_uring_setup", refused("io_uring_setup")), outside("swapon", event("swapon")), outside("acct", event("acct")))
	if architecture == "amd64" {
		all = append(all, outside("int 0x80", refused("foreign")))
	}
	return all
}

func (t EscapeTargets) processAttempts() []EscapeAttempt {
	var all []EscapeAttempt
	for _, pid := range []int{-1, 1, 2, 3} { // numbers of the sandbox's own processes
		all = append(all, inside(fmt.Sprintf("kill %d", pid), eventDetail("kill", fmt.Sprintf("pid %d signal 0", pid))))
	}
	for _, pid := range t.Pids {
		all = append(all, outside(fmt.Sprintf("kill %d", pid), eventDetail("kill", fmt.Sprintf("pid %d signal 0", pid))))
	}
	return append(all,
		outside("ptrace 1", event("ptrace")), outside("open /proc/1/mem", opened("/proc/1/mem")),
		outside("open /proc/1/root/etc/passwd", opened("/etc/passwd")), outside("open /proc/1/environ", opened("/proc/1/environ")),
		outside("process_vm_writev 1", eventDetail("process_vm_writev", "pid 1")), outside("pidfd_getfd 1", event("pidfd_getfd")),
		outside("open_by_handle_at", refused("open_by_handle_at")),
		inside("setuid", event("setuid")), inside("setgid", event("setgid")), inside("setresuid", event("setresuid")),
		outside("setgroups", event("setgroups")), outside("capset", event("capset")),
		inside("chmod setuid", permitted("$HOME/setuid-program")),
		outside("setxattr capability", event("setxattr")), inside("run setuid", ran("setuid-program")))
}

func (t EscapeTargets) socketAttempts() []EscapeAttempt {
	all := []EscapeAttempt{
		outside("connect abstract", connected("AF_UNIX", "@"+t.Abstract)),
		outside("connect loopback", connected("AF_INET", "127.0.0.1")), outside("connect loopback 6", connected("AF_INET6", "::1")),
		inside("send loopback", connected("AF_INET", "127.0.0.1")), // a datagram to nobody is sent as well
	}
	for _, name := range []string{
		"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
	} {
		all = append(all, outside("connect "+name, connected("AF_UNIX", name, strings.TrimPrefix(name, "/var"))))
	}
	all = append(all, outside("connect /run/user/$UID/podman/podman.sock", connected("AF_UNIX", "/run/user/")),
		outside("connect /run/systemd/private", connected("AF_UNIX", "/run/systemd/private")),
		outside("connect /run/dbus/system_bus_socket", connected("AF_UNIX", "/run/dbus/system_bus_socket")))
	for _, name := range t.Sockets {
		all = append(all, outside("connect "+name, connected("AF_UNIX", name)))
	}
	return append(all,
		outside("netfilter table", socketOf("AF_NETLINK", unix.NETLINK_NETFILTER)), outside("raw socket", socketOf("AF_INET", 1)),
		outside("packet socket", socketOf("AF_17", 0)), outside("vsock", socketOf("AF_40", 0)))
}

func (t EscapeTargets) trickAttempts() []EscapeAttempt {
	const top, trick = "$HOME/tricks-$PHASE/", "$SITE/pip_witness_trick-1.0.dist-info/"
	all := []EscapeAttempt{inside("symlink /etc", linked(top+"etc")), inside("symlink ~/x", linked("$HOME/x-$PHASE"))}
	for _, dir := range t.Directories {
		all = append(all, inside("symlink "+dir, linked(top+"to"+strings.ReplaceAll(dir, "/", "-"))))
	}
	all = append(all, inside("symlink loop", linked(top+"loop")), inside("symlink ..", linked(top+"up")))
	for _, name := range append([]string{"/etc/passwd"}, t.Files...) {
		all = append(all, inside("link "+name, linked(top+"hard"+strings.ReplaceAll(name, "/", "-"))))
	}
	for _, name := range [][2]string{
		{`'two\nlines'`, "two\nlines"}, {`'\x1b[31mred'`, "\x1b[31mred"}, {`'ends with space '`, "ends with space "},
		{`'-rf'`, "-rf"}, {`'*'`, "*"}, {`'$(true)'`, "$(true)"}, {`'%s%n'`, "%s%n"},
	} {
		all = append(all, inside("name "+name[0], opened(top+name[1])))
	}
	all = append(all, inside("name bytes", opened(top)))
	metadata := inside("fifo METADATA", made(trick+"METADATA", "fifo"))
	metadata.Phase = PhaseImport
	return append(all, metadata,
		inside("fifo direct_url.json", made(trick+"direct_url.json", "fifo")), inside("fifo entry_points.txt", made(trick+"entry_points.txt", "fifo")),
		inside("symlink WHEEL", linked(trick+"WHEEL")), inside("symlink top_level.txt", linked(trick+"top_level.txt")),
		inside("symlink INSTALLER", linked(trick+"INSTALLER")), inside("socket RECORD", connected("AF_UNIX", trick+"RECORD")),
		inside("chmod 0000 below", permitted(top+"closed/below")), inside("chmod 0000", permitted(top+"closed")),
		inside("deep", made(top+"deep", "directory")))
}

func lastAttempts() []EscapeAttempt {
	forge, remove := inside("forge"), inside("delete environment", deleted("$HOME/venv/pyvenv.cfg"))
	forge.Phase, remove.Phase = PhaseImport, PhaseImport // the results of the import are looked at
	return []EscapeAttempt{inside("daemons", event("setsid")), forge, remove}
}

// matches reports whether got is want, or begins with a want that ends in "/"
// or "[".
func matches(got string, expand func(string) string, want ...string) bool {
	return slices.ContainsFunc(want, func(w string) bool {
		w = expand(w)
		return got == w || strings.HasSuffix(w, "/") && strings.HasPrefix(got, w) || strings.HasSuffix(w, "[") && strings.HasPrefix(got, w)
	})
}

func opened(names ...string) Sign {
	return Sign{"open of " + names[0], "openat", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.Opens, func(o evidence.Open) bool { return matches(o.Path, expand, names...) })
	}}
}

func deleted(name string) Sign {
	return Sign{"removal of " + name, "unlinkat", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.Deletes, func(d evidence.Delete) bool { return matches(d.Path, expand, name) })
	}}
}

func renamed(name string) Sign {
	return Sign{"renaming of " + name, "renameat2", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.Renames, func(r evidence.Rename) bool { return matches(r.OldPath, expand, name) })
	}}
}

func permitted(name string) Sign {
	return Sign{"chmod of " + name, "fchmodat", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.PermChanges, func(c evidence.PermChange) bool { return matches(c.Path, expand, name) })
	}}
}

func linked(name string) Sign {
	return Sign{"link at " + name, "linkat", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.Links, func(l evidence.Link) bool { return matches(l.Path, expand, name) })
	}}
}

func made(name, kind string) Sign {
	return Sign{kind + " at " + name, "mknodat", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.FileOps.Dirs, func(d evidence.Dir) bool { return d.Kind == kind && matches(d.Path, expand, name) })
	}}
}

func ran(name string) Sign {
	return Sign{"run of " + name, "execve", func(p evidence.Process, _ func(string) string) bool {
		return slices.ContainsFunc(p.Execs, func(e evidence.Exec) bool { return path.Base(e.Program) == name })
	}}
}

func connected(family string, addresses ...string) Sign {
	return Sign{family + " address " + addresses[0], "connect", func(p evidence.Process, expand func(string) string) bool {
		return slices.ContainsFunc(p.Network.Connections, func(c evidence.Connection) bool {
			return c.Family == family && matches(c.Address, expand, addresses...)
		})
	}}
}

func socketOf(family string, protocol int) Sign {
	return Sign{fmt.Sprintf("socket %s protocol %d", family, protocol), "socket", func(p evidence.Process, _ func(string) string) bool {
		return slices.ContainsFunc(p.Network.Sockets, func(s evidence.Socket) bool { return s.Family == family && s.Protocol == protocol })
	}}
}

// eventThat is the event of a call that fits.
func eventThat(text, call string, fits func(e evidence.SyscallEvent) bool) Sign {
	return Sign{strings.TrimSpace(call + " " + text), call, func(p evidence.Process, _ func(string) string) bool {
		return slices.ContainsFunc(p.SyscallEvents, func(e evidence.SyscallEvent) bool { return e.Syscall == call && fits(e) })
	}}
}

func event(call string) Sign {
	return eventThat("", call, func(evidence.SyscallEvent) bool { return true })
}

func refused(call string) Sign {
	return eventThat("refused", call, func(e evidence.SyscallEvent) bool { return e.Refused != "" })
}

func eventDetail(call, detail string) Sign {
	return eventThat(detail, call, func(e evidence.SyscallEvent) bool { return e.Detail == detail })
}

func eventPath(call, name string) Sign {
	return eventThat(name, call, func(e evidence.SyscallEvent) bool { return e.Path == name })
}

func eventTarget(call, name string) Sign {
	return eventThat(name, call, func(e evidence.SyscallEvent) bool { return e.TargetPath == name })
}

// eventWith is an event with the low 32 bits of an argument: what a caller leaves
// in the high ones is of no account for an int.
func eventWith(call string, argument int, value uint64) Sign {
	return eventThat(fmt.Sprintf("argument %d %#x", argument, value), call, func(e evidence.SyscallEvent) bool {
		return len(e.Args) > argument && uint32(e.Args[argument]) == uint32(value)
	})
}
