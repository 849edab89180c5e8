package pipinstall

import (
	"slices"

	"pip-witness/internal/pypi"
	"pip-witness/internal/typosquat"
)

// similarNames compares the names of the packages, and of what their builds need,
// with those of widely known projects.
func (c *collector) similarNames() {
	list := c.in.Popular
	if list == nil {
		list = typosquat.Shipped()
	}
	names := typosquat.New(list)
	c.predicate.PopularNames = PopularNames{Shipped: c.in.Popular == nil, Count: names.Len()}
	for i, d := range c.env.Distributions {
		if i > 0 && c.env.Distributions[i-1].Key == d.Key {
			continue
		}
		if matches := names.Close(d.Key); len(matches) > 0 {
			c.predicate.SimilarNames = append(c.predicate.SimilarNames, SimilarName{Package: d.Key, Matches: matches})
		}
	}
	for i := range c.predicate.PyprojectAnalysis {
		buildNames(&c.predicate.PyprojectAnalysis[i], names)
	}
}

// buildNames compares what a build needs: it runs, and is gone afterwards.
func buildNames(p *Pyproject, names *typosquat.Names) {
	for _, text := range p.BuildRequires {
		r, err := pypi.ParseRequirement(text)
		if err != nil {
			continue // the installer refuses it
		}
		key := pypi.Normalize(r.Name)
		if names.Known(key) || slices.Contains(p.UnknownRequires, key) {
			continue
		}
		p.UnknownRequires = append(p.UnknownRequires, key)
		if matches := names.Close(key); len(matches) > 0 {
			p.Similar = append(p.Similar, SimilarName{Package: key, Matches: matches})
		}
	}
	slices.Sort(p.UnknownRequires)
}
