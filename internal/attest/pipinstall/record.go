package pipinstall

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/pypi"
)

// RecordCheck compares RECORD with the tree that was found after the
// installation. Paths are absolute, cut at 2,000 bytes; lists are sorted, and what was cut is in
// NotExamined.
type RecordCheck struct {
	// Matching is the number of files that have the recorded digest and size,
	// Unhashed of those for which RECORD gives none (RECORD itself, byte code).
	Matching int `json:"matching"`
	Unhashed int `json:"unhashed"`
	// UnhashedFiles are those of the latter that RECORD should give a digest of: all
	// but RECORD itself, its signatures, and byte code.
	UnhashedFiles []string `json:"unhashedFiles,omitempty"`
	// Mismatches are files that differ from what is recorded.
	Mismatches []RecordMismatch `json:"mismatches"`
	// Missing are recorded files that are not there.
	Missing []string `json:"missing"`
	// Outside are recorded files that do not lie below the environment.
	Outside []string `json:"outside"`
	// Duplicates are files that one RECORD lists more than once.
	Duplicates []string `json:"duplicates"`
	// Overwritten are files that other installed distributions record as well: the
	// one that was installed last wrote them.
	Overwritten []Overwritten `json:"overwritten"`
}

// RecordMismatch is a file that is not what was recorded.
type RecordMismatch struct {
	Path string `json:"path"`
	// Recorded and Found are SHA-256 (or SHA-1) in hex; Found is empty where the
	// content could not be read, and where the tree has no such digest.
	Recorded string `json:"recorded"`
	Found    string `json:"found"`
	// RecordedSize and FoundSize are in bytes; -1 where RECORD gives none.
	RecordedSize int64 `json:"recordedSize"`
	FoundSize    int64 `json:"foundSize"`
	// Why is empty for other content; else "type", "link" (to nowhere in the tree),
	// "unread" or "algorithm NAME", for one that the tree has not.
	Why string `json:"why,omitempty"`
}

// Overwritten is a file that several distributions record.
type Overwritten struct {
	Path string `json:"path"`
	// By are the normalised names of the other distributions, sorted.
	By []string `json:"by"`
	// SameContent is true when all of them record one digest.
	SameContent bool `json:"sameContent"`
}

// recorded is one entry of a RECORD with its place in the tree.
type recorded struct {
	entry pypi.RecordEntry
	path  string // absolute, cleaned, as RECORD names it
	real  string // with the symlinks of the tree followed
}

// owner is a distribution that records a file, and the digest that it records.
type owner struct {
	index  int // of the environment's distributions
	digest string
}

// recordChecks compares the RECORD of every distribution with the tree.
func (c *collector) recordChecks() {
	tree := c.in.After
	if tree == nil {
		c.notExamined("packages[].recordCheck", "no tree was walked after the installation")
		return
	}
	all := make([][]recorded, len(c.env.Distributions))
	owners := map[string][]owner{} // by real path
	for i, d := range c.env.Distributions {
		if d.Record == nil {
			c.notExamined("packages[].recordCheck of "+d.Key, "it has no RECORD that can be read")
			continue
		}
		for _, e := range d.Record {
			r := recorded{entry: e, path: recordPath(d.Location, e.Path)}
			r.real = follow(tree, r.path)
			all[i] = append(all[i], r)
			if n := owners[r.real]; len(n) == 0 || n[len(n)-1].index != i {
				owners[r.real] = append(n, owner{i, e.Digest})
			}
		}
	}
	for i, d := range c.env.Distributions {
		if d.Record != nil {
			c.predicate.Packages[i].RecordCheck = c.checkRecord(d, all[i], owners)
		}
	}
}

// recordPath is where an entry of RECORD lies.
func recordPath(location, entry string) string {
	if path.IsAbs(entry) {
		return path.Clean(entry)
	}
	return path.Join(location, entry)
}

// Limits on one path, as the kernel has them: symlinks followed, bytes.
const (
	maxLinks = 40
	maxPath  = 4096
)

// follow returns the path with the symlinks of the tree resolved, as far as the
// tree reaches; a path through a loop is returned as it is.
func follow(tree *evidence.Tree, p string) string {
	if len(p) > maxPath {
		return p
	}
	if s, ok := tree.Files[p]; ok && s.Kind != evidence.KindSymlink {
		return p // no component of a walked path is a symlink
	}
	done, rest := "/", strings.TrimPrefix(p, "/")
	for links := 0; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := path.Join(done, name)
		state := tree.Files[next]
		if state.Kind != evidence.KindSymlink {
			done = next
			continue
		}
		if links++; links > maxLinks || len(rest) > maxPath {
			return p
		}
		if target := state.Target; path.IsAbs(target) {
			done, rest = "/", path.Join(target, rest)[1:]
		} else {
			rest = path.Join("/", done, target, rest)[1:]
			done = "/"
		}
	}
	return done
}

