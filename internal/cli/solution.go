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
	catalogue, err := policy.LoadCatalogue(rules.FS, nil)
	if err != nil {
		return found
	}
	all, err := catalogue.Rules()
	if err != nil {
		return found
	}
	for _, r := range all {
		found[r.ID] = r
	}
	return found
}

// shippedPages are the pages of the shipped modules, and where a policy's source asks
// each of them.
func shippedPages(src []byte) ([]policy.Page, map[string][]policy.Binding, error) {
	catalogue, err := policy.LoadCatalogue(rules.FS, nil)
	if err != nil {
		return nil, nil, err
	}
	bound, err := catalogue.Bindings(src)
	if err != nil {
		return nil, nil, badInput(err)
	}
	pages, err := catalogue.Pages()
	return pages, bound, err
}
