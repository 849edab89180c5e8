package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// publicPEMType is the PEM type of a PKIX public key (RFC 7468, 13).
const publicPEMType = "PUBLIC KEY"

// PublicKey verifies signatures of one Ed25519 or ECDSA P-256 key.
type PublicKey struct {
	id  string
	pem []byte
	key crypto.PublicKey
}

// NewPublicKey wraps a key of crypto/ed25519 or crypto/ecdsa (P-256).
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return PublicKey{}, fmt.Errorf("ECDSA key on curve %s: supported are Ed25519 and ECDSA P-256", k.Curve.Params().Name)
		}
	default:
		return PublicKey{}, fmt.Errorf("key of type %s: supported are Ed25519 and ECDSA P-256", strings.TrimPrefix(fmt.Sprintf("%T", key), "*"))
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, fmt.Errorf("encode public key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: publicPEMType, Bytes: der})
	sum := sha256.Sum256(text)
	return PublicKey{id: hex.EncodeToString(sum[:]), pem: text, key: key}, nil
}

// ParsePublicKey reads a PKIX public key in PEM.
func ParsePublicKey(data []byte) (PublicKey, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return PublicKey{}, errors.New("not a PEM file: want a block \"BEGIN PUBLIC KEY\"")
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return PublicKey{}, errors.New("it is a private key, want the public one (the .pub file beside it)")
	}
	if block.Type != publicPEMType {
		return PublicKey{}, fmt.Errorf("PEM block %q, want %q", block.Type, publicPEMType)
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return PublicKey{}, errors.New("data after the first PEM block: want one key per file")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse PKIX public key: %w", err)
	}
	return NewPublicKey(key)
}

// KeyID is the lower-case hex SHA-256 of [PublicKey.PEM].
func (k PublicKey) KeyID() string { return k.id }

// PEM is the key as PKIX in PEM, with the final newline.
func (k PublicKey) PEM() []byte { return append([]byte(nil), k.pem...) }

// Verify checks one signature over message.
func (k PublicKey) Verify(message, sig []byte) error {
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(key, message, sig) {
			return nil
		}
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		if ecdsa.VerifyASN1(key, sum[:], sig) {
			return nil
		}
	default:
		return errors.New("empty public key")
	}
	return errors.New("the signature does not match the signed bytes")
}
