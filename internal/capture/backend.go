package capture

// Backend is a way of the kernel to tell a supervisor about the calls of traced
// processes.
type Backend string

// Notify is seccomp user notification (5.19 and newer).
const Notify Backend = "seccomp-notify"

// Backends are those that this program has, the preferred one first.
func Backends() []Backend { return []Backend{Notify} }
