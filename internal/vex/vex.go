// Package vex reads and writes OpenVEX documents (specification 0.2.0): somebody's
// statements on whether a product is affected by a vulnerability. What a document
// says is its author's opinion; it changes how a vulnerability is described, never
// whether it was found.
package vex

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"pip-witness/internal/pypi"
)

// Bounds on a document.
const (
	MaxSize       = 16 << 20 // 16 MiB
	maxStatements = 100_000
	maxProducts   = 100_000 // of all statements together, subcomponents included
	maxText       = 1000    // bytes of a text that is passed on
)

// Status is what a statement says of a product.
type Status string

// The statuses of the specification.
const (
	NotAffected        Status = "not_affected"
	Affected           Status = "affected"
	Fixed              Status = "fixed"
	UnderInvestigation Status = "under_investigation"
)

// Document is one VEX document as it was read.
type Document struct {
	// Name is how the document was named to the program, e.g. its file name.
	Name       string
	ID, Author string
	statements []statement
	// Problems say what of the document could not be used, and where it contradicts itself.
	Problems []string
}

// Statements counts the statements that can be used.
func (d Document) Statements() int { return len(d.statements) }

// statement is one statement that can be used.
type statement struct {
	Opinion
	names    []string // of the vulnerability
	products []product
}

// product is a package, or packages as parts of it, that a statement is about.
type product struct {
	purl  identity
	parts []identity
}

// Opinion is what a statement says.
type Opinion struct {
	Status Status
	// Justification is one of the five of the specification; empty when none is given.
	Justification string
	// Text is the impact statement, action statement and notes, in one line.
	Text string
	// Issued is when it was first said, Updated when last, RFC 3339 in UTC.
	Issued, Updated string
	// Author and Source say who said it, and in which of the documents.
	Author, Source string
}

// file is the document as it is written.
type file struct {
	Context     string      `json:"@context"`
	ID          string      `json:"@id"`
	Author      string      `json:"author"`
	Timestamp   string      `json:"timestamp"`
	LastUpdated string      `json:"last_updated,omitempty"`
	Version     any         `json:"version"` // a number; a text in drafts of the specification
	Tooling     string      `json:"tooling,omitempty"`
	Statements  []fileEntry `json:"statements"`
}

type fileEntry struct {
	Vulnerability   vulnerability   `json:"vulnerability"`
	Timestamp       string          `json:"timestamp,omitempty"`
	LastUpdated     string          `json:"last_updated,omitempty"`
	Products        []fileComponent `json:"products"`
	Status          Status          `json:"status"`
	StatusNotes     string          `json:"status_notes,omitempty"`
	Justification   string          `json:"justification,omitempty"`
	ImpactStatement string          `json:"impact_statement,omitempty"`
	ActionStatement string          `json:"action_statement,omitempty"`
}

// vulnerability is an object, or in drafts of the specification a text.
type vulnerability struct {
	ID      string   `json:"@id,omitempty"`
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
}

func (v *vulnerability) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &v.Name)
	}
	type plain vulnerability
	return json.Unmarshal(data, (*plain)(v))
}

// fileComponent is a product or a part of one: an object, or in drafts a text.
type fileComponent struct {
	ID            string            `json:"@id,omitempty"`
	Identifiers   map[string]string `json:"identifiers,omitempty"`
	Subcomponents []fileComponent   `json:"subcomponents,omitempty"`
}

func (c *fileComponent) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &c.ID)
	}
	type plain fileComponent
	return json.Unmarshal(data, (*plain)(c))
}

// identity is a package URL of a Python package; without a version it is every
// version.
type identity struct {
	name, version string
	// bound says that it has qualifiers or a subpath: it names less than a version,
	// so no installed distribution is known to be it.
	bound bool
}

