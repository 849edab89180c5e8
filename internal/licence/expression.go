// Package licence reads what Python packages say of their licence: SPDX
// expressions (SPDX 2.3, annex D), the names and classifiers that stand for one
// identifier of the SPDX licence list, and licence texts. What is not certain
// stays a name: nothing here guesses.
package licence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits on one expression. The longest of a real package has some 200 bytes;
// alternatives multiply, so they have a bound of their own.
const (
	maxExpression   = 4 << 10 // 4 KiB
	maxDepth        = 32      // nested parentheses
	maxAlternatives = 64
)

// ErrTooComplex is returned for an expression with more alternatives than are
// written out.
var ErrTooComplex = errors.New("more alternatives than are written out")

// Expression is a licence expression in normal spelling.
type Expression struct {
	// op is "AND" or "OR" over two or more children, "" for one term.
	op       string
	children []Expression
	term     string // "MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "LicenseRef-x"
}

// String writes the expression with the list's spelling of identifiers, capital
// operators and no parentheses that change nothing.
func (e Expression) String() string {
	if e.op == "" {
		return e.term
	}
	parts := make([]string, len(e.children))
	for i, c := range e.children {
		parts[i] = c.String()
		if c.op == "OR" && e.op == "AND" {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, " "+e.op+" ")
}

// Single returns the identifier of the SPDX list that the expression consists
// of, "" when it is anything else.
func (e Expression) Single() string {
	if id, ok := ID(e.term); ok {
		return id
	}
	return ""
}

// Terms returns every licence of the expression with its exception, sorted, each
// once.
func (e Expression) Terms() []string {
	var terms []string
	var visit func(Expression)
	visit = func(e Expression) {
		if e.op == "" {
			terms = append(terms, e.term)
		}
		for _, c := range e.children {
			visit(c)
		}
	}
	visit(e)
	slices.Sort(terms)
	return slices.Compact(terms)
}

// Alternatives returns the ways to comply: each is the sorted terms that apply
// together, and one of them has to be met. The error is [ErrTooComplex].
func (e Expression) Alternatives() ([][]string, error) {
	if e.op == "" {
		return [][]string{{e.term}}, nil
	}
	ways := [][]string{}
	if e.op == "AND" {
		ways = append(ways, nil)
	}
	for _, c := range e.children {
		more, err := c.Alternatives()
		if err != nil {
			return nil, err
		}
		if e.op == "OR" {
			ways = append(ways, more...)
		} else {
			ways = combine(ways, more)
		}
		if len(ways) > maxAlternatives {
			return nil, ErrTooComplex
		}
	}
	slices.SortFunc(ways, slices.Compare)
	return slices.CompactFunc(ways, slices.Equal), nil
}

// combine joins every way of the one with every way of the other.
func combine(a, b [][]string) [][]string {
	var all [][]string
	for _, x := range a {
		for _, y := range b {
			way := slices.Concat(x, y)
			slices.Sort(way)
			all = append(all, slices.Compact(way))
		}
	}
	return all
}

// Parse reads an expression; operators and identifiers may be in any case.
func Parse(s string) (Expression, error) {
	if len(s) > maxExpression {
		return Expression{}, fmt.Errorf("parse licence expression: %d bytes, want at most %d", len(s), maxExpression)
	}
	p := &parser{tokens: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))}
	e, err := p.expression("OR")
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("want AND, OR or the end before %q", p.tokens[0])
	}
	if err != nil {
		return Expression{}, fmt.Errorf("parse licence expression %q: %w", s, err)
	}
	return e, nil
}

// parser reads tokens from left to right: OR over AND over terms.
type parser struct {
	tokens []string
	depth  int
}

// take consumes a token, case aside, when it comes next.
func (p *parser) take(token string) bool {
	if len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], token) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) expression(op string) (Expression, error) {
	next := p.operand
	if op == "OR" {
		next = func() (Expression, error) { return p.expression("AND") }
	}
	all := Expression{op: op}
	for {
		e, err := next()
		if err != nil {
			return Expression{}, err
		}
		// A parenthesis around the same operator changes nothing.
		if e.op == op {
			all.children = append(all.children, e.children...)
		} else {
			all.children = append(all.children, e)
		}
		if !p.take(op) {
			break
		}
	}
	if len(all.children) == 1 {
		return all.children[0], nil
	}
	return all, nil
}

func (p *parser) operand() (Expression, error) {
	if p.take("(") {
		if p.depth++; p.depth > maxDepth {
			return Expression{}, fmt.Errorf("more than %d nested parentheses", maxDepth)
		}
		e, err := p.expression("OR")
		if err != nil {
			return e, err
		}
		p.depth--
		if !p.take(")") {
			return Expression{}, errors.New("want ')'")
		}
		return e, nil
	}
	if len(p.tokens) == 0 {
		return Expression{}, errors.New("want a licence at the end")
	}
	token := p.tokens[0]
	p.tokens = p.tokens[1:]
	term, err := licenceTerm(token)
	if err != nil {
		return Expression{}, err
	}
	if p.take("WITH") {
		exception, err := p.exception()
		if err != nil {
			return Expression{}, err
		}
		term += " WITH " + exception
	}
	return Expression{term: term}, nil
}

func (p *parser) exception() (string, error) {
	if len(p.tokens) == 0 {
		return "", errors.New("want an exception at the end")
	}
	token := p.tokens[0]
	id, ok := spdx().exceptions[strings.ToLower(token)]
	if !ok {
		return "", fmt.Errorf("%q is no exception of the SPDX list", token)
	}
	p.tokens = p.tokens[1:]
	return id, nil
}

// licenceTerm reads an identifier, with a plus sign for later versions, or a
// reference to a licence that the list does not have.
func licenceTerm(token string) (string, error) {
	const prefix = "LicenseRef-"
	if len(token) > len(prefix) && strings.EqualFold(token[:len(prefix)], prefix) {
		if name := token[len(prefix):]; validRef(name) {
			return prefix + name, nil
		}
		return "", fmt.Errorf("%q is no licence reference", token)
	}
	name, later := strings.CutSuffix(token, "+")
	if id, ok := ID(token); ok { // "GPL-2.0+" is an identifier of its own
		return id, nil
	}
	id, ok := ID(name)
	if !ok {
		return "", fmt.Errorf("%q is no licence of the SPDX list", token)
	}
	if later {
		id += "+"
	}
	return id, nil
}

// validRef accepts the characters of an SPDX idstring.
func validRef(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return name != ""
}
