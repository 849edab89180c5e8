package egress

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"pip-witness/evidence"
)

// listing is what one index listed for a project. Its files are those of the
// table that the inside asks from, so that keeping it costs a pointer a file.
type listing struct {
	source  *source
	project string
	page    page // without its links
	files   []*entry
	cut     int
}

// listings are kept for the run. Their files are bounded as the table's are, since
// pages may list the same ones again and again.
type listings struct {
	mu    sync.Mutex
	all   []*listing
	files int
}

func (l *listings) keep(s *source, project string, p *page, files []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.all, func(k *listing) bool { return k.source == s && k.project == project })
	if at < 0 {
		if len(l.all) >= maxRecords {
			return
		}
		l.all = append(l.all, nil)
		at = len(l.all) - 1
	} else {
		l.files -= len(l.all[at].files)
	}
	kept := files[:min(len(files), maxFiles-l.files)]
	l.files += len(kept)
	l.all[at] = &listing{source: s, project: project, page: *p, files: kept, cut: len(files) - len(kept)}
	l.all[at].page.links = nil
}

// Listings is what the indexes listed for a project, by its normalised name, in
// the order of the first answers. Nothing is asked for it.
func (g *Gateway) Listings(project string) []evidence.IndexProject {
	g.listings.mu.Lock()
	defer g.listings.mu.Unlock()
	var out []evidence.IndexProject
	for _, l := range g.listings.all {
		if l.project == project {
			out = append(out, l.describe())
		}
	}
	return out
}

func (l *listing) describe() evidence.IndexProject {
	p := evidence.IndexProject{
		Name: l.project, Index: l.source.name, Format: l.page.format, APIVersion: cut(l.page.version),
		Status: cut(l.page.status), StatusReason: cut(l.page.reason), Cut: l.cut,
		Files: make([]evidence.IndexFile, 0, len(l.files)),
	}
	_ = json.Unmarshal(l.page.versions, &p.Versions) // parsePage has kept a list of strings, or nothing
	for _, e := range l.files {
		p.Files = append(p.Files, evidence.IndexFile{
			Filename: strings.ToValidUTF8(e.link.filename, "\uFFFD"), Digests: digests(e.link.hashes), URL: plainURL(e.link.url), Size: e.link.size,
			UploadTime: cut(e.link.uploadTime), Yanked: cut(e.link.yankedText()), Provenance: e.link.provenance,
		})
	}
	return p
}
