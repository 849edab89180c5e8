package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"

	"pip-witness/evidence"
)

// Media types of the simple repository API (PEP 691).
const (
	typeJSON = "application/vnd.pypi.simple.v1+json"
	typeHTML = "application/vnd.pypi.simple.v1+html"
	typeText = "text/html"
)

// Forms of a page, as they are recorded.
const (
	formatJSON  = "json"
	formatHTML  = "html"
	formatLocal = "local"
)

// page is a project or find-links page, whatever its form was.
type page struct {
	name     string
	format   string // "json", "html" or "local"
	version  string // of the API: "1.0" when not given
	status   string // project status (PEP 792), empty when not given
	reason   string
	versions json.RawMessage // the list as given, nil when not given
	links    []link
}

// link is one file of a page, as the index describes it.
type link struct {
	url            *url.URL // absolute, without fragment
	fragment       string   // hash, egg and subdirectory parts, without "#"
	filename       string
	hashes         map[string]string
	requiresPython string
	yanked         bool
	yankedReason   string
	metadata       bool // core metadata is offered (PEP 658)
	metadataHashes map[string]string
	size           int64 // bytes; -1 when not given
	uploadTime     string
	provenance     string // without credentials and parameters
}

var (
	errPageType  = errors.New("neither a JSON nor an HTML page")
	errPageFiles = fmt.Errorf("more than %d files", maxPageFiles)
)

// parsePage reads a page that was found at base, the URL after redirects.
func parsePage(contentType string, body []byte, base *url.URL) (*page, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return nil, fmt.Errorf("%w: content type %q", errPageType, cut(contentType))
	}
	clean := *base
	clean.User, clean.Fragment, clean.RawFragment = nil, "", ""
	var p *page
	format := formatHTML
	switch {
	case kind == typeJSON:
		format = formatJSON
		p, err = parseJSON(body, &clean)
	case kind == typeHTML || kind == typeText:
		p, err = parseHTML(body, &clean, parameters["charset"])
	default:
		return nil, fmt.Errorf("%w: content type %q", errPageType, cut(contentType))
	}
	if err != nil {
		return nil, err
	}
	p.format = format
	if p.version == "" {
		p.version = "1.0"
	}
	return p, nil
}

// jsonPage is a page of PEP 691. Fields of a file that are not of the type
// that they should be are taken as absent, as pip does.
type jsonPage struct {
	Meta struct {
		Version string          `json:"api-version"`
		Status  json.RawMessage `json:"project-status"`
	} `json:"meta"`
	Name     json.RawMessage `json:"name"`
	Status   json.RawMessage `json:"project-status"`
	Versions json.RawMessage `json:"versions"`
	Files    []jsonFile      `json:"files"`
}

type jsonFile struct {
	URL            json.RawMessage `json:"url"`
	Hashes         json.RawMessage `json:"hashes"`
	RequiresPython json.RawMessage `json:"requires-python"`
	Yanked         json.RawMessage `json:"yanked"`
	CoreMetadata   json.RawMessage `json:"core-metadata"`
	OldMetadata    json.RawMessage `json:"dist-info-metadata"`
	Size           json.RawMessage `json:"size"`
	UploadTime     json.RawMessage `json:"upload-time"`
	Provenance     json.RawMessage `json:"provenance"`
}

func parseJSON(body []byte, base *url.URL) (*page, error) {
	var in jsonPage
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("read JSON page: %w", err)
	}
	if len(in.Files) > maxPageFiles {
		return nil, errPageFiles
	}
	p := &page{name: text(in.Name), version: in.Meta.Version}
	var versions []string
	if json.Unmarshal(in.Versions, &versions) == nil && versions != nil {
		p.versions = in.Versions
	}
	for _, raw := range []json.RawMessage{in.Meta.Status, in.Status} {
		var status struct{ Status, Reason string }
		if json.Unmarshal(raw, &status) == nil && status.Status != "" {
			p.status, p.reason = status.Status, status.Reason
		}
	}
	for _, f := range in.Files {
		l, ok := newLink(base, text(f.URL))
		if !ok {
			continue
		}
		for name, value := range hashSet(f.Hashes) {
			l.hashes[name] = value
		}
		l.requiresPython = text(f.RequiresPython)
		l.yankedReason = text(f.Yanked)
		l.yanked = l.yankedReason != "" || string(f.Yanked) == "true"
		l.metadata, l.metadataHashes = metadataOffer(f.CoreMetadata, f.OldMetadata)
		l.uploadTime = text(f.UploadTime)
		l.provenance = reference(base, text(f.Provenance))
		if size, err := strconv.ParseInt(string(f.Size), 10, 64); err == nil && size >= 0 {
			l.size = size
		}
		p.links = append(p.links, l)
	}
	return p, nil
}

// text is the string that raw holds, or the empty one.
func text(raw json.RawMessage) string {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : n-1]) // the decoder has checked the syntax
	}
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// hashSet reads {"sha256": "…"}; entries that are no strings are left out.
func hashSet(raw json.RawMessage) map[string]string {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	var in map[string]json.RawMessage
	if json.Unmarshal(raw, &in) != nil {
		return nil
	}
	out := make(map[string]string)
	for name, value := range in {
		if s := text(value); s != "" {
			out[strings.ToLower(name)] = strings.ToLower(s)
		}
	}
	return out
}

