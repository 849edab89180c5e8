package slsa

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func input(t *testing.T) *attest.Input {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "six-1.dist-info"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "six-1.dist-info", "METADATA"), []byte("Name: six\nVersion: 1.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	six := evidence.Download{Filename: "six-1.0-py3-none-any.whl", URL: "https://u:p@files.example/six-1.0-py3-none-any.whl", Index: "https://index.example/simple/",
		Digests: evidence.DigestSet{"sha256": strings.Repeat("11", 32), "gitoid:sha256": "gitoid:blob:sha256:00"}, UploadTime: "2026-01-01T00:00:00Z"}
	meta := six
	meta.Metadata = true
	build := evidence.Download{Filename: "setuptools-80.0.tar.gz", URL: "https://files.example/setuptools-80.0.tar.gz", Digests: evidence.DigestSet{"sha256": strings.Repeat("22", 32)}}
	return &attest.Input{
		Step: "pip-install", Builder: "pip-witness 0.1.0",
		Started: time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC), Finished: time.Date(2026, 11, 23, 13, 0, 1, 0, time.FixedZone("x", 3600)),
		Command: evidence.CommandRun{Cmd: []string{"python", "-m", "pip"}},
		Layout:  attest.Layout{SitePackages: []string{"/home/user/venv/site"}, Mounts: []attest.Mount{{Inside: "/home/user/venv/site", Outside: dir}}},
		Install: &evidence.Installation{
			Requirements: []string{"six"}, Indexes: []string{"https://index.example/simple/"}, Downloads: []evidence.Download{meta, six, six, build},
			LocalFiles:  []evidence.LocalFile{{Path: "my reqs.txt", Kind: "requirements", Digests: evidence.DigestSet{"sha256": strings.Repeat("33", 32)}}},
			Report:      []byte(`{"version":"1","install":[]}`),
			Interpreter: evidence.Interpreter{Executable: "/usr/bin/python3", PipVersion: "23.2.1", Version: "3.11.7", Digest: evidence.DigestSet{"sha256": strings.Repeat("44", 32)}},
		},
	}
}

func TestProvenance(t *testing.T) {
	predicate, err := run(context.Background(), input(t))
	if err != nil {
		t.Fatal(err)
	}
	p := predicate.(Provenance)
	want := []Resource{
		{Name: "my reqs.txt", URI: "file:my%20reqs.txt", Digest: map[string]string{"sha256": strings.Repeat("33", 32)}, Annotations: map[string]any{"role": "requirements", "kind": "requirements"}},
		{Name: "pip", URI: "pkg:pypi/pip@23.2.1", Annotations: map[string]any{"role": "installer"}},
		{Name: "python", URI: "file:///usr/bin/python3", Digest: map[string]string{"sha256": strings.Repeat("44", 32)}, Annotations: map[string]any{"role": "interpreter", "version": "3.11.7"}},
		{Name: "setuptools-80.0.tar.gz", URI: "pkg:pypi/setuptools@80.0", Digest: map[string]string{"sha256": strings.Repeat("22", 32)}, DownloadLocation: "https://files.example/setuptools-80.0.tar.gz",
			Annotations: map[string]any{"role": "build requirement or not installed"}},
		{Name: "six-1.0-py3-none-any.whl", URI: "pkg:pypi/six@1.0", Digest: map[string]string{"sha256": strings.Repeat("11", 32)}, DownloadLocation: "https://files.example/six-1.0-py3-none-any.whl",
			Annotations: map[string]any{"role": "installed", "index": "https://index.example/simple/", "uploadTime": "2026-01-01T00:00:00Z"}},
	}
	if diff := cmp.Diff(want, p.BuildDefinition.ResolvedDependencies); diff != "" {
		t.Errorf("resolved dependencies (-want +got):\n%s", diff)
	}
	if p.RunDetails.Builder.Version["pip-witness"] != "0.1.0" || p.BuildDefinition.InternalParameters["slsaBuildLevel"] != 1 || len(p.RunDetails.Byproducts) != 1 {
		t.Errorf("%+v", p)
	}
}

// TestStrict decodes with the in-toto types, which refuse unknown keys.
func TestStrict(t *testing.T) {
	broken := input(t)
	broken.Install.Report = []byte("{")
	noEnvironment := input(t)
	noEnvironment.Layout = attest.Layout{}
	for name, in := range map[string]*attest.Input{
		"installation": input(t), "broken report": broken, "failed installation": noEnvironment,
		"any command": {Step: "build", Command: evidence.CommandRun{Cmd: []string{"make"}}}, "nothing known": {},
	} {
		t.Run(name, func(t *testing.T) {
			predicate, err := run(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(predicate)
			if err != nil {
				t.Fatal(err)
			}
			var p provenance.Provenance
			if err := protojson.Unmarshal(data, &p); err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if err := p.Validate(); err != nil {
				t.Errorf("%v\n%s", err, data)
			}
		})
	}
}
