package seal_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pip-witness/internal/seal"
)

func writeFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB, kind string) *seal.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encrypted(t testing.TB, key *seal.PrivateKey, format, password string) []byte {
	t.Helper()
	text, err := key.EncryptedPEM(format, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEncryptedKeys(t *testing.T) {
	for _, format := range []string{seal.FormatPKCS8, seal.FormatCosign} {
		for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
			t.Run(format+" "+kind, func(t *testing.T) {
				key := newKey(t, kind)
				text := encrypted(t, key, format, "pass word ü")
				back, err := seal.ParsePrivateKey(text, []byte("pass word ü"))
				if err != nil || back.KeyID() != key.KeyID() {
					t.Fatalf("read back: %v", err)
				}
				if _, err := seal.ParsePrivateKey(text, []byte("pass word")); !errors.Is(err, seal.ErrWrongPassword) {
					t.Errorf("wrong password: error %v", err)
				}
				if _, err := seal.ParsePrivateKey(text, nil); !errors.Is(err, seal.ErrPasswordNeeded) {
					t.Errorf("no password: error %v", err)
				}
				block, _ := pem.Decode(text)
				for i := range []int{0, len(block.Bytes) / 2, len(block.Bytes) - 1} {
					bad := pem.Block{Type: block.Type, Bytes: bytes.Clone(block.Bytes)}
					bad.Bytes[i] ^= 1
					if k, err := seal.ParsePrivateKey(pem.EncodeToMemory(&bad), []byte("pass word ü")); err == nil && k.KeyID() != key.KeyID() {
						t.Errorf("byte %d changed: another key is read", i)
					}
				}
				if again := encrypted(t, key, format, "pass word ü"); bytes.Equal(again, text) {
					t.Error("encrypted twice in the same way: there is no salt")
				}
			})
		}
	}
	if _, err := newKey(t, seal.Ed25519).EncryptedPEM(seal.FormatPKCS8, nil); err == nil {
		t.Error("an empty password is taken")
	}
	if _, err := newKey(t, seal.Ed25519).EncryptedPEM("x", []byte("p")); err == nil || !strings.Contains(err.Error(), "want pkcs8 or cosign") {
		t.Errorf("error %v", err)
	}
}

// TestOpenSSLKeys: what either side writes, the other one reads.
func TestOpenSSLKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl")
	}
	dir := t.TempDir()
	run := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command(openssl, args...).Output()
		if err != nil {
			t.Fatalf("openssl %q: %v", args, err)
		}
		return out
	}
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		key := newKey(t, kind)
		ours := writeFile(t, filepath.Join(dir, kind+".ours"), encrypted(t, key, seal.FormatPKCS8, "secret"))
		if public := run("pkey", "-in", ours, "-passin", "pass:secret", "-pubout"); !bytes.Equal(public, key.Public().PEM()) {
			t.Errorf("%s: openssl reads another key", kind)
		}
		plain, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		file := writeFile(t, filepath.Join(dir, kind+".plain"), plain)
		for _, method := range [][]string{
			{"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"}, {"-v2", "aes192", "-v2prf", "hmacWithSHA512"},
			{"-v2", "aes-256-cbc", "-iter", "100000"}, {"-scrypt"}, {"-scrypt", "-scrypt_N", "1024", "-scrypt_r", "16", "-scrypt_p", "2"},
		} {
			text := run(append([]string{"pkcs8", "-topk8", "-in", file, "-passout", "pass:secret"}, method...)...)
			if back, err := seal.ParsePrivateKey(text, []byte("secret")); err != nil || back.KeyID() != key.KeyID() {
				t.Errorf("%s %q: %v", kind, method, err)
			}
			if _, err := seal.ParsePrivateKey(text, []byte("Secret")); !errors.Is(err, seal.ErrWrongPassword) {
				t.Errorf("%s %q: wrong password: error %v", kind, method, err)
			}
		}
		for name, tt := range map[string]struct {
			method []string
			want   string
		}{
			"cipher":            {[]string{"-v2", "des3"}, "its cipher 1.2.840.113549.3.7 is not supported"},
			"many iterations":   {[]string{"-v2", "aes-256-cbc", "-iter", "100000"}, "at most 5000000 iterations"},
			"scrypt, much":      {[]string{"-scrypt", "-scrypt_N", "16384", "-scrypt_r", "1", "-scrypt_p", "17"}, "at most 256 MiB and 16 lanes"},
			"PBES1, old cipher": {[]string{"-v1", "PBE-SHA1-3DES"}, "want PBES2"},
		} {
			text := run(append([]string{"pkcs8", "-topk8", "-in", file, "-passout", "pass:secret"}, tt.method...)...)
			if name == "many iterations" { // openssl would make them
				block, _ := pem.Decode(text)
				block.Bytes = bytes.Replace(block.Bytes, []byte{2, 3, 1, 0x86, 0xa0}, []byte{2, 3, 0x7f, 0xff, 0xff}, 1)
				text = pem.EncodeToMemory(block)
			}
			if _, err := seal.ParsePrivateKey(text, []byte("secret")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want %q", name, err, tt.want)
			}
		}
	}
}

