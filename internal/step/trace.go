// Package step runs one step from end to end: commands in a sandbox under the
// tracer, then the attestors over what was recorded, into one collection. It
// makes evidence and judges nothing.
package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
	"pip-witness/internal/sandbox"
)

// OutputLimit bounds what is kept of a command's standard output and error, in
// bytes each.
const OutputLimit = 1 << 20 // 1 MiB

// outputFlood is how much of it ends the run: nobody reads that, and it takes the
// time of who looks on.
const outputFlood = 1 << 30 // 1 GiB

// recordingGC is the garbage collector's target percentage while a command is
// recorded: a recording of a large install has some 20 MB.
const recordingGC = 300

// Trace asks for commands to be run in one sandbox and recorded.
type Trace struct {
	Spec sandbox.Spec
	// Serve is given the gateway listener and returns when it is closed; nil
	// leaves the gateway address silent.
	Serve func(net.Listener) error
	// Prepare are commands that run untraced before, in the same sandbox; each has
	// to succeed.
	Prepare []sandbox.Command
	// Before is called after Prepare; init is the sandbox's init outside.
	Before func(init int) error
	// Commands are the traced commands. They end with the first that fails, except
	// with EveryCommand.
	Commands     []Command
	EveryCommand bool
	// After is called when every process has ended and the file systems inside can
	// still be reached through /proc/INIT/root.
	After func(init int) error
	// Timeout bounds each command; Linger the time that other processes may
	// outlive it. 0 is no bound for Timeout, and no time for Linger.
	Timeout time.Duration
	Linger  time.Duration
	// Limits end the recording when they are reached.
	Limits Limits
	// Backend is how calls are seen; empty is the best that the machine has.
	Backend capture.Backend
	// Contact is called before a process inside contacts an IP address; listen opens
	// a socket inside. nil leaves the address to the kernel.
	Contact func(c capture.Contact, listen func(network, address string, port int) (*os.File, error))
	// Watched and Digests are as in capture.Options.
	Watched func(string) bool
	Digests *capture.Digests
	// Secrets are literal values that are replaced in outputs, after Rewrite was
	// applied to them; nil rewrites nothing.
	Secrets []string
	Rewrite func(string) string
	// Progress is called now and then with the number of calls seen; nil is none.
	Progress func(calls int)
}

// Command is one traced command.
type Command struct {
	sandbox.Command
	// Results receives the other end of the descriptor sandbox.ResultsFD; it
	// returns when the command has closed its end or ctx is done. nil passes no such
	// descriptor. root returns the process id outside, 0 before the command was
	// seen.
	Results func(ctx context.Context, conversation *os.File, root func() int)
	// Stdout and Stderr get a copy of the output; nil is none.
	Stdout, Stderr io.Writer
}

// Recording is what Trace.Run observed.
type Recording struct {
	Command  evidence.CommandRun
	Started  time.Time
	Finished time.Time
	// TimedOut tells that a command was ended at the time limit.
	TimedOut bool
	// Stopped tells that the recording was stopped by its caller or at a limit.
	Stopped bool
	// Layers and Made are the sandbox's; see sandbox.Box.
	Layers []sandbox.Layer
	Made   []string
}

// PrepareError is a failed preparation command, with its output.
type PrepareError struct {
	Args   []string
	Status int
	Output string
}

func (e *PrepareError) Error() string {
	return fmt.Sprintf("prepare: %q ended with status %d: %s", e.Args, e.Status, e.Output)
}

