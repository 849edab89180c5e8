package pypi

import (
	"fmt"
	"maps"
	"slices"

	"pip-witness/evidence"
)

// Graph is who depends on whom among installed distributions.
type Graph struct {
	// Requires maps each installed project (normalised) to the projects that its
	// requirements name in this environment, installed or not, sorted.
	Requires map[string][]string
	// Extras are the extras with which each project was asked for, normalised,
	// sorted: by the user, and by the requirements of others.
	Extras map[string][]string
	// InForce says, for each installed project, of its requirements as its metadata
	// spells them whether they apply in this environment. What could not be decided
	// is absent.
	InForce map[string]map[string]bool
	// Missing are requirements in force whose project is not installed, as
	// "name: requirement", sorted.
	Missing []string
	// Problems are requirements that could not be parsed or evaluated, sorted.
	Problems []string
}

// Edges returns the installed projects that an installed project depends on, sorted.
func (g *Graph) Edges(key string) []string {
	var out []string
	for _, dep := range g.Requires[key] {
		if _, ok := g.Requires[dep]; ok {
			out = append(out, dep)
		}
	}
	return out
}

// RequiredBy inverts [Graph.Edges]: the installed projects that depend on key, sorted.
func (g *Graph) RequiredBy(key string) []string {
	var out []string
	for _, from := range slices.Sorted(maps.Keys(g.Requires)) {
		if slices.Contains(g.Requires[from], key) {
			out = append(out, from)
		}
	}
	return out
}

// Dependencies evaluates the requirements of every distribution in the marker
// environment env. extras are the extras that the user asked for by project;
// extras asked for by requirements in force are added until nothing changes. The
// work is bounded: what is beyond it is a problem of the project.
func Dependencies(installed Environment, env map[string]string, extras map[string][]string) Graph {
	w := &graphWalk{env: env, extras: map[string]map[string]bool{}, edges: map[string]map[string]bool{}, asked: map[string][]string{},
		open: map[string][]openRequirement{}, inForce: map[string]map[string]bool{}, problems: map[string]bool{}, missing: map[string]bool{}, budget: maxMarkerWork}
	for _, d := range installed.Distributions {
		if w.edges[d.Key] != nil {
			continue // a second copy is not the one that is imported
		}
		w.edges[d.Key], w.inForce[d.Key] = map[string]bool{}, map[string]bool{}
		for _, text := range d.Metadata.RequiresDist {
			r, err := ParseRequirement(text)
			if err != nil {
				w.problems[fmt.Sprintf("%s: %v", d.Key, err)] = true
				continue
			}
			w.open[d.Key] = append(w.open[d.Key], openRequirement{r, text})
		}
	}
	// Without an extra first: that decides nearly all.
	queue := slices.Sorted(maps.Keys(w.edges))
	for _, key := range queue {
		w.asked[key] = []string{""}
	}
	for name, list := range extras {
		for _, e := range list {
			w.ask(Normalize(name), e)
		}
	}
	for len(queue) > 0 {
		queue = append(queue[1:], w.visit(queue[0])...)
	}
	return w.graph()
}

// graphWalk is the state of [Dependencies].
type graphWalk struct {
	env map[string]string
	// open are the requirements that are not in force so far.
	open map[string][]openRequirement
	// extras are those that a project was asked for with, asked the ones among
	// them that its open requirements were not evaluated for; "" is none.
	extras            map[string]map[string]bool
	asked             map[string][]string
	edges, inForce    map[string]map[string]bool
	problems, missing map[string]bool
	budget            int // bytes of requirements that may still be evaluated
}

type openRequirement struct {
	Requirement
	text string // as written
}

// ask notes that a project is wanted with an extra, and reports whether it has
// to be visited for that: not when it will be anyway.
func (w *graphWalk) ask(key, extra string) bool {
	extra = Normalize(extra)
	if w.extras[key][extra] {
		return false
	}
	if w.extras[key] == nil {
		w.extras[key] = map[string]bool{}
	}
	w.extras[key][extra] = true
	w.asked[key] = append(w.asked[key], extra)
	return len(w.asked[key]) == 1
}

// visit evaluates the open requirements of one project for the extras that are
// new, and returns the projects that have to be visited because of them.
func (w *graphWalk) visit(key string) (again []string) {
	extras := w.asked[key]
	w.asked[key] = nil
	slices.Sort(extras)
	open := w.open[key]
	still := open[:0]
	for i, r := range open {
		if w.budget -= len(r.text) * len(extras); w.budget < 0 {
			w.problems[fmt.Sprintf("%s: requirements were not decided: more than %d bytes to evaluate", key, maxMarkerWork)] = true
			for _, undecided := range open[i:] {
				delete(w.inForce[key], undecided.text)
			}
			break
		}
		ok, err := w.holds(r.Marker, extras)
		switch {
		case err != nil:
			delete(w.inForce[key], r.text)
			w.problems[fmt.Sprintf("%s: requirement %q: %v", key, r, err)] = true
		case !ok:
			w.inForce[key][r.text] = false
			still = append(still, r)
		default:
			w.inForce[key][r.text] = true
			again = append(again, w.force(key, r.Requirement)...)
		}
	}
	w.open[key] = still
	return again
}

// holds reports whether a marker holds with one of the extras.
func (w *graphWalk) holds(m *Marker, extras []string) (bool, error) {
	for _, extra := range extras {
		if ok, err := m.Eval(w.env, extra); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// force adds the edge of a requirement that is in force, and returns the project
// that it is for when that has to be visited.
func (w *graphWalk) force(key string, r Requirement) (again []string) {
	dep := Normalize(r.Name)
	if dep != key {
		w.edges[key][dep] = true
		if w.edges[dep] == nil {
			w.missing[fmt.Sprintf("%s: %s", key, r)] = true
		}
	}
	for _, e := range r.Extras {
		if w.ask(dep, e) && w.edges[dep] != nil {
			again = append(again, dep)
		}
	}
	return again
}

func (w *graphWalk) graph() Graph {
	g := Graph{Requires: map[string][]string{}, Extras: map[string][]string{}, InForce: w.inForce}
	for key, deps := range w.edges {
		g.Requires[key] = slices.Sorted(maps.Keys(deps))
	}
	for key, list := range w.extras {
		if w.edges[key] != nil {
			g.Extras[key] = slices.Sorted(maps.Keys(list))
		}
	}
	g.Missing = slices.Sorted(maps.Keys(w.missing))
	g.Problems = slices.Sorted(maps.Keys(w.problems))
	return g
}

// RequestedExtras collects the extras that the user asked for: from the
// installer's report and from the requirements themselves. Either may be nil.
func RequestedExtras(install *evidence.Installation, report *Report) map[string][]string {
	out := map[string][]string{}
	add := func(name string, extras []string) {
		if key := Normalize(name); len(extras) > 0 {
			out[key] = append(out[key], extras...)
		}
	}
	if report != nil {
		for _, item := range report.Install {
			add(item.Metadata.Name, item.RequestedExtras)
		}
	}
	if install != nil {
		for _, text := range install.Requirements {
			if r, err := ParseRequirement(text); err == nil {
				add(r.Name, r.Extras)
			}
		}
	}
	return out
}

// MarkerEnvironment returns the marker variables of the interpreter, or the ones
// that the installer reported where the interpreter was not asked. It is empty
// when neither is known.
func MarkerEnvironment(install *evidence.Installation, report *Report) map[string]string {
	if install != nil && len(install.Interpreter.MarkerEnv) > 0 {
		return install.Interpreter.MarkerEnv
	}
	if report != nil {
		return report.Environment
	}
	return nil
}
