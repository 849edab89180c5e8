package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(inDirectory(m.Run))
}

// directoryVariable names the directory of what all tests share.
const directoryVariable = "PIP_WITNESS_TEST_DIRECTORY"

func inDirectory(run func() int) int {
	dir, err := os.MkdirTemp("", "capture-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Setenv(directoryVariable, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// probeVariable names a probe that is compiled already, for a test binary that
// another one started.
const probeVariable = "PIP_WITNESS_TEST_PROBE"

// compileProbe compiles testdata/probe.c once.
var compileProbe = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(probeVariable); path != "" {
		return path, nil
	}
	path := filepath.Join(os.Getenv(directoryVariable), "probe")
	out, err := exec.Command("gcc", "-O1", "-static", "-pthread", "-o", path, "testdata/probe.c").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// world is a directory with the probe in it, seen under the same path by a
// traced command.
type world struct {
	dir      string
	confined bool
	backend  capture.Backend
	timeout  time.Duration
	linger   time.Duration
	watched  func(string) bool
}

func newWorld(t testing.TB, confined bool) world {
	t.Helper()
	probe, err := compileProbe()
	if err != nil {
		t.Skipf("needs gcc and a static C library: %v", err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(probe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "probe"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	return world{dir: dir, confined: confined, backend: capture.Notify, timeout: 20 * time.Second, linger: 5 * time.Second}
}

// eachWorld runs a test in the sandbox, without it, and with the other backend.
func eachWorld(t *testing.T, test func(*testing.T, world)) {
	t.Run("sandbox", func(t *testing.T) { test(t, newWorld(t, true)) })
	t.Run("host", func(t *testing.T) { test(t, newWorld(t, false)) })
	t.Run("ptrace", func(t *testing.T) {
		w := newWorld(t, true)
		w.backend = capture.Ptrace
		test(t, w)
	})
}

func (w world) spec(t testing.TB) sandbox.Spec {
	root := t.TempDir()
	return sandbox.Spec{
		Namespaces: w.confined, RootDir: root, Hostname: "box", Hidden: []string{filepath.Dir(root)},
		Binds: []sandbox.Bind{{Source: w.dir, Target: w.dir, Writable: true}},
	}
}

// tracing is what a traced probe did and what it said about it.
type tracing struct {
	evidence.CommandRun
	said     []string
	timedOut bool
}

// probe runs operations of the probe under the tracer; $D in them is the
// world's directory.
func (w world) probe(t testing.TB, ops ...[]string) tracing {
	t.Helper()
	var args []string
	for i, op := range ops {
		if i > 0 {
			args = append(args, ",")
		}
		args = append(args, op...)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$D", w.dir)
	}
	return w.run(t, append([]string{w.dir + "/probe"}, args...)...)
}

func (w world) run(t testing.TB, args ...string) tracing {
	t.Helper()
	digests := capture.NewDigests()
	defer digests.Close()
	trace := step.Trace{
		Spec: w.spec(t), Backend: w.backend, Timeout: w.timeout, Linger: w.linger, Watched: w.watched, Digests: digests,
		Commands: []step.Command{{Command: sandbox.Command{
			Args: args, Env: []string{"PATH=/usr/bin:/bin", "HOME=/root"}, Dir: w.dir,
		}}},
	}
	recording, err := trace.Run(t.Context())
	needSandbox(t, err)
	if err != nil {
		t.Fatalf("trace %q: %v", args, err)
	}
	said := strings.Split(strings.TrimSuffix(recording.Command.Stdout, "\n"), "\n")
	return tracing{recording.Command, said, recording.TimedOut}
}

// needSandbox skips where the machine does not allow the sandbox.
func needSandbox(t testing.TB, err error) {
	t.Helper()
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
}

// errnos are the results that the probe printed for an operation.
func (r tracing) errnos(op string) []string {
	var list []string
	for _, line := range r.said {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == op {
			list = append(list, fields[1])
		}
	}
	return list
}

// wholly fails the test when anything was lost or refused.
func (r tracing) wholly(t testing.TB) {
	t.Helper()
	c := r.Coverage
	if !c.Complete || len(c.Losses) > 0 || len(c.Limits) > 0 || len(c.Refusals) > 0 {
		t.Errorf("coverage: complete %v, losses %v, limits %v, refusals %v", c.Complete, c.Losses, c.Limits, c.Refusals)
	}
}

// events are the events of all processes as "name detail" with refusals.
func (r tracing) events() []string {
	var list []string
	for _, p := range r.Processes {
		for _, e := range p.SyscallEvents {
			list = append(list, strings.Join(strings.Fields(e.Syscall+" "+e.Detail+" "+e.Refused), " "))
		}
	}
	return list
}

func errnoText(errno string) string {
	if errno == "" {
		return "0"
	}
	return errno
}

// attach records one probe with options of its own, without a step.
func (w world) attach(t *testing.T, o capture.Options, ops ...string) ([]evidence.Process, evidence.Coverage) {
	t.Helper()
	box, err := sandbox.Start(context.Background(), w.spec(t))
	needSandbox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	raw, err := capture.Filter(w.backend)
	if err != nil {
		t.Fatal(err)
	}
	var filter []sandbox.Instruction
	for _, i := range raw {
		filter = append(filter, sandbox.Instruction{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	o.Redact = func(args []string) []string { return args }
	o.RedactEnviron = func(list []string) string { return strings.Join(list, " ") }
	o.Stop = func() { _ = box.Kill() }
	supervisor, err := capture.New(o)
	if err != nil {
		t.Fatal(err)
	}
	running, err := box.Run(sandbox.Command{Args: append([]string{w.dir + "/probe"}, ops...), Dir: w.dir, Filter: filter, Ptrace: w.backend == capture.Ptrace})
	if err != nil {
		t.Fatal(err)
	}
	if w.backend == capture.Ptrace {
		err = supervisor.AttachPtrace(t.Context(), running.Thread, running.Go)
	} else {
		err = supervisor.Attach(t.Context(), running.Notify)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	return supervisor.Finish(func(string) (int, error) { return -1, unix.ENOENT })
}

// An ordinary user has no right over the traced processes but the ownership of
// their user namespace, so what must hold is run again without root.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else: the other tests run as an ordinary user already")
	}
	w := newWorld(t, true)
	for dir := w.dir; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(w.dir, "capture.test")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-test.count=1",
		"-test.run=^(TestOpens|TestChanges|TestPrograms|TestPrograms.*|TestProcesses|TestConnections|TestEvents|TestRefusals|TestDigests)$")
	command.Dir = w.dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + w.dir, "HOME=" + w.dir, probeVariable + "=" + w.dir + "/probe"}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := command.CombinedOutput()
	if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("PASS")) {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