// metadataOffer reads core-metadata or, when it is absent, the older name
// (PEP 714): true, false or a set of hashes.
func metadataOffer(current, old json.RawMessage) (offered bool, hashes map[string]string) {
	raw := current
	if raw == nil || string(raw) == "null" {
		raw = old
	}
	if hashes := hashSet(raw); hashes != nil {
		return true, hashes
	}
	return string(raw) == "true", nil
}

// newLink resolves a file's URL. Links to what pip does not install from, to
// other protocols, and from a page of the network to a local file are not links.
func newLink(base *url.URL, raw string) (link, bool) {
	if raw == "" {
		return link{}, false
	}
	ref, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return link{}, false
	}
	u := base.ResolveReference(ref)
	switch {
	case u.Scheme == "file" && base.Scheme == "file":
	case (u.Scheme == "https" || u.Scheme == "http") && u.Host != "":
	default:
		return link{}, false
	}
	name := path.Base(u.Path)
	if !archiveName(name) || strings.ContainsAny(name, "/\\\x00") {
		return link{}, false
	}
	l := link{filename: name, hashes: make(map[string]string), size: -1}
	l.fragment = keptFragment(u.EscapedFragment())
	for part := range strings.SplitSeq(l.fragment, "&") {
		if name, value, ok := strings.Cut(part, "="); ok && hashName(name) {
			l.hashes[name] = strings.ToLower(value)
		}
	}
	u.Fragment, u.RawFragment = "", ""
	l.url = u
	return l, true
}

// keptFragment keeps the parts of a fragment that mean something to pip.
func keptFragment(fragment string) string {
	var kept []string
	for part := range strings.SplitSeq(fragment, "&") {
		name, _, ok := strings.Cut(part, "=")
		if ok && (hashName(name) || name == "egg" || name == "subdirectory") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// reference resolves a URL that is kept as a text only.
func reference(base *url.URL, raw string) string {
	ref, err := url.Parse(raw)
	if err != nil || raw == "" {
		return ""
	}
	u := base.ResolveReference(ref)
	if u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.RawQuery = ""
	return plainURL(u)
}

// parseHTML reads a page of PEP 503: the first base, and every anchor.
func parseHTML(body []byte, base *url.URL, charset string) (*page, error) {
	p := new(page)
	z := html.NewTokenizer(bytes.NewReader(decode(body, charset)))
	z.SetMaxBuf(1 << 20) // 1 MiB: one tag
	seenBase := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			if errors.Is(z.Err(), html.ErrBufferExceeded) {
				return nil, fmt.Errorf("read HTML page: %w", z.Err())
			}
			return p, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			tag, attributes := attributesOf(z)
			switch {
			case tag == "base" && !seenBase:
				if ref, err := url.Parse(attributes["href"]); err == nil && attributes["href"] != "" {
					base, seenBase = base.ResolveReference(ref), true
					base.User = nil
				}
			case tag == "meta":
				p.describe(attributes["name"], attributes["content"])
			case tag == "a":
				if l, ok := anchor(base, attributes); ok {
					p.links = append(p.links, l)
				}
			}
			if len(p.links) > maxPageFiles {
				return nil, errPageFiles
			}
		}
	}
}

// decode turns the two encodings that indexes use into UTF-8.
func decode(body []byte, charset string) []byte {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin-1", "latin1", "windows-1252":
		out := make([]rune, len(body))
		for i, b := range body {
			out[i] = rune(b)
		}
		return []byte(string(out))
	}
	return body
}

// attributesOf reads the tag that the tokenizer stands at. Of an attribute that
// is given twice the last one counts, as for pip.
func attributesOf(z *html.Tokenizer) (tag string, attributes map[string]string) {
	name, more := z.TagName()
	tag = string(name)
	if tag != "a" && tag != "base" && tag != "meta" {
		return tag, nil
	}
	attributes = make(map[string]string)
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		attributes[string(key)] = string(value)
	}
	return tag, attributes
}

// describe takes what a meta element says of the page.
func (p *page) describe(name, content string) {
	switch name {
	case "pypi:repository-version":
		p.version = content
	case "pypi:project-status":
		p.status = content
	case "pypi:project-status-reason":
		p.reason = content
	}
}

// anchor reads one link of an HTML page.
func anchor(base *url.URL, attributes map[string]string) (link, bool) {
	l, ok := newLink(base, attributes["href"])
	if !ok {
		return l, false
	}
	l.requiresPython = attributes["data-requires-python"]
	l.yankedReason, l.yanked = attributes["data-yanked"]
	offer, ok := attributes["data-core-metadata"]
	if !ok {
		offer = attributes["data-dist-info-metadata"]
	}
	if name, value, hashed := strings.Cut(offer, "="); hashed {
		l.metadata, l.metadataHashes = true, map[string]string{strings.ToLower(name): strings.ToLower(value)}
	} else {
		l.metadata = offer == "true"
	}
	l.provenance = reference(base, attributes["data-provenance"])
	return l, true
}

// yankedText is how a record names what the index said.
func (l *link) yankedText() string {
	if l.yanked && l.yankedReason == "" {
		return "true"
	}
	return l.yankedReason
}

// digests is a hash set as a record holds it, nil when empty.
func digests(hashes map[string]string) evidence.DigestSet {
	if len(hashes) == 0 {
		return nil
	}
	set := make(evidence.DigestSet, len(hashes))
	for name, value := range hashes {
		set[name] = value
	}
	return set
}
