package seal

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// Formats of an encrypted private key.
const (
	// FormatPKCS8 is PBES2 (RFC 8018) with PBKDF2-HMAC-SHA256 and AES-256-CBC,
	// which OpenSSL reads.
	FormatPKCS8 = "pkcs8"
	// FormatCosign is scrypt and NaCl's secretbox, which cosign reads.
	FormatCosign = "cosign"
)

// PEM types of encrypted keys. Old versions of cosign wrote their own name.
const (
	encryptedPEMType = "ENCRYPTED PRIVATE KEY"
	sigstorePEMType  = "ENCRYPTED SIGSTORE PRIVATE KEY"
	cosignPEMType    = "ENCRYPTED COSIGN PRIVATE KEY"
)

// maxPassword bounds a password, in bytes.
const maxPassword = 4 << 10 // 4 KiB

// Errors of encrypted keys that callers branch on.
var (
	// ErrPasswordNeeded: the key is encrypted and no password was given.
	ErrPasswordNeeded = errors.New("it is encrypted, and no password was given")
	// ErrWrongPassword: the password does not open the key.
	ErrWrongPassword = errors.New("wrong password, or the file is damaged")
)

// isEncrypted reports whether a PEM block is of an encrypted key that can be read.
func isEncrypted(block *pem.Block) bool {
	return block.Type == encryptedPEMType || block.Type == sigstorePEMType || block.Type == cosignPEMType
}

// decrypt opens an encrypted key.
func decrypt(block *pem.Block, password []byte) (any, error) {
	if len(password) == 0 {
		return nil, ErrPasswordNeeded
	}
	if block.Type != encryptedPEMType {
		der, err := encrypted.Decrypt(block.Bytes, password)
		if err != nil {
			return nil, fmt.Errorf("%w (%w)", ErrWrongPassword, err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("parse the decrypted private key: %w", err)
		}
		return key, nil
	}
	return openPBES2(block.Bytes, password)
}

// EncryptedPEM is the private key, encrypted with a password in one of the formats.
func (k *PrivateKey) EncryptedPEM(format string, password []byte) ([]byte, error) {
	if len(password) == 0 {
		return nil, errors.New("encrypt private key: the password is empty")
	}
	switch format {
	case FormatPKCS8:
		der, err := x509.MarshalPKCS8PrivateKey(k.key)
		if err != nil {
			return nil, fmt.Errorf("encode private key: %w", err)
		}
		if der, err = sealPBES2(der, password); err != nil {
			return nil, fmt.Errorf("encrypt private key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: encryptedPEMType, Bytes: der}), nil
	case FormatCosign:
		der, err := x509.MarshalPKCS8PrivateKey(k.key)
		if err != nil {
			return nil, fmt.Errorf("encode private key: %w", err)
		}
		box, err := encrypted.Encrypt(der, password)
		if err != nil {
			return nil, fmt.Errorf("encrypt private key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: sigstorePEMType, Bytes: box}), nil
	}
	return nil, fmt.Errorf("unknown format of an encrypted key %q: want %s or %s", format, FormatPKCS8, FormatCosign)
}

// ReadPassword reads a password from a file: its content without the line end.
func ReadPassword(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read password %q: %w", path, cause(err))
	}
	if info.Size() > maxPassword {
		return nil, fmt.Errorf("read password %q: more than %d KiB: not a password", path, maxPassword>>10)
	}
	data, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("read password %q: %w", path, err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return nil, fmt.Errorf("read password %q: it is empty", path)
	}
	return data, nil
}
