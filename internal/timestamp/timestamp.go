// Package timestamp asks a time-stamp authority (RFC 3161) for signed times. The
// request holds a digest of a signature and nothing else. The process that asks
// has no key: a token that it made up would be signed by nobody.
package timestamp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"pip-witness/attestation"
)

// maxResponse bounds an answer, in bytes.
const maxResponse = 1 << 20 // 1 MiB

// Limits of asking: an authority that does not answer must not hold up a run for
// long, and one that fails once is asked again.
const (
	attempts     = 3
	requestLimit = 20 * time.Second
	pause        = time.Second
)

// Error is about an authority that gave no usable time stamp.
type Error struct {
	// URL is the authority's, without credentials.
	URL string
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("ask time-stamp authority %q: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Authority is a time-stamp authority.
type Authority struct {
	url    *url.URL
	client *http.Client
}

// New is the authority at an http or https URL; the environment's proxy is used.
func New(address string) (*Authority, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no http or https URL", address)
	}
	return &Authority{url: u, client: &http.Client{Timeout: requestLimit}}, nil
}

type request struct {
	Version int
	Imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Hash      []byte
	}
	Nonce       *big.Int
	Certificate bool
}

// Stamp returns a token over message. What the token says was checked against the
// request and the certificate that it carries; who vouches for that certificate is
// the verifier's question. The error is an [*Error], or the context's.
func (a *Authority) Stamp(ctx context.Context, message []byte) ([]byte, error) {
	var failure error
	for i := range attempts {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(pause):
			}
		}
		token, again, err := a.ask(ctx, message)
		if err == nil {
			return token, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		failure = err
		if !again {
			break
		}
	}
	return nil, &Error{a.url.Redacted(), failure}
}

// ask asks once; again says whether it may be different the next time.
func (a *Authority) ask(ctx context.Context, message []byte) (token []byte, again bool, err error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, false, fmt.Errorf("make a nonce: %w", err)
	}
	digest := sha256.Sum256(message)
	r := request{Version: 1, Nonce: nonce, Certificate: true}
	r.Imprint.Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}
	r.Imprint.Hash = digest[:]
	query, err := asn1.Marshal(r)
	if err != nil {
		return nil, false, fmt.Errorf("write the request: %w", err)
	}
	answer, again, err := a.post(ctx, query)
	if err != nil {
		return nil, again, err
	}
	if token, err = attestation.ParseTimestampResponse(answer); err != nil {
		return nil, false, err
	}
	stamp, err := attestation.ReadTimestamp(token, message)
	if err != nil {
		return nil, false, err
	}
	if stamp.Nonce == nil || stamp.Nonce.Cmp(nonce) != 0 {
		return nil, false, errors.New("the answer is to another request: its nonce is not ours")
	}
	return token, false, nil
}

func (a *Authority) post(ctx context.Context, query []byte) (answer []byte, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url.String(), bytes.NewReader(query))
	if err != nil {
		return nil, false, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	r.Header.Set("Accept", "application/timestamp-reply")
	response, err := a.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold credentials
		}
		return nil, true, err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, response.StatusCode >= 500, fmt.Errorf("HTTP status %s", response.Status)
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, true, err
	}
	if len(answer) > maxResponse {
		return nil, false, fmt.Errorf("an answer of more than %d bytes", maxResponse)
	}
	return answer, false, nil
}
