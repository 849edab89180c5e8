package pypi

import (
	"net/url"
	"path"
	"strings"

	"pip-witness/evidence"
)

// OriginKind is what a distribution was installed from.
type OriginKind string

// Kinds of origins.
const (
	OriginUnknown   OriginKind = ""
	OriginWheel     OriginKind = "wheel"
	OriginSdist     OriginKind = "sdist"
	OriginDirectory OriginKind = "directory"
	OriginVCS       OriginKind = "vcs"
)

// Origin is where the files of an installed distribution came from.
type Origin struct {
	Kind     OriginKind
	Filename string
	// URL is the true location without credentials: of the index's file, of the
	// local file as the user gave it ("file:" for local ones), of the checkout.
	URL string
	// Index is the index that offered the file, "" for a direct requirement.
	Index   string
	Digests evidence.DigestSet
	Size    int64
	// Witnessed is true when the digest was computed outside the sandbox, over
	// the bytes that were served or given; otherwise it is the installer's claim.
	Witnessed bool
	// Requested is true for what the user named; Extras are the extras asked for,
	// by the user or by a dependent, as the installer reports them.
	Requested bool
	Extras    []string
	Editable  bool
	// VCS and Commit are set for a checkout, Revision when the user named a branch,
	// tag or commit. The commit is the installer's word: what the repository served
	// is checked against it by git, inside.
	VCS, Commit, Revision string
	// Download and Local are the matching records, nil when there is none.
	Download *evidence.Download
	Local    *evidence.LocalFile
}

// OriginOf finds the origin of an installed distribution from what the gateway
// served, what the user gave and what the installer reported; install and
// report may be nil.
func OriginOf(d Distribution, install *evidence.Installation, report *Report) Origin {
	o := Origin{Requested: d.Requested}
	info := d.DirectURL
	if item := report.Find(d.Key); item != nil && sameVersion(item.Metadata.Version, d.Version) {
		o.Requested = item.Requested
		o.Extras = item.RequestedExtras
		info = &item.DownloadInfo
	}
	if install == nil {
		install = &evidence.Installation{}
	}
	switch {
	case info == nil:
		o.byIdentity(d, install)
	case info.VCSInfo != nil:
		o.Kind, o.VCS, o.Commit = OriginVCS, info.VCSInfo.VCS, info.VCSInfo.CommitID
		o.URL, o.Revision = WithoutCredentials(info.URL), info.VCSInfo.RequestedRevision
	case info.DirInfo != nil:
		o.Kind, o.Editable = OriginDirectory, info.DirInfo.Editable
		o.local(install, info, "")
	default:
		o.archive(install, info)
	}
	if d.Format == "egg-link" {
		o.Editable = true
	}
	return o
}

// byIdentity is for an installer that left no report: the file name decides.
func (o *Origin) byIdentity(d Distribution, install *evidence.Installation) {
	matches := func(filename string) bool {
		name, version, _, ok := FileIdentity(filename)
		return ok && name == d.Key && sameVersion(version.String(), d.Version)
	}
	for i := range install.Downloads {
		if dl := &install.Downloads[i]; !dl.Metadata && matches(dl.Filename) {
			o.download(dl)
		}
	}
	for i := range install.LocalFiles {
		if lf := &install.LocalFiles[i]; o.Download == nil && matches(path.Base(lf.Path)) {
			o.given(lf)
		}
	}
}

// archive matches a file by the URL that the installer saw, else by digest.
func (o *Origin) archive(install *evidence.Installation, info *DirectURL) {
	sum := info.SHA256()
	plain, _, _ := strings.Cut(info.URL, "#")
	// The URL first: it settles nearly all, and comparing it costs least.
	for i := range install.Downloads {
		if dl := &install.Downloads[i]; !dl.Metadata && plain == dl.GatewayURL {
			o.download(dl)
			return
		}
	}
	for i := range install.Downloads {
		if dl := &install.Downloads[i]; !dl.Metadata && sum != "" && dl.Digests["sha256"] == sum {
			o.download(dl)
			return
		}
	}
	if o.local(install, info, sum) {
		return
	}
	o.Filename = urlBase(plain)
	o.Kind = kindOf(o.Filename)
	o.URL = WithoutCredentials(plain)
	if sum != "" {
		o.Digests = evidence.DigestSet{"sha256": sum}
	}
}

func (o *Origin) local(install *evidence.Installation, info *DirectURL, sum string) bool {
	file := FilePath(info.URL)
	for i := range install.LocalFiles {
		lf := &install.LocalFiles[i]
		if lf.Kind == "requirements" || lf.Kind == "constraints" {
			continue
		}
		if file != "" && (path.Clean(lf.SandboxPath) == file || path.Clean(lf.Path) == file) || sum != "" && lf.Digests["sha256"] == sum {
			o.given(lf)
			return true
		}
	}
	if file != "" {
		o.URL = "file://" + (&url.URL{Path: file}).EscapedPath()
	}
	return false
}

func (o *Origin) download(dl *evidence.Download) {
	o.Download, o.Witnessed = dl, true
	o.Filename, o.URL, o.Index, o.Digests, o.Size = dl.Filename, dl.URL, dl.Index, dl.Digests, dl.Size
	o.Kind = kindOf(dl.Filename)
}

func (o *Origin) given(lf *evidence.LocalFile) {
	o.Local, o.Witnessed = lf, len(lf.Digests) > 0
	o.Filename, o.Digests, o.Size = path.Base(lf.Path), lf.Digests, lf.Size
	o.URL = "file:" + (&url.URL{Path: lf.Path}).EscapedPath()
	if path.IsAbs(lf.Path) {
		o.URL = "file://" + (&url.URL{Path: lf.Path}).EscapedPath()
	}
	if lf.Kind == "directory" {
		o.Kind = OriginDirectory
	} else {
		o.Kind = kindOf(o.Filename)
	}
}

func kindOf(filename string) OriginKind {
	switch {
	case strings.HasSuffix(filename, ".whl"):
		return OriginWheel
	case sdistExtension(filename) != "":
		return OriginSdist
	}
	return OriginUnknown
}

// sameVersion compares as versions, as text where either is none.
func sameVersion(a, b string) bool {
	va, errA := ParseVersion(a)
	vb, errB := ParseVersion(b)
	if errA != nil || errB != nil {
		return a == b
	}
	return va.Compare(vb) == 0
}

// FilePath returns the path of a file URL, "" for any other.
func FilePath(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.Path == "" {
		return ""
	}
	return path.Clean(u.Path)
}

// urlBase is the last path element of a URL, percent-decoded.
func urlBase(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Path == "" {
		return ""
	}
	return path.Base(u.Path)
}

// WithoutCredentials removes user and password, query values and fragment from
// a URL. The user "git" of an ssh address is no secret and stays.
func WithoutCredentials(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		// Not a URL that can be taken apart: keep nothing that could be a secret.
		scheme, _, _ := strings.Cut(raw, ":")
		return scheme + ":<redacted>"
	}
	if u.User != nil {
		if _, secret := u.User.Password(); secret || u.User.Username() != "git" {
			u.User = nil
		}
	}
	if u.RawQuery != "" {
		query := u.Query()
		for name := range query {
			query[name] = []string{"<redacted>"}
		}
		u.RawQuery = query.Encode()
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}
