package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pip-witness/internal/capture"
)

// nobody is the ordinary user as whom the suite is run again.
const nobody = 65534

// anyUser are the chapters that must hold for an ordinary user too, whose only
// right over the traced processes is the ownership of their user namespace.
func anyUser() []string {
	return []string{
		"Opening", "Changing names and attributes", "Running programs", "Making processes", "Network", "Ways around the tables",
		"Looking into other processes",
	}
}

// ordinaryUser runs what does not depend on floods and races again without root.
func ordinaryUser(t *testing.T, programs string) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else: the other tests run as an ordinary user already")
	}
	var names []string
	for _, s := range sections() {
		if !slices.Contains(anyUser(), s.title) {
			continue
		}
		for _, b := range s.behaviours {
			compile(t, programs, b.source())
			names = append(names, b.name)
		}
	}
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "conformance.test")
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, up := range []string{dir, programs} {
		for ; up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
			if err := os.Chmod(up, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, backend := range capture.Backends() {
		command := exec.CommandContext(t.Context(), binary, "-test.count=1",
			"-test.run=^TestConformance$/^"+string(backend)+"$/^("+strings.Join(names, "|")+")$")
		command.Dir = dir
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir, programsVariable + "=" + programs}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := command.CombinedOutput()
		if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("PASS")) {
			t.Errorf("%s as user %d: %v\n%s", backend, nobody, err, out)
		}
	}
}
