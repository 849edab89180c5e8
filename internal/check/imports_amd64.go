package check

import "golang.org/x/sys/unix"

// waitsForEverLegacy knows the waiting calls that only older architectures have.
func waitsForEverLegacy(number int, endless func(arg int) bool) bool {
	switch number {
	case unix.SYS_EPOLL_WAIT:
		return endless(3)
	case unix.SYS_POLL:
		return endless(2)
	}
	return false
}
