package pipinstall

import "pip-witness/internal/typosquat"

// similarNames compares the names of the packages with those of widely known
// projects.
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
}
