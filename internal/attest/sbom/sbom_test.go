package sbom

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// input is an environment with three distributions, one with every oddity.
func input(t testing.TB) *attest.Input {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"app-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: My.App\nVersion: 1.0\nSummary: <b>&\nLicense-Expression: MIT OR Apache-2.0\nAuthor-email: A B <a@b.example>, c@d.example\n" +
			"Project-URL: Source, https://u:p@git.example/a b?q=[x]#f\nProject-URL: Bad, javascript:alert(1)\nRequires-Dist: lib\nRequires-Dist: gone\n",
		"lib-2.dist-info/METADATA": "Metadata-Version: 2.1\nName: lib\nVersion: 2.0+local\nHome-page: http://[::1\nAuthor: Someone\nMaintainer: M\nMaintainer-email: not a mail\nLicense: BSD 3-Clause\nClassifier: License :: OSI Approved :: BSD License\n",
		"odd-3.dist-info/METADATA": "Metadata-Version: 2.1\nName: odd\nVersion: 3\nClassifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &attest.Input{
		Step: "pip-install", Builder: "pip-witness 0.1.0", Finished: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Layout: attest.Layout{SitePackages: []string{"/home/user/venv/site"}, Mounts: []attest.Mount{{Inside: "/home/user/venv/site", Outside: dir}}},
		Install: &evidence.Installation{
			Requirements: []string{"my-app"},
			Downloads: []evidence.Download{{Filename: "my_app-1.0-py3-none-any.whl", URL: "https://files.example/my_app-1.0-py3-none-any.whl", Index: "https://index.example/simple/",
				Digests: evidence.DigestSet{"sha256": strings.Repeat("ab", 32)}}},
			Interpreter: evidence.Interpreter{Version: "3.11.7", PipVersion: "23.2.1", MarkerEnv: map[string]string{"python_version": "3.11"}},
		},
	}
}

func TestDocument(t *testing.T) {
	in := input(t)
	predicate, err := run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	byName := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		byName[c.Name] = c
	}
	app := byName["My.App"]
	if app.PackageURL != "pkg:pypi/my-app@1.0" || app.BOMRef != app.PackageURL {
		t.Errorf("purl %q, ref %q", app.PackageURL, app.BOMRef)
	}
	if diff := cmp.Diff(&[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.Repeat("ab", 32)}}, app.Hashes); diff != "" {
		t.Error(diff)
	}
	if e := (*app.Licenses)[0].Expression; e != "MIT OR Apache-2.0" {
		t.Errorf("expression %q", e)
	}
	if diff := cmp.Diff(&[]cdx.OrganizationalContact{{Name: "A B", Email: "a@b.example"}, {Email: "c@d.example"}}, app.Authors); diff != "" {
		t.Error(diff)
	}
	var urls []string
	for _, r := range *app.ExternalReferences {
		urls = append(urls, string(r.Type)+" "+r.URL)
	}
	if diff := cmp.Diff([]string{"distribution https://files.example/my_app-1.0-py3-none-any.whl", "vcs https://git.example/a%20b?q=%5Bx%5D#f"}, urls); diff != "" {
		t.Error(diff)
	}
	if lib := byName["lib"]; lib.PackageURL != "pkg:pypi/lib@2.0%2Blocal" || lib.Hashes != nil || lib.ExternalReferences != nil || lib.Supplier.Name != "M" {
		t.Errorf("lib %+v", lib)
	}
	edges := map[string][]string{}
	for _, d := range *bom.Dependencies {
		edges[d.Ref] = nil
		if d.Dependencies != nil {
			edges[d.Ref] = *d.Dependencies
		}
	}
	want := map[string][]string{rootRef: {"pkg:pypi/my-app@1.0", "pkg:pypi/odd@3"}, "pkg:pypi/my-app@1.0": {"pkg:pypi/lib@2.0%2Blocal"}, "pkg:pypi/lib@2.0%2Blocal": nil, "pkg:pypi/odd@3": nil}
	if diff := cmp.Diff(want, edges); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
	compositions := *bom.Compositions
	if len(compositions) != 3 || compositions[2].Aggregate != cdx.CompositionAggregateIncomplete || (*compositions[2].Dependencies)[0] != "pkg:pypi/my-app@1.0" {
		t.Errorf("compositions %+v", compositions)
	}
	if !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") || bom.Metadata.Timestamp != "2026-11-23T12:00:00Z" {
		t.Errorf("serial %q, time %q", bom.SerialNumber, bom.Metadata.Timestamp)
	}
}

func TestSerialNumber(t *testing.T) {
	in := input(t)
	serial := func() string {
		predicate, err := run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ SerialNumber string }
		if err := json.Unmarshal(predicate.(json.RawMessage), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.SerialNumber
	}
	first := serial()
	if again := serial(); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	in.Finished = in.Finished.Add(time.Second)
	if other := serial(); other == first {
		t.Error("another document has the same serial number")
	}
}

