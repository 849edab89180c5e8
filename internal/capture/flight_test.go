package capture

import (
	"os/exec"
	"testing"
	"time"
)

// started starts a program and ends it with the test.
func started(t *testing.T, args ...string) int {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	if err := c.Start(); err != nil {
		t.Skipf("needs %q: %v", args[0], err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
	return c.Process.Pid
}

// TestLanded waits for threads of every kind: what waits in the kernel and what was
// on a processor is past its arguments, and so is what is gone.
func TestLanded(t *testing.T) {
	spins := started(t, "/bin/sh", "-c", "while :; do :; done")
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Skipf("needs a program that ends: %v", err)
	}
	for name, pid := range map[string]int{"waits": started(t, "/bin/sleep", "60"), "spins": spins, "gone": gone.Process.Pid} {
		if !landed(pid, time.Now().Add(30*time.Second)) {
			t.Errorf("%s: not landed", name)
		}
	}
	// Between two looks at once it gets no such time on a processor; that a tick of
	// the clock counts between them happens now and then.
	for range 50 {
		if !landed(spins, time.Now()) {
			return
		}
	}
	t.Error("a thread that runs has landed at the first look, 50 times")
}
