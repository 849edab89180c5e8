package pipinstall

import (
	"context"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"pip-witness/evidence"
	"pip-witness/internal/pypi"
)

const maxCandidates = 100 // files that were not installed

// Sources is where the installer was told to look for distributions, from the
// command line, the environment, configuration and requirements files alike. URLs
// are without credentials.
type Sources struct {
	// Requirements are those of the user, as given.
	Requirements []string `json:"requirements"`
	// Indexes are in the order in which the installer asks them; empty with NoIndex.
	Indexes []Source `json:"indexes"`
	// FindLinks are further places with links to files: URLs, or paths of this machine.
	FindLinks []Source `json:"findLinks,omitempty"`
	NoIndex   bool     `json:"noIndex,omitempty"`
	// TrustedHosts are "host" or "host:port" whose certificate the installer does not
	// verify.
	TrustedHosts []string `json:"trustedHosts,omitempty"`
	// Problems are pages and files that could not be had, in order: kinds are digest-mismatch
	// (the bytes are not those that the index announced: they were withheld), tls,
	// unreachable, unauthorized, upstream-error, not-found.
	Problems []evidence.IndexProblem `json:"problems,omitempty"`
	// DirectURLs are the URLs in requirements of the user and of the distributions.
	DirectURLs []DirectURL `json:"directUrls,omitempty"`
}

// Source is one index or find-links location.
type Source struct {
	URL string `json:"url"`
	// Scope is default for the index that the installer asks when nothing is configured,
	// private for one whose host no public name server knows or that lies on this machine,
	// other for the rest.
	Scope string `json:"scope"`
	// Cleartext is true for http to another machine; Unverified for one of TrustedHosts.
	Cleartext  bool `json:"cleartext,omitempty"`
	Unverified bool `json:"unverified,omitempty"`
}

// Scopes of sources.
const (
	scopeDefault = "default"
	scopePrivate = "private"
	scopeOther   = "other"
)

// Offer is an index that lists files of a project.
type Offer struct {
	Index string `json:"index"`
	Scope string `json:"scope"`
	// Releases is how many versions it lists, Highest the highest of them.
	Releases int    `json:"releases"`
	Highest  string `json:"highest,omitempty"`
}

// DirectURL is a requirement that names a URL instead of a version.
type DirectURL struct {
	// Package is the distribution that requires it, normalised; empty for the user.
	Package string `json:"package,omitempty"`
	Project string `json:"project"`
	URL     string `json:"url"`
	Host    string `json:"host,omitempty"`
	// Like is a host of this installation's own indexes and files for which the host
	// could be taken, and is not.
	Like string `json:"like,omitempty"`
}

// Candidate is a distribution file that nothing was installed from.
type Candidate struct {
	File
	// Name, Version and RequiresDist are from its metadata; those of the file name, and
	// none, where that cannot be read.
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	RequiresDist []string `json:"requiresDist,omitempty"`
	// EntryPoints are its console and GUI scripts, as "name = module:object".
	EntryPoints []string `json:"entryPoints,omitempty"`
	// WheelStructure is nil for an sdist, and where the bytes are not at hand.
	WheelStructure *WheelStructure `json:"wheelStructure,omitempty"`
}

// whereFrom records the sources, and the files that were not installed.
func (c *collector) whereFrom(ctx context.Context) error {
	in := c.in.Install
	if in == nil {
		return nil // said in readReport
	}
	s := &Sources{Requirements: list(in.Requirements), Indexes: []Source{}, NoIndex: in.NoIndex, TrustedHosts: in.TrustedHosts, Problems: in.Problems}
	for _, u := range in.Indexes {
		source := sourceOf(u, in)
		if slices.Contains(in.FindLinks, u) {
			s.FindLinks = append(s.FindLinks, source)
		} else {
			s.Indexes = append(s.Indexes, source)
		}
	}
	c.predicate.Sources = s
	for i, d := range c.env.Distributions {
		c.predicate.Packages[i].OfferedBy = c.offers(d.Key)
	}
	if err := c.candidates(ctx); err != nil {
		return err
	}
	c.directURLs(s)
	return nil
}

