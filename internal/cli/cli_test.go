package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"pip-witness/internal/sandbox"
	"pip-witness/internal/seal"
	"pip-witness/internal/testpkg"
)

func TestMain(m *testing.M) {
	sandbox.Main() // the program runs itself again as the parts of a sandbox
	seal.Main()    // and as the signer
	testscript.Main(m, map[string]func(){
		"pip-witness": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// shared is what several scripts start from, made once: a key pair, a policy
// that it signed, and the evidence of a package that passes.
type shared struct {
	dir     string
	machine func() error // why no package can be checked here; nil when one can
	keys    func() error
	passed  func() error
}

func newShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{dir: t.TempDir()}
	s.machine = sync.OnceValue(func() error { return s.run("doctor") })
	s.keys = sync.OnceValue(func() error {
		return errors.Join(
			s.run("keygen", "--out", "key.pem"), s.run("keygen", "--out", "other.pem", "--type", "ecdsa-p256"),
			s.run("policy", "init", "-o", "src.json"),
			s.run("policy", "compile", "src.json", "--functionary", "key.pub", "-o", "compiled.json"),
			s.run("policy", "sign", "compiled.json", "--key", "key.pem", "-o", "policy.json"),
		)
	})
	s.passed = sync.OnceValue(func() error {
		wheel, err := build("testpkg-plain", s.dir)
		if err != nil {
			return err
		}
		return errors.Join(s.keys(), s.run("check", "--no-index", wheel, "--key", "key.pem", "--policy", "policy.json",
			"--public-key", "key.pub", "--evidence", "evidence", "--linger", "1s", "-o", "json=verdict.json"))
	})
	return s
}

func (s *shared) run(args ...string) error {
	command := exec.Command("pip-witness", args...)
	command.Dir = s.dir
	command.Env = append(os.Environ(), "HOME="+s.dir, "PIP_CONFIG_FILE="+os.DevNull)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("pip-witness %q: %w\n%s", args, err, out)
	}
	return nil
}

// TestScripts drives the program by the transcripts of testdata. Whatever a
// script asks for, `exits` also checks what must hold of every command.
func TestScripts(t *testing.T) {
	s := newShared(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, ".home")
			for _, kv := range [...][2]string{
				{"HOME", home}, {"XDG_STATE_HOME", ""}, {"XDG_CACHE_HOME", ""}, {"NO_COLOR", ""}, {"CLICOLOR_FORCE", ""},
				{"PIP_CONFIG_FILE", os.DevNull}, {"PIP_RETRIES", "0"}, {"PIP_TIMEOUT", "5"},
			} {
				e.Setenv(kv[0], kv[1])
			}
			return os.Mkdir(home, 0o700)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "sandbox": // scripts that check packages skip where that cannot be done
				return s.machine() == nil, nil
			case "root":
				return os.Geteuid() == 0, nil
			case "tmpfs":
				return canMount(t), nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "fills": fills, "interrupts": interruptsCommand, "screen": screen, "testpkg": testpkgCommand,
			"keys": s.keysCommand, "evidence": s.evidenceCommand, "tamper": tamper, "sparse": sparse, "tmpfs": tmpfs,
			"authority": authorityCommand, "json": jsonCommand, "samejson": sameJSON, "edit": edit, "names": names, "says": says,
			"osvzip": osvzip,
		},
	})
}

// exits CODE ARG… runs the program and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, rest := wanted(ts, neg, args, "exits CODE ARG…")
	err := ts.Exec("pip-witness", rest...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("pip-witness %q: %v", rest, err)
	}
	examine(ts, rest, want, code, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}

func wanted(ts *testscript.TestScript, neg bool, args []string, use string) (int, []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: %s", use)
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	return code, args[1:]
}

// left are temporary files of something that was not written to its end.
var left = regexp.MustCompile(`^\..*\.tmp[0-9]+$`)

// examine checks the exit code and what holds of every command: an error is one
// that the program explains, PASS and exit code 0 go together, and nothing is
// left behind.
func examine(ts *testscript.TestScript, args []string, want, code int, stdout, stderr string) {
	if code != want {
		ts.Fatalf("pip-witness %q: exit code %d, want %d", args, code, want)
	}
	explained := strings.Count(stderr, "pip-witness: error: ")
	switch {
	case explained > 1:
		ts.Fatalf("%d errors, want one", explained)
	case explained == 1 && code < 2:
		ts.Fatalf("an error with exit code %d", code)
	case explained == 0 && slices.Contains([]int{exitUsage, exitInternal, exitInterrupt}, code) && len(args) > 0 && args[0] != "run" && args[0] != "policy":
		ts.Fatalf("exit code %d without an error", code)
	}
	passed := strings.HasPrefix(stdout, "PASS") || strings.HasPrefix(stdout, "{\n  \"verdict\": \"pass\"")
	if passed && code != 0 {
		ts.Fatalf("PASS with exit code %d", code)
	}
	for _, noise := range []string{"panic:", "goroutine ", "runtime error", "%!", "<nil>", "Go struct field"} {
		if strings.Contains(stdout+stderr, noise) {
			ts.Fatalf("the output has %q", noise)
		}
	}
	entries, err := os.ReadDir(ts.Getenv("TMPDIR"))
	ts.Check(err)
	if len(entries) > 0 {
		ts.Fatalf("left in TMPDIR: %v", entries)
	}
	err = filepath.WalkDir(ts.Getenv("WORK"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && left.MatchString(filepath.Base(path)) {
			return fmt.Errorf("left behind: %q", path)
		}
		return err
	})
	ts.Check(err)
}

