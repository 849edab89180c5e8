package egress

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"pip-witness/evidence"
)

// ProblemKind is why something could not be had.
type ProblemKind string

// Kinds of problems.
const (
	NotFound       ProblemKind = "not-found"       // the index answered that there is none
	Unreachable    ProblemKind = "unreachable"     // no name, no route, no answer in time
	Unauthorized   ProblemKind = "unauthorized"    // 401, 403, 407
	TLS            ProblemKind = "tls"             // the certificate or the protocol was refused
	UpstreamError  ProblemKind = "upstream-error"  // any other answer, or one that is cut or malformed
	DigestMismatch ProblemKind = "digest-mismatch" // the bytes are not those that the index announced
)

// Problem is a page or file that the sandbox asked for and did not get.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	// Index is the index or find-links location, without credentials; empty for
	// a URL of the user's own requirement.
	Index string `json:"index,omitempty"`
	// URL is what was asked for, without credentials.
	URL string `json:"url"`
	// Project is the normalised name when a project page was asked for,
	// Filename the file's name when a file was.
	Project  string `json:"project,omitempty"`
	Filename string `json:"filename,omitempty"`
	// Message says what happened, without credentials.
	Message string `json:"message"`
	// Count is how often the same happened; Time is the first.
	Count int       `json:"count"`
	Time  time.Time `json:"time"`
}

// Intruder is a request that did not come from the installer: it lacked the
// secret path, or it was no GET or HEAD.
type Intruder struct {
	Method string `json:"method"`
	// Path is the path and query, at most 512 bytes; the secret path is
	// replaced by SECRET.
	Path string `json:"path"`
	// UserAgent is what the client called itself, at most 512 bytes.
	UserAgent string `json:"userAgent,omitempty"`
	// Count is how often the same was asked; Time is the first.
	Count int       `json:"count"`
	Time  time.Time `json:"time"`
}

type records struct {
	mu        sync.Mutex
	projects  []string
	downloads []evidence.Download
	problems  []Problem
	intruders []Intruder
	flows     []Flow
	dropped   int
}

// Projects are the normalised names of the projects whose pages were asked for,
// in the order of the first request.
func (g *Gateway) Projects() []string {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return slices.Clone(g.records.projects)
}

// ErrNotKept is returned by [Gateway.Distribution].
var ErrNotKept = errors.New("the downloaded file was not kept: there is no cache, or the index announced no SHA-256 of it")

// Distribution opens a downloaded file by its SHA-256, compared anew. The error
// is [ErrNotKept]. The caller closes the file.
func (g *Gateway) Distribution(sha256 string) (*os.File, error) {
	f, _, ok := g.cache.open(sha256)
	if !ok {
		return nil, ErrNotKept
	}
	return f, nil
}

// Downloads are the files that were served completely, in order, each once.
func (g *Gateway) Downloads() []evidence.Download {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return slices.Clone(g.records.downloads)
}

// Problems are what could not be had, in the order of the first time.
func (g *Gateway) Problems() []Problem {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return slices.Clone(g.records.problems)
}

// Intruders are the requests that were not the installer's, in the order of the
// first time.
func (g *Gateway) Intruders() []Intruder {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return slices.Clone(g.records.intruders)
}

// Flows are the requests to repositories, in the order of their ends.
func (g *Gateway) Flows() []Flow {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return slices.Clone(g.records.flows)
}

// Dropped is how many records were left out because there were too many.
func (g *Gateway) Dropped() int {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	return g.records.dropped
}

func (r *records) project(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.projects, name) {
		return
	}
	if len(r.projects) >= maxRecords {
		r.dropped++
		return
	}
	r.projects = append(r.projects, name)
}

func (r *records) download(d evidence.Download) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.downloads {
		if known.GatewayURL == d.GatewayURL && known.Metadata == d.Metadata && known.Digests["sha256"] == d.Digests["sha256"] {
			return
		}
	}
	if len(r.downloads) >= maxRecords {
		r.dropped++
		return
	}
	r.downloads = append(r.downloads, d)
}

func (r *records) problem(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Message = cut(p.Message)
	for i := range r.problems {
		known := &r.problems[i]
		if known.Kind == p.Kind && known.URL == p.URL && known.Message == p.Message {
			known.Count++
			return
		}
	}
	if len(r.problems) >= maxRecords {
		r.dropped++
		return
	}
	p.Count = 1
	r.problems = append(r.problems, p)
}

func (r *records) flow(f Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flows) >= maxRecords {
		r.dropped++
		return
	}
	r.flows = append(r.flows, f)
}

func (r *records) intruder(now time.Time, req *http.Request, secret string) {
	in := Intruder{
		Method:    cut(req.Method),
		Path:      cut(strings.ReplaceAll(req.URL.RequestURI(), secret, "SECRET")),
		UserAgent: cut(req.UserAgent()),
		Count:     1,
		Time:      now,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.intruders {
		known := &r.intruders[i]
		if known.Method == in.Method && known.Path == in.Path && known.UserAgent == in.UserAgent {
			known.Count++
			return
		}
	}
	if len(r.intruders) >= maxRecords {
		r.dropped++
		return
	}
	r.intruders = append(r.intruders, in)
}

// cut shortens a text of a record and makes it valid UTF-8.
func cut(s string) string {
	if len(s) > maxRecordText {
		s = s[:maxRecordText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
