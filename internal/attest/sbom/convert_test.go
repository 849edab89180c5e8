package sbom

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

func attested(t testing.TB) []byte {
	t.Helper()
	in := input(t)
	predicate, err := run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	data, ok := predicate.(json.RawMessage)
	if !ok {
		t.Fatalf("predicate is a %T", predicate)
	}
	return data
}

func TestConvertCycloneDX(t *testing.T) {
	document := attested(t)
	same, err := Convert(document, CycloneDX16)
	if err != nil {
		t.Fatal(err)
	}
	if string(document)+"\n" != string(same) {
		t.Errorf("another document of the same version:\n%s\n%s", document, same)
	}
	newer, err := Convert(document, CycloneDX17)
	if err != nil {
		t.Fatal(err)
	}
	var a, b cdx.BOM
	if err := errors.Join(json.Unmarshal(document, &a), json.Unmarshal(newer, &b)); err != nil {
		t.Fatal(err)
	}
	if b.SpecVersion != cdx.SpecVersion1_7 || !strings.Contains(b.JSONSchema, "bom-1.7.") || a.SerialNumber == b.SerialNumber {
		t.Errorf("version %s, schema %s, serial number %s", b.SpecVersion, b.JSONSchema, b.SerialNumber)
	}
	if diff := cmp.Diff(a.Components, b.Components); diff != "" {
		t.Errorf("components (-1.6 +1.7):\n%s", diff)
	}
}

func TestConvertSPDX(t *testing.T) {
	data, err := Convert(attested(t), SPDX23)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Convert(attested(t), SPDX23)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("%v, other bytes:\n%s\n%s", err, data, again)
	}
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.CreationInfo.Created != "2026-11-23T12:00:00Z" || doc.Name != "my-app" || !strings.HasPrefix(doc.DocumentNamespace, "https://") {
		t.Errorf("document %+v", doc)
	}
	packages := map[string]spdxPackage{}
	for _, p := range doc.Packages {
		packages[p.Name] = p
	}
	app := packages["My.App"]
	app.Comment = "" // properties, which other tests look at
	want := spdxPackage{
		SPDXID: "SPDXRef-Package-My.App-1.0", Name: "My.App", VersionInfo: "1.0", PackageFileName: "my_app-1.0-py3-none-any.whl", Supplier: noAssertion,
		Originator: "Person: A B (a@b.example)", DownloadLocation: "https://files.example/my_app-1.0-py3-none-any.whl",
		Checksums: []spdxChecksum{{"SHA256", strings.Repeat("ab", 32)}}, LicenseConcluded: noAssertion, LicenseDeclared: "MIT OR Apache-2.0", CopyrightText: noAssertion,
		Summary: "<b>&", Purpose: "LIBRARY", ExternalRefs: []spdxExternal{
			{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:pypi/my-app@1.0"},
			{Category: "OTHER", Type: "vcs", Locator: "https://git.example/a%20b?q=%5Bx%5D#f", Comment: "Source"},
		},
	}
	if diff := cmp.Diff(want, app); diff != "" {
		t.Errorf("package (-want +got):\n%s", diff)
	}
	if got := packages["lib"].LicenseDeclared; got != "BSD-3-Clause" {
		t.Errorf("declared licence of lib %q", got)
	}
	relations := map[string]bool{}
	for _, r := range doc.Relationships {
		relations[r.Element+" "+r.Type+" "+r.Related] = true
	}
	for _, r := range []string{
		"SPDXRef-DOCUMENT DESCRIBES SPDXRef-Package-my-app", "SPDXRef-Package-my-app CONTAINS SPDXRef-Package-lib-2.0-local",
		"SPDXRef-Package-my-app DEPENDS_ON SPDXRef-Package-My.App-1.0", "SPDXRef-Package-My.App-1.0 DEPENDS_ON SPDXRef-Package-lib-2.0-local",
	} {
		if !relations[r] {
			t.Errorf("no relationship %q in %v", r, relations)
		}
	}
	for _, part := range []string{"required, not installed: my-app: gone", "dependencies of pkg:pypi/my-app@1.0: incomplete"} {
		if !strings.Contains(doc.Comment, part) {
			t.Errorf("the comment does not say %q:\n%s", part, doc.Comment)
		}
	}
}

