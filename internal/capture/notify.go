package capture

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// port is the way to the callers that are stopped; each backend has its own.
type port interface {
	// waits tells whether the caller still waits for its answer.
	waits(e *event) bool
	// send answers the call; a caller that was killed meanwhile is no error.
	send(e *event) error
	// injects tells whether an answer may carry a descriptor, and may be sent from
	// another goroutine.
	injects() bool
}

// notification is struct seccomp_notif with its struct seccomp_data, response
// struct seccomp_notif_resp, and addition struct seccomp_notif_addfd
// (linux/seccomp.h); x/sys has only the ioctl numbers.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

type addition struct {
	id       uint64
	flags    uint32
	srcfd    uint32
	newfd    uint32
	newflags uint32
}

// notifyPort is the port of seccomp user notification.
type notifyPort struct{ listener int }

func (n notifyPort) injects() bool { return true }

func (n notifyPort) waits(e *event) bool {
	id := e.id
	return ioctl(n.listener, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == 0
}

func (n notifyPort) send(e *event) error {
	r := response{id: e.id}
	switch {
	case e.refuse != 0:
		r.errno = -int32(e.refuse)
	case e.given >= 0:
		errno := n.give(e)
		unix.Close(e.given)
		if errno == 0 || errno == unix.ENOENT || errno == unix.EINPROGRESS {
			return nil
		}
		// The caller's table of descriptors is full, or the like: its own result.
		r.errno = -int32(errno)
	case e.made:
		r.val = e.value
	default:
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	if errno := ioctl(n.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("capture: answer notification: %w", errno)
	}
	return nil
}

// give installs the descriptor in the caller and answers with its number there,
// in one step (5.14). A signal between the kernel's two halves of that step would
// make the call return 0: [Supervisor.Attach] blocks them all.
func (n notifyPort) give(e *event) unix.Errno {
	a := addition{id: e.id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, srcfd: uint32(e.given)}
	if e.cloexec {
		a.newflags = unix.O_CLOEXEC
	}
	return ioctl(n.listener, unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

func ioctl(fd int, request uint, argument unsafe.Pointer) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
		if errno != unix.EINTR || request == unix.SECCOMP_IOCTL_NOTIF_RECV {
			return errno
		}
	}
}

// Attach answers the notifications of one listener until no process uses its
// filter any more, and closes it. The first process seen is the launcher, which
// becomes the command at its first exec.
func (s *Supervisor) Attach(ctx context.Context, listener int) error {
	done := make(chan error, 1)
	// The thread gives up rights for good and ends with this goroutine.
	go func() { done <- s.attach(ctx, listener) }()
	return <-done
}

func (s *Supervisor) attach(ctx context.Context, listener int) error {
	defer unix.Close(listener)
	if err := s.settleDown(); err != nil {
		return err
	}
	s.expectLauncher(notifyPort{listener})
	defer context.AfterFunc(ctx, s.stop)()
	// 6.6 and newer; on older kernels the flag is refused and wake-ups are slower.
	_ = unix.IoctlSetInt(listener, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	receive := s.pollAndReceive
	if kernelAtLeast(6, 11) {
		receive = s.receive
	}
	err := receive(listener)
	s.endAside()
	return err
}

// receive waits in the kernel for the next notification, which since 6.11 says
// ENOENT when nobody uses the filter any more.
func (s *Supervisor) receive(listener int) error {
	for {
		if over, err := s.step(listener); err != nil {
			return err
		} else if over && gone(listener) {
			return nil
		}
	}
}

// gone tells whether no process uses the filter any more.
func gone(listener int) bool {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 && poll[0].Revents&unix.POLLIN == 0
}

// pollAndReceive asks first whether there is a notification: on older kernels
// receiving would wait for ever once nobody uses the filter.
func (s *Supervisor) pollAndReceive(listener int) error {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return fmt.Errorf("capture: poll: %w", err)
		}
		if poll[0].Revents&unix.POLLIN != 0 {
			if _, err := s.step(listener); err != nil {
				return err
			}
			continue
		}
		if poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			return nil
		}
	}
}

// step answers one notification; none tells that there was none.
func (s *Supervisor) step(listener int) (none bool, err error) {
	var n notification // the kernel wants it zeroed
	if errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno != 0 {
		if errno == unix.EINTR || errno == unix.ENOENT { // the caller was killed meanwhile, or all have ended
			return true, nil
		}
		return false, fmt.Errorf("capture: receive notification: %w", errno)
	}
	e := newEvent(n)
	s.dispatch(e)
	if e.later {
		return false, nil
	}
	return false, s.port.send(e)
}

// kernelAtLeast compares the running kernel's release.
func kernelAtLeast(major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(kernelRelease(), "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
