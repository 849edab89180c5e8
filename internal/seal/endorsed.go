package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"pip-witness/attestation"
)

// Endorsed is a key whose signatures have more beside them than the key's id: a
// certificate, a signed time, or both. It satisfies [attestation.Endorser].
type Endorsed struct {
	Key
	// Certificate is the PEM certificate of the key, Intermediates those between it
	// and a root; empty for a plain key.
	Certificate   []byte
	Intermediates [][]byte
	// Stamp returns an RFC 3161 token over a signature; nil asks nobody.
	Stamp func(ctx context.Context, signature []byte) ([]byte, error)
	// KeepUnstamped keeps a signature whose time Stamp did not vouch for, and asks no
	// more then; Unstamped says why. Otherwise that is an error of Endorse.
	KeepUnstamped bool

	mu        sync.Mutex
	unstamped error
}

// Unstamped is why signatures have no signed time that should have one, nil when
// all have.
func (e *Endorsed) Unstamped() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unstamped
}

// asks says that signatures are to get a signed time.
func (e *Endorsed) asks() bool { return e.Stamp != nil && e.Unstamped() == nil }

// keep notes that signatures are without a signed time from here on, if that is
// allowed.
func (e *Endorsed) keep(err error) error {
	if !e.KeepUnstamped {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unstamped = err
	return nil
}

// Endorse adds the certificates and the signed time.
func (e *Endorsed) Endorse(ctx context.Context, s *attestation.Signature) error {
	s.Certificate, s.Intermediates = e.Certificate, e.Intermediates
	if !e.asks() {
		return nil
	}
	token, err := e.Stamp(ctx, s.Sig)
	switch {
	case err != nil && ctx.Err() != nil:
		return err // nobody waits for it any more
	case err != nil:
		return e.keep(err)
	}
	s.Timestamps = append(s.Timestamps, attestation.Timestamp{Type: attestation.TimestampRFC3161, Data: token})
	return nil
}

// LoadCertificates reads the certificate of a key, and the intermediates from a
// second file when one is named; in the first file they may follow the
// certificate. The certificate has to be of the public key.
func LoadCertificates(path, intermediates string, public attestation.PublicKey) (certificate []byte, more [][]byte, err error) {
	var all [][]byte
	for _, p := range []string{path, intermediates} {
		if p == "" {
			continue
		}
		data, err := readKeyFile(p)
		if err != nil {
			return nil, nil, fmt.Errorf("read certificate %q: %w", p, err)
		}
		parsed, err := attestation.ParseCertificates(data)
		if err != nil {
			return nil, nil, fmt.Errorf("read certificate %q: %w", p, err)
		}
		if p == path {
			key, err := attestation.NewPublicKey(parsed[0].PublicKey)
			if err == nil && key.KeyID() != public.KeyID() {
				err = errors.New("it is of another key than the one to sign with")
			}
			if err != nil {
				return nil, nil, fmt.Errorf("read certificate %q: %w", p, err)
			}
		}
		for _, c := range parsed {
			all = append(all, attestation.EncodeCertificate(c.Raw))
		}
	}
	return all[0], slices.Clip(all[1:]), nil
}
