package testpkg

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestEscapeIsHarmless holds the package that tries to get out to what it says of
// itself: it would do no harm where it succeeds.
func TestEscapeIsHarmless(t *testing.T) {
	for _, found := range regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[a-z]+://\S+`).FindAllString(escapeSource, -1) {
		if found != "127.0.0.1" {
			t.Errorf("it names the address %q", found)
		}
	}
	for _, word := range []string{"eval(", "exec(", "os.system", "shutil", "urllib", "http.", "SIGKILL", "SIGTERM", "reboot", "MNT_DETACH"} {
		if strings.Contains(escapeSource, word) {
			t.Errorf("it uses %q", word)
		}
	}
	// Signals are 0 and unmounts only mark.
	for _, line := range regexp.MustCompile(`os\.kill\([^)]*\)`).FindAllString(escapeSource, -1) {
		if !strings.HasSuffix(line, ", 0)") {
			t.Errorf("%s sends a signal", line)
		}
	}
	for line := range strings.Lines(escapeSource) {
		if strings.Contains(line, `call("umount2"`) && !strings.Contains(line, ", 4)") {
			t.Errorf("%s would unmount", line)
		}
	}
}

func TestEscapeIsDeterministic(t *testing.T) {
	targets := EscapeTargets{Abstract: "a", Port: 1, Files: []string{"/var/tmp/x"}, Sockets: []string{"/var/tmp/s"}, Depth: 1}
	var built [2][]byte
	for i := range built {
		p, err := Escape(targets)
		if err != nil {
			t.Fatal(err)
		}
		if built[i], err = p.Archive.Bytes(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two builds differ")
	}
}

// TestAttemptsAreNamedOnce: outcomes are found by name.
func TestAttemptsAreNamedOnce(t *testing.T) {
	targets := EscapeTargets{Files: []string{"/f"}, Directories: []string{"/d"}, Sockets: []string{"/s"}, Fifos: []string{"/p"}, Pids: []int{4711}}
	seen := map[string]bool{}
	for _, a := range targets.Attempts("amd64") {
		if seen[a.Name] {
			t.Errorf("two attempts are %q", a.Name)
		}
		seen[a.Name] = true
		if len(a.Signs) == 0 && a.Name != "forge" { // what it forges is looked for by the test of the check
			t.Errorf("%q leaves no sign", a.Name)
		}
	}
	if len(seen) < 150 {
		t.Errorf("%d attempts, there were more", len(seen))
	}
}
