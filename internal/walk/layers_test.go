package walk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// layers makes directories by their entries: "name/" is a directory, "name=" one
// that is opaque, "name-" a mark that the entry is gone, others files that hold
// their name and the layer's number.
func layers(t *testing.T, entries ...[]string) []string {
	t.Helper()
	var dirs []string
	for i, names := range entries {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		for _, n := range names {
			path, kind := filepath.Join(dir, n[:len(n)-1]), n[len(n)-1]
			var err error
			switch kind {
			case '/':
				err = os.MkdirAll(path, 0o755)
			case '=':
				if err = os.MkdirAll(path, 0o755); err == nil {
					err = unix.Setxattr(path, "user.overlay.opaque", []byte("y"), 0)
				}
			case '-':
				err = unix.Mknod(path, unix.S_IFCHR, 0)
			default:
				err = os.WriteFile(filepath.Join(dir, n), []byte{byte('0' + i)}, 0o644)
			}
			if err != nil {
				t.Skipf("needs user attributes and the right to make devices: %v", err)
			}
		}
	}
	return dirs
}

func TestChanged(t *testing.T) {
	for _, c := range []struct {
		name  string
		upper []string
		lower [][]string
		want  map[string]string
	}{
		{"nothing", nil, [][]string{{"a"}}, nil},
		{"no lower directory", []string{"a", "d/", "d/b"}, nil, map[string]string{"a": "created", "d": "created", "d/b": "created"}},
		{"created and modified", []string{"a", "b"}, [][]string{{"a"}}, map[string]string{"a": "modified", "b": "created"}},
		{"only copied", []string{"d/"}, [][]string{{"d/", "d/a"}}, nil},
		{"gone", []string{"a-"}, [][]string{{"a"}}, map[string]string{"a": "deleted"}},
		{"gone with all in it", []string{"d-"}, [][]string{{"d/", "d/e/", "d/e/a"}}, map[string]string{"d": "deleted", "d/e": "deleted", "d/e/a": "deleted"}},
		{"gone what never was", []string{"a-"}, [][]string{{"b"}}, nil},
		{"opaque", []string{"d=", "d/new"}, [][]string{{"d/", "d/old", "d/new"}}, map[string]string{"d/new": "modified", "d/old": "deleted"}},
		{"a file in place of a directory", []string{"d"}, [][]string{{"d/", "d/a"}}, map[string]string{"d": "type", "d/a": "deleted"}},
		{"a directory in place of a file", []string{"d=", "d/a"}, [][]string{{"d"}}, map[string]string{"d": "type", "d/a": "created"}},
		{"the layer between has it", []string{"a"}, [][]string{{"a"}, {"a"}}, map[string]string{"a": "modified"}},
		{"gone in the layer between", []string{"a"}, [][]string{{"a-"}, {"a"}}, map[string]string{"a": "created"}},
		{"below what is gone in between", []string{"d/", "d/a"}, [][]string{{"d-"}, {"d/", "d/a"}}, map[string]string{"d": "created", "d/a": "created"}},
		{"below what is opaque in between", []string{"d/", "d/a"}, [][]string{{"d="}, {"d/", "d/a"}}, map[string]string{"d/a": "created"}},
		{"deep below what is opaque in between", []string{"d/", "d/e/", "d/e/a"}, [][]string{{"d=", "d/e/"}, {"d/", "d/e/", "d/e/a"}}, map[string]string{"d/e/a": "created"}},
		{"below a file in between", []string{"d/", "d/a"}, [][]string{{"d"}, {"d/", "d/a"}}, map[string]string{"d": "type", "d/a": "created"}},
		{"gone, of two layers", []string{"d-"}, [][]string{{"d/", "d/a", "d/b-"}, {"d/", "d/b", "d/c"}}, map[string]string{"d": "deleted", "d/a": "deleted", "d/c": "deleted"}},
		{"gone, the upper of them opaque", []string{"d-"}, [][]string{{"d=", "d/a"}, {"d/", "d/c"}}, map[string]string{"d": "deleted", "d/a": "deleted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dirs := layers(t, append([][]string{c.upper}, c.lower...)...)
			before, after, err := Changed(t.Context(), Layer{Inside: "/in/side", Upper: dirs[0], Lower: dirs[1:]}, 1000, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			for _, d := range evidence.DiffTrees(before, after) {
				if rel, err := filepath.Rel("/in/side", d.Path); err == nil && rel != "." {
					if got == nil {
						got = map[string]string{}
					}
					got[rel] = d.Change
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if len(after.Unread) > 0 {
				t.Errorf("unread %v", after.Unread)
			}
		})
	}
}

// What a package hides is listed up to the limit, and that it is not all.
func TestChangedLimit(t *testing.T) {
	dirs := layers(t, []string{"d-"}, []string{"d/", "d/a", "d/b", "d/c"})
	before, after, err := Changed(t.Context(), Layer{Inside: "/in", Upper: dirs[0], Lower: dirs[1:]}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Files) != 3 || len(after.Unread) != 1 || after.Unread[0].Path != "/" {
		t.Errorf("%d entries, unread %v", len(before.Files), after.Unread)
	}
}

// A link in a lower directory is followed nowhere.
func TestChangedFollowsNoLink(t *testing.T) {
	dirs := layers(t, []string{"d/", "d/a"}, nil)
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "a"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dirs[1], "d")); err != nil {
		t.Fatal(err)
	}
	before, after, err := Changed(t.Context(), Layer{Inside: "/in", Upper: dirs[0], Lower: dirs[1:]}, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []evidence.TreeChange{{Path: "/in/d", Change: "type"}, {Path: "/in/d/a", Change: "created"}}
	var got []evidence.TreeChange
	for _, c := range evidence.DiffTrees(before, after) {
		if c.Path != "/in" {
			got = append(got, c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChangedErrors(t *testing.T) {
	dir := t.TempDir()
	for name, l := range map[string]Layer{
		"no upper directory": {Inside: "/in", Upper: filepath.Join(dir, "absent")},
		"no lower directory": {Inside: "/in", Upper: dir, Lower: []string{filepath.Join(dir, "absent")}},
		"relative":           {Inside: "in", Upper: dir},
	} {
		if _, _, err := Changed(t.Context(), l, 1, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