// fills CODE ARG… is exits with a standard output that is always full.
func fills(ts *testscript.TestScript, neg bool, args []string) {
	want, rest := wanted(ts, neg, args, "fills CODE ARG…")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	ts.Check(err)
	defer full.Close()
	command, stderr := program(ts, rest)
	command.Stdout = full
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	fmt.Fprint(ts.Stderr(), stderr.String()) // for the next `stderr`
	examine(ts, rest, want, command.ProcessState.ExitCode(), "", stderr.String())
}

// program is the program in the script's own world.
func program(ts *testscript.TestScript, args []string) (*exec.Cmd, *bytes.Buffer) {
	path, err := exec.LookPath("pip-witness")
	ts.Check(err)
	var stderr bytes.Buffer
	command := exec.Command(path, args...)
	command.Dir, command.Stderr = ts.MkAbs("."), &stderr
	command.Env = os.Environ()
	for _, name := range []string{"HOME", "TMPDIR", "PIP_CONFIG_FILE", "PIP_RETRIES", "XDG_STATE_HOME", "XDG_CACHE_HOME"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	return command, &stderr
}

// interrupts SIGNAL TEXT CODE ARG… starts the program, sends it the signal when
// one of its processes has the text in its command line, and wants the exit code
// and the end of every process of the run. SIGINT goes to the process group, as
// from a terminal.
func interruptsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: interrupts SIGNAL TEXT CODE ARG…")
	}
	signal, text := unix.SignalNum(args[0]), args[1]
	want, rest := wanted(ts, neg, args[2:], "interrupts SIGNAL TEXT CODE ARG…")
	command, stderr := program(ts, rest)
	var stdout bytes.Buffer
	command.Stdout = &stdout
	ts.Check(command.Start())
	pid := command.Process.Pid
	defer unix.Kill(-pid, unix.SIGKILL)
	family := awaitProcess(ts, pid, text)
	target := pid
	if signal == unix.SIGINT {
		target = -pid
	}
	ts.Check(unix.Kill(target, signal))
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		ts.Fatalf("it goes on after %s", args[0])
	}
	examine(ts, rest, want, command.ProcessState.ExitCode(), stdout.String(), stderr.String())
	for p, started := range family {
		if now, ok := processes()[p]; ok && now.started == started {
			ts.Fatalf("process %d (%s) outlived the run", p, now.command)
		}
	}
}

// process is a line of /proc.
type process struct {
	parent           int
	started, command string
}

// processes are those of the machine.
func processes() map[int]process {
	all := map[int]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third, the state
		if len(fields) < 20 || fields[0] == "Z" {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		all[pid] = process{parent, fields[19], strings.ReplaceAll(string(command), "\x00", " ")}
	}
	return all
}

// awaitProcess waits for a descendant with that text in its command line, and
// returns all of the family with their start times.
func awaitProcess(ts *testscript.TestScript, root int, text string) map[int]string {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all, family, found := processes(), map[int]string{}, false
		for pid, p := range all {
			for at, steps := pid, 0; at > 1 && steps < 100; at, steps = all[at].parent, steps+1 {
				if at == root {
					family[pid] = p.started
					found = found || pid != root && strings.Contains(p.command, text)
				}
			}
		}
		if found {
			return family
		}
	}
	ts.Fatalf("no process with %q was started", text)
	return nil
}

// says PATTERN is `stdout PATTERN` on a text whose lines are joined, because they
// wrap where a path has another length on another machine.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: says PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	if !pattern.MatchString(strings.Join(strings.Fields(ts.ReadFile("stdout")), " ")) {
		ts.Fatalf("no match for %q in the joined output", args[0])
	}
}

// screen wants the last standard output to fit a screen.
func screen(ts *testscript.TestScript, _ bool, _ []string) {
	lines := strings.Split(strings.TrimRight(ts.ReadFile("stdout"), "\n"), "\n")
	if len(lines) > 60 {
		ts.Fatalf("%d lines, want at most 60", len(lines))
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 100 {
			ts.Fatalf("%d characters, want at most 100: %s", n, line)
		}
	}
}

// testpkgCommand NAME[==VERSION] DIR builds a package of the catalogue.
func testpkgCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: testpkg NAME[==VERSION] DIR")
	}
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o755))
	_, err := build(args[0], dir)
	ts.Check(err)
}

// attackThenFail attacks while it is built, and then the build fails.
const attackThenFail = "testpkg-attack-then-fail"

