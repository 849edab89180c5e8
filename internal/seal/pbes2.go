package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// PBES2 (RFC 8018, RFC 7914) is read here and not by the library that others use:
// that one ends the process at a file of the wrong length and takes GCM for CBC.

// pbkdf2Iterations is what OWASP asked for of HMAC-SHA256 in 2023.
const pbkdf2Iterations = 600_000

// Bounds of what a key file may ask for; the derivation would otherwise take as
// long, and as much memory, as somebody likes.
const (
	maxIterations   = 5_000_000
	maxScryptMemory = 256 << 20 // 256 MiB
	maxScryptLanes  = 16
)

type pbes2Info struct {
	Algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	}
	Data []byte
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParameters struct {
	Salt                  []byte
	Cost, Block, Parallel int
	KeyLength             int `asn1:"optional"`
}

// Object identifiers of PBES2.
func oidPBES2() asn1.ObjectIdentifier      { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13} }
func oidPBKDF2() asn1.ObjectIdentifier     { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12} }
func oidScrypt() asn1.ObjectIdentifier     { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} }
func oidHMACSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9} }
func oidAES256CBC() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
}

// keySize is the size of the key of a cipher, all of them AES in CBC mode.
func keySize(oid asn1.ObjectIdentifier) (int, error) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, nil
	case "2.16.840.1.101.3.4.1.22":
		return 24, nil
	case "2.16.840.1.101.3.4.1.42":
		return 32, nil
	}
	return 0, fmt.Errorf("its cipher %s is not supported: want AES in CBC mode", oid)
}

// prf is the hash function of PBKDF2's HMAC; SHA-1 when none is named.
func prf(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("its hash function %s is not supported", oid)
}

// openPBES2 decrypts a PKCS#8 private key.
func openPBES2(der, password []byte) (any, error) {
	var info pbes2Info
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Algorithm.ID.Equal(oidPBES2()) {
		return nil, errors.New("its encryption cannot be read: want PBES2, as `openssl pkcs8 -topk8` writes it")
	}
	method := info.Algorithm.Parameters
	size, err := keySize(method.Cipher.Algorithm)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(method.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != aes.BlockSize {
		return nil, errors.New("its initialisation vector cannot be read")
	}
	if len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%d encrypted bytes, want whole blocks: the file is damaged", len(info.Data))
	}
	secret, err := derive(method.KDF, password, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(padding)}, padding)) {
		return nil, ErrWrongPassword
	}
	key, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-padding])
	if err != nil {
		return nil, ErrWrongPassword
	}
	return key, nil
}

// derive makes the key of the cipher from the password, within the bounds.
func derive(kdf pkix.AlgorithmIdentifier, password []byte, size int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2()):
		var p pbkdf2Parameters
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Iterations < 1 || p.Iterations > maxIterations {
			return nil, fmt.Errorf("its PBKDF2 parameters are out of bounds: at most %d iterations are made", maxIterations)
		}
		h, err := prf(p.PRF.Algorithm)
		if err != nil {
			return nil, err
		}
		return pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
	case kdf.Algorithm.Equal(oidScrypt()):
		var p scryptParameters
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Cost < 2 || p.Block < 1 || p.Parallel < 1 ||
			p.Parallel > maxScryptLanes || p.Cost > maxScryptMemory || p.Block > maxScryptMemory || int64(p.Cost)*int64(p.Block)*128 > maxScryptMemory {
			return nil, fmt.Errorf("its scrypt parameters are out of bounds: at most %d MiB and %d lanes are used", maxScryptMemory>>20, maxScryptLanes)
		}
		return scrypt.Key(password, p.Salt, p.Cost, p.Block, p.Parallel, size)
	}
	return nil, fmt.Errorf("its key derivation %s is not supported: want PBKDF2 or scrypt", kdf.Algorithm)
}

// sealPBES2 encrypts a PKCS#8 private key: PBKDF2 with HMAC-SHA256, AES-256-CBC.
func sealPBES2(plain, password []byte) ([]byte, error) {
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	if _, err := rand.Read(iv); err != nil {
		return nil, err
	}
	parameters, err := asn1.Marshal(pbkdf2Parameters{
		Salt: salt, Iterations: pbkdf2Iterations, PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256(), Parameters: asn1.NullRawValue},
	})
	if err != nil {
		return nil, err
	}
	vector, err := asn1.Marshal(iv)
	if err != nil {
		return nil, err
	}
	var info pbes2Info
	info.Algorithm.ID = oidPBES2()
	info.Algorithm.Parameters.KDF = pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2(), Parameters: asn1.RawValue{FullBytes: parameters}}
	info.Algorithm.Parameters.Cipher = pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC(), Parameters: asn1.RawValue{FullBytes: vector}}
	secret, err := derive(info.Algorithm.Parameters.KDF, password, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	info.Data = append(bytes.Clone(plain), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(info.Data, info.Data)
	return asn1.Marshal(info)
}