func TestSkipped(t *testing.T) {
	_, err := run(context.Background(), &attest.Input{})
	var skipped *attest.SkippedError
	if !errors.As(err, &skipped) {
		t.Errorf("%v, want a skip", err)
	}
}

func TestLicences(t *testing.T) {
	file := func(id string) declaration {
		return declaration{source: "file LICENSE", expression: single(id), known: true}
	}
	for name, test := range map[string]struct {
		m       pypi.Metadata
		files   []declaration
		want    string // id:… name:… expr:…, with ! when it is concluded
		choices string
		unclear string
	}{
		"one id as expression":     {m: pypi.Metadata{LicenseExpression: "mit"}, want: "id:MIT", choices: "MIT"},
		"expression":               {m: pypi.Metadata{LicenseExpression: "Zlib and (mit OR isc)"}, want: "expr:Zlib AND (MIT OR ISC)", choices: "ISC AND Zlib, MIT AND Zlib"},
		"expression and field":     {m: pypi.Metadata{LicenseExpression: "MIT", License: "GPL", Classifiers: []string{"License :: OSI Approved :: ISC License (ISCL)"}}, want: "id:MIT", choices: "MIT"},
		"no SPDX expression":       {m: pypi.Metadata{LicenseExpression: "My own, v1"}, want: "name:My own, v1", unclear: "License-Expression is not one of the SPDX list"},
		"reference":                {m: pypi.Metadata{LicenseExpression: "LicenseRef-Own"}, want: "expr:LicenseRef-Own", choices: "LicenseRef-Own"},
		"field is an id":           {m: pypi.Metadata{License: "Apache-2.0"}, want: "id:Apache-2.0", choices: "Apache-2.0"},
		"field is a name":          {m: pypi.Metadata{License: "Apache License, Version 2.0"}, want: "id:Apache-2.0", choices: "Apache-2.0"},
		"field is a family":        {m: pypi.Metadata{License: "BSD"}, want: "name:BSD"},
		"field is a text":          {m: pypi.Metadata{License: "The MIT License\n\nCopyright", Classifiers: []string{"License :: OSI Approved :: MIT License"}}, want: "id:MIT", choices: "MIT"},
		"field is an unknown text": {m: pypi.Metadata{License: "Hear ye\nall rights"}, want: "name:Hear ye"},
		"family":                   {m: pypi.Metadata{Classifiers: []string{"License :: OSI Approved :: BSD License"}}, want: "name:BSD License"},
		"family and id":            {m: pypi.Metadata{License: "BSD-3-Clause", Classifiers: []string{"License :: OSI Approved :: BSD License"}}, want: "id:BSD-3-Clause", choices: "BSD-3-Clause"},
		"family and text":          {m: pypi.Metadata{License: "BSD"}, files: []declaration{file("BSD-3-Clause"), file("BSD-3-Clause")}, want: "name:BSD !id:BSD-3-Clause", choices: "BSD-3-Clause"},
		"texts that differ":        {m: pypi.Metadata{License: "Dual"}, files: []declaration{file("BSD-3-Clause"), file("Apache-2.0")}, want: "name:Dual"},
		"only a text":              {files: []declaration{file("MIT")}, want: "!id:MIT", choices: "MIT"},
		"declarations differ": {m: pypi.Metadata{License: "MIT", Classifiers: []string{"License :: OSI Approved :: GNU General Public License v3 (GPLv3)"}},
			want: "id:MIT id:GPL-3.0-only", choices: "GPL-3.0-only AND MIT", unclear: "the declarations differ: MIT, GPL-3.0-only"},
		"unknown": {m: pypi.Metadata{License: "UNKNOWN"}},
	} {
		l := licensingOf(test.m, test.files)
		var got, choices []string
		if all := l.licences(); all != nil {
			for _, c := range *all {
				got = append(got, spelled(c))
			}
		}
		unclear := ""
		for _, p := range l.properties() {
			if p.Name == choiceProperty {
				choices = append(choices, p.Value)
			} else {
				unclear = p.Value
			}
		}
		if s := strings.Join(got, " "); s != test.want || strings.Join(choices, ", ") != test.choices || unclear != test.unclear {
			t.Errorf("%s: %q, choices %q, unclear %q; want %q, %q, %q", name, s, choices, unclear, test.want, test.choices, test.unclear)
		}
	}
}

// spelled writes a licence for comparison.
func spelled(c cdx.LicenseChoice) string {
	switch {
	case c.License == nil:
		return "expr:" + c.Expression
	case c.License.ID != "":
		return mark(c) + "id:" + c.License.ID
	}
	return mark(c) + "name:" + c.License.Name
}

func mark(c cdx.LicenseChoice) string {
	if c.License.Acknowledgement == cdx.LicenseAcknowledgementConcluded {
		return "!"
	}
	return ""
}
