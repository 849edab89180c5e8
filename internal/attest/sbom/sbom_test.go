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
func input(t *testing.T) *attest.Input {
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
	for name, test := range map[string]struct {
		m    pypi.Metadata
		want string // id:… name:… expr:…
	}{
		"one id as expression": {pypi.Metadata{LicenseExpression: "mit"}, "id:MIT"},
		"expression":           {pypi.Metadata{LicenseExpression: "MIT AND Zlib"}, "expr:MIT AND Zlib"},
		"field is an id":       {pypi.Metadata{License: "Apache-2.0"}, "id:Apache-2.0"},
		"field is a name":      {pypi.Metadata{License: "Apache 2.0"}, "name:Apache 2.0"},
		"field is a text":      {pypi.Metadata{License: "The MIT License\n\nCopyright", Classifiers: []string{"License :: OSI Approved :: MIT License"}}, "id:MIT"},
		"family":               {pypi.Metadata{Classifiers: []string{"License :: OSI Approved :: BSD License"}}, "name:BSD License"},
		"family and id":        {pypi.Metadata{License: "BSD-3-Clause", Classifiers: []string{"License :: OSI Approved :: BSD License"}}, "name:BSD License id:BSD-3-Clause"},
		"unknown":              {pypi.Metadata{License: "UNKNOWN"}, ""},
	} {
		var got []string
		if l := licences(test.m); l != nil {
			for _, c := range *l {
				switch {
				case c.License == nil:
					got = append(got, "expr:"+c.Expression)
				case c.License.ID != "":
					got = append(got, "id:"+c.License.ID)
				default:
					got = append(got, "name:"+c.License.Name)
				}
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s: %q, want %q", name, s, test.want)
		}
	}
}
