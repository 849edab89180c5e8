package evidence

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDiffTrees(t *testing.T) {
	file := func(sha string) FileState {
		return FileState{Kind: KindFile, Digests: DigestSet{"sha256": sha}, Mode: 0o644, ModTime: time.Unix(1, 0)}
	}
	with := func(s FileState, change func(*FileState)) FileState {
		change(&s)
		return s
	}
	link := FileState{Kind: KindSymlink, Target: "a"}
	tests := []struct {
		name          string
		before, after map[string]FileState
		want          []TreeChange
	}{
		{"nothing", map[string]FileState{"/a": file("1")}, map[string]FileState{"/a": file("1")}, nil},
		{"created and deleted, sorted",
			map[string]FileState{"/z": file("1"), "/k": file("1")}, map[string]FileState{"/k": file("1"), "/b": file("1"), "/a": link},
			[]TreeChange{{"/a", "created"}, {"/b", "created"}, {"/z", "deleted"}}},
		{"content", map[string]FileState{"/a": file("1")}, map[string]FileState{"/a": file("2")}, []TreeChange{{"/a", "modified"}}},
		{"touched only", map[string]FileState{"/a": file("1")},
			map[string]FileState{"/a": with(file("1"), func(s *FileState) { s.ModTime = time.Unix(9, 0); s.Inode = 4 })}, nil},
		{"content, mode and owner", map[string]FileState{"/a": file("1")},
			map[string]FileState{"/a": with(file("2"), func(s *FileState) { s.Mode = 0o4755; s.UID = 7 })},
			[]TreeChange{{"/a", "mode"}, {"/a", "modified"}, {"/a", "owner"}}},
		{"group", map[string]FileState{"/a": file("1")},
			map[string]FileState{"/a": with(file("1"), func(s *FileState) { s.GID = 7 })}, []TreeChange{{"/a", "owner"}}},
		{"kind", map[string]FileState{"/a": file("1")}, map[string]FileState{"/a": link}, []TreeChange{{"/a", "type"}}},
		{"target", map[string]FileState{"/a": link},
			map[string]FileState{"/a": with(link, func(s *FileState) { s.Target = "b" })}, []TreeChange{{"/a", "modified"}}},
		{"no digest, same identity",
			map[string]FileState{"/a": with(file(""), func(s *FileState) { s.Digests = nil })},
			map[string]FileState{"/a": file("1")}, nil},
		{"no digest, other size",
			map[string]FileState{"/a": with(file(""), func(s *FileState) { s.Digests = nil })},
			map[string]FileState{"/a": with(file("1"), func(s *FileState) { s.Size = 1 })}, []TreeChange{{"/a", "modified"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := DiffTrees(&Tree{Files: tt.before}, &Tree{Files: tt.after})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("difference (-want +got):\n%s", d)
			}
		})
	}
	if got := DiffTrees(nil, &Tree{Files: map[string]FileState{"/a": link}}); len(got) != 1 || got[0].Change != "created" {
		t.Errorf("DiffTrees(nil, one file) = %v, want it created", got)
	}
}
