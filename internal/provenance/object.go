package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Object is a provenance object: what an index says about one file.
type Object struct {
	Bundles []Bundle
	// Cut is how many attestations were left out because there were too many.
	Cut int
}

// Bundle is the attestations of one publisher.
type Bundle struct {
	// Publisher is who the index says has published the file.
	Publisher    Publisher
	Attestations []Attestation
}

// Publisher is a trusted publisher as the index names it. Which fields are set
// depends on the kind.
type Publisher struct {
	// Kind is GitHub, GitLab or Google; others exist and are not compared.
	Kind string `json:"kind"`
	// Repository is owner/name, Workflow the workflow's file: its name for GitHub,
	// its path for GitLab (WorkflowPath in the object).
	Repository   string `json:"repository"`
	Workflow     string `json:"workflow"`
	WorkflowPath string `json:"workflow_filepath"`
	// Environment is the deployment environment. No certificate states it: it is
	// the index's word.
	Environment string `json:"environment"`
	// Email is of a Google publisher.
	Email string `json:"email"`
}

// Attestation is one attestation object of version 1.
type Attestation struct {
	Version  int `json:"version"`
	Material struct {
		Certificate []byte            `json:"certificate"` // DER
		Entries     []json.RawMessage `json:"transparency_entries"`
	} `json:"verification_material"`
	Envelope struct {
		Statement []byte `json:"statement"`
		Signature []byte `json:"signature"`
	} `json:"envelope"`
}

var (
	errSize   = fmt.Errorf("larger than %d bytes", MaxSize)
	errObject = errors.New("not a provenance object of version 1")
	errNone   = errors.New("the object has no attestation")
)

// ParseObject reads a provenance object. Its attestations are not verified.
func ParseObject(raw []byte) (Object, error) {
	if len(raw) > MaxSize {
		return Object{}, fmt.Errorf("read provenance: %w", errSize)
	}
	var in struct {
		Version int `json:"version"`
		Bundles []struct {
			Publisher    Publisher         `json:"publisher"`
			Attestations []json.RawMessage `json:"attestations"`
		} `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return Object{}, fmt.Errorf("read provenance: %w", err)
	}
	if in.Version != 1 {
		return Object{}, fmt.Errorf("read provenance: %w", errObject)
	}
	var o Object
	count := 0
	for _, b := range in.Bundles {
		out := Bundle{Publisher: b.Publisher}
		for _, raw := range b.Attestations {
			if count++; count > maxAttestations {
				o.Cut++
				continue
			}
			a, err := ParseAttestation(raw)
			if err != nil {
				return Object{}, err
			}
			out.Attestations = append(out.Attestations, a)
		}
		if len(out.Attestations) > 0 {
			o.Bundles = append(o.Bundles, out)
		}
	}
	if count == 0 {
		return Object{}, fmt.Errorf("read provenance: %w", errNone)
	}
	return o, nil
}

// ParseAttestation reads one attestation object. It is not verified.
func ParseAttestation(raw []byte) (Attestation, error) {
	var a Attestation
	if len(raw) > MaxSize {
		return a, fmt.Errorf("read attestation: %w", errSize)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("read attestation: %w", err)
	}
	switch {
	case a.Version != 1:
		return a, fmt.Errorf("read attestation: version %d, want 1", a.Version)
	case len(a.Material.Certificate) == 0 || len(a.Envelope.Statement) == 0 || len(a.Envelope.Signature) == 0:
		return a, errors.New("read attestation: certificate, statement or signature is missing")
	case len(a.Material.Entries) == 0 || len(a.Material.Entries) > maxEntries:
		return a, fmt.Errorf("read attestation: %d entries of a transparency log, want 1 to %d", len(a.Material.Entries), maxEntries)
	}
	return a, nil
}
