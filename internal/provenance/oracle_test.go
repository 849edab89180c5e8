package provenance_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pip-witness/internal/provenance"
)

// oracleCase is one question to testdata/oracle.py.
type oracleCase struct {
	What        string            `json:"-"`
	Attestation string            `json:"attestation"`
	File        string            `json:"file"`
	Name        string            `json:"name"`
	Publisher   map[string]string `json:"publisher"`
}

// TestE2EOracle compares the verdicts with those of the pypi-attestations package
// on real attestations, on one-byte changes of them and on other publishers.
func TestE2EOracle(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") != "1" {
		t.Skip("needs third-party tools: set PIP_WITNESS_E2E=1")
	}
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		t.Skip("needs PIP_WITNESS_ORACLE_PYTHON, an interpreter with the packages of .ci/oracles.txt")
	}
	cases := oracleCases(t)
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "testdata/oracle.py")
	command.Stdin, command.Stderr = bytes.NewReader(in), os.Stderr
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := command.Output()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	var want []bool
	if err := json.Unmarshal(out, &want); err != nil || len(want) != len(cases) {
		t.Fatalf("oracle: %d answers to %d cases: %v", len(want), len(cases), err)
	}
	root := publicRoot(t)
	accepted := 0
	for i, c := range cases {
		verdict := false
		if a, err := provenance.ParseAttestation([]byte(c.Attestation)); err == nil {
			p := provenance.Publisher{
				Kind: c.Publisher["kind"], Repository: c.Publisher["repository"], Workflow: c.Publisher["workflow"],
				WorkflowPath: c.Publisher["workflow_filepath"], Email: c.Publisher["email"],
			}
			d := provenance.Distribution{Filename: c.Name, SHA256: digest(read(t, c.File))}
			verdict = root.Verify(a, d, &p).Outcome == provenance.Verified
		}
		if verdict != want[i] {
			t.Errorf("%s: accepted %v, the oracle says %v", c.What, verdict, want[i])
		}
		if verdict {
			accepted++
		}
	}
	t.Logf("%d cases, %d accepted by both", len(cases), accepted)
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}

// oracleCases are the real attestations at hand and changes of them.
func oracleCases(t *testing.T) []oracleCase {
	t.Helper()
	var cases []oracleCase
	for name, publisher := range map[string]map[string]string{
		"gitlab_oidc_project-0.0.3.tar.gz":       {"kind": "GitLab", "repository": "facutuesca/gitlab-oidc-project", "workflow_filepath": ".gitlab-ci.yml"},
		"pypi_attestations-0.0.19.tar.gz":        {"kind": "GitHub", "repository": "trailofbits/pypi-attestations", "workflow": "release.yml"},
		"pypi_attestation_models-0.0.4a2.tar.gz": {"kind": "GitHub", "repository": "trailofbits/pypi-attestation-models", "workflow": "release.yml"},
	} {
		dir := realData
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			dir = "testdata"
		}
		files, err := filepath.Glob(filepath.Join(dir, name+"*.attestation"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			cases = append(cases, changes(oracleCase{
				What: filepath.Base(file), Attestation: string(read(t, file)), File: filepath.Join(dir, name), Name: name, Publisher: publisher,
			})...)
		}
	}
	return cases
}

// changes are a case itself and variants of it.
func changes(c oracleCase) []oracleCase {
	cases := []oracleCase{c}
	for i := 0; i < len(c.Attestation); i += 211 {
		changed := []byte(c.Attestation)
		changed[i] ^= 1
		v := c
		v.What, v.Attestation = c.What+" with one byte changed", string(changed)
		cases = append(cases, v)
	}
	for _, field := range slices.Sorted(maps.Keys(c.Publisher)) {
		for _, value := range []string{"", "x" + c.Publisher[field], c.Publisher[field] + "x", strings.ToUpper(c.Publisher[field]), "GitHub", "GitLab"} {
			v := c
			v.Publisher = maps.Clone(c.Publisher)
			v.Publisher[field] = value
			v.What = c.What + " with " + field + " " + value
			cases = append(cases, v)
		}
	}
	for _, name := range []string{"other-1.0.tar.gz", strings.ReplaceAll(c.Name, "_", "-"), strings.ToUpper(c.Name[:1]) + c.Name[1:]} {
		v := c
		v.Name, v.What = name, c.What+" as "+name
		cases = append(cases, v)
	}
	return cases
}
