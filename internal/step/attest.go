package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// attestors run beside one another, at most this many: they read and hash.
const attestWorkers = 2

// Collection is a step's evidence before it is signed.
type Collection struct {
	// Payload is the in-toto statement, to be signed as it is.
	Payload  []byte
	Subjects []attestation.Subject
	Outcomes []evidence.Outcome
}

// outcomePredicate is the outcome/v0.1 predicate: how each attestor ended, also
// when all went well.
type outcomePredicate struct {
	Outcomes []evidence.Outcome `json:"outcomes"`
}

// Attest runs the attestors over what was observed and puts their predicates in
// one collection about the subjects. An attestor that fails or is skipped leaves
// an outcome and no attestation; the collection is made all the same.
func Attest(ctx context.Context, in *attest.Input, attestors []attest.Attestor, subjects []attestation.Subject) (*Collection, error) {
	if len(subjects) == 0 {
		return nil, fmt.Errorf("attest step %q: no subject", in.Step)
	}
	type slot struct {
		attestation attestation.CollectionAttestation
		outcome     evidence.Outcome
	}
	slots := make([]slot, len(attestors))
	var wg sync.WaitGroup
	tokens := make(chan struct{}, attestWorkers)
	for i, a := range attestors {
		wg.Go(func() {
			tokens <- struct{}{}
			defer func() { <-tokens }()
			slots[i].attestation, slots[i].outcome = runOne(ctx, a, in)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := attestation.Collection{Name: in.Step}
	var outcomes []evidence.Outcome
	for _, s := range slots {
		outcomes = append(outcomes, s.outcome)
		if s.outcome.Status == evidence.OutcomeOK {
			c.Attestations = append(c.Attestations, s.attestation)
		}
	}
	now := time.Now().UTC()
	raw, err := json.Marshal(outcomePredicate{outcomes})
	if err != nil {
		return nil, fmt.Errorf("attest step %q: outcomes: %w", in.Step, err)
	}
	c.Attestations = append(c.Attestations, attestation.CollectionAttestation{
		Type: attestation.TypeOutcome, Attestation: raw, StartTime: now, EndTime: now,
	})
	return seal(c, subjects, outcomes)
}

func seal(c attestation.Collection, subjects []attestation.Subject, outcomes []evidence.Outcome) (*Collection, error) {
	predicate, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("collection of step %q: %w", c.Name, err)
	}
	payload, err := json.Marshal(attestation.Statement{
		Type: attestation.StatementType, Subject: subjects, PredicateType: attestation.CollectionType, Predicate: predicate,
	})
	if err != nil {
		return nil, fmt.Errorf("statement of step %q: %w", c.Name, err)
	}
	return &Collection{Payload: payload, Subjects: subjects, Outcomes: outcomes}, nil
}

// runOne runs one attestor and turns whatever happens into an outcome.
func runOne(ctx context.Context, a attest.Attestor, in *attest.Input) (made attestation.CollectionAttestation, out evidence.Outcome) {
	out = evidence.Outcome{Attestor: a.Name, Status: evidence.OutcomeOK}
	started := time.Now().UTC()
	defer func() {
		// What a package installed is hostile input; one attestor that trips over it
		// must not take the evidence of the others with it.
		if r := recover(); r != nil {
			out.Status = evidence.OutcomeFailed
			out.Error = fmt.Sprintf("panic: %v at %s", r, firstFrames(debug.Stack()))
		}
	}()
	predicate, err := a.Run(ctx, in)
	var skipped *attest.SkippedError
	switch {
	case errors.As(err, &skipped):
		out.Status, out.Unmet = evidence.OutcomeSkipped, skipped.Unmet
		return made, out
	case err != nil:
		out.Status, out.Error = evidence.OutcomeFailed, evidence.RedactText(err.Error(), nil)
		return made, out
	}
	raw, err := json.Marshal(predicate)
	if err != nil {
		out.Status, out.Error = evidence.OutcomeFailed, "encode predicate: "+err.Error()
		return made, out
	}
	return attestation.CollectionAttestation{Type: a.Type, Attestation: raw, StartTime: started, EndTime: time.Now().UTC()}, out
}

// firstFrames bounds a stack trace for an outcome, in bytes.
func firstFrames(stack []byte) string {
	const limit = 1500
	return string(stack[:min(len(stack), limit)])
}
