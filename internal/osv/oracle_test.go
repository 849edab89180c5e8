package osv

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// advisories returns the archive of real advisories that the machine offers:
// $PIP_WITNESS_OSV_DATA, else shared/data/osv beside the work tree. The test is
// skipped without one.
func advisories(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("PIP_WITNESS_OSV_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data", "osv")
	}
	path := Find(dir)
	if path == "" {
		t.Skip("needs a database of PyPI advisories: set PIP_WITNESS_OSV_DATA to a directory that has PyPI/all.zip")
	}
	return path
}

// old are packages pinned to versions that advisories are about, and some that
// none is about.
func old() []Package {
	var packages []Package
	for _, pin := range strings.Fields(`django==2.2 flask==0.12 requests==2.19.0 jinja2==2.10 urllib3==1.24.1 pyyaml==5.1
		pillow==6.2.0 numpy==1.16.0 tensorflow==2.4.0 aiohttp==3.7.3 cryptography==2.2 lxml==4.6.2 tornado==6.3.1 werkzeug==0.15.2
		sqlalchemy==1.3.0 pip==19.1 setuptools==65.0.0 wheel==0.37.1 certifi==2022.9.24 paramiko==2.4.1 ansible==2.8.0 salt==3000.1
		twisted==20.3.0 waitress==1.4.2 bleach==3.1.0 mistune==0.8.4 notebook==6.0.1 jupyter-server==1.2.0 gradio==3.0 opencv-python==4.1.0.25
		six==1.16.0 langchain==0.0.150 apache-airflow==1.10.10 Zope==4.5.3 vyper==0.3.1`) {
		name, version, _ := strings.Cut(pin, "==")
		packages = append(packages, Package{name, version})
	}
	return packages
}

// records are the ids of the advisories that affect each package, sorted.
func records(t *testing.T, d *Database, packages []Package) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, p := range packages {
		result, err := d.Match(t.Context(), []Package{p})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range result.Vulnerabilities {
			key := p.Name + "==" + p.Version
			all[key] = append(all[key], v.Records...)
			slices.Sort(all[key])
			all[key] = slices.Compact(all[key]) // a package may be asked about twice
		}
	}
	return all
}

