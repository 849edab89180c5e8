package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// TimestampRFC3161 is the type of a [Timestamp] whose data is an RFC 3161 token:
// the DER of a CMS SignedData. Its message imprint is of the bytes of the
// signature beside it, as witness and Sigstore have it.
const TimestampRFC3161 = "tsp"

// Bounds of a token, which is read before anybody vouches for it.
const (
	maxToken             = 64 << 10 // 64 KiB; with a chain of RSA certificates it has some 6 KiB
	maxTokenCertificates = 16
)

// Stamp is what a time-stamp token says.
type Stamp struct {
	// Time is when the message existed, by the clock of the authority. Zero means
	// that there is no token.
	Time time.Time
	// Nonce is that of the request, nil when it had none.
	Nonce *big.Int
	// Authority is the id of the authority that vouches for it, empty when nobody
	// was asked.
	Authority string
}

// Object identifiers of CMS (RFC 5652), time stamps (RFC 3161) and certificate
// identifiers (RFC 5035), as dotted numbers.
const (
	oidSignedData         = "1.2.840.113549.1.7.2"
	oidTSTInfo            = "1.2.840.113549.1.9.16.1.4"
	oidContentType        = "1.2.840.113549.1.9.3"
	oidMessageDigest      = "1.2.840.113549.1.9.4"
	oidSigningCertificate = "1.2.840.113549.1.9.16.2.12"
	oidSigningCertV2      = "1.2.840.113549.1.9.16.2.47"
	oidExtKeyUsage        = "2.5.29.37"
)

// hashOf is the hash function of an object identifier. SHA-1 is none of them.
func hashOf(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, nil
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, nil
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("hash function %s: want SHA-256, SHA-384 or SHA-512", oid)
}

