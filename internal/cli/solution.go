package cli

import (
	"sync"

	"pip-witness/policy"
	"pip-witness/rules"
)

// shippedRules returns a function that reads the annotations of the shipped
// modules, by rule id. They are read at the first question: most runs ask none.
func shippedRules() func() map[string]policy.Rule { return sync.OnceValue(readRules) }

// readRules has no rules where a shipped module cannot be read, which fails the
// module tests: an outcome is rendered nevertheless.
func readRules() map[string]policy.Rule {
	found := map[string]policy.Rule{}
	pages, err := shippedPages()
	if err != nil {
		return found
	}
	for _, p := range pages {
		for _, r := range p.Rules {
			found[r.ID] = r
		}
	}
	return found
}

func shippedPages() ([]policy.Page, error) {
	catalogue, err := policy.LoadCatalogue(rules.FS, nil)
	if err != nil {
		return nil, err
	}
	return catalogue.Pages()
}