// Parse reads a document. A statement that cannot be used is left out and named in
// Problems; an error means that it is no OpenVEX document at all.
func Parse(name string, data []byte) (Document, error) {
	d := Document{Name: name}
	if len(data) > MaxSize {
		return d, fmt.Errorf("read VEX document %q: %d bytes, want at most %d", name, len(data), MaxSize)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return d, fmt.Errorf("read VEX document %q: field %q is of type %s", name, wrong.Field, wrong.Value)
		}
		return d, fmt.Errorf("read VEX document %q: %w", name, err)
	}
	if !strings.HasPrefix(f.Context, "https://openvex.dev/ns") {
		return d, fmt.Errorf("read VEX document %q: its @context is not that of OpenVEX", name)
	}
	if len(f.Statements) > maxStatements {
		return d, fmt.Errorf("read VEX document %q: %d statements, want at most %d", name, len(f.Statements), maxStatements)
	}
	d.ID, d.Author = line(f.ID), line(f.Author)
	products := 0
	for i, entry := range f.Statements {
		s, why := read(entry, f)
		for _, p := range s.products {
			products += 1 + len(p.parts)
		}
		if products > maxProducts {
			return d, fmt.Errorf("read VEX document %q: more than %d products", name, maxProducts)
		}
		if why != "" {
			d.Problems = append(d.Problems, fmt.Sprintf("VEX %s: statement %d is left out: %s", line(name), i+1, why))
			continue
		}
		s.Author, s.Source = d.Author, line(name)
		d.statements = append(d.statements, s)
	}
	d.contradictions()
	return d, nil
}

// read checks one statement; why says what is wrong with it. Times and the like are
// inherited from the document.
func read(entry fileEntry, f file) (s statement, why string) {
	for _, n := range append([]string{entry.Vulnerability.Name}, entry.Vulnerability.Aliases...) {
		if n = line(n); n != "" {
			s.names = append(s.names, n)
		}
	}
	s.Status, s.Justification = entry.Status, entry.Justification
	s.Issued = instant(entry.Timestamp, f.Timestamp)
	s.Updated = instant(entry.LastUpdated, entry.Timestamp, f.LastUpdated, f.Timestamp)
	s.Text = line(strings.Join(slices.DeleteFunc([]string{entry.ImpactStatement, entry.ActionStatement, entry.StatusNotes}, func(t string) bool { return t == "" }), " "))
	switch {
	case len(s.names) == 0:
		return s, "it names no vulnerability"
	case !slices.Contains([]Status{NotAffected, Affected, Fixed, UnderInvestigation}, s.Status):
		return s, fmt.Sprintf("its status %.30q is none", string(s.Status))
	case s.Status == NotAffected && s.Justification == "" && entry.ImpactStatement == "":
		return s, "not_affected needs a justification or an impact statement"
	case s.Justification != "" && !slices.Contains(justifications(), s.Justification):
		return s, fmt.Sprintf("its justification %.60q is none", s.Justification)
	case s.Updated == "":
		return s, "it has no time"
	}
	for _, c := range entry.Products {
		if p, ok := productOf(c); ok {
			s.products = append(s.products, p)
		}
	}
	if len(s.products) == 0 && len(entry.Products) == 0 {
		return s, "it names no product"
	}
	return s, ""
}

// justifications are those of the specification.
func justifications() []string {
	return []string{
		"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
	}
}

// productOf takes products that are Python packages; others cannot be installed
// here, so statements on them say nothing.
func productOf(c fileComponent) (product, bool) {
	purl, ok := identityOf(c)
	p := product{purl: purl}
	for _, sub := range c.Subcomponents {
		if part, ok := identityOf(sub); ok {
			p.parts = append(p.parts, part)
		}
	}
	return p, ok && (len(c.Subcomponents) == 0 || len(p.parts) > 0)
}

func identityOf(c fileComponent) (identity, bool) {
	text := c.Identifiers["purl"]
	if text == "" {
		text = c.ID
	}
	if !strings.HasPrefix(text, "pkg:pypi/") || len(text) > maxText {
		return identity{}, false
	}
	u, err := packageurl.FromString(text)
	if err != nil || u.Namespace != "" || !pypi.ValidName(u.Name) {
		return identity{}, false
	}
	return identity{pypi.Normalize(u.Name), u.Version, len(u.Qualifiers) > 0 || u.Subpath != ""}, true
}

// is reports whether a distribution is one that the package URL names.
func (i identity) is(p Package) bool {
	if i.bound || i.name != pypi.Normalize(p.Name) {
		return false
	}
	if i.version == "" || i.version == p.Version {
		return true
	}
	a, errA := pypi.ParseVersion(i.version)
	b, errB := pypi.ParseVersion(p.Version)
	return errA == nil && errB == nil && a.Compare(b) == 0
}

// line makes a text one bounded line.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// instant returns the first of the times that is one, in UTC.
func instant(texts ...string) string {
	for _, text := range texts {
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.Year() > 0 && t.Year() <= 9999 {
			return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
		}
	}
	return ""
}
