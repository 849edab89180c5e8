package conformance

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	os.Exit(m.Run())
}

var update = flag.Bool("update", false, "write docs/coverage.md anew")

// behaviour is one way of a process to act.
type behaviour struct {
	// name is that of its program in testdata, unless program is set.
	name    string
	program string
	title   string
	// args are given to the program before the directory; $HOST in them is the
	// directory outside of the sandbox, see outside, $MANY the size of a flood.
	args []string
	// exit is the status that the command must end with.
	exit int
	// unobserved is the class of coverage.NotTrapped to which facts of the kind
	// "unseen" belong.
	unobserved string
	// unobservedBy is the one backend that does not observe the behaviour; empty when
	// none does.
	unobservedBy capture.Backend
	// company gives the program a second thread, so that nothing that it passes to the
	// kernel is its own: see truth.h.
	company bool
	// ignore are kinds of lines that this behaviour says nothing about.
	ignore []string
	// check looks at what the facts do not say; nil for nothing.
	check func(*testing.T, run)
}

// source is the name of the behaviour's program.
func (b behaviour) source() string {
	if b.program != "" {
		return b.program
	}
	return b.name
}

// inCompany are the behaviours again, of programs with a second thread.
func inCompany(list []behaviour) []behaviour {
	list = slices.Clone(list)
	for i := range list {
		b := &list[i]
		b.program, b.name, b.company = b.source(), b.name+"-threaded", true
	}
	return list
}

// section is a chapter of the report.
type section struct {
	title      string
	behaviours []behaviour
}

// sections lists every behaviour of the suite.
func sections() []section {
	return []section{
		{"Opening", opening()},
		{"Reading and writing", contents()},
		{"Changing names and attributes", changing()},
		{"Running programs", running()},
		{"Making processes", begetting()},
		{"Network", network()},
		{"Ways around the tables", bypasses()},
		{"Looking into other processes", introspection()},
		{"Races", races()},
		{"Floods", floods()},
		{"Attempts on the supervisor and on init", supervisor()},
		{"Attempts on the sandbox", escapes()},
		{"With a second thread: opening", inCompany(opening())},
		{"With a second thread: reading and writing", inCompany(contents())},
		{"With a second thread: changing names and attributes", inCompany(changing())},
		{"With a second thread: running programs", inCompany(running())},
		{"With a second thread: network", inCompany(network())},
	}
}

// traced is the run of a trace under one backend.
func traced(t *testing.T, backend capture.Backend, trace step.Trace) *step.Recording {
	t.Helper()
	recording, err := trace.Run(t.Context())
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
	if err != nil {
		t.Fatalf("trace: %v", err)
	}
	if used := recording.Command.Coverage.Backend; used != string(backend) {
		t.Fatalf("the backend %q recorded, want %q", used, backend)
	}
	return recording
}

// programsVariable names a directory of programs that are compiled already, for a
// test binary that another one started.
const programsVariable = "PIP_WITNESS_TEST_PROGRAMS"

// TestConformance runs every behaviour against every backend, and then compares
// docs/coverage.md with what became of them.
func TestConformance(t *testing.T) {
	programs := os.Getenv(programsVariable)
	if programs == "" {
		needCompiler(t)
		programs = t.TempDir()
	}
	report := newReport()
	for _, backend := range capture.Backends() {
		t.Run(string(backend), func(t *testing.T) {
			for _, s := range sections() {
				for _, b := range s.behaviours {
					t.Run(b.name, func(t *testing.T) {
						var r run
						// Also of a run that ended early.
						defer func() { report.add(backend, b, r, t.Failed(), t.Skipped()) }()
						r = b.run(t, backend, programs)
						r.verify(t, b)
					})
				}
			}
		})
	}
	t.Run("ordinary-user", func(t *testing.T) { ordinaryUser(t, programs) })
	t.Run("docs", func(t *testing.T) { report.compare(t) })
}

// needCompiler skips where no static program can be made.
func needCompiler(t *testing.T) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "empty.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-static", "-o", source+".out", source).CombinedOutput(); err != nil {
		t.Skipf("needs gcc and a static C library: %v: %s", err, out)
	}
}

