package osv

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// Package is one installed distribution: its name in any spelling, its version as
// the metadata have it.
type Package struct{ Name, Version string }

// Vulnerability is what one or more advisories, each an alias of another, say.
type Vulnerability struct {
	// ID is the name by which it is called: a malicious package's, CVE's, GitHub's or
	// PyPA's, in this order; Names are all others, in the same order.
	ID    string
	Names []string
	// Records are the ids of the advisories of the database that say so.
	Records []string
	// Malicious says that the package itself is an attack.
	Malicious bool
	// Description is one line; empty when no advisory has one.
	Description string
	Ratings     []Rating
	CWEs        []int
	// Published is the earliest, Modified the latest time of the advisories, RFC 3339.
	Published, Modified string
	Affects             []Affect // by name and version
}

// Affect is an installed package that is affected.
type Affect struct {
	Package Package
	// Ranges are the ranges of versions that affect it, as version range specifiers
	// ("vers:pypi/>=1.0|<1.2"); empty where its version is only listed.
	Ranges []string
	// Fixed is a version that none of the ranges affects; empty when none is named.
	Fixed string
}

// Result is what a database knows of packages.
type Result struct {
	// Vulnerabilities are sorted by id.
	Vulnerabilities []Vulnerability
	// Open says in words what could not be decided, sorted: an advisory that may
	// apply to a package and cannot be evaluated. Undecided counts them all, of which
	// Open names the first thousand.
	Open      []string
	Undecided int
	// LeftOut counts advisories that affect packages and are not in Vulnerabilities,
	// because there were too many.
	LeftOut int
}

// hit is an advisory that affects a package.
type hit struct {
	record Record
	affect Affect
	vector []Severity
}

// Match looks up what is known of the packages.
func (d *Database) Match(ctx context.Context, packages []Package) (Result, error) {
	var result Result
	var hits []hit
	var reader unpacker
	for _, p := range packages {
		if err := context.Cause(ctx); err != nil {
			return Result{}, err
		}
		name := pypi.Normalize(p.Name)
		places, err := d.index.find(name)
		if err != nil {
			return Result{}, fmt.Errorf("look up %q: %w", name, err)
		}
		v := installed{text: p.Version}
		v.version, v.err = pypi.ParseVersion(p.Version)
		vs := versions{}
		for _, at := range places {
			data, err := reader.read(d.file, at)
			if err != nil {
				return Result{}, fmt.Errorf("look up %q: %w: %w", name, ErrDamaged, err)
			}
			record, err := ParseRecord(data)
			if err != nil {
				return Result{}, fmt.Errorf("look up %q: %w", name, err)
			}
			says := decide(record, name, v, vs)
			result.undecided(record.ID, name, says.open)
			switch {
			case says.affected && len(hits) == maxHits:
				result.LeftOut++
			case says.affected:
				vector := vectorsOf(record, name)
				hits = append(hits, hit{record.brief(), Affect{p, says.ranges, says.fixed}, vector})
			}
		}
	}
	slices.Sort(result.Open)
	for _, group := range groups(hits) {
		result.Vulnerabilities = append(result.Vulnerabilities, merge(group))
	}
	slices.SortFunc(result.Vulnerabilities, func(a, b Vulnerability) int { return cmp.Compare(a.ID, b.ID) })
	return result, nil
}

// undecided notes why an advisory could not be decided for a project.
func (r *Result) undecided(id, name string, why []string) {
	if len(why) == 0 {
		return
	}
	r.Undecided++
	slices.Sort(why)
	if why = slices.Compact(why); len(r.Open) < maxOpen {
		r.Open = append(r.Open, fmt.Sprintf("%s for %s: %.300s", id, name, strings.Join(why, "; ")))
	}
}

// vectorsOf are the severities that the advisory gives for the project only.
func vectorsOf(r Record, name string) []Severity {
	var vectors []Severity
	for _, a := range r.Affected {
		if a.python() && pypi.Normalize(a.Package.Name) == name {
			vectors = append(vectors, a.Severity...)
		}
	}
	return vectors
}

// groups puts together what has an id or alias in common, directly or through
// others.
func groups(hits []hit) [][]hit {
	parent := map[string]string{}
	var root func(string) string
	root = func(id string) string {
		if up, ok := parent[id]; ok && up != id {
			parent[id] = root(up)
			return parent[id]
		}
		return id
	}
	for _, h := range hits {
		for _, alias := range h.record.Aliases {
			parent[root(alias)] = root(h.record.ID)
		}
	}
	var order []string
	members := map[string][]hit{}
	for _, h := range hits {
		key := root(h.record.ID)
		if members[key] == nil {
			order = append(order, key)
		}
		members[key] = append(members[key], h)
	}
	out := make([][]hit, len(order))
	for i, key := range order {
		out[i] = members[key]
	}
	return out
}

// merge makes one vulnerability of advisories that are aliases of each other. What
// only one of them can say is taken from the first by rank of its id.
func merge(group []hit) Vulnerability {
	slices.SortStableFunc(group, func(a, b hit) int {
		return cmp.Or(rank(a.record.ID, b.record.ID), cmp.Compare(b.record.Modified, a.record.Modified))
	})
	var v Vulnerability
	for _, h := range group {
		r := h.record
		v.Names = append(v.Names, r.ID)
		v.Names = append(v.Names, r.Aliases...)
		v.Records = append(v.Records, r.ID)
		v.Malicious = v.Malicious || r.malicious()
		v.Description = cmp.Or(v.Description, r.short())
		for _, rating := range ratings(r, h.vector) {
			if !slices.ContainsFunc(v.Ratings, func(o Rating) bool {
				return o.Method == rating.Method && o.Vector == rating.Vector && o.Severity == rating.Severity
			}) {
				v.Ratings = append(v.Ratings, rating)
			}
		}
		v.CWEs = append(v.CWEs, readSpecific(r.DatabaseSpecific).cwes...)
		if r.Published != "" && (v.Published == "" || r.Published < v.Published) {
			v.Published = r.Published
		}
		v.Modified = max(v.Modified, r.Modified)
		v.affect(h.affect)
	}
	slices.SortFunc(v.Names, rank)
	v.Names = slices.Compact(v.Names)
	v.ID, v.Names = v.Names[0], v.Names[1:]
	slices.Sort(v.Records)
	v.Records = slices.Compact(v.Records)
	slices.Sort(v.CWEs)
	v.CWEs = slices.Compact(v.CWEs)
	slices.SortFunc(v.Affects, func(a, b Affect) int {
		return cmp.Or(cmp.Compare(a.Package.Name, b.Package.Name), cmp.Compare(a.Package.Version, b.Package.Version))
	})
	return v
}

// affect adds a package, or to one that is there already the ranges of another
// advisory. Advisories of the same vulnerability may differ in the version that
// fixes it: the greater one satisfies all.
func (v *Vulnerability) affect(a Affect) {
	i := slices.IndexFunc(v.Affects, func(o Affect) bool { return o.Package == a.Package })
	if i < 0 {
		v.Affects = append(v.Affects, a)
		return
	}
	have := &v.Affects[i]
	for _, text := range a.Ranges {
		if !slices.Contains(have.Ranges, text) {
			have.Ranges = append(have.Ranges, text)
		}
	}
	d := decision{fixed: have.Fixed}
	d.later(a.Fixed, versions{})
	have.Fixed = d.fixed
}
