package attestation

import (
	"encoding/json"
	"fmt"
	"time"
)

// Statement is an in-toto statement: a predicate about subjects.
// Source: in-toto attestation framework, Statement v1.
type Statement struct {
	// Type is [StatementType]; [StatementTypeV01] is accepted on read.
	Type string `json:"_type"`
	// Subject is never empty in what is written.
	Subject []Subject `json:"subject"`
	// PredicateType says what Predicate is.
	PredicateType string `json:"predicateType"`
	// Predicate is the predicate as it was signed.
	Predicate json.RawMessage `json:"predicate"`
}

// Subject is one artifact that a statement is about.
type Subject struct {
	// Name is a file name or another identifier; it identifies nothing by itself.
	Name string `json:"name"`
	// Digest maps an algorithm to a digest in lower-case hex.
	Digest map[string]string `json:"digest"`
}

// Collection is the predicate of a step: every attestation that was made of it.
type Collection struct {
	// Name is the name of the step.
	Name string `json:"name"`
	// Attestations are in the order in which they were made.
	Attestations []CollectionAttestation `json:"attestations"`
}

// Predicate returns the first predicate with this short name ("sbom", "slsa"), the
// bytes as signed; nil when the collection has none.
func (c Collection) Predicate(short string) json.RawMessage {
	for _, a := range c.Attestations {
		if ShortName(a.Type) == short {
			return a.Attestation
		}
	}
	return nil
}

// CollectionAttestation is one attestation of a collection.
type CollectionAttestation struct {
	// Type is the attestation type URI.
	Type string `json:"type"`
	// Attestation is the predicate as it was signed.
	Attestation json.RawMessage `json:"attestation"`
	// StartTime and EndTime say when the attestor ran; zero when not said.
	StartTime time.Time `json:"starttime"`
	EndTime   time.Time `json:"endtime"`
}

// ParseStatement reads a statement from the signed payload bytes. The predicate
// is a part of these bytes.
func ParseStatement(payload []byte) (Statement, error) {
	var s Statement
	if err := CheckJSON(payload); err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	m, err := fields(payload, "_type", "subject", "predicateType", "predicate")
	if err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	if err := field(m, "_type", &s.Type); err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	if s.Type != StatementType && s.Type != StatementTypeV01 {
		return s, fmt.Errorf("read statement: type %q, want %q", s.Type, StatementType)
	}
	if err := field(m, "predicateType", &s.PredicateType); err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	if err := field(m, "subject", &s.Subject); err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	if s.Predicate = m["predicate"]; len(s.Predicate) == 0 {
		return s, fmt.Errorf("read statement: no predicate")
	}
	return s, nil
}

// ParseCollection reads the collection of a statement.
func ParseCollection(s Statement) (Collection, error) {
	var c Collection
	if !IsCollection(s.PredicateType) {
		return c, fmt.Errorf("read collection: predicate type %q, want %q", s.PredicateType, CollectionType)
	}
	m, err := fields(s.Predicate, "name", "attestations")
	if err != nil {
		return c, fmt.Errorf("read collection: %w", err)
	}
	if err := field(m, "name", &c.Name); err != nil {
		return c, fmt.Errorf("read collection: %w", err)
	}
	if c.Name == "" {
		return c, fmt.Errorf("read collection: it has no name")
	}
	raw, err := list(m, "attestations")
	if err != nil {
		return c, fmt.Errorf("read collection %q: %w", c.Name, err)
	}
	for i, r := range raw {
		a, err := parseCollectionAttestation(r)
		if err != nil {
			return c, fmt.Errorf("read collection %q: attestation %d: %w", c.Name, i, err)
		}
		c.Attestations = append(c.Attestations, a)
	}
	return c, nil
}

func parseCollectionAttestation(data []byte) (CollectionAttestation, error) {
	var a CollectionAttestation
	m, err := fields(data, "type", "attestation", "starttime", "endtime")
	if err != nil {
		return a, err
	}
	if err := field(m, "type", &a.Type); err != nil {
		return a, err
	}
	if a.Type == "" {
		return a, fmt.Errorf("it has no type")
	}
	if err := field(m, "starttime", &a.StartTime); err != nil {
		return a, err
	}
	if err := field(m, "endtime", &a.EndTime); err != nil {
		return a, err
	}
	if a.Attestation = m["attestation"]; len(a.Attestation) == 0 {
		return a, fmt.Errorf("%q has no predicate", a.Type)
	}
	return a, nil
}
