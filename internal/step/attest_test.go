package step

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// An attestor that fails, panics or is skipped leaves an outcome and takes
// nothing from the others.
func TestAttestOutcomes(t *testing.T) {
	attestor := func(name string, run func() (any, error)) attest.Attestor {
		return attest.Attestor{Name: name, Type: "https://example.com/" + name, Run: func(context.Context, *attest.Input) (any, error) { return run() }}
	}
	subjects := []attestation.Subject{{Name: "x", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}}
	in := &attest.Input{Step: "pip-install"}
	c, err := Attest(t.Context(), in, []attest.Attestor{
		attestor("good", func() (any, error) { return map[string]int{"n": 1}, nil }),
		attestor("skipped", func() (any, error) { return nil, &attest.SkippedError{Unmet: "no tree"} }),
		attestor("failed", func() (any, error) { return nil, errors.New("read x: no") }),
		attestor("panicking", func() (any, error) { panic("hostile input") }),
		attestor("unencodable", func() (any, error) { return func() {}, nil }),
		attestor("also-good", func() (any, error) { return []string{}, nil }),
	}, subjects)
	if err != nil {
		t.Fatal(err)
	}
	want := []evidence.Outcome{
		{Attestor: "good", Status: evidence.OutcomeOK}, {Attestor: "skipped", Status: evidence.OutcomeSkipped, Unmet: "no tree"},
		{Attestor: "failed", Status: evidence.OutcomeFailed, Error: "read x: no"}, {Attestor: "panicking", Status: evidence.OutcomeFailed},
		{Attestor: "unencodable", Status: evidence.OutcomeFailed}, {Attestor: "also-good", Status: evidence.OutcomeOK},
	}
	got := append([]evidence.Outcome(nil), c.Outcomes...)
	for i, start := range map[int]string{3: "panic: hostile input at goroutine", 4: "encode predicate: "} {
		if !strings.HasPrefix(got[i].Error, start) {
			t.Errorf("%s: %q, want %s…", got[i].Attestor, got[i].Error, start)
		}
		got[i].Error = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes: %s", diff)
	}
	var statement attestation.Statement
	var collection attestation.Collection
	if err := errors.Join(json.Unmarshal(c.Payload, &statement), json.Unmarshal(statement.Predicate, &collection)); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, a := range collection.Attestations {
		types = append(types, a.Type)
		if a.StartTime.IsZero() || a.EndTime.Before(a.StartTime) {
			t.Errorf("%s: from %v to %v", a.Type, a.StartTime, a.EndTime)
		}
	}
	if diff := cmp.Diff([]string{"https://example.com/good", "https://example.com/also-good", attestation.TypeOutcome}, types); diff != "" {
		t.Errorf("attestations: %s", diff)
	}
	if diff := cmp.Diff(subjects, statement.Subject); diff != "" || collection.Name != "pip-install" || statement.PredicateType != attestation.CollectionType {
		t.Errorf("collection %q, type %q, subjects %s", collection.Name, statement.PredicateType, diff)
	}
}

func TestAttestFails(t *testing.T) {
	if _, err := Attest(t.Context(), &attest.Input{Step: "x"}, nil, nil); err == nil {
		t.Error("no subject: no error")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	subjects := []attestation.Subject{{Name: "x", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}}
	if _, err := Attest(ctx, &attest.Input{Step: "x"}, nil, subjects); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}