// Run runs the commands one after the other, until the first that fails. The
// recording is complete when it returns without error.
func (t Trace) Run(ctx context.Context) (*Recording, error) {
	// What is recorded stays, and every stop of the collector is one of the traced
	// processes.
	defer debug.SetGCPercent(debug.SetGCPercent(recordingGC))
	box, err := sandbox.Start(context.WithoutCancel(ctx), t.Spec)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	stop := context.AfterFunc(ctx, box.Close)
	defer stop()
	t.serve(box)
	for _, c := range t.Prepare {
		if err := prepare(box, c); err != nil {
			return nil, t.cause(ctx, err)
		}
	}
	if t.Before != nil {
		if err := t.Before(box.InitPID()); err != nil {
			return nil, t.cause(ctx, err)
		}
	}
	run, err := t.newRun(box)
	if err != nil {
		return nil, err
	}
	for i, c := range t.Commands {
		if err := run.command(ctx, c); err != nil {
			return nil, t.cause(ctx, err)
		}
		if i == 0 {
			run.recording.Command.Cmd = evidence.RedactArgs(c.Args)
		}
		if run.recording.Command.ExitCode != 0 && !t.EveryCommand || run.stopped.Load() || run.recording.TimedOut {
			break
		}
	}
	err = run.finish()
	if err != nil || ctx.Err() != nil { // a command that was ended in time gives no error
		return nil, t.cause(ctx, err)
	}
	return run.recording, nil
}

// cause prefers the caller's own reason for ending the run.
func (t Trace) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (t Trace) serve(box *sandbox.Box) {
	if box.Listener() != nil && t.Serve != nil {
		go func() {
			// Ends with the listener, when the box is closed; what went wrong for the
			// command shows in what the gateway recorded.
			_ = t.Serve(box.Listener())
		}()
	}
}

func prepare(box *sandbox.Box, c sandbox.Command) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer read.Close()
	c.Stdout, c.Stderr = write, write
	output := collect(read, nil, func() {})
	running, err := box.Run(c)
	write.Close()
	if err != nil {
		return err
	}
	status, err := running.Wait()
	if err != nil {
		return err
	}
	text, _ := output()
	if status != 0 {
		return &PrepareError{Args: c.Args, Status: status, Output: text}
	}
	return nil
}

// run is one recording in the making.
type run struct {
	trace      Trace
	box        *sandbox.Box
	supervisor *capture.Supervisor
	backend    capture.Backend
	recording  *Recording
	stopped    atomic.Bool // by the supervisor, which runs beside
	limits     []evidence.Limit
	stdout     string
	stderr     string
}

func (t Trace) newRun(box *sandbox.Box) (*run, error) {
	r := &run{trace: t, box: box, recording: &Recording{Started: time.Now().UTC()}}
	var contact func(capture.Contact)
	if t.Contact != nil {
		contact = func(c capture.Contact) { t.Contact(c, box.Listen) }
	}
	supervisor, err := capture.New(capture.Options{
		Contact: contact,
		Watched: t.Watched, Digests: t.Digests, Redact: evidence.RedactArgs, RedactEnviron: evidence.RedactEnviron,
		Stop: func() {
			r.stopped.Store(true)
			_ = box.Kill() // fails only when the box has ended
		},
	})
	if err != nil {
		return nil, err
	}
	r.supervisor, r.backend = supervisor, cmp.Or(t.Backend, capture.Notify)
	return r, nil
}

