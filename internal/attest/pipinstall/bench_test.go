package pipinstall_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/testpkg"
	"pip-witness/internal/walk"
)

// BenchmarkLargeInstall attests an install of pandas, numpy, scipy and matplotlib.
func BenchmarkLargeInstall(b *testing.B) {
	in := largeInstall(b)
	processorTime := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	before := processorTime()
	for b.Loop() {
		if _, err := pipinstall.Attestor().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((processorTime()-before)/float64(b.N), "cpu-s/op")
}

// largeInstall is the input of an install from the wheels that benchmarks keep.
func largeInstall(b *testing.B) *attest.Input {
	b.Helper()
	wheels, err := testpkg.Wheels(testpkg.LargeInstall())
	if err != nil {
		b.Skipf("needs the wheels of the benchmarks: %v", err)
	}
	dir := b.TempDir()
	const site = "lib/python3.11/site-packages"
	if err := os.MkdirAll(filepath.Join(dir, site), 0o755); err != nil {
		b.Fatal(err)
	}
	in := &attest.Input{
		Step: "pip-install", Install: &evidence.Installation{},
		Layout: attest.Layout{
			Prefix: insidePrefix, Home: "/home/user", SitePackages: []string{insidePrefix + "/" + site},
			Mounts: []attest.Mount{{Inside: insidePrefix, Outside: dir}},
		},
	}
	trail := func() *evidence.Tree {
		tree, err := walk.Tree(b.Context(), in.Layout, []string{insidePrefix}, nil)
		if err != nil {
			b.Fatal(err)
		}
		return tree
	}
	in.Before = trail()
	if err := testpkg.Unpack(filepath.Join(dir, site), wheels); err != nil {
		b.Fatal(err)
	}
	in.After = trail()
	files := map[string]string{}
	for _, wheel := range wheels {
		content, err := os.ReadFile(wheel)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256(content)
		digest := hex.EncodeToString(sum[:])
		files[digest] = wheel
		in.Install.Downloads = append(in.Install.Downloads, evidence.Download{
			Filename: filepath.Base(wheel), URL: "https://files.example/" + filepath.Base(wheel), Digests: evidence.DigestSet{"sha256": digest}, Size: int64(len(content)),
		})
	}
	in.Distribution = func(sha256 string) (attest.DistributionFile, error) { return os.Open(files[sha256]) }
	return in
}
