package attestation

import (
	"encoding/json"
	"fmt"
)

// SigstoreBundle is a Sigstore bundle v0.3 of an envelope signed with a plain
// key. Source: sigstore/protobuf-specs, bundle v0.3.
type SigstoreBundle struct {
	// MediaType is [BundleMediaType].
	MediaType string `json:"mediaType"`
	// VerificationMaterial names the key; it holds no transparency log entry.
	VerificationMaterial VerificationMaterial `json:"verificationMaterial"`
	// DSSEEnvelope holds exactly one signature.
	DSSEEnvelope Envelope `json:"dsseEnvelope"`
}

// VerificationMaterial names the key of a bundle.
type VerificationMaterial struct {
	PublicKey PublicKeyHint `json:"publicKey"`
	// TlogEntries is always empty here, and written as an empty array.
	TlogEntries []json.RawMessage `json:"tlogEntries"`
}

// PublicKeyHint is the key id of the bundle's signature.
type PublicKeyHint struct {
	Hint string `json:"hint"`
}

// Bundle wraps signature i of the envelope in a Sigstore bundle. Readers refuse
// bundles with several signatures, so there is one bundle per signature.
func Bundle(e Envelope, i int) (SigstoreBundle, error) {
	if i < 0 || i >= len(e.Signatures) {
		return SigstoreBundle{}, fmt.Errorf("bundle signature %d: the envelope has %d", i, len(e.Signatures))
	}
	s := e.Signatures[i]
	return SigstoreBundle{
		MediaType: BundleMediaType,
		VerificationMaterial: VerificationMaterial{
			PublicKey:   PublicKeyHint{Hint: s.KeyID},
			TlogEntries: []json.RawMessage{},
		},
		DSSEEnvelope: Envelope{Payload: e.Payload, PayloadType: e.PayloadType, Signatures: []Signature{s}},
	}, nil
}

// Marshal returns the bundle as one JSON document with a final newline.
func (b SigstoreBundle) Marshal() ([]byte, error) {
	out, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return append(out, '\n'), nil
}
