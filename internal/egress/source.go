package egress

import (
	"errors"
	"fmt"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pip-witness/evidence"
)

type sourceKind string

const (
	kindIndex sourceKind = "i"
	kindLinks sourceKind = "l"
)

// ErrLocation is an index or find-links location that cannot be used at all.
var ErrLocation = errors.New("not a URL, a file or a directory")

// source is one configured index or find-links location.
type source struct {
	kind   sourceKind
	number int
	path   string   // below the secret path: "/i0/simple/", "/l0/"
	url    *url.URL // with credentials; file scheme when local
	local  bool
	name   string // without credentials, as it is recorded
}

func (s *source) id() string { return string(s.kind) + strconv.Itoa(s.number) }

// project is the URL of a project's page.
func (s *source) project(name string) *url.URL {
	u := *s.url
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+"/"+name+"/", ""
	return &u
}

func newSources(c Config) ([]*source, error) {
	var all []*source
	for n, location := range c.Indexes {
		s, err := newSource(c, location)
		if err != nil {
			return nil, fmt.Errorf("index %q: %w", evidence.RedactURL(location), err)
		}
		s.kind, s.number, s.path = kindIndex, n, "/i"+strconv.Itoa(n)+"/simple/"
		all = append(all, s)
	}
	for n, location := range c.FindLinks {
		s, err := newSource(c, location)
		if err != nil {
			return nil, fmt.Errorf("find-links %q: %w", evidence.RedactURL(location), err)
		}
		s.kind, s.number, s.path = kindLinks, n, "/l"+strconv.Itoa(n)+"/"
		all = append(all, s)
	}
	return all, nil
}

// newSource reads a location as pip does: what exists as a path is one, then
// come URLs. A path that does not exist is kept: pip warns of it and goes on.
func newSource(c Config, location string) (*source, error) {
	path := location
	if rest, ok := strings.CutPrefix(location, "~/"); ok {
		path = filepath.Join(variable(c.Environ, "HOME"), rest)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.WorkDir, path)
	}
	_, err := os.Stat(path)
	if err == nil || !strings.Contains(location, ":") {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		u := &url.URL{Scheme: "file", Path: abs}
		return &source{url: u, local: true, name: u.String()}, nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return nil, ErrLocation // the parser's own text would quote a password
	}
	switch {
	case u.Scheme == "file":
		return &source{url: u, local: true, name: u.String()}, nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		u.Fragment = ""
		return &source{url: u, name: plainURL(u)}, nil
	}
	return nil, ErrLocation
}

// plainURL is a URL as it is recorded: no user information, no secret
// parameters, no fragment.
func plainURL(u *url.URL) string {
	plain := *u
	plain.User, plain.Fragment, plain.RawFragment = nil, "", ""
	return evidence.RedactURL(plain.String())
}

// variable returns the value of a variable in environ, the last one given.
func variable(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// archiveName says whether a file is of a kind that pip installs from.
func archiveName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{
		".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma",
	}, func(suffix string) bool { return strings.HasSuffix(name, suffix) && len(name) > len(suffix) })
}

// htmlName says whether pip takes a local file for a page.
func htmlName(name string) bool {
	kind, _, _ := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name)))
	return kind == "text/html"
}
