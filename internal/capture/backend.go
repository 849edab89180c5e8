package capture

// Backend is a way of the kernel to tell a supervisor about the calls of traced
// processes.
type Backend string

const (
	// Notify is seccomp user notification (5.19 and newer). The traced processes see
	// no tracer.
	Notify Backend = "seccomp-notify"
	// Ptrace is ptrace(2) with a seccomp filter, for where no listener can be had:
	// an older kernel, or a container or another tracer that has one already.
	Ptrace Backend = "ptrace"
)

// Backends are those that this program has, the preferred one first.
func Backends() []Backend { return []Backend{Notify, Ptrace} }

// notObserved is what a backend leaves unobserved beyond [notTrapped].
func (b Backend) notObserved() []string {
	if b == Ptrace {
		return []string{
			"programs that are themselves tracers (a process has one tracer)",
			"destinations and other arguments that another thread changes during the call, except the names of opens and programs",
		}
	}
	return []string{
		"what an open with O_PATH found whose name another thread changed during the call",
		"the path of a unix socket that another thread changed while it was bound",
	}
}
