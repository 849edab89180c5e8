package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// clockSkew is how far clocks of different machines may be apart.
const clockSkew = 5 * time.Minute

// Document is one document of evidence.
type Document struct {
	// Name is used in messages: a file name.
	Name string
	// Data is an envelope or a Sigstore bundle, plain JSON or zstd.
	Data []byte
}

// Request is what is to be verified.
type Request struct {
	// PolicyEnvelope is the signed policy, plain JSON or zstd.
	PolicyEnvelope []byte
	// PolicyKeys are the keys that the caller trusts to sign policies.
	PolicyKeys []attestation.Verifier
	// EmbeddedKeys are keys that lie beside the evidence; they are used when
	// there are no PolicyKeys, and prove only that the evidence agrees with itself.
	EmbeddedKeys []attestation.Verifier
	// TrustEmbedded lets EmbeddedKeys count as trusted. Without it, a result
	// that rests on them is untrusted, whatever the evidence says.
	TrustEmbedded bool
	// Collections is the evidence, in any order.
	Collections []Document
	// Artifacts must each be a subject of every step.
	Artifacts []attestation.Subject
	// Now is the time of verification, the only time that modules see.
	Now time.Time
	// EvalTimeout limits each module; zero means [policy.DefaultEvalTimeout].
	EvalTimeout time.Duration
	// Programs are modules that were compiled before, and where further ones are
	// kept; nil keeps nothing.
	Programs *policy.Programs
}

// InputError is about a document that cannot be read at all: not JSON, cut off,
// too large, or a policy that makes no sense. It is bad input, not a verdict.
type InputError struct {
	// What names the document.
	What string
	Err  error
}