// TestE2ECosignKeys: a cosign reads our key and we read its.
func TestE2ECosignKeys(t *testing.T) {
	cosign := os.Getenv("PIP_WITNESS_COSIGN")
	if os.Getenv("PIP_WITNESS_E2E") == "" || cosign == "" {
		t.Skip("needs PIP_WITNESS_E2E=1 and PIP_WITNESS_COSIGN, the path of a cosign v3")
	}
	dir := t.TempDir()
	run := func(args ...string) []byte {
		t.Helper()
		command := exec.Command(cosign, args...)
		command.Dir, command.Env = dir, append(os.Environ(), "COSIGN_PASSWORD=secret", "HOME="+dir)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("cosign %q: %v", args, err)
		}
		return out
	}
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		for _, format := range []string{seal.FormatCosign} {
			key := newKey(t, kind)
			path := writeFile(t, filepath.Join(dir, kind+".key"), encrypted(t, key, format, "secret"))
			if public := run("public-key", "--key", path); !bytes.Equal(public, key.Public().PEM()) {
				t.Errorf("%s: cosign reads another key:\n%s", kind, public)
			}
		}
	}
	run("generate-key-pair", "--output-key-prefix", "made")
	made, err := seal.LoadPrivateKey(filepath.Join(dir, "made.key"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := seal.LoadPublicKey(filepath.Join(dir, "made.pub"))
	if err != nil || public.KeyID() != made.KeyID() {
		t.Errorf("the key that cosign made: %v", err)
	}
}

func TestReadPassword(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{"secret\n": "secret", "secret\r\n": "secret", " two words": " two words", "a\n\n": "a\n"} {
		got, err := seal.ReadPassword(writeFile(t, filepath.Join(dir, "p"), []byte(content)))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	for name, content := range map[string]string{"it is empty": "\n", "not a password": strings.Repeat("x", 5000)} {
		if _, err := seal.ReadPassword(writeFile(t, filepath.Join(dir, "p"), []byte(content))); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
	if _, err := seal.ReadPassword(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func FuzzEncryptedKey(f *testing.F) {
	// Blocks of keys whose derivation is cheap: one iteration, and a few kilobytes.
	f.Add("ENCRYPTED PRIVATE KEY", []byte("0\x00"))
	f.Add("ENCRYPTED SIGSTORE PRIVATE KEY", []byte(`{"kdf":{"name":"scrypt","params":{"N":2,"r":8,"p":1},"salt":"AA=="},"cipher":{"name":"nacl/secretbox","nonce":"AA=="},"ciphertext":"AA=="}`))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
		if k, err := seal.ParsePrivateKey(text, []byte("p")); err == nil && k.KeyID() == "" {
			t.Error("a key without an id")
		}
	})
}
