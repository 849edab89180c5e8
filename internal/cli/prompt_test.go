package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal is a new terminal: what is written to the first file is typed on
// the second.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs a terminal: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("needs /dev/pts: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// TestPasswordPrompt types the password of an encrypted key on a terminal, which
// does not show it.
func TestPasswordPrompt(t *testing.T) {
	dir := t.TempDir()
	run := func(in *os.File, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), "pip-witness", args...)
		command.Dir, command.Env = dir, append(os.Environ(), "SECRET=correct")
		if in != nil {
			command.Stdin = in
		}
		out, err := command.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{"keygen", "--out", "key.pem", "--password-env", "SECRET"}, {"policy", "init", "-o", "src.json"},
		{"policy", "compile", "src.json", "--functionary", "key.pub", "-o", "compiled.json"},
	} {
		if out, err := run(nil, args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	for password, want := range map[string]string{"correct": "", "Correct": "wrong password", "": "no password was given"} {
		t.Run("password "+password, func(t *testing.T) {
			keyboard, terminal := openTerminal(t)
			if _, err := keyboard.WriteString(password + "\n"); err != nil {
				t.Fatal(err)
			}
			out, err := run(terminal, "policy", "sign", "compiled.json", "--key", "key.pem", "-o", "signed-"+password+".json")
			if !strings.HasPrefix(out, "password of key.pem: \n") || (err == nil) != (want == "") || !strings.Contains(out, want) {
				t.Errorf("%v, output %q, want %q", err, out, want)
			}
			if _, err := os.Stat(filepath.Join(dir, "signed-"+password+".json")); (err == nil) != (want == "") {
				t.Errorf("signed: %v", err)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		_, terminal := openTerminal(t)
		command := exec.CommandContext(t.Context(), "pip-witness", "policy", "sign", "compiled.json", "--key", "key.pem", "-o", "x.json")
		command.Dir, command.Stdin = dir, terminal
		out, err := command.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("password of key.pem: "))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // until the terminal is asked
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(out)
		if err != nil || !bytes.Contains(rest, []byte("interrupted")) {
			t.Errorf("output %q, %v", rest, err)
		}
		if err := command.Wait(); command.ProcessState.ExitCode() != exitInterrupt {
			t.Errorf("%v, want exit code %d", err, exitInterrupt)
		}
		state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil || state.Lflag&unix.ECHO == 0 {
			t.Errorf("the terminal shows nothing any more: %v", err)
		}
	})
}
