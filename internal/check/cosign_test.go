package check

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/internal/testca"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// cosignVariable names a cosign v3, which takes minutes to build and so is not
// built by the tests: go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3.
const cosignVariable = "PIP_WITNESS_COSIGN"

func needCosign(t *testing.T) string {
	t.Helper()
	cosign := os.Getenv(cosignVariable)
	if os.Getenv("PIP_WITNESS_E2E") == "" || cosign == "" {
		t.Skipf("needs PIP_WITNESS_E2E=1 and %s, the path of a cosign v3", cosignVariable)
	}
	return cosign
}

// TestE2ECosign has cosign verify the bundles of the provenance and of the
// verification summary with the public key, offline, and refuse what was changed.
func TestE2ECosign(t *testing.T) {
	cosign := needCosign(t)
	plain, err := testpkg.Find("testpkg-plain")
	if err != nil {
		t.Fatal(err)
	}
	wheel := build(t, plain)
	o := observe(t, request(t, wheel))
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		t.Run(kind, func(t *testing.T) {
			key, err := seal.GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			result, err := Judge(t.Context(), o, Judgement{Key: key, Directory: dir})
			if err != nil || result.Verdict != policy.Pass {
				t.Fatalf("verdict %+v, %v", result, err)
			}
			public := filepath.Join(dir, store.FunctionaryFile)
			verify := func(predicateType, bundle, artifact string) (string, error) {
				command := exec.CommandContext(t.Context(), cosign, "verify-blob-attestation", "--key", public, "--insecure-ignore-tlog=true",
					"--bundle", bundle, "--type", predicateType, artifact)
				command.Env = append(os.Environ(), "HOME="+t.TempDir())
				out, err := command.CombinedOutput()
				return string(out), err
			}
			other := filepath.Join(t.TempDir(), "other.whl")
			if err := os.WriteFile(other, []byte("another file"), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, b := range map[string][2]string{
				"provenance": {"slsaprovenance1", strings.TrimSuffix(store.ProvenanceFile, ".json") + ".sigstore.json"},
				"summary":    {attestation.TypeVerdict, filepath.Join(store.SummaryDir, filepath.Base(wheel)+".sigstore.json")},
			} {
				bundle := filepath.Join(dir, b[1])
				if out, err := verify(b[0], bundle, wheel); err != nil {
					t.Errorf("cosign refuses the %s: %v\n%s", name, err, out)
				}
				if out, err := verify(b[0], bundle, other); err == nil {
					t.Errorf("cosign accepts the %s for another file:\n%s", name, out)
				}
				if out, err := verify(b[0], tampered(t, bundle), wheel); err == nil || !strings.Contains(out, "signature") {
					t.Errorf("cosign accepts a %s that was changed, or refuses it for another reason: %v\n%s", name, err, out)
				}
			}
		})
	}
}

// tampered is the path of a bundle with one byte of its payload changed.
func tampered(t *testing.T, bundle string) string {
	t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	var b attestation.SigstoreBundle
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	b.DSSEEnvelope.Payload = bytes.Replace(b.DSSEEnvelope.Payload, []byte(`pip-witness.dev/`), []byte(`pip-witness.dew/`), 1)
	if data, err = b.Marshal(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tampered.sigstore.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestE2ECosignTimestamps has cosign verify the time stamp and the certificate of a
// bundle by authorities of the test.
func TestE2ECosignTimestamps(t *testing.T) {
	cosign := needCosign(t)
	dir := t.TempDir()
	root, err := testca.New("root")
	if err != nil {
		t.Fatal(err)
	}
	timeRoot, err := testca.New("time")
	if err != nil {
		t.Fatal(err)
	}
	tsa, err := timeRoot.NewTSA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.GenerateKey(seal.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key.Public().PEM())
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := root.Issue("", public, func(c *x509.Certificate) { c.EmailAddresses = []string{"builder@example.org"} })
	if err != nil {
		t.Fatal(err)
	}
	artifact := filepath.Join(dir, "a.whl")
	payload := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a.whl","digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}}],` +
		`"predicateType":"https://slsa.dev/verification_summary/v1","predicate":{}}`
	stamped := &seal.Endorsed{Key: key, Stamp: func(_ context.Context, sig []byte) ([]byte, error) { return tsa.Token(sig, true) }}
	certified := &seal.Endorsed{Key: key, Certificate: testca.PEM(leaf), Stamp: stamped.Stamp}
	directory, err := store.Create(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]attestation.Signer{"stamped.json": stamped, "certified.json": certified} {
		envelope, err := attestation.Sign(t.Context(), attestation.PayloadType, []byte(payload), signer)
		if err != nil {
			t.Fatal(err)
		}
		if err := directory.WriteEnvelope(name, envelope); err != nil {
			t.Fatal(err)
		}
	}
	stranger, err := testca.New("time")
	if err != nil {
		t.Fatal(err)
	}
	authority := func(chain ...*x509.Certificate) map[string]any {
		var certificates []any
		for _, c := range chain {
			certificates = append(certificates, map[string]any{"rawBytes": c.Raw})
		}
		return map[string]any{"subject": map[string]string{"commonName": "x", "organization": "x"}, "uri": "https://ca.example", "certChain": map[string]any{"certificates": certificates},
			"validFor": map[string]string{"start": "2020-01-01T00:00:00Z"}}
	}
	trust := func(ca, tsa map[string]any) []byte {
		text, err := json.Marshal(map[string]any{
			"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
			"certificateAuthorities": []any{ca}, "timestampAuthorities": []any{tsa},
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	own, ownTime := authority(root.Certificate), authority(tsa.Certificate, timeRoot.Certificate)
	if err := errors.Join(
		directory.Write("trusted.json", trust(own, ownTime)), directory.Write("other-ca.json", trust(authority(stranger.Certificate), ownTime)),
		directory.Write("other-tsa.json", trust(own, authority(stranger.Certificate))), directory.Write("a.whl", []byte("a")), directory.Write("key.pub", key.Public().PEM()),
	); err != nil {
		t.Fatal(err)
	}
	byKey := []string{"--key", filepath.Join(dir, "key.pub")}
	byCertificate := []string{"--certificate-identity", "builder@example.org", "--certificate-oidc-issuer-regexp", ".*", "--insecure-ignore-sct"}
	for name, tt := range map[string]struct {
		bundle, trusted string
		args            []string
		accepted        bool
	}{
		"stamped": {"stamped", "trusted.json", byKey, true}, "certified": {"certified", "trusted.json", byCertificate, true},
		"stamped by a stranger": {"stamped", "other-tsa.json", byKey, false}, "certified by a stranger": {"certified", "other-ca.json", byCertificate, false},
		"certified at a stranger's time": {"certified", "other-tsa.json", byCertificate, false},
	} {
		args := append([]string{"verify-blob-attestation", "--bundle", filepath.Join(dir, tt.bundle+".sigstore.json"), "--type", attestation.TypeVerdict,
			"--insecure-ignore-tlog", "--use-signed-timestamps", "--trusted-root", filepath.Join(dir, tt.trusted), artifact}, tt.args...)
		command := exec.CommandContext(t.Context(), cosign, args...)
		command.Env = append(os.Environ(), "HOME="+dir)
		if out, err := command.CombinedOutput(); (err == nil) != tt.accepted {
			t.Errorf("cosign, %s: %v, want accepted: %v\n%s", name, err, tt.accepted, out)
		}
	}
}
