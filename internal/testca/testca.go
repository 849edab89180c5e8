// Package testca makes certificate authorities and time-stamp authorities for
// tests: real certificates and real RFC 3161 answers, the latter by a library
// that the product does not use.
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/digitorus/timestamp"
)

// CA is an authority with its key.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// Template changes a certificate before it is signed.
type Template func(*x509.Certificate)

// Valid is a template of the time of validity.
func Valid(from, to time.Time) Template {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// New makes a root that is valid for twenty years around now.
func New(name string, templates ...Template) (*CA, error) {
	return (*CA)(nil).Sub(name, templates...)
}

// Sub makes an authority below c.
func (c *CA) Sub(name string, templates ...Template) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	years := 10 * 365 * 24 * time.Hour
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-years), NotAfter: time.Now().Add(years),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, err := c.sign(t, key.Public(), key, templates)
	if err != nil {
		return nil, fmt.Errorf("make authority %q: %w", name, err)
	}
	return &CA{certificate, key}, nil
}

// Issue makes a certificate for signing, of the key, that is valid for two days
// around now unless a template says otherwise.
func (c *CA) Issue(name string, public crypto.PublicKey, templates ...Template) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	certificate, err := c.sign(t, public, nil, templates)
	if err != nil {
		return nil, fmt.Errorf("issue %q: %w", name, err)
	}
	return certificate, nil
}

// sign signs with the authority's key; self is that of a root.
func (c *CA) sign(t *x509.Certificate, public crypto.PublicKey, self crypto.Signer, templates []Template) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	for _, change := range templates {
		change(t)
	}
	parent, key := t, self
	if c != nil {
		parent, key = c.Certificate, c.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM is the certificate in PEM.
func (c *CA) PEM() []byte { return PEM(c.Certificate) }

// PEM is a certificate in PEM.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// TSA is a time-stamp authority. It is an HTTP handler.
type TSA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
	// Time is what the clock says.
	Time time.Time
	// Change changes what an answer says before it is signed; nil changes nothing.
	Change func(*timestamp.Timestamp)
}

// TimestampUsage is the critical extension that a time-stamp authority has.
func TimestampUsage(critical bool, usages ...asn1.ObjectIdentifier) Template {
	return func(c *x509.Certificate) {
		value, err := asn1.Marshal(append([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}, usages...))
		if err != nil {
			panic(err) // of constants
		}
		c.ExtKeyUsage = nil
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value})
	}
}

// NewTSA makes a time-stamp authority below c. Templates come after
// [TimestampUsage], which they may undo.
func (c *CA) NewTSA(at time.Time, templates ...Template) (*TSA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	years := 10 * 365 * 24 * time.Hour
	all := append([]Template{TimestampUsage(true), Valid(time.Now().Add(-years), time.Now().Add(years))}, templates...)
	certificate, err := c.Issue("time-stamp authority", key.Public(), all...)
	if err != nil {
		return nil, err
	}
	return &TSA{Certificate: certificate, key: key, Time: at}, nil
}

// Respond answers a request.
func (t *TSA) Respond(query []byte) ([]byte, error) {
	request, err := timestamp.ParseRequest(query)
	if err != nil {
		return nil, err
	}
	answer := timestamp.Timestamp{
		HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: t.Time, Nonce: request.Nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, AddTSACertificate: request.Certificates,
	}
	if t.Change != nil {
		t.Change(&answer)
	}
	return answer.CreateResponseWithOpts(t.Certificate, t.key, crypto.SHA256)
}

// Token is the token of a message, without a request.
func (t *TSA) Token(message []byte, certificate bool) ([]byte, error) {
	h := crypto.SHA256.New()
	h.Write(message)
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: h.Sum(nil), Certificates: certificate}).Marshal()
	if err != nil {
		return nil, err
	}
	answer, err := t.Respond(query)
	if err != nil {
		return nil, err
	}
	var response struct {
		Status asn1.RawValue
		Token  asn1.RawValue
	}
	if rest, err := asn1.Unmarshal(answer, &response); err != nil || len(rest) > 0 {
		return nil, errors.Join(err, fmt.Errorf("%d bytes behind the answer", len(rest)))
	}
	return response.Token.FullBytes, nil
}

// ServeHTTP answers requests by POST.
func (t *TSA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "want a time-stamp query", http.StatusBadRequest)
		return
	}
	answer, err := t.Respond(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	if _, err := w.Write(answer); err != nil {
		return // the client is gone
	}
}
