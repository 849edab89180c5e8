// Package sbom attests what is installed as a CycloneDX 1.6 document: one
// component a distribution, with the digest of the file that it was installed
// from, its licence with the places that say so, the shared libraries that it
// brings along, and the dependency edges that the distributions' own requirements
// give in this environment. [Convert] writes such a document in other formats.
package sbom

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// Type is the attestation type.
const Type = "https://witness.dev/attestations/sbom/v0.1"

// rootRef is the bom-ref of the root component: the environment that was made
// for this step.
const rootRef = "environment"

// Attestor returns the catalogue entry. Its predicate is a CycloneDX 1.6
// document as [encoding/json.RawMessage]. It is skipped for a step without an
// environment.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "sbom", Type: Type, Run: run}
}

func run(ctx context.Context, in *attest.Input) (any, error) {
	if len(in.Layout.SitePackages) == 0 {
		return nil, &attest.SkippedError{Unmet: "the site directories of the environment are not known"}
	}
	env, err := pypi.Installed(in.Layout)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := newBuilder(in, env)
	bom := b.document()
	if err := addVulnerabilities(ctx, in.Vulnerabilities, bom); err != nil {
		return nil, err
	}
	return encode(bom, cdx.SpecVersion1_6)
}

// encode writes the document as JSON. The serial number is a version 8 UUID
// (RFC 9562) made from the digest of all the rest, so that the same evidence
// gives the same document.
func encode(bom *cdx.BOM, version cdx.SpecVersion) (json.RawMessage, error) {
	bom.SerialNumber, bom.JSONSchema = "", "http://cyclonedx.org/schema/bom-"+version.String()+".schema.json"
	data, err := marshal(bom, version)
	if err != nil {
		return nil, err
	}
	u := sha256.Sum256(data)
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
	return marshal(bom, version)
}

