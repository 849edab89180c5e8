package provenance

import (
	"encoding/json"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/bundle"

	"pip-witness/attestation"
)

// sigstoreBundle is the JSON form of a bundle with a certificate. The objects of
// PEP 740 have the same parts under other names.
type sigstoreBundle struct {
	MediaType string   `json:"mediaType"`
	Material  material `json:"verificationMaterial"`
	Envelope  envelope `json:"dsseEnvelope"`
}

type material struct {
	Certificate leaf              `json:"certificate"`
	Entries     []json.RawMessage `json:"tlogEntries"`
}

type leaf struct {
	Raw []byte `json:"rawBytes"`
}

type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig []byte `json:"sig"`
}

// bundle is the Sigstore bundle of an attestation. Version 0.3 asks for an
// inclusion proof in every entry of the log.
func (a Attestation) bundle() (*bundle.Bundle, error) {
	raw, err := json.Marshal(sigstoreBundle{
		MediaType: attestation.BundleMediaType,
		Material:  material{Certificate: leaf{a.Material.Certificate}, Entries: a.Material.Entries},
		Envelope: envelope{
			Payload: a.Envelope.Statement, PayloadType: attestation.PayloadType,
			Signatures: []signature{{a.Envelope.Signature}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make bundle: %w", err)
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return b, nil
}