func sum(h crypto.Hash, data []byte) []byte {
	switch h {
	case crypto.SHA384:
		s := sha512.Sum384(data)
		return s[:]
	case crypto.SHA512:
		s := sha512.Sum512(data)
		return s[:]
	}
	s := sha256.Sum256(data)
	return s[:]
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms asn1.RawValue `asn1:"set"`
	Content          encapsulated
	Certificates     asn1.RawValue `asn1:"optional,tag:0"`
	CRLs             asn1.RawValue `asn1:"optional,tag:1"`
	Signers          []signerInfo  `asn1:"set"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type signerInfo struct {
	Version            int
	ID                 asn1.RawValue // issuerAndSerialNumber, or [0] subjectKeyIdentifier
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue `asn1:"optional,tag:0"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
	Unsigned           asn1.RawValue `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type tstInfo struct {
	Version        int
	Policy         asn1.ObjectIdentifier
	MessageImprint messageImprint
	Serial         *big.Int
	Time           time.Time     `asn1:"generalized"`
	Accuracy       accuracy      `asn1:"optional"`
	Ordering       bool          `asn1:"optional"`
	Nonce          *big.Int      `asn1:"optional"`
	TSA            asn1.RawValue `asn1:"optional,explicit,tag:0"`
	Extensions     asn1.RawValue `asn1:"optional,tag:1"`
}

// accuracy is how far the time may be off. It is not used: what is decided by a
// time stamp is decided in minutes.
type accuracy struct {
	Seconds      int `asn1:"optional"`
	Milliseconds int `asn1:"optional,tag:0"`
	Microseconds int `asn1:"optional,tag:1"`
}

type messageImprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Hash      []byte
}

// exact decodes DER with nothing behind it.
func exact(der []byte, v any, params string) error {
	rest, err := asn1.UnmarshalWithParams(der, v, params)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errors.New("data behind its end")
	}
	return nil
}

// token is a decoded time-stamp token. Only DER is read: a reader of BER for
// hostile input is not worth the authorities that write it.
type token struct {
	info         tstInfo
	content      []byte
	signer       signerInfo
	attributes   map[string]asn1.RawValue // signed, by object identifier
	certificates []*x509.Certificate
}

func parseToken(der []byte) (*token, error) {
	if len(der) > maxToken {
		return nil, fmt.Errorf("token of %d bytes, at most %d are read", len(der), maxToken)
	}
	var outer contentInfo
	if err := exact(der, &outer, ""); err != nil {
		return nil, fmt.Errorf("content info: %w", err)
	}
	if outer.Type.String() != oidSignedData {
		return nil, fmt.Errorf("content type %s, want signed data", outer.Type)
	}
	var signed signedData
	if err := exact(outer.Content.Bytes, &signed, ""); err != nil {
		return nil, fmt.Errorf("signed data: %w", err)
	}
	if signed.Content.Type.String() != oidTSTInfo {
		return nil, fmt.Errorf("signed content of type %s, want a time stamp", signed.Content.Type)
	}
	if len(signed.Signers) != 1 {
		return nil, fmt.Errorf("%d signers, want one", len(signed.Signers))
	}
	t := &token{content: signed.Content.Content, signer: signed.Signers[0], attributes: map[string]asn1.RawValue{}}
	if err := exact(t.content, &t.info, ""); err != nil {
		return nil, fmt.Errorf("time-stamp info: %w", err)
	}
	if err := t.readAttributes(); err != nil {
		return nil, err
	}
	var err error
	if t.certificates, err = x509.ParseCertificates(signed.Certificates.Bytes); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if len(t.certificates) > maxTokenCertificates {
		return nil, fmt.Errorf("%d certificates, at most %d are read", len(t.certificates), maxTokenCertificates)
	}
	return t, nil
}

// signedSet is the DER that the signature is over: the attributes with the tag of
// a set instead of their own (RFC 5652, 5.4).
func (t *token) signedSet() []byte {
	set := bytes.Clone(t.signer.SignedAttributes.FullBytes)
	if len(set) > 0 {
		set[0] = asn1.TagSet | 0x20
	}
	return set
}

func (t *token) readAttributes() error {
	var list []attribute
	if err := exact(t.signedSet(), &list, "set"); err != nil {
		return fmt.Errorf("signed attributes: %w", err)
	}
	for _, a := range list {
		id := a.Type.String()
		if _, twice := t.attributes[id]; twice || len(a.Values) != 1 {
			return fmt.Errorf("signed attribute %s: want it once, with one value", id)
		}
		t.attributes[id] = a.Values[0]
	}
	return nil
}

// certificate is the signer's among the token's own and those given.
func (t *token) certificate(more []*x509.Certificate) (*x509.Certificate, error) {
	is := func(c *x509.Certificate) bool {
		return t.signer.ID.Class == asn1.ClassContextSpecific && t.signer.ID.Tag == 0 && len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, t.signer.ID.Bytes)
	}
	if t.signer.ID.Class == asn1.ClassUniversal {
		var id issuerAndSerial
		if err := exact(t.signer.ID.FullBytes, &id, ""); err != nil {
			return nil, fmt.Errorf("signer: %w", err)
		}
		is = func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawIssuer, id.Issuer.FullBytes) && c.SerialNumber.Cmp(id.Serial) == 0
		}
	}
	all := slices.Concat(t.certificates, more)
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], nil
	}
	return nil, errors.New("the signer's certificate is neither in the token nor given")
}

// check holds the token against itself: it is of this message, and the signature
// is by the key of the certificate.
func (t *token) check(message []byte, signer *x509.Certificate) error {
	imprint, err := hashOf(t.info.MessageImprint.Algorithm.Algorithm)
	if err != nil {
		return fmt.Errorf("message imprint: %w", err)
	}
	if !bytes.Equal(sum(imprint, message), t.info.MessageImprint.Hash) {
		return errors.New("it is of another message")
	}
	var contentType asn1.ObjectIdentifier
	if err := exact(t.attributes[oidContentType].FullBytes, &contentType, ""); err != nil || contentType.String() != oidTSTInfo {
		return errors.New("the signed content type is not that of a time stamp")
	}
	hash, err := hashOf(t.signer.DigestAlgorithm.Algorithm)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	var digest []byte
	if err := exact(t.attributes[oidMessageDigest].FullBytes, &digest, ""); err != nil || !bytes.Equal(digest, sum(hash, t.content)) {
		return errors.New("the signed digest is not that of its content")
	}
	if err := t.namesCertificate(signer); err != nil {
		return err
	}
	algorithm, err := signatureAlgorithm(signer.PublicKey, hash)
	if err != nil {
		return err
	}
	if err := signer.CheckSignature(algorithm, t.signedSet(), t.signer.Signature); err != nil {
		return fmt.Errorf("its signature: %w", err)
	}
	return nil
}

// namesCertificate wants the signed identifier of the certificate (RFC 3161,
// 2.4.2; RFC 5816): without it another certificate of the same key would do.
func (t *token) namesCertificate(signer *x509.Certificate) error {
	var v2 struct {
		Certificates []struct {
			Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
			Hash      []byte
			Issuer    asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if raw, ok := t.attributes[oidSigningCertV2]; ok {
		if err := exact(raw.FullBytes, &v2, ""); err != nil || len(v2.Certificates) == 0 {
			return errors.New("the identifier of the signer's certificate cannot be read")
		}
		hash := crypto.SHA256
		if algorithm := v2.Certificates[0].Algorithm.Algorithm; len(algorithm) > 0 {
			var err error
			if hash, err = hashOf(algorithm); err != nil {
				return fmt.Errorf("identifier of the signer's certificate: %w", err)
			}
		}
		if !bytes.Equal(v2.Certificates[0].Hash, sum(hash, signer.Raw)) {
			return errors.New("it names another certificate than the signer's")
		}
		return nil
	}
	var v1 struct {
		Certificates []struct {
			Hash   []byte
			Issuer asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	raw, ok := t.attributes[oidSigningCertificate]
	if !ok {
		return errors.New("it does not name the signer's certificate")
	}
	if err := exact(raw.FullBytes, &v1, ""); err != nil || len(v1.Certificates) == 0 {
		return errors.New("the identifier of the signer's certificate cannot be read")
	}
	digest := sha1.Sum(signer.Raw) // what version 1 has; the signature does not rest on it
	if !bytes.Equal(v1.Certificates[0].Hash, digest[:]) {
		return errors.New("it names another certificate than the signer's")
	}
	return nil
}

func signatureAlgorithm(key any, hash crypto.Hash) (x509.SignatureAlgorithm, error) {
	byHash := func(s256, s384, s512 x509.SignatureAlgorithm) x509.SignatureAlgorithm {
		switch hash {
		case crypto.SHA384:
			return s384
		case crypto.SHA512:
			return s512
		}
		return s256
	}
	switch key.(type) {
	case *rsa.PublicKey:
		return byHash(x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA), nil
	case *ecdsa.PublicKey:
		return byHash(x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512), nil
	case ed25519.PublicKey:
		return x509.PureEd25519, nil
	}
	return 0, fmt.Errorf("key of type %T: supported are RSA, ECDSA and Ed25519", key)
}

// ReadTimestamp reads a token over message whose signature is by the certificate
// that it carries. Nobody vouches for that certificate: [VerifyTimestamp] does.
func ReadTimestamp(der, message []byte) (Stamp, error) {
	t, err := parseToken(der)
	if err != nil {
		return Stamp{}, fmt.Errorf("read time stamp: %w", err)
	}
	signer, err := t.certificate(nil)
	if err == nil {
		err = t.check(message, signer)
	}
	if err != nil {
		return Stamp{}, fmt.Errorf("read time stamp: %w", err)
	}
	return Stamp{Time: t.info.Time.UTC(), Nonce: t.info.Nonce}, nil
}

// VerifyTimestamp reads a token over message that one of the authorities vouches
// for: the signer's certificate is for time stamps alone and, at the time of the
// token, leads to the authority's root.
func VerifyTimestamp(der, message []byte, authorities []Authority) (Stamp, error) {
	t, err := parseToken(der)
	if err != nil {
		return Stamp{}, fmt.Errorf("verify time stamp: %w", err)
	}
	var failures []error
	for _, a := range authorities {
		signer, err := t.certificate(append(slices.Clone(a.Intermediates), a.Root))
		if err == nil {
			err = errors.Join(t.check(message, signer), stampsOnly(signer))
		}
		if err == nil {
			err = a.verify(signer, t.certificates, t.info.Time, x509.ExtKeyUsageTimeStamping)
		}
		if err == nil {
			return Stamp{Time: t.info.Time.UTC(), Nonce: t.info.Nonce, Authority: a.ID}, nil
		}
		failures = append(failures, fmt.Errorf("time-stamp authority %q: %w", a.ID, err))
	}
	if len(failures) == 0 {
		return Stamp{}, errors.New("verify time stamp: no time-stamp authority is trusted")
	}
	return Stamp{}, fmt.Errorf("verify time stamp: %w", errors.Join(failures...))
}

// stampsOnly wants a certificate that is for time stamps and nothing else, and
// says so critically (RFC 3161, 2.3).
func stampsOnly(c *x509.Certificate) error {
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.String() == oidExtKeyUsage && e.Critical })
	if !critical || len(c.UnknownExtKeyUsage) > 0 || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping {
		return errors.New("the signer's certificate is not for time stamps alone (critical extended key usage)")
	}
	return nil
}

// timestampResponse is the answer of an authority, of which a token is a part.
type timestampResponse struct {
	Status struct {
		Status  int
		Text    []string       `asn1:"optional"`
		Failure asn1.BitString `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// ParseTimestampResponse returns the token of an authority's answer, or why it
// gave none.
func ParseTimestampResponse(der []byte) ([]byte, error) {
	var r timestampResponse
	if err := exact(der, &r, ""); err != nil {
		return nil, fmt.Errorf("read time-stamp response: %w", err)
	}
	if r.Status.Status > 1 { // granted, granted with modifications
		return nil, fmt.Errorf("the time-stamp authority refused, status %d: %q", r.Status.Status, r.Status.Text)
	}
	if len(r.Token.FullBytes) == 0 {
		return nil, errors.New("read time-stamp response: it has no token")
	}
	return r.Token.FullBytes, nil
}

// TimestampResponse wraps a token in the answer that it came in, which is what a
// Sigstore bundle holds.
func TimestampResponse(token []byte) ([]byte, error) {
	var granted struct {
		Status struct{ Status int }
		Token  asn1.RawValue
	}
	granted.Token.FullBytes = token
	out, err := asn1.Marshal(granted)
	if err != nil {
		return nil, fmt.Errorf("write time-stamp response: %w", err)
	}
	return out, nil
}
