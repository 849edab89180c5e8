package pipinstall

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/provenance"
)

func TestSourceOf(t *testing.T) {
	in := &evidence.Installation{DefaultIndex: "https://index.net/simple", TrustedHosts: []string{"mirror.net:8443", "plain.net", "127.0.0.1"}}
	for location, want := range map[string]Source{
		"https://index.net/simple/":       {Scope: scopeDefault},
		"https://mirror.net/simple":       {Scope: scopeOther},
		"https://mirror.net:8443/simple":  {Scope: scopeOther, Unverified: true},
		"http://plain.net/simple":         {Scope: scopeOther, Cleartext: true, Unverified: true},
		"http://127.0.0.1:3141/simple":    {Scope: scopePrivate},
		"http://[::1]/simple":             {Scope: scopePrivate},
		"http://10.1.2.3/simple":          {Scope: scopePrivate, Cleartext: true},
		"https://packages/simple":         {Scope: scopePrivate},
		"https://a.b.internal/simple":     {Scope: scopePrivate},
		"https://internal.company.net/a/": {Scope: scopeOther},
		"file:///home/user/wheels":        {Scope: scopePrivate},
		"https://[broken/":                {Scope: scopePrivate},
	} {
		want.URL = location
		if diff := cmp.Diff(want, sourceOf(location, in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", location, diff)
		}
	}
}

func TestLikeHost(t *testing.T) {
	own := []string{"files.packagehost.org", "index.net"}
	for host, want := range map[string]string{
		"files.packagehost.org":   "",
		"other.packagehost.org":   "", // the same owner
		"files.packagehosted.org": "files.packagehost.org",
		"files.pakagehost.org":    "files.packagehost.org",
		"packagehost.com":         "", // three letters
		"imdex.net":               "index.net",
		"example.com":             "",
		"":                        "",
	} {
		if got := likeHost(host, own); got != want {
			t.Errorf("%q is like %q, want %q", host, got, want)
		}
	}
	if got := likeHost("abc.io", []string{"abd.io"}); got != "" {
		t.Errorf("a short name is like %q", got)
	}
}

func TestOffersAndDirectURLs(t *testing.T) {
	page := func(index string, files ...string) evidence.IndexProject {
		p := evidence.IndexProject{Name: "acme-auth", Index: index}
		for _, f := range files {
			p.Files = append(p.Files, evidence.IndexFile{Filename: f})
		}
		return p
	}
	collect := func(in evidence.Installation) *collector {
		c := &collector{predicate: Predicate{Packages: []Package{{Name: "Acme.Auth", RequiresDist: []string{
			"plain>=1", "colorama @ https://files.packagehosted.org/colorama-0.4.6.tar.gz", "tool @ git+https://user:secret@code.net/tool",
		}}}}}
		c.in = inputOf(in)
		return c
	}
	c := collect(evidence.Installation{
		DefaultIndex: "https://index.net/simple", Indexes: []string{"https://index.net/simple", "https://pypi.corp.example/simple", "/srv/wheels"}, FindLinks: []string{"/srv/wheels"},
		Requirements: []string{"acme-auth", "seven @ https://elsewhere.net/seven-7.zip"},
		Downloads:    []evidence.Download{{Index: "https://index.net/simple", URL: "https://files.packagehost.org/a"}},
		Projects: []evidence.IndexProject{
			page("https://index.net/simple", "acme_auth-99.0.tar.gz", "acme_auth-99.0-py3-none-any.whl", "junk", "other-1.0.tar.gz"),
			page("https://pypi.corp.example/simple", "acme_auth-1.10.tar.gz", "acme_auth-1.9.tar.gz"), page("https://third.net/simple"),
		},
	})
	want := []Offer{
		{Index: "https://index.net/simple", Scope: scopeDefault, Releases: 1, Highest: "99.0"},
		{Index: "https://pypi.corp.example/simple", Scope: scopePrivate, Releases: 2, Highest: "1.10"},
	}
	if diff := cmp.Diff(want, c.offers("acme-auth")); diff != "" {
		t.Errorf("offers (-want +got):\n%s", diff)
	}
	if err := c.whereFrom(t.Context()); err != nil {
		t.Fatal(err)
	}
	urls := []DirectURL{
		{Project: "seven", URL: "https://elsewhere.net/seven-7.zip", Host: "elsewhere.net"},
		{Package: "acme-auth", Project: "colorama", URL: "https://files.packagehosted.org/colorama-0.4.6.tar.gz", Host: "files.packagehosted.org", Like: "files.packagehost.org"},
		{Package: "acme-auth", Project: "tool", URL: "git+https://<redacted>@code.net/tool", Host: "code.net"},
	}
	s := c.predicate.Sources
	if diff := cmp.Diff(urls, s.DirectURLs); diff != "" {
		t.Errorf("direct URLs (-want +got):\n%s", diff)
	}
	if len(s.Indexes) != 2 || len(s.FindLinks) != 1 || s.Indexes[0].Scope != scopeDefault {
		t.Errorf("indexes %+v, find-links %+v", s.Indexes, s.FindLinks)
	}
}

// TestChanges wants a renamed repository to be the same publisher, which its number
// tells, and another owner to be told from another repository of one owner.
func TestChanges(t *testing.T) {
	id := func(repository, number, owner string) provenance.Identity {
		return provenance.Identity{Issuer: "https://issuer.net", Repository: repository, RepositoryID: number, OwnerID: owner, Workflow: "release.yml"}
	}
	other := id("a/b", "1", "2")
	other.Issuer = "https://other.net"
	account := func(s string) provenance.Identity {
		return provenance.Identity{Issuer: "https://issuer.net", Subject: s}
	}
	for name, test := range map[string]struct {
		before, now      provenance.Identity
		publisher, owner bool
		changes          int
	}{
		"same":                {id("a/b", "1", "2"), id("a/b", "1", "2"), false, false, 0},
		"renamed":             {id("a/b", "1", "2"), id("a/c", "1", "2"), false, false, 1},
		"moved":               {id("a/b", "1", "2"), id("d/b", "1", "9"), false, false, 1},
		"other of one owner":  {id("a/b", "1", "2"), id("a/c", "3", "2"), true, false, 1},
		"owner renamed":       {id("a/b", "1", "2"), id("z/c", "3", "2"), true, false, 1},
		"another owner":       {id("a/b", "1", "2"), id("evil/b", "3", "4"), true, true, 1},
		"no numbers":          {id("a/b", "", ""), id("evil/b", "", ""), true, true, 1},
		"no numbers, renamed": {id("a/b", "", ""), id("a/c", "", ""), true, false, 1},
		"another issuer":      {id("a/b", "1", "2"), other, true, true, 1},
		"account":             {account("x@a.net"), account("y@a.net"), true, true, 1},
	} {
		publisher, owner, what := changes(test.before, test.now)
		if publisher != test.publisher || owner != test.owner || len(what) != test.changes {
			t.Errorf("%s: %v %v %q", name, publisher, owner, what)
		}
	}
}

func TestBuildNames(t *testing.T) {
	c := &collector{in: inputOf(evidence.Installation{})}
	c.predicate.PyprojectAnalysis = []Pyproject{{BuildRequires: []string{"setuptools>=61", "Evil_Helper==1.0", "requessts", "evil-helper", ">>broken"}}}
	c.similarNames()
	got := c.predicate.PyprojectAnalysis[0]
	if diff := cmp.Diff([]string{"evil-helper", "requessts"}, got.UnknownRequires); diff != "" || len(got.Similar) != 1 || got.Similar[0].Package != "requessts" {
		t.Errorf("unknown (-want +got):\n%s similar %+v", diff, got.Similar)
	}
}

func inputOf(in evidence.Installation) *attest.Input { return &attest.Input{Install: &in} }
