package secretscan

import (
	"path/filepath"
	"syscall"
	"testing"

	"pip-witness/internal/testpkg"
)

// processorTime is what this process has used so far, in seconds: a busy machine
// makes it no longer, as it does the time on the clock.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkLargeInstall scans an install of pandas, numpy, scipy and matplotlib.
func BenchmarkLargeInstall(b *testing.B) {
	wheels, err := testpkg.Wheels(testpkg.LargeInstall())
	if err != nil {
		b.Skipf("needs the wheels of the benchmarks: %v", err)
	}
	dir, in := environment(b, map[string]string{site + "README.txt": "empty before\n"})
	if err := testpkg.Unpack(filepath.Join(dir, site), wheels); err != nil {
		b.Fatal(err)
	}
	in.After = tree(b, in.Layout)
	before, scanned := processorTime(b), int64(0)
	for b.Loop() {
		got, err := Attestor().Run(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		scanned = got.(*Predicate).Scanned.Bytes
	}
	used := (processorTime(b) - before) / float64(b.N)
	b.ReportMetric(used, "cpu-s/op")
	b.ReportMetric(float64(scanned)/1e6/used, "MB/cpu-s")
}
