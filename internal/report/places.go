package report

import (
	"regexp"
	"strings"

	"pip-witness/policy"
)

// Place is a line of a requirements or constraints file that asks for a package.
type Place struct {
	// URI is the file: relative to the directory of the run with slashes, or a
	// file URL where it lies elsewhere.
	URI string
	// Line counts from 1.
	Line int
	// Package is the project's name as written; empty where only a build tells it.
	Package string
}

// quoted is a text in quotes within a message: rules quote names and paths.
var quoted = regexp.MustCompile(`"[^"]+"`)

// separators are what project names differ in without being different (PEP 503).
var separators = regexp.MustCompile(`[-_.]+`)

func sameProject(a, b string) bool { return normalName(a) == normalName(b) }

func normalName(name string) string { return separators.ReplaceAllString(strings.ToLower(name), "-") }

// packageOf is the package that a finding is about: the only one there is, or
// else the first that a quoted name or path in the message names. Evidence does
// not tell it, so nil means that the finding is about the run as a whole; the
// text may be chosen by a package, so nothing but a place rests on it.
func packageOf(o Outcome, f policy.Finding) *policy.Package {
	if len(o.Packages) == 1 {
		return &o.Packages[0]
	}
	for _, text := range quoted.FindAllString(f.Message, -1) {
		for part := range strings.SplitSeq(strings.Trim(text, `"`), "/") {
			for i, p := range o.Packages {
				if part != "" && names(part, p) {
					return &o.Packages[i]
				}
			}
		}
	}
	return nil
}

// names says that part, a component of a path or a name by itself, is that of a
// package: its project, its metadata directory or a file of it.
func names(part string, p policy.Package) bool {
	return sameProject(part, p.Name) || policy.IsDistribution(part, p.Name, p.Version) ||
		sameProject(part, p.Name+"-"+p.Version+".dist-info")
}

// placesOf are the lines for a finding about p, the first of them the one to
// show. A package that no line names came through one of them, and so did what
// is about the run as a whole: then all lines are meant.
func placesOf(o Outcome, p *policy.Package) []Place {
	if p != nil {
		for _, place := range o.Places {
			if place.Package != "" && sameProject(place.Package, p.Name) {
				return []Place{place}
			}
		}
	}
	return o.Places
}
