package omnitrail

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

// TestDiffOfSteps follows one directory through an installation and an import.
func TestDiffOfSteps(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	walked := func() *evidence.Tree {
		t.Helper()
		layout := attest.Layout{Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}}}
		tree, err := walk.Tree(t.Context(), layout, []string{"/home/user"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	diff := func(before, after *evidence.Tree) *Diff {
		t.Helper()
		got, err := Attestor().Run(t.Context(), &attest.Input{Before: before, After: after})
		if err != nil {
			t.Fatal(err)
		}
		return got.(*Predicate).Diff
	}
	put("old/gone.py", "1")
	put("old/sub/x", "1")
	put("kept.py", "1")
	put("mode.sh", "1")
	put("becomes", "1")
	first := walked()

	// The installation.
	put("site/pkg/__init__.py", "2")
	put("site/pkg/data/a", "2")
	put("kept.py", "22")
	second := walked()
	installed := diff(first, second)
	if d := cmp.Diff(map[string]int{"created": 5, "modified": 1}, installed.Counts); d != "" {
		t.Errorf("installation (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"modified /home/user/kept.py 0", "created /home/user/site 4"}, lines(installed)); d != "" {
		t.Errorf("installation (-want +got):\n%s", d)
	}
	if c := installed.Changes[0]; c.Before.SHA256 == c.After.SHA256 || c.Before.SHA256 == "" {
		t.Errorf("content before and after: %+v, %+v", c.Before, c.After)
	}

	// The import.
	for _, err := range []error{
		os.RemoveAll(dir + "/old"), unix.Chmod(dir+"/mode.sh", 0o4755), os.Remove(dir + "/becomes"), os.Symlink("kept.py", dir+"/becomes"),
		unix.Mkfifo(dir+"/site/fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	owner := []string{}
	if os.Lchown(dir+"/kept.py", 12345, 12345) == nil {
		owner = append(owner, "owner /home/user/kept.py 0")
	} else {
		t.Log("the change of an owner is left out: it needs root")
	}
	third := walked()
	imported := diff(second, third)
	want := append([]string{"type /home/user/becomes 0"}, owner...)
	want = append(want, "mode /home/user/mode.sh 0", "deleted /home/user/old 3", "created /home/user/site/fifo 0")
	if d := cmp.Diff(want, lines(imported)); d != "" {
		t.Errorf("import (-want +got):\n%s", d)
	}
	for _, c := range imported.Changes {
		if c.Change == "mode" && (c.Before.Permissions != "-rw-r--r--" || c.After.Permissions != "-rwsr-xr-x") {
			t.Errorf("mode: %+v, %+v", c.Before, c.After)
		}
	}

	// After the import nothing changed any more.
	if last := diff(third, walked()); len(last.Changes) != 0 || len(last.Counts) != 0 {
		t.Errorf("nothing happened, but %+v", last)
	}
	if diff(first, nil) != nil {
		t.Error("a diff with no trail after the command")
	}
}

func lines(d *Diff) []string {
	var out []string
	for _, c := range d.Changes {
		out = append(out, fmt.Sprint(c.Change, " ", c.Path, " ", c.Entries))
	}
	return out
}

// TestDiffIsBounded: what is cut is counted.
func TestDiffIsBounded(t *testing.T) {
	before, after := &evidence.Tree{}, &evidence.Tree{Files: map[string]evidence.FileState{}}
	for i := range maxChanges + 7 {
		after.Files[fmt.Sprintf("/r/%06d", i)] = evidence.FileState{Kind: evidence.KindFile}
	}
	d := NewDiff(before, after)
	if len(d.Changes) != maxChanges || d.Omitted != 7 || d.Counts["created"] != maxChanges+7 {
		t.Errorf("%d changes, %d omitted, %v", len(d.Changes), d.Omitted, d.Counts)
	}
}