// sourceOf describes one location.
func sourceOf(location string, in *evidence.Installation) Source {
	s := Source{URL: location, Scope: scopeOther}
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		s.Scope = scopePrivate
		return s
	}
	host := u.Hostname()
	switch {
	case in.DefaultIndex != "" && sameIndex(location, in.DefaultIndex):
		s.Scope = scopeDefault
	case privateHost(host):
		s.Scope = scopePrivate
	}
	s.Cleartext = u.Scheme == "http" && !loopback(host)
	s.Unverified = slices.ContainsFunc(in.TrustedHosts, func(t string) bool {
		return strings.EqualFold(t, host) || strings.EqualFold(t, u.Host)
	}) && !loopback(host)
	return s
}

func sameIndex(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// privateHost tells hosts that are somebody's own: private addresses, names
// without a dot, and names below domains that the public tree does not have (RFC
// 6761, RFC 6762, RFC 8375, and those that ICANN reserved for private use).
func privateHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") {
		return true
	}
	for _, domain := range []string{".internal", ".local", ".localdomain", ".lan", ".corp", ".home", ".intranet", ".private", ".home.arpa", ".test", ".example", ".invalid"} {
		if strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}

// offers are the indexes that list files of a project.
func (c *collector) offers(key string) []Offer {
	var out []Offer
	for _, p := range c.in.Install.Projects {
		if p.Name != key || len(p.Files) == 0 {
			continue
		}
		o := Offer{Index: p.Index, Scope: sourceOf(p.Index, c.in.Install).Scope}
		var highest pypi.Version
		seen := map[string]bool{}
		for _, f := range p.Files {
			name, v, _, ok := pypi.FileIdentity(f.Filename)
			if !ok || name != key || seen[v.String()] {
				continue
			}
			if seen[v.String()] = true; o.Releases == 0 || v.Compare(highest) > 0 {
				highest = v
			}
			o.Releases++
		}
		if o.Releases > 0 {
			o.Highest = highest.String()
			out = append(out, o)
		}
	}
	return out
}

// candidates describes the files that were at hand and that nothing was installed
// from: the installer refuses an odd wheel, and a failed installation leaves no
// metadata, which must not be the way past a look at it.
func (c *collector) candidates(ctx context.Context) error {
	used := map[string]bool{}
	for _, o := range c.origins {
		used[o.Digests["sha256"]] = true
	}
	var left []pypi.Origin
	add := func(o pypi.Origin) {
		if sum := o.Digests["sha256"]; !used[sum] {
			used[sum] = true
			left = append(left, o)
		}
	}
	in := c.in.Install
	for i := range in.LocalFiles {
		if f := &in.LocalFiles[i]; f.Kind == "wheel" || f.Kind == "sdist" {
			add(pypi.Origin{Filename: path.Base(f.Path), URL: "file:" + f.Path, Digests: f.Digests, Size: f.Size, Witnessed: true, Local: f})
		}
	}
	for i := range in.Downloads {
		if d := &in.Downloads[i]; !d.Metadata {
			add(pypi.Origin{Filename: d.Filename, URL: d.URL, Index: d.Index, Digests: d.Digests, Size: d.Size, Witnessed: true, Download: d})
		}
	}
	if len(left) > maxCandidates {
		c.notExamined("notInstalled", "%d files: %d are listed", len(left), maxCandidates)
		left = left[:maxCandidates]
	}
	for _, o := range left {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.predicate.NotInstalled = append(c.predicate.NotInstalled, c.candidate(o))
	}
	return nil
}

