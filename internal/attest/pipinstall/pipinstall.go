// Package pipinstall attests what an installer put into an environment: the
// distributions with their origin and metadata, and what static reading of
// their files shows. It reads the metadata directories and files of that one
// environment and the records made outside it, and runs no Python.
package pipinstall

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pip-witness/internal/attest"
	"pip-witness/internal/history"
	"pip-witness/internal/provenance"
	"pip-witness/internal/pypi"
)

// Type is the attestation type.
const Type = "https://aflock.ai/attestations/pip-install/v0.1"

// Attestor returns the catalogue entry. Its predicate is a [Predicate]. It is
// skipped for a step without an environment.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "pip-install", Type: Type, Run: run}
}

func run(ctx context.Context, in *attest.Input) (any, error) {
	if len(in.Layout.SitePackages) == 0 {
		return nil, &attest.SkippedError{Unmet: "the site directories of the environment are not known"}
	}
	env, err := pypi.Installed(in.Layout)
	if err != nil {
		return nil, err
	}
	c := &collector{in: in, env: env, predicate: Predicate{
		Sites: env.Sites, Packages: []Package{}, SetupPyAnalysis: []SetupPy{}, PyprojectAnalysis: []Pyproject{},
		PEP740Verification: []PEP740{}, NotExamined: []NotExamined{}, IndexHistory: []history.Facts{},
		SimilarNames: []SimilarName{},
	}}
	c.readReport()
	if err := c.readRoot(); err != nil {
		return nil, err
	}
	c.packages()
	if err := c.whereFrom(ctx); err != nil {
		return nil, err
	}
	c.recordChecks()
	c.shadows()
	if err := c.wheels(ctx); err != nil {
		return nil, err
	}
	if err := c.sources(ctx); err != nil {
		return nil, err
	}
	c.similarNames()
	if err := c.installedFiles(ctx); err != nil {
		return nil, err
	}
	slices.Sort(c.predicate.Problems)
	return c.predicate, nil
}

// collector fills one predicate.
type collector struct {
	in        *attest.Input
	env       pypi.Environment
	report    *pypi.Report
	origins   []pypi.Origin // by index of env.Distributions
	root      *provenance.Root
	predicate Predicate
}

func (c *collector) notExamined(what, why string, args ...any) {
	c.predicate.NotExamined = append(c.predicate.NotExamined, NotExamined{what, fmt.Sprintf(why, args...)})
}

func (c *collector) problem(format string, args ...any) {
	c.predicate.Problems = append(c.predicate.Problems, fmt.Sprintf(format, args...))
}

// readReport reads the installer's report; without one, origins come from the
// files' names, and what the report alone knows is said to be unknown.
func (c *collector) readReport() {
	install := c.in.Install
	if install == nil {
		c.notExamined("packages[].files", "no installation was recorded: downloads and the installer's report are not known")
		return
	}
	c.predicate.PipVersion = install.Interpreter.PipVersion
	c.predicate.PythonVersion = install.Interpreter.Version
	if len(install.Report) == 0 {
		c.notExamined("packages[].requested", "the installer left no report: REQUESTED files decide")
		return
	}
	report, err := pypi.ParseReport(install.Report)
	if err != nil {
		c.notExamined("packages[].requested", "the installer's report cannot be read: %v", err)
		return
	}
	c.report = &report
	if c.predicate.PipVersion == "" {
		c.predicate.PipVersion = report.PipVersion
	}
}

func (c *collector) packages() {
	markers := pypi.MarkerEnvironment(c.in.Install, c.report)
	graph := pypi.Dependencies(c.env, markers, pypi.RequestedExtras(c.in.Install, c.report))
	if len(markers) == 0 {
		c.notExamined("packages[].requires", "the marker environment of the interpreter is not known: requirements with markers could not be decided")
	}
	for _, p := range slices.Concat(c.env.Problems, graph.Problems) {
		c.problem("%s", p)
	}
	c.predicate.MissingRequirements = graph.Missing
	for i, d := range c.env.Distributions {
		if i > 0 && c.env.Distributions[i-1].Key == d.Key {
			c.problem("%s: more than one metadata directory: %q and %q", d.Key, c.env.Distributions[i-1].InfoDir, d.InfoDir)
		}
		o := pypi.OriginOf(d, c.in.Install, c.report)
		c.origins = append(c.origins, o)
		p := describe(d, o)
		p.Requires, p.RequiredBy, p.Extras = list(graph.Requires[d.Key]), list(graph.RequiredBy(d.Key)), graph.Extras[d.Key]
		if len(markers) > 0 {
			p.Requirements = c.requirements(d, graph.InForce[d.Key])
		}
		c.predicate.Packages = append(c.predicate.Packages, p)
		for _, problem := range d.Problems {
			c.problem("%s: %s", d.Key, problem)
		}
		for _, defect := range d.Metadata.Defects {
			c.problem("%s: metadata: %s", d.Key, defect)
		}
		if o.Kind == pypi.OriginUnknown {
			c.notExamined("packages[].installType of "+d.Key, "no download, local file or report names its origin")
		}
		c.indexFacts(d, o)
	}
	c.predicate.TotalInstalled = len(c.predicate.Packages)
}

