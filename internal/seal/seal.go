// Package seal holds private keys: it makes, stores and loads them, and signs
// with them. Keys are PKCS#8, plain or encrypted, and PKIX in PEM, or in cosign's
// format; a key's identity is the SHA-256 of its public PEM file.
package seal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"pip-witness/attestation"
	"pip-witness/internal/store"
)

// Kinds of keys.
const (
	Ed25519   = "ed25519"
	ECDSAP256 = "ecdsa-p256"
)

// maxKeyFile bounds the read of a key file.
const maxKeyFile = 64 << 10 // 64 KiB

// privatePEMType is the PEM type of a PKCS#8 private key (RFC 7468, 10).
const privatePEMType = "PRIVATE KEY"

// PrivateKey signs; it satisfies [attestation.Signer].
type PrivateKey struct {
	key    crypto.Signer
	public attestation.PublicKey
}

// GenerateKey makes a new key of a kind: "ed25519" or "ecdsa-p256".
func GenerateKey(kind string) (*PrivateKey, error) {
	switch kind {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generate %s key: %w", kind, err)
		}
		return newPrivateKey(key)
	case ECDSAP256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generate %s key: %w", kind, err)
		}
		return newPrivateKey(key)
	}
	return nil, fmt.Errorf("unknown kind of key %q: want %s or %s", kind, Ed25519, ECDSAP256)
}

// Ephemeral makes a key for one run that is never written anywhere.
func Ephemeral() (*PrivateKey, error) { return GenerateKey(Ed25519) }

func newPrivateKey(key crypto.Signer) (*PrivateKey, error) {
	public, err := attestation.NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: key, public: public}, nil
}

// KeyID is the key id of the public key.
func (k *PrivateKey) KeyID() string { return k.public.KeyID() }

// Public is the public half.
func (k *PrivateKey) Public() attestation.PublicKey { return k.public }

// Sign signs message: Ed25519 raw, ECDSA as ASN.1 DER over SHA-256.
func (k *PrivateKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, ok := k.key.(ed25519.PrivateKey); ok {
		return k.key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// PEM is the private key as PKCS#8 in PEM.
func (k *PrivateKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privatePEMType, Bytes: der}), nil
}

// Write writes the private key to privatePath (mode 0600) and the public one to
// publicPath (0644). An existing file is never replaced: the error then matches
// [fs.ErrExist] and nothing new is left.
func (k *PrivateKey) Write(privatePath, publicPath string) error {
	text, err := k.PEM()
	if err != nil {
		return err
	}
	return k.write(text, privatePath, publicPath)
}

// WriteEncrypted is [PrivateKey.Write] with the private key encrypted, as
// [PrivateKey.EncryptedPEM] does.
func (k *PrivateKey) WriteEncrypted(privatePath, publicPath, format string, password []byte) error {
	text, err := k.EncryptedPEM(format, password)
	if err != nil {
		return err
	}
	return k.write(text, privatePath, publicPath)
}

func (k *PrivateKey) write(text []byte, privatePath, publicPath string) error {
	if _, err := os.Lstat(publicPath); err == nil {
		return exists(publicPath)
	}
	if err := store.WriteNewFile(privatePath, text, 0o600); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return exists(privatePath)
		}
		return err
	}
	if err := store.WriteNewFile(publicPath, k.public.PEM(), 0o644); err != nil {
		return errors.Join(err, os.Remove(privatePath))
	}
	return nil
}

func exists(path string) error {
	return fmt.Errorf("write key %q: %w; a key is never replaced: choose another --out, or move the old key away", path, fs.ErrExist)
}

// LoadPrivateKey reads a private key from a PEM file: PKCS#8, plain or encrypted,
// or cosign's format. The password is needed for an encrypted one only; without
// it the error matches [ErrPasswordNeeded], with another [ErrWrongPassword].
func LoadPrivateKey(path string, password []byte) (*PrivateKey, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("read private key %q: %w", path, err)
	}
	k, err := ParsePrivateKey(data, password)
	if err != nil {
		return nil, fmt.Errorf("read private key %q: %w", path, err)
	}
	return k, nil
}

// LoadPublicKey reads a PKIX public key from a PEM file.
func LoadPublicKey(path string) (attestation.PublicKey, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return attestation.PublicKey{}, fmt.Errorf("read public key %q: %w", path, err)
	}
	k, err := attestation.ParsePublicKey(data)
	if err != nil {
		return attestation.PublicKey{}, fmt.Errorf("read public key %q: %w", path, err)
	}
	return k, nil
}

// ParsePrivateKey reads a private key in PEM, as [LoadPrivateKey] does.
func ParsePrivateKey(data, password []byte) (*PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("not a PEM file: want a block \"BEGIN PRIVATE KEY\" (pip-witness keygen makes one)")
	}
	_, old := block.Headers["DEK-Info"]
	switch {
	case old:
		return nil, errors.New("it is encrypted in the old way of PEM, which is not supported: convert it with `openssl pkcs8 -topk8 -in KEY -out NEW`")
	case isEncrypted(block):
		key, err := decrypt(block, password)
		if err != nil {
			return nil, err
		}
		return signing(key)
	case strings.HasPrefix(block.Type, "ENCRYPTED ") && strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, fmt.Errorf("it is encrypted (%q), which is not supported: make a key with `pip-witness keygen`", block.Type)
	case block.Type == "PUBLIC KEY":
		return nil, errors.New("it is a public key, want the private one (without .pub)")
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, errors.New("it is an OpenSSH key, want PKCS#8: make one with `pip-witness keygen`")
	case block.Type == "EC PRIVATE KEY" || block.Type == "RSA PRIVATE KEY":
		return nil, fmt.Errorf("PEM block %q, want PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`", block.Type)
	case block.Type != privatePEMType:
		return nil, fmt.Errorf("PEM block %q, want %q", block.Type, privatePEMType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse PKCS#8 private key: %w", err)
	}
	return signing(key)
}

// signing wraps a key of the standard library.
func signing(key any) (*PrivateKey, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T cannot sign: supported are Ed25519 and ECDSA P-256", key)
	}
	return newPrivateKey(signer)
}

// readKeyFile reads a regular file of at most maxKeyFile bytes.
func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("larger than %d KiB: not a key", maxKeyFile>>10)
	}
	return data, nil
}

// cause drops the path that a PathError repeats; callers name it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
