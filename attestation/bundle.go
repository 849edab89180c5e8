package attestation

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// SigstoreBundle is a Sigstore bundle v0.3 of a signed envelope.
// Source: sigstore/protobuf-specs, bundle v0.3.
type SigstoreBundle struct {
	// MediaType is [BundleMediaType].
	MediaType string `json:"mediaType"`
	// VerificationMaterial says how to verify the signature.
	VerificationMaterial VerificationMaterial `json:"verificationMaterial"`
	// DSSEEnvelope holds exactly one signature, which has no key id: cosign makes
	// another id of the same key and then refuses the signature. The hint has it.
	DSSEEnvelope BundledEnvelope `json:"dsseEnvelope"`
}

// VerificationMaterial is either a key's id or a certificate, and the times.
type VerificationMaterial struct {
	PublicKey   *PublicKeyHint      `json:"publicKey,omitempty"`
	Certificate *BundledCertificate `json:"certificate,omitempty"`
	// TlogEntries are entries of a transparency log. [Bundle] makes none, which is
	// written as an empty array.
	TlogEntries []json.RawMessage `json:"tlogEntries"`
	// TimestampData are the signed times of the signature.
	TimestampData *BundledTimestamps `json:"timestampVerificationData,omitempty"`
}

// PublicKeyHint is the key id of the bundle's signature.
type PublicKeyHint struct {
	Hint string `json:"hint"`
}

// BundledCertificate is the signer's certificate in DER. A bundle has no place for
// intermediates: the verifier has them beside its root.
type BundledCertificate struct {
	RawBytes []byte `json:"rawBytes"`
}

// BundledTimestamps are answers of time-stamp authorities.
type BundledTimestamps struct {
	RFC3161 []BundledTimestamp `json:"rfc3161Timestamps"`
}

// BundledTimestamp is a whole time-stamp response, of which a token is a part.
type BundledTimestamp struct {
	SignedTimestamp []byte `json:"signedTimestamp"`
}

// BundledEnvelope is an [Envelope] with the fields that a bundle's reader knows.
type BundledEnvelope struct {
	Payload     []byte             `json:"payload"`
	PayloadType string             `json:"payloadType"`
	Signatures  []BundledSignature `json:"signatures"`
}

// BundledSignature is a signature alone.
type BundledSignature struct {
	Sig []byte `json:"sig"`
}

// Bundle wraps signature i of the envelope in a Sigstore bundle. Readers refuse
// bundles with several signatures, so there is one bundle per signature.
func Bundle(e Envelope, i int) (SigstoreBundle, error) {
	if i < 0 || i >= len(e.Signatures) {
		return SigstoreBundle{}, fmt.Errorf("bundle signature %d: the envelope has %d", i, len(e.Signatures))
	}
	s := e.Signatures[i]
	material := VerificationMaterial{TlogEntries: []json.RawMessage{}}
	if len(s.Certificate) == 0 {
		material.PublicKey = &PublicKeyHint{Hint: s.KeyID}
	} else {
		block, _ := pem.Decode(s.Certificate)
		if block == nil {
			return SigstoreBundle{}, fmt.Errorf("bundle signature %d: its certificate is not PEM", i)
		}
		material.Certificate = &BundledCertificate{RawBytes: block.Bytes}
	}
	for _, t := range s.Timestamps {
		if t.Type != TimestampRFC3161 {
			continue
		}
		response, err := TimestampResponse(t.Data)
		if err != nil {
			return SigstoreBundle{}, fmt.Errorf("bundle signature %d: %w", i, err)
		}
		if material.TimestampData == nil {
			material.TimestampData = &BundledTimestamps{}
		}
		material.TimestampData.RFC3161 = append(material.TimestampData.RFC3161, BundledTimestamp{response})
	}
	return SigstoreBundle{
		MediaType:            BundleMediaType,
		VerificationMaterial: material,
		DSSEEnvelope:         BundledEnvelope{Payload: e.Payload, PayloadType: e.PayloadType, Signatures: []BundledSignature{{s.Sig}}},
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

// material gives the only signature of a bundle's envelope what the bundle says
// of it beside. What stands in the signature itself stays.
func (e *Envelope) material(raw json.RawMessage) error {
	m, err := fields(raw, "publicKey", "certificate", "timestampVerificationData")
	if err != nil {
		return err
	}
	var v VerificationMaterial
	if err := errors.Join(field(m, "publicKey", &v.PublicKey), field(m, "certificate", &v.Certificate), field(m, "timestampVerificationData", &v.TimestampData)); err != nil {
		return err
	}
	if len(e.Signatures) != 1 {
		return nil // a bundle has one; which one this is about could not be told
	}
	s := &e.Signatures[0]
	if v.PublicKey != nil && s.KeyID == "" {
		s.KeyID = v.PublicKey.Hint
	}
	if v.Certificate != nil && len(s.Certificate) == 0 {
		s.Certificate = EncodeCertificate(v.Certificate.RawBytes)
	}
	if v.TimestampData == nil || len(s.Timestamps) > 0 {
		return nil
	}
	for _, t := range v.TimestampData.RFC3161 {
		token, err := ParseTimestampResponse(t.SignedTimestamp)
		if err != nil {
			return err
		}
		s.Timestamps = append(s.Timestamps, Timestamp{Type: TimestampRFC3161, Data: token})
	}
	return nil
}
