package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/store"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// TestNothingEscapes checks a package that tries every way out, as root and as an
// ordinary user: the host is as before, every attempt is in the evidence, and the
// verdict is fail.
func TestNothingEscapes(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := interpreter.Discover(t.Context(), python); err != nil {
		t.Skipf("needs %s with venv and pip, which every user can run: %v", python, err)
	}
	users := []int{os.Getuid()}
	if os.Getuid() == 0 {
		users = append(users, nobody)
	}
	for _, uid := range users {
		t.Run(map[bool]string{true: "root", false: "user"}[uid == 0], func(t *testing.T) {
			// The session keyring is one of the thread's, which ends with this test.
			runtime.LockOSThread()
			w := newEscapeWorld(t, uid)
			before, sockets := look(t, w.home, w.temp, w.place), ownerlessSockets(t)
			answer := w.check(t, python)
			if left := awaitNobody(t, 30*time.Second, w.known()...); len(left) > 0 {
				t.Errorf("processes of the run are left: %+v", left)
			}
			w.hostIsAsBefore(t, before, sockets)
			w.nobodyWasReached(t)
			w.everythingIsRecorded(t, answer)
		})
	}
}

// escapePrefix begins the names of the directories of these tests.
const escapePrefix = "escape-test-"

// escapeWorld is what a test puts around a check to see whether it gets out.
type escapeWorld struct {
	uid     int
	dir     string // the binary, the package, home and temp
	home    string // of the user who checks
	temp    string // TMPDIR of that user
	place   string // what the sandbox shows read-only
	binary  string
	sdist   string
	targets testpkg.EscapeTargets
	session int // the session keyring
	sleeper *exec.Cmd

	mu      sync.Mutex
	reached map[string]int // connections and datagrams, by the attempt that would be it
}

func newEscapeWorld(t *testing.T, uid int) *escapeWorld {
	t.Helper()
	w := &escapeWorld{uid: uid, reached: map[string]int{}}
	fatal := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.dir, err = os.MkdirTemp("", escapePrefix)
	fatal(err)
	t.Cleanup(func() { os.RemoveAll(w.dir) })
	// Not below the temporary directory, which the sandbox hides.
	w.place, err = os.MkdirTemp("/var/tmp", escapePrefix)
	fatal(err)
	t.Cleanup(func() { os.RemoveAll(w.place) })
	w.binary, w.home, w.temp = filepath.Join(w.dir, "pip-witness"), filepath.Join(w.dir, "home"), filepath.Join(w.dir, "temp")
	if out, err := exec.Command("go", "build", "-o", w.binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	fatal(os.Mkdir(w.home, 0o755), os.Mkdir(w.temp, 0o755), os.Chmod(w.dir, 0o755), os.Chmod(w.place, 0o755))
	for _, name := range []string{filepath.Join(w.home, ".profile"), filepath.Join(w.temp, "victim"), filepath.Join(w.place, "victim")} {
		fatal(os.WriteFile(name, []byte("as it was\n"), 0o644))
	}
	w.targets = testpkg.EscapeTargets{
		Abstract: filepath.Base(w.place), Directories: []string{w.temp}, Depth: 2_000, Key: filepath.Base(w.place),
		Files:   []string{filepath.Join(w.temp, "victim"), filepath.Join(w.place, "victim")},
		Sockets: []string{filepath.Join(w.place, "socket")}, Fifos: []string{filepath.Join(w.place, "fifo")},
	}
	if os.Getenv("PIP_WITNESS_E2E") != "" {
		w.targets.Depth = 10_000 // each is recorded, which takes a while; 2,000 are longer than a path may be as well
	}
	w.listen(t)
	fatal(unix.Mkfifo(w.targets.Fifos[0], 0o666), os.Chmod(w.targets.Fifos[0], 0o666), os.Chmod(w.targets.Sockets[0], 0o777))
	reader, err := unix.Open(w.targets.Fifos[0], unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // without a reader nobody can write
	fatal(err)
	t.Cleanup(func() { unix.Close(reader) })
	if os.Getuid() == 0 {
		device := filepath.Join(w.place, "null")
		fatal(unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chmod(device, 0o666))
		w.targets.Devices = []string{device}
		for _, path := range []string{w.home, filepath.Join(w.home, ".profile"), w.temp, w.targets.Files[0], w.targets.Files[1], w.place} {
			fatal(os.Chown(path, uid, uid))
		}
	}
	w.makeGroups(t)
	disks, err := filepath.Glob("/sys/block/*")
	fatal(err)
	for _, d := range disks {
		w.targets.Disks = append(w.targets.Disks, "/dev/"+filepath.Base(d))
	}
	w.sleeper = exec.Command("sleep", "1800")
	w.sleeper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		w.sleeper.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	fatal(w.sleeper.Start())
	t.Cleanup(func() { _, _ = w.sleeper.Process.Kill(), w.sleeper.Wait() })
	w.targets.Pids = []int{w.sleeper.Process.Pid}
	w.joinKeyring(t)
	p, err := testpkg.Escape(w.targets)
	fatal(err)
	w.sdist, err = p.Build(w.dir)
	fatal(err)
	adoptOrphans(t)
	return w
}

// known are children of this test that are not of the check.
func (w *escapeWorld) known() []int { return []int{w.sleeper.Process.Pid} }

// listen opens the sockets that nobody inside may reach.
func (w *escapeWorld) listen(t *testing.T) {
	t.Helper()
	accept := func(attempt, network, address string) net.Addr {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				connection.Close()
				w.reach(attempt)
			}
		}()
		return listener.Addr()
	}
	tcp, ok := accept("connect loopback", "tcp4", "127.0.0.1:0").(*net.TCPAddr)
	if !ok {
		t.Fatal("a TCP listener has no TCP address")
	}
	w.targets.Port = tcp.Port
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		accept("connect loopback 6", "tcp6", fmt.Sprintf("[::1]:%d", tcp.Port))
	}
	accept("connect abstract", "unix", "@"+w.targets.Abstract)
	accept("connect "+w.targets.Sockets[0], "unix", w.targets.Sockets[0])
	datagrams, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", tcp.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	go func() {
		for {
			if _, _, err := datagrams.ReadFrom(make([]byte, 64)); err != nil {
				return
			}
			w.reach("send loopback")
		}
	}()
}

