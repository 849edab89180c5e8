package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// Limits of one recording. Each one that is reached is in the coverage.
const (
	// DefaultMaxRecords bounds the distinct records of a run: beyond it the run
	// is stopped. The largest honest install measured has under 60,000.
	DefaultMaxRecords = 1_000_000
	// DefaultMaxProcesses bounds the processes of a run, maxLive those that are there
	// at the same time.
	DefaultMaxProcesses = 20_000
	maxLive             = 2_000
)

// Options configure a Supervisor.
type Options struct {
	// Watched tells whether a failed open of the resolved path is evidence of its
	// own; nil watches nothing.
	Watched func(path string) bool
	// Digests is shared by the supervisors of one run; nil makes a new one.
	Digests *Digests
	// Stop is called once, from the supervisor's thread, when a limit is reached;
	// it has to end the traced processes soon.
	Stop func()
	// Contact is called before a process connects or sends to an IP address; the
	// process waits meanwhile. nil does nothing.
	Contact func(Contact)
	// Redact replaces the arguments of a program before they are recorded.
	Redact func([]string) []string
	// RedactEnviron renders an environment without secrets.
	RedactEnviron func([]string) string
	// MaxRecords and MaxProcesses replace the defaults when > 0.
	MaxRecords   int
	MaxProcesses int
}

// Supervisor answers the notifications of traced processes and keeps their
// record. Attach may be called several times, one traced command after the
// other; Finish ends the recording.
type Supervisor struct {
	options Options
	table   map[uint32]call
	digests *Digests

	listener  int
	order     []*process
	threads   map[int]*thread
	processes map[identity]*process
	live      int // processes that have not ended
	launcher  int // thread id of a launcher that has not run the command yet
	depth     int // of the run's own pid namespace, as an index of NStgid in proc(5)
	awaiting  bool

	mu      sync.Mutex // guards command and exit codes
	command *process   // the one attached last

	roots  int // root directories kept open
	forked int // forks announced

	buffer   []byte
	events   int
	records  int
	losses   map[string]int
	limits   []evidence.Limit
	refusals map[string]int
	stopped  bool
	pulse    atomic.Int64 // events so far, for progress displays
}

// New returns a supervisor. It fails when an option is missing.
func New(o Options) (*Supervisor, error) {
	if o.Redact == nil || o.RedactEnviron == nil || o.Stop == nil {
		return nil, errors.New("capture: Redact, RedactEnviron and Stop must be set")
	}
	if o.Watched == nil {
		o.Watched = func(string) bool { return false }
	}
	if o.Digests == nil {
		o.Digests = NewDigests()
	}
	if o.MaxRecords <= 0 {
		o.MaxRecords = DefaultMaxRecords
	}
	if o.MaxProcesses <= 0 {
		o.MaxProcesses = DefaultMaxProcesses
	}
	s := &Supervisor{
		options: o, digests: o.Digests,
		table: map[uint32]call{}, threads: map[int]*thread{}, processes: map[identity]*process{},
		losses: map[string]int{}, refusals: map[string]int{}, buffer: make([]byte, maxPath),
	}
	for _, c := range calls() {
		s.table[c.nr] = c
	}
	return s, nil
}

// notification is struct seccomp_notif with its struct seccomp_data, and response
// struct seccomp_notif_resp (linux/seccomp.h); x/sys has only the ioctl numbers.
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

// event is one trapped call while it is looked at.
type event struct {
	notification
	name   string
	at     time.Time
	p      *process
	refuse unix.Errno // answer instead of letting the call go on; 0 lets it
}

// thread is the calling thread's id, outside.
func (e *event) thread() int { return int(e.pid) }

// Attach answers the notifications of one listener until no process uses its
// filter any more, and closes it. The first process seen is the launcher, which
// becomes the command at its first exec.
func (s *Supervisor) Attach(ctx context.Context, listener int) error {
	defer unix.Close(listener)
	s.listener, s.awaiting, s.launcher = listener, true, 0
	s.setCommand(nil)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := yieldFileRights()
	if err != nil {
		return err
	}
	defer restore()
	// 6.6 and newer; on older kernels the flag is refused and wake-ups are slower.
	_ = unix.IoctlSetInt(listener, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 250) // ms, to look at the context now and then
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("capture: poll: %w", err)
		case ctx.Err() != nil && !s.stopped:
			s.stopped = true
			s.options.Stop()
		case n == 0:
			continue
		}
		if poll[0].Revents&unix.POLLIN != 0 {
			if err := s.step(); err != nil {
				return err
			}
			continue
		}
		if poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			return nil
		}
	}
}

func (s *Supervisor) setCommand(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.command = p
}

