// Package sigstoretest is a Sigstore of one's own for tests: a certificate
// authority, a certificate log and a transparency log that sign whatever a test
// wants to be attested. It contacts nobody.
package sigstoretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"time"
)

// logName is the origin in the transparency log's checkpoints.
const logName = "log.example"

// Sigstore signs attestations at one time.
type Sigstore struct {
	authority *x509.Certificate
	signing   *ecdsa.PrivateKey // of the authority
	ct, log   *logKey
	at        time.Time
}

// logKey is the key of one log, with its identifier.
type logKey struct {
	key  *ecdsa.PrivateKey
	spki []byte
	id   [sha256.Size]byte
}

// Signer is who signs: what the certificate states.
type Signer struct {
	Issuer, Subject                 string
	Repository, Config, Ref, Commit string
	// RepositoryID and OwnerID are the forge's numbers; empty leaves them out.
	RepositoryID, OwnerID string
}

// GitHub is a workflow of a repository on its default branch.
func GitHub(repository, workflow string) Signer {
	s := Signer{
		Issuer: "https://token.actions.githubusercontent.com", Repository: "https://github.com/" + repository,
		Ref: "refs/heads/main", Commit: "00112233445566778899aabbccddeeff00112233",
	}
	s.Config = s.Repository + "/.github/workflows/" + workflow + "@" + s.Ref
	s.Subject = s.Config
	return s
}

// GitLab is a pipeline of a project, named by its file.
func GitLab(project, file string) Signer {
	s := Signer{
		Issuer: "https://gitlab.com", Repository: "https://gitlab.com/" + project,
		Ref: "refs/heads/main", Commit: "00112233445566778899aabbccddeeff00112233",
	}
	s.Config = s.Repository + "//" + file + "@" + s.Ref
	s.Subject = s.Config
	return s
}

// New makes the keys. Everything is signed at that time.
func New(at time.Time) (*Sigstore, error) {
	s := &Sigstore{at: at.UTC().Truncate(time.Second)}
	var err error
	if s.ct, err = newLogKey(); err != nil {
		return nil, err
	}
	if s.log, err = newLogKey(); err != nil {
		return nil, err
	}
	if s.signing, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"example"}, CommonName: "authority"},
		NotBefore: s.at.Add(-time.Hour), NotAfter: s.at.Add(20 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, s.signing.Public(), s.signing)
	if err != nil {
		return nil, err
	}
	s.authority, err = x509.ParseCertificate(raw)
	return s, err
}

func newLogKey() (*logKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	return &logKey{key, spki, sha256.Sum256(spki)}, err
}

func (k *logKey) sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, k.key, sum[:])
}

// object is a JSON object; encoding/json writes its keys sorted, which is the
// canonical form that the transparency log signs.
type object = map[string]any

// Root is the trusted root; the logs and the authority were in use from an hour
// before the signing time until then, zero for still.
func (s *Sigstore) Root(until time.Time) ([]byte, error) {
	valid := object{"start": s.at.Add(-time.Hour).Format(time.RFC3339)}
	if !until.IsZero() {
		valid["end"] = until.UTC().Format(time.RFC3339)
	}
	instance := func(k *logKey) object {
		return object{
			"baseUrl": "https://" + logName, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": k.id[:]},
			"publicKey": object{"rawBytes": k.spki, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
		}
	}
	return json.Marshal(object{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":     []object{instance(s.log)}, "ctlogs": []object{instance(s.ct)},
		"certificateAuthorities": []object{{
			"subject": object{"organization": "example", "commonName": "authority"}, "uri": "https://authority.example",
			"certChain": object{"certificates": []object{{"rawBytes": s.authority.Raw}}}, "validFor": valid,
		}},
	})
}

// Statement is an in-toto statement about one file.
func Statement(filename, digest, predicateType string) ([]byte, error) {
	return json.Marshal(object{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": nil,
		"subject": []object{{"name": filename, "digest": object{"sha256": digest}}},
	})
}

// Object is a provenance object of one publisher.
func Object(publisher map[string]any, attestations ...[]byte) ([]byte, error) {
	var list []json.RawMessage
	for _, a := range attestations {
		list = append(list, a)
	}
	return json.Marshal(object{"version": 1, "attestation_bundles": []object{{"publisher": publisher, "attestations": list}}})
}

// Attest signs a statement and returns the attestation object of PEP 740.
func (s *Sigstore) Attest(statement []byte, by Signer) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := s.certificate(by, key)
	if err != nil {
		return nil, err
	}
	const payloadType = "application/vnd.in-toto+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	entry, err := s.enter(statement, signature, certificate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{
		"version": 1, "envelope": object{"statement": statement, "signature": signature},
		"verification_material": object{"certificate": certificate, "transparency_entries": []object{entry}},
	})
}

