package capture

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A call that was let to go on reads its arguments when its thread runs again,
// which on a busy machine is later than the answer. When another process is given
// a way into that memory meanwhile, the call could still take what that one writes,
// after the record was made of what was there before. So who gives the way waits
// until such calls are past their arguments.

const (
	// copyTime is processor time in which a thread has long read all arguments of a
	// call: reading a path takes some microseconds.
	copyTime = time.Millisecond
	// landPoll is the time between two looks at a thread, landTime that for all.
	landPoll = 50 * time.Microsecond
	landTime = 2 * time.Second
)

// land waits until no thread of the chosen processes can still be about to read
// the arguments of a call that was let to go on. What does not land is a loss.
func (s *Supervisor) land(chosen func(*process) bool) {
	deadline := time.Now().Add(landTime)
	for _, p := range s.order {
		if p.ended || !chosen(p) {
			continue
		}
		for _, thread := range p.threads {
			if t := s.threads[thread]; t != nil && t.p == p && !landed(thread, deadline) {
				s.lose("arguments-in-flight")
			}
		}
	}
}

// landed waits until the thread is gone, waits in the kernel, or was on a processor
// for long enough. One that is seen waiting twice was not just about to be woken.
func landed(thread int, deadline time.Time) bool {
	start, err := processorTime(thread)
	waiting := 0
	for !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		var text []byte
		if text, err = os.ReadFile(procPath(thread, "syscall")); err == nil && !strings.HasPrefix(string(text), "running") {
			if waiting++; waiting == 2 {
				return true
			}
		} else {
			waiting = 0
		}
		if now, failed := processorTime(thread); failed == nil && now-start >= copyTime {
			return true
		} else if failed != nil {
			err = failed
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(landPoll)
	}
	return true
}

// processorTime is how long a thread was on a processor, from its schedstat (proc(5);
// sched-stats in the kernel's documentation): the first number, in nanoseconds.
func processorTime(thread int) (time.Duration, error) {
	text, err := os.ReadFile(procPath(thread, "schedstat"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(n), err
}
