package egress

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"pip-witness/evidence"
)

// Limits on what is kept of the pages beside their files.
const (
	maxListed      = 20_000 // files and versions of one project each
	maxVersionText = 200    // bytes; a longer one is no version
)

// listing is what one index listed for a project. Its files are those of the
// table that the inside asks from, so that keeping it costs a pointer a file.
type listing struct {
	source  *source
	project evidence.IndexProject // without its files
	files   []*entry
}

// listings are kept for the run. Files and versions are bounded as the table is,
// since pages may list the same ones again and again.
type listings struct {
	mu   sync.Mutex
	all  []*listing
	size int // files and versions
}

func (l *listings) keep(s *source, project string, p *page, files []*entry) {
	// Indexes list in the order of versions: of too many the last are worth more.
	kept := &listing{source: s, files: files[max(0, len(files)-maxListed):], project: evidence.IndexProject{
		Name: project, Index: s.name, Format: p.format, APIVersion: cut(p.version), Status: cut(p.status), StatusReason: cut(p.reason),
		Cut: max(0, len(files)-maxListed),
	}}
	var versions []string
	if json.Unmarshal(p.versions, &versions) == nil { // parsePage has kept a list of strings, or nothing
		for _, v := range versions {
			if len(v) > maxVersionText || len(kept.project.Versions) >= maxListed {
				kept.project.Cut++
				continue
			}
			kept.project.Versions = append(kept.project.Versions, strings.ToValidUTF8(v, "\uFFFD"))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.all, func(k *listing) bool { return k.source == s && k.project.Name == project })
	if at >= 0 {
		l.size -= l.all[at].size()
		l.all = slices.Delete(l.all, at, at+1)
	}
	if len(l.all) >= maxRecords || l.size+kept.size() > maxFiles {
		return // whoever asks for it learns that it is not known
	}
	l.size += kept.size()
	l.all = append(l.all, kept)
}

func (l *listing) size() int { return len(l.files) + len(l.project.Versions) }

// Listings is what the indexes listed for a project, by its normalised name, in
// the order of the answers. Nothing is asked for it.
func (g *Gateway) Listings(project string) []evidence.IndexProject {
	g.listings.mu.Lock()
	defer g.listings.mu.Unlock()
	var out []evidence.IndexProject
	for _, l := range g.listings.all {
		if l.project.Name == project {
			out = append(out, l.describe())
		}
	}
	return out
}

func (l *listing) describe() evidence.IndexProject {
	p := l.project
	p.Files = make([]evidence.IndexFile, 0, len(l.files))
	for _, e := range l.files {
		p.Files = append(p.Files, evidence.IndexFile{
			Filename: strings.ToValidUTF8(e.link.filename, "\uFFFD"), Digests: digests(e.link.hashes), URL: plainURL(e.link.url), Size: e.link.size,
			UploadTime: cut(e.link.uploadTime), Yanked: cut(e.link.yankedText()), Provenance: e.link.provenance,
		})
	}
	return p
}
