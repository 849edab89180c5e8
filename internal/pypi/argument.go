package pypi

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// ArgumentKind is what a requirement on a command line or in a requirements
// file stands for.
type ArgumentKind string

// Kinds of requirements.
const (
	ArgumentName      ArgumentKind = "name"      // project by name, from an index
	ArgumentURL       ArgumentKind = "url"       // distribution file at an http or https URL
	ArgumentVCS       ArgumentKind = "vcs"       // checkout, such as git+https
	ArgumentWheel     ArgumentKind = "wheel"     // local wheel
	ArgumentSdist     ArgumentKind = "sdist"     // local source distribution
	ArgumentDirectory ArgumentKind = "directory" // local project directory
)

// Argument is one classified requirement.
type Argument struct {
	Kind ArgumentKind
	// Text is the requirement as given.
	Text string
	// Name is the project name as written or as the file name states it, "" when
	// only a build can tell.
	Name   string
	Extras []string
	// Requirement is set when the text is a requirement of PEP 508.
	Requirement *Requirement
	// URL is set for url and vcs, as given; Host is its host without port, "" for
	// a repository of this machine.
	URL, Host string
	// Checkout is set for vcs.
	Checkout *Checkout
	// Path is set for wheel, sdist and directory: absolute, cleaned.
	Path     string
	Editable bool
	Marker   *Marker
}

// InputError is a problem with what the user gave. Hint says what to do.
type InputError struct {
	Err  error
	Hint string
	// File and Line say where; File is empty for the command line.
	File string
	Line int
}

func (e *InputError) Error() string {
	if e.File != "" {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return e.Err.Error()
}

func (e *InputError) Unwrap() error { return e.Err }

// ClassifyArgument decides what a requirement stands for, by the installer's
// own order: URL, then existing path, then name. Relative paths are taken from
// dir. All errors are [InputError].
func ClassifyArgument(text, dir string, editable bool) (Argument, error) {
	a := Argument{Text: text, Editable: editable}
	text = strings.TrimSpace(text)
	if text == "" {
		return a, inputError("name a project, for example requests, or a wheel, sdist or directory", "empty requirement")
	}
	if len(text) > maxRequirementLen {
		return a, inputError("give a shorter requirement", "requirement of %d bytes, want at most %d", len(text), maxRequirementLen)
	}
	if strings.HasPrefix(text, "-") {
		return a, inputError("write options before the requirements, or the requirement as ./NAME", "requirement %q starts with '-'", text)
	}
	if scheme := urlScheme(text); scheme != "" {
		return a, a.fromURL(text, scheme)
	}
	body, extras, err := a.splitPath(text)
	if err != nil {
		return a, err
	}
	path := body
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	looksLikePath := strings.ContainsRune(body, filepath.Separator) || strings.HasPrefix(body, ".")
	switch {
	case err == nil && info.IsDir() && (looksLikePath || editable):
		a.Extras = extras
		return a, a.fromDirectory(path)
	case err == nil && info.Mode().IsRegular() && isArchive(body):
		a.Extras = extras
		return a, a.fromFile(path)
	case isArchive(body) && !strings.Contains(text, "@"), looksLikePath && !strings.Contains(text, "@"):
		return a, pathError(text, path, info, err)
	case editable:
		return a, inputError("give a project directory or a checkout, as in -e ./PROJECT", "editable requirement %q is no directory", text)
	}
	return a, a.fromName(text)
}

func pathError(text, path string, info fs.FileInfo, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return inputError("check the path; a project of the index is given by name alone", "requirement %q: no such file or directory", text)
	case err != nil:
		return inputError("check the path and its permissions", "requirement %q: %w", text, err)
	case !info.Mode().IsRegular() && !info.IsDir():
		return inputError("give a wheel, an sdist or a directory", "requirement %q is neither a file nor a directory", text)
	}
	return inputError("give a .whl, .tar.gz or .zip file, or a directory; requirement files go with -r",
		"requirement %q: %q is not a distribution file", text, filepath.Base(path))
}

func inputError(hint, format string, args ...any) error {
	return &InputError{Err: fmt.Errorf(format, args...), Hint: hint}
}

// urlScheme returns the scheme of a URL requirement, "" for anything else.
func urlScheme(text string) string {
	scheme, _, ok := strings.Cut(text, ":")
	if !ok {
		return ""
	}
	scheme = strings.ToLower(scheme)
	base, _, _ := strings.Cut(scheme, "+")
	switch base {
	case "http", "https", "file", "ftp", "ssh", "git", "hg", "svn", "bzr":
		return scheme
	}
	return ""
}

func isVCS(scheme string) bool {
	base, _, plus := strings.Cut(scheme, "+")
	return plus && (base == "git" || base == "hg" || base == "svn" || base == "bzr") || scheme == "git" || scheme == "ssh"
}

// fromURL classifies "https://…", "git+https://…#egg=NAME" and "file://…". A
// marker follows after "; " with the space, since ';' is allowed in URLs.
func (a *Argument) fromURL(text, scheme string) error {
	if body, marker, ok := strings.Cut(text, "; "); ok {
		m, err := ParseMarker(strings.TrimSpace(marker))
		if err != nil {
			return inputError("correct the marker after ';'", "requirement %q: %w", text, err)
		}
		a.Marker, text = m, strings.TrimSpace(body)
	}
	return a.located(text, scheme)
}

