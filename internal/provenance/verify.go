package provenance

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/verify"

	"pip-witness/attestation"
	"pip-witness/internal/pypi"
)

// Outcome is what became of an attestation.
type Outcome string

// Outcomes.
const (
	Verified     Outcome = "verified"
	Invalid      Outcome = "invalid"
	NotOffered   Outcome = "not offered"
	NotEvaluated Outcome = "not evaluated"
)

// Check is a clause of the verification.
type Check string

// Clauses, in the order in which they are checked.
const (
	CheckObject    Check = "object"    // the provenance object or the attestation can be read
	CheckSignature Check = "signature" // certificate, transparency log and signature
	CheckDigest    Check = "digest"    // the statement is about the digest of the file
	CheckStatement Check = "statement" // it is of a known type
	CheckName      Check = "name"      // it is about the name of the file
	CheckPublisher Check = "publisher" // who signed is who the index names
)

// Distribution is the file that an attestation has to be about.
type Distribution struct {
	Filename string
	SHA256   string // hexadecimal
}

// Result is the judgement of one attestation.
type Result struct {
	Outcome Outcome
	// Reason says why the outcome is not Verified; empty when it is.
	Reason string
	// Failed is the clause that an invalid one fails; empty otherwise.
	Failed Check
	// Type is the predicate type; empty when the statement could not be verified.
	Type string
	// Identity is who signed; zero when the signature could not be verified.
	Identity Identity
	// Publisher is who the index named, each word cut at 512 bytes.
	Publisher Publisher
	// Time is when the log entered the signature; zero as Identity is.
	Time time.Time
}

// VerifyObject judges every attestation of a provenance object for one file, in
// the object's order. An object that cannot be read is one invalid result, and
// what was left out is one that was not evaluated.
func (r *Root) VerifyObject(raw []byte, d Distribution) []Result {
	o, err := ParseObject(raw)
	if err != nil {
		return []Result{{Outcome: Invalid, Failed: CheckObject, Reason: cut(err.Error())}}
	}
	var results []Result
	for _, b := range o.Bundles {
		for _, a := range b.Attestations {
			results = append(results, r.Verify(a, d, &b.Publisher))
		}
	}
	if o.Cut > 0 {
		results = append(results, Result{
			Outcome: NotEvaluated, Reason: fmt.Sprintf("%d attestations beyond the first %d were left out", o.Cut, maxAttestations),
		})
	}
	return results
}

// Verify judges one attestation. Without a publisher the identity is not
// compared: who signed is in the result, and anybody can sign.
func (r *Root) Verify(a Attestation, d Distribution, publisher *Publisher) (result Result) {
	if publisher != nil {
		result.Publisher = publisher.bounded()
	}
	defer func() {
		// The parsers below are those of others, the bytes are hostile: whoever trips
		// one must not take the evidence of the other files with it.
		if p := recover(); p != nil {
			reason := cut(fmt.Sprintf("the attestation broke its reader: %v", p))
			result = Result{Outcome: Invalid, Failed: CheckObject, Reason: reason, Publisher: result.Publisher}
		}
	}()
	failed, err := r.verify(a, d, publisher, &result)
	var unknown *unknownPublisherError
	switch {
	case err == nil:
		result.Outcome = Verified
	case errors.As(err, &unknown):
		result.Outcome, result.Reason = NotEvaluated, cut(err.Error())
	default:
		result.Outcome, result.Failed, result.Reason = Invalid, failed, cut(err.Error())
	}
	return result
}

// verify fills out and returns the clause that failed.
func (r *Root) verify(a Attestation, d Distribution, publisher *Publisher, out *Result) (Check, error) {
	digest, err := hex.DecodeString(d.SHA256)
	if err != nil || len(digest) != 32 {
		return CheckDigest, fmt.Errorf("the SHA-256 %q of the file is none", cut(d.SHA256))
	}
	b, err := a.bundle()
	if err != nil {
		return CheckObject, err
	}
	// The identity is compared below, clause by clause: the index's names are not
	// patterns of the certificate's.
	signed, err := r.verifier.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		// What is signed as it should be, and is about other bytes, is another matter
		// than a signature that is none.
		if _, other := r.verifier.Verify(b, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithoutIdentitiesUnsafe())); other == nil {
			return CheckDigest, err
		}
		return CheckSignature, err
	}
	if signed.Signature == nil || signed.Signature.Certificate == nil || len(signed.VerifiedTimestamps) == 0 {
		return CheckSignature, errors.New("the verification left no certificate or no time")
	}
	out.Identity, out.Time = identityOf(signed.Signature.Certificate), signed.VerifiedTimestamps[0].Timestamp.UTC()
	var failed Check
	if out.Type, failed, err = checkStatement(a.Envelope.Statement, d); err != nil {
		return failed, err
	}
	if publisher == nil {
		return "", nil
	}
	return CheckPublisher, publisher.compare(out.Identity)
}

// checkStatement compares the signed statement with the file.
func checkStatement(raw []byte, d Distribution) (predicateType string, failed Check, err error) {
	var s struct {
		Type          string                `json:"_type"`
		Subject       []attestation.Subject `json:"subject"`
		PredicateType string                `json:"predicateType"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", CheckStatement, fmt.Errorf("read statement: %w", err)
	}
	if s.Type != attestation.StatementType {
		return "", CheckStatement, fmt.Errorf("statement type %q, want %q", cut(s.Type), attestation.StatementType)
	}
	if s.PredicateType != TypePublish && s.PredicateType != TypeSLSA {
		return "", CheckStatement, fmt.Errorf("predicate type %q is neither a publish attestation nor a SLSA provenance", cut(s.PredicateType))
	}
	if len(s.Subject) != 1 {
		return s.PredicateType, CheckStatement, fmt.Errorf("%d subjects, want 1", len(s.Subject))
	}
	if subject := s.Subject[0]; subject.Digest["sha256"] != d.SHA256 || !sameFile(subject.Name, d.Filename) {
		if failed = CheckName; subject.Digest["sha256"] != d.SHA256 {
			failed = CheckDigest
		}
		return s.PredicateType, failed, fmt.Errorf("the attestation is about %q with the SHA-256 %q", cut(subject.Name), cut(subject.Digest["sha256"]))
	}
	return s.PredicateType, "", nil
}

// sameFile compares file names as PEP 740 asks for: by what they say, since
// tools write one project's name, version and tags in several ways.
func sameFile(a, b string) bool {
	if wa, err := pypi.ParseWheelName(a); err == nil {
		wb, err := pypi.ParseWheelName(b)
		return err == nil && wa.Name == wb.Name && wa.Version.Compare(wb.Version) == 0 && wa.Build == wb.Build &&
			sameSet(wa.Pythons, wb.Pythons) && sameSet(wa.ABIs, wb.ABIs) && sameSet(wa.Platforms, wb.Platforms)
	}
	sa, errA := pypi.ParseSdistName(a)
	sb, errB := pypi.ParseSdistName(b)
	return errA == nil && errB == nil && sa.Name == sb.Name && sa.Version.Compare(sb.Version) == 0 && sa.Extension == sb.Extension
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// cut makes a text of an index fit for the evidence: valid, bounded.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