// filtered is the command under the filter of the backend.
func (r *run) filtered(c sandbox.Command) (sandbox.Command, error) {
	raw, err := capture.Filter(r.backend)
	if err != nil {
		return c, err
	}
	c.Filter, c.Ptrace = nil, r.backend == capture.Ptrace
	for _, i := range raw {
		c.Filter = append(c.Filter, sandbox.Instruction{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return c, nil
}

// start starts the command under the backend; where the kernel gives no listener,
// and none was asked for, under the other one.
func (r *run) start(c sandbox.Command) (*sandbox.Running, error) {
	c, err := r.filtered(c)
	if err != nil {
		return nil, err
	}
	running, err := r.box.Run(c)
	if !errors.Is(err, sandbox.ErrNoListener) || r.trace.Backend != "" {
		return running, err
	}
	r.backend = capture.Ptrace
	if c, err = r.filtered(c); err != nil {
		return nil, err
	}
	return r.box.Run(c)
}

// attach answers for the command until all of it has ended.
func (r *run) attach(ctx context.Context, running *sandbox.Running) error {
	if r.backend == capture.Ptrace {
		return r.supervisor.AttachPtrace(ctx, running.Thread, running.Go)
	}
	return r.supervisor.Attach(ctx, running.Notify)
}

// command runs one command to the end of its whole process tree.
func (r *run) command(ctx context.Context, c Command) error {
	flooded := make(chan struct{}, 1)
	flood := func() {
		select {
		case flooded <- struct{}{}:
		default: // the other output did
		}
	}
	stdout, err := attachOutput(&c.Command.Stdout, c.Stdout, flood)
	if err != nil {
		return err
	}
	stderr, err := attachOutput(&c.Command.Stderr, c.Stderr, flood)
	if err != nil {
		return err
	}
	conversation, err := r.converse(&c)
	if err != nil {
		return err
	}
	running, err := r.start(c.Command)
	c.Command.Stdout.Close()
	c.Command.Stderr.Close()
	if c.Command.Results != nil {
		c.Command.Results.Close()
	}
	if err != nil {
		return err
	}
	traced := make(chan error, 1)
	go func() { traced <- r.attach(ctx, running) }()
	var talking sync.WaitGroup
	talkCtx, stopTalking := context.WithCancel(ctx)
	if conversation != nil {
		talking.Go(func() { c.Results(talkCtx, conversation, r.supervisor.CommandPID) })
	}
	err = r.await(running, traced, flooded)
	stopTalking()
	talking.Wait()
	if conversation != nil {
		conversation.Close()
	}
	r.keepOutput(&r.stdout, "stdout", stdout)
	r.keepOutput(&r.stderr, "stderr", stderr)
	return err
}

// attachOutput makes a pipe for one output and collects what comes through it.
func attachOutput(to **os.File, tee io.Writer, flood func()) (func() (string, bool), error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	*to = write
	return collect(read, tee, flood), nil
}

// collect reads until every writer has closed, keeping the first OutputLimit
// bytes; the returned function waits for that and tells whether more came. flood is
// called beyond outputFlood.
func collect(from *os.File, tee io.Writer, flood func()) func() (string, bool) {
	type result struct {
		text string
		cut  bool
	}
	done := make(chan result, 1)
	go func() {
		defer from.Close()
		var r result
		buf := make([]byte, 32<<10) // 32 KiB
		var kept []byte
		total := 0
		for {
			n, err := from.Read(buf)
			if total += n; total > outputFlood {
				flood()
			}
			if tee != nil && n > 0 {
				_, _ = tee.Write(buf[:n]) // the user's terminal is not evidence
			}
			room := min(n, OutputLimit-len(kept))
			kept = append(kept, buf[:room]...)
			r.cut = r.cut || room < n
			if err != nil {
				break
			}
		}
		r.text = string(kept)
		done <- r
	}()
	return func() (string, bool) {
		r := <-done
		return r.text, r.cut
	}
}

func (r *run) keepOutput(to *string, name string, output func() (string, bool)) {
	text, cut := output()
	*to += text
	if cut {
		r.limits = append(r.limits, evidence.Limit{Name: name, Value: OutputLimit, Unit: "bytes"})
	}
}

// converse makes the socket pair on which a command reports results.
func (r *run) converse(c *Command) (*os.File, error) {
	if c.Results == nil {
		return nil, nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("trace: results socket: %w", err)
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, fmt.Errorf("trace: results socket: %w", err)
	}
	c.Command.Results = os.NewFile(uintptr(pair[1]), "results")
	return os.NewFile(uintptr(pair[0]), "conversation"), nil
}

// await waits for the command, then for what outlives it, each with its bound.
func (r *run) await(running *sandbox.Running, traced chan error, flooded <-chan struct{}) error {
	type exit struct {
		status int
		err    error
	}
	exited := make(chan exit, 1)
	go func() {
		status, err := running.Wait()
		exited <- exit{status, err}
	}()
	var timeout, linger <-chan time.Time
	if r.trace.Timeout > 0 {
		timeout = time.After(r.trace.Timeout)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	gauge := r.trace.Limits.gauge(r.trace.Spec.Namespaces)
	use := time.NewTicker(limitsPoll)
	defer use.Stop()
	var failure error
	waiting := 2
	for waiting > 0 {
		select {
		case x := <-exited:
			waiting--
			exited = nil
			if x.err != nil {
				failure = x.err
				r.box.Close()
				continue
			}
			if r.recording.Command.ExitCode == 0 {
				r.recording.Command.ExitCode = x.status // the first failure stands
			}
			r.supervisor.SetExit(x.status)
			linger = time.After(max(r.trace.Linger, reapTime))
		case err := <-traced:
			waiting--
			traced = nil
			if err != nil {
				failure = errors.Join(failure, err)
				r.box.Close()
			}
		case <-timeout:
			r.recording.TimedOut = true
			r.reach("wall-time", r.trace.Timeout)
		case <-linger:
			linger = nil
			if traced != nil && !r.stopped.Load() && !r.recording.TimedOut {
				r.reach("linger", r.trace.Linger)
			}
		case <-use.C:
			if l := gauge.exceeded(r.box.InitPID()); l != nil {
				r.stop(*l)
			}
		case <-flooded:
			r.stop(evidence.Limit{Name: "output", Value: outputFlood, Unit: "bytes"})
		case <-tick.C:
			if r.trace.Progress != nil {
				r.trace.Progress(r.supervisor.Events())
			}
		}
	}
	return failure
}

// reapTime is what the kernel and init get, without any lingering, to be done with
// processes that have ended.
const reapTime = 250 * time.Millisecond

// stop ends every process at a limit, once.
func (r *run) stop(l evidence.Limit) {
	if !r.stopped.Swap(true) {
		r.limits = append(r.limits, l)
		_ = r.box.Kill() // fails only when the box has ended
	}
}

// reach notes a time limit and ends every process.
func (r *run) reach(name string, limit time.Duration) {
	r.limits = append(r.limits, evidence.Limit{Name: name, Value: int64(limit / time.Millisecond), Unit: "ms"})
	_ = r.box.Kill() // fails only when the box has ended
}

func (r *run) finish() error {
	init := r.box.InitPID()
	r.recording.Finished = time.Now().UTC()
	r.recording.Stopped = r.stopped.Load()
	processes, coverage := r.supervisor.Finish(func(path string) (int, error) { return openInside(init, path) })
	coverage.Limits = append(coverage.Limits, r.limits...)
	coverage.Complete = coverage.Complete && len(coverage.Limits) == 0
	coverage.Sandbox.Missing, coverage.Sandbox.Namespaces = r.box.Missing(), r.box.Namespaces()
	r.recording.Layers, r.recording.Made = r.box.Layers(), r.box.Made()
	command := &r.recording.Command
	command.Processes, command.Coverage = processes, coverage
	if r.trace.Rewrite != nil {
		r.stdout, r.stderr = r.trace.Rewrite(r.stdout), r.trace.Rewrite(r.stderr)
	}
	command.Stdout = evidence.RedactText(r.stdout, r.trace.Secrets)
	command.Stderr = evidence.RedactText(r.stderr, r.trace.Secrets)
	if r.trace.After != nil {
		return r.trace.After(init)
	}
	return nil
}

// openInside opens a regular file by its path inside the sandbox, following no
// symlink, as an O_PATH descriptor.
func openInside(init int, path string) (int, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", init), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %q: %w", path, err)
	}
	defer unix.Close(root)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(root, path, &how)
	if err != nil {
		return -1, fmt.Errorf("open %q: %w", path, err)
	}
	return fd, nil
}
