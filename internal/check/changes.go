package check

import (
	"cmp"
	"context"
	"slices"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/walk"
)

// maxChanges bounds what is listed of changes outside the trail's roots; a package
// chooses how many there are.
const maxChanges = 20_000

// addChanges completes the change list of a step: the differences of the trail's
// trees, and what the layers over everything else say. roots are the trail's.
func addChanges(ctx context.Context, recording *step.Recording, before, after *evidence.Tree, layers []sandbox.Layer, hashes *walk.DigestCache) error {
	command := &recording.Command
	command.Changes = changes(before, after)
	if layers == nil {
		return nil
	}
	roots := after.Roots
	covered := func(path string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return within(path, root) })
	}
	var outside []evidence.TreeChange
	for _, l := range layers {
		if l.Upper == "" || covered(l.Path) {
			continue
		}
		old, now, err := layerTrees(ctx, l, hashes)
		if err != nil {
			return err
		}
		for _, c := range evidence.DiffTrees(old, now) {
			// What was made to mount something there is no change of the command.
			ours := (c.Change == "created" || c.Change == "owner") && slices.Contains(recording.Made, c.Path)
			if !covered(c.Path) && !ours {
				outside = append(outside, c)
			}
		}
		if n := len(now.Unread); n > 0 {
			command.Coverage.Losses["changes"] += n
			command.Coverage.Complete = false
		}
	}
	slices.SortFunc(outside, compareChanges)
	outside = slices.Compact(outside)
	if len(outside) > maxChanges {
		outside = outside[:maxChanges]
		command.Coverage.Limits = append(command.Coverage.Limits, evidence.Limit{Name: "changes", Value: maxChanges, Unit: "changes"})
		command.Coverage.Complete = false
	}
	command.Changes = append(command.Changes, outside...)
	slices.SortFunc(command.Changes, compareChanges)
	return nil
}

func compareChanges(a, b evidence.TreeChange) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Change, b.Change))
}

// layerTrees are the states of one directory before and after, as far as they can
// differ.
func layerTrees(ctx context.Context, l sandbox.Layer, hashes *walk.DigestCache) (before, after *evidence.Tree, err error) {
	if l.Whole {
		tree := func(outside string) (*evidence.Tree, error) {
			layout := attest.Layout{Mounts: []attest.Mount{{Inside: l.Path, Outside: outside}}}
			return walk.Tree(ctx, layout, []string{l.Path}, hashes)
		}
		if before, err = tree(l.Lower[0]); err != nil {
			return nil, nil, err
		}
		after, err = tree(l.Upper)
		return before, after, err
	}
	before, after, err = walk.Changed(ctx, walk.Layer{Inside: l.Path, Upper: l.Upper, Lower: l.Lower}, 2*maxChanges, hashes)
	if err != nil {
		return nil, nil, err
	}
	// The directory itself: its layer belongs to who runs this, whosever it is.
	if top, ok := after.Files[l.Path]; ok {
		top.Mode = l.Mode
		before.Files[l.Path] = top
	}
	return before, after, nil
}

// layerFacts puts into the coverage what of the host can be changed inside, without
// effect outside, and what cannot.
func layerFacts(s *evidence.Sandbox, layers []sandbox.Layer) {
	for _, l := range layers {
		if l.Upper != "" {
			s.Overlaid = append(s.Overlaid, l.Path)
		} else {
			s.ReadOnly = append(s.ReadOnly, l.Path)
		}
	}
	slices.Sort(s.Overlaid)
	s.Overlaid = slices.Compact(s.Overlaid)
	slices.Sort(s.ReadOnly)
	s.ReadOnly = slices.Compact(s.ReadOnly)
}
