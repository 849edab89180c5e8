package verify

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// engineNames are the keys of a module's input that the engine gives.
func engineNames() []string { return []string{"attestation", "step", "steps", "external", "coverage"} }

// input builds what a module sees that is bound to attestation bound of the
// collection. Predicates that the module cannot read are left out.
func (o *outcome) input(v *verifier, bound int, reads policy.Reads) (ast.Value, error) {
	c := o.collection
	own, err := c.value(bound)
	if err != nil {
		return nil, err
	}
	in := ownFields(own, c)
	in.Insert(ast.StringTerm("attestation"), ast.NewTerm(own))
	in.Insert(ast.StringTerm("step"), o.stepTerm())
	for i, a := range c.Attestations {
		name := attestation.ShortName(a.Type)
		if slices.Contains(engineNames(), name) || !reads.Name(name) {
			continue
		}
		value, err := c.value(i)
		if err != nil {
			return nil, err
		}
		in.Insert(ast.StringTerm(name), ast.NewTerm(value))
	}
	if reads.Name("coverage") {
		coverage, err := c.coverage()
		if err != nil {
			return nil, err
		}
		if coverage != nil {
			in.Insert(ast.StringTerm("coverage"), ast.NewTerm(coverage))
		}
	}
	steps := ast.NewObject()
	for _, name := range o.step.AttestationsFrom {
		source, err := sourceObject(name, o.sources[name], reads)
		if err != nil {
			return nil, err
		}
		steps.Insert(ast.StringTerm(name), ast.NewTerm(source))
	}
	in.Insert(ast.StringTerm("steps"), ast.NewTerm(steps))
	external, err := v.externalObject(reads)
	if err != nil {
		return nil, err
	}
	in.Insert(ast.StringTerm("external"), ast.NewTerm(external))
	return in, nil
}

// ownFields are the predicate's own top-level fields. A field whose name is one
// that the engine gives, or the short name of an attestation, is left out even
// when there is no such attestation: the predicate of product has file names
// for keys, and no file name may stand in for evidence.
func ownFields(own ast.Value, c *collection) ast.Object {
	in := ast.NewObject()
	object, ok := own.(ast.Object)
	if !ok {
		return in
	}
	reserved := map[string]bool{}
	for _, name := range engineNames() {
		reserved[name] = true
	}
	for _, t := range attestation.Types() {
		reserved[t.Name] = true
	}
	for _, a := range c.Attestations {
		reserved[attestation.ShortName(a.Type)] = true
	}
	object.Foreach(func(key, value *ast.Term) {
		if s, ok := key.Value.(ast.String); ok && !reserved[string(s)] {
			in.Insert(key, value)
		}
	})
	return in
}

// stepTerm is input.step.
func (o *outcome) stepTerm() *ast.Term {
	text := func(key, value string) [2]*ast.Term {
		return [2]*ast.Term{ast.StringTerm(key), ast.StringTerm(value)}
	}
	functionary := ast.ObjectTerm(text("type", policy.FunctionaryPublicKey), text("publickeyid", o.functionary.KeyID()))
	if c := o.functionary.Certificate; c != nil {
		functionary = ast.ObjectTerm(text("type", policy.FunctionaryRoot), text("publickeyid", o.functionary.KeyID()), text("subject", c.Subject.String()))
	}
	return ast.ObjectTerm(
		text("name", o.step.Name),
		text("collection", o.collection.sum),
		[2]*ast.Term{ast.StringTerm("functionary"), functionary},
	)
}

// sourceObject is input.steps[name]: each predicate under its short name and
// under its type as stored.
func sourceObject(name string, c *collection, reads policy.Reads) (ast.Object, error) {
	out := ast.NewObject()
	for i, a := range c.Attestations {
		short := attestation.ShortName(a.Type)
		if !reads.Step(name, short, a.Type) {
			continue
		}
		value, err := c.value(i)
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", name, err)
		}
		out.Insert(ast.StringTerm(a.Type), ast.NewTerm(value))
		if short != "coverage" {
			out.Insert(ast.StringTerm(short), ast.NewTerm(value))
		}
	}
	if !reads.Step(name, "coverage") {
		return out, nil
	}
	coverage, err := c.coverage()
	if err != nil {
		return nil, fmt.Errorf("step %q: %w", name, err)
	}
	if coverage != nil {
		out.Insert(ast.StringTerm("coverage"), ast.NewTerm(coverage))
	}
	return out, nil
}

// externalObject is input.external.
func (v *verifier) externalObject(reads policy.Reads) (ast.Object, error) {
	out := ast.NewObject()
	if !reads.Name("external") {
		return out, nil
	}
	for _, name := range slices.Sorted(maps.Keys(v.external)) {
		value, err := ast.ValueFromReader(bytes.NewReader(v.external[name].raw))
		if err != nil {
			return nil, fmt.Errorf("read external %q: %w", name, err)
		}
		out.Insert(ast.StringTerm(name), ast.NewTerm(value))
	}
	return out, nil
}
