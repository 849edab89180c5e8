package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/internal/interpreter"
	"pip-witness/internal/store"
	"pip-witness/internal/testpkg"
)

// killedPrefix begins the name of the directory of TestKilled.
const killedPrefix = "killed-test-"

// Moments at which TestKilled kills, and the seed of their order.
const (
	killMoments      = 25
	killMomentsShort = 6 // without PIP_WITNESS_E2E
	killSeed         = 20261125
)

// TestKilled kills the check itself, by the signal that nobody can catch, at
// moments spread over its whole life: nothing of the tracee lives on, no mount and
// no namespace is left, nothing half-written lies where the evidence goes, and
// the next check removes the directory of the dead one.
func TestKilled(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := interpreter.Discover(t.Context(), python); err != nil {
		t.Skipf("needs %s with venv and pip: %v", python, err)
	}
	adoptOrphans(t)
	k := newKilling(t, python)
	whole := k.complete(t)
	moments := rand.New(rand.NewPCG(killSeed, killSeed))
	count := killMomentsShort
	if os.Getenv("PIP_WITNESS_E2E") != "" {
		count = killMoments
	}
	mounts := mountTable(t)
	published := 0
	for i := range count {
		// One in each of as many parts of the time, at random within it.
		moment := time.Duration((float64(i) + moments.Float64()) / float64(count) * float64(whole) * 1.1)
		t.Run(fmt.Sprintf("%02d", i), func(t *testing.T) {
			t.Logf("killed after %s of %s", moment.Round(time.Millisecond), whole.Round(time.Millisecond))
			if k.kill(t, moment) {
				published++
			}
			if after := mountTable(t); after != mounts {
				t.Errorf("mounts were %s\nare %s", mounts, after)
			}
			if left := k.directories(t); len(left) > 1 {
				t.Errorf("directories of earlier runs are left as well: %q", left)
			}
		})
	}
	t.Logf("%d of %d had written evidence when they were killed", published, count)
	k.complete(t)
	if left := k.directories(t); len(left) > 0 {
		t.Errorf("the next check left the directories %q", left)
	}
}

// killing is a check that is killed again and again.
type killing struct {
	dir, binary, wheel, temp, python string
	runs                             int
}

func newKilling(t *testing.T, python string) *killing {
	t.Helper()
	dir, err := os.MkdirTemp("", killedPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &killing{dir: dir, binary: filepath.Join(dir, "pip-witness"), temp: filepath.Join(dir, "temp"), python: python}
	if out, err := exec.Command("go", "build", "-o", k.binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Mkdir(k.temp, 0o755); err != nil {
		t.Fatal(err)
	}
	if k.wheel, err = testpkg.Daemons().Build(dir); err != nil {
		t.Fatal(err)
	}
	return k
}

// command is a check with evidence in a place of its own.
func (k *killing) command() (*exec.Cmd, string) {
	k.runs++
	place := filepath.Join(k.dir, fmt.Sprintf("evidence-%d", k.runs))
	command := exec.Command(k.binary, "check", k.wheel, "--no-index", "--python", k.python, "--linger", "500ms",
		"--import-env", "plain", "--quiet", "--evidence", place)
	command.Dir = k.dir
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + k.dir, "TMPDIR=" + k.temp}
	return command, place
}

// complete runs a check to its end and returns how long it took.
func (k *killing) complete(t *testing.T) time.Duration {
	t.Helper()
	command, place := k.command()
	started := time.Now()
	out, err := command.CombinedOutput()
	took := time.Since(started)
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("namespaces are not permitted")) {
		t.Skipf("needs a sandbox: %s", out)
	}
	for _, step := range []string{StepInstall, StepImport} {
		if !there(filepath.Join(place, store.StepFile(step))) {
			t.Fatalf("exit %d and no evidence of %s\n%s", command.ProcessState.ExitCode(), step, out)
		}
	}
	if left := awaitNobody(t, 30*time.Second); len(left) > 0 {
		t.Fatalf("processes are left of a check that ended by itself: %+v", left)
	}
	return took
}

