// Package catalogue is the list of attestors, by step. Adding one is adding a
// line here and a folder beside this one.
package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"pip-witness/internal/attest"
	"pip-witness/internal/attest/commandrun"
	"pip-witness/internal/attest/environment"
	"pip-witness/internal/attest/material"
	"pip-witness/internal/attest/omnitrail"
	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/attest/product"
	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/attest/secretscan"
	"pip-witness/internal/attest/slsa"
)

// Install are the attestors of step pip-install, in the order of the collection.
func Install() []attest.Attestor {
	return []attest.Attestor{
		commandrun.Attestor(), pipinstall.Attestor(), environment.Attestor(), omnitrail.Attestor(), secretscan.Attestor(),
		sbom.Attestor(), slsa.Attestor(), material.Attestor(), product.Attestor(),
	}
}

// Import are the attestors of step pip-import.
func Import() []attest.Attestor {
	return []attest.Attestor{commandrun.Attestor(), environment.Attestor(), omnitrail.Attestor()}
}

// Select returns command-run and the named attestors, in the order of the
// catalogue.
func Select(names []string) ([]attest.Attestor, error) {
	var chosen []attest.Attestor
	var known []string
	for _, a := range Install() {
		known = append(known, a.Name)
		if a.Name == commandrun.Attestor().Name || slices.Contains(names, a.Name) {
			chosen = append(chosen, a)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("no attestor %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
