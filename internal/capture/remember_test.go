package capture

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// digestOf asks for the digest of a file by its path.
func digestOf(t *testing.T, d *Digests, path string) (evidence.DigestSet, string) {
	t.Helper()
	return d.of(locate(t, path)).result()
}

// locate is where a file is, until the test ends.
func locate(t *testing.T, path string) location {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := location{path: path, fd: fd}
	t.Cleanup(l.close)
	if err := unix.Fstat(fd, &l.stat); err != nil {
		t.Fatal(err)
	}
	return l
}

// settled is a large program of the host that has not changed for a while.
func settled(t *testing.T) string {
	t.Helper()
	programs, err := filepath.Glob("/usr/bin/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < rememberSize {
			continue
		}
		if time.Since(time.Unix(st.Ctim.Unix())) > 2*rememberAge {
			return p
		}
	}
	t.Skip("needs a program in /usr/bin that has not changed for a while")
	return ""
}

func TestDigestsOutliveARun(t *testing.T) {
	old := settled(t)
	young := filepath.Join(t.TempDir(), "young")
	if err := os.WriteFile(young, make([]byte, rememberSize), 0o644); err != nil {
		t.Fatal(err)
	}
	first := NewDigests()
	defer first.Close()
	want, reason := digestOf(t, first, old)
	if reason != "" {
		t.Fatal(reason)
	}
	digestOf(t, first, young)
	data, err := first.Export()
	if err != nil {
		t.Fatal(err)
	}
	second := NewDigests()
	defer second.Close()
	if err := second.Import(data); err != nil {
		t.Fatal(err)
	}
	if len(second.known) != 1 {
		t.Errorf("%d digests are remembered, want that of %s alone", len(second.known), old)
	}
	if got, _ := digestOf(t, second, old); got["sha256"] != want["sha256"] {
		t.Errorf("digest %v, want %v", got, want)
	}
	if err := second.Import([]byte("no JSON")); err == nil {
		t.Error("no error for what is no export")
	}
}

// A file of the host that is seen through an overlay, on another device, is known
// by what it is on the host, in this run and the next.
func TestDigestsThroughAnOverlay(t *testing.T) {
	path := settled(t)
	first := NewDigests()
	defer first.Close()
	l := locate(t, path)
	want, reason := first.of(l).result()
	if reason != "" {
		t.Fatal(reason)
	}
	data, err := first.Export()
	if err != nil {
		t.Fatal(err)
	}
	second := NewDigests()
	defer second.Close()
	if err := second.Import(data); err != nil {
		t.Fatal(err)
	}
	known := second.known[keyOf(&l.stat)]
	l.stat.Dev ^= 0x5a
	if got := second.of(l); got != known {
		t.Errorf("computed anew, want the digest of the run before (%v)", want)
	}
	l.stat.Ctim.Nsec ^= 1 // changed in the overlay
	if got, _ := second.of(l).result(); got["sha256"] != "" {
		t.Errorf("digest %v of a file that is none of the host's", got)
	}
}