// compile makes a program of testdata once.
func compile(t *testing.T, programs, name string) string {
	t.Helper()
	path := filepath.Join(programs, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	source := filepath.Join("testdata", name+".c")
	out, err := exec.Command("gcc", "-O1", "-Wall", "-Werror", "-static", "-pthread", "-o", path, source).CombinedOutput()
	if err != nil {
		t.Fatalf("compile %q: %v: %s", source, err, out)
	}
	return path
}

// run is what one program did, said and left behind.
type run struct {
	evidence.CommandRun
	backend  capture.Backend
	dir      string // of the files that it acts on, the same path inside and outside
	program  string // its path
	digest   string // of the program, SHA-256
	facts    []fact
	timedOut bool
	stopped  bool
	took     time.Duration
	host     outside
}

// run runs the behaviour's program in a furnished directory, and holds the world
// outside to what it was.
func (b behaviour) run(t *testing.T, backend capture.Backend, programs string) run {
	t.Helper()
	name := b.source()
	compiled := compile(t, programs, name)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	furnish(t, dir)
	r := run{backend: backend, dir: dir, program: filepath.Join(dir, name), host: newOutside(t)}
	text, err := os.ReadFile(compiled)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	r.digest = digestOf(text)
	args := []string{r.program}
	for _, a := range b.args {
		args = append(args, strings.ReplaceAll(r.host.expand(a), "$MANY", many(backend)))
	}
	environ := []string{"PATH=/usr/bin:/bin", "HOME=/root"}
	if b.company {
		environ = append(environ, "THREAD=1")
	}
	digests := capture.NewDigests()
	defer digests.Close()
	root := t.TempDir()
	var namespace *os.File // held, so that its number means no other one
	trace := step.Trace{
		Backend: backend,
		Spec: sandbox.Spec{
			Namespaces: true, RootDir: root, Hostname: "box", Hidden: []string{filepath.Dir(root)},
			Binds: []sandbox.Bind{{Source: dir, Target: dir, Writable: true}},
		},
		Commands: []step.Command{{Command: sandbox.Command{
			Args: append(args, dir), Env: environ, Dir: dir,
		}}},
		Before: func(init int) error {
			namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/pid", init))
			return err
		},
		Timeout: 5 * time.Minute, Linger: 5 * time.Second, Watched: watched, Digests: digests,
	}
	start := time.Now()
	defer func() { namespace.Close() }()
	recording := traced(t, backend, trace)
	r.took = time.Since(start)
	r.CommandRun, r.timedOut, r.stopped = recording.Command, recording.TimedOut, recording.Stopped
	r.facts = parseFacts(t, r.Stdout)
	if b.unobservedBy == backend {
		for i := range r.facts {
			if r.facts[i].kind == "count" {
				r.facts[i].kind = "unseen"
			}
		}
	}
	r.host.unchanged(t, namespace, dir, root)
	return r
}

// many is the size of the largest flood; each call costs more under ptrace.
func many(backend capture.Backend) string {
	if backend == capture.Ptrace {
		return "200000"
	}
	return "1000000"
}

// watched is the table of credentials of this suite.
func watched(path string) bool {
	return strings.HasSuffix(path, "/id_rsa") || strings.HasSuffix(path, "/secret")
}

// furnish makes the files that programs act on.
func furnish(t *testing.T, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(in("file"), []byte("content"), 0o644),
		os.WriteFile(in("other"), []byte("other"), 0o644),
		os.WriteFile(in("plain"), []byte("no program"), 0o755),
		os.WriteFile(in("secret"), nil, 0),
		os.WriteFile(in("readonly"), []byte("r"), 0o444),
		os.Link(in("file"), in("hard")),
		os.Mkdir(in("dir"), 0o755),
		os.WriteFile(in("dir/inner"), []byte("inner"), 0o644),
		os.Mkdir(in("empty"), 0o755),
		os.Mkdir(in("frozen"), 0o555),
		os.Symlink("file", in("link")),
		os.Symlink(in("file"), in("absolute")),
		os.Symlink("dir", in("dirlink")),
		os.Symlink("dirlink/../link", in("winding")),
		os.Symlink("missing", in("dangling")),
		os.Symlink("loop", in("loop")),
		unix.Mknod(in("socket"), unix.S_IFSOCK|0o644, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(in("frozen"), 0o755) }) // so that an ordinary user can remove it
}