func (e *InputError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// Verify judges the evidence. A result is returned for every outcome that is a
// verdict, trust failures included; an error is an [*InputError], or the context's.
func Verify(ctx context.Context, req Request) (*policy.Result, error) {
	if req.Programs == nil {
		req.Programs = &policy.Programs{}
	}
	v := &verifier{
		req: req,
		result: &policy.Result{
			Verdict: policy.Pass, Packages: []policy.Package{}, Steps: []policy.StepResult{}, Findings: []policy.Finding{},
			Checks: []policy.Check{}, Coverage: map[string]json.RawMessage{},
		},
	}
	trusted, err := v.openPolicy()
	if err != nil {
		return nil, err
	}
	if !trusted {
		return v.result, nil
	}
	defer v.compileAhead(ctx)()
	if err := v.openEvidence(); err != nil {
		return nil, err
	}
	if !v.inForce() {
		return v.result, nil
	}
	order, err := v.policy.Order()
	if err != nil {
		return nil, &InputError{"policy", err}
	}
	for _, name := range order {
		if err := v.step(ctx, name); err != nil {
			return nil, err
		}
	}
	v.finish()
	return v.result, nil
}

// verifier is one verification under way.
type verifier struct {
	req      Request
	policy   *policy.Policy
	trust    attestation.Trust // the policy's functionaries and time-stamp authorities
	evidence []*collection
	external map[string]externalAttestation
	rejected []rejection
	outcomes map[string][]*outcome // by step, one per collection
	uses     []policy.ExceptionUse
	result   *policy.Result
}

func (v *verifier) check(name policy.CheckName, step, status, detail string) {
	v.result.Checks = append(v.result.Checks, policy.Check{Name: name, Step: step, Status: status, Detail: detail})
}

// distrust ends verification of the policy with the verdict untrusted.
func (v *verifier) distrust(name policy.CheckName, detail string) (bool, error) {
	v.check(name, "", policy.StatusFail, detail)
	v.result.Verdict = policy.Untrusted
	return false, nil
}

// openPolicy makes the checks of the policy itself: envelope, signature, expiry.
func (v *verifier) openPolicy() (bool, error) {
	data, err := attestation.Decompress(v.req.PolicyEnvelope)
	if err != nil {
		return false, &InputError{"policy", err}
	}
	envelope, err := attestation.ParseEnvelope(data)
	if err != nil {
		if isPolicyDocument(data) {
			return v.distrust(policy.CheckSignature, "the policy is not signed: sign it with `pip-witness policy sign`")
		}
		return false, &InputError{"policy", err}
	}
	v.check(policy.CheckEnvelope, "", policy.StatusPass, "")
	v.result.Policy.SHA256 = digest(envelope.Payload)
	keys := v.req.PolicyKeys
	if len(keys) == 0 {
		keys = v.req.EmbeddedKeys
	}
	if len(keys) == 0 {
		return v.distrust(policy.CheckSignature, "no public key was given for the policy")
	}
	signers, err := envelope.Verify(keys...)
	if err != nil {
		return v.distrust(policy.CheckSignature, fmt.Sprintf("policy: %v", err))
	}
	if envelope.PayloadType != attestation.PolicyPayloadType {
		return false, &InputError{"policy", fmt.Errorf("payload type %q, want %q", envelope.PayloadType, attestation.PolicyPayloadType)}
	}
	if v.policy, err = policy.Parse(envelope.Payload); err != nil {
		return false, &InputError{"policy", err}
	}
	v.result.Policy.Expires = v.policy.Expires.UTC().Format(time.RFC3339)
	v.result.Policy.FailOn = v.policy.Threshold()
	v.trustPolicy(signers[0])
	v.trust.Now = v.req.Now
	if v.trust.Roots, err = policy.Authorities(v.policy.Roots); err != nil {
		return false, &InputError{"policy", err}
	}
	if v.trust.TimestampAuthorities, err = policy.Authorities(v.policy.TimestampAuthorities); err != nil {
		return false, &InputError{"policy", err}
	}
	for _, id := range slices.Sorted(maps.Keys(v.policy.PublicKeys)) {
		key, err := attestation.ParsePublicKey(v.policy.PublicKeys[id].Key)
		if err != nil {
			return false, &InputError{"policy", err}
		}
		v.trust.Keys = append(v.trust.Keys, key)
	}
	for _, e := range v.policy.Exceptions {
		v.uses = append(v.uses, policy.ExceptionUse{Exception: e, Status: "unused"})
	}
	return true, nil
}

// inForce checks that the policy is, or was, when trusted authorities saw the
// signatures of all evidence that it judges: evidence that was good then can be
// judged for ever. One collection without such a time, and it is now that counts.
func (v *verifier) inForce() bool {
	if v.policy.Expires.After(v.req.Now) {
		v.check(policy.CheckExpiry, "", policy.StatusPass, "")
		return true
	}
	var last time.Time
	stamped := len(v.evidence) > 0
	for _, c := range v.evidence {
		at := c.stamp()
		stamped = stamped && !at.IsZero()
		if at.After(last) {
			last = at
		}
	}
	if stamped && v.policy.Expires.After(last) {
		v.check(policy.CheckExpiry, "", policy.StatusNote,
			fmt.Sprintf("the policy expired on %s; all evidence was time-stamped before, the last at %s", v.result.Policy.Expires, last.Format(time.RFC3339)))
		return true
	}
	v.check(policy.CheckExpiry, "", policy.StatusFail, fmt.Sprintf("the policy expired on %s", v.result.Policy.Expires))
	v.result.Verdict = policy.Untrusted
	return false
}

// trustPolicy records whose signature the policy rests on.
func (v *verifier) trustPolicy(signer attestation.Verifier) {
	switch {
	case len(v.req.PolicyKeys) > 0:
		v.result.Policy.KeyID = signer.KeyID()
		v.check(policy.CheckSignature, "", policy.StatusPass, "")
	case v.req.TrustEmbedded:
		v.result.Policy.KeyID = signer.KeyID()
		v.check(policy.CheckSignature, "", policy.StatusNote, "the policy's key was taken from beside the evidence, as asked for")
	default:
		v.result.Verdict = policy.Untrusted
		v.check(policy.CheckSignature, "", policy.StatusFail,
			"no public key was given: the key beside the evidence proves only that it agrees with itself")
	}
}

// isPolicyDocument recognises a policy that nobody wrapped in an envelope.
func isPolicyDocument(data []byte) bool {
	var m struct {
		Steps   map[string]json.RawMessage `json:"steps"`
		Payload *json.RawMessage           `json:"payload"`
	}
	return json.Unmarshal(data, &m) == nil && m.Payload == nil && len(m.Steps) > 0
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// rejection is evidence that was not accepted, and why.
type rejection struct {
	check  policy.CheckName
	reason string
	// step is the step that the evidence claims; empty when it cannot be told.
	step string
}

func (v *verifier) reject(check policy.CheckName, doc, step, reason string) {
	reason = strings.ReplaceAll(reason, "\n", "; ") // of joined errors: it is one sentence in a report
	v.rejected = append(v.rejected, rejection{check, fmt.Sprintf("%s: %s", doc, reason), step})
}

// openEvidence reads every document and keeps what a functionary signed.
func (v *verifier) openEvidence() error {
	v.external = map[string]externalAttestation{}
	v.outcomes = map[string][]*outcome{}
	seen := map[string]string{}
	for _, doc := range v.req.Collections {
		data, err := attestation.Decompress(doc.Data)
		if err != nil {
			return &InputError{fmt.Sprintf("evidence %q", doc.Name), err}
		}
		envelope, err := attestation.ParseEnvelope(data)
		if err != nil {
			return &InputError{fmt.Sprintf("evidence %q", doc.Name), err}
		}
		signers, err := envelope.Accept(v.trust)
		if err != nil {
			v.reject(policy.CheckSignature, doc.Name, claimedStep(envelope.Payload), err.Error())
			continue
		}
		// Only accepted evidence is compared: a copy with a broken signature
		// must not displace the good one.
		sum := digest(envelope.Payload)
		if first, ok := seen[sum]; ok {
			v.check(policy.CheckEnvelope, "", policy.StatusNote, fmt.Sprintf("%s is the same evidence as %s: read once", doc.Name, first))
			v.addSigners(sum, signers)
			continue
		}
		seen[sum] = doc.Name
		v.open(doc.Name, envelope, sum, signers)
	}
	return nil
}

// addSigners adds who signed another copy of a collection: one copy may be
// signed by a functionary of the step when the first was not.
func (v *verifier) addSigners(sum string, signers []attestation.Accepted) {
	for _, c := range v.evidence {
		if c.sum == sum {
			c.signers = append(c.signers, signers...)
		}
	}
}

// open reads a statement that one of the policy's keys signed.
func (v *verifier) open(name string, e attestation.Envelope, sum string, signers []attestation.Accepted) {
	if e.PayloadType != attestation.PayloadType {
		v.reject(policy.CheckEnvelope, name, claimedStep(e.Payload), fmt.Sprintf("payload type %q, want %q", e.PayloadType, attestation.PayloadType))
		return
	}
	statement, err := attestation.ParseStatement(e.Payload)
	if err != nil {
		v.reject(policy.CheckEnvelope, name, "", err.Error())
		return
	}
	if !attestation.IsCollection(statement.PredicateType) {
		v.openExternal(name, statement, signers)
		return
	}
	c, err := newCollection(name, statement, sum, signers)
	if err != nil {
		v.reject(policy.CheckEnvelope, name, claimedStep(e.Payload), err.Error())
		return
	}
	if _, ok := v.policy.Steps[c.Name]; !ok {
		v.check(policy.CheckStepName, "", policy.StatusNote, fmt.Sprintf("%s is evidence of step %q, which the policy does not have: not used", name, c.Name))
		return
	}
	v.evidence = append(v.evidence, c)
}

// claimedStep is the step that a payload names, for messages only: nothing
// vouches for it.
func claimedStep(payload []byte) string {
	var s struct {
		Predicate struct {
			Name string `json:"name"`
		} `json:"predicate"`
	}
	if json.Unmarshal(payload, &s) != nil {
		return ""
	}
	return s.Predicate.Name
}

// openExternal keeps a statement that the policy names outside any step.
func (v *verifier) openExternal(doc string, s attestation.Statement, signers []attestation.Accepted) {
	used := false
	for _, name := range slices.Sorted(maps.Keys(v.policy.External)) {
		e := v.policy.External[name]
		if !attestation.Satisfies(e.Type, s.PredicateType) {
			continue
		}
		used = true
		if _, err := signedBy(e.Functionaries, signers); err != nil {
			v.check(policy.CheckFunctionary, "", policy.StatusNote, fmt.Sprintf("%s: not signed by a functionary of external %q: not used", doc, name))
			continue
		}
		if _, ok := v.external[name]; ok {
			v.check(policy.CheckEnvelope, "", policy.StatusNote, fmt.Sprintf("%s: external %q was already given: not used", doc, name))
			continue
		}
		v.external[name] = externalAttestation{raw: s.Predicate}
	}
	if !used {
		v.check(policy.CheckStepName, "", policy.StatusNote, fmt.Sprintf("%s is a statement of type %q, which the policy does not ask for: not used", doc, s.PredicateType))
	}
}

// signedBy returns the signature of the first functionary that made one. The error
// says who signed instead, and of certificates why they do not fit.
func signedBy(functionaries []policy.Functionary, signers []attestation.Accepted) (attestation.Accepted, error) {
	var why []error
	for _, f := range functionaries {
		for _, s := range signers {
			err := f.Fits(s)
			if err == nil {
				return s, nil
			}
			if f.Type == policy.FunctionaryRoot && s.Certificate != nil {
				why = append(why, fmt.Errorf("certificate of %q: %w", s.Certificate.Subject, err))
			}
		}
	}
	for _, doubt := range signers[0].Doubts {
		why = append(why, errors.New(doubt))
	}
	if len(why) > 0 {
		return attestation.Accepted{}, fmt.Errorf("signed by key %s: %w", signers[0].KeyID(), errors.Join(why...))
	}
	return attestation.Accepted{}, fmt.Errorf("signed by key %s", signers[0].KeyID())
}

// finish joins the steps into the verdict and sorts.
func (v *verifier) finish() {
	for _, s := range v.result.Steps {
		v.result.Verdict = v.result.Verdict.Worse(s.Verdict)
	}
	for _, r := range v.rejected {
		if r.step == "" {
			v.check(r.check, "", policy.StatusNote, r.reason+": not used")
		}
	}
	v.result.Exceptions = v.uses
	order := map[string]int{}
	for i, s := range v.result.Steps {
		order[s.Name] = i
	}
	slices.SortStableFunc(v.result.Findings, func(a, b policy.Finding) int {
		if a.Severity != b.Severity {
			return int(b.Severity - a.Severity)
		}
		if a.Step != b.Step {
			return order[a.Step] - order[b.Step]
		}
		return strings.Compare(a.Module+"\x00"+a.Rule+"\x00"+a.Message, b.Module+"\x00"+b.Rule+"\x00"+b.Message)
	})
}

// compileAhead compiles the policy's modules on all processors, beside the reading of
// the evidence. The function that it returns ends that and waits for it.
func (v *verifier) compileAhead(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	modules := make(chan policy.Module)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(modules)
		for _, name := range v.policy.StepNames() {
			for _, a := range v.policy.Steps[name].Attestations {
				for _, m := range a.RegoPolicies {
					select {
					case modules <- m:
					case <-ctx.Done():
						return
					}
				}
			}
		}
	})
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for m := range modules {
				// Whoever asks the module hears of its error.
				_, _ = v.req.Programs.Compile(ctx, m.Name, m.Module)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
