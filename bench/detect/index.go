package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"time"

	"pip-witness/internal/provenance"
	"pip-witness/internal/provenance/sigstoretest"
	"pip-witness/internal/pypi"
)

// indexes serves the package indexes of one scenario on loopback.
type indexes struct {
	server   *httptest.Server
	project  *project
	files    map[string]file // by name in the scenario
	sigstore *sigstoretest.Sigstore
	now      time.Time
}

// Paths below an index: its pages, its files, its attestations.
const (
	simplePath    = "simple"
	filesPath     = "files"
	integrityPath = "integrity"
)

// simpleJSON is the media type of a page (PEP 691).
const simpleJSON = "application/vnd.pypi.simple.v1+json"

// newIndexes starts to listen; requests are answered once open was called.
func newIndexes(now time.Time) (*indexes, error) {
	x := &indexes{now: now}
	var err error
	if x.sigstore, err = sigstoretest.New(now.Add(-365 * 24 * time.Hour)); err != nil {
		return nil, fmt.Errorf("make an authority for attestations: %w", err)
	}
	x.server = httptest.NewServer(x)
	return x, nil
}

func (x *indexes) url(name string) string { return x.server.URL + "/" + name }

// page is what to give pip as an index.
func (x *indexes) page(name string) string { return x.url(name) + "/" + simplePath + "/" }

// serve gives out what was built from now on.
func (x *indexes) serve(p *project, files map[string]file) { x.project, x.files = p, files }

// ServeHTTP answers below "/INDEX/".
func (x *indexes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x.project == nil {
		http.NotFound(w, r)
		return
	}
	name, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	if content, ok := x.project.index[name][strings.Trim(rest, "/")]; ok {
		w.Header().Set("Content-Type", contentType(rest))
		_, _ = w.Write([]byte(content))
		return
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 2 && parts[0] == simplePath:
		x.projectPage(w, r, name, parts[1])
	case len(parts) == 2 && parts[0] == filesPath:
		x.distributionFile(w, r, name, parts[1])
	case len(parts) == 2 && parts[0] == integrityPath:
		x.attestation(w, r, name, parts[1])
	default:
		http.NotFound(w, r)
	}
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return simpleJSON
	case ".html":
		return "text/html"
	}
	return "application/octet-stream"
}

func (x *indexes) projectPage(w http.ResponseWriter, r *http.Request, index, project string) {
	var files []map[string]any
	var versions []string
	for _, listed := range x.project.Indexes[index] {
		built, ok := x.files[listed.Dist]
		if !ok || pypi.Normalize(built.project) != pypi.Normalize(project) {
			continue
		}
		files = append(files, x.entry(index, listed, built))
		versions = append(versions, built.version)
	}
	if len(files) == 0 {
		http.NotFound(w, r)
		return
	}
	slices.Sort(versions)
	w.Header().Set("Content-Type", simpleJSON)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"meta": map[string]any{"api-version": "1.3"}, "name": pypi.Normalize(project), "versions": slices.Compact(versions), "files": files,
	})
}

// entry is what a page says of one file.
func (x *indexes) entry(index string, listed release, built file) map[string]any {
	sum := digest(built.content)
	if listed.Wrong {
		sum = digest([]byte("other content"))
	}
	entry := map[string]any{
		"filename": built.name, "url": x.url(index) + "/" + filesPath + "/" + built.name,
		"hashes": map[string]string{"sha256": sum}, "size": len(built.content), "yanked": false,
	}
	if listed.Yanked != "" {
		entry["yanked"] = listed.Yanked
	}
	if age, err := time.ParseDuration(listed.Age); err == nil {
		entry["upload-time"] = x.now.Add(-age).UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	if listed.Attested != nil {
		entry["provenance"] = x.url(index) + "/" + integrityPath + "/" + built.name
	}
	return entry
}

// listing finds the release of an index whose file has that name.
func (x *indexes) listing(index, filename string) (release, file, bool) {
	for _, listed := range x.project.Indexes[index] {
		if built, ok := x.files[listed.Dist]; ok && built.name == filename {
			return listed, built, true
		}
	}
	return release{}, file{}, false
}

func (x *indexes) distributionFile(w http.ResponseWriter, r *http.Request, index, filename string) {
	listed, built, ok := x.listing(index, filename)
	if !ok || listed.Listed {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(built.content)
}

// functions are placeholders that only a served scenario has.
func (x *indexes) functions() map[string]any {
	return map[string]any{"index": x.page, "indexhost": func() string { return x.server.Listener.Addr().String() }}
}

// attestation answers with the provenance object of a file (PEP 740).
func (x *indexes) attestation(w http.ResponseWriter, r *http.Request, index, filename string) {
	listed, built, ok := x.listing(index, filename)
	if !ok || listed.Attested == nil {
		http.NotFound(w, r)
		return
	}
	object, err := x.attest(*listed.Attested, built)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(object)
}

func (x *indexes) attest(a attested, built file) ([]byte, error) {
	about := built
	if a.Of != "" {
		about = x.files[a.Of]
	}
	statement, err := sigstoretest.Statement(built.name, digest(about.content), provenance.TypePublish)
	if err != nil {
		return nil, err
	}
	workflow := cmp.Or(a.Workflow, "release.yml")
	signer := sigstoretest.GitHub(a.Repository, workflow)
	if a.Ref != "" {
		signer.Ref = a.Ref
		signer.Config = signer.Repository + "/.github/workflows/" + workflow + "@" + a.Ref
		signer.Subject = signer.Config
	}
	signed, err := x.sigstore.Attest(statement, signer)
	if err != nil {
		return nil, err
	}
	if a.Broken {
		signed, err = breakSignature(signed)
		if err != nil {
			return nil, err
		}
	}
	return sigstoretest.Object(map[string]any{
		"kind": "GitHub", "repository": a.Repository, "workflow": workflow, "environment": a.Environment,
	}, signed)
}

// breakSignature changes a bit of an attestation's signature.
func breakSignature(attestation []byte) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(attestation, &all); err != nil {
		return nil, err
	}
	envelope, _ := all["envelope"].(map[string]any)
	text, _ := envelope["signature"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("break a signature: %w", err)
	}
	if len(raw) == 0 {
		return nil, errors.New("break a signature: the attestation has none")
	}
	raw[len(raw)-1] ^= 1
	envelope["signature"] = base64.StdEncoding.EncodeToString(raw)
	return json.Marshal(all)
}
