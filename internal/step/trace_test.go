package step

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// both runs a test in the sandbox and without it.
func both(t *testing.T, test func(t *testing.T, trace Trace, dir string)) {
	for _, confined := range []bool{true, false} {
		name := "sandbox"
		if !confined {
			name = "host"
		}
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			test(t, Trace{
				Spec: sandbox.Spec{
					Namespaces: confined, RootDir: t.TempDir(), Hostname: "box",
					Binds: []sandbox.Bind{{Source: dir, Target: dir, Writable: true}},
				},
				Timeout: 20 * time.Second, Linger: 5 * time.Second,
			}, dir)
		})
	}
}

func shell(dir, script string) Command {
	return Command{Command: sandbox.Command{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: dir}}
}

// record runs the trace; a machine that does not allow the sandbox skips.
func record(t *testing.T, trace Trace) *Recording {
	t.Helper()
	r, err := trace.Run(t.Context())
	needSandbox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func needSandbox(t *testing.T, err error) {
	t.Helper()
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
}

func limits(r *Recording) []evidence.Limit { return r.Command.Coverage.Limits }

func TestOutput(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		var out, err bytes.Buffer
		c := shell(dir, `echo visible; echo "token s3cret-value" >&2; exit 3`)
		c.Stdout, c.Stderr = &out, &err
		trace.Commands, trace.Secrets = []Command{c}, []string{"s3cret-value"}
		trace.Rewrite = func(s string) string { return strings.ReplaceAll(s, "visible", "rewritten") }
		r := record(t, trace)
		if r.Command.Stdout != "rewritten\n" || strings.Contains(r.Command.Stderr, "s3cret") || !strings.HasPrefix(r.Command.Stderr, "token ") {
			t.Errorf("recorded %q, %q", r.Command.Stdout, r.Command.Stderr)
		}
		if out.String() != "visible\n" || err.String() != "token s3cret-value\n" {
			t.Errorf("the user saw %q, %q", out.String(), err.String())
		}
		if r.Command.ExitCode != 3 || !r.Command.Coverage.Complete || r.TimedOut || r.Stopped || len(limits(r)) > 0 {
			t.Errorf("exit code %d, complete %v, limits %v", r.Command.ExitCode, r.Command.Coverage.Complete, limits(r))
		}
		if r.Finished.Before(r.Started) || r.Started.IsZero() {
			t.Errorf("from %v to %v", r.Started, r.Finished)
		}
	})
}

// Output beyond the limit is read, so that the command can go on, and cut.
func TestOutputLimit(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		trace.Commands = []Command{shell(dir, "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")}
		r := record(t, trace)
		if len(r.Command.Stdout) != OutputLimit || r.Command.Stderr != "end\n" || r.Command.Coverage.Complete {
			t.Errorf("%d bytes, %q, complete %v", len(r.Command.Stdout), r.Command.Stderr, r.Command.Coverage.Complete)
		}
		if diff := cmp.Diff([]evidence.Limit{{Name: "stdout", Value: OutputLimit, Unit: "bytes"}}, limits(r)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTimeout(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		trace.Timeout = 300 * time.Millisecond
		trace.Commands = []Command{shell(dir, "echo begun; (setsid sleep 60 &) ; sleep 60"), shell(dir, "echo never")}
		start := time.Now()
		r := record(t, trace)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if !r.TimedOut || r.Command.Coverage.Complete || r.Command.Stdout != "begun\n" || r.Command.ExitCode != 128+9 {
			t.Errorf("timed out %v, complete %v, output %q, code %d", r.TimedOut, r.Command.Coverage.Complete, r.Command.Stdout, r.Command.ExitCode)
		}
		if diff := cmp.Diff([]evidence.Limit{{Name: "wall-time", Value: 300, Unit: "ms"}}, limits(r)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLinger(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		trace.Linger = 300 * time.Millisecond
		trace.Commands = []Command{shell(dir, "(setsid sleep 60 > /dev/null 2>&1 &) ; echo done")}
		r := record(t, trace)
		if diff := cmp.Diff([]evidence.Limit{{Name: "linger", Value: 300, Unit: "ms"}}, limits(r)); diff != "" || r.Command.Coverage.Complete || r.TimedOut {
			t.Errorf("complete %v, timed out %v, limits %s", r.Command.Coverage.Complete, r.TimedOut, diff)
		}
		if r.Command.ExitCode != 0 || r.Command.Stdout != "done\n" {
			t.Errorf("code %d, output %q", r.Command.ExitCode, r.Command.Stdout)
		}
	})
}

// Without any time to linger, a command that leaves nothing behind is complete.
func TestNoLinger(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		trace.Linger = 0
		trace.Commands = []Command{shell(dir, "exit 0")}
		for range 20 {
			if r := record(t, trace); !r.Command.Coverage.Complete {
				t.Fatalf("limits %v", limits(r))
			}
		}
	})
}