// certificate issues one: first without the log's promise, which is over that,
// then with it (RFC 6962, section 3.2).
func (s *Sigstore) certificate(by Signer, key *ecdsa.PrivateKey) ([]byte, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), NotBefore: s.at.Add(-time.Minute), NotAfter: s.at.Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	subject, err := url.Parse(by.Subject)
	switch {
	case err != nil:
		return nil, err
	case subject.Scheme == "":
		template.EmailAddresses = []string{by.Subject}
	default:
		template.URIs = []*url.URL{subject}
	}
	for n, value := range map[int]string{
		8: by.Issuer, 12: by.Repository, 13: by.Commit, 14: by.Ref, 15: by.RepositoryID, 17: by.OwnerID, 18: by.Config,
	} {
		if value == "" {
			continue
		}
		der, err := asn1.MarshalWithParams(value, "utf8")
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: der})
	}
	issue := func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, template, s.authority, key.Public(), s.signing)
	}
	raw, err := issue()
	if err != nil {
		return nil, err
	}
	before, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	promise, err := s.promise(before.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: promise})
	return issue()
}

// promise is the extension with one signed certificate timestamp.
func (s *Sigstore) promise(tbs []byte) ([]byte, error) {
	if len(tbs) >= 1<<24 {
		return nil, errors.New("a certificate of more than 16 MiB")
	}
	issuer := sha256.Sum256(s.authority.RawSubjectPublicKeyInfo)
	at := binary.BigEndian.AppendUint64(nil, uint64(s.at.UnixMilli()))
	message := append([]byte{0, 0}, at...)
	message = append(message, 0, 1) // a precertificate
	message = append(message, issuer[:]...)
	message = append(message, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	message = append(message, tbs...)
	message = append(message, 0, 0) // no extensions
	signature, err := s.ct.sign(message)
	if err != nil {
		return nil, err
	}
	sct := append([]byte{0}, s.ct.id[:]...)
	sct = append(sct, at...)
	sct = append(sct, 0, 0, 4, 3) // no extensions, SHA-256 and ECDSA
	sct = binary.BigEndian.AppendUint16(sct, uint16(len(signature)))
	sct = append(sct, signature...)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(sct)+2))
	list = binary.BigEndian.AppendUint16(list, uint16(len(sct)))
	return asn1.Marshal(append(list, sct...))
}

// enter makes the entry of a transparency log that has no other one.
func (s *Sigstore) enter(statement, signature, certificate []byte) (object, error) {
	hash := func(b []byte) object {
		sum := sha256.Sum256(b)
		return object{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
	}
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	body, err := json.Marshal(object{"apiVersion": "0.0.1", "kind": "dsse", "spec": object{
		"envelopeHash": hash(signature), "payloadHash": hash(statement),
		"signatures": []object{{"signature": base64.StdEncoding.EncodeToString(signature), "verifier": verifier}},
	}})
	if err != nil {
		return nil, err
	}
	promised, err := json.Marshal(object{
		"body": body, "integratedTime": s.at.Unix(), "logID": hex.EncodeToString(s.log.id[:]), "logIndex": 0,
	})
	if err != nil {
		return nil, err
	}
	promise, err := s.log.sign(promised)
	if err != nil {
		return nil, err
	}
	leaf := sha256.Sum256(append([]byte{0}, body...)) // of a tree with one leaf the root
	head := logName + " - 1\n1\n" + base64.StdEncoding.EncodeToString(leaf[:]) + "\n"
	signed, err := s.log.sign([]byte(head))
	if err != nil {
		return nil, err
	}
	note := base64.StdEncoding.EncodeToString(append(s.log.id[:4:4], signed...))
	return object{
		"logIndex": "0", "logId": object{"keyId": s.log.id[:]}, "kindVersion": object{"kind": "dsse", "version": "0.0.1"},
		"integratedTime": strconv.FormatInt(s.at.Unix(), 10), "canonicalizedBody": body,
		"inclusionPromise": object{"signedEntryTimestamp": promise},
		"inclusionProof": object{
			"logIndex": "0", "treeSize": "1", "rootHash": leaf[:], "hashes": []string{},
			"checkpoint": object{"envelope": head + "\n\u2014 " + logName + " " + note + "\n"},
		},
	}, nil
}
