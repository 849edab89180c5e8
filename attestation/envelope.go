package attestation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxSignatures is the most signatures that are looked at in one envelope.
const maxSignatures = 64

// maxTimestamps is the most time stamps that one signature may have.
const maxTimestamps = 8

// Envelope is a DSSE envelope. Source: DSSE v1.0.2.
type Envelope struct {
	// Payload is the signed document; standard base64 in JSON.
	Payload []byte `json:"payload"`
	// PayloadType says what Payload is; it is covered by the signature.
	PayloadType string `json:"payloadType"`
	// Signatures are over [PAE] of PayloadType and Payload.
	Signatures []Signature `json:"signatures"`
}

// Signature is one signature of an envelope.
type Signature struct {
	// KeyID names the key; it is a hint and is not covered by the signature.
	KeyID string `json:"keyid"`
	// Sig is the raw signature; standard base64 in JSON. ECDSA: ASN.1 DER over
	// SHA-256; Ed25519: 64 bytes.
	Sig []byte `json:"sig"`
	// Certificate is the PEM certificate of the key, empty for plain keys.
	Certificate []byte `json:"certificate,omitempty"`
	// Intermediates are PEM certificates between Certificate and a root.
	Intermediates [][]byte `json:"intermediates,omitempty"`
	// Timestamps are signed times of the signature.
	Timestamps []Timestamp `json:"timestamps,omitempty"`
}

// Timestamp is a signed time: Type "tsp" is an RFC 3161 token.
type Timestamp struct {
	Type string `json:"type"`
	Data []byte `json:"data"`
}

// Signer signs messages with one key.
type Signer interface {
	// KeyID is the identity of the key, as in [Signature].
	KeyID() string
	// Sign returns the signature over message.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Endorser is a [Signer] that adds to its signatures: a certificate, signed times.
type Endorser interface {
	Signer
	// Endorse adds to a signature that Sign made.
	Endorse(ctx context.Context, s *Signature) error
}

// Verifier checks signatures of one key.
type Verifier interface {
	// KeyID is the identity of the key, computed from the key itself.
	KeyID() string
	// Verify returns nil when sig is the key's signature over message.
	Verify(message, sig []byte) error
}

// Errors of [Envelope.Verify] that a caller may branch on.
var (
	// ErrUnsigned: the envelope holds no signature at all.
	ErrUnsigned = errors.New("it is not signed")
	// ErrNoValidSignature: none of the signatures is valid under the given keys.
	ErrNoValidSignature = errors.New("no valid signature by a known key")
)

// PAE is the pre-authentication encoding of DSSE v1: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+48)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// Sign wraps payload in an envelope with one signature per signer, in their
// order. The bytes are signed as they are.
func Sign(ctx context.Context, payloadType string, payload []byte, signers ...Signer) (Envelope, error) {
	e := Envelope{Payload: payload, PayloadType: payloadType}
	if len(signers) == 0 {
		return e, fmt.Errorf("sign %q: no signer was given", payloadType)
	}
	message := PAE(payloadType, payload)
	for _, s := range signers {
		sig, err := s.Sign(ctx, message)
		if err != nil {
			return e, fmt.Errorf("sign %q with key %s: %w", payloadType, s.KeyID(), err)
		}
		made := Signature{KeyID: s.KeyID(), Sig: sig}
		if endorser, ok := s.(Endorser); ok {
			if err := endorser.Endorse(ctx, &made); err != nil {
				return e, fmt.Errorf("sign %q with key %s: %w", payloadType, s.KeyID(), err)
			}
		}
		e.Signatures = append(e.Signatures, made)
	}
	return e, nil
}

// Verify returns the verifiers whose signature over the envelope is valid, in
// their own order, each once. The key id of a signature is a hint only: every
// key is tried. It returns [ErrUnsigned] or [ErrNoValidSignature], wrapped, when
// there is none.
func (e Envelope) Verify(keys ...Verifier) ([]Verifier, error) {
	if len(e.Signatures) == 0 {
		return nil, ErrUnsigned
	}
	message := PAE(e.PayloadType, e.Payload)
	var valid []Verifier
	var cause error
	for _, k := range keys {
		for _, s := range e.Signatures {
			err := k.Verify(message, s.Sig)
			if err == nil {
				valid = append(valid, k)
				break
			}
			if s.KeyID == k.KeyID() {
				cause = fmt.Errorf("key %s: %w", shortID(k.KeyID()), err)
			}
		}
	}
	switch {
	case len(valid) > 0:
		return valid, nil
	case cause != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoValidSignature, cause)
	}
	return nil, fmt.Errorf("%w: signed by %s", ErrNoValidSignature, e.signedBy())
}