// outside is the part of the world that no program may change: a directory of
// the host with a key, and the state that is shared by the whole machine.
type outside struct {
	dir       string
	state     map[string]string
	listeners []deadlineListener
	abstract  string
	port      int
}

// deadlineListener is a listener of the net package.
type deadlineListener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// keyText is the content of a key that no sandbox can see.
const keyText = "conformance key, not for those inside\n"

func newOutside(t *testing.T) outside {
	t.Helper()
	dir, err := os.MkdirTemp("", "outside-") // short: the path of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is below the system's own directory for that
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(keyText), 0o600); err != nil {
		t.Fatal(err)
	}
	// Whoever starts this program may have left a descriptor open for its children;
	// those inside must not find it.
	left, err := unix.Open(filepath.Join(dir, "key.pem"), unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(left) }) // nothing was written
	o := outside{dir: dir, abstract: "@conformance-" + strconv.Itoa(os.Getpid())}
	for _, at := range [][2]string{{"unix", filepath.Join(dir, "docker.sock")}, {"unix", o.abstract}, {"tcp4", "127.0.0.1:0"}} {
		listener, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() }) // nothing was sent or is expected
		o.listeners = append(o.listeners, listener.(deadlineListener))
		if address, ok := listener.Addr().(*net.TCPAddr); ok {
			o.port = address.Port
		}
	}
	o.state = o.look(t)
	return o
}

// expand puts what only the host knows into an argument.
func (o outside) expand(arg string) string {
	return strings.NewReplacer(
		"$HOST", o.dir, "$PID", strconv.Itoa(os.Getpid()), "$ABSTRACT", o.abstract, "$PORT", strconv.Itoa(o.port),
	).Replace(arg)
}

// look describes what must stay: identity and rights of files and directories,
// size and times of files, the names in directories (their times are those of
// anybody on the machine), and the content of what the kernel shows of itself.
func (o outside) look(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, path := range []string{
		"/", "/etc", "/etc/passwd", "/etc/hostname", "/usr", "/usr/bin", "/usr/bin/env", "/var", "/opt", "/root", "/home",
		o.dir, filepath.Join(o.dir, "key.pem"),
	} {
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); err != nil {
			state[path] = err.Error()
			continue
		}
		state[path] = fmt.Sprint(s.Dev, s.Ino, s.Mode, s.Uid, s.Gid)
		if s.Mode&unix.S_IFMT != unix.S_IFDIR {
			state[path] += fmt.Sprint(s.Size, s.Mtim, s.Ctim)
			continue
		}
		entries, err := os.ReadDir(path)
		for _, e := range entries {
			state[path] += " " + e.Name()
		}
		state[path] += fmt.Sprint(err)
	}
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
		"/proc/swaps", "/proc/modules", "/sys/fs/cgroup/memory/release_agent", filepath.Join(o.dir, "key.pem"),
	} {
		text, err := os.ReadFile(path)
		state["content of "+path] = fmt.Sprint(string(text), err)
	}
	limit := unix.Rlimit{}
	state["limit"] = fmt.Sprint(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit), limit)
	return state
}

// unchanged fails the test for any difference, for a mount that is left on the
// directories of the run, and for a process that is left of the pid namespace.
func (o outside) unchanged(t *testing.T, namespace *os.File, dirs ...string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, o.dir) {
		if strings.Contains(string(mounts), dir) {
			t.Errorf("a mount is left on %q: %s", dir, mounts)
		}
	}
	for name, now := range o.look(t) {
		if before := o.state[name]; now != before {
			t.Errorf("%s changed outside: %q, then %q", name, before, now)
		}
	}
	for _, listener := range o.listeners {
		if err := listener.SetDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if connection, err := listener.Accept(); err == nil {
			connection.Close()
			t.Errorf("somebody inside connected to %v outside", listener.Addr())
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := namespace.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if ns, err := os.Stat("/proc/" + e.Name() + "/ns/pid"); err == nil && os.SameFile(ns, ours) {
			t.Errorf("process %s is left of the pid namespace of the run", e.Name())
		}
	}
}
