package seal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pip-witness/internal/seal"
)

func TestWriteAndLoad(t *testing.T) {
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			private, public := filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
			k, err := seal.GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Write(private, public); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(private)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("private key has mode %o, want 600", info.Mode().Perm())
			}
			loaded, err := seal.LoadPrivateKey(private, nil)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := seal.LoadPublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := loaded.Sign(context.Background(), []byte("m"))
			if err != nil {
				t.Fatal(err)
			}
			if kind == seal.Ed25519 && len(sig) != 64 {
				t.Errorf("signature of %d bytes, want 64", len(sig))
			}
			if err := pub.Verify([]byte("m"), sig); err != nil {
				t.Error(err)
			}
			if err := pub.Verify([]byte("n"), sig); err == nil {
				t.Error("the signature holds for another message")
			}
			// The key id is what `sha256sum key.pub` prints.
			text, err := os.ReadFile(public)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(text)
			if want := hex.EncodeToString(sum[:]); pub.KeyID() != want || k.KeyID() != want || !strings.HasSuffix(string(text), "\n") {
				t.Errorf("key ids %s and %s, want %s", pub.KeyID(), k.KeyID(), want)
			}
		})
	}
}

func TestKeysAreNeverReplaced(t *testing.T) {
	for _, taken := range []string{"key.pem", "key.pub"} {
		t.Run(taken, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, taken), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := seal.Ephemeral()
			if err != nil {
				t.Fatal(err)
			}
			err = k.Write(filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub"))
			if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "choose another --out") {
				t.Errorf("error %v", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if data, _ := os.ReadFile(filepath.Join(dir, taken)); len(entries) != 1 || string(data) != "old" {
				t.Errorf("the directory was changed: %v", entries)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	k, err := seal.GenerateKey(seal.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	private, err := k.PEM()
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}) }
	tests := map[string]struct {
		data    []byte
		public  bool
		want    string
		missing bool
	}{
		"missing":             {missing: true, want: "no such file"},
		"not PEM":             {data: []byte("hello"), want: "not a PEM file"},
		"empty":               {data: nil, want: "not a PEM file"},
		"encrypted":           {data: block("ENCRYPTED PRIVATE KEY", nil), want: "it is encrypted, and no password was given"},
		"encrypted, old":      {data: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,00"}}), want: "it is encrypted"},
		"encrypted, sigstore": {data: block("ENCRYPTED SIGSTORE PRIVATE KEY", nil), want: "it is encrypted"},
		"SEC 1":               {data: block("EC PRIVATE KEY", nil), want: "openssl pkcs8 -topk8"},
		"OpenSSH":             {data: block("OPENSSH PRIVATE KEY", nil), want: "OpenSSH key"},
		"other curve":         {data: block("PRIVATE KEY", der), want: "P-384"},
		"garbage inside":      {data: block("PRIVATE KEY", []byte("x")), want: "parse PKCS#8"},
		"public for private":  {data: k.Public().PEM(), want: "it is a public key, want the private one"},
		"private for public":  {data: private, public: true, want: "it is a private key, want the public one"},
		"certificate":         {data: block("CERTIFICATE", nil), public: true, want: `PEM block "CERTIFICATE"`},
		"two keys":            {data: append(k.Public().PEM(), k.Public().PEM()...), public: true, want: "one key per file"},
		"large":               {data: make([]byte, 1<<20), want: "larger than 64 KiB"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if !tt.missing {
				if err := os.WriteFile(path, tt.data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if tt.public {
				_, err = seal.LoadPublicKey(path)
			} else {
				_, err = seal.LoadPrivateKey(path, nil)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), path) != 1 {
				t.Errorf("error %v, want %q and the path once", err, tt.want)
			}
		})
	}
	if _, err := seal.LoadPrivateKey(dir, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
	if os.Getuid() != 0 {
		path := filepath.Join(dir, "unreadable")
		if err := os.WriteFile(path, private, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadPrivateKey(path, nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := seal.GenerateKey("rsa"); err == nil || !strings.Contains(err.Error(), `unknown kind of key "rsa"`) {
		t.Errorf("error %v", err)
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := seal.ParsePrivateKey(data, nil); err == nil && k.KeyID() == "" {
			t.Error("a key without an id")
		}
	})
}