func marshal(bom *cdx.BOM, version cdx.SpecVersion) (json.RawMessage, error) {
	var buf bytes.Buffer
	if err := cdx.NewBOMEncoder(&buf, cdx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(bom, version); err != nil {
		return nil, fmt.Errorf("encode CycloneDX document: %w", err)
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

// builder makes one document.
type builder struct {
	in     *attest.Input
	env    pypi.Environment
	report *pypi.Report
	graph  pypi.Graph
	refs   map[string]string // normalised project → bom-ref
	dists  []pypi.Distribution
	// natives is the machine code of each distribution, by its project.
	natives map[string]native
	gaps    []string // what is not known, in words
}

// gap states what is not known.
func (b *builder) gap(format string, args ...any) {
	b.gaps = append(b.gaps, fmt.Sprintf(format, args...))
}

func newBuilder(in *attest.Input, env pypi.Environment) *builder {
	b := &builder{in: in, env: env, refs: map[string]string{}, natives: map[string]native{}, gaps: slices.Clone(env.Problems)}
	if in.Install != nil && len(in.Install.Report) > 0 {
		if r, err := pypi.ParseReport(in.Install.Report); err != nil {
			b.gaps = append(b.gaps, err.Error())
		} else {
			b.report = &r
		}
	}
	markers := pypi.MarkerEnvironment(in.Install, b.report)
	if len(markers) == 0 {
		b.gaps = append(b.gaps, "the marker environment is not known: requirements with markers are not decided")
	}
	b.graph = pypi.Dependencies(env, markers, pypi.RequestedExtras(in.Install, b.report))
	b.gaps = append(b.gaps, b.graph.Problems...)
	for _, m := range b.graph.Missing {
		b.gaps = append(b.gaps, "required, not installed: "+m)
	}
	for _, d := range env.Distributions {
		if b.refs[d.Key] != "" {
			b.gaps = append(b.gaps, fmt.Sprintf("%s: second metadata directory %q left out", d.Key, d.InfoDir))
			continue
		}
		b.refs[d.Key] = purl(d)
		b.dists = append(b.dists, d)
	}
	return b
}

// purl is the package URL (purl-spec, type pypi), which is the bom-ref too.
func purl(d pypi.Distribution) string {
	return packageurl.NewPackageURL(packageurl.TypePyPi, "", d.Key, d.Version, nil, "").ToString()
}

func (b *builder) document() *cdx.BOM {
	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	components := []cdx.Component{}
	requested := []string{}
	for _, d := range b.dists {
		o := pypi.OriginOf(d, b.in.Install, b.report)
		components = append(components, b.component(d, o))
		if o.Requested {
			requested = append(requested, b.refs[d.Key])
		}
	}
	bom.Metadata = b.metadata()
	bom.Components = &components
	bom.Dependencies = b.dependencies(requested)
	bom.Compositions = b.compositions()
	return bom
}

func (b *builder) metadata() *cdx.Metadata {
	name, version := builderName(b.in.Builder)
	root := cdx.Component{BOMRef: rootRef, Type: cdx.ComponentTypeApplication, Name: b.rootName(),
		Description: "environment made and filled in step " + b.in.Step}
	tools := []cdx.Component{{Type: cdx.ComponentTypeApplication, Name: name, Version: version}}
	if in := b.in.Install; in != nil && in.Interpreter.PipVersion != "" {
		tools = append(tools, cdx.Component{Type: cdx.ComponentTypeApplication, Name: "pip", Version: in.Interpreter.PipVersion})
	}
	m := &cdx.Metadata{
		Tools: &cdx.ToolsChoice{Components: &tools}, Component: &root,
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseOperations}},
	}
	if !b.in.Finished.IsZero() {
		m.Timestamp = b.in.Finished.UTC().Format(time.RFC3339Nano)
	}
	var props []cdx.Property
	if in := b.in.Install; in != nil {
		for _, p := range []cdx.Property{
			{Name: "pip-witness:python", Value: in.Interpreter.Version},
			{Name: "pip-witness:platform", Value: in.Interpreter.Platform},
		} {
			if p.Value != "" {
				props = append(props, p)
			}
		}
	}
	slices.Sort(b.gaps)
	for _, g := range slices.Compact(b.gaps) {
		props = append(props, cdx.Property{Name: "pip-witness:gap", Value: g})
	}
	if len(props) > 0 {
		m.Properties = &props
	}
	return m
}

// rootName is what was asked for, or the step where nothing was asked.
func (b *builder) rootName() string {
	if in := b.in.Install; in != nil {
		if asked := slices.Concat(in.Requirements, in.RequirementFiles); len(asked) > 0 {
			return strings.Join(asked, " ")
		}
	}
	return cmp.Or(b.in.Step, "environment")
}

// builderName splits "pip-witness 0.1.0".
func builderName(s string) (name, version string) {
	name, version, _ = strings.Cut(s, " ")
	return cmp.Or(name, "pip-witness"), version
}

func (b *builder) component(d pypi.Distribution, o pypi.Origin) cdx.Component {
	m := b.bounded(d.Key, d.Metadata)
	defects := slices.Concat(d.Problems, m.Defects)
	if n := len(defects); n > maxDefects {
		b.gap("%s: %d further defects", d.Key, n-maxDefects)
		defects = defects[:maxDefects]
	}
	for _, p := range defects {
		b.gap("%s: %s", d.Key, p)
	}
	files, problem := licenceFiles(b.in.Layout, d)
	if problem != "" {
		b.gap("%s", problem)
	}
	l := licensingOf(m, files)
	n := b.nativeOf(d)
	b.natives[d.Key] = n
	site := d.Location
	c := cdx.Component{
		BOMRef: b.refs[d.Key], Type: cdx.ComponentTypeLibrary, Name: d.Name, Version: d.Version,
		Description: m.Summary, Scope: cdx.ScopeRequired, PackageURL: b.refs[d.Key],
		Licenses: l.licences(), Authors: people(m.Author, m.AuthorEmail), Supplier: supplier(m),
		Hashes: hashes(o.Digests), ExternalReferences: references(m, o), Components: n.nested(b.refs[d.Key], site),
		Properties: pointer(slices.Concat(properties(o, b.graph.Extras[d.Key]), l.properties(), b.installedFiles(d))),
		Evidence:   &cdx.Evidence{Licenses: l.found(), Occurrences: &[]cdx.EvidenceOccurrence{{Location: path.Join(site, d.InfoDir)}}},
	}
	if c.Hashes == nil {
		b.gap("%s: no distribution file, so no digest", d.Key)
	}
	if c.Licenses == nil {
		b.gap("%s: no licence is declared", d.Key)
	}
	return c
}

// supplier is who maintains the distribution.
func supplier(m pypi.Metadata) *cdx.OrganizationalEntity {
	maintainers := people(m.Maintainer, m.MaintainerEmail)
	if maintainers == nil {
		return nil
	}
	return &cdx.OrganizationalEntity{Name: (*maintainers)[0].Name, Contact: maintainers}
}

// pointer is how CycloneDX wants a list: nil when it is empty.
func pointer[S ~[]T, T any](s S) *S {
	if len(s) == 0 {
		return nil
	}
	return &s
}

// hashes gives the digests of the distribution file that CycloneDX has a name for.
func hashes(d evidence.DigestSet) *[]cdx.Hash {
	if d["sha256"] == "" {
		return nil
	}
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d["sha256"]}}
}

