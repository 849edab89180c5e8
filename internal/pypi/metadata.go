package pypi

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Metadata is the core metadata of one distribution, versions 1.0 to 2.4 (and
// the import names of 2.5). Single fields are empty when absent; of a single
// field that is repeated the first counts.
type Metadata struct {
	MetadataVersion        string
	Name                   string
	Version                string
	Dynamic                []string
	Platforms              []string
	SupportedPlatforms     []string
	Summary                string
	Description            string
	DescriptionContentType string
	Keywords               string
	HomePage               string
	DownloadURL            string
	Author                 string
	AuthorEmail            string
	Maintainer             string
	MaintainerEmail        string
	// License is the free text of the older field, LicenseExpression the SPDX
	// expression of metadata 2.4, LicenseFiles the paths below it.
	License           string
	LicenseExpression string
	LicenseFiles      []string
	Classifiers       []string
	// RequiresDist are requirements of PEP 508 as written.
	RequiresDist     []string
	RequiresPython   string
	RequiresExternal []string
	ProjectURLs      []ProjectURL
	ProvidesExtra    []string
	ProvidesDist     []string
	ObsoletesDist    []string
	// ImportNames and ImportNamespaces are what the author declares (PEP 794).
	ImportNames      []string
	ImportNamespaces []string
	// Defects are deviations from the format, in order; each names its line.
	Defects []string
}

// ProjectURL is one Project-URL field: "Label, https://…".
type ProjectURL struct{ Label, URL string }

// header is one unfolded field of a metadata file.
type header struct {
	name  string // lower case
	value string
	line  int
}

// ParseMetadata reads METADATA or PKG-INFO. Deviations that readers tolerate
// become defects; a file without name or version is an error.
func ParseMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if len(data) > maxMetadataSize {
		return m, fmt.Errorf("parse metadata: %d bytes, want at most %d", len(data), maxMetadataSize)
	}
	if !utf8.Valid(data) {
		m.Defects = append(m.Defects, "not valid UTF-8")
		data = []byte(strings.ToValidUTF8(string(data), "\uFFFD"))
	}
	headers, body, defects := parseHeaders(string(data))
	m.Defects = append(m.Defects, defects...)
	seen := map[string]bool{}
	for _, h := range headers {
		m.set(h, seen)
	}
	if strings.TrimSpace(body) != "" {
		m.Description = body
	}
	if m.Name == "" || m.Version == "" {
		return m, fmt.Errorf("parse metadata: Name %q, Version %q: want both", m.Name, m.Version)
	}
	return m, nil
}

// parseHeaders reads the fields up to the first empty line. As every reader of
// this format does, it ends them at a line that is neither field nor
// continuation, and says so.
func parseHeaders(text string) (headers []header, body string, defects []string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	// A field may be folded over millions of lines: they are joined once.
	var folded []string
	join := func() {
		if len(folded) > 0 {
			h := &headers[len(headers)-1]
			h.value += "\n" + strings.Join(folded, "\n")
			folded = folded[:0]
		}
	}
	defer join()
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		if line == "" {
			return headers, rest, defects
		}
		if (line[0] == ' ' || line[0] == '\t') && len(headers) > 0 {
			folded = append(folded, line)
			text = rest
			continue
		}
		join()
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			defects = append(defects, fmt.Sprintf("line %d: not a field: the fields end here", n))
			return headers, text, defects
		}
		headers = append(headers, header{name: strings.ToLower(name), value: strings.TrimSpace(value), line: n})
		text = rest
	}
	return headers, "", defects
}

// set stores one field.
func (m *Metadata) set(h header, seen map[string]bool) {
	if list := m.list(h.name); list != nil {
		*list = append(*list, unfold(h.value))
		return
	}
	if h.name == "project-url" {
		label, url, ok := strings.Cut(unfold(h.value), ",")
		if !ok {
			m.Defects = append(m.Defects, fmt.Sprintf("line %d: Project-URL without a label", h.line))
			label, url = "", label
		}
		m.ProjectURLs = append(m.ProjectURLs, ProjectURL{Label: strings.TrimSpace(label), URL: strings.TrimSpace(url)})
		return
	}
	field := m.field(h.name)
	switch {
	case field == nil:
	case seen[h.name]:
		m.Defects = append(m.Defects, fmt.Sprintf("line %d: %s again", h.line, h.name))
	case h.name == "description" || h.name == "license":
		seen[h.name] = true
		*field = unindent(h.value)
	default:
		seen[h.name] = true
		*field = unfold(h.value)
	}
}

