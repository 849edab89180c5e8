package step

import (
	"os"
	"testing"
)

func TestLimitsExceeded(t *testing.T) {
	// Without a sandbox the "sandbox's own /proc" is the host's: enough to sum.
	self := os.Getpid()
	for _, c := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"none", Limits{}, ""},
		{"memory not reached", Limits{Memory: 1 << 60}, ""},
		{"memory", Limits{Memory: 1}, "memory"},
		{"disk not reached", Limits{FreeDisk: 1, Directory: os.TempDir()}, ""},
		{"disk", Limits{FreeDisk: 1 << 62, Directory: os.TempDir()}, "free-disk"},
		{"directory is gone", Limits{FreeDisk: 1 << 62, Directory: "/nonexistent/directory"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if l := c.limits.gauge(true).exceeded(self); l != nil {
				got = l.Name
			}
			if got != c.want {
				t.Errorf("limit %q, want %q", got, c.want)
			}
		})
	}
}
