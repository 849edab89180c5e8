package pypi

import (
	"fmt"
	"slices"
	"strings"
)

// Marker is an environment marker of PEP 508, for example
// `python_version < "3.11" and extra == "socks"`.
type Marker struct {
	// op is "and" or "or" with two or more children, or a comparison operator
	// (==, !=, <, <=, >, >=, ~=, ===, "in", "not in") with two operands.
	op       string
	children []*Marker
	left     operand
	right    operand
}

// operand is a variable of the environment or a quoted string.
type operand struct {
	variable bool
	text     string
}

// ParseMarker reads one marker.
func ParseMarker(s string) (*Marker, error) {
	if len(s) > maxRequirementLen {
		return nil, fmt.Errorf("parse marker: %d bytes, want at most %d", len(s), maxRequirementLen)
	}
	p := &scanner{text: s}
	m, err := p.marker()
	if err != nil {
		return nil, fmt.Errorf("parse marker %q: column %d: %w", s, p.pos+1, err)
	}
	if p.space(); !p.end() {
		return nil, fmt.Errorf("parse marker %q: column %d: want the end of the marker", s, p.pos+1)
	}
	return m, nil
}

// Eval evaluates the marker. env holds the variables of PEP 508; extra is the
// requested extra, "" for none (an env entry "extra" is ignored). A nil marker
// holds. A variable that env does not have and a comparison that PEP 508 does
// not define are errors.
func (m *Marker) Eval(env map[string]string, extra string) (bool, error) {
	if m == nil {
		return true, nil
	}
	switch m.op {
	case "and", "or":
		// Both sides are always evaluated: an error on either side is an error.
		result := m.op == "and"
		for _, c := range m.children {
			got, err := c.Eval(env, extra)
			if err != nil {
				return false, err
			}
			if m.op == "and" {
				result = result && got
			} else {
				result = result || got
			}
		}
		return result, nil
	}
	// As installers do: of two variables the right one is taken for its text.
	variable, literal := m.left, m.right
	if !variable.variable {
		variable, literal = m.right, m.left
	}
	if !variable.variable {
		return false, fmt.Errorf("evaluate marker: no variable in %q", m)
	}
	value, err := variable.value(env, extra)
	if err != nil {
		return false, err
	}
	left, right := value, literal.text
	if !m.left.variable {
		left, right = right, left
	}
	return compareMarker(variable.text, left, m.op, right)
}