// field returns the single-valued field of a header name, nil when there is none.
func (m *Metadata) field(name string) *string {
	switch name {
	case "metadata-version":
		return &m.MetadataVersion
	case "name":
		return &m.Name
	case "version":
		return &m.Version
	case "summary":
		return &m.Summary
	case "description":
		return &m.Description
	case "description-content-type":
		return &m.DescriptionContentType
	case "keywords":
		return &m.Keywords
	case "home-page":
		return &m.HomePage
	case "download-url":
		return &m.DownloadURL
	case "author":
		return &m.Author
	case "author-email":
		return &m.AuthorEmail
	case "maintainer":
		return &m.Maintainer
	case "maintainer-email":
		return &m.MaintainerEmail
	case "license":
		return &m.License
	case "license-expression":
		return &m.LicenseExpression
	case "requires-python":
		return &m.RequiresPython
	}
	return nil
}

// list returns the repeated field of a header name, nil when there is none.
func (m *Metadata) list(name string) *[]string {
	switch name {
	case "dynamic":
		return &m.Dynamic
	case "platform":
		return &m.Platforms
	case "supported-platform":
		return &m.SupportedPlatforms
	case "license-file":
		return &m.LicenseFiles
	case "classifier":
		return &m.Classifiers
	case "requires-dist":
		return &m.RequiresDist
	case "requires-external":
		return &m.RequiresExternal
	case "provides-extra":
		return &m.ProvidesExtra
	case "provides-dist":
		return &m.ProvidesDist
	case "obsoletes-dist":
		return &m.ObsoletesDist
	case "import-name":
		return &m.ImportNames
	case "import-namespace":
		return &m.ImportNamespaces
	}
	return nil
}

// unfold joins the lines of a folded field with single spaces.
func unfold(value string) string {
	if !strings.Contains(value, "\n") {
		return value
	}
	lines := strings.Split(value, "\n")
	kept := lines[:0]
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, " ")
}

// unindent keeps the lines of a text field and removes the indentation that
// metadata 1.x adds: eight spaces, or seven and a bar.
func unindent(value string) string {
	lines := strings.Split(value, "\n")
	for i, l := range lines[1:] {
		switch {
		case strings.HasPrefix(l, "       |"), strings.HasPrefix(l, "        "):
			lines[i+1] = l[8:]
		default:
			lines[i+1] = strings.TrimLeft(l, " \t")
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// WheelInfo is the WHEEL file of an installed wheel.
type WheelInfo struct {
	WheelVersion  string
	Generator     string
	RootIsPurelib bool
	Tags          []string
	Build         string
}

// ParseWheel reads a WHEEL file.
func ParseWheel(data []byte) (WheelInfo, error) {
	if len(data) > maxMetadataSize {
		return WheelInfo{}, fmt.Errorf("parse WHEEL: %d bytes, want at most %d", len(data), maxMetadataSize)
	}
	var w WheelInfo
	headers, _, _ := parseHeaders(strings.ToValidUTF8(string(data), "\uFFFD"))
	for _, h := range headers {
		value := unfold(h.value)
		switch h.name {
		case "wheel-version":
			w.WheelVersion = value
		case "generator":
			w.Generator = value
		case "root-is-purelib":
			w.RootIsPurelib = strings.EqualFold(value, "true")
		case "tag":
			w.Tags = append(w.Tags, value)
		case "build":
			w.Build = value
		}
	}
	if w.WheelVersion == "" {
		return w, fmt.Errorf("parse WHEEL: no Wheel-Version")
	}
	return w, nil
}
