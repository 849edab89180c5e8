package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// pageAccept asks an index for what pip would take, the JSON form first.
const pageAccept = typeJSON + ", " + typeHTML + ";q=0.1, " + typeText + ";q=0.01"

// pageCache keeps rendered pages, so that an installation that asks twice gets
// the same answer.
type pageCache struct {
	mu    sync.Mutex
	pages map[string]*cachedPage
	size  int
}

type cachedPage struct {
	mu   sync.Mutex // held while the page is fetched
	body []byte
}

func (c *pageCache) get(key string) *cachedPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[string]*cachedPage)
	}
	p := c.pages[key]
	if p == nil {
		p = new(cachedPage)
		if len(c.pages) < maxRecords {
			c.pages[key] = p
		}
	}
	return p
}

// keep says whether there is room for a page of n bytes.
func (c *pageCache) keep(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size+n > maxPageCache {
		return false
	}
	c.size += n
	return true
}

// servePage answers with a project page, or the page of a find-links location.
func (g *Gateway) servePage(w http.ResponseWriter, r *http.Request, s *source, project string) {
	asJSON := acceptsJSON(strings.Join(r.Header.Values("Accept"), ","))
	if project != "" {
		g.records.project(project)
	}
	body, f := g.page(r.Context(), s, project, asJSON)
	if f != nil {
		http.Error(w, string(f.kind), f.status)
		return
	}
	w.Header().Set("Content-Type", typeText+"; charset=utf-8")
	if asJSON {
		w.Header().Set("Content-Type", typeJSON)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Vary", "Accept")
	_, _ = w.Write(body) // a client that went away is no news
}

// page returns a rendered page and records why there is none.
func (g *Gateway) page(ctx context.Context, s *source, project string, asJSON bool) ([]byte, *failure) {
	kept := g.pages.get(fmt.Sprintf("%s %s %v", s.id(), project, asJSON))
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.body != nil {
		return kept.body, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageWait(g.upstream.timeout, g.upstream.retries))
	defer cancel()
	p, at, f := g.load(ctx, s, project)
	var body []byte
	if f == nil {
		body, f = g.render(p, s, project, asJSON)
	}
	if f != nil {
		if g.ctx.Err() == nil && !errors.Is(ctx.Err(), context.Canceled) { // an end by the installer is no problem of the index
			g.records.problem(Problem{Kind: f.kind, Index: s.name, URL: plainURL(at), Project: project, Message: f.message, Time: g.now()})
		}
		return nil, f
	}
	if g.pages.keep(len(body)) {
		kept.body = body
	}
	return body, nil
}

// load finds and reads a page; at is where it was looked for.
func (g *Gateway) load(ctx context.Context, s *source, project string) (p *page, at *url.URL, f *failure) {
	at = s.url
	if s.kind == kindIndex {
		at = s.project(project)
	}
	switch {
	case s.local:
		if p, f = g.loadLocal(s, at); f == nil {
			p.format = formatLocal
		}
	case s.kind == kindLinks && archiveName(s.url.Path):
		p = new(page)
		if l, ok := newLink(s.url, s.url.String()); ok {
			p.links = append(p.links, l)
		}
	default:
		p, f = g.fetchPage(ctx, at)
	}
	if f != nil {
		return nil, at, f
	}
	if s.kind == kindIndex {
		p.name = project
	}
	if p.version == "" {
		p.version = "1.0"
	}
	return p, at, nil
}

// fetchPage asks an index.
func (g *Gateway) fetchPage(ctx context.Context, at *url.URL) (*page, *failure) {
	if f := g.upstream.insecure(at); f != nil {
		return nil, f
	}
	answer, f := g.upstream.get(context.WithValue(ctx, pageKey{}, true), http.MethodGet, at, pageAccept)
	if f != nil {
		return nil, f
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxPageSize+1))
	if err != nil {
		return nil, g.upstream.failure(err)
	}
	if len(body) > maxPageSize {
		return nil, badPage(fmt.Errorf("the page is larger than %d bytes", maxPageSize))
	}
	p, err := parsePage(answer.Header.Get("Content-Type"), body, answer.Request.URL)
	if err != nil {
		return nil, badPage(err)
	}
	return p, nil
}

func badPage(err error) *failure {
	return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: err.Error()}
}

// render writes a page with the files numbered, and keeps what it lists.
func (g *Gateway) render(p *page, s *source, project string, asJSON bool) ([]byte, *failure) {
	listed := make([]*entry, 0, len(p.links))
	where := func(l *link) (string, error) {
		e, err := g.files.add(*l, s.name, p.status)
		if err != nil {
			return "", err
		}
		listed = append(listed, e)
		u := "/" + g.secret + e.path()
		if l.fragment != "" {
			u += "#" + l.fragment
		}
		return u, nil
	}
	write := renderHTML
	if asJSON {
		write = renderJSON
	}
	body, err := write(p, where)
	if err != nil {
		return nil, badPage(err)
	}
	if project != "" {
		g.listings.keep(s, project, p, listed)
	}
	return body, nil
}

// loadLocal reads a page of a local index, or makes one of a find-links
// directory or file.
func (g *Gateway) loadLocal(s *source, at *url.URL) (*page, *failure) {
	name := filepath.FromSlash(at.Path)
	info, err := os.Stat(name)
	if err != nil {
		return nil, localFailure(err)
	}
	switch {
	case s.kind == kindIndex && info.IsDir():
		return localPage(filepath.Join(name, "index.html"))
	case s.kind == kindIndex, !info.IsDir() && htmlName(name):
		return localPage(name)
	case !info.IsDir():
		p := new(page)
		if l, ok := localLink(name); ok {
			p.links = append(p.links, l)
		}
		return p, nil
	}
	return localDirectory(name)
}

// localDirectory lists the files of a directory and then the links of its HTML
// files: pip prefers the former.
func localDirectory(dir string) (*page, *failure) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, localFailure(err)
	}
	p := new(page)
	var pages []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if htmlName(path) {
			pages = append(pages, path)
		} else if l, ok := localLink(path); ok {
			p.links = append(p.links, l)
		}
	}
	for _, path := range pages {
		more, f := localPage(path)
		if f != nil {
			return nil, f
		}
		p.links = append(p.links, more.links...)
	}
	if len(p.links) > maxPageFiles {
		return nil, badPage(errPageFiles)
	}
	return p, nil
}

// localPage reads an HTML file.
func localPage(name string) (*page, *failure) {
	body, err := readBounded(name, maxPageSize)
	if err != nil {
		return nil, localFailure(err)
	}
	p, err := parsePage(typeText, body, &url.URL{Scheme: "file", Path: name})
	if err != nil {
		return nil, badPage(err)
	}
	return p, nil
}

// localLink describes a file of the user's.
func localLink(name string) (link, bool) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return link{}, false
	}
	u := &url.URL{Scheme: "file", Path: name}
	l, ok := newLink(u, u.String())
	l.size = info.Size()
	return l, ok
}

// localFailure names why a local page or file cannot be read.
func localFailure(err error) *failure {
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{kind: NotFound, status: http.StatusNotFound, message: err.Error()}
	}
	return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: err.Error()}
}