// TestSPDXNames gives many names the same identifier: each gets one of its own.
func TestSPDXNames(t *testing.T) {
	var components []cdx.Component
	names := []string{"My Licence!", "My Licence?", "My Licence", "§", "$", "My Licence!"}
	for _, name := range names {
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: "a b", BOMRef: name,
			Licenses: &cdx.Licenses{{License: &cdx.License{Name: name, Acknowledgement: cdx.LicenseAcknowledgementDeclared}}}})
	}
	components[0].Licenses = &cdx.Licenses{(*components[0].Licenses)[0],
		{License: &cdx.License{ID: "mit", Acknowledgement: cdx.LicenseAcknowledgementConcluded}}, {License: &cdx.License{ID: "ISC", Acknowledgement: cdx.LicenseAcknowledgementConcluded}}}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: "2026-11-23T12:00:00Z", Component: &cdx.Component{Name: "root", BOMRef: "root"}}
	bom.Components = &components
	data, err := encodeSPDX(bom)
	if err != nil {
		t.Fatal(err)
	}
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range doc.Packages[1:] {
		got = append(got, p.SPDXID+" "+p.LicenseDeclared+" "+p.LicenseConcluded)
	}
	want := []string{
		"SPDXRef-Package-a-b LicenseRef-My-Licence MIT AND ISC", "SPDXRef-Package-a-b-2 LicenseRef-My-Licence-2 NOASSERTION", "SPDXRef-Package-a-b-3 LicenseRef-My-Licence-3 NOASSERTION",
		"SPDXRef-Package-a-b-4 LicenseRef-unnamed NOASSERTION", "SPDXRef-Package-a-b-5 LicenseRef-unnamed-2 NOASSERTION", "SPDXRef-Package-a-b-6 LicenseRef-My-Licence NOASSERTION",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if len(doc.Extracted) != 5 {
		t.Errorf("%d extracted licences, want 5: %+v", len(doc.Extracted), doc.Extracted)
	}
}

func TestSPDXVulnerabilities(t *testing.T) {
	var bom cdx.BOM
	if err := json.Unmarshal(attested(t), &bom); err != nil {
		t.Fatal(err)
	}
	bom.Vulnerabilities = &[]cdx.Vulnerability{
		{ID: "GHSA-x", Source: &cdx.Source{URL: "https://osv.example/GHSA-x"}, Analysis: &cdx.VulnerabilityAnalysis{State: cdx.IASNotAffected},
			Affects: &[]cdx.Affects{{Ref: "pkg:pypi/odd@3"}, {Ref: "nowhere"}}},
		{ID: "without a source", Affects: &[]cdx.Affects{{Ref: "pkg:pypi/odd@3"}}},
	}
	data, err := encodeSPDX(&bom)
	if err != nil {
		t.Fatal(err)
	}
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var got []spdxExternal
	for _, p := range doc.Packages {
		for _, r := range p.ExternalRefs {
			if r.Category == "SECURITY" {
				got = append(got, r)
			}
		}
	}
	want := []spdxExternal{{Category: "SECURITY", Type: "advisory", Locator: "https://osv.example/GHSA-x", Comment: "GHSA-x, not_affected"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("security references (-want +got):\n%s", diff)
	}
}

func TestConvertRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		document string
		to       Format
		want     string
	}{
		"no JSON":      {"{", CycloneDX17, "convert document"},
		"empty":        {"", CycloneDX17, "convert document"},
		"another kind": {`{"spdxVersion":"SPDX-2.3"}`, CycloneDX17, `bomFormat ""`},
		"no time":      {`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"application","name":"x"}}}`, SPDX23, "time"},
		"no root":      {`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1}`, SPDX23, "what it is about"},
	} {
		if _, err := Convert([]byte(test.document), test.to); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if _, err := Convert(attested(t), "spdx-3.0"); !errors.Is(err, ErrFormat) {
		t.Errorf("%v, want ErrFormat", err)
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(attested(f))
	f.Add([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"timestamp":"2026-11-23T12:00:00Z","component":{"type":"application","name":"x"}},"components":[{"type":"library","name":"a","components":[{"type":"library","name":"b"}]}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, format := range Formats() {
			data, err := Convert(document, format)
			if err != nil {
				continue
			}
			if !json.Valid(data) {
				t.Fatalf("%s: no JSON: %s", format, data)
			}
			if again, err := Convert(document, format); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%s: %v, other bytes:\n%s\n%s", format, err, data, again)
			}
		}
	})
}
