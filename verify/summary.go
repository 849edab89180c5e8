package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/package-url/packageurl-go"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// verifierID stands for pip-witness run by whoever holds the signing key.
const verifierID = "https://pip-witness.dev/verifier/v1"

// maxSummaries bounds how many distribution files are summarised; an
// installation has some hundreds.
const maxSummaries = attestation.MaxSummaries

// Results of a verification summary.
const (
	summaryPassed = "PASSED"
	summaryFailed = "FAILED"
)

// Levels that a summary states. Whether a distribution file was built on a
// platform of some level is not what was verified, so no level is claimed.
const (
	levelUnevaluated = "SLSA_BUILD_LEVEL_UNEVALUATED"
	levelFailed      = "FAILED"
)

// Summary is the predicate of a verification summary attestation. It has the
// keys of the specification and no others
// (https://slsa.dev/spec/v1.0/verification_summary). dependencyLevels is absent:
// the levels of what a file depends on are not known.
type Summary struct {
	Verifier SummaryVerifier `json:"verifier"`
	// TimeVerified is RFC 3339 in UTC, by the clock of the verifier.
	TimeVerified time.Time `json:"timeVerified"`
	// ResourceURI is the package URL of the distribution, without the file.
	ResourceURI string `json:"resourceUri"`
	// Policy is the policy that judged: where it came from and the SHA-256 of what
	// was signed of it.
	Policy SummaryResource `json:"policy"`
	// InputAttestations are the collections that decided, in the order of the steps:
	// the name is the step, the digest that of the signed payload.
	InputAttestations []SummaryResource `json:"inputAttestations"`
	// VerificationResult is "PASSED" for the verdict pass and "FAILED" for every
	// other one, also when nothing was found and something was not observed.
	VerificationResult string `json:"verificationResult"`
	// VerifiedLevels is SLSA_BUILD_LEVEL_UNEVALUATED, or FAILED.
	VerifiedLevels []string `json:"verifiedLevels"`
	// SLSAVersion is the version of the specification.
	SLSAVersion string `json:"slsaVersion"`
}

// SummaryVerifier is who verified, with versions by component.
type SummaryVerifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// SummaryResource is a resource descriptor of in-toto.
type SummaryResource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

// SummaryContext is what a result does not say of itself.
type SummaryContext struct {
	// Version is that of this program.
	Version string
	// PolicyURI says where the policy came from.
	PolicyURI string
	// TimeVerified is the time of the request that was verified.
	TimeVerified time.Time
}

// SummaryStatement is the summary for one distribution file.
type SummaryStatement struct {
	// Filename is the distribution file's.
	Filename string
	// Payload is the in-toto statement to be signed.
	Payload []byte
}

// Summaries states the result for each distribution file that it is about,
// sorted by name, each file once. The verdict is one for all of them: they were
// installed and imported together. There are none when no evidence was accepted.
func Summaries(r *policy.Result, c SummaryContext) ([]SummaryStatement, error) {
	predicate := Summary{
		Verifier:           SummaryVerifier{ID: verifierID, Version: map[string]string{"pip-witness": c.Version}},
		TimeVerified:       c.TimeVerified.UTC().Truncate(time.Second),
		Policy:             SummaryResource{URI: c.PolicyURI, Digest: map[string]string{"sha256": r.Policy.SHA256}},
		InputAttestations:  []SummaryResource{},
		VerificationResult: summaryFailed,
		VerifiedLevels:     []string{levelFailed},
		SLSAVersion:        "1.0",
	}
	if r.Verdict == policy.Pass {
		predicate.VerificationResult, predicate.VerifiedLevels = summaryPassed, []string{levelUnevaluated}
	}
	for _, s := range r.Steps {
		if s.Collection != "" {
			predicate.InputAttestations = append(predicate.InputAttestations, SummaryResource{Name: s.Name, Digest: map[string]string{"sha256": s.Collection}})
		}
	}
	var out []SummaryStatement
	seen := map[string]bool{}
	for _, p := range r.Packages {
		predicate.ResourceURI = packageurl.NewPackageURL(packageurl.TypePyPi, "", policy.NormalName(p.Name), p.Version, nil, "").ToString()
		for _, f := range p.Files {
			if seen[f.SHA256] {
				continue
			}
			seen[f.SHA256] = true
			payload, err := summaryPayload(f, predicate)
			if err != nil {
				return nil, fmt.Errorf("summarise %q: %w", f.Filename, err)
			}
			out = append(out, SummaryStatement{f.Filename, payload})
		}
	}
	if len(out) > maxSummaries {
		return nil, fmt.Errorf("summarise %d distribution files: at most %d", len(out), maxSummaries)
	}
	slices.SortFunc(out, func(a, b SummaryStatement) int {
		return slices.Compare([]string{a.Filename, string(a.Payload)}, []string{b.Filename, string(b.Payload)})
	})
	return out, nil
}

func summaryPayload(f policy.File, predicate Summary) ([]byte, error) {
	if f.SHA256 == "" {
		return nil, errors.New("it has no digest")
	}
	raw, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(attestation.Statement{
		Type:          attestation.StatementType,
		Subject:       []attestation.Subject{{Name: f.Filename, Digest: map[string]string{"sha256": f.SHA256}}},
		PredicateType: attestation.TypeVerdict,
		Predicate:     raw,
	})
}
