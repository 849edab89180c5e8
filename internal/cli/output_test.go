package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/report"
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

func TestWritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: root may write everywhere")
	}
	dir := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	var refused *exitError
	if err := writable("-o", filepath.Join(dir, "new")); !errors.As(err, &refused) || refused.code != exitUsage || !errors.Is(err, os.ErrPermission) {
		t.Errorf("in a directory without write permission: %v", err)
	}
	if err := writable("-o", filepath.Join(filepath.Dir(dir), "new")); err != nil {
		t.Error(err)
	}
	if err := writable("-o", os.DevNull); err != nil {
		t.Error(err)
	}
}

// TestRequirementPlaces: real lines of files inside, outside and below the
// directory of the run, also of files that those include.
func TestRequirementPlaces(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	write := func(path, text string) string {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a b.txt", "# first\nflask \\\n  >=3\n-r sub/c:d.txt\n")
	write("sub/c:d.txt", "\n\nDjango==5 --hash=sha256:aa\n")
	write("c:d.txt", "six\n")
	far := write(filepath.Join(outside, "far.txt"), "requests\n")
	limits := write("limits.txt", "idna<4\n")
	got := requirementPlaces([]string{"a b.txt", "c:d.txt", far, "absent.txt"}, []string{limits})
	want := []report.Place{
		{URI: "a%20b.txt", Line: 2, Package: "flask"}, {URI: "sub/c:d.txt", Line: 3, Package: "Django"}, {URI: "./c:d.txt", Line: 1, Package: "six"},
		{URI: "file://" + far, Line: 1, Package: "requests"}, {URI: "limits.txt", Line: 1, Package: "idna"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("places (-want +got):\n%s", d)
	}
	if got := requirementPlaces(nil, []string{limits}); got != nil {
		t.Errorf("a constraint alone asks for nothing: %+v", got)
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