// TestE2EScanner compares with osv-scanner on the same archive: $PIP_WITNESS_OSV_SCANNER,
// else the one in PATH.
func TestE2EScanner(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("runs another scanner: set PIP_WITNESS_E2E=1")
	}
	scanner := os.Getenv("PIP_WITNESS_OSV_SCANNER")
	if scanner == "" {
		var err error
		if scanner, err = exec.LookPath("osv-scanner"); err != nil {
			t.Skip("needs osv-scanner (2.2.4) in PATH or in PIP_WITNESS_OSV_SCANNER")
		}
	}
	data, err := os.ReadFile(advisories(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var pins strings.Builder
	for _, p := range old() {
		fmt.Fprintf(&pins, "%s==%s\n", p.Name, p.Version)
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(pins.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{CacheName, OldCacheName} {
		path := filepath.Join(dir, cache, Ecosystem, archiveName)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(scanner, "scan", "source", "--offline", "--no-resolve", "--lockfile", list, "--format", "json")
	command.Env = append(os.Environ(), "OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY="+dir)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	var found struct {
		Results []struct {
			Packages []struct {
				Package         Package
				Vulnerabilities []struct{ ID string }
			}
		}
	}
	// It ends with status 1 when it finds something, which it does.
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil {
		t.Fatalf("osv-scanner: %v, %v\n%s", err, jsonErr, stderr.String())
	}
	want := map[string][]string{}
	for _, p := range found.Results[0].Packages {
		key := p.Package.Name + "==" + p.Package.Version
		for _, v := range p.Vulnerabilities {
			want[key] = append(want[key], v.ID)
		}
		slices.Sort(want[key])
	}
	got := map[string][]string{}
	for key, ids := range records(t, open(t, Find(dir), ""), old()) {
		got[strings.ToLower(key)] = ids
	}
	if len(want) < 30 {
		t.Errorf("osv-scanner found something in %d packages, want at least 30", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-osv-scanner +got):\n%s", diff)
	}
}

// oracle evaluates the schema's rules with the `packaging` library: on standard
// input the path of an archive and packages, on standard output the ids of the
// advisories that affect each.
const oracle = `
import functools, json, sys, zipfile
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
@functools.cache
def parse(text):
    try:
        return Version(text)
    except InvalidVersion:
        return None
def affected(version, text, entry):
    if text in entry.get("versions", []) or any(parse(v) == version for v in entry.get("versions", [])):
        return True
    for r in entry.get("ranges", []):
        if r["type"] not in ("ECOSYSTEM", "SEMVER"):
            continue
        texts = [t for e in r["events"] for t in e.values() if t not in ("0", "*")]
        if any(parse(t) is None for t in texts):
            continue # it cannot be evaluated
        limits = [e["limit"] for e in r["events"] if "limit" in e]
        if limits and "*" not in limits and not any(version < parse(l) for l in limits):
            continue
        # An interval begins at an introduction and lasts to the next event that ends it.
        begins = [None if e["introduced"] == "0" else parse(e["introduced"]) for e in r["events"] if "introduced" in e]
        fixes = [parse(e["fixed"]) for e in r["events"] if "fixed" in e]
        lasts = [parse(e["last_affected"]) for e in r["events"] if "last_affected" in e]
        for b in begins:
            if (b is None or version >= b) \
               and not any((b is None or f > b) and version >= f for f in fixes) \
               and not any((b is None or l >= b) and version > l for l in lasts):
                return True
    return False
path, packages = json.load(sys.stdin)
by_name = {}
archive = zipfile.ZipFile(path)
for name in archive.namelist():
    record = json.loads(archive.read(name))
    if "withdrawn" in record:
        continue
    for entry in record["affected"]:
        if entry["package"]["ecosystem"] == "PyPI":
            by_name.setdefault(canonicalize_name(entry["package"]["name"]), []).append((record["id"], entry))
out = {}
for p in packages:
    ids = {i for i, entry in by_name.get(canonicalize_name(p["Name"]), []) if affected(parse(p["Version"]), p["Version"], entry)}
    if ids:
        out[p["Name"] + "==" + p["Version"]] = sorted(ids)
json.dump(out, sys.stdout)
`

// askPackaging evaluates an archive with Python's packaging.
func askPackaging(t *testing.T, path string, packages []Package) map[string][]string {
	t.Helper()
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import packaging.version").Run(); err != nil {
		t.Skipf("%s cannot import packaging (set PIP_WITNESS_ORACLE_PYTHON to an interpreter that can): %v", python, err)
	}
	in, err := json.Marshal([]any{path, packages})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-c", oracle)
	command.Stdin, command.Stderr = bytes.NewReader(in), os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	var affected map[string][]string
	if err := json.Unmarshal(out, &affected); err != nil {
		t.Fatal(err)
	}
	return affected
}

// TestPackaging compares with Python's packaging on every project of the
// archive, at versions at which something changes and at some that are listed.
func TestPackaging(t *testing.T) {
	path := advisories(t)
	packages := slices.Concat(old(), sample(t, path))
	want := askPackaging(t, path, packages)
	t.Logf("%d versions of projects asked about, %d of them affected", len(packages), len(want))
	if diff := cmp.Diff(want, records(t, open(t, path, ""), packages)); diff != "" {
		t.Errorf("(-packaging +got):\n%.5000s", diff)
	}
}

// TestPackagingInvented compares on advisories with events of every type at random
// versions, in random order, with ranges of commits among them.
func TestPackagingInvented(t *testing.T) {
	pool := strings.Fields(`0.1.dev1 0.1a1 0.1 0.1.post1 0.2rc1 0.2 0.2.1 0.10 1.0b2 1 1.0.1 1.5 2.0.dev3 2.0 2.0.0.1 2.1 10.0 1!0.1`)
	random := rand.New(rand.NewPCG(1, 2))
	invent := func() string {
		order := random.Perm(len(pool))
		events := []string{}
		for _, i := range order[:1+random.IntN(6)] {
			kind := []string{"introduced", "introduced", "fixed", "last_affected"}[random.IntN(4)]
			events = append(events, fmt.Sprintf(`{%q:%q}`, kind, pool[i]))
		}
		if random.IntN(2) == 0 {
			events = append(events, `{"introduced":"0"}`)
		}
		for range random.IntN(4) - 1 {
			events = append(events, fmt.Sprintf(`{"limit":%q}`, append(pool, "*")[random.IntN(len(pool)+1)]))
		}
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		kind := []string{"ECOSYSTEM", "ECOSYSTEM", "SEMVER", "GIT"}[random.IntN(4)]
		return fmt.Sprintf(`{"type":%q,"events":[%s]}`, kind, strings.Join(events, ","))
	}
	var texts []string
	for i := range 500 {
		listed := fmt.Sprintf(`,"versions":[%q,%q]`, pool[random.IntN(len(pool))]+".0", pool[random.IntN(len(pool))])
		if random.IntN(3) > 0 {
			listed = ""
		}
		texts = append(texts, advisory(fmt.Sprint("X-", i), ranges(invent(), invent())+listed))
	}
	path := put(t, archive(t, texts...))
	var packages []Package
	for _, version := range append(pool, "0", "0.dev0", "0.9", "1.0+local", "3", "2!0") {
		packages = append(packages, Package{"demo-pkg", version})
	}
	want := askPackaging(t, path, packages)
	if len(want) < len(pool) {
		t.Fatalf("only %d versions are affected by anything", len(want))
	}
	if diff := cmp.Diff(want, records(t, open(t, path, ""), packages)); diff != "" {
		t.Errorf("(-packaging +got):\n%.5000s", diff)
	}
}

// each calls f with every advisory of an archive.
func each(t testing.TB, path string, f func(data []byte, r Record)) {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, entry := range archive.File {
		file, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		record, err := ParseRecord(data)
		if err != nil {
			t.Fatalf("%s: %v", entry.Name, err)
		}
		f(data, record)
	}
}

// sample are up to four versions of every project that advisories name.
func sample(t *testing.T, path string) []Package {
	t.Helper()
	seen := map[string]map[string]bool{}
	each(t, path, func(_ []byte, r Record) {
		for _, a := range r.Affected {
			texts := slices.Clone(a.Versions[:min(len(a.Versions), 1)])
			for _, x := range a.Ranges {
				for _, e := range x.Events {
					if x.Type != "GIT" {
						texts = append(texts, e.Fixed, e.LastAffected, e.Introduced)
					}
				}
			}
			for _, text := range texts {
				if _, err := (versions{}).parse(text); err == nil && len(seen[a.Package.Name]) < 4 {
					if seen[a.Package.Name] == nil {
						seen[a.Package.Name] = map[string]bool{}
					}
					seen[a.Package.Name][text] = true
				}
			}
		}
	})
	var packages []Package
	for name, texts := range seen {
		for text := range texts {
			packages = append(packages, Package{name, text})
		}
	}
	return packages
}

// BenchmarkMatch looks up 200 packages among 25,000 advisories, with the index
// that an earlier run left: opening, checking the archive's digest, matching.
func BenchmarkMatch(b *testing.B) {
	path, packages := synthesise(b)
	cache := b.TempDir()
	first, err := Open(b.Context(), path, cache)
	if err != nil {
		b.Fatal(err)
	}
	facts := first.Facts()
	if err := first.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	found := 0
	for b.Loop() {
		d, err := Open(b.Context(), path, cache)
		if err != nil {
			b.Fatal(err)
		}
		result, err := d.Match(b.Context(), packages)
		if err != nil {
			b.Fatal(err)
		}
		found = len(result.Vulnerabilities)
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(facts.Advisories), "advisories")
	b.ReportMetric(float64(len(packages)), "packages")
	b.ReportMetric(float64(found), "vulnerabilities")
}

// BenchmarkIndex makes the index of 25,000 advisories.
func BenchmarkIndex(b *testing.B) {
	path, _ := synthesise(b)
	b.ReportAllocs()
	for b.Loop() {
		d, err := Open(b.Context(), path, "")
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// synthesise makes an archive of 25,000 advisories out of the real ones, each under
// further ids and project names, and asks for the 200 projects with most of them.
func synthesise(b *testing.B) (string, []Package) {
	b.Helper()
	source := advisories(b)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	count := map[string]int{}
	version := map[string]string{}
	const wanted = 25_000
	for round, written := 0, 0; written < wanted; round++ {
		each(b, source, func(data []byte, r Record) {
			if written >= wanted || r.Withdrawn != "" {
				return
			}
			written++
			if name := r.Affected[0].Package.Name; round == 0 {
				count[name]++
				if listed := r.Affected[0].Versions; len(listed) > 0 {
					version[name] = listed[0]
				}
			} else {
				data = bytes.ReplaceAll(data, []byte(fmt.Sprintf(`"name": %q`, name)), []byte(fmt.Sprintf(`"name": "%s-%d"`, name, round)))
				data = bytes.ReplaceAll(data, []byte(r.ID), []byte(fmt.Sprintf("%s-%d", r.ID, round)))
			}
			f, err := w.Create(fmt.Sprintf("%s-%d.json", r.ID, round))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Write(data); err != nil {
				b.Fatal(err)
			}
		})
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	var packages []Package
	for name, text := range version {
		packages = append(packages, Package{name, text})
	}
	slices.SortFunc(packages, func(a, b Package) int { return count[b.Name] - count[a.Name] })
	return put(b, out.Bytes()), packages[:200]
}
