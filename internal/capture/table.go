package capture

import "golang.org/x/sys/unix"

// call is one trapped system call: its number, its name, the arguments for which
// it is trapped, and the method that records it.
type call struct {
	nr     uint32
	name   string
	when   []condition // any of them; none traps always
	record func(*Supervisor, *event)
}

// condition is true when (argument & mask) == value, or != value when not is set.
// Only the low 32 bits are compared unless wide is set, which asks whether the
// whole argument is not zero.
type condition struct {
	arg   int
	mask  uint32
	value uint32
	not   bool
	wide  bool
	and   *condition
}

const (
	protWX   = unix.PROT_WRITE | unix.PROT_EXEC
	anyValue = ^uint32(0)
)

// prctlEvents are the prctl options that are evidence.
var prctlEvents = [...]struct {
	option uint32
	name   string
}{
	{unix.PR_SET_NAME, "PR_SET_NAME"}, {unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"}, {unix.PR_SET_SECCOMP, "PR_SET_SECCOMP"},
	{unix.PR_SET_MM, "PR_SET_MM"}, {unix.PR_SET_CHILD_SUBREAPER, "PR_SET_CHILD_SUBREAPER"},
	{unix.PR_SET_PTRACER, "PR_SET_PTRACER"}, {unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"}, {unix.PR_SET_VMA, "PR_SET_VMA"},
}

func prctlConditions() []condition {
	var conditions []condition
	for _, e := range prctlEvents {
		conditions = append(conditions, condition{mask: anyValue, value: e.option})
	}
	return conditions
}

func prctlName(option uint32) string {
	for _, e := range prctlEvents {
		if e.option == option {
			return e.name
		}
	}
	return ""
}

// calls is the table of trapped calls of this architecture. stat-like calls,
// getdents and the data calls read and write are left out: they are more than a
// third of all calls and a filter cannot see a path.
func calls() []call {
	address := func(arg int) []condition { return []condition{{arg: arg, wide: true}} }
	executable := []condition{
		{arg: 2, mask: protWX, value: protWX},
		{arg: 2, mask: unix.PROT_EXEC, value: unix.PROT_EXEC, and: &condition{arg: 3, mask: unix.MAP_ANONYMOUS, value: unix.MAP_ANONYMOUS}},
	}
	standard := []condition{
		{arg: 1, mask: anyValue, value: 0}, {arg: 1, mask: anyValue, value: 1}, {arg: 1, mask: anyValue, value: 2},
	}
	table := []call{
		{unix.SYS_OPENAT, "openat", nil, (*Supervisor).onOpenat},
		{unix.SYS_OPENAT2, "openat2", nil, (*Supervisor).onOpenat2},
		{unix.SYS_OPEN_BY_HANDLE_AT, "open_by_handle_at", nil, (*Supervisor).onRefused},
		{unix.SYS_EXECVE, "execve", nil, (*Supervisor).onExecve},
		{unix.SYS_EXECVEAT, "execveat", nil, (*Supervisor).onExecveat},
		{unix.SYS_CONNECT, "connect", nil, (*Supervisor).onAddress},
		{unix.SYS_BIND, "bind", nil, (*Supervisor).onAddress},
		{unix.SYS_LISTEN, "listen", nil, (*Supervisor).onListen},
		{unix.SYS_SENDTO, "sendto", address(4), (*Supervisor).onSendto},
		{unix.SYS_SENDMSG, "sendmsg", nil, (*Supervisor).onSendmsg},
		{unix.SYS_SENDMMSG, "sendmmsg", nil, (*Supervisor).onSendmmsg},
		{unix.SYS_SOCKET, "socket", nil, (*Supervisor).onSocket},
		{unix.SYS_RENAMEAT2, "renameat2", nil, (*Supervisor).onRenameat},
		{unix.SYS_UNLINKAT, "unlinkat", nil, (*Supervisor).onUnlinkat},
		{unix.SYS_LINKAT, "linkat", nil, (*Supervisor).onLinkat},
		{unix.SYS_SYMLINKAT, "symlinkat", nil, (*Supervisor).onSymlinkat},
		{unix.SYS_FCHMOD, "fchmod", nil, (*Supervisor).onFchmod},
		{unix.SYS_FCHMODAT, "fchmodat", nil, (*Supervisor).onFchmodat},
		{unix.SYS_FCHMODAT2, "fchmodat2", nil, (*Supervisor).onFchmodat},
		{unix.SYS_FCHOWN, "fchown", nil, (*Supervisor).onFchown},
		{unix.SYS_FCHOWNAT, "fchownat", nil, (*Supervisor).onFchownat},
		{unix.SYS_TRUNCATE, "truncate", nil, (*Supervisor).onTruncate},
		{unix.SYS_MKDIRAT, "mkdirat", nil, (*Supervisor).onMkdirat},
		{unix.SYS_MKNODAT, "mknodat", nil, (*Supervisor).onMknodat},
		{unix.SYS_CLONE, "clone", nil, (*Supervisor).onFork},
		{unix.SYS_CLONE3, "clone3", nil, (*Supervisor).onClone3},
		{unix.SYS_EXIT_GROUP, "exit_group", nil, (*Supervisor).onExit},
		{unix.SYS_DUP3, "dup3", standard, (*Supervisor).onDup},
		{unix.SYS_MEMFD_CREATE, "memfd_create", nil, (*Supervisor).onMemfd},
		{unix.SYS_IO_URING_SETUP, "io_uring_setup", nil, (*Supervisor).onRefused},
		{unix.SYS_USERFAULTFD, "userfaultfd", nil, (*Supervisor).onRefused},
		{unix.SYS_IO_SETUP, "io_setup", nil, (*Supervisor).onInvasion},
		{unix.SYS_PTRACE, "ptrace", nil, (*Supervisor).onInvasion},
		{unix.SYS_PROCESS_VM_WRITEV, "process_vm_writev", nil, (*Supervisor).onInvasion},
		{unix.SYS_MMAP, "mmap", executable, (*Supervisor).onEvent},
		{unix.SYS_MPROTECT, "mprotect", executable[:1], (*Supervisor).onEvent},
		{unix.SYS_PRCTL, "prctl", prctlConditions(), (*Supervisor).onPrctl},
		{unix.SYS_PERSONALITY, "personality", []condition{{mask: anyValue, value: anyValue, not: true}}, (*Supervisor).onEvent},
		{unix.SYS_CHROOT, "chroot", nil, (*Supervisor).onPathEvent},
		{unix.SYS_PIVOT_ROOT, "pivot_root", nil, (*Supervisor).onPathEvent},
		{unix.SYS_MOUNT, "mount", nil, (*Supervisor).onMount},
		{unix.SYS_UMOUNT2, "umount2", nil, (*Supervisor).onPathEvent},
		{unix.SYS_ACCT, "acct", nil, (*Supervisor).onPathEvent},
		{unix.SYS_SWAPON, "swapon", nil, (*Supervisor).onPathEvent},
	}
	for _, e := range events {
		table = append(table, call{e.nr, e.name, nil, (*Supervisor).onEvent})
	}
	return append(table, legacyCalls()...)
}

// events are security-relevant calls of which the arguments are recorded as
// numbers.
var events = [...]struct {
	nr   uint32
	name string
}{
	{unix.SYS_PROCESS_VM_READV, "process_vm_readv"}, {unix.SYS_PIDFD_GETFD, "pidfd_getfd"},
	{unix.SYS_KCMP, "kcmp"}, {unix.SYS_SETNS, "setns"}, {unix.SYS_UNSHARE, "unshare"},
	{unix.SYS_FSOPEN, "fsopen"}, {unix.SYS_FSMOUNT, "fsmount"}, {unix.SYS_MOVE_MOUNT, "move_mount"},
	{unix.SYS_OPEN_TREE, "open_tree"}, {unix.SYS_MOUNT_SETATTR, "mount_setattr"},
	{unix.SYS_BPF, "bpf"}, {unix.SYS_PERF_EVENT_OPEN, "perf_event_open"},
	{unix.SYS_INIT_MODULE, "init_module"}, {unix.SYS_FINIT_MODULE, "finit_module"},
	{unix.SYS_DELETE_MODULE, "delete_module"}, {unix.SYS_KEXEC_LOAD, "kexec_load"},
	{unix.SYS_KEYCTL, "keyctl"}, {unix.SYS_ADD_KEY, "add_key"}, {unix.SYS_REQUEST_KEY, "request_key"},
	{unix.SYS_SECCOMP, "seccomp"},
	{unix.SYS_SETUID, "setuid"}, {unix.SYS_SETGID, "setgid"}, {unix.SYS_SETREUID, "setreuid"},
	{unix.SYS_SETREGID, "setregid"}, {unix.SYS_SETRESUID, "setresuid"}, {unix.SYS_SETRESGID, "setresgid"},
	{unix.SYS_SETGROUPS, "setgroups"}, {unix.SYS_CAPSET, "capset"}, {unix.SYS_KILL, "kill"},
	{unix.SYS_SETSID, "setsid"}, {unix.SYS_REBOOT, "reboot"}, {unix.SYS_SYSLOG, "syslog"},
	{unix.SYS_SETHOSTNAME, "sethostname"}, {unix.SYS_QUOTACTL, "quotactl"},
	{unix.SYS_FANOTIFY_INIT, "fanotify_init"}, {unix.SYS_CLOCK_SETTIME, "clock_settime"},
	{unix.SYS_SETTIMEOFDAY, "settimeofday"},
}

// notTrapped names what this backend leaves unobserved; rules that need it say
// that they were not evaluated.
var notTrapped = [...]string{
	"stat, access, readlink and getdents",
	"byte counts of read and write",
	"times and extended attributes of files",
	"data sent on connected sockets",
	"files opened by a descriptor that another process passed",
	"ftruncate, fallocate and copies between open descriptors",
	"result of connect, bind and send, except where the call was made by the supervisor",
	"children killed by a signal before any other event",
}
