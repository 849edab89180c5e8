package omnitrail

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/walk"
)

// digestsOf returns the digests of every entry of a tree: those of files as
// they are, and those of symbolic links and directories as [Element] says.
func digestsOf(ctx context.Context, tree *evidence.Tree) (map[string]evidence.DigestSet, error) {
	out := make(map[string]evidence.DigestSet, len(tree.Files))
	children := make(map[string][]string)
	var directories []string
	for p, s := range tree.Files {
		if parent := path.Dir(p); parent != p {
			children[parent] = append(children[parent], p)
		}
		switch s.Kind {
		case evidence.KindFile:
			out[p] = s.Digests
		case evidence.KindSymlink:
			d, err := walk.Digest(ctx, strings.NewReader(s.Target), int64(len(s.Target)))
			if err != nil {
				return nil, err
			}
			out[p] = d
		case evidence.KindDirectory:
			directories = append(directories, p)
		}
	}
	// A path sorts before everything below it, so the reverse order has the
	// entries of a directory before itself.
	slices.Sort(directories)
	slices.Reverse(directories)
	for _, dir := range directories {
		entries := children[dir]
		slices.Sort(entries) // one parent: the order of the names
		d, err := directoryDigests(ctx, tree, entries, out)
		if err != nil {
			return nil, err
		}
		out[dir] = d
	}
	return out, nil
}

// directoryDigests digests the listing of one directory, once per algorithm.
func directoryDigests(ctx context.Context, tree *evidence.Tree, entries []string, digests map[string]evidence.DigestSet) (evidence.DigestSet, error) {
	out := evidence.DigestSet{}
	for _, algorithm := range []string{"sha256", "sha1", "gitoid:sha256", "gitoid:sha1"} {
		var listing bytes.Buffer
		for _, p := range entries {
			digest := digests[p][algorithm]
			if digest == "" {
				digest = "-"
			}
			listing.WriteString(string(tree.Files[p].Kind) + " " + digest + " " + path.Base(p) + "\x00")
		}
		d, err := walk.Digest(ctx, &listing, int64(listing.Len()))
		if err != nil {
			return nil, err
		}
		out[algorithm] = d[algorithm]
	}
	return out, nil
}