// step answers one notification.
func (s *Supervisor) step() error {
	var n notification // the kernel wants it zeroed
	if errno := ioctl(s.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno != 0 {
		if errno == unix.EINTR || errno == unix.ENOENT { // the caller was killed meanwhile
			return nil
		}
		return fmt.Errorf("capture: receive notification: %w", errno)
	}
	e := &event{notification: n, at: time.Now().UTC()}
	s.dispatch(e)
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if e.refuse != 0 {
		r = response{id: n.id, errno: -int32(e.refuse)}
	}
	if errno := ioctl(s.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("capture: answer notification: %w", errno)
	}
	return nil
}

func ioctl(fd int, request uint, argument unsafe.Pointer) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
		if errno != unix.EINTR || request == unix.SECCOMP_IOCTL_NOTIF_RECV {
			return errno
		}
	}
}

func (s *Supervisor) dispatch(e *event) {
	s.events++
	s.pulse.Add(1)
	if s.isLauncher(e) {
		return
	}
	if e.p = s.processOf(e); e.p == nil {
		return // it ended meanwhile, or could not be read: counted there
	}
	if s.CommandPID() == 0 {
		s.setCommand(e.p)
	}
	s.settleExecs(e.p, e.thread())
	if e.arch != auditArch || uint32(e.nr)&x32Bit != 0 {
		s.onForeign(e)
		return
	}
	c, ok := s.table[uint32(e.nr)]
	if !ok {
		s.lose("unknown-call")
		return
	}
	e.name = c.name
	c.record(s, e)
	if s.records > s.options.MaxRecords {
		s.reachLimit("records", s.options.MaxRecords, "records")
	}
}

// isLauncher tells whether the event belongs to a launcher that has not yet run
// the command; its exec makes it the command's first process.
func (s *Supervisor) isLauncher(e *event) bool {
	if !s.awaiting {
		return false
	}
	if s.launcher == 0 {
		s.launcher = e.thread()
		if st, err := readStatus(s.launcher, maxDepth); err == nil {
			s.depth = st.depth
		}
	}
	if e.nr != unix.SYS_EXECVE {
		return true
	}
	s.awaiting = false
	return false
}

// Events is the number of system calls observed so far. It may be called from
// any goroutine.
func (s *Supervisor) Events() int { return int(s.pulse.Load()) }

func (s *Supervisor) lose(class string) { s.losses[class]++ }

func (s *Supervisor) reachLimit(name string, value int, unit string) {
	if !slices.ContainsFunc(s.limits, func(l evidence.Limit) bool { return l.Name == name }) {
		s.limits = append(s.limits, evidence.Limit{Name: name, Value: int64(value), Unit: unit})
	}
	if !s.stopped {
		s.stopped = true
		s.options.Stop()
	}
}

// Finish returns the record. It hashes what was written, so every process must
// have ended, and the file systems it wrote to must still be reachable through
// open(path), which returns a regular file or an error.
func (s *Supervisor) Finish(open func(path string) (int, error)) ([]evidence.Process, evidence.Coverage) {
	for _, p := range s.order {
		s.settleExecs(p, 0)
		s.hashWritten(p, open)
		s.closeRoot(p)
	}
	s.digests.wait()
	records := make([]evidence.Process, 0, len(s.order))
	for _, p := range s.order {
		records = append(records, p.finish())
	}
	return records, s.coverage()
}

func (s *Supervisor) coverage() evidence.Coverage {
	c := evidence.Coverage{
		Backend: string(Notify), Architecture: architecture, Kernel: kernelRelease(),
		NotTrapped: notTrapped[:], Losses: s.losses, Limits: s.limits, Refusals: s.refusals, Events: s.events,
	}
	if c.Limits == nil {
		c.Limits = []evidence.Limit{}
	}
	c.Complete = len(s.losses) == 0 && len(s.limits) == 0
	for _, call := range s.table {
		c.Trapped = append(c.Trapped, call.name)
	}
	slices.Sort(c.Trapped)
	return c
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// yieldFileRights takes the capabilities that override file permissions from
// the calling thread, so that its look-ups have no more rights than a traced
// process; the returned function gives them back.
func yieldFileRights() (func(), error) {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(header, &have[0]); err != nil {
		return nil, fmt.Errorf("capture: read capabilities: %w", err)
	}
	fewer := have
	fewer[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER
	if err := unix.Capset(header, &fewer[0]); err != nil {
		return nil, fmt.Errorf("capture: yield capabilities: %w", err)
	}
	return func() {
		// The permitted set still has them, so this cannot fail.
		_ = unix.Capset(header, &have[0])
	}, nil
}