// people reads "Name" with an address field of "Name <mail>, …" items.
func people(name, mail string) *[]cdx.OrganizationalContact {
	var out []cdx.OrganizationalContact
	for item := range strings.SplitSeq(mail, ",") {
		n, address := "", strings.TrimSpace(item)
		if i := strings.LastIndexByte(address, '<'); i >= 0 {
			n, address = strings.Trim(strings.TrimSpace(address[:i]), `"`), strings.TrimSuffix(address[i+1:], ">")
		}
		if !validMail(address) {
			address = ""
		}
		if address != "" || n != "" {
			out = append(out, cdx.OrganizationalContact{Name: n, Email: address})
		}
	}
	if name = strings.TrimSpace(name); name != "" && name != "UNKNOWN" {
		switch {
		case len(out) == 1 && out[0].Name == "":
			out[0].Name = name
		case !slices.ContainsFunc(out, func(c cdx.OrganizationalContact) bool { return c.Name == name }):
			out = append([]cdx.OrganizationalContact{{Name: name}}, out...)
		}
	}
	return pointer(out)
}

// validMail accepts what the schema's "idn-email" format does for certain.
func validMail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.Contains(domain, "@") && !strings.ContainsAny(s, " \t()[]:;\\,\"<>") &&
		!strings.HasPrefix(domain, ".") && !strings.HasSuffix(domain, ".")
}

// Limits on lists that packages make as long as they like.
const (
	maxLinks   = 100      // Project-URL fields; real packages have some ten
	maxPeople  = 100      // authors, or maintainers
	maxSummary = 10 << 10 // 10 KiB
	maxDefects = 20       // deviations of the metadata that are told
)

// bounded cuts the lists of a package to what is written, and says so.
func (b *builder) bounded(key string, m pypi.Metadata) pypi.Metadata {
	if n := len(m.ProjectURLs); n > maxLinks {
		b.gap("%s: %d of %d links", key, maxLinks, n)
		m.ProjectURLs = m.ProjectURLs[:maxLinks]
	}
	licences := slices.DeleteFunc(slices.Clone(m.Classifiers), func(c string) bool { return !strings.HasPrefix(c, "License ::") })
	if n := len(licences); n > maxClassifiers {
		b.gap("%s: %d of %d licence classifiers", key, maxClassifiers, n)
		licences = licences[:maxClassifiers]
	}
	m.Classifiers = licences
	for field, value := range map[string]*string{"author": &m.AuthorEmail, "maintainer": &m.MaintainerEmail} {
		if n := 1 + strings.Count(*value, ","); n > maxPeople {
			b.gap("%s: %d of %d addresses of the %s", key, maxPeople, n, field)
			*value = strings.Join(strings.SplitN(*value, ",", maxPeople+1)[:maxPeople], ",")
		}
	}
	if n := len(m.Summary); n > maxSummary {
		b.gap("%s: %d of %d bytes of the summary", key, maxSummary, n)
		m.Summary = strings.ToValidUTF8(m.Summary[:maxSummary], "\uFFFD")
	}
	return m
}

// references gives the project's own links and the distribution file. A link
// that is not an absolute http or https URL is left out.
func references(m pypi.Metadata, o pypi.Origin) *[]cdx.ExternalReference {
	var out []cdx.ExternalReference
	add := func(kind cdx.ExternalReferenceType, raw, comment string, digests *[]cdx.Hash) {
		if raw = webURL(raw); raw == "" {
			return
		}
		r := cdx.ExternalReference{Type: kind, URL: raw, Comment: comment, Hashes: digests}
		if !slices.ContainsFunc(out, func(e cdx.ExternalReference) bool { return e.Type == kind && e.URL == raw }) {
			out = append(out, r)
		}
	}
	add(cdx.ERTypeWebsite, m.HomePage, "Home-page", nil)
	add(cdx.ERTypeDistribution, m.DownloadURL, "Download-URL", nil)
	for _, u := range m.ProjectURLs {
		add(referenceType(u.Label), u.URL, u.Label, nil)
	}
	add(cdx.ERTypeDistribution, o.URL, o.Filename, hashes(o.Digests))
	slices.SortStableFunc(out, func(a, b cdx.ExternalReference) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.URL, b.URL))
	})
	return pointer(out)
}

// webURL returns raw in a spelling that is a valid URI, "" when it has none.
func webURL(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	for _, r := range u.Host {
		if r <= ' ' || strings.ContainsRune(`"<>\^`+"`{|}", r) {
			return ""
		}
	}
	u.User = nil
	u.RawPath, u.RawFragment = "", ""
	u.RawQuery = escapeQuery(u.RawQuery)
	return u.String()
}

