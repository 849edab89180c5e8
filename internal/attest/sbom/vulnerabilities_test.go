package sbom

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/attest"
)

// database writes an archive of advisories and returns its path.
func database(t *testing.T, records ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, text := range records {
		f, err := w.Create("a.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.zip")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	advisory = `{"id":"PYSEC-2024-1","modified":"2024-05-02T00:00:00Z","published":"2024-05-01T00:00:00Z","aliases":["CVE-2024-1"],"summary":"A flaw",
		"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"database_specific":{"cwe_ids":["CWE-79"]},
		"affected":[{"package":{"ecosystem":"PyPI","name":"my.app"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.1"}]}]}]}`
	attack    = `{"id":"MAL-2024-7","modified":"2024-05-03T00:00:00Z","affected":[{"package":{"ecosystem":"PyPI","name":"odd"},"versions":["3"]}]}`
	undecided = `{"id":"PYSEC-2024-2","affected":[{"package":{"ecosystem":"PyPI","name":"lib"},"ranges":[{"type":"GIT","repo":"r","events":[{"introduced":"0"}]}]}]}`
	opinion   = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"urn:x","author":"A. Nalyst","timestamp":"2024-06-01T00:00:00Z","version":1,"statements":[
		{"vulnerability":{"name":"CVE-2024-1"},"products":[{"@id":"pkg:pypi/my-app"}],"status":"not_affected","justification":"vulnerable_code_not_in_execute_path","impact_statement":"It is never called."}]}`
)

// documented runs the attestor and returns the document and its properties.
func documented(t *testing.T, where attest.Vulnerabilities) (cdx.BOM, map[string][]string) {
	t.Helper()
	in := input(t)
	in.Vulnerabilities = where
	predicate, err := run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(predicate.(json.RawMessage), &bom); err != nil {
		t.Fatal(err)
	}
	properties := map[string][]string{}
	for _, p := range *bom.Metadata.Properties {
		properties[p.Name] = append(properties[p.Name], p.Value)
	}
	return bom, properties
}

func TestVulnerabilities(t *testing.T) {
	bom, properties := documented(t, attest.Vulnerabilities{Database: database(t, advisory, attack, undecided, "broken"), VEX: []attest.Document{{Name: "vex.json", Content: []byte(opinion)}, {Name: "bad.json", Content: []byte("x")}}})
	score := 9.8
	flaw := func(id string) *cdx.Source {
		return &cdx.Source{Name: "OSV", URL: "https://osv.dev/vulnerability/" + id}
	}
	want := []cdx.Vulnerability{
		{
			BOMRef: "vulnerability:CVE-2024-1", ID: "CVE-2024-1", Source: flaw("PYSEC-2024-1"), Description: "A flaw", CWEs: &[]int{79},
			References: &[]cdx.VulnerabilityReference{{ID: "PYSEC-2024-1", Source: flaw("PYSEC-2024-1")}},
			Published:  "2024-05-01T00:00:00Z", Updated: "2024-05-02T00:00:00Z", Recommendation: "upgrade my-app to 1.1 or later",
			Ratings: &[]cdx.VulnerabilityRating{{Source: flaw("PYSEC-2024-1"), Score: &score, Severity: "critical", Method: "CVSSv31", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}},
			Affects: &[]cdx.Affects{{Ref: "pkg:pypi/my-app@1.0", Range: &[]cdx.AffectedVersions{{Version: "1.0", Status: "affected"}, {Range: "vers:pypi/<1.1", Status: "affected"}}}},
			Analysis: &cdx.VulnerabilityAnalysis{State: "not_affected", Justification: "code_not_reachable",
				Detail:      "OpenVEX justification: vulnerable_code_not_in_execute_path. It is never called.",
				FirstIssued: "2024-06-01T00:00:00.000000000Z", LastUpdated: "2024-06-01T00:00:00.000000000Z"},
			Properties: &[]cdx.Property{
				{Name: "pip-witness:advisories", Value: "PYSEC-2024-1"}, {Name: "pip-witness:fixed", Value: "my-app==1.1"},
				{Name: "pip-witness:vex", Value: "my-app: not_affected, by A. Nalyst in vex.json"},
			},
		},
		{
			BOMRef: "vulnerability:MAL-2024-7", ID: "MAL-2024-7", Source: flaw("MAL-2024-7"), Updated: "2024-05-03T00:00:00Z",
			Affects:    &[]cdx.Affects{{Ref: "pkg:pypi/odd@3", Range: &[]cdx.AffectedVersions{{Version: "3", Status: "affected"}}}},
			Properties: &[]cdx.Property{{Name: "pip-witness:advisories", Value: "MAL-2024-7"}, {Name: "pip-witness:malicious", Value: "true"}},
		},
	}
	if diff := cmp.Diff(want, *bom.Vulnerabilities); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, want := range map[string][]string{
		outcomeProperty:                {"evaluated, except for 1 advisories that could not be decided and 0 that are left out"},
		outcomeProperty + ":undecided": {"PYSEC-2024-2 for lib: ranges of commits only, which are not evaluated"},
		"pip-witness:osv:newest":       {"2024-05-03T00:00:00Z"},
		"pip-witness:osv:advisories":   {"3"},
		"pip-witness:osv:unreadable":   {"1"},
	} {
		if diff := cmp.Diff(want, properties[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, text := range map[string]string{"pip-witness:osv:digest": "sha256:", "pip-witness:vex": "by A. Nalyst: 1 statements", "pip-witness:vex:problem": `"bad.json"`, "pip-witness:osv:problem": "not a JSON"} {
		if !slices.ContainsFunc(properties[name], func(v string) bool { return strings.Contains(v, text) }) {
			t.Errorf("%s: %q, want %q in it", name, properties[name], text)
		}
	}
}

// TestNotEvaluated never says that there are no vulnerabilities where nobody looked.
func TestNotEvaluated(t *testing.T) {
	damaged := database(t, advisory)
	if err := os.Truncate(damaged, 100); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(t.TempDir(), "all.zip")
	for path, want := range map[string]string{
		"": "not evaluated: no database", damaged: "not evaluated: open database: damaged database: zip: not a valid zip file", absent: "not evaluated: no such file or directory",
	} {
		bom, properties := documented(t, attest.Vulnerabilities{Database: path})
		if diff := cmp.Diff([]string{want}, properties[outcomeProperty]); diff != "" || bom.Vulnerabilities != nil {
			t.Errorf("%s, %v", diff, bom.Vulnerabilities)
		}
	}
	if bom, properties := documented(t, attest.Vulnerabilities{Database: database(t, attack)}); len(*bom.Vulnerabilities) != 1 || properties[outcomeProperty][0] != "evaluated" {
		t.Errorf("%q", properties)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := addVulnerabilities(ended, attest.Vulnerabilities{Database: database(t, attack)}, &cdx.BOM{}); err == nil || err.Error() != "enough" {
		t.Errorf("%v", err)
	}
}
