package sbom

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// site is an environment of the given metadata files, by name of the metadata
// directory.
func site(t testing.TB, metadata map[string]string) *attest.Input {
	t.Helper()
	dir := t.TempDir()
	for name, text := range metadata {
		info := filepath.Join(dir, name+".dist-info")
		if err := os.MkdirAll(info, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(info, "METADATA"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &attest.Input{
		Step: "pip-install", Builder: "pip-witness 0.1.0", Finished: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Layout:  attest.Layout{SitePackages: []string{"/site"}, Mounts: []attest.Mount{{Inside: "/site", Outside: dir}}},
		Install: &evidence.Installation{Interpreter: evidence.Interpreter{MarkerEnv: map[string]string{"python_version": "3.11", "sys_platform": "linux"}}},
	}
}

func metadata(name, version string, fields ...string) string {
	return "Metadata-Version: 2.4\nName: " + name + "\nVersion: " + version + "\n" + strings.Join(fields, "\n") + "\n"
}

func TestHostile(t *testing.T) {
	in := site(t, map[string]string{
		"licence": metadata("licence", "1", "License-Expression: Do-what-you-want OR \x1b[31mMIT"),
		"long":    metadata("long", "1", "License-Expression: "+strings.Repeat("MIT OR ", 5000)+"MIT"),
		"deep":    metadata("deep", "1", "License-Expression: "+strings.Repeat("(", 1000)+"MIT"+strings.Repeat(")", 1000)),
		"a":       metadata("a", "1", "Requires-Dist: b"),
		"b":       metadata("b", "1", "Requires-Dist: c[x]; sys_platform == 'linux'", "Requires-Dist: b"),
		"c":       metadata("c", "1", "Requires-Dist: a; extra == 'x'", "Requires-Dist: absent>=2"),
		"text":    "Metadata-Version: 2.1\nName: text\nVersion: 1\nSummary: \xff\xfe broken\nLicense: \xc3\x28\nAuthor: \xe2\x82\n",
		"marker":  metadata("marker", "1", "Requires-Dist: a; nonsense == 'x'", "Requires-Dist: b; platform_machine == 'x86_64'", "Requires-Dist: ]["),
		"url":     metadata("url", "1", "Home-page: javascript:alert(1)", "Project-URL: Source, https://user:secret@git.example/x", "Download-URL: file:///etc/passwd"),
		"many": metadata("many", "1", strings.Repeat("Project-URL: x, https://files.example/\n", 200_000)+strings.Repeat("Classifier: License :: y\n", 5_000)+
			"Author-email: "+strings.Repeat("a@b.example,", 10_000)+"\nSummary: "+strings.Repeat("s", 100_000)+strings.Repeat("\nName: again", 10_000)),
		"twice":  metadata("twice", "1"),
		"twice2": metadata("Twice", "2"),
		"empty":  "",
	})
	predicate, err := run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "secret") || strings.Contains(string(data), "javascript") || strings.Contains(string(data), "passwd") {
		t.Errorf("a link that must not be there: %s", data)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	byName := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		byName[c.Name] = c
	}
	for _, name := range []string{"licence", "long", "deep"} {
		c := byName[name]
		if c.Licenses == nil || len(*c.Licenses) != 1 || (*c.Licenses)[0].License == nil || len((*c.Licenses)[0].License.Name) > maxLicenceName ||
			property(c, choiceProperty) != "" || property(c, unclearProperty) == "" {
			t.Errorf("%s: licences %+v, properties %+v", name, c.Licenses, c.Properties)
		}
	}
	edges := map[string][]string{}
	for _, d := range *bom.Dependencies {
		if d.Dependencies != nil {
			edges[d.Ref] = *d.Dependencies
		}
	}
	for from, to := range map[string]string{"a": "b", "b": "c", "c": "a"} {
		if diff := cmp.Diff([]string{"pkg:pypi/" + to + "@1"}, edges["pkg:pypi/"+from+"@1"]); diff != "" {
			t.Errorf("the cycle at %s (-want +got):\n%s", from, diff)
		}
	}
	said := gaps(&bom)
	for _, part := range []string{
		"c: absent>=2", "text: not valid UTF-8", `marker: parse requirement "a; nonsense`, `marker: requirement`, `marker: parse requirement "]["`,
		"many: 100 of 200000 links", "many: 32 of 5000 licence classifiers", "many: 100 of 10001 addresses of the author", "many: 10240 of 100000 bytes", "many: 9980 further defects",
		`twice: second metadata directory "twice2.dist-info" left out`, "empty.dist-info",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("the gaps do not say %q:\n%s", part, said)
		}
	}
	var states []string
	for _, c := range compositions(&bom) {
		if strings.Contains(c, "incomplete") {
			states = append(states, c)
		}
	}
	slices.Sort(states)
	want := []string{"incomplete assemblies environment", "incomplete dependencies pkg:pypi/c@1", "incomplete dependencies pkg:pypi/marker@1"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("what is incomplete (-want +got):\n%s", diff)
	}
	if _, err := Convert(data, SPDX23); err != nil {
		t.Error(err)
	}
}

// TestE2EManyDistributions holds the time per distribution against that of an
// environment of a tenth.
func TestE2EManyDistributions(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("needs PIP_WITNESS_E2E=1: it takes a minute to write the files")
	}
	measure := func(n int) time.Duration {
		var downloads []evidence.Download
		all := map[string]string{}
		report := map[string]any{"version": "1", "environment": map[string]string{"python_version": "3.11", "sys_platform": "linux"}}
		var items []any
		for i := range n {
			name := fmt.Sprintf("dist-%05d", i)
			all[name] = metadata(name, "1", fmt.Sprintf("Requires-Dist: dist-%05d[x]", (i+1)%n), fmt.Sprintf("Requires-Dist: gone-%d; extra == 'x'", i),
				"License: The MIT License", "Classifier: License :: OSI Approved :: MIT License")
			file := name + "-1-py3-none-any.whl"
			downloads = append(downloads, evidence.Download{Filename: file, URL: "https://files.example/" + file, GatewayURL: "http://127.0.0.1:1/files/" + file,
				Digests: evidence.DigestSet{"sha256": fmt.Sprintf("%064x", i)}})
			items = append(items, map[string]any{
				"download_info": map[string]any{"url": "http://127.0.0.1:1/files/" + file, "archive_info": map[string]any{"hashes": map[string]string{"sha256": fmt.Sprintf("%064x", i)}}},
				"metadata":      map[string]string{"name": name, "version": "1"},
			})
		}
		in := site(t, all)
		in.Install.Downloads = downloads
		report["install"] = items
		var err error
		if in.Install.Report, err = json.Marshal(report); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		predicate, err := run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		document, ok := predicate.(json.RawMessage)
		if !ok {
			t.Fatalf("predicate is a %T", predicate)
		}
		if _, err := Convert(document, SPDX23); err != nil {
			t.Fatal(err)
		}
		took := time.Since(started)
		var bom cdx.BOM
		if err := json.Unmarshal(document, &bom); err != nil {
			t.Fatal(err)
		}
		if len(*bom.Components) != n || len(*bom.Dependencies) != n+1 || (*bom.Components)[n-1].Hashes == nil {
			t.Errorf("%d components, %d dependencies, want %d", len(*bom.Components), len(*bom.Dependencies), n)
		}
		return took
	}
	few, many := measure(1_000), measure(10_000)
	t.Logf("1,000 distributions in %v, 10,000 in %v", few, many)
	// Quadratic work would take a hundred times as long.
	if many > 40*few {
		t.Errorf("1,000 distributions in %v, 10,000 in %v", few, many)
	}
}
