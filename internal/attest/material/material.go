// Package material attests the local inputs of a step: the wheels, sdists,
// requirement and constraint files that the user gave. What came from an index
// is not local and is in the provenance instead.
package material

import (
	"context"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/material/v0.1"

// Predicate maps the path of each local input, as the user gave it, to its
// digests. It is empty when everything came from an index. The digest set of an
// input that has no digest (a directory, for instance) is empty.
type Predicate map[string]evidence.DigestSet

// Attestor returns the catalogue entry. Its predicate is a [Predicate]. A step
// that installed nothing is skipped ([attest.SkippedError]).
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "material", Type: Type, Run: run}
}

func run(_ context.Context, in *attest.Input) (any, error) {
	if in.Install == nil {
		return nil, &attest.SkippedError{Unmet: "a step that installs"}
	}
	out := Predicate{}
	for _, f := range in.Install.LocalFiles {
		digests := f.Digests
		if digests == nil {
			digests = evidence.DigestSet{}
		}
		out[f.Path] = digests
	}
	return out, nil
}