func (c *collector) candidate(o pypi.Origin) Candidate {
	out := Candidate{File: fileOf(o)}
	name, version, wheel, ok := pypi.FileIdentity(o.Filename)
	if ok {
		out.Name, out.Version = name, version.String()
	}
	if !wheel {
		return out
	}
	f, size, err := c.distributionFile(o)
	if err != nil {
		c.notExamined("notInstalled[].wheelStructure of "+clip(o.Filename), "%v", err)
		return out
	}
	defer f.Close()
	w, structure := c.readWheel(o.Filename, f, size)
	out.WheelStructure = structure
	if w == nil {
		return out
	}
	if w.Metadata.Name != "" {
		out.Name, out.Version = clip(w.Metadata.Name), clip(w.Metadata.Version)
	}
	out.RequiresDist = bounded(c, "notInstalled[].requiresDist of "+clip(o.Filename), w.Metadata.RequiresDist)
	for _, e := range w.EntryPoints {
		if e.Group == "console_scripts" || e.Group == "gui_scripts" {
			out.EntryPoints = append(out.EntryPoints, clip(e.Name+" = "+e.Value))
		}
	}
	out.EntryPoints = cut(c, "notInstalled[].entryPoints of "+clip(o.Filename), out.EntryPoints)
	return out
}

// bounded clips and cuts a list of texts.
func bounded(c *collector, what string, texts []string) []string {
	var out []string
	for _, t := range cut(c, what, texts) {
		out = append(out, clip(t))
	}
	return out
}

// directURLs are the requirements that name a URL.
func (c *collector) directURLs(s *Sources) {
	own := c.ownHosts(s)
	add := func(dependent, text string) {
		r, err := pypi.ParseRequirement(text)
		if err != nil || r.URL == "" {
			return // the user's paths and URLs without a name are no requirements of this form
		}
		d := DirectURL{Package: dependent, Project: pypi.Normalize(r.Name), URL: clip(evidence.RedactURL(r.URL))}
		if u, err := url.Parse(strings.TrimPrefix(r.URL, "git+")); err == nil {
			d.Host = clip(strings.ToLower(u.Hostname()))
			d.Like = likeHost(d.Host, own)
		}
		s.DirectURLs = append(s.DirectURLs, d)
	}
	for _, text := range s.Requirements {
		add("", text)
	}
	for _, p := range c.predicate.Packages {
		for _, text := range p.RequiresDist {
			add(pypi.Normalize(p.Name), text)
		}
	}
	for _, p := range c.predicate.NotInstalled {
		for _, text := range p.RequiresDist {
			add(pypi.Normalize(p.Name), text)
		}
	}
	s.DirectURLs = cut(c, "sources.directUrls", s.DirectURLs)
}

// ownHosts are the hosts of the indexes, of the pages' files and of the index that
// is asked when nothing is configured.
func (c *collector) ownHosts(s *Sources) []string {
	var out []string
	add := func(location string) {
		u, err := url.Parse(location)
		if err != nil || u.Hostname() == "" || loopback(u.Hostname()) {
			return
		}
		if host := strings.ToLower(u.Hostname()); !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	add(c.in.Install.DefaultIndex)
	for _, i := range s.Indexes {
		add(i.URL)
	}
	for _, d := range c.in.Install.Downloads {
		if d.Index != "" {
			add(d.URL)
		}
	}
	return out
}

// likeHost is the host of the list that a host could be taken for, empty for none
// and for one of the list. The last two labels are compared.
func likeHost(host string, own []string) string {
	const near = 2 // keystrokes
	domain := lastLabels(host)
	for _, o := range own {
		if host == o || domain == lastLabels(o) {
			return ""
		}
	}
	for _, o := range own {
		if d := lastLabels(o); len(d) >= 8 && max(len(d)-len(domain), len(domain)-len(d)) <= near && levenshtein.ComputeDistance(domain, d) <= near {
			return o
		}
	}
	return ""
}

func lastLabels(host string) string {
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