// requirements are the requirements of a distribution that could be decided,
// with those marked that are in force.
func (c *collector) requirements(d pypi.Distribution, inForce map[string]bool) []Requirement {
	var out []Requirement
	for _, text := range d.Metadata.RequiresDist {
		r, err := pypi.ParseRequirement(text)
		if err != nil {
			continue // a problem of the graph
		}
		decided, ok := inForce[text]
		if !ok {
			continue // likewise
		}
		q := Requirement{Text: text, Project: pypi.Normalize(r.Name), InForce: decided}
		if found := c.env.Find(r.Name); found != nil {
			q.Installed = found.Version
		}
		out = append(out, q)
	}
	return out
}

// list makes an absent list an empty one: none is a value here.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// describe turns metadata and origin into a package.
func describe(d pypi.Distribution, o pypi.Origin) Package {
	m := d.Metadata
	p := Package{
		Name: d.Name, Version: d.Version, InstallType: installType(o), Location: d.Location,
		HomePage: homePage(m), Author: firstOf(m.Author, m.AuthorEmail), License: license(m),
		Installer: d.Installer, Requested: o.Requested, Files: []File{}, VCS: o.VCS, Commit: o.Commit, RequestedRevision: o.Revision,
		Summary: m.Summary, AuthorEmail: firstOf(m.AuthorEmail), Maintainer: firstOf(m.Maintainer, m.MaintainerEmail),
		MaintainerEmail: firstOf(m.MaintainerEmail), RequiresPython: m.RequiresPython,
		RequiresDist: m.RequiresDist, Classifiers: m.Classifiers, ImportNames: list(pypi.ImportNames(d)),
		RecordedFiles: len(d.Record),
	}
	if len(m.ProjectURLs) > 0 {
		p.ProjectURLs = map[string]string{}
		for _, u := range m.ProjectURLs {
			p.ProjectURLs[u.Label] = u.URL
		}
	}
	for _, e := range d.EntryPoints {
		if e.Group == "console_scripts" || e.Group == "gui_scripts" {
			p.EntryPoints = append(p.EntryPoints, e.Name+" = "+e.Value)
		}
	}
	if d.Wheel != nil {
		p.Generator, p.Tags = d.Wheel.Generator, d.Wheel.Tags
	}
	if o.Index == "" {
		p.DirectURL = o.URL
	}
	if o.Filename != "" && o.Kind != pypi.OriginDirectory {
		p.Files = append(p.Files, fileOf(o))
	}
	return p
}

func fileOf(o pypi.Origin) File {
	f := File{Filename: o.Filename, SHA256: o.Digests["sha256"], URL: o.URL, Index: o.Index, Size: o.Size, Witnessed: o.Witnessed}
	if o.Download != nil {
		f.UploadTime, f.Yanked, f.ProjectStatus = o.Download.UploadTime, o.Download.Yanked, o.Download.Status
	}
	return f
}

func installType(o pypi.Origin) string {
	switch {
	case o.Editable:
		return "editable"
	case o.Kind == pypi.OriginUnknown:
		return ""
	case o.Kind == pypi.OriginWheel:
		return "wheel"
	}
	return "sdist"
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" && v != "UNKNOWN" {
			return v
		}
	}
	return ""
}

func homePage(m pypi.Metadata) string {
	if h := firstOf(m.HomePage); h != "" {
		return h
	}
	for _, u := range m.ProjectURLs {
		switch strings.ToLower(strings.NewReplacer("-", "", " ", "", "_", "").Replace(u.Label)) {
		case "homepage", "home":
			return u.URL
		}
	}
	return ""
}

func license(m pypi.Metadata) string {
	if text, _, _ := strings.Cut(firstOf(m.LicenseExpression, m.License), "\n"); text != "" {
		return text
	}
	var names []string
	for _, c := range m.Classifiers {
		if name, ok := strings.CutPrefix(c, "License :: "); ok {
			names = append(names, strings.TrimPrefix(name, "OSI Approved :: "))
		}
	}
	return strings.Join(names, ", ")
}
