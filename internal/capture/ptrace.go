package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// The ptrace backend: the filter stops a thread with SECCOMP_RET_TRACE, which the
// tracer sees as an event; children are attached by the kernel before they run.
//
//	thread                     kernel                       tracer (one locked thread)
//	openat(…) ───────────────▶ filter: TRACE ─────────────▶ wait4: event seccomp
//	(stopped)                                               the same record as ever
//	          ◀─────────────── PTRACE_CONT, or the number of the call replaced by none
//
// A descriptor cannot be given to a traced thread this way. Where the name could
// be changed meanwhile, the thread is stopped again when the call returns, and what
// it opened is looked at.

const traceOptions = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE |
	unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

// syscallInfo is struct ptrace_syscall_info (linux/ptrace.h, 5.3): of its union the
// members entry and seccomp, which begin alike; of exit the first word is the
// result.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64
	args [6]uint64
	data uint64
}

// ptracePort is the port of ptrace. Its answers are sent by the thread that traces.
type ptracePort struct{}

func (ptracePort) injects() bool { return false }

func (ptracePort) waits(e *event) bool {
	_, err := os.Stat(procPath(e.thread(), "stat"))
	return err == nil
}

func (ptracePort) send(e *event) error {
	var err error
	switch {
	case e.refuse != 0:
		err = skipCall(e.thread(), -int64(e.refuse))
	case e.made:
		err = skipCall(e.thread(), e.value)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil // killed meanwhile
	}
	return err
}

// tracer is the state of one run of the ptrace backend.
type tracer struct {
	s       *Supervisor
	threads map[int]bool
	returns map[int]func(result int64) // of threads whose call is waited for
}

// AttachPtrace traces the thread with that number, which will fork the command,
// and all below it until they have ended. seized is called when the thread is
// traced and may install the filter.
func (s *Supervisor) AttachPtrace(ctx context.Context, thread int, seized func() error) error {
	done := make(chan error, 1)
	// The thread gives up rights for good and ends with this goroutine.
	go func() { done <- s.attachPtrace(ctx, thread, seized) }()
	return <-done
}

func (s *Supervisor) attachPtrace(ctx context.Context, thread int, seized func() error) error {
	if err := s.settleDown(); err != nil {
		return err
	}
	s.expectLauncher(ptracePort{})
	s.backend = Ptrace
	if errno := ptrace(unix.PTRACE_SEIZE, thread, 0, traceOptions); errno != 0 {
		return fmt.Errorf("capture: trace thread %d: %w", thread, errno)
	}
	if err := seized(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	defer context.AfterFunc(ctx, s.stop)()
	t := &tracer{s: s, threads: map[int]bool{thread: true}, returns: map[int]func(int64){}}
	for len(t.threads) > 0 {
		if err := t.next(); err != nil {
			return err
		}
	}
	return nil
}

func ptrace(request, thread int, address, data uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(thread), address, data, 0, 0)
	return errno
}

// next handles what happened to one thread.
func (t *tracer) next() error {
	var status unix.WaitStatus
	thread, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case errors.Is(err, unix.ECHILD):
		clear(t.threads) // nobody is left
		return nil
	case err != nil:
		return fmt.Errorf("capture: wait: %w", err)
	case status.Exited() || status.Signaled():
		delete(t.threads, thread)
		delete(t.returns, thread)
		return nil
	case !status.Stopped():
		return nil
	}
	t.threads[thread] = true
	return t.stopped(thread, status)
}

// stopped handles a thread that was stopped and lets it go on.
func (t *tracer) stopped(thread int, status unix.WaitStatus) error {
	signal := status.StopSignal()
	switch event := status >> 16; {
	case event == unix.PTRACE_EVENT_SECCOMP:
		return t.call(thread)
	case event == unix.PTRACE_EVENT_FORK || event == unix.PTRACE_EVENT_VFORK || event == unix.PTRACE_EVENT_CLONE:
		if child, err := unix.PtraceGetEventMsg(thread); err == nil {
			t.threads[int(child)] = true
		}
		signal = 0
	case event == unix.PTRACE_EVENT_EXEC:
		if former, err := unix.PtraceGetEventMsg(thread); err == nil && int(former) != thread {
			delete(t.threads, int(former)) // it took the number of the process
			delete(t.returns, int(former))
		}
		signal = 0
	case event == unix.PTRACE_EVENT_STOP && isStop(signal):
		// A stop of the whole process, which ends with SIGCONT.
		return alive(ptrace(unix.PTRACE_LISTEN, thread, 0, 0))
	case event != 0:
		signal = 0
	case signal == unix.SIGTRAP|0x80:
		t.returned(thread)
		signal = 0
	}
	return alive(ptrace(unix.PTRACE_CONT, thread, 0, uintptr(signal)))
}

func isStop(signal unix.Signal) bool {
	return signal == unix.SIGSTOP || signal == unix.SIGTSTP || signal == unix.SIGTTIN || signal == unix.SIGTTOU
}

// alive is nil also for a thread that was killed while it was stopped.
func alive(errno unix.Errno) error {
	if errno == 0 || errno == unix.ESRCH {
		return nil
	}
	return fmt.Errorf("capture: ptrace: %w", errno)
}

// call handles a trapped call.
func (t *tracer) call(thread int) error {
	var info syscallInfo
	if errno := ptrace(unix.PTRACE_GET_SYSCALL_INFO, thread, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))); errno != 0 {
		return alive(errno)
	}
	e := newEvent(notification{pid: uint32(thread), nr: int32(uint32(info.nr)), arch: info.arch, ip: info.ip, args: info.args})
	e.at = time.Now().UTC()
	t.s.dispatch(e)
	if err := t.s.port.send(e); err != nil {
		return err
	}
	request := unix.PTRACE_CONT
	if e.returned != nil && e.refuse == 0 && !e.made {
		t.returns[thread] = e.returned
		request = unix.PTRACE_SYSCALL // stop once more when it returns
	}
	return alive(ptrace(request, thread, 0, 0))
}

// returned handles the return of a call that was waited for.
func (t *tracer) returned(thread int) {
	f := t.returns[thread]
	delete(t.returns, thread)
	if f == nil {
		return
	}
	var info syscallInfo
	if errno := ptrace(unix.PTRACE_GET_SYSCALL_INFO, thread, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))); errno != 0 {
		return // killed: the call had no result for anybody
	}
	f(int64(info.nr)) // the first word of the union
}

// verifyOpen records an open when it has returned, by what was opened.
func (s *Supervisor) verifyOpen(e *event, o opening, l location) {
	asked := l
	asked.fd, asked.parent = -1, 0
	e.returned = func(got int64) {
		if got < 0 {
			s.recordOpen(e, asked, o.flags, result{errno: unix.Errno(-got), truth: evidence.TruthKernel})
			return
		}
		opened := s.described(e, int32(got))
		defer opened.close()
		if opened.errno != 0 { // closed by another thread at once
			s.lose("opened:" + e.name)
			opened = asked
		}
		if o.has(unix.O_TMPFILE) {
			opened.path = asked.path // the file has no name of its own
		}
		created := l.errno == unix.ENOENT && o.has(unix.O_CREAT)
		s.recordOpen(e, opened, o.flags, result{created: created, truth: evidence.TruthKernel})
	}
}
