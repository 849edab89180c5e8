package pipinstall_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/attest/slsa"
	"pip-witness/internal/pypi"
	"pip-witness/internal/testpkg"
)

// insidePrefix is where the environment seems to be to what runs in a sandbox.
const insidePrefix = "/home/user/venv"

// environment is a real virtual environment with something installed in it.
type environment struct {
	python, venv string
	input        *attest.Input
}

// install makes an environment with the host's Python and installs into it.
func install(t *testing.T, args ...string) environment {
	t.Helper()
	python := "python3"
	dir := t.TempDir()
	e := environment{python: python, venv: filepath.Join(dir, "venv")}
	if out, err := exec.Command(python, "-m", "pip", "--version").CombinedOutput(); err != nil {
		t.Skipf("needs python3 with pip: %v: %s", err, out)
	}
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", e.venv).CombinedOutput(); err != nil {
		t.Skipf("needs python3 with venv: %v: %s", err, out)
	}
	report := filepath.Join(dir, "report.json")
	e.pip(t, append([]string{"--report", report}, args...)...)
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	sites, err := filepath.Glob(filepath.Join(e.venv, "lib", "python*", "site-packages"))
	if err != nil || len(sites) != 1 {
		t.Fatalf("site directories %q, %v", sites, err)
	}
	rel := strings.TrimPrefix(sites[0], e.venv)
	var markers map[string]string
	e.ask(t, `import json; from pip._vendor.packaging.markers import default_environment as d; print(json.dumps(d()))`, nil, &markers)
	e.input = &attest.Input{
		Step: "pip-install", Builder: "pip-witness 0.1.0",
		Started:  time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
		Finished: time.Date(2026, 11, 23, 10, 0, 9, 123456789, time.UTC),
		Layout: attest.Layout{
			Prefix: insidePrefix, Home: "/home/user",
			SitePackages: []string{insidePrefix + rel, insidePrefix + strings.Replace(rel, "/lib/", "/lib64/", 1)},
			Mounts:       []attest.Mount{{Inside: insidePrefix, Outside: e.venv}},
		},
		Install: &evidence.Installation{
			Requirements: slices.DeleteFunc(slices.Clone(args), func(s string) bool { return strings.HasPrefix(s, "-") || strings.HasPrefix(s, "/") }),
			Indexes:      []string{"https://index.example/simple/"},
			Report:       raw,
			Interpreter: evidence.Interpreter{Executable: "/usr/bin/python3", Version: markers["python_full_version"], Implement: "CPython",
				PipVersion: "23.2.1", Platform: "linux-x86_64", MarkerEnv: markers, Digest: evidence.DigestSet{"sha256": strings.Repeat("ab", 32)}},
		},
	}
	return e
}

