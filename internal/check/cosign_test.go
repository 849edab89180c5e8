package check

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
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
