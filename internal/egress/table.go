package egress

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"pip-witness/evidence"
)

// entry is one file that the sandbox may ask for.
type entry struct {
	number int
	link   link
	index  string // name of the source; empty for a URL of a requirement
	status string // of the project
	// bad is set once the bytes were not the announced ones: the file is not
	// fetched again.
	bad atomic.Bool
}

// fileTable numbers the files of all pages.
type fileTable struct {
	mu      sync.RWMutex
	entries []*entry
	byKey   map[string]*entry
}

var errTooManyFiles = errors.New("the indexes list more files than are kept for a run")

// add returns the entry of a link, the same one for the same description.
func (t *fileTable) add(l link, index, status string) (*entry, error) {
	key := index + "\x00" + l.url.String() + "\x00" + l.fragment + "\x00" + flat(l.hashes) + "\x00" + flat(l.metadataHashes)
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		return e, nil
	}
	if len(t.entries) >= maxFiles {
		return nil, errTooManyFiles
	}
	if t.byKey == nil {
		t.byKey = make(map[string]*entry)
	}
	e := &entry{number: len(t.entries), link: l, index: index, status: status}
	t.entries = append(t.entries, e)
	t.byKey[key] = e
	return e, nil
}

func flat(hashes map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		b.WriteString(name + "=" + hashes[name] + " ")
	}
	return b.String()
}

// get returns an entry by its number, nil when there is none.
func (t *fileTable) get(n int) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n < 0 || n >= len(t.entries) {
		return nil
	}
	return t.entries[n]
}

// path is the entry's path below the secret one, without fragment.
func (e *entry) path() string {
	return "/f/" + strconv.Itoa(e.number) + "/" + url.PathEscape(e.link.filename)
}

// ErrDirectURL is a URL that cannot be served as a direct one.
var ErrDirectURL = errors.New("not an http or https URL of a distribution file")

// Register makes a URL that the user's own requirement names (name @ https://…)
// available inside and returns the URL to use there, its fragment kept. Nothing
// is fetched yet. Of a URL that has credentials the inside sees none. Other
// schemes and URLs that do not name a distribution file are refused with an
// error that wraps [ErrDirectURL].
func (g *Gateway) Register(raw string) (gatewayURL string, err error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("direct URL %q: %w", evidence.RedactURL(raw), ErrDirectURL)
	}
	l, ok := newLink(u, u.String())
	if !ok {
		return "", fmt.Errorf("direct URL %q: %w", evidence.RedactURL(raw), ErrDirectURL)
	}
	e, err := g.files.add(l, "", "")
	if err != nil {
		return "", err
	}
	return g.insideURL(e), nil
}

// insideURL is the absolute URL of an entry inside, with its fragment.
func (g *Gateway) insideURL(e *entry) string {
	u := g.base + e.path()
	if e.link.fragment != "" {
		u += "#" + e.link.fragment
	}
	return u
}

// RealURL returns the real URL, without credentials, of a URL that the inside
// saw, and whether it is one. A fragment is kept.
func (g *Gateway) RealURL(gatewayURL string) (string, bool) {
	rest, ok := strings.CutPrefix(gatewayURL, g.base+"/")
	if !ok {
		return "", false
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	if hasFragment {
		fragment = "#" + fragment
	}
	head, tail, _ := strings.Cut(rest, "/")
	if head == "f" {
		number, name, _ := strings.Cut(tail, "/")
		n, err := strconv.Atoi(number)
		e := g.files.get(n)
		if err != nil || e == nil {
			return "", false
		}
		u := *e.link.url
		if unescaped, err := url.PathUnescape(name); err == nil && unescaped == e.link.filename+".metadata" {
			u = *metadataURL(&u)
		}
		return plainURL(&u) + fragment, true
	}
	if head == "g" {
		number, name, _ := strings.Cut(tail, "/")
		n, err := strconv.Atoi(number)
		if at := g.sites.get(n); err == nil && at != nil {
			return at.prefix + name + fragment, true
		}
	}
	for _, s := range g.sources {
		if s.id() != head {
			continue
		}
		if name := path.Base(strings.TrimPrefix(tail, "simple/")); s.kind == kindIndex && strings.HasPrefix(tail, "simple/") && name != "." {
			return plainURL(s.project(name)), true
		}
		return s.name, true
	}
	return "", false
}

// RealText replaces the gateway's URLs in what the installer printed by the
// real ones, and the secret path wherever else it stands.
func (g *Gateway) RealText(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, g.base+"/")
		b.WriteString(before)
		if !found {
			return strings.ReplaceAll(b.String(), g.secret, "SECRET")
		}
		end := strings.IndexAny(after, " \t\r\n\"'<>(),;|")
		if end < 0 {
			end = len(after)
		}
		inside := g.base + "/" + after[:end]
		if real, ok := g.RealURL(inside); ok {
			b.WriteString(real)
		} else {
			b.WriteString(inside)
		}
		s = after[end:]
	}
}