// kill starts a check, kills it after a while, and looks at what is left. It
// reports whether evidence of a step had been written.
func (k *killing) kill(t *testing.T, after time.Duration) bool {
	t.Helper()
	command, place := k.command()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	inside, killed := k.namespaces(t), sinceBoot(t)
	if err := command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = command.Wait() // killed, or ended before
	if left := awaitNobody(t, 30*time.Second); len(left) > 0 {
		t.Errorf("processes live on: %+v", left)
	}
	// What has ended keeps its namespaces until its parent has looked at it.
	inUse := func() (list []string) {
		for _, p := range processStats(t) {
			if p.started > killed {
				continue // the numbers of namespaces are used again
			}
			for _, used := range namespacesOf(t, p.pid) {
				if inside[used] {
					list = append(list, fmt.Sprintf("%s by %+v", used, p))
				}
			}
		}
		return list
	}
	for deadline := time.Now().Add(30 * time.Second); len(inUse()) > 0 && time.Now().Before(deadline); {
		awaitNobody(t, time.Second) // looks at what has ended
		time.Sleep(20 * time.Millisecond)
	}
	if left := inUse(); len(left) > 0 {
		t.Errorf("namespaces are still in use: %q", left)
	}
	return k.evidence(t, place)
}

// namespaces are those of the check's processes that this test is not in.
func (k *killing) namespaces(t *testing.T) map[string]bool {
	t.Helper()
	mine := map[string]bool{}
	for _, n := range namespacesOf(t, os.Getpid()) {
		mine[n] = true
	}
	theirs := map[string]bool{}
	for _, p := range descendants(t) {
		for _, n := range namespacesOf(t, p.pid) {
			theirs[n] = !mine[n]
		}
	}
	return theirs
}

// sinceBoot is the time in the clock ticks of /proc/PID/stat (proc(5)), of which
// there are 100 in a second on every architecture of Linux in use.
func sinceBoot(t *testing.T) int {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return int(now.Nano() / int64(10*time.Millisecond))
}

// namespacesOf are the links below /proc/PID/ns; a process that has ended has none.
func namespacesOf(t *testing.T, pid int) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/ns/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil {
			all = append(all, name)
		}
	}
	return all
}

// evidence looks at the place of the evidence of a killed check: every file in it
// is whole, and it verifies only with all of them.
func (k *killing) evidence(t *testing.T, place string) bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(place, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(place, path)
		if err != nil {
			return err
		}
		names[name] = true
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(e.Name(), "."):
			t.Errorf("%q is a file in the making, of %d bytes", name, len(text))
		case filepath.Ext(name) == ".json" && !json.Valid(text):
			t.Errorf("%q is half-written, %d bytes", name, len(text))
		case filepath.Ext(name) == ".pub" && !bytes.HasSuffix(text, []byte("-----END PUBLIC KEY-----\n")):
			t.Errorf("%q is half-written, %d bytes", name, len(text))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && len(names) == 0 {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	install, imported := names[store.StepFile(StepInstall)], names[store.StepFile(StepImport)]
	out, err := exec.Command(k.binary, "verify", "--trust-embedded", "--format", "json", place).CombinedOutput()
	var result struct{ Verdict string }
	_ = json.Unmarshal(out, &result) // an error message is no verdict, which is what is wanted
	if err == nil || result.Verdict == "pass" || result.Verdict == "fail" && !(install && imported) && !denies(out) {
		t.Errorf("evidence of a killed check verifies: %v, %s", err, out)
	}
	return install
}

// denies tells whether a finding denies: what is there may be judged, and more
// evidence does not make it better.
func denies(result []byte) bool {
	return bytes.Contains(result, []byte(`"CRITICAL"`)) || bytes.Contains(result, []byte(`"HIGH"`))
}

// directories are what runs left below TMPDIR.
func (k *killing) directories(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(k.temp, runPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}
