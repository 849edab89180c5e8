package check

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/interpreter"
	"pip-witness/internal/testpkg"
)

// nobody is the user id that a test running as root takes on.
const nobody = 65534

// TestOrdinaryUser checks an honest and a hostile wheel with the built binary as
// root and as a user without any right: the verdicts and findings are the same.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	const python = "/usr/bin/python3"
	if _, err := interpreter.Discover(t.Context(), python); err != nil {
		t.Skipf("needs %s with venv and pip, which every user can run: %v", python, err)
	}
	dir, err := os.MkdirTemp("", "ordinary-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "pip-witness")
	if out, err := exec.Command("go", "build", "-o", binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	hostile := testpkg.KeyReadAndConnect().Package
	for _, p := range []testpkg.Package{testpkg.Honest()[0], hostile} {
		wheel, err := p.Build(dir)
		if err != nil {
			t.Fatal(err)
		}
		var answers []answer
		for _, uid := range []uint32{0, nobody} {
			home := filepath.Join(dir, p.Name, string(rune('0'+len(answers))))
			if err := errors.Join(os.MkdirAll(home, 0o755), os.Chown(home, int(uid), int(uid)), os.Chmod(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, checkAs(t, uid, home, binary, python, wheel))
		}
		if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
			t.Errorf("%s (-root +user):\n%s", p.Name, diff)
		}
		if want := map[string]string{hostile.Name: "fail"}[p.Name]; want != "" && answers[1].Verdict != want {
			t.Errorf("%s: verdict %s, want %s", p.Name, answers[1].Verdict, want)
		}
	}
}

// answer is what must not depend on who runs the check.
type answer struct {
	Verdict string
	Exit    int
	Rules   []string
}

func checkAs(t *testing.T, uid uint32, home, binary, python, wheel string) answer {
	t.Helper()
	command := exec.Command(binary, "check", wheel, "--no-index", "--python", python, "--linger", "1s", "--format", "json", "--evidence", filepath.Join(home, "evidence"))
	command.Dir = home
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	command.Stderr = os.Stderr
	out, err := command.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	a := answer{Exit: command.ProcessState.ExitCode()}
	var result struct {
		Verdict  string
		Findings []struct{ Rule string }
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("uid %d: exit %d: %v\n%s", uid, a.Exit, err, out)
	}
	a.Verdict = result.Verdict
	for _, f := range result.Findings {
		a.Rules = append(a.Rules, f.Rule)
	}
	slices.Sort(a.Rules)
	return a
}
