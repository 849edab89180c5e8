package sbom

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"pip-witness/internal/attest"
	"pip-witness/internal/osv"
	"pip-witness/internal/vex"
)

// outcomeProperty says whether vulnerabilities were looked up. A document without
// vulnerabilities means that none is known only where this says "evaluated".
const outcomeProperty = "pip-witness:vulnerabilities"

// maxRange is the length of a version range that CycloneDX allows, in characters.
const maxRange = 4096

// installed is a component that can be looked up.
type installed struct {
	ref string
	osv.Package
}

// addVulnerabilities looks up the components of a document and adds what is known
// of them. A database that is missing or damaged is an outcome in the document; the
// only error is the context's.
func addVulnerabilities(ctx context.Context, where attest.Vulnerabilities, bom *cdx.BOM) error {
	properties := list[cdx.Property]{}
	say := func(name, format string, args ...any) {
		properties = append(properties, cdx.Property{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	documents := opinions(where.VEX, say)
	components := pythonComponents(bom)
	result, err := lookUp(ctx, where, components, say)
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case where.Database == "":
		say(outcomeProperty, "not evaluated: no database")
	case err != nil:
		say(outcomeProperty, "not evaluated: %v", withoutPath(err))
	case result.Undecided > 0 || result.LeftOut > 0:
		say(outcomeProperty, "evaluated, except for %d advisories that could not be decided and %d that are left out", result.Undecided, result.LeftOut)
	default:
		say(outcomeProperty, "evaluated")
	}
	for _, open := range result.Open {
		say(outcomeProperty+":undecided", "%s", open)
	}
	found := list[cdx.Vulnerability]{}
	for _, v := range result.Vulnerabilities {
		found = append(found, describe(v, components, documents))
	}
	bom.Vulnerabilities = found.pointer()
	if bom.Metadata == nil {
		bom.Metadata = &cdx.Metadata{}
	}
	if bom.Metadata.Properties != nil {
		properties = append(*bom.Metadata.Properties, properties...)
	}
	bom.Metadata.Properties = properties.pointer()
	return nil
}

// list is a slice that CycloneDX wants as a pointer, nil when it is empty.
type list[T any] []T

func (l list[T]) pointer() *[]T {
	if len(l) == 0 {
		return nil
	}
	s := []T(l)
	return &s
}

// pythonComponents are the components that are distributions, by their package URL.
func pythonComponents(bom *cdx.BOM) []installed {
	var out []installed
	if bom.Components == nil {
		return nil
	}
	for _, c := range *bom.Components {
		if u, err := packageurl.FromString(c.PackageURL); err == nil && u.Type == packageurl.TypePyPi {
			out = append(out, installed{c.BOMRef, osv.Package{Name: u.Name, Version: c.Version}})
		}
	}
	return out
}

func lookUp(ctx context.Context, where attest.Vulnerabilities, components []installed, say func(name, format string, args ...any)) (osv.Result, error) {
	if where.Database == "" {
		return osv.Result{}, nil
	}
	database, err := osv.Open(ctx, where.Database, where.Cache)
	if err != nil {
		return osv.Result{}, err
	}
	defer database.Close()
	facts := database.Facts()
	say("pip-witness:osv:digest", "sha256:%s", facts.Digest)
	say("pip-witness:osv:newest", "%s", facts.Newest)
	say("pip-witness:osv:written", "%s", database.Written.UTC().Format(time.RFC3339))
	say("pip-witness:osv:advisories", "%d", facts.Advisories)
	if facts.Unreadable > 0 {
		say("pip-witness:osv:unreadable", "%d", facts.Unreadable)
	}
	for _, p := range facts.Problems {
		say("pip-witness:osv:problem", "%s", p)
	}
	packages := make([]osv.Package, len(components))
	for i, c := range components {
		packages[i] = c.Package
	}
	return database.Match(ctx, packages)
}

// withoutPath is an error without the place of a file on this machine.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// opinions reads the documents; what is wrong with one is a property.
func opinions(files []attest.Document, say func(name, format string, args ...any)) []vex.Document {
	var documents []vex.Document
	for _, f := range files {
		d, err := vex.Parse(f.Name, f.Content)
		if err != nil {
			say("pip-witness:vex:problem", "%v", err)
			continue
		}
		say("pip-witness:vex", "%s sha256:%x by %s: %d statements", f.Name, sha256.Sum256(f.Content), cmp.Or(d.Author, "nobody"), d.Statements())
		for _, p := range d.Problems {
			say("pip-witness:vex:problem", "%s", p)
		}
		documents = append(documents, d)
	}
	return documents
}

// describe writes one vulnerability.
func describe(v osv.Vulnerability, components []installed, documents []vex.Document) cdx.Vulnerability {
	out := cdx.Vulnerability{
		BOMRef: "vulnerability:" + v.ID, ID: v.ID, Source: source(v.Records[0]), Description: v.Description,
		Published: v.Published, Updated: v.Modified, CWEs: list[int](v.CWEs).pointer(),
	}
	references := list[cdx.VulnerabilityReference]{}
	for _, name := range v.Names {
		references = append(references, cdx.VulnerabilityReference{ID: name, Source: source(name)})
	}
	out.References = references.pointer()
	marks := list[cdx.Property]{{Name: "pip-witness:advisories", Value: strings.Join(v.Records, ",")}}
	if v.Malicious {
		marks = append(marks, cdx.Property{Name: "pip-witness:malicious", Value: "true"})
	}
	affects := list[cdx.Affects]{}
	var upgrades []string
	for _, a := range v.Affects {
		i := slices.IndexFunc(components, func(c installed) bool { return c.Package == a.Package })
		affects = append(affects, cdx.Affects{Ref: components[i].ref, Range: affected(a, &marks)})
		if a.Fixed != "" && !v.Malicious {
			upgrades = append(upgrades, fmt.Sprintf("upgrade %s to %s or later", a.Package.Name, a.Fixed))
			marks = append(marks, cdx.Property{Name: "pip-witness:fixed", Value: a.Package.Name + "==" + a.Fixed})
		}
	}
	out.Affects, out.Recommendation = affects.pointer(), strings.Join(upgrades, "; ")
	out.Ratings = rated(v.Ratings)
	out.Analysis = analysis(v, components, documents, &marks)
	out.Properties = marks.pointer()
	return out
}

// source is where an id can be looked up.
func source(id string) *cdx.Source {
	return &cdx.Source{Name: "OSV", URL: "https://osv.dev/vulnerability/" + url.PathEscape(id)}
}

// affected is the installed version and the ranges that it is in.
func affected(a osv.Affect, marks *list[cdx.Property]) *[]cdx.AffectedVersions {
	versions := []cdx.AffectedVersions{{Version: a.Package.Version, Status: cdx.VulnerabilityStatusAffected}}
	for _, r := range a.Ranges {
		if len(r) > maxRange {
			*marks = append(*marks, cdx.Property{Name: "pip-witness:gap", Value: "a range of " + strconv.Itoa(len(r)) + " characters is left out"})
			continue
		}
		versions = append(versions, cdx.AffectedVersions{Range: r, Status: cdx.VulnerabilityStatusAffected})
	}
	return &versions
}

func rated(ratings []osv.Rating) *[]cdx.VulnerabilityRating {
	out := list[cdx.VulnerabilityRating]{}
	for _, r := range ratings {
		out = append(out, cdx.VulnerabilityRating{
			Source: source(r.By), Score: r.Score, Severity: cdx.Severity(r.Severity), Method: cdx.ScoringMethod(r.Method), Vector: r.Vector,
		})
	}
	return out.pointer()
}

// analysis is what the documents think of a vulnerability. CycloneDX has one
// analysis for all affected packages: where opinions differ it is the one least in
// favour, and where there is none on one of them there is no analysis.
func analysis(v osv.Vulnerability, components []installed, documents []vex.Document, marks *list[cdx.Property]) *cdx.VulnerabilityAnalysis {
	all := make([]vex.Package, len(components))
	for i, c := range components {
		all[i] = vex.Package(c.Package)
	}
	var worst vex.Opinion
	without := 0
	for _, a := range v.Affects {
		o, found := vex.Find(documents, append([]string{v.ID}, v.Names...), vex.Package(a.Package), all)
		if !found {
			without++
			continue
		}
		*marks = append(*marks, cdx.Property{Name: "pip-witness:vex", Value: fmt.Sprintf("%s: %s, by %s in %s", a.Package.Name, o.Status, cmp.Or(o.Author, "nobody"), o.Source)})
		worst = vex.LessFavourable(worst, o)
	}
	if worst.Status == "" || without > 0 {
		return nil
	}
	detail := []string{}
	if worst.Justification != "" {
		detail = append(detail, "OpenVEX justification: "+worst.Justification+".")
	}
	if worst.Text != "" {
		detail = append(detail, worst.Text)
	}
	return &cdx.VulnerabilityAnalysis{
		State: state(worst.Status), Justification: justification(worst), Detail: strings.Join(detail, " "),
		FirstIssued: worst.Issued, LastUpdated: worst.Updated,
	}
}

func state(s vex.Status) cdx.ImpactAnalysisState {
	switch s {
	case vex.NotAffected:
		return cdx.IASNotAffected
	case vex.Fixed:
		return cdx.IASResolved
	case vex.Affected:
		return cdx.IASExploitable
	}
	return cdx.IASInTriage
}

// justification maps those that mean the same in both formats; the words of OpenVEX
// are in the detail anyway. "Cannot be controlled by adversary" has no equal.
func justification(o vex.Opinion) cdx.ImpactAnalysisJustification {
	switch o.Justification {
	case "component_not_present", "vulnerable_code_not_present":
		return cdx.IAJCodeNotPresent
	case "vulnerable_code_not_in_execute_path":
		return cdx.IAJCodeNotReachable
	case "inline_mitigations_already_exist":
		return cdx.IAJProtectedByMitigatingControl
	}
	return ""
}
