package evidence

import (
	"cmp"
	"slices"
)

// DiffTrees returns what differs between two states of the same roots, sorted
// by path and then by change. A nil tree is an empty one.
//
//	created   in after only
//	deleted   in before only
//	type      another kind of entry (a file became a symlink); nothing else is
//	          said about such a path
//	modified  other content of a regular file, other target of a symlink. A file
//	          that could not be digested in one of the states counts as modified
//	          when its size, inode, modification or change time differ
//	mode      other permission bits
//	owner     other owner or group
//
// One path can have several changes. A directory is never modified: its
// entries are. What a walk could not read (Tree.Unread) is not in Files: a path
// that was unreadable before and is readable after counts as created.
func DiffTrees(before, after *Tree) []TreeChange {
	var out []TreeChange
	add := func(path, change string) { out = append(out, TreeChange{Path: path, Change: change}) }
	old, now := files(before), files(after)
	for path, b := range old {
		a, ok := now[path]
		if !ok {
			add(path, "deleted")
			continue
		}
		if a.Kind != b.Kind {
			add(path, "type")
			continue
		}
		if contentDiffers(b, a) {
			add(path, "modified")
		}
		if a.Mode != b.Mode {
			add(path, "mode")
		}
		if a.UID != b.UID || a.GID != b.GID {
			add(path, "owner")
		}
	}
	for path := range now {
		if _, ok := old[path]; !ok {
			add(path, "created")
		}
	}
	slices.SortFunc(out, func(a, b TreeChange) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Change, b.Change))
	})
	return out
}

func files(t *Tree) map[string]FileState {
	if t == nil {
		return nil
	}
	return t.Files
}

// contentDiffers compares two states of the same kind.
func contentDiffers(b, a FileState) bool {
	switch a.Kind {
	case KindSymlink:
		return a.Target != b.Target
	case KindFile:
		before, after := b.Digests["sha256"], a.Digests["sha256"]
		if before != "" && after != "" {
			return before != after
		}
		return a.Size != b.Size || a.Inode != b.Inode ||
			!a.ModTime.Equal(b.ModTime) || !a.ChangeTime.Equal(b.ChangeTime)
	default:
		return false
	}
}

// ChangedFiles returns the paths of the regular files of after that are new,
// have other content than in before, or were something else there, sorted.
func ChangedFiles(before, after *Tree) []string {
	var out []string
	for _, c := range DiffTrees(before, after) {
		switch c.Change {
		case "created", "modified", "type":
			if after.Files[c.Path].Kind == KindFile {
				out = append(out, c.Path)
			}
		}
	}
	return out
}
