package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, text := range []string{"one", "two"} {
		if err := store.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("content %q, want %q", got, text)
		}
	}
	if err := store.WriteNewFile(path, []byte("three"), 0o640); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want one that matches fs.ErrExist", err)
	}
	if err := store.WriteFile(filepath.Join(dir, "none", "a"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	// A directory in the way: the rename fails and nothing is left.
	if err := os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := store.WriteFile(filepath.Join(dir, "b"), nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if d := cmp.Diff([]string{"a", "b"}, names(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestDirectory(t *testing.T) {
	k, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	env, err := attestation.Sign(context.Background(), attestation.PayloadType, []byte(`{"x":1}`), k)
	if err != nil {
		t.Fatal(err)
	}
	c := attestation.Collection{Name: "s", Attestations: []attestation.CollectionAttestation{{Type: attestation.TypeSBOM, Attestation: json.RawMessage(`{"bom":1}`)}}}
	for _, compress := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "deep", "evidence")
		d, err := store.Create(dir, compress)
		if err != nil {
			t.Fatal(err)
		}
		path, err := d.WriteCollection("../pip-install", env)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := env.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.WriteSigned(store.PolicyFile, signed); err != nil {
			t.Fatal(err)
		}
		if wrote, err := d.Export(c, "sbom", store.SBOMFile); err != nil || !wrote {
			t.Errorf("%v, %v", wrote, err)
		}
		if wrote, err := d.Export(c, "slsa", store.SLSAFile); err != nil || wrote {
			t.Errorf("%v, %v", wrote, err)
		}
		want := []string{".._pip-install.json", ".._pip-install.sigstore.json", "policy.json", "sbom.cdx.json"}
		if diff := cmp.Diff(want, names(t, dir)); diff != "" {
			t.Error(diff)
		}
		data, err := store.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		back, err := attestation.ParseEnvelope(data)
		if err != nil || string(back.Payload) != `{"x":1}` {
			t.Errorf("%q, %v", back.Payload, err)
		}
	}
}

func TestReadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Sparse: 500 MiB that take no room.
	if err := os.Truncate(big, 500<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ReadFile(big); !errors.Is(err, attestation.ErrTooLarge) || !strings.Contains(err.Error(), "500 MiB") {
		t.Errorf("error %v", err)
	}
	if _, err := store.ReadFile(dir); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("error %v", err)
	}
	if _, err := store.ReadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
