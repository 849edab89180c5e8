package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxDrop is by how many points of recall the renamed scenarios may be below the
// others.
const maxDrop = 2.0

// apart is the line without what modules that go by names were expected to report;
// false when nothing else was expected.
func (c catalogue) apart(l line) (line, bool) {
	named := func(name string) bool {
		return slices.Contains(byName(), name) || slices.Contains(byName(), c.home[name])
	}
	l.Expected = slices.DeleteFunc(slices.Clone(l.Expected), named)
	l.Missing = slices.DeleteFunc(slices.Clone(l.Missing), named)
	l.OK = len(l.Missing) == 0
	return l, len(l.Expected) > 0
}

// comparison is recall without and with renaming.
type comparison struct {
	seed              uint64
	plain, renamed    int // caught
	total, notMutated int
	lost              []string // caught only under the names of the header
}

func (c comparison) drop() float64 {
	if c.total == 0 {
		return 0
	}
	return 100 * float64(c.plain-c.renamed) / float64(c.total)
}

// compareSeeds holds the results under a seed against those without.
func (c catalogue) compareSeeds(plain, renamed []line, seed uint64) comparison {
	base := map[string]line{}
	for _, l := range plain {
		base[l.Name] = l
	}
	out := comparison{seed: seed}
	for _, l := range renamed {
		before, known := base[l.Name]
		if !known || l.Seed != seed || l.NotRun != "" || before.NotRun != "" || l.Unreachable != "" {
			continue
		}
		before, judged := c.apart(before)
		l, _ := c.apart(l)
		if !judged {
			out.notMutated++
			continue
		}
		out.total++
		if before.OK {
			out.plain++
		}
		if l.OK {
			out.renamed++
		}
		if before.OK && !l.OK {
			out.lost = append(out.lost, fmt.Sprintf("%s (%s)", l.Name, strings.Join(l.Missing, " ")))
		}
	}
	return out
}

// runMutation runs the scenarios as they are, where that is not done, and renamed.
func (s settings) runMutation(ctx context.Context, stdout *report) error {
	plain, err := s.attacks(ctx, suiteAttacks, 0)
	if err != nil {
		return err
	}
	renamed, err := s.attacks(ctx, suiteMutation, s.seed)
	if err != nil {
		return err
	}
	c := s.compareSeeds(plain, renamed, s.seed)
	stdout.mutation([]comparison{c})
	return c.accept()
}

// accept is an error when too much recall is lost.
func (c comparison) accept() error {
	if c.drop() > maxDrop {
		return fmt.Errorf("recall drops by %.1f points with seed %d, want at most %.0f: %s", c.drop(), c.seed, maxDrop, strings.Join(c.lost, ", "))
	}
	return nil
}