func TestCommandsInOrder(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		trace.Commands = []Command{shell(dir, "echo 1"), shell(dir, "echo 2; exit 4"), shell(dir, "echo 3; exit 5")}
		r := record(t, trace)
		if r.Command.Stdout != "1\n2\n" || r.Command.ExitCode != 4 {
			t.Errorf("%q, code %d", r.Command.Stdout, r.Command.ExitCode)
		}
		if diff := cmp.Diff([]string{"/bin/sh", "-c", "echo 1"}, r.Command.Cmd); diff != "" {
			t.Error(diff)
		}
		trace.EveryCommand = true
		if r = record(t, trace); r.Command.Stdout != "1\n2\n3\n" || r.Command.ExitCode != 4 {
			t.Errorf("every command: %q, code %d", r.Command.Stdout, r.Command.ExitCode)
		}
		for _, p := range r.Command.Processes {
			if p.ParentPID != 0 {
				t.Errorf("the command %q is a child of %d", p.Cmdline, p.ParentPID)
			}
		}
		if len(r.Command.Processes) != 3 {
			t.Errorf("%d processes, want 3", len(r.Command.Processes))
		}
	})
}

func TestPrepare(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		var order []string
		trace.Prepare = []sandbox.Command{shell(dir, "echo prepared > file").Command}
		trace.Before = func(init int) error {
			content, err := os.ReadFile(filepath.Join(dir, "file"))
			order = append(order, "before "+strings.TrimSpace(string(content)))
			if init <= 0 {
				t.Errorf("init is process %d", init)
			}
			return err
		}
		trace.After = func(init int) error {
			_, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(init), "root", dir, "made"))
			order = append(order, "after")
			return err
		}
		trace.Commands = []Command{shell(dir, "cat file; echo x > made")}
		r := record(t, trace)
		if diff := cmp.Diff([]string{"before prepared", "after"}, order); diff != "" || r.Command.Stdout != "prepared\n" {
			t.Errorf("output %q, order %s", r.Command.Stdout, diff)
		}
		if len(r.Command.Processes) > 2 {
			t.Errorf("%d processes: the preparation is in the record", len(r.Command.Processes))
		}
		trace.Prepare = append(trace.Prepare, shell(dir, "echo reason; exit 9").Command)
		_, err := trace.Run(t.Context())
		var failed *PrepareError
		if !errors.As(err, &failed) || failed.Status != 9 || failed.Output != "reason\n" {
			t.Errorf("a preparation that fails: %v", err)
		}
		trace.Prepare, trace.Before = nil, func(int) error { return io.ErrUnexpectedEOF }
		if _, err := trace.Run(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error of Before: %v", err)
		}
	})
}

