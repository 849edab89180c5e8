package step

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pip-witness/evidence"
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

// A directory is counted when its time has come, and then not again at once.
func TestGauge(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"neither", Limits{Disk: 1 << 30, Files: 100, Directory: dir}, ""},
		{"bytes", Limits{Disk: 2 << 20, Directory: dir}, "disk"},
		{"entries", Limits{Files: 3, Directory: dir}, "files"}, // the directory itself counts
		{"entries not reached", Limits{Files: 4, Directory: dir}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.limits.gauge(true)
			if l := g.exceeded(os.Getpid()); l != nil && !g.suspicious(&g.start) {
				t.Errorf("before its time: %+v", l)
			}
			g.due, g.next = time.Time{}, time.Time{}
			got := ""
			if l := g.exceeded(os.Getpid()); l != nil {
				got = l.Name
			}
			if got != c.want {
				t.Errorf("limit %q, want %q", got, c.want)
			}
			if !g.due.After(time.Now()) {
				t.Error("it would be counted again at once")
			}
		})
	}
}

// A command that writes more than it may is ended, and the record says why.
func TestDiskLimits(t *testing.T) {
	for _, c := range []struct {
		name, script string
		limits       Limits
	}{
		{"disk", "head -c 100000000 /dev/zero > big; exec sleep 60", Limits{Disk: 10 << 20}},
		{"files", "mkdir d; for i in $(seq 3000); do : > d/$i; done; exec sleep 60", Limits{Files: 1000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, trace Trace, dir string) {
				trace.Limits, trace.Timeout = c.limits, time.Minute
				trace.Limits.Directory = dir
				trace.Commands = []Command{shell(dir, c.script)}
				r := record(t, trace)
				named := func(l evidence.Limit) bool { return l.Name == c.name && l.Value == max(c.limits.Disk, c.limits.Files) }
				if !r.Stopped || r.TimedOut || r.Command.Coverage.Complete || !slices.ContainsFunc(limits(r), named) {
					t.Errorf("stopped %v, timed out %v, limits %v", r.Stopped, r.TimedOut, limits(r))
				}
			})
		})
	}
}

// Memory of processes without a pid namespace is that of the command's own.
func TestMemoryWithoutSandbox(t *testing.T) {
	trace := Trace{Timeout: time.Minute, Linger: time.Second, Limits: Limits{Memory: 1 << 40}}
	trace.Commands = []Command{shell(t.TempDir(), "sleep 2")}
	if r := record(t, trace); len(limits(r)) > 0 {
		t.Errorf("limits %v", limits(r))
	}
	trace.Limits.Memory = 1
	trace.Commands = []Command{shell(t.TempDir(), "sleep 60")}
	if r := record(t, trace); !r.Stopped || len(limits(r)) != 1 || limits(r)[0].Name != "memory" {
		t.Errorf("stopped %v, limits %v", r.Stopped, limits(r))
	}
}

// Output without end is not read for ever.
func TestOutputFlood(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	floods := 0
	output := collect(read, nil, func() { floods++ })
	chunk := make([]byte, 1<<20)
	for range outputFlood>>20 + 1 {
		if _, err := write.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	write.Close()
	if text, cut := output(); len(text) != OutputLimit || !cut || floods == 0 {
		t.Errorf("kept %d bytes, cut %v, called %d times", len(text), cut, floods)
	}
}
