package check

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/provenance"
	"pip-witness/internal/provenance/sigstoretest"
	"pip-witness/internal/testpkg"
	"pip-witness/internal/typosquat"
)

// attested is an index whose projects each have one fate; all releases but the
// last exist on its pages only.
type attested struct {
	*httptest.Server
	t        *testing.T
	sigstore *sigstoretest.Sigstore
	mu       sync.Mutex
	asked    int // provenance objects
}

// Fates of the projects.
const (
	projectGood      = "attested-good"
	projectOther     = "attested-other"     // the attestation is of another file
	projectMissing   = "attested-missing"   // earlier releases have one
	projectMoved     = "attested-moved"     // another repository has published the earlier one
	projectTruncated = "attested-truncated" // the object is cut
	projectLarge     = "attested-large"     // the object has 100 MiB
	projectGone      = "attested-gone"      // the index answers 404 for the object
	projectForeign   = "attested-foreign"   // the object is on another host
	projectPlain     = "attested-plain"     // the page is HTML without anything
)

func projects() []string {
	return []string{
		projectGood, projectOther, projectMissing, projectMoved, projectTruncated, projectLarge, projectGone, projectForeign, projectPlain,
	}
}

func wheelOf(t *testing.T, project, version string) (name string, data []byte) {
	t.Helper()
	module := strings.ReplaceAll(project, "-", "_")
	w := testpkg.Wheel{Name: project, Version: version, Files: map[string]string{module + "/__init__.py": "ANSWER = 42\n"}}
	data, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return w.Filename(), data
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func serveAttested(t *testing.T) *attested {
	t.Helper()
	sigstore, err := sigstoretest.New(time.Now().Add(-48 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	a := &attested{t: t, sigstore: sigstore}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *attested) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "simple":
		a.page(w, parts[1])
	case len(parts) == 4 && parts[0] == "files":
		_, data := wheelOf(a.t, parts[1], parts[2])
		_, _ = w.Write(data)
	case len(parts) == 3 && parts[0] == "integrity":
		a.mu.Lock()
		a.asked++
		a.mu.Unlock()
		a.object(w, parts[1], parts[2])
	default:
		http.NotFound(w, r)
	}
}

// page lists 1.0, two days old, and 1.1, an hour old.
func (a *attested) page(w http.ResponseWriter, project string) {
	type object = map[string]any
	if project == projectPlain {
		name, data := wheelOf(a.t, project, "1.1")
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<a href="/files/%s/1.1/%s#sha256=%s">%s</a>`, project, name, digestOf(data), name)
		return
	}
	var files []object
	for version, age := range map[string]time.Duration{"1.0": 48 * time.Hour, "1.1": time.Hour} {
		name, data := wheelOf(a.t, project, version)
		f := object{
			"filename": name, "url": "/files/" + project + "/" + version + "/" + name, "hashes": object{"sha256": digestOf(data)}, "size": len(data),
			"upload-time": time.Now().Add(-age).UTC().Format("2006-01-02T15:04:05.000000Z"), "provenance": "/integrity/" + project + "/" + version,
		}
		switch {
		case project == projectMissing && version == "1.1":
			f["provenance"] = nil
		case project == projectForeign:
			f["provenance"] = "https://other.example/" + version
		}
		files = append(files, f)
	}
	w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	_ = json.NewEncoder(w).Encode(object{
		"meta": object{"api-version": "1.4"}, "name": project, "project-status": object{"status": "active"}, "versions": []string{"1.0", "1.1"}, "files": files,
	})
}

// object is a provenance object.
func (a *attested) object(w http.ResponseWriter, project, version string) {
	name, data := wheelOf(a.t, project, version)
	repository := "example/sdk"
	switch {
	case project == projectGone:
		w.WriteHeader(http.StatusNotFound)
		return
	case project == projectLarge:
		_, _ = w.Write(bytes.Repeat([]byte(" "), 100<<20))
		return
	case project == projectOther:
		name, data = wheelOf(a.t, projectGood, version)
	case project == projectMoved && version == "1.0":
		repository = "example/old"
	}
	statement, err := sigstoretest.Statement(name, digestOf(data), provenance.TypePublish)
	if err != nil {
		a.t.Error(err)
	}
	signed, err := a.sigstore.Attest(statement, sigstoretest.GitHub(repository, "release.yml"))
	if err != nil {
		a.t.Error(err)
	}
	raw, err := sigstoretest.Object(map[string]any{"kind": "GitHub", "repository": repository, "workflow": "release.yml", "environment": "index"}, signed)
	if err != nil {
		a.t.Error(err)
	}
	if project == projectTruncated {
		raw = raw[:len(raw)/2]
	}
	_, _ = w.Write(raw)
}

func (a *attested) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.asked
	a.asked = 0
	return n
}

// predicate is what the pip-install attestor made of a check.
func (a *attested) predicate(r Request) pipinstall.Predicate {
	a.t.Helper()
	o := observe(a.t, r)
	if len(o.Problems) > 0 {
		a.t.Errorf("problems %q", o.Problems)
	}
	var statement struct {
		Predicate attestation.Collection `json:"predicate"`
	}
	if err := json.Unmarshal(o.Steps[0].Collection.Payload, &statement); err != nil {
		a.t.Fatal(err)
	}
	for _, made := range statement.Predicate.Attestations {
		if made.Type == pipinstall.Type {
			var p pipinstall.Predicate
			if err := json.Unmarshal(made.Attestation, &p); err != nil {
				a.t.Fatal(err)
			}
			return p
		}
	}
	a.t.Fatalf("no pip-install attestation: %+v", o.Steps[0].Collection.Outcomes)
	return pipinstall.Predicate{}
}

// statuses are the outcomes by project, with the first words of the reason.
func statuses(p pipinstall.Predicate) map[string]string {
	out := map[string]string{}
	for _, v := range p.PEP740Verification {
		out[v.Package] = v.Status
	}
	return out
}

// TestLookUp checks packages of an index that offers provenance in every way that
// it can go wrong, in the sandbox, then the same again without a request.
func TestLookUp(t *testing.T) {
	index := serveAttested(t)
	root, err := index.sigstore.Root(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, projects()...)
	r.Flags = interpreter.Flags{IndexURL: index.URL + "/simple"}
	r.ImportEnvironments = []string{environmentPlain}
	r.TrustedRoot, r.CacheDir, r.Popular = root, t.TempDir(), []string{"attested-goods"}
	p := index.predicate(r)
	want := map[string]string{
		projectGood: "verified", projectOther: "invalid", projectMissing: "not offered", projectMoved: "verified", projectTruncated: "invalid",
		projectLarge: "not evaluated", projectGone: "not evaluated", projectForeign: "not evaluated", projectPlain: "not offered",
	}
	if diff := cmp.Diff(want, statuses(p)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	for project, reason := range map[string]string{
		projectGood: "", projectOther: "digest", projectMissing: "", projectMoved: "", projectTruncated: "unexpected end",
		projectLarge: "larger than", projectGone: "not-found", projectForeign: "is not the host of the index", projectPlain: "",
	} {
		v := verification(t, p, project)
		if reason == "" && v.Reason != "" || !strings.Contains(v.Reason, reason) {
			t.Errorf("%s: reason %q, want %q", project, v.Reason, reason)
		}
	}
	checkLookUp(t, p)
	if n := index.requests(); n == 0 {
		t.Error("nothing was asked for")
	}

	r.Offline = true
	offline := index.predicate(r)
	for project, status := range want {
		if project != projectMissing && project != projectPlain && status != "verified" {
			want[project] = "not evaluated"
		}
	}
	if diff := cmp.Diff(want, statuses(offline)); diff != "" {
		t.Errorf("offline (-want +got):\n%s", diff)
	}
	if v := verification(t, offline, projectOther); !strings.HasPrefix(v.Reason, "offline") {
		t.Errorf("offline: %q", v.Reason)
	}
	if n := index.requests(); n != 0 {
		t.Errorf("offline: %d provenance objects were asked for", n)
	}
}

func verification(t *testing.T, p pipinstall.Predicate, project string) pipinstall.PEP740 {
	t.Helper()
	for _, v := range p.PEP740Verification {
		if v.Package == project {
			return v
		}
	}
	t.Fatalf("nothing about %s", project)
	return pipinstall.PEP740{}
}

// checkLookUp looks at the details of the first run.
func checkLookUp(t *testing.T, p pipinstall.Predicate) {
	t.Helper()
	good := verification(t, p, projectGood)
	if good.PublisherKind != "GitHub" || good.Repository != "example/sdk" || good.Workflow != "release.yml" || good.Environment != "index" ||
		!strings.HasPrefix(good.SignerIdentity, "https://github.com/example/sdk/") || len(good.Attestations) != 1 || !good.HasAttestation {
		t.Errorf("%+v", good)
	}
	if e := good.Earlier; e == nil || len(e.Releases) != 1 || e.Releases[0].Status != "verified" || e.PublisherChanged || e.AttestationMissing || e.Changes != nil {
		t.Errorf("earlier releases of an ordinary project: %+v", e)
	}
	if e := verification(t, p, projectMoved).Earlier; e == nil || !e.PublisherChanged || fmt.Sprint(e.Changes) != `[repository: "example/sdk", before "example/old"]` {
		t.Errorf("another publisher: %+v", e)
	}
	if e := verification(t, p, projectMissing).Earlier; e == nil || !e.AttestationMissing || e.Releases[0].Status != "offered" {
		t.Errorf("missing attestation: %+v", e)
	}
	if p.TrustedRoot == nil || p.TrustedRoot.Shipped || len(p.TrustedRoot.SHA256) != 64 {
		t.Errorf("trusted root %+v", p.TrustedRoot)
	}
	similar := []pipinstall.SimilarName{{Package: projectGood, Matches: []typosquat.Match{{Name: "attested-goods", How: typosquat.Keystroke}}}}
	if diff := cmp.Diff(similar, p.SimilarNames); diff != "" || p.PopularNames != (pipinstall.PopularNames{Count: 1}) {
		t.Errorf("similar names, of %+v (-want +got):\n%s", p.PopularNames, diff)
	}
	if len(p.IndexHistory) != len(projects()) {
		t.Errorf("%d histories, want %d", len(p.IndexHistory), len(projects()))
	}
	for _, f := range p.IndexHistory {
		plain := f.Package == projectPlain
		if plain && (f.Format != "html" || f.AgeSeconds != nil || f.Releases != 1 || strings.Join(f.NotOffered, " ") != "owners project-status provenance size upload-time versions") {
			t.Errorf("%+v", f)
		}
		if !plain && (f.Format != "json" || f.Releases != 2 || f.This == nil || f.This.Version != "1.1" || f.AgeSeconds == nil || *f.AgeSeconds < 3590 || *f.AgeSeconds > 7200 ||
			f.ProjectStatus != "active" || f.BurstReleases != 0) {
			t.Errorf("%+v", f)
		}
	}
}

// TestLookUpExpiredRoot judges by a root whose logs were closed before the
// attestations were made, and by the shipped one, which does not know them.
func TestLookUpExpiredRoot(t *testing.T) {
	index := serveAttested(t)
	expired, err := index.sigstore.Root(time.Now().Add(-50 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, root := range map[string][]byte{"expired": expired, "shipped": nil} {
		t.Run(name, func(t *testing.T) {
			r := request(t, projectGood)
			r.Flags = interpreter.Flags{IndexURL: index.URL + "/simple"}
			r.ImportEnvironments = []string{environmentPlain}
			r.TrustedRoot, r.CacheDir = root, t.TempDir()
			index.t = t
			v := verification(t, index.predicate(r), projectGood)
			if v.Status != "invalid" || v.Reason == "" || v.Repository != "" {
				t.Errorf("%+v", v)
			}
			if kept, err := filepath.Glob(filepath.Join(r.CacheDir, "provenance", "*", "*")); err != nil || len(kept) != 0 {
				t.Errorf("what did not verify was kept: %q, %v", kept, err)
			}
		})
	}
}

// TestLookUpCache replaces what was kept: it is not believed.
func TestLookUpCache(t *testing.T) {
	index := serveAttested(t)
	raw, err := index.sigstore.Root(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, projectGood)
	r.Flags = interpreter.Flags{IndexURL: index.URL + "/simple"}
	r.ImportEnvironments = []string{environmentPlain}
	r.TrustedRoot, r.CacheDir = raw, t.TempDir()
	if got := statuses(index.predicate(r)); got[projectGood] != "verified" {
		t.Fatalf("%v", got)
	}
	kept, err := filepath.Glob(filepath.Join(r.CacheDir, "provenance", "*", "*"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	for _, name := range kept {
		if err := os.WriteFile(name, []byte(`{"version":1}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index.requests()
	if got := statuses(index.predicate(r)); got[projectGood] != "verified" || index.requests() != 2 {
		t.Errorf("%v", got)
	}
}
