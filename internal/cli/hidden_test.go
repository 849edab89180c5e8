package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRunIsHidden runs a command as an ordinary user, which then looks at the
// process that records it: it may not look into it.
func TestRunIsHidden(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user with a directory of its own")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "hidden-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "pip-witness")
	if out, err := exec.Command("go", "build", "-o", binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	user := func(args ...string) (string, error) {
		command := exec.Command(binary, args...)
		command.Dir = home
		command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := user("keygen", "--out", "key.pem"); err != nil {
		t.Fatalf("keygen: %v\n%s", err, out)
	}
	// The parent of the command is the tracer's init, whose parent is the process
	// in question; the files of one that others may not look into belong to root.
	const script = `supervisor=$(cut -d' ' -f4 /proc/$PPID/stat)
stat -c 'owner %u' /proc/$supervisor/mem
cat /proc/$supervisor/environ && echo readable
exit 0`
	out, err := user("run", "--step", "s", "--key", "key.pem", "--out", "out.json", "--attestors", "", "--", "sh", "-c", script)
	if err != nil || !strings.Contains(out, "owner 0\n") || strings.Contains(out, "readable") {
		t.Errorf("run: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(home, "out.json")); err != nil {
		t.Error(err)
	}
}