// escapeQuery percent-encodes what a query may not contain, and nothing else.
func escapeQuery(q string) string {
	var b strings.Builder
	for i := range len(q) {
		if c := q[i]; c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}[]", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// referenceType maps the labels of Project-URL that are in common use
// (well-known labels of the metadata specification).
func referenceType(label string) cdx.ExternalReferenceType {
	switch strings.ToLower(strings.NewReplacer("-", "", " ", "", "_", "").Replace(label)) {
	case "homepage", "home":
		return cdx.ERTypeWebsite
	case "source", "sourcecode", "code", "repository", "repo", "github", "gitlab", "sources", "vcs", "git":
		return cdx.ERTypeVCS
	case "documentation", "docs":
		return cdx.ERTypeDocumentation
	case "issues", "issuetracker", "bugtracker", "bugreports", "bugs", "tracker":
		return cdx.ERTypeIssueTracker
	case "changelog", "changes", "releasenotes", "whatsnew", "history":
		return cdx.ERTypeReleaseNotes
	case "download":
		return cdx.ERTypeDistribution
	case "chat", "discord", "slack", "irc", "gitter", "matrix":
		return cdx.ERTypeChat
	case "mailinglist":
		return cdx.ERTypeMailingList
	case "support", "discussions", "discussion", "forum":
		return cdx.ERTypeSupport
	case "security", "securitypolicy":
		return cdx.ERTypeSecurityContact
	case "twitter", "mastodon", "bluesky", "x":
		return cdx.ERTypeSocial
	case "license", "licence":
		return cdx.ERTypeLicense
	}
	return cdx.ERTypeOther
}

// properties says what CycloneDX has no field for.
func properties(o pypi.Origin, extras []string) []cdx.Property {
	values := map[string]string{
		"pip-witness:origin": string(o.Kind), "pip-witness:index": o.Index, "pip-witness:commit": o.Commit,
		"pip-witness:extras": strings.Join(extras, ","), "pip-witness:filename": o.Filename,
	}
	if o.Requested {
		values["pip-witness:requested"] = "true"
	}
	if o.Local != nil {
		values["pip-witness:filename"] = path.Base(o.Local.Path)
	}
	if len(o.Digests) > 0 && !o.Witnessed {
		values["pip-witness:digest"] = "claimed by the installer"
	}
	var out []cdx.Property
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != "" {
			out = append(out, cdx.Property{Name: name, Value: values[name]})
		}
	}
	return out
}

// dependencies lists every component once. The root depends on what was asked
// for, or where that is not known on everything that nothing else depends on.
func (b *builder) dependencies(requested []string) *[]cdx.Dependency {
	if len(requested) == 0 {
		wanted := map[string]bool{}
		for _, d := range b.dists {
			for _, key := range b.graph.Edges(d.Key) {
				wanted[key] = true
			}
		}
		for _, d := range b.dists {
			if !wanted[d.Key] {
				requested = append(requested, b.refs[d.Key])
			}
		}
	}
	slices.Sort(requested)
	out := []cdx.Dependency{dependency(rootRef, requested)}
	for _, d := range b.dists {
		var to []string
		for _, key := range b.graph.Edges(d.Key) {
			to = append(to, b.refs[key])
		}
		slices.Sort(to)
		out = append(out, dependency(b.refs[d.Key], to))
		out = append(out, b.natives[d.Key].dependencies(b.refs[d.Key])...)
	}
	return &out
}

func dependency(ref string, on []string) cdx.Dependency {
	d := cdx.Dependency{Ref: ref}
	if len(on) > 0 {
		d.Dependencies = &on
	}
	return d
}

// compositions says how complete the document is: the list of installed
// distributions is, unless metadata could not be read; a component's edges are,
// unless one of its requirements is not installed or could not be decided. What is
// linked statically into machine code cannot be seen.
func (b *builder) compositions() *[]cdx.Composition {
	assembly := cdx.CompositionAggregateComplete
	if len(b.env.Problems) > 0 {
		assembly = cdx.CompositionAggregateIncomplete
	}
	out := []cdx.Composition{{Aggregate: assembly, Assemblies: &[]cdx.BOMReference{rootRef}}}
	broken := map[string]bool{}
	for _, problem := range slices.Concat(b.graph.Missing, b.graph.Problems) {
		key, _, _ := strings.Cut(problem, ": ")
		broken[key] = true
	}
	var complete, partial, opaque []cdx.BOMReference
	for _, d := range b.dists {
		ref := cdx.BOMReference(b.refs[d.Key])
		if broken[d.Key] {
			partial = append(partial, ref)
		} else {
			complete = append(complete, ref)
		}
		if b.natives[d.Key].code {
			opaque = append(opaque, ref)
		}
	}
	for _, c := range []cdx.Composition{
		{Aggregate: cdx.CompositionAggregateComplete, Dependencies: pointer(complete)},
		{Aggregate: cdx.CompositionAggregateIncomplete, Dependencies: pointer(partial)},
		{Aggregate: cdx.CompositionAggregateUnknown, Assemblies: pointer(opaque)},
	} {
		if c.Dependencies != nil || c.Assemblies != nil {
			out = append(out, c)
		}
	}
	return &out
}
