package capture_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"pip-witness/internal/capture"
	"pip-witness/internal/sandbox"
)

// BenchmarkOpen measures what one trapped open costs, against the same opens
// without the tracer in the same run.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b, true)
	if err := os.Symlink("/etc/passwd", w.dir+"/link"); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, path string }{
		{"plain", "/etc/passwd"}, {"symlink", w.dir + "/link"}, {"missing", "/usr/lib/python3/missing.py"},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := max(b.N, 1000)
			untraced := w.repeat(b, n, c.path, false)
			b.ResetTimer()
			traced := w.repeat(b, n, c.path, true)
			b.StopTimer()
			b.ReportMetric(float64(traced)/float64(untraced), "ratio")
			b.ReportMetric(float64(traced-untraced)/float64(n), "ns/event")
		})
	}
}

// repeat opens a file n times in the sandbox and returns how long that took.
func (w world) repeat(b *testing.B, n int, path string, traced bool) time.Duration {
	b.Helper()
	box, err := sandbox.Start(context.Background(), w.spec(b))
	needSandbox(b, err)
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	command := sandbox.Command{Args: []string{w.dir + "/probe", "repeat", strconv.Itoa(n), path}, Dir: w.dir}
	supervisor, err := capture.New(capture.Options{
		Redact: func(args []string) []string { return args }, RedactEnviron: func([]string) string { return "" }, Stop: func() { _ = box.Kill() },
	})
	if err != nil {
		b.Fatal(err)
	}
	if traced {
		raw, err := capture.Filter(capture.Notify)
		if err != nil {
			b.Fatal(err)
		}
		for _, i := range raw {
			command.Filter = append(command.Filter, sandbox.Instruction{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
		}
	}
	start := time.Now()
	running, err := box.Run(command)
	if err != nil {
		b.Fatal(err)
	}
	if traced {
		if err := supervisor.Attach(context.Background(), running.Notify); err != nil {
			b.Fatal(err)
		}
	}
	if status, err := running.Wait(); err != nil || status != 0 {
		b.Fatalf("status %d, %v", status, err)
	}
	return time.Since(start)
}
