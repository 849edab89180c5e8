package pypi

import (
	"fmt"
	"slices"
	"strings"
)

// Requirement is one requirement of PEP 508: a project, optionally with extras,
// a version specifier or a URL, and a marker.
type Requirement struct {
	// Name is the project name as written; see [Normalize].
	Name string
	// Extras are the extras as written, in order.
	Extras []string
	// Specifiers are the version clauses; empty for any version, and with a URL.
	Specifiers Specifiers
	// URL is the text after '@'; empty for a requirement by name.
	URL string
	// Marker is nil when the requirement holds everywhere.
	Marker *Marker
}

// ParseRequirement reads one requirement of PEP 508.
func ParseRequirement(s string) (Requirement, error) {
	if len(s) > maxRequirementLen {
		return Requirement{}, fmt.Errorf("parse requirement: %d bytes, want at most %d", len(s), maxRequirementLen)
	}
	p := &scanner{text: s}
	req, err := p.requirement()
	if err != nil {
		return Requirement{}, fmt.Errorf("parse requirement %q: column %d: %w", s, p.pos+1, err)
	}
	return req, nil
}

// String writes the requirement in one canonical spelling.
func (r Requirement) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	if len(r.Extras) > 0 {
		extras := slices.Clone(r.Extras)
		slices.Sort(extras)
		b.WriteString("[" + strings.Join(extras, ",") + "]")
	}
	if r.URL != "" {
		b.WriteString(" @ " + r.URL)
		if r.Marker != nil {
			b.WriteByte(' ')
		}
	}
	b.WriteString(r.Specifiers.String())
	if r.Marker != nil {
		b.WriteString("; " + r.Marker.String())
	}
	return b.String()
}

// scanner reads requirements and markers from left to right.
type scanner struct {
	text  string
	pos   int
	depth int
}

func (p *scanner) rest() string { return p.text[p.pos:] }

func (p *scanner) space() {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t') {
		p.pos++
	}
}

func (p *scanner) end() bool { return p.pos >= len(p.text) }

// take consumes prefix when it comes next.
func (p *scanner) take(prefix string) bool {
	if strings.HasPrefix(p.rest(), prefix) {
		p.pos += len(prefix)
		return true
	}
	return false
}

// identifier reads a project or extra name, "" when none comes next.
func (p *scanner) identifier() string {
	start := p.pos
	for p.pos < len(p.text) && isNameByte(p.text[p.pos]) {
		p.pos++
	}
	for p.pos > start && !isAlnum(p.text[p.pos-1]) {
		p.pos--
	}
	if name := p.text[start:p.pos]; ValidName(name) {
		return name
	}
	p.pos = start
	return ""
}

func (p *scanner) requirement() (Requirement, error) {
	var req Requirement
	p.space()
	if req.Name = p.identifier(); req.Name == "" {
		return req, fmt.Errorf("want a project name")
	}
	p.space()
	var err error
	if req.Extras, err = p.extras(); err != nil {
		return req, err
	}
	p.space()
	if p.take("@") {
		p.space()
		start := p.pos
		for !p.end() && p.text[p.pos] != ' ' && p.text[p.pos] != '\t' {
			p.pos++
		}
		if req.URL = p.text[start:p.pos]; req.URL == "" {
			return req, fmt.Errorf("want a URL after '@'")
		}
	} else if req.Specifiers, err = p.specifiers(); err != nil {
		return req, err
	}
	p.space()
	if p.end() {
		return req, nil
	}
	if !p.take(";") {
		return req, fmt.Errorf("want ';' and a marker, or the end")
	}
	if req.Marker, err = p.marker(); err != nil {
		return req, err
	}
	if p.space(); !p.end() {
		return req, fmt.Errorf("want the end of the requirement")
	}
	return req, nil
}

func (p *scanner) extras() ([]string, error) {
	if !p.take("[") {
		return nil, nil
	}
	var out []string
	for p.space(); !p.take("]"); p.space() {
		if len(out) > 0 {
			if !p.take(",") {
				return nil, fmt.Errorf("want ',' or ']' after an extra")
			}
			p.space()
		}
		extra := p.identifier()
		if extra == "" {
			return nil, fmt.Errorf("want the name of an extra")
		}
		out = append(out, extra)
	}
	return out, nil
}

// specifiers reads the version clauses, with or without parentheses.
func (p *scanner) specifiers() (Specifiers, error) {
	paren := p.take("(")
	var out Specifiers
	for p.space(); operatorOf(p.rest()) != ""; p.space() {
		start := p.pos
		op := operatorOf(p.rest())
		p.pos += len(op)
		p.space()
		for !p.end() && !strings.ContainsRune(" \t,;", rune(p.text[p.pos])) && (!paren || p.text[p.pos] != ')') {
			p.pos++
		}
		spec, err := parseSpecifier(p.text[start:p.pos])
		if err != nil {
			return nil, err
		}
		out = append(out, spec)
		if p.space(); !p.take(",") {
			break
		}
	}
	p.space()
	if paren && !p.take(")") {
		return nil, fmt.Errorf("want ')' after the version specifier")
	}
	return out, nil
}