func (w *escapeWorld) reach(attempt string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached[attempt]++
}

// makeGroups makes a control group of the test's own in each hierarchy; only root
// can, and only root inside could write to them.
func (w *escapeWorld) makeGroups(t *testing.T) {
	t.Helper()
	for _, m := range groupMounts(t) {
		w.targets.Cgroups = append(w.targets.Cgroups, m.point)
		group := filepath.Join(m.point, filepath.Base(w.place))
		if os.Getuid() != 0 || os.Mkdir(group, 0o755) != nil {
			continue // mounted read-only, or one that has no groups
		}
		t.Cleanup(func() {
			if err := os.Remove(group); err != nil {
				t.Error(err)
			}
		})
		file, text := "notify_on_release", "1"
		if m.kind == "cgroup2" {
			file, text = "cgroup.max.descendants", "7"
		}
		if _, err := os.Stat(filepath.Join(group, file)); err == nil {
			w.targets.Groups = append(w.targets.Groups, testpkg.GroupWrite{
				Kind: m.kind, Options: m.options, File: filepath.Join(filepath.Base(group), file), Text: text,
			})
		}
	}
}

// joinKeyring gives the calling thread, and so the check, a session keyring with
// one key, as a login has.
func (w *escapeWorld) joinKeyring(t *testing.T) {
	t.Helper()
	var err error
	if w.session, err = unix.KeyctlJoinSessionKeyring(filepath.Base(w.place)); err != nil {
		t.Logf("keyrings are not compared: %v", err)
		return
	}
	if _, err := unix.AddKey("user", w.targets.Key, []byte("not a secret"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Fatal(err)
	}
	// What an ordinary user possesses it can use, as with a keyring of its login.
	const possessor = 0x3f000000
	if err := unix.KeyctlSetperm(w.session, possessor|0x003f0000); err != nil {
		t.Fatal(err)
	}
}

// keys are the contents of the session keyring.
func (w *escapeWorld) keys(t *testing.T) string {
	t.Helper()
	buffer := make([]byte, 1024)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, w.session, buffer, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", buffer[:n])
}

// check runs the built binary on the package, from the calling thread.
func (w *escapeWorld) check(t *testing.T, python string) policy.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, w.binary, "check", w.sdist, "--no-index", "--python", python, "--linger", "1s",
		"--import-env", "plain", "--format", "json", "--evidence", filepath.Join(w.evidence(), "check"))
	command.Dir = w.dir
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + w.home, "TMPDIR=" + w.temp, "XDG_CACHE_HOME=" + filepath.Join(w.evidence(), "cache")}
	command.SysProcAttr = &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.uid)}
		if err := errors.Join(os.MkdirAll(w.evidence(), 0o755), os.Chown(w.evidence(), w.uid, w.uid)); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if strings.Contains(stderr.String(), "namespaces are not permitted") {
		t.Skipf("needs a sandbox: %s", stderr.String())
	}
	var result policy.Result
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("exit %d: %v\n%s%s", command.ProcessState.ExitCode(), err, &stdout, &stderr)
	}
	if code := command.ProcessState.ExitCode(); code != 1 || result.Verdict != policy.Fail {
		t.Errorf("exit %d, verdict %s, want 1 and fail\n%s", code, result.Verdict, &stderr)
	}
	return result
}

