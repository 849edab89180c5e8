package provenance

import (
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/bundle"

	"pip-witness/attestation"
)

// bundle is the Sigstore bundle of an attestation, whose parts PEP 740 has under
// other names. Version 0.3 asks for an
// inclusion proof in every entry of the log.
func (a Attestation) bundle() (*bundle.Bundle, error) {
	raw, err := attestation.SigstoreBundle{
		MediaType: attestation.BundleMediaType,
		VerificationMaterial: attestation.VerificationMaterial{
			Certificate: &attestation.BundledCertificate{RawBytes: a.Material.Certificate}, TlogEntries: a.Material.Entries,
		},
		DSSEEnvelope: attestation.BundledEnvelope{
			Payload: a.Envelope.Statement, PayloadType: attestation.PayloadType,
			Signatures: []attestation.BundledSignature{{Sig: a.Envelope.Signature}},
		},
	}.Marshal()
	if err != nil {
		return nil, fmt.Errorf("make bundle: %w", err)
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return b, nil
}