func (a *Argument) located(raw, scheme string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return inputError("check the URL", "requirement %q: not a URL", WithoutCredentials(raw))
	}
	if scheme == "file" {
		path := FilePath(raw)
		if path == "" {
			return inputError("write file:///absolute/path", "requirement %q: not a file URL of this machine", raw)
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return pathError(raw, path, info, err)
		case info.IsDir():
			return a.fromDirectory(path)
		case info.Mode().IsRegular() && isArchive(path):
			return a.fromFile(path)
		}
		return pathError(raw, path, info, nil)
	}
	a.URL, a.Host = raw, u.Hostname()
	if a.Host == "" && scheme != "git+file" {
		return inputError("check the URL", "requirement %q: no host in the URL", WithoutCredentials(raw))
	}
	if egg := fragmentValue(u.Fragment, "egg"); egg != "" && a.Name == "" {
		if r, err := ParseRequirement(egg); err == nil {
			a.Name, a.Extras = r.Name, r.Extras
		}
	}
	if isVCS(scheme) {
		a.Kind = ArgumentVCS
		a.Checkout, err = parseCheckout(raw, u)
		return err
	}
	if scheme != "http" && scheme != "https" {
		return inputError("use https, git+https, or a local file", "requirement %q: scheme %q is not supported", WithoutCredentials(raw), scheme)
	}
	a.Kind = ArgumentURL
	if name, _, _, ok := FileIdentity(urlBase(raw)); ok && a.Name == "" {
		a.Name = name
	}
	return nil
}

func fragmentValue(fragment, key string) string {
	for part := range strings.SplitSeq(fragment, "&") {
		if name, value, ok := strings.Cut(part, "="); ok && name == key {
			return value
		}
	}
	return ""
}

// splitPath takes a marker and extras off a path: "./x.whl[socks] ; marker".
func (a *Argument) splitPath(text string) (body string, extras []string, err error) {
	body, marker, hasMarker := strings.Cut(text, ";")
	body = strings.TrimSpace(body)
	if strings.HasSuffix(body, "]") {
		if i := strings.LastIndexByte(body, '['); i > 0 {
			p := &scanner{text: body[i:]}
			if list, err := p.extras(); err == nil && p.end() {
				body, extras = body[:i], list
			}
		}
	}
	if hasMarker && (isArchive(body) || strings.ContainsRune(body, filepath.Separator)) && !strings.Contains(body, "@") {
		if a.Marker, err = ParseMarker(strings.TrimSpace(marker)); err != nil {
			return "", nil, inputError("correct the marker after ';'", "requirement %q: %w", text, err)
		}
	}
	return body, extras, nil
}

// isArchive reports whether the installer takes a file of this name for a
// distribution.
func isArchive(name string) bool {
	if strings.HasSuffix(strings.ToLower(name), ".whl") {
		return true
	}
	for _, ext := range []string{".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma"} {
		if strings.HasSuffix(strings.ToLower(name), ext) {
			return true
		}
	}
	return false
}

func (a *Argument) fromDirectory(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return inputError("check the path", "requirement %q: %w", a.Text, err)
	}
	for _, file := range []string{"pyproject.toml", "setup.py"} {
		if info, err := os.Stat(filepath.Join(abs, file)); err == nil && info.Mode().IsRegular() {
			a.Kind, a.Path = ArgumentDirectory, abs
			return nil
		}
	}
	return inputError("name the directory that holds pyproject.toml or setup.py",
		"requirement %q: the directory is no Python project: neither pyproject.toml nor setup.py is in it", a.Text)
}

func (a *Argument) fromFile(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return inputError("check the path", "requirement %q: %w", a.Text, err)
	}
	a.Path = abs
	base := filepath.Base(abs)
	if strings.HasSuffix(strings.ToLower(base), ".whl") {
		w, err := ParseWheelName(base)
		if err != nil {
			return inputError("give the wheel its original name back", "requirement %q: %w", a.Text, err)
		}
		a.Kind, a.Name = ArgumentWheel, w.Name
		return nil
	}
	a.Kind = ArgumentSdist
	if s, err := ParseSdistName(base); err == nil {
		a.Name = s.Name
	}
	return nil
}

// fromName classifies a requirement of PEP 508; "name @ URL" is one too.
func (a *Argument) fromName(text string) error {
	r, err := ParseRequirement(text)
	if err != nil {
		hint := "write a project name with an optional version, for example 'requests>=2.31'"
		if name, version, ok := strings.Cut(text, "="); ok && ValidName(name) && !strings.HasPrefix(version, "=") {
			hint = fmt.Sprintf("write %s==%s", name, version)
		}
		return &InputError{Err: err, Hint: hint}
	}
	a.Requirement, a.Name, a.Extras, a.Marker = &r, r.Name, r.Extras, r.Marker
	if r.URL == "" {
		a.Kind = ArgumentName
		return nil
	}
	scheme := urlScheme(r.URL)
	if scheme == "" {
		return inputError("write NAME @ https://… or NAME @ file:///…", "requirement %q: %q is not a URL", text, r.URL)
	}
	return a.located(r.URL, scheme)
}
