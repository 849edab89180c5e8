package attestation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// certificatePEMType is the PEM type of a certificate (RFC 7468, 5).
const certificatePEMType = "CERTIFICATE"

// maxCertificates bounds the certificates of one signature or authority.
const maxCertificates = 16

// Authority is a certificate authority that a policy trusts: of functionaries, or
// of time stamps.
type Authority struct {
	ID            string
	Root          *x509.Certificate
	Intermediates []*x509.Certificate
}

// ParseAuthority reads the PEM certificates of an authority.
func ParseAuthority(id string, root []byte, intermediates [][]byte) (Authority, error) {
	a := Authority{ID: id}
	roots, err := ParseCertificates(root)
	if err != nil {
		return a, fmt.Errorf("authority %q: %w", id, err)
	}
	if len(roots) != 1 {
		return a, fmt.Errorf("authority %q: %d certificates for the root, want one", id, len(roots))
	}
	a.Root = roots[0]
	for _, data := range intermediates {
		more, err := ParseCertificates(data)
		if err != nil {
			return a, fmt.Errorf("authority %q: intermediate: %w", id, err)
		}
		a.Intermediates = append(a.Intermediates, more...)
	}
	return a, nil
}

// ParseCertificates reads PEM certificates, at least one, and nothing else.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("not a PEM file: want blocks \"BEGIN CERTIFICATE\"")
		}
		if block.Type != certificatePEMType {
			return nil, fmt.Errorf("PEM block %q, want %q", block.Type, certificatePEMType)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		if all = append(all, c); len(all) > maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
		data = rest
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate")
	}
	return all, nil
}

// EncodeCertificate is a certificate in PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificatePEMType, Bytes: der})
}

// verify checks that the certificate leads to the authority's root at a time, and
// may be used so.
func (a Authority) verify(c *x509.Certificate, more []*x509.Certificate, at time.Time, usage x509.ExtKeyUsage) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}
	options.Roots.AddCert(a.Root)
	for _, i := range slices.Concat(a.Intermediates, more) {
		options.Intermediates.AddCert(i)
	}
	_, err := c.Verify(options)
	return err
}

// Trust is what the signatures of an envelope are verified by.
type Trust struct {
	// Keys are plain keys.
	Keys []Verifier
	// Roots vouch for certificates, TimestampAuthorities for time stamps.
	Roots                []Authority
	TimestampAuthorities []Authority
	// Now is the time at which certificates have to be valid when nobody vouches
	// for the time of a signature.
	Now time.Time
}

// Accepted is one signature that is valid.
type Accepted struct {
	Verifier
	// Certificate is nil for a plain key. It leads to the authorities named in
	// Roots, which is never empty then.
	Certificate *x509.Certificate
	Roots       []string
	// Stamp is the earliest trusted time of the signature; its Time is zero when
	// there is none, and Doubts say why tokens that are there are not trusted, and of
	// the first signature also why others of the envelope are not accepted.
	Stamp  Stamp
	Doubts []string
}

// Accept returns the signatures of the envelope that are valid: first those of
// the plain keys, in the keys' order, each key once, then those by certificates,
// in the envelope's order. The error says why there is none, and matches
// [ErrUnsigned] or [ErrNoValidSignature].
func (e Envelope) Accept(t Trust) ([]Accepted, error) {
	if len(e.Signatures) == 0 {
		return nil, ErrUnsigned
	}
	message := PAE(e.PayloadType, e.Payload)
	var all []Accepted
	for _, k := range t.Keys {
		i := slices.IndexFunc(e.Signatures, func(s Signature) bool { return k.Verify(message, s.Sig) == nil })
		if i >= 0 {
			a := Accepted{Verifier: k}
			a.Stamp, a.Doubts = e.Signatures[i].stamp(t)
			all = append(all, a)
		}
	}
	var failures []error
	if len(t.Roots) > 0 {
		for i, s := range e.Signatures {
			if len(s.Certificate) == 0 {
				continue
			}
			a, err := s.certified(message, t)
			if err != nil {
				failures = append(failures, fmt.Errorf("certificate of signature %d: %w", i, err))
				continue
			}
			all = append(all, a)
		}
	}
	if len(all) > 0 {
		for _, f := range failures {
			all[0].Doubts = append(all[0].Doubts, f.Error())
		}
		return all, nil
	}
	if len(failures) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrNoValidSignature, errors.Join(failures...))
	}
	_, err := e.Verify(t.Keys...) // it explains
	return nil, err
}

// stamp is the earliest time that a trusted authority vouches for.
func (s Signature) stamp(t Trust) (earliest Stamp, doubts []string) {
	for _, token := range s.Timestamps {
		if token.Type != TimestampRFC3161 {
			doubts = append(doubts, fmt.Sprintf("time stamp of type %q, want %q", token.Type, TimestampRFC3161))
			continue
		}
		stamp, err := VerifyTimestamp(token.Data, s.Sig, t.TimestampAuthorities)
		if err != nil {
			doubts = append(doubts, err.Error())
			continue
		}
		if earliest.Time.IsZero() || stamp.Time.Before(earliest.Time) {
			earliest = stamp
		}
	}
	return earliest, doubts
}

// certified verifies a signature by its certificate: the key made it, and at the
// trusted time of the signature, else now, the certificate leads to a root and is
// for signing.
func (s Signature) certified(message []byte, t Trust) (Accepted, error) {
	chain, err := ParseCertificates(s.Certificate)
	if err != nil {
		return Accepted{}, err
	}
	if len(s.Intermediates) > maxCertificates {
		return Accepted{}, fmt.Errorf("more than %d intermediates", maxCertificates)
	}
	leaf, intermediates := chain[0], chain[1:]
	for _, data := range s.Intermediates {
		more, err := ParseCertificates(data)
		if err != nil {
			return Accepted{}, fmt.Errorf("intermediate: %w", err)
		}
		intermediates = append(intermediates, more...)
	}
	key, err := NewPublicKey(leaf.PublicKey)
	if err != nil {
		return Accepted{}, err
	}
	if err := key.Verify(message, s.Sig); err != nil {
		return Accepted{}, fmt.Errorf("%q: its key: %w", leaf.Subject, err)
	}
	if err := signs(leaf); err != nil {
		return Accepted{}, fmt.Errorf("%q: %w", leaf.Subject, err)
	}
	a := Accepted{Verifier: key, Certificate: leaf}
	a.Stamp, a.Doubts = s.stamp(t)
	at, why := t.Now, "now, since the signature has no trusted time stamp"
	if !a.Stamp.Time.IsZero() {
		at, why = a.Stamp.Time, "the time of its time stamp"
	}
	var failures []error
	for _, root := range t.Roots {
		if err := root.verify(leaf, intermediates, at, x509.ExtKeyUsageCodeSigning); err != nil {
			failures = append(failures, fmt.Errorf("root %q: %w", root.ID, err))
			continue
		}
		a.Roots = append(a.Roots, root.ID)
	}
	if len(a.Roots) == 0 {
		for _, d := range a.Doubts {
			failures = append(failures, errors.New(d))
		}
		return Accepted{}, fmt.Errorf("%q at %s (%s): %w", leaf.Subject, at.UTC().Format(time.RFC3339), why, errors.Join(failures...))
	}
	return a, nil
}

// signs wants a certificate of somebody who signs, not of an authority. The
// extended key usage is checked with the chain.
func signs(c *x509.Certificate) error {
	if c.BasicConstraintsValid && c.IsCA {
		return errors.New("it is the certificate of an authority, which may not sign evidence")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("its key usage does not have digital signatures")
	}
	return nil
}
