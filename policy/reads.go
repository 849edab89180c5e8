package policy

import "github.com/open-policy-agent/opa/v1/ast"

// Reads is the part of the input that a module can look at, from its text.
// Evidence is large and turning it into the engine's values is most of the cost
// of verification; what no reference can reach need not be turned. Anything
// that is not a plain reference with constant names counts as reading all.
type Reads struct {
	all   bool
	names map[string]bool
	// steps are the names read below input.steps["STEP"]; nil reads all of it.
	steps    map[string]map[string]bool
	allSteps bool
}

// Name reports whether the module can read input[name].
func (r Reads) Name(name string) bool { return r.all || r.names[name] }

// Step reports whether the module can read one of names below input.steps[step].
func (r Reads) Step(step string, names ...string) bool {
	if r.all || r.allSteps {
		return true
	}
	below, ok := r.steps[step]
	if !ok || below == nil {
		return ok
	}
	for _, n := range names {
		if below[n] {
			return true
		}
	}
	return false
}

// readsOf looks at compiled modules, where imports and aliases are resolved.
func readsOf(c *ast.Compiler) Reads {
	r := Reads{names: map[string]bool{}, steps: map[string]map[string]bool{}}
	for _, m := range c.Modules {
		for _, rule := range m.Rules {
			ast.WalkTerms(rule, r.visit)
		}
	}
	return r
}

// visit notes one term; a reference to the input is walked past its head, which
// alone would mean the whole input.
func (r *Reads) visit(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		r.all = r.all || t.Equal(ast.InputRootDocument)
	case ast.Ref:
		if !v[0].Equal(ast.InputRootDocument) {
			return false
		}
		r.add(v)
		for _, rest := range v[1:] {
			ast.WalkTerms(rest, r.visit)
		}
		return true
	}
	return false
}

func (r *Reads) add(ref ast.Ref) {
	name, ok := constant(ref, 1)
	if !ok {
		r.all = true
		return
	}
	r.names[name] = true
	if name != "steps" {
		return
	}
	step, ok := constant(ref, 2)
	if !ok {
		r.allSteps = true
		return
	}
	below, seen := r.steps[step]
	inner, ok := constant(ref, 3)
	switch {
	case !ok:
		r.steps[step] = nil
	case seen && below == nil:
	default:
		if below == nil {
			below = map[string]bool{}
			r.steps[step] = below
		}
		below[inner] = true
	}
}
