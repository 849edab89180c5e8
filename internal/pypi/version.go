package pypi

import (
	"fmt"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

// Version is a version of PEP 440. The zero value is no version.
type Version struct {
	v       pep440.Version
	epoch   string   // decimal without leading zeros; "0" when absent
	release []string // decimal segments without leading zeros
	base    string   // canonical text without pre, post, dev and local parts
	local   string
}

// ParseVersion reads a version of PEP 440, normalising its spelling.
func ParseVersion(s string) (Version, error) {
	if len(s) > maxVersionLen {
		return Version{}, fmt.Errorf("parse version: %d bytes, want at most %d", len(s), maxVersionLen)
	}
	text := strings.TrimSpace(s)
	// The library splits the local part at '.' only; the other two separators mean the same.
	if public, local, ok := strings.Cut(text, "+"); ok {
		text = public + "+" + strings.NewReplacer("-", ".", "_", ".").Replace(local)
	}
	v, err := pep440.Parse(text)
	if err != nil {
		return Version{}, fmt.Errorf("parse version %q: not a version of PEP 440", s)
	}
	out := Version{v: v, local: normalLocal(v.Local())}
	out.epoch, out.release, out.base = releaseOf(v.Public())
	return out, nil
}

// normalLocal removes the leading zeros of numeric local segments.
func normalLocal(local string) string {
	if local == "" {
		return ""
	}
	parts := strings.Split(local, ".")
	for i, p := range parts {
		if strings.Trim(p, "0123456789") == "" {
			if p = strings.TrimLeft(p, "0"); p == "" {
				p = "0"
			}
			parts[i] = p
		}
	}
	return strings.Join(parts, ".")
}

// releaseOf splits the epoch and the release segments from a canonical version.
func releaseOf(canonical string) (epoch string, release []string, base string) {
	epoch, rest, ok := strings.Cut(canonical, "!")
	if !ok {
		epoch, rest = "0", canonical
	}
	end := 0
	for end < len(rest) {
		c := rest[end]
		if c >= '0' && c <= '9' || c == '.' && end+1 < len(rest) && rest[end+1] >= '0' && rest[end+1] <= '9' {
			end++
			continue
		}
		break
	}
	return epoch, strings.Split(rest[:end], "."), canonical[:len(canonical)-len(rest)+end]
}

// String returns the normalised version, "" for the zero value.
func (v Version) String() string {
	if v.release == nil {
		return ""
	}
	if v.local != "" {
		return v.v.Public() + "+" + v.local
	}
	return v.v.Public()
}

// Public returns the normalised version without its local part.
func (v Version) Public() string {
	if v.release == nil {
		return ""
	}
	return v.v.Public()
}

// IsPreRelease reports whether v is an alpha, beta, candidate or development release.
func (v Version) IsPreRelease() bool { return v.v.IsPreRelease() }

// Compare orders versions as PEP 440 does: negative, zero or positive.
func (v Version) Compare(o Version) int { return v.v.Compare(o.v) }

// public is v without its local part.
func (v Version) public() Version {
	if v.local == "" {
		return v
	}
	p, err := ParseVersion(v.v.Public())
	if err != nil {
		return v // a canonical public version always parses
	}
	return p
}

// sameBase compares epoch and release, trailing zeros ignored.
func (v Version) sameBase(o Version) bool {
	return v.epoch == o.epoch && hasRelease(v.release, o.release) && hasRelease(o.release, v.release)
}

// hasRelease reports whether release, padded with zeros, starts with prefix.
func hasRelease(release, prefix []string) bool {
	for i, p := range prefix {
		have := "0"
		if i < len(release) {
			have = release[i]
		}
		if have != p {
			return false
		}
	}
	return true
}

// Specifier is one clause of a version specifier, such as ">=2.0" or "==1.*".
type Specifier struct {
	// Op is one of ==, !=, <=, >=, <, >, ~=, ===.
	Op string
	// Version is the text after the operator, without spaces.
	Version string

	version  Version
	wildcard bool
}

// Specifiers is a comma-separated list of clauses, all of which must hold. An
// empty list matches every version.
type Specifiers []Specifier

// ParseSpecifiers reads a version specifier of PEP 440. The empty string is
// the empty list.
func ParseSpecifiers(s string) (Specifiers, error) {
	if len(s) > maxRequirementLen {
		return nil, fmt.Errorf("parse version specifier: %d bytes, want at most %d", len(s), maxRequirementLen)
	}
	var out Specifiers
	for clause := range strings.SplitSeq(s, ",") {
		clause = strings.TrimSpace(clause)
		if clause == "" {
			continue
		}
		spec, err := parseSpecifier(clause)
		if err != nil {
			return nil, err
		}
		out = append(out, spec)
	}
	return out, nil
}

func parseSpecifier(clause string) (Specifier, error) {
	op := operatorOf(clause)
	text := strings.TrimSpace(clause[len(op):])
	spec := Specifier{Op: op, Version: text}
	bad := func(why string) (Specifier, error) {
		return Specifier{}, fmt.Errorf("parse version specifier %q: %s", clause, why)
	}
	switch {
	case op == "":
		return bad("want an operator (==, !=, <=, >=, <, >, ~= or ===) before the version")
	case text == "" || strings.ContainsAny(text, " \t\r\n\f\v;)"):
		return bad("want one version after the operator")
	case op == "===":
		return spec, nil
	}
	if prefix, ok := strings.CutSuffix(text, ".*"); ok {
		if op != "==" && op != "!=" {
			return bad("\".*\" goes with == and != only")
		}
		spec.wildcard, text = true, prefix
	}
	v, err := ParseVersion(text)
	if err != nil {
		return bad("not a version of PEP 440")
	}
	spec.version = v
	switch {
	case spec.wildcard && (v.Public() != v.base || v.local != ""):
		return bad("\".*\" goes with a plain release only")
	case v.local != "" && op != "==" && op != "!=":
		return bad("a local version goes with == and != only")
	case op == "~=" && len(v.release) < 2:
		return bad("~= needs a release of two or more numbers")
	}
	return spec, nil
}

// operatorOf returns the comparison operator that s starts with, "" for none.
func operatorOf(s string) string {
	for _, op := range []string{"===", "==", "~=", "!=", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

// Match reports whether v satisfies every clause. Pre-releases are candidates
// like any other version.
func (s Specifiers) Match(v Version) bool {
	for _, spec := range s {
		if !spec.match(v) {
			return false
		}
	}
	return true
}

// String returns the clauses joined by commas.
func (s Specifiers) String() string {
	parts := make([]string, len(s))
	for i, spec := range s {
		parts[i] = spec.Op + spec.Version
	}
	return strings.Join(parts, ",")
}

// match is PEP 440, "Version specifiers", one operator a case.
func (s Specifier) match(v Version) bool {
	switch s.Op {
	case "==":
		return s.equal(v)
	case "!=":
		return !s.equal(v)
	case "<=":
		return v.public().Compare(s.version) <= 0
	case ">=":
		return v.public().Compare(s.version) >= 0
	case "<":
		// 3.1.dev0 is before 3.1, yet not what "<3.1" asks for.
		return v.Compare(s.version) < 0 &&
			(s.version.IsPreRelease() || !v.IsPreRelease() || !v.sameBase(s.version))
	case ">":
		// Neither 3.1.post1 nor 3.1+local is what ">3.1" asks for.
		return v.Compare(s.version) > 0 &&
			(s.version.v.IsPostRelease() || !v.v.IsPostRelease() || !v.sameBase(s.version)) &&
			(v.local == "" || !v.sameBase(s.version))
	case "~=":
		prefix := s.version.release[:len(s.version.release)-1]
		return v.public().Compare(s.version) >= 0 && v.epoch == s.version.epoch && hasRelease(v.release, prefix)
	case "===":
		return strings.EqualFold(v.String(), s.Version)
	}
	return false
}

func (s Specifier) equal(v Version) bool {
	if s.wildcard {
		return v.epoch == s.version.epoch && hasRelease(v.release, s.version.release)
	}
	if s.version.local == "" {
		v = v.public()
	}
	return v.Compare(s.version) == 0
}
