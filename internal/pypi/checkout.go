package pypi

import (
	"net/url"
	"strings"
)

// Checkout is what a requirement from version control names (PEP 440 and pip's
// "VCS support"): vcs+scheme://host/path@revision#fragment.
type Checkout struct {
	VCS string // "git", "hg", "svn", "bzr"
	// Scheme is that of the transport: "https", "http", "file", "ssh", "git".
	Scheme string
	// Repository is the URL that the version control system itself is given, with
	// credentials where the requirement has them.
	Repository string
	// Path is the repository's directory for the scheme "file".
	Path string
	// Revision is a branch, tag or commit, "" for the default branch.
	Revision string
	// Requirement is the URL of the requirement without credentials.
	Requirement string
}

// parseCheckout takes the URL of a requirement apart; u is the same, parsed.
func parseCheckout(raw string, u *url.URL) (*Checkout, error) {
	vcs, transport, plus := strings.Cut(strings.ToLower(u.Scheme), "+")
	if !plus {
		return &Checkout{VCS: "git", Scheme: vcs}, nil // git:// and ssh://, which the installer refuses too
	}
	c := &Checkout{VCS: vcs, Scheme: transport}
	if u.RawQuery != "" || u.ForceQuery {
		return nil, inputError("write user name and password before the host", "requirement %q: a query in the URL of a repository", WithoutCredentials(raw))
	}
	_, rest, _ := strings.Cut(raw, "://")
	body, fragment, hasFragment := strings.Cut(rest, "#")
	authority, path, _ := strings.Cut(body, "/")
	path = "/" + path
	// As the installer does: the last "@" of the path is before the revision.
	if at := strings.LastIndexByte(path, '@'); at >= 0 {
		c.Revision = path[at+1:]
		if unescaped, err := url.PathUnescape(c.Revision); err == nil {
			c.Revision = unescaped
		}
		if c.Revision == "" {
			return nil, inputError("write the revision behind it, or leave it out", "requirement %q: nothing behind the '@'", WithoutCredentials(raw))
		}
		c.Repository = transport + "://" + authority + path[:at]
	} else {
		c.Repository = transport + "://" + authority + path
	}
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	c.Requirement = vcs + "+" + transport + "://" + host + path
	if hasFragment {
		c.Requirement += "#" + fragment
	}
	if transport == "file" {
		if c.Path = FilePath(c.Repository); c.Path == "" {
			return nil, inputError("write git+file:///absolute/path", "requirement %q: not a repository of this machine", raw)
		}
	}
	return c, nil
}