// The conversation on the results descriptor goes both ways, and ends with the
// command.
func TestResults(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		var said string
		c := shell(dir, `echo "my result" >&4; read answer <&4; echo "got $answer"`)
		c.Results = func(_ context.Context, conversation *os.File, root func() int) {
			buf := make([]byte, 64)
			n, err := conversation.Read(buf)
			said = string(buf[:n])
			if err != nil || root() <= 0 {
				t.Errorf("read: %v; command is process %d", err, root())
			}
			if _, err := conversation.WriteString("thanks\n"); err != nil {
				t.Errorf("answer: %v", err)
			}
			if _, err := conversation.Read(buf); !errors.Is(err, io.EOF) {
				t.Errorf("after the command: %v", err)
			}
		}
		trace.Commands = []Command{c}
		if r := record(t, trace); said != "my result\n" || r.Command.Stdout != "got thanks\n" {
			t.Errorf("result %q, output %q", said, r.Command.Stdout)
		}
	})
}

func TestGateway(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		if !trace.Spec.Namespaces {
			t.Skip("needs the sandbox's own network")
		}
		trace.Spec.GatewayPort = 40123
		var wg sync.WaitGroup
		trace.Serve = func(l net.Listener) error {
			for {
				c, err := l.Accept()
				if err != nil {
					return err
				}
				wg.Go(func() {
					_, _ = io.WriteString(c, "served\n")
					c.Close()
				})
			}
		}
		bash, err := os.Stat("/bin/bash")
		if err != nil || bash.IsDir() {
			t.Skip("needs bash, for /dev/tcp")
		}
		c := shell(dir, "")
		c.Args = []string{"/bin/bash", "-c", "cat < /dev/tcp/127.0.0.1/40123"}
		trace.Commands = []Command{c}
		if r := record(t, trace); r.Command.Stdout != "served\n" {
			t.Errorf("%q, %q", r.Command.Stdout, r.Command.Stderr)
		}
		wg.Wait()
	})
}

// A caller that gives up ends every process, in time.
func TestCancelled(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		trace.Commands = []Command{shell(dir, "echo $$ > pid; (setsid sleep 60 &); sleep 60")}
		go func() {
			for {
				if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
					time.Sleep(100 * time.Millisecond)
					cancel(why)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
		start := time.Now()
		_, err := trace.Run(ctx)
		needSandbox(t, err)
		if !errors.Is(err, why) {
			t.Errorf("error %v, want %v", err, why)
		}
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestProgress(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		seen := 0
		trace.Progress = func(calls int) { seen = max(seen, calls) }
		trace.Commands = []Command{shell(dir, "sleep 0.4")}
		r := record(t, trace)
		if seen == 0 || seen > r.Command.Coverage.Events {
			t.Errorf("progress said %d of %d calls", seen, r.Command.Coverage.Events)
		}
	})
}

func TestMemoryLimit(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		if !trace.Spec.Namespaces {
			t.Skip("needs the sandbox's own /proc")
		}
		trace.Limits = Limits{Memory: 64 << 20}
		trace.Commands = []Command{shell(dir, "x=$(head -c 100000000 /dev/zero | tr '\\0' x); sleep 20")}
		r := record(t, trace)
		if diff := cmp.Diff([]evidence.Limit{{Name: "memory", Value: 64 << 20, Unit: "bytes"}}, limits(r)); diff != "" || !r.Stopped || r.Command.Coverage.Complete {
			t.Errorf("stopped %v, complete %v, limits %s", r.Stopped, r.Command.Coverage.Complete, diff)
		}
	})
}

// A program that cannot be started is told to the user, with status 127.
func TestNoProgram(t *testing.T) {
	both(t, func(t *testing.T, trace Trace, dir string) {
		c := shell(dir, "")
		c.Args = []string{"/no/such/program"}
		trace.Commands = []Command{c}
		r := record(t, trace)
		if r.Command.ExitCode != 127 || !strings.Contains(r.Command.Stderr, `"/no/such/program": no such file or directory`) {
			t.Errorf("code %d, %q", r.Command.ExitCode, r.Command.Stderr)
		}
	})
}