// evidence is beside what is compared.
func (w *escapeWorld) evidence() string { return filepath.Join(w.dir, "evidence") }

func (w *escapeWorld) hostIsAsBefore(t *testing.T, before host, sockets map[string]string) {
	t.Helper()
	after := look(t, w.home, w.temp, w.place)
	// The check makes and removes its own directory there.
	delete(before, w.temp)
	delete(after, w.temp)
	for _, line := range before.differences(after) {
		t.Errorf("the host was changed: %s", line)
	}
	left := ownerlessSockets(t)
	maps.DeleteFunc(left, func(inode, _ string) bool { _, was := sockets[inode]; return was })
	if len(left) > 0 {
		time.Sleep(time.Second) // of a process of others that was just ending
		maps.DeleteFunc(left, func(inode, _ string) bool { _, still := ownerlessSockets(t)[inode]; return !still })
	}
	for _, line := range left {
		t.Errorf("a socket is left without a process: %s", line)
	}
	if w.session != 0 {
		t.Run("keyring", func(t *testing.T) {
			if keys := w.keys(t); len(keys) != 8 { // one serial number
				t.Errorf("the session keyring holds %s, want one key", keys)
			}
		})
	}
}

func (w *escapeWorld) nobodyWasReached(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for attempt, n := range w.reached {
		t.Run("reached by "+attempt, func(t *testing.T) {
			t.Errorf("it came through %d times", n)
		})
	}
	if err := w.sleeper.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process of the host: %v", err)
	}
}

// everythingIsRecorded holds the package's own account against the evidence.
func (w *escapeWorld) everythingIsRecorded(t *testing.T, result policy.Result) {
	t.Helper()
	commands := map[string]evidence.CommandRun{
		testpkg.PhaseBuild: recorded(t, filepath.Join(w.evidence(), "check", store.StepFile(StepInstall))),
	}
	imported := filepath.Join(w.evidence(), "check", store.StepFile(StepImport))
	if _, err := os.Stat(imported); err != nil {
		t.Fatalf("there is no import step: %v; problems of the install: %s", err, commands[testpkg.PhaseBuild].Stderr)
	}
	commands[testpkg.PhaseImport] = recorded(t, imported)
	outcomes := map[string]string{}
	for line := range strings.Lines(commands[testpkg.PhaseImport].Stdout) {
		line = strings.TrimRight(line, "\n")
		if end := strings.LastIndexByte(line, ' '); end > 0 {
			outcomes[line[:end]] = line[end+1:]
		}
	}
	for _, a := range w.targets.Attempts(runtime.GOARCH) {
		for phase, command := range commands {
			if a.Phase != "" && a.Phase != phase {
				continue
			}
			name := phase + " " + a.Name
			outcome, made := outcomes[name]
			delete(outcomes, name)
			if !made {
				t.Errorf("%s: the package says nothing of it", name)
			}
			if outcome == "ok" && !a.Inside {
				t.Run("succeeds "+name, func(t *testing.T) {
					t.Error("it got out")
				})
			}
			for _, s := range a.Signs {
				if s.Find(command, phase) {
					continue
				}
				t.Run("unseen "+name, func(t *testing.T) {
					if !slices.Contains(command.Coverage.Trapped, s.Call) {
						t.Skipf("needs %s among the trapped calls", s.Call)
					}
					t.Errorf("ended with %s, and the evidence has no %s", outcome, s.Text)
				})
			}
		}
	}
	for name, outcome := range outcomes {
		t.Errorf("%s: %s, of which testpkg.Attempts knows nothing", name, outcome)
	}
	for _, i := range commands[testpkg.PhaseImport].Imports {
		if i.Module != "testpkg_escape" {
			t.Errorf("the package forged a result: %+v", i)
		}
	}
	for _, rule := range []string{"CRED_PROC_MEM", "CRED_PROC_ENVIRON", "IMPORT_ESCAPE", "IMPORT_SYSCALL_EVENTS", "IMPORT_PERSISTENCE", "IMPORT_FILE_MUTATION", "IMPORT_NEW_CONNECTION", "PTH_STDLIB_TAMPER"} {
		if !slices.ContainsFunc(result.Findings, func(f policy.Finding) bool { return f.Rule == rule }) {
			t.Errorf("no finding of %s", rule)
		}
	}
}

// recorded reads the command of a step from its evidence.
func recorded(t *testing.T, path string) evidence.CommandRun {
	t.Helper()
	data, err := store.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := attestation.ParseEnvelope(data)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := attestation.ParseStatement(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		t.Fatal(err)
	}
	var command evidence.CommandRun
	for _, a := range collection.Attestations {
		if attestation.ShortName(a.Type) == "command-run" {
			if err := json.Unmarshal(a.Attestation, &command); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(command.Processes) == 0 {
		t.Fatalf("%q records no process", path)
	}
	return command
}
