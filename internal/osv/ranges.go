package osv

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// beginning is the version before all others, as the schema spells it; forever
// is the limit that limits nothing.
const (
	beginning = "0"
	forever   = "*"
)

// versions parses versions, each spelling once: the advisories of a project list
// the same ones over and over.
type versions map[string]parsed

type parsed struct {
	version pypi.Version
	err     error
}

func (vs versions) parse(text string) (pypi.Version, error) {
	p, ok := vs[text]
	if !ok {
		p.version, p.err = pypi.ParseVersion(text)
		if len(vs) < maxParsed {
			vs[text] = p
		}
	}
	return p.version, p.err
}

// installed is the version that is asked about. Its text is as the metadata have
// it; a version that is none of PEP 440 is only ever equal to the same text.
type installed struct {
	text    string
	version pypi.Version
	err     error
}

// listed reports whether the version is in the list. Only spellings that could be
// another one of the same version are parsed.
func (v installed) listed(list []string, vs versions) bool {
	if slices.Contains(list, v.text) {
		return true
	}
	if v.err != nil {
		return false
	}
	first := leading(v.version.String())
	for _, text := range list {
		if leading(text) != first {
			continue
		}
		if other, err := vs.parse(text); err == nil && other.Compare(v.version) == 0 {
			return true
		}
	}
	return false
}

// leading is the first number of a version without epoch, equal for equal
// versions.
func leading(text string) string {
	text = strings.TrimLeft(text, " \tvV")
	if i := strings.IndexByte(text, '!'); i >= 0 {
		text = text[i+1:]
	}
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return strings.TrimLeft(text[:end], "0")
}

// moment is all that a range says of one version.
type moment struct {
	text                            string
	version                         pypi.Version
	first                           bool // the beginning, before all versions
	introduced, fixed, lastAffected bool
}

// timeline is a range whose events are in the order of their versions.
type timeline struct {
	moments []moment
	limits  []pypi.Version
	limited bool // there is a limit, and none of them is "*"
}