// within reports whether p is dir or lies below it.
func within(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func (c *collector) checkRecord(d pypi.Distribution, entries []recorded, owners map[string][]owner) *RecordCheck {
	out := &RecordCheck{Mismatches: []RecordMismatch{}, Missing: []string{}, Outside: []string{}, Duplicates: []string{}, Overwritten: []Overwritten{}}
	seen := map[string]bool{}
	for _, r := range entries {
		if seen[r.real] {
			out.Duplicates = append(out.Duplicates, r.path)
			continue
		}
		seen[r.real] = true
		if !within(c.in.Layout.Prefix, r.real) && !within(d.Location, r.real) {
			out.Outside = append(out.Outside, r.real)
			if !c.walked(r.real) {
				continue // what lies there is not in the tree
			}
		}
		if who := owners[r.real]; len(who) > 1 && path.Ext(r.real) != ".pyc" { // which follows its source
			out.Overwritten = append(out.Overwritten, c.overwritten(d.Key, r.real, who))
		}
		state, ok := c.in.After.Files[r.real]
		if !ok {
			out.Missing = append(out.Missing, r.path)
			continue
		}
		c.compare(out, r, state)
	}
	c.cutRecord(d.Key, out)
	return out
}

// walked reports whether the tree holds what lies at a path, or would.
func (c *collector) walked(p string) bool {
	return slices.ContainsFunc(c.in.After.Roots, func(root string) bool { return within(root, p) })
}

// compare counts one file as matching, or lists how it differs.
func (c *collector) compare(out *RecordCheck, r recorded, state evidence.FileState) {
	m := RecordMismatch{Path: r.path, RecordedSize: r.entry.Size, FoundSize: state.Size, Recorded: r.entry.Digest}
	switch algorithm := r.entry.Algorithm; algorithm {
	case "sha256", "sha1":
		m.Found = state.Digests[algorithm]
	}
	switch {
	case state.Kind == evidence.KindSymlink:
		m.Why = "link" // to a loop, or out of the tree
	case state.Kind != evidence.KindFile:
		m.Why = "type"
	case r.entry.Algorithm == "":
		if out.Unhashed++; !mayBeUnhashed(r.path) {
			out.UnhashedFiles = append(out.UnhashedFiles, r.path)
		}
		if r.entry.Size < 0 || r.entry.Size == state.Size {
			return
		}
	case r.entry.Algorithm != "sha256" && r.entry.Algorithm != "sha1":
		m.Why = "algorithm " + clip(r.entry.Algorithm) // which the tree has no digest of
	case m.Found == "":
		m.Why = "unread"
	case m.Found == m.Recorded && (r.entry.Size < 0 || r.entry.Size == state.Size):
		out.Matching++
		return
	}
	out.Mismatches = append(out.Mismatches, m)
}

// mayBeUnhashed reports whether a RECORD need not give the digest of a file.
func mayBeUnhashed(p string) bool {
	switch path.Base(p) {
	case "RECORD", "RECORD.jws", "RECORD.p7s":
		return strings.HasSuffix(path.Dir(p), ".dist-info")
	}
	return path.Ext(p) == ".pyc"
}

func (c *collector) overwritten(key, real string, who []owner) Overwritten {
	o := Overwritten{Path: real, By: []string{}, SameContent: who[0].digest != ""}
	for _, w := range who {
		if k := c.env.Distributions[w.index].Key; k != key && !slices.Contains(o.By, k) {
			o.By = append(o.By, k)
		}
		o.SameContent = o.SameContent && w.digest == who[0].digest
	}
	slices.Sort(o.By)
	return o
}

// cutRecord sorts the lists, and cuts them with a word about it.
func (c *collector) cutRecord(key string, r *RecordCheck) {
	slices.SortFunc(r.Mismatches, func(a, b RecordMismatch) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(r.Overwritten, func(a, b Overwritten) int { return cmp.Compare(a.Path, b.Path) })
	r.Mismatches = cut(c, "recordCheck.mismatches of "+key, r.Mismatches)
	r.Overwritten = cut(c, "recordCheck.overwritten of "+key, r.Overwritten)
	for _, list := range []struct {
		name string
		list *[]string
	}{{"unhashedFiles", &r.UnhashedFiles}, {"missing", &r.Missing}, {"outside", &r.Outside}, {"duplicates", &r.Duplicates}} {
		slices.Sort(*list.list)
		*list.list = cut(c, "recordCheck."+list.name+" of "+key, *list.list)
		for i, p := range *list.list {
			(*list.list)[i] = clip(p)
		}
	}
	for i := range r.Mismatches {
		r.Mismatches[i].Path = clip(r.Mismatches[i].Path)
	}
	for i := range r.Overwritten {
		r.Overwritten[i].Path = clip(r.Overwritten[i].Path)
	}
}

// cut bounds a list, and says so.
func cut[T any](c *collector, what string, list []T) []T {
	if len(list) <= maxListed {
		return list
	}
	c.notExamined(what, "%d entries: %d are listed", len(list), maxListed)
	return list[:maxListed]
}