// pip installs into the environment.
func (e environment) pip(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(e.python, append([]string{"-m", "pip", "--python", e.venv, "--disable-pip-version-check",
		"install", "-q", "--no-cache-dir"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// serve turns what the installer says it fetched into downloads, as an index
// gateway records them.
func (e environment) serve(t *testing.T) {
	t.Helper()
	report, err := pypi.ParseReport(e.input.Install.Report)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range report.Install {
		u := item.DownloadInfo
		name := u.URL[strings.LastIndexByte(u.URL, '/')+1:]
		e.input.Install.Downloads = append(e.input.Install.Downloads, evidence.Download{
			Filename: name, URL: "https://files.example/packages/" + name, GatewayURL: u.URL, Index: "https://index.example/simple/",
			Digests: evidence.DigestSet{"sha256": u.SHA256()}, Size: 1, UploadTime: "2026-01-02T03:04:05Z",
		})
	}
}

// ask runs a script with JSON on stdin and stdout.
func (e environment) ask(t *testing.T, script string, in, out any) {
	t.Helper()
	runJSON(t, e.python, script, in, out)
}

func runJSON(t *testing.T, python, script string, in, out any) {
	t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin = bytes.NewReader(data)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%v: %q", err, answer)
	}
}

// run attests and decodes the predicate's JSON, as a verifier does.
func run[T any](t *testing.T, a attest.Attestor, in *attest.Input) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(runRaw(t, a, in), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func runRaw(t *testing.T, a attest.Attestor, in *attest.Input) []byte {
	t.Helper()
	predicate, err := a.Run(context.Background(), in)
	if err != nil {
		t.Fatalf("%s: %v", a.Name, err)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := json.Marshal(again); err != nil || !bytes.Equal(data, second) {
		t.Errorf("%s: a second run gives other bytes (%v)", a.Name, err)
	}
	return data
}

func write(t *testing.T, dir string, archives ...testpkg.Archive) {
	t.Helper()
	for _, a := range archives {
		content, err := a.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, a.Filename()), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLocalWheels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir,
		testpkg.Wheel{Name: "Alpha.Pkg", Version: "1.0", Files: map[string]string{"alpha/__init__.py": "import subprocess\nsubprocess.run(['true'])\n", "alpha_path.pth": "import sys; sys.path\n/opt/x\n"},
			Requires: []string{"beta[fast]>=1", "epsilon; python_version < '3'", "zeta; extra == 'z'"}, Scripts: map[string]string{"alpha": "alpha:main"},
			Metadata: []string{"Author: A. Person", "License: MIT", "Home-page: https://alpha.example/", "Provides-Extra: z"}},
		testpkg.Wheel{Name: "beta", Version: "1.2", Files: map[string]string{"beta.py": "import urllib.request as u\n"},
			Requires: []string{"gamma; extra == 'fast'", "alpha-pkg"}, Metadata: []string{"Provides-Extra: fast"}},
		testpkg.Wheel{Name: "gamma", Version: "0.1", Files: map[string]string{"gamma/data.txt": "x", "gamma/mod.py": ""}},
		testpkg.Wheel{Name: "zeta", Version: "2!1.0+l", Files: map[string]string{"zeta/__init__.py": ""}},
		testpkg.InTree{Wheel: testpkg.Wheel{Name: "built", Version: "3", Files: map[string]string{"built.py": ""}}},
	)
	e := install(t, "--no-index", "--find-links", dir, "Alpha.Pkg[z]", "built")
	e.serve(t)
	got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)

	e.compareInspect(t, got)
	byName := map[string]pipinstall.Package{}
	for _, p := range got.Packages {
		byName[pypi.Normalize(p.Name)] = p
	}
	alpha := byName["alpha-pkg"]
	if want := []string{"beta", "zeta"}; !cmp.Equal(alpha.Requires, want) {
		t.Errorf("alpha requires %q, want %q", alpha.Requires, want)
	}
	if want := []string{"alpha-pkg"}; !cmp.Equal(byName["beta"].RequiredBy, want) {
		t.Errorf("beta required by %q, want %q", byName["beta"].RequiredBy, want)
	}
	if byName["built"].InstallType != "sdist" || alpha.InstallType != "wheel" {
		t.Errorf("install types %q, %q", byName["built"].InstallType, alpha.InstallType)
	}
	wheel, err := os.ReadFile(filepath.Join(dir, alpha.Files[0].Filename))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wheel)
	want := []pipinstall.File{{Filename: "alpha_pkg-1.0-py3-none-any.whl", SHA256: hex.EncodeToString(sum[:]), URL: "https://files.example/packages/alpha_pkg-1.0-py3-none-any.whl",
		Index: "https://index.example/simple/", Size: 1, UploadTime: "2026-01-02T03:04:05Z", Witnessed: true}}
	if diff := cmp.Diff(want, alpha.Files); diff != "" {
		t.Errorf("files of alpha (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"alpha"}, alpha.ImportNames); diff != "" {
		t.Error(diff)
	}
	files := got.InstalledFileAnalysis
	if len(files.PthFiles) != 1 || files.PthFiles[0].Owner != "alpha-pkg" || len(files.PthFiles[0].ExecutableLines) != 1 || len(files.PthFiles[0].PathLines) != 1 {
		t.Errorf("pth files %+v", files.PthFiles)
	}
	if len(files.SubprocessInInit) != 1 || !strings.HasSuffix(files.SubprocessInInit[0], "alpha/__init__.py:2: subprocess.run") {
		t.Errorf("subprocess in init %q", files.SubprocessInInit)
	}
	if len(files.UnownedFiles) != 0 {
		t.Errorf("unowned files %q", files.UnownedFiles)
	}
	if !slices.ContainsFunc(got.NotExamined, func(n pipinstall.NotExamined) bool { return strings.Contains(n.What, "built") }) {
		t.Errorf("the sdist's source was not examined, and that is not said: %+v", got.NotExamined)
	}
	e.compareEdges(t)
	e.strictDocuments(t)
}

func TestLocalSdistSource(t *testing.T) {
	dir := t.TempDir()
	s := testpkg.InTree{Wheel: testpkg.Wheel{Name: "built", Version: "3", Files: map[string]string{"built.py": ""}},
		Sources: map[string]string{"setup.py": "import os, base64\nfrom setuptools import setup\nexec(base64.b64decode('" + strings.Repeat("aGVsbG8gd29ybGQgMTIz", 20) +
			"'))\nopen(os.path.expanduser('~/.ssh/id_rsa'))\nopen('x.pth', 'w')\nsetup(cmdclass={})\n"}}
	write(t, dir, s)
	file := filepath.Join(dir, s.Filename())
	e := install(t, file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	e.input.Install.LocalFiles = []evidence.LocalFile{{Path: "dist/" + s.Filename(), SandboxPath: file, Kind: "sdist",
		Digests: evidence.DigestSet{"sha256": hex.EncodeToString(sum[:])}, Size: int64(len(content))}}
	got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	want := []pipinstall.SetupPy{{
		Path: "setup.py", Package: "built",
		SuspiciousCalls: []string{"line 3: exec", "line 3: base64.b64decode"}, NetworkImports: []string{},
		EncodedPayloads: true, EncodedLines: []string{"line 3: encoded literal of 400 characters"},
		FileOperations: []string{`line 4: path "~/.ssh/id_rsa"`, `line 5: open mode "w"`},
		Role:           "setup.py", Obfuscation: []string{"line 3: exec-decoded: exec of base64.b64decode"},
	}}
	backend := func(s pipinstall.SetupPy) bool { return s.Role == "build backend" }
	if i := slices.IndexFunc(got.SetupPyAnalysis, backend); i < 0 || got.SetupPyAnalysis[i].Path != "_backend/testpkg_backend.py" {
		t.Errorf("the in-tree backend was not analysed: %+v", got.SetupPyAnalysis)
	}
	if diff := cmp.Diff(want, slices.DeleteFunc(got.SetupPyAnalysis, backend)); diff != "" {
		t.Errorf("setup.py (-want +got):\n%s", diff)
	}
	p := got.Packages[0]
	if p.HasSetupPy == nil || !*p.HasSetupPy || p.HasCmdClass == nil || !*p.HasCmdClass || p.InstallType != "sdist" {
		t.Errorf("package %+v", p)
	}
	if len(got.PyprojectAnalysis) != 1 || !got.PyprojectAnalysis[0].IsCustomBackend || got.PyprojectAnalysis[0].BuildBackend != "testpkg_backend" {
		t.Errorf("pyproject %+v", got.PyprojectAnalysis)
	}
	if !p.Files[0].Witnessed || p.Files[0].SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("file %+v", p.Files)
	}
	e.strictDocuments(t)
}

// inspected is what `pip inspect` says of one distribution.
type inspected struct {
	Metadata struct {
		Name           string   `json:"name"`
		Version        string   `json:"version"`
		Summary        string   `json:"summary"`
		HomePage       string   `json:"home_page"`
		Author         string   `json:"author"`
		RequiresDist   []string `json:"requires_dist"`
		RequiresPython string   `json:"requires_python"`
		Classifier     []string `json:"classifier"`
	} `json:"metadata"`
	Installer string `json:"installer"`
	Requested bool   `json:"requested"`
}

// compareInspect compares set and metadata with the installer's own listing.
func (e environment) compareInspect(t *testing.T, got pipinstall.Predicate) {
	t.Helper()
	out, err := exec.Command(e.python, "-m", "pip", "--python", e.venv, "inspect", "--local").Output()
	if err != nil {
		t.Fatalf("pip inspect: %v", err)
	}
	var report struct{ Installed []inspected }
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	want := map[string]inspected{}
	for _, i := range report.Installed {
		want[pypi.Normalize(i.Metadata.Name)] = i
	}
	have := map[string]inspected{}
	for _, p := range got.Packages {
		var i inspected
		i.Metadata.Name, i.Metadata.Version, i.Metadata.Summary, i.Metadata.HomePage = p.Name, p.Version, p.Summary, want[pypi.Normalize(p.Name)].Metadata.HomePage
		if i.Metadata.HomePage != "" && i.Metadata.HomePage != p.HomePage {
			i.Metadata.HomePage = p.HomePage
		}
		i.Metadata.Author = want[pypi.Normalize(p.Name)].Metadata.Author
		if i.Metadata.Author != "" {
			i.Metadata.Author = p.Author
		}
		i.Metadata.RequiresDist, i.Metadata.RequiresPython, i.Metadata.Classifier = p.RequiresDist, p.RequiresPython, p.Classifiers
		i.Installer, i.Requested = p.Installer, p.Requested
		have[pypi.Normalize(p.Name)] = i
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("against pip inspect (-pip +attestor):\n%s", diff)
	}
}

// compareEdges compares the edges of the SBOM with what packaging computes.
func (e environment) compareEdges(t *testing.T) {
	t.Helper()
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	prelude := "from packaging.requirements import Requirement\nfrom packaging.utils import canonicalize_name as N\n"
	if python == "" {
		python, prelude = e.python, strings.ReplaceAll(prelude, "from packaging", "from pip._vendor.packaging")
	}
	report, err := pypi.ParseReport(e.input.Install.Report)
	if err != nil {
		t.Fatal(err)
	}
	var edges map[string][]string
	runJSON(t, python, prelude+`
import json, sys, importlib.metadata as M
d = json.load(sys.stdin)
dists = {N(x.metadata["Name"]): x for x in M.distributions(path=d["path"])}
extras = {n: set() for n in dists}
for n, e in d["extras"].items(): extras[N(n)] |= {N(x) for x in e}
edges = {n: set() for n in dists}
changed = True
while changed:
    changed = False
    for n, x in dists.items():
        for text in x.requires or []:
            r = Requirement(text)
            if r.marker and not any(r.marker.evaluate(dict(d["env"], extra=e)) for e in [""] + sorted(extras[n])): continue
            to = N(r.name)
            if to not in dists: continue
            if to != n: edges[n].add(to)
            for e in r.extras:
                if N(e) not in extras[to]: extras[to].add(N(e)); changed = True
print(json.dumps({n: sorted(v) for n, v in edges.items()}))`, map[string]any{
		"path":   []string{e.input.Layout.Host(e.input.Layout.SitePackages[0])},
		"extras": pypi.RequestedExtras(nil, &report), "env": e.input.Install.Interpreter.MarkerEnv,
	}, &edges)
	doc := run[document](t, sbom.Attestor(), e.input)
	ref := map[string]string{}
	for _, c := range doc.Components {
		ref[c.Ref] = pypi.Normalize(c.Name)
	}
	have := map[string][]string{}
	for _, d := range doc.Dependencies {
		if name, ok := ref[d.Ref]; ok {
			have[name] = []string{}
			for _, to := range d.DependsOn {
				have[name] = append(have[name], ref[to])
			}
			slices.Sort(have[name])
		}
	}
	if diff := cmp.Diff(edges, have); diff != "" {
		t.Errorf("edges (-packaging +sbom):\n%s", diff)
	}
}

// document is the part of a CycloneDX document that tests look at.
type document struct {
	SerialNumber string `json:"serialNumber"`
	Components   []struct {
		Ref    string `json:"bom-ref"`
		Name   string `json:"name"`
		Purl   string `json:"purl"`
		Hashes []struct{ Alg, Content string }
	} `json:"components"`
	Dependencies []struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	} `json:"dependencies"`
}

// strictDocuments validates SBOM and provenance with readers that others wrote:
// always the in-toto types in Go; the Python ones where the interpreter of
// PIP_WITNESS_ORACLE_PYTHON has them.
func (e environment) strictDocuments(t *testing.T) {
	t.Helper()
	prov := runRaw(t, slsa.Attestor(), e.input)
	var p provenance.Provenance
	if err := (protojson.UnmarshalOptions{}).Unmarshal(prov, &p); err != nil {
		t.Errorf("provenance: %v\n%s", err, prov)
	} else if err := p.Validate(); err != nil {
		t.Errorf("provenance: %v\n%s", err, prov)
	}
	bom := runRaw(t, sbom.Attestor(), e.input)
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		t.Log("PIP_WITNESS_ORACLE_PYTHON is not set: no strict validation by cyclonedx-python-lib and in-toto-attestation")
		return
	}
	var verdict []string
	runJSON(t, python, `
import json, sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
from google.protobuf.json_format import Parse
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
d = json.load(sys.stdin)
out = []
errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(d["bom"], all_errors=True)
out += [str(e) for e in errors or []]
try: Parse(d["prov"], provenance_pb2.Provenance(), ignore_unknown_fields=False)
except Exception as x: out.append(repr(x))
print(json.dumps(out))`, map[string]any{"bom": string(bom), "prov": string(prov)}, &verdict)
	for _, v := range verdict {
		t.Errorf("oracle: %s", v)
	}
	if len(verdict) > 0 {
		t.Logf("%s", bom)
	}
}