// String writes the marker in one canonical spelling.
func (m *Marker) String() string {
	if m.op != "and" && m.op != "or" {
		return m.left.String() + " " + m.op + " " + m.right.String()
	}
	parts := make([]string, len(m.children))
	for i, c := range m.children {
		if parts[i] = c.String(); c.op == "or" && m.op == "and" {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, " "+m.op+" ")
}

func (o operand) String() string {
	switch {
	case o.variable:
		return o.text
	case strings.Contains(o.text, `"`):
		return "'" + o.text + "'"
	}
	return `"` + o.text + `"`
}

func (o operand) value(env map[string]string, extra string) (string, error) {
	switch {
	case !o.variable:
		return o.text, nil
	case o.text == "extra":
		return extra, nil
	}
	v, ok := env[o.text]
	if !ok {
		return "", fmt.Errorf("evaluate marker: the environment does not say %q", o.text)
	}
	return v, nil
}

// compareMarker compares as versions where the variable is one and the right
// side is a valid specifier, else as strings. Order is not defined between
// strings: < and > are false, <= and >= mean equality.
func compareMarker(key, left, op, right string) (bool, error) {
	switch key {
	case "extra":
		left, right = Normalize(left), Normalize(right)
	case "python_version", "python_full_version", "implementation_version", "platform_release":
		if op == "in" || op == "not in" {
			break
		}
		if spec, err := parseSpecifier(op + right); err == nil {
			if op == "===" {
				return strings.EqualFold(left, right), nil
			}
			v, err := ParseVersion(left)
			return err == nil && spec.match(v), nil
		}
	}
	switch op {
	case "in":
		return strings.Contains(right, left), nil
	case "not in":
		return !strings.Contains(right, left), nil
	case "==", "<=", ">=":
		return left == right, nil
	case "!=":
		return left != right, nil
	case "<", ">":
		return false, nil
	}
	return false, fmt.Errorf("evaluate marker: %q is not defined between %q and %q", op, left, right)
}

// marker reads "or" over "and" over atoms.
func (p *scanner) marker() (*Marker, error) {
	return p.junction("or", func() (*Marker, error) { return p.junction("and", p.atom) })
}

func (p *scanner) junction(word string, next func() (*Marker, error)) (*Marker, error) {
	first, err := next()
	if err != nil {
		return nil, err
	}
	all := []*Marker{first}
	for p.space(); p.word(word); p.space() {
		m, err := next()
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if len(all) == 1 {
		return first, nil
	}
	return &Marker{op: word, children: all}, nil
}

// word consumes a keyword that is not part of a longer name.
func (p *scanner) word(w string) bool {
	rest := p.rest()
	if !strings.HasPrefix(rest, w) || len(rest) > len(w) && (isAlnum(rest[len(w)]) || rest[len(w)] == '_') {
		return false
	}
	p.pos += len(w)
	return true
}

func (p *scanner) atom() (*Marker, error) {
	p.space()
	if p.take("(") {
		if p.depth++; p.depth > maxMarkerDepth {
			return nil, fmt.Errorf("more than %d nested parentheses", maxMarkerDepth)
		}
		m, err := p.marker()
		if err != nil {
			return nil, err
		}
		p.depth--
		if p.space(); !p.take(")") {
			return nil, fmt.Errorf("want ')'")
		}
		return m, nil
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	op, err := p.markerOp()
	if err != nil {
		return nil, err
	}
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &Marker{op: op, left: left, right: right}, nil
}

func (p *scanner) markerOp() (string, error) {
	p.space()
	if op := operatorOf(p.rest()); op != "" {
		p.pos += len(op)
		return op, nil
	}
	if p.word("in") {
		return "in", nil
	}
	if p.word("not") {
		if p.space(); p.word("in") {
			return "not in", nil
		}
	}
	return "", fmt.Errorf("want a comparison operator")
}

func (p *scanner) operand() (operand, error) {
	p.space()
	for _, quote := range []string{`"`, "'"} {
		if p.take(quote) {
			text, _, ok := strings.Cut(p.rest(), quote)
			if !ok {
				return operand{}, fmt.Errorf("quoted string without its end")
			}
			p.pos += len(text) + 1
			return operand{text: text}, nil
		}
	}
	start := p.pos
	for !p.end() && (isAlnum(p.text[p.pos]) || p.text[p.pos] == '_' || p.text[p.pos] == '.') {
		p.pos++
	}
	name, ok := markerVariable(p.text[start:p.pos])
	if !ok {
		p.pos = start
		return operand{}, fmt.Errorf("want a marker variable or a quoted string")
	}
	return operand{variable: true, text: name}, nil
}

// markerVariable maps the names of PEP 508, and the older spellings with a dot,
// to the name used in an environment.
func markerVariable(name string) (string, bool) {
	switch name {
	case "os.name":
		return "os_name", true
	case "sys.platform":
		return "sys_platform", true
	case "platform.version":
		return "platform_version", true
	case "platform.machine":
		return "platform_machine", true
	case "platform.python_implementation", "python_implementation":
		return "platform_python_implementation", true
	}
	known := []string{
		"python_version", "python_full_version", "os_name", "sys_platform", "platform_release",
		"platform_system", "platform_version", "platform_machine", "platform_python_implementation",
		"implementation_name", "implementation_version", "extra", "extras", "dependency_groups",
	}
	return name, slices.Contains(known, name)
}