func (e Envelope) signedBy() string {
	id := e.Signatures[0].KeyID
	if id == "" {
		return "a key without an id"
	}
	return "key " + shortID(id)
}

// shortID cuts a key id for messages; whole ids stand in results.
func shortID(id string) string {
	if len(id) > 16 {
		return id[:16] + "…"
	}
	return id
}

// Marshal returns the envelope as one JSON document with a final newline.
func (e Envelope) Marshal() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	return append(b, '\n'), nil
}

// ParseEnvelope reads a DSSE envelope, or the one inside a Sigstore bundle. It
// refuses documents over [MaxDocument], ambiguous JSON (see [CheckJSON]) and
// payloads that are not standard base64. No signature is checked.
func ParseEnvelope(data []byte) (Envelope, error) {
	var e Envelope
	if len(data) > MaxDocument {
		return e, fmt.Errorf("read envelope: %w", tooLarge())
	}
	if err := CheckJSON(data); err != nil {
		return e, fmt.Errorf("read envelope: %w", err)
	}
	m, err := fields(data, "payload", "payloadType", "signatures", "dsseEnvelope", "verificationMaterial")
	if err != nil {
		return e, fmt.Errorf("read envelope: %w", err)
	}
	material := m["verificationMaterial"]
	if inner, ok := m["dsseEnvelope"]; ok {
		if m, err = fields(inner, "payload", "payloadType", "signatures"); err != nil {
			return e, fmt.Errorf("read envelope in bundle: %w", err)
		}
	}
	if err := e.decode(m); err != nil {
		return e, fmt.Errorf("read envelope: %w", err)
	}
	if len(material) > 0 {
		if err := e.material(material); err != nil {
			return e, fmt.Errorf("read material of bundle: %w", err)
		}
	}
	return e, nil
}

func (e *Envelope) decode(m map[string]json.RawMessage) error {
	for _, name := range []string{"payload", "payloadType", "signatures"} {
		if _, ok := m[name]; !ok {
			return fmt.Errorf("field %q is missing: not a DSSE envelope", name)
		}
	}
	if err := field(m, "payloadType", &e.PayloadType); err != nil {
		return err
	}
	payload, err := standardBase64(m, "payload")
	if err != nil {
		return err
	}
	e.Payload = payload
	raw, err := list(m, "signatures")
	if err != nil {
		return err
	}
	if len(raw) > maxSignatures {
		return fmt.Errorf("%d signatures, at most %d are read", len(raw), maxSignatures)
	}
	for i, r := range raw {
		s, err := parseSignature(r)
		if err != nil {
			return fmt.Errorf("signature %d: %w", i, err)
		}
		e.Signatures = append(e.Signatures, s)
	}
	return nil
}

func parseSignature(data []byte) (Signature, error) {
	var s Signature
	m, err := fields(data, "keyid", "sig", "certificate", "intermediates", "timestamps")
	if err != nil {
		return s, err
	}
	if err := field(m, "keyid", &s.KeyID); err != nil {
		return s, err
	}
	if s.Sig, err = standardBase64(m, "sig"); err != nil {
		return s, err
	}
	if err := field(m, "certificate", &s.Certificate); err != nil {
		return s, err
	}
	if err := field(m, "intermediates", &s.Intermediates); err != nil {
		return s, err
	}
	if err := field(m, "timestamps", &s.Timestamps); err != nil {
		return s, err
	}
	if len(s.Timestamps) > maxTimestamps {
		return s, fmt.Errorf("%d time stamps, at most %d are read", len(s.Timestamps), maxTimestamps)
	}
	return s, nil
}

// standardBase64 decodes a field strictly: no line breaks, canonical padding.
func standardBase64(m map[string]json.RawMessage, name string) ([]byte, error) {
	var text string
	if err := field(m, name, &text); err != nil {
		return nil, err
	}
	// The decoder would skip these, and one payload would have many spellings.
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("field %q: line break in base64", name)
	}
	out, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", name, err)
	}
	return out, nil
}
