package egress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// fileURL returns the URL under which a link of a page is served inside.
type fileURL func(l *link) (string, error)

// outPage and outFile are a page of PEP 691 as it is written.
type outPage struct {
	Meta struct {
		Version string `json:"api-version"`
	} `json:"meta"`
	Name     string          `json:"name"`
	Status   *outStatus      `json:"project-status,omitempty"`
	Versions json.RawMessage `json:"versions,omitempty"`
	Files    []outFile       `json:"files"`
}

type outStatus struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

type outFile struct {
	Filename       string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	RequiresPython string            `json:"requires-python,omitempty"`
	Yanked         any               `json:"yanked"`                  // true, false or the reason
	CoreMetadata   any               `json:"core-metadata,omitempty"` // true or the hashes
	OldMetadata    any               `json:"dist-info-metadata,omitempty"`
	Size           *int64            `json:"size,omitempty"`
	UploadTime     string            `json:"upload-time,omitempty"`
	Provenance     string            `json:"provenance,omitempty"`
}

// renderJSON writes a page of PEP 691 with every field that was understood.
func renderJSON(p *page, where fileURL) ([]byte, error) {
	out := outPage{Name: p.name, Versions: p.versions, Files: make([]outFile, 0, len(p.links))}
	out.Meta.Version = p.version
	if p.status != "" {
		out.Status = &outStatus{p.status, p.reason}
	}
	for i := range p.links {
		l := &p.links[i]
		u, err := where(l)
		if err != nil {
			return nil, err
		}
		f := outFile{
			Filename: l.filename, URL: u, Hashes: l.hashes, RequiresPython: l.requiresPython, Yanked: l.yanked,
			UploadTime: l.uploadTime, Provenance: l.provenance,
		}
		if l.yankedReason != "" {
			f.Yanked = l.yankedReason
		}
		if l.metadata {
			f.CoreMetadata = true
			if len(l.metadataHashes) > 0 {
				f.CoreMetadata = l.metadataHashes
			}
			f.OldMetadata = f.CoreMetadata
		}
		if l.size >= 0 {
			f.Size = &l.size
		}
		out.Files = append(out.Files, f)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write JSON page: %w", err)
	}
	return body, nil
}

// renderHTML writes a page of PEP 503.
func renderHTML(p *page, where fileURL) ([]byte, error) {
	var b bytes.Buffer
	attribute := func(name, value string) { fmt.Fprintf(&b, ` %s="%s"`, name, html.EscapeString(value)) }
	meta := func(name, content string) {
		b.WriteString("<meta")
		attribute("name", name)
		attribute("content", content)
		b.WriteString(">\n")
	}
	b.WriteString("<!DOCTYPE html>\n<html><head>\n")
	meta("pypi:repository-version", p.version)
	if p.status != "" {
		meta("pypi:project-status", p.status)
	}
	if p.reason != "" {
		meta("pypi:project-status-reason", p.reason)
	}
	b.WriteString("</head><body>\n")
	for i := range p.links {
		l := &p.links[i]
		u, err := where(l)
		if err != nil {
			return nil, err
		}
		if !strings.Contains(u, "#") {
			u += bestHash(l.hashes)
		}
		b.WriteString("<a")
		attribute("href", u)
		if l.requiresPython != "" {
			attribute("data-requires-python", l.requiresPython)
		}
		if l.yanked {
			attribute("data-yanked", l.yankedReason)
		}
		if l.metadata {
			offer := "true"
			if hash := bestHash(l.metadataHashes); hash != "" {
				offer = hash[1:]
			}
			attribute("data-core-metadata", offer)
			attribute("data-dist-info-metadata", offer)
		}
		if l.provenance != "" {
			attribute("data-provenance", l.provenance)
		}
		fmt.Fprintf(&b, ">%s</a><br>\n", html.EscapeString(l.filename))
	}
	b.WriteString("</body></html>\n")
	return b.Bytes(), nil
}

// bestHash is the fragment "#name=value" of the hash that is compared first.
func bestHash(hashes map[string]string) string {
	for _, name := range append([]string{"sha256", "sha512", "sha384", "sha224", "sha1", "md5"}, slices.Sorted(maps.Keys(hashes))...) {
		if value := hashes[name]; value != "" {
			return "#" + name + "=" + value
		}
	}
	return ""
}

// acceptsJSON says whether a client prefers the JSON form, by its Accept header.
func acceptsJSON(accept string) bool {
	best, json := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		weight := 1.0
		if _, q, ok := strings.Cut(strings.ReplaceAll(parameters, " ", ""), "q="); ok {
			weight, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
		}
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case typeJSON, "application/vnd.pypi.simple.latest+json":
			json = max(json, weight)
		case typeHTML, typeText, "application/vnd.pypi.simple.latest+html":
			best = max(best, weight)
		}
	}
	return json > 0 && json >= best
}
