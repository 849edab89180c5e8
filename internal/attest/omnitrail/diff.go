package omnitrail

import (
	"path"
	"strings"

	"pip-witness/evidence"
)

// maxChanges bounds the list of a [Diff]; a package chooses how many there are.
const maxChanges = 20_000

// Diff is what the command changed below the roots: the trail that was taken before
// it against one taken after it, when everything it started had ended. The trail
// after one step is the trail before the next, so the diffs of an installation and
// an import say what each of them did.
type Diff struct {
	// Counts is the number of paths by change: "created", "deleted", "modified",
	// "mode", "owner", "type". Changes without a path are absent.
	Counts map[string]int `json:"counts"`
	// Changes are sorted by path and change. Below a directory that was created or
	// deleted as a whole nothing is listed.
	Changes []Change `json:"changes"`
	// Omitted is how many changes are not listed, because there are too many.
	Omitted int `json:"omitted,omitempty"`
	// Unread are the paths that the trail after the command could not read, sorted.
	Unread []evidence.UnreadPath `json:"unread"`
}

// Change is one difference. See [evidence.DiffTrees] for what each kind means.
type Change struct {
	Path   string `json:"path"`
	Change string `json:"change"`
	// Entries is how many paths lie below a directory that was created or deleted;
	// absent when none does.
	Entries int `json:"entries,omitempty"`
	// Before and After are the states; one is absent of what was created or deleted.
	Before *State `json:"before,omitempty"`
	After  *State `json:"after,omitempty"`
}

// State is what of an entry can change.
type State struct {
	Type        string `json:"type"`
	SHA256      string `json:"sha256,omitempty"`
	Target      string `json:"target,omitempty"`
	Permissions string `json:"permissions"`
	OwnerUID    uint32 `json:"owner_uid"`
	OwnerGID    uint32 `json:"owner_gid"`
}

// NewDiff compares two trees of the same roots.
func NewDiff(before, after *evidence.Tree) *Diff {
	out := &Diff{Counts: map[string]int{}, Changes: []Change{}, Unread: append([]evidence.UnreadPath{}, after.Unread...)}
	whole := map[string]int{} // directories that are new or gone: their place in Changes, -1 if not listed
	for _, c := range evidence.DiffTrees(before, after) {
		out.Counts[c.Change]++
		made := c.Change == "created" || c.Change == "deleted"
		if top, inside := topOf(whole, c.Path); made && inside {
			if top >= 0 {
				out.Changes[top].Entries++
			}
			continue
		}
		at := -1
		if len(out.Changes) < maxChanges {
			at = len(out.Changes)
			out.Changes = append(out.Changes, Change{Path: c.Path, Change: c.Change, Before: stateOf(before, c.Path), After: stateOf(after, c.Path)})
		} else {
			out.Omitted++
		}
		if made && (isDirectory(before, c.Path) || isDirectory(after, c.Path)) {
			whole[c.Path] = at
		}
	}
	return out
}

// topOf finds the directory that was created or deleted as a whole and holds a path.
// A path comes after its directories, because the changes are sorted.
func topOf(whole map[string]int, p string) (int, bool) {
	for dir := path.Dir(p); strings.Trim(dir, "/.") != ""; dir = path.Dir(dir) {
		if at, ok := whole[dir]; ok {
			return at, true
		}
	}
	return 0, false
}

func isDirectory(tree *evidence.Tree, p string) bool {
	return tree != nil && tree.Files[p].Kind == evidence.KindDirectory
}

func stateOf(tree *evidence.Tree, p string) *State {
	if tree == nil {
		return nil
	}
	s, ok := tree.Files[p]
	if !ok {
		return nil
	}
	return &State{
		Type: string(s.Kind), SHA256: s.Digests["sha256"], Target: s.Target, Permissions: permissions(s.Kind, s.Mode), OwnerUID: s.UID, OwnerGID: s.GID,
	}
}
