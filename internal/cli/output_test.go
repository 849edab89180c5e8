package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteOutput(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("a longer text"), 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, target, filepath.Join(dir, "new")} {
		if err := writeOutput(path, []byte("short")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "short" {
			t.Errorf("%s holds %q (%v)", path, got, err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced (%v)", err)
	}
	if err := writeOutput(os.DevNull, []byte("x")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("the device was replaced (%v)", err)
	}
}

func TestOpenEvidence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*", "evidence")
	d, err := openEvidence(dir)
	if err != nil || !d.made {
		t.Fatalf("%+v, %v", d, err)
	}
	if again, err := openEvidence(dir); err != nil || again.made {
		t.Errorf("an empty directory: %+v, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pip-install.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *exitError
	if _, err := openEvidence(dir); !errors.As(err, &refused) || refused.code != exitUsage {
		t.Errorf("a directory with evidence: %v", err)
	}
	if err := (evidenceDirectory{path: dir}).discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a directory that this run did not make was removed: %v", err)
	}
	if err := d.discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}
