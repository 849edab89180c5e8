package sbom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// wantShare is the share of distributions, in percent, that carry a licence, a
// digest, a package URL and an external reference each.
const wantShare = 95

// unpack lets pip put wheels of real packages into a directory: nothing of them
// runs. It returns what an attestor would see.
func unpack(t *testing.T, requirement string) *attest.Input {
	t.Helper()
	dir := t.TempDir()
	site, report := filepath.Join(dir, "site"), filepath.Join(dir, "report.json")
	out, err := exec.CommandContext(t.Context(), "python3", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--no-compile",
		"--target", site, "--report", report, requirement).CombinedOutput()
	if err != nil {
		t.Fatalf("pip install %s: %v\n%s", requirement, err, out)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	return &attest.Input{
		Step: "pip-install", Builder: "pip-witness 0.1.0", Finished: time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC),
		Layout:  attest.Layout{SitePackages: []string{site}},
		Install: &evidence.Installation{Requirements: []string{requirement}, Report: data},
	}
}

// oracleAnswer is what testdata/oracle.py says.
type oracleAnswer struct {
	Problems   []string
	Packages   int
	Edges      map[string][]string
	Components []string
}

func ask(t *testing.T, python string, in *attest.Input, document []byte) oracleAnswer {
	t.Helper()
	dir := t.TempDir()
	report, err := pypi.ParseReport(in.Install.Report)
	if err != nil {
		t.Fatal(err)
	}
	request := map[string]any{"site": in.Layout.SitePackages[0], "environment": report.Environment, "extras": pypi.RequestedExtras(in.Install, &report)}
	for _, format := range Formats() {
		data, err := Convert(document, format)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Convert(document, format); err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: the same document gives other bytes: %v", format, err)
		}
		file := filepath.Join(dir, string(format)+".json")
		if format == SPDX23 {
			file = filepath.Join(dir, "sbom.spdx.json")
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		request[string(format)] = file
	}
	input, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "testdata/oracle.py")
	command.Stdin = bytes.NewReader(input)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("oracle: %v\n%s", err, stderr.String())
	}
	var answer oracleAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("oracle: %v: %s", err, out)
	}
	return answer
}

// TestE2ERealPackages holds documents of real packages against third-party
// readers, the edges against packaging, the components against cyclonedx-py.
func TestE2ERealPackages(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("needs PIP_WITNESS_E2E=1 and a package index")
	}
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		t.Skip("needs PIP_WITNESS_ORACLE_PYTHON, an interpreter with the packages of .ci/oracles.txt")
	}
	for requirement, libraries := range map[string]string{
		"requests": "", "flask[async]": "", "pandas": "libgfortran", "boto3": "", "cryptography": "", "requests[socks]": "", "nbconvert": "",
	} {
		t.Run(requirement, func(t *testing.T) {
			in := unpack(t, requirement)
			predicate, err := run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			document, err := json.Marshal(predicate)
			if err != nil {
				t.Fatal(err)
			}
			var bom cdx.BOM
			if err := json.Unmarshal(document, &bom); err != nil {
				t.Fatal(err)
			}
			answer := ask(t, python, in, document)
			for _, p := range answer.Problems {
				t.Error(p)
			}
			compareDocument(t, &bom, answer)
			shares(t, &bom)
			var names []string
			for _, c := range *bom.Components {
				if c.Components != nil {
					for _, l := range *c.Components {
						names = append(names, l.Name+" "+l.Version)
					}
				}
			}
			if libraries != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, libraries+" ") }) {
				t.Errorf("libraries %q, want %s", names, libraries)
			}
		})
	}
}

// compareDocument compares components and edges, by package URL and project.
func compareDocument(t *testing.T, bom *cdx.BOM, answer oracleAnswer) {
	t.Helper()
	var purls, wantPurls []string
	keys := map[string]string{}
	total := 1
	for _, c := range *bom.Components {
		purls = append(purls, c.PackageURL)
		keys[c.BOMRef] = pypi.Normalize(c.Name)
		total++
		if c.Components != nil {
			total += len(*c.Components)
		}
	}
	for _, p := range answer.Components {
		p, _, _ = strings.Cut(p, "?")
		wantPurls = append(wantPurls, p)
	}
	slices.Sort(purls)
	slices.Sort(wantPurls)
	if diff := cmp.Diff(wantPurls, purls); diff != "" {
		t.Errorf("components (-cyclonedx-py +ours):\n%s", diff)
	}
	if answer.Packages != total {
		t.Errorf("spdx-tools read %d packages, want %d", answer.Packages, total)
	}
	edges := map[string][]string{}
	for _, d := range *bom.Dependencies {
		if key := keys[d.Ref]; key != "" {
			edges[key] = []string{}
			if d.Dependencies != nil {
				for _, on := range *d.Dependencies {
					edges[key] = append(edges[key], keys[on])
				}
			}
			slices.Sort(edges[key])
		}
	}
	if diff := cmp.Diff(answer.Edges, edges); diff != "" {
		t.Errorf("edges (-packaging +ours):\n%s", diff)
	}
}

// shares asserts how many distributions carry what readers look for.
func shares(t *testing.T, bom *cdx.BOM) {
	t.Helper()
	for what, has := range map[string]func(cdx.Component) bool{
		"licence":            func(c cdx.Component) bool { return c.Licenses != nil },
		"digest":             func(c cdx.Component) bool { return c.Hashes != nil },
		"package URL":        func(c cdx.Component) bool { return c.PackageURL != "" },
		"external reference": func(c cdx.Component) bool { return c.ExternalReferences != nil },
	} {
		n := 0
		var without []string
		for _, c := range *bom.Components {
			if has(c) {
				n++
			} else {
				without = append(without, fmt.Sprintf("%s %s", c.Name, c.Version))
			}
		}
		if all := len(*bom.Components); 100*n < wantShare*all {
			t.Errorf("%d of %d distributions have a %s, want %d %%; not %q", n, all, what, wantShare, without)
		}
	}
}
