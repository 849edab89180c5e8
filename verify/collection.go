package verify

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// collection is the evidence of one step, signed by one of the policy's keys.
type collection struct {
	attestation.Collection
	doc      string
	sum      string
	subjects []attestation.Subject
	signers  []attestation.Accepted
	// values are the predicates as engine values, by index, made when first read.
	values map[int]ast.Value
}

// externalAttestation is a predicate outside any step.
type externalAttestation struct{ raw []byte }

func newCollection(doc string, s attestation.Statement, sum string, signers []attestation.Accepted) (*collection, error) {
	c, err := attestation.ParseCollection(s)
	if err != nil {
		return nil, err
	}
	// Two attestations under one name would let one stand in for the other.
	seen := map[string]string{}
	for _, a := range c.Attestations {
		name := attestation.ShortName(a.Type)
		if other, ok := seen[name]; ok {
			return nil, fmt.Errorf("collection %q holds two attestations called %q (%s and %s)", c.Name, name, other, a.Type)
		}
		seen[name] = a.Type
	}
	return &collection{Collection: c, doc: doc, sum: sum, subjects: s.Subject, signers: signers, values: map[int]ast.Value{}}, nil
}

// find returns the index of the attestation that satisfies a type, or -1.
func (c *collection) find(required string) int {
	for i, a := range c.Attestations {
		if attestation.Satisfies(required, a.Type) {
			return i
		}
	}
	return -1
}

// named returns the index of the attestation with a short name, or -1.
func (c *collection) named(short string) int {
	for i, a := range c.Attestations {
		if attestation.ShortName(a.Type) == short {
			return i
		}
	}
	return -1
}

// value turns predicate i into the engine's values, once.
func (c *collection) value(i int) (ast.Value, error) {
	if v, ok := c.values[i]; ok {
		return v, nil
	}
	v, err := ast.ValueFromReader(bytes.NewReader(c.Attestations[i].Attestation))
	if err != nil {
		return nil, fmt.Errorf("read predicate %q: %w", c.Attestations[i].Type, err)
	}
	c.values[i] = v
	return v, nil
}

// coverage is what the capture says of itself; nil when it says nothing.
func (c *collection) coverage() (ast.Value, error) {
	i := c.named("command-run")
	if i < 0 {
		return nil, nil
	}
	v, err := c.value(i)
	if err != nil {
		return nil, err
	}
	if o, ok := v.(ast.Object); ok {
		if t := o.Get(ast.StringTerm("coverage")); t != nil {
			return t.Value, nil
		}
	}
	return nil, nil
}

// exitCode is how the command of the step ended; 0 when nothing says so.
func (c *collection) exitCode() (int, error) {
	i := c.named("command-run")
	if i < 0 {
		return 0, nil
	}
	v, err := c.value(i)
	if err != nil {
		return 0, err
	}
	o, ok := v.(ast.Object)
	if !ok {
		return 0, nil
	}
	t := o.Get(ast.StringTerm("exitcode"))
	if t == nil {
		return 0, nil
	}
	n, ok := t.Value.(ast.Number)
	if !ok {
		return 0, fmt.Errorf("read command-run of %q: exitcode is %s, want a number", c.Name, t)
	}
	code, ok := n.Int()
	if !ok {
		return 0, fmt.Errorf("read command-run of %q: exitcode %s is no whole number", c.Name, n)
	}
	return code, nil
}

// span is the time from the first start to the last end that are said.
func (c *collection) span() (start, end time.Time) {
	for _, a := range c.Attestations {
		if !a.StartTime.IsZero() && (start.IsZero() || a.StartTime.Before(start)) {
			start = a.StartTime
		}
		if a.EndTime.After(end) {
			end = a.EndTime
		}
	}
	return start, end
}

// checkTimes reports why the times of a collection cannot be right.
func (c *collection) checkTimes(now time.Time, sources map[string]*collection) error {
	for _, a := range c.Attestations {
		if !a.EndTime.IsZero() && a.EndTime.Before(a.StartTime) {
			return fmt.Errorf("attestation %q ends before it starts", a.Type)
		}
	}
	start, end := c.span()
	if stamp := c.stamp(); !stamp.IsZero() && end.After(stamp.Add(clockSkew)) {
		return fmt.Errorf("it ends at %s, after its signature was time-stamped (%s)", end.UTC().Format(time.RFC3339), stamp.Format(time.RFC3339))
	}
	if end.After(now.Add(clockSkew)) || start.After(now.Add(clockSkew)) {
		return fmt.Errorf("it ends at %s, which is in the future", end.UTC().Format(time.RFC3339))
	}
	for name, s := range sources {
		before, _ := s.span()
		if !start.IsZero() && !before.IsZero() && start.Add(clockSkew).Before(before) {
			return fmt.Errorf("it started at %s, before the step %q that it reads (%s)",
				start.UTC().Format(time.RFC3339), name, before.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// stamp is the earliest trusted time of the signatures; zero without one.
func (c *collection) stamp() time.Time {
	var earliest time.Time
	for _, s := range c.signers {
		if !s.Stamp.Time.IsZero() && (earliest.IsZero() || s.Stamp.Time.Before(earliest)) {
			earliest = s.Stamp.Time
		}
	}
	return earliest
}

// timeClaim says whose the times of a collection are, where a policy asks for more
// than the signer's word or there is more.
func (c *collection) timeClaim(t attestation.Trust) string {
	var doubts []string
	for _, s := range c.signers {
		if !s.Stamp.Time.IsZero() {
			return fmt.Sprintf("signed at %s or before, says time-stamp authority %q", s.Stamp.Time.Format(time.RFC3339), s.Stamp.Authority)
		}
		doubts = append(doubts, s.Doubts...)
	}
	if len(t.TimestampAuthorities) == 0 {
		return "the times are the signer's own: the policy names no time-stamp authority"
	}
	if len(doubts) > 0 {
		return "the times are the signer's own: " + strings.Join(doubts, "; ")
	}
	return "the times are the signer's own: the signature has no time stamp"
}

// functionary is the signature, among those who may, that the collection rests on;
// the error says why there is none.
func (c *collection) functionary(step policy.Step) (attestation.Accepted, error) {
	return signedBy(step.Functionaries, c.signers)
}
