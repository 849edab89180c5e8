package capture

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

	port      port
	backend   Backend
	order     []*process
	threads   map[int]*thread
	processes map[identity]*process
	live      int // processes that have not ended
	launcher  int // thread id of a launcher that has not run the command yet
	depth     int // of the run's own pid namespace, as an index of NStgid in proc(5)
	awaiting  bool

	mu      sync.Mutex // guards command and exit codes
	command *process   // the one attached last

	kept      int  // descriptors kept open for processes
	forked    int  // forks announced
	entangled bool // memory is shared in a way that is not told apart

	buffer   []byte
	events   int
	records  int
	losses   map[string]int
	limits   []evidence.Limit
	refusals map[string]int
	stopping sync.Once
	aside    sync.WaitGroup // calls that are made by other threads
	asides   atomic.Int32   // how many these are
	pipes    []int          // that such calls may wait for
	pulse    atomic.Int64   // events so far, for progress displays
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
		backend: Notify, options: o, digests: o.Digests,
		table: map[uint32]call{}, threads: map[int]*thread{}, processes: map[identity]*process{},
		losses: map[string]int{}, refusals: map[string]int{}, buffer: make([]byte, maxPath),
	}
	for _, c := range calls() {
		s.table[c.nr] = c
	}
	return s, nil
}

// event is one trapped call while it is looked at, and how it will be answered:
// the zero answer lets the kernel go on with the call.
type event struct {
	notification
	name string
	at   time.Time
	p    *process

	refuse  unix.Errno // answered with this error; 0 is none
	made    bool       // made here for the caller, with this result
	value   int64
	given   int  // descriptor that becomes the result, owned; -1 is none
	cloexec bool // of the descriptor that is given
	later   bool // somebody else will answer
	// returned is called with the result when the call has returned, by backends that
	// see that; nil asks for nothing.
	returned func(result int64)

	spans [maxSpans]span // of the caller's memory that were read
	read  int
}

func newEvent(n notification) *event {
	return &event{notification: n, at: time.Now().UTC(), given: -1}
}

// thread is the calling thread's id, outside.
func (e *event) thread() int { return int(e.pid) }

// make sets the answer of a call that was made here for the caller.
func (e *event) make(value int, errno unix.Errno) {
	e.made, e.value, e.refuse = true, int64(value), errno
}

// expectLauncher begins the record of a further command.
func (s *Supervisor) expectLauncher(p port) {
	s.port, s.awaiting, s.launcher = p, true, 0
	s.setCommand(nil)
}

func (s *Supervisor) setCommand(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.command = p
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
	s.stop()
}

// stop ends the traced processes. It may be called from any goroutine.
func (s *Supervisor) stop() { s.stopping.Do(s.options.Stop) }

// Finish returns the record. It hashes what was written, so every process must
// have ended, and the file systems it wrote to must still be reachable through
// open(path), which returns a regular file or an error.
func (s *Supervisor) Finish(open func(path string) (int, error)) ([]evidence.Process, evidence.Coverage) {
	for _, p := range s.order {
		s.settleExecs(p, 0)
		s.hashWritten(p, open)
		s.closeFiles(p)
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
		Backend: string(s.backend), Architecture: architecture, Kernel: kernelRelease(),
		NotTrapped: slices.Concat(notTrapped[:], s.backend.notObserved()), Losses: s.losses, Limits: s.limits, Refusals: s.refusals, Events: s.events,
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

// settleDown prepares the calling thread for good: it blocks all signals, has its
// own umask, which is 0, and no rights but to look at processes, so that what it
// looks up or does for a traced process is what that process, which has none, may
// do. The thread must not go back to other work: it stays locked.
func (s *Supervisor) settleDown() error {
	runtime.LockOSThread()
	all := unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, nil); err != nil {
		return fmt.Errorf("capture: block signals: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("capture: unshare umask: %w", err)
	}
	unix.Umask(0)
	return yieldRights(1 << unix.CAP_SYS_PTRACE)
}

// raiseRights makes permitted capabilities effective for the calling thread.
func raiseRights(more uint32) error {
	return changeRights(func(c *unix.CapUserData) { c.Effective |= more & c.Permitted })
}

// yieldRights takes all effective capabilities but those kept from the calling
// thread.
func yieldRights(keep uint32) error {
	return changeRights(func(c *unix.CapUserData) { c.Effective &= keep })
}

// changeRights changes the effective capabilities of the calling thread below the
// 32nd, and takes the others.
func changeRights(change func(*unix.CapUserData)) error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(header, &have[0]); err != nil {
		return fmt.Errorf("capture: read capabilities: %w", err)
	}
	change(&have[0])
	have[1].Effective = 0
	if err := unix.Capset(header, &have[0]); err != nil {
		return fmt.Errorf("capture: set capabilities: %w", err)
	}
	return nil
}