func build(name, dir string) (string, error) {
	name, version, _ := strings.Cut(name, "==")
	source := name
	if name == attackThenFail {
		source = "testpkg-attack-backend"
	}
	p, err := testpkg.Find(source)
	if err != nil {
		return "", err
	}
	switch archive := p.Archive.(type) {
	case testpkg.Wheel:
		if version != "" {
			archive.Version = version
			p.Archive = archive
		}
	case testpkg.InTree:
		if name == attackThenFail {
			archive.Hook += "\nraise RuntimeError('this build fails after its attack')\n"
			p.Archive = archive
		}
	}
	return p.Build(dir)
}

// keysCommand copies key.pem, key.pub, other.pem, other.pub, src.json,
// compiled.json and policy.json into the script's directory.
func (s *shared) keysCommand(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(s.keys())
	for _, name := range []string{"key.pem", "key.pub", "other.pem", "other.pub", "src.json", "compiled.json", "policy.json"} {
		copyFile(ts, filepath.Join(s.dir, name), ts.MkAbs(name))
	}
}

// evidenceCommand DIR copies the shared evidence, signed with the shared key;
// what `check` said of it is DIR.verdict.json.
func (s *shared) evidenceCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: evidence DIR")
	}
	ts.Check(s.passed())
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(filepath.Join(s.dir, "evidence"))))
	copyFile(ts, filepath.Join(s.dir, "verdict.json"), ts.MkAbs(args[0]+".verdict.json"))
}

func copyFile(ts *testscript.TestScript, from, to string) {
	data, err := os.ReadFile(from)
	ts.Check(err)
	ts.Check(os.WriteFile(to, data, 0o600))
}

// tamper KIND FILE changes one thing of an envelope.
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tamper KIND FILE")
	}
	path := ts.MkAbs(args[1])
	var e struct {
		PayloadType string              `json:"payloadType"`
		Payload     []byte              `json:"payload"`
		Signatures  []map[string]string `json:"signatures"`
	}
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(json.Unmarshal(data, &e))
	digest := regexp.MustCompile(`"sha256": ?"[0-9a-f]`)
	switch args[0] {
	case "payload":
		e.Payload[len(e.Payload)/2] ^= 1
	case "subject":
		at := digest.FindIndex(e.Payload)[1] - 1
		if e.Payload[at] ^= 1; e.Payload[at] > '9' && e.Payload[at] < 'a' {
			e.Payload[at] = '0'
		}
	case "type":
		e.PayloadType = "text/plain"
	case "signature":
		e.Signatures[0]["sig"] = strings.Repeat("A", 86) + "=="
	case "unsigned":
		e.Signatures = []map[string]string{}
	default:
		ts.Fatalf("tamper: no kind %q", args[0])
	}
	data, err = json.Marshal(e)
	ts.Check(err)
	ts.Check(os.WriteFile(path, data, 0o600))
}

// sparse FILE SIZE makes a file of so many MiB that takes no room.
func sparse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sparse FILE MIB")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(path, nil, 0o600))
	ts.Check(os.Truncate(path, size<<20))
}

// canMount tells whether a small disk can be made.
func canMount(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=4k"); err != nil {
		return false
	}
	return unix.Unmount(dir, unix.MNT_DETACH) == nil
}

// tmpfs DIR SIZE mounts a small disk there until the script ends.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("none", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
}

// jsonCommand FILE PATH VALUE wants that value there; "*" is any, and "[N]" a
// list or an object of N elements. PATH is keys and numbers joined by dots.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for key := range strings.SplitSeq(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			value, ok := at[key]
			if !ok {
				ts.Fatalf("%s: no %q in %s", args[0], key, args[1])
			}
			v = value
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n >= len(at) {
				ts.Fatalf("%s: no element %q in %s", args[0], key, args[1])
			}
			v = at[n]
		default:
			ts.Fatalf("%s: %s leads into %T", args[0], args[1], v)
		}
	}
	got := fmt.Sprint(v)
	switch at := v.(type) {
	case []any:
		got = fmt.Sprintf("[%d]", len(at))
	case map[string]any:
		got = fmt.Sprintf("[%d]", len(at))
	}
	if args[2] != "*" && got != args[2] {
		ts.Fatalf("%s: %s is %s, want %s", args[0], args[1], got, args[2])
	}
}

// sameJSON A B KEY… wants equal objects, the keys at the top aside.
func sameJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: samejson A B KEY…")
	}
	var objects [2]map[string]any
	for i := range objects {
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &objects[i]))
		for _, key := range args[2:] {
			delete(objects[i], key)
		}
	}
	if diff := cmp.Diff(objects[0], objects[1]); diff != "" {
		ts.Fatalf("%s and %s differ:\n%s", args[0], args[1], diff)
	}
}

// edit FILE PATTERN NEW replaces what the pattern matches exactly once.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE PATTERN NEW")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	text := ts.ReadFile(args[0])
	if n := len(pattern.FindAllStringIndex(text, -1)); n != 1 {
		ts.Fatalf("%s has %q %d times, want once", args[0], args[1], n)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(pattern.ReplaceAllString(text, args[2])), 0o600))
}

// names DIR NAME… wants exactly these files in the directory.
func names(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: names DIR NAME…")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(args[1:])), got, cmpopts.EquateEmpty()); diff != "" {
		ts.Fatalf("%s (-want +got):\n%s", args[0], diff)
	}
}
