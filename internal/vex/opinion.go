package vex

import (
	"fmt"
	"slices"
	"strings"
)

// Package is an installed distribution.
type Package struct{ Name, Version string }

// Find returns the last opinion, by time, that the documents have on a
// vulnerability in a package, known by any of the names. Of opinions of the same
// time the one least in favour counts. installed are all packages that are there:
// a statement on a part of a product counts only where that product is installed.
func Find(documents []Document, names []string, p Package, installed []Package) (Opinion, bool) {
	var last Opinion
	found := false
	for _, d := range documents {
		for _, s := range d.statements {
			if !s.about(names) || !s.covers(p, installed) {
				continue
			}
			if !found || s.Updated > last.Updated || s.Updated == last.Updated && caution(s.Status) > caution(last.Status) {
				last, found = s.Opinion, true
			}
		}
	}
	return last, found
}

func (s statement) about(names []string) bool {
	return slices.ContainsFunc(s.names, func(n string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(n, other) })
	})
}

func (s statement) covers(p Package, installed []Package) bool {
	return slices.ContainsFunc(s.products, func(of product) bool {
		if len(of.parts) == 0 {
			return of.purl.is(p)
		}
		return slices.ContainsFunc(of.parts, func(part identity) bool { return part.is(p) }) &&
			slices.ContainsFunc(installed, of.purl.is)
	})
}

// LessFavourable is the opinion that asks for more attention; the zero value is none.
func LessFavourable(a, b Opinion) Opinion {
	if a.Status == "" || caution(b.Status) > caution(a.Status) {
		return b
	}
	return a
}

// caution orders statuses by how much they ask for attention.
func caution(s Status) int {
	return slices.Index([]Status{NotAffected, Fixed, UnderInvestigation, Affected}, s)
}

// String names the packages that a statement is about.
func (p product) String() string {
	if len(p.parts) == 0 {
		return p.purl.String()
	}
	var parts []string
	for _, part := range p.parts {
		parts = append(parts, part.String())
	}
	return strings.Join(parts, ", ") + " in " + p.purl.String()
}

// String is the package with its version, where it has one.
func (i identity) String() string {
	text := i.name
	if i.version != "" {
		text += " " + line(i.version)
	}
	if i.bound {
		text += " (one of its files)"
	}
	return text
}

// contradictions adds to the problems what the document says in two ways at the
// same time. Statements of different times are a history, in which the last counts.
func (d *Document) contradictions() {
	type subject struct {
		name    string
		product string
		at      string
	}
	said := map[subject]Status{}
	reported := map[subject]bool{}
	for _, s := range d.statements {
		for _, p := range s.products {
			for _, name := range s.names {
				key := subject{strings.ToUpper(name), p.String(), s.Updated}
				before, ok := said[key]
				if ok && before != s.Status && !reported[key] {
					reported[key] = true
					d.Problems = append(d.Problems, fmt.Sprintf("VEX %s contradicts itself: %s, on %s, is %s and %s; the less favourable counts",
						line(d.Name), name, p, before, s.Status))
				}
				said[key] = s.Status
			}
		}
	}
}