// newTimeline orders the events of a range. Versions of PyPI are those of PEP 440
// in ranges of either type. Events of the same version become one moment, so that
// the order in which they are written decides nothing.
func newTimeline(r Range, vs versions) (timeline, error) {
	var t timeline
	t.limited = slices.ContainsFunc(r.Events, func(e Event) bool { return e.Limit != "" }) &&
		!slices.ContainsFunc(r.Events, func(e Event) bool { return e.Limit == forever })
	for _, e := range r.Events {
		if err := t.add(e, vs); err != nil {
			return t, err
		}
	}
	slices.SortStableFunc(t.moments, func(a, b moment) int {
		switch {
		case a.first || b.first:
			return boolean(b.first) - boolean(a.first)
		}
		return a.version.Compare(b.version)
	})
	merged := t.moments[:0]
	for _, m := range t.moments {
		if n := len(merged); n > 0 && merged[n-1].same(m) {
			last := &merged[n-1]
			last.introduced, last.fixed, last.lastAffected = last.introduced || m.introduced, last.fixed || m.fixed, last.lastAffected || m.lastAffected
			continue
		}
		merged = append(merged, m)
	}
	t.moments = merged
	return t, nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (m moment) same(o moment) bool {
	return m.first == o.first && (m.first || m.version.Compare(o.version) == 0)
}

func (t *timeline) add(e Event, vs versions) error {
	for _, m := range []moment{
		{text: e.Introduced, introduced: true, first: e.Introduced == beginning},
		{text: e.Fixed, fixed: true},
		{text: e.LastAffected, lastAffected: true},
	} {
		if m.text == "" {
			continue
		}
		if !m.first {
			var err error
			if m.version, err = vs.parse(m.text); err != nil {
				return err
			}
		}
		t.moments = append(t.moments, m)
	}
	if e.Limit != "" && e.Limit != forever {
		limit, err := vs.parse(e.Limit)
		if err != nil {
			return err
		}
		t.limits = append(t.limits, limit)
	}
	return nil
}

// affects is the schema's evaluation: the version is before a limit, if there are
// limits, and the last event at or before it makes it affected.
func (t timeline) affects(v pypi.Version) bool {
	if t.limited && !slices.ContainsFunc(t.limits, func(limit pypi.Version) bool { return v.Compare(limit) < 0 }) {
		return false
	}
	affected := false
	for _, m := range t.moments {
		order := 1
		if !m.first {
			order = v.Compare(m.version)
		}
		if order < 0 {
			break
		}
		// Where one interval ends and another begins nothing changes, and an
		// interval that ends where it begins is empty.
		if m.introduced != m.fixed {
			affected = m.introduced
		}
		if m.lastAffected && order > 0 {
			affected = false
		}
	}
	return affected
}

// fix is the first version at or after v in which the vulnerability is fixed and
// which the range does not affect; "" when the range names none.
func (t timeline) fix(v pypi.Version) string {
	for _, m := range t.moments {
		if m.fixed && !m.introduced && !m.first && m.version.Compare(v) > 0 {
			return m.text
		}
	}
	return ""
}

// vers writes the range as a version range specifier, "vers:pypi/>=1.0|<1.2"; ""
// for one with limits, which that notation has no word for.
func (t timeline) vers() string {
	if t.limited {
		return ""
	}
	var parts []string
	open := false
	for _, m := range t.moments {
		text := url.QueryEscape(m.text)
		switch {
		case m.introduced && m.lastAffected && !open && !m.first:
			parts = append(parts, text)
		case m.introduced && !m.fixed && !open:
			if open = true; !m.first {
				parts = append(parts, ">="+text)
			}
		case m.fixed && !m.introduced && open:
			open = false
			parts = append(parts, "<"+text)
		case m.lastAffected && open:
			open = false
			parts = append(parts, "<="+text)
		}
	}
	switch {
	case len(parts) == 0 && open:
		return "vers:pypi/*"
	case len(parts) == 0:
		return ""
	}
	return "vers:pypi/" + strings.Join(parts, "|")
}

// decision is what one advisory says of one installed version.
type decision struct {
	affected bool
	ranges   []string // version range specifiers of the ranges that affect it
	fixed    string   // the least version that fixes it in all these ranges
	// open are reasons why "not affected" could not be decided.
	open []string
}

// decide evaluates everything that the advisory says of the project.
func decide(r Record, name string, v installed, vs versions) decision {
	var d decision
	for _, a := range r.Affected {
		if a.python() && pypi.Normalize(a.Package.Name) == name {
			d.add(a, v, vs)
		}
	}
	if d.affected {
		d.open = nil
	}
	return d
}

func (d *decision) add(a Affected, v installed, vs versions) {
	listed := v.listed(a.Versions, vs)
	d.affected = d.affected || listed
	evaluated := len(a.Versions) > 0
	git := false
	for _, r := range a.Ranges {
		switch {
		case r.Type == "GIT":
			git = true // commits: a version has none
			continue
		case r.Type != "ECOSYSTEM" && r.Type != "SEMVER":
			d.open = append(d.open, fmt.Sprintf("range of unknown type %.20q", r.Type))
			continue
		case v.err != nil:
			d.open = append(d.open, fmt.Sprintf("installed version %.40q is none of PEP 440", v.text))
			continue
		}
		t, err := newTimeline(r, vs)
		if err != nil {
			d.open = append(d.open, fmt.Sprintf("range that cannot be evaluated: %v", err))
			continue
		}
		evaluated = true
		if !t.affects(v.version) {
			continue
		}
		d.affected = true
		if text := t.vers(); text != "" && !slices.Contains(d.ranges, text) {
			d.ranges = append(d.ranges, text)
		}
		d.later(t.fix(v.version), vs)
	}
	if git && !evaluated {
		d.open = append(d.open, "ranges of commits only, which are not evaluated")
	}
	if !git && !evaluated && len(a.Ranges) == 0 {
		d.open = append(d.open, "neither versions nor ranges")
	}
}

// later keeps the greater one of two fixes: a version is free of the vulnerability
// when it is past both.
func (d *decision) later(fix string, vs versions) {
	if fix == "" {
		return
	}
	if d.fixed == "" {
		d.fixed = fix
		return
	}
	a, errA := vs.parse(d.fixed)
	b, errB := vs.parse(fix)
	if errA == nil && errB == nil && b.Compare(a) > 0 {
		d.fixed = fix
	}
}
