package pipinstall

import "strings"

// maxCalls bounds the calls of one file that are followed.
const maxCalls = 20_000

// callGraph says which functions of a file run when it is imported: those that
// are called at the level of the module, and what these call. Names stand for
// themselves; a function that is reached by other ways is not found.
type callGraph struct {
	functions map[string]bool     // "name" and "Class.name"
	methods   map[string][]string // "name" → "Class.name"
	now       map[string]bool     // called at the level of the module, as written
	from      map[string][]string // function → what it calls, as written
	calls     int
}

func newCallGraph() callGraph {
	return callGraph{functions: map[string]bool{}, methods: map[string][]string{}, now: map[string]bool{}, from: map[string][]string{}}
}

// define notes a function by its qualified name.
func (g *callGraph) define(name string, b block) {
	if b.kind != blockFunction || name == "" || g.functions[name] || len(g.functions) >= maxCalls {
		return
	}
	g.functions[name] = true
	if _, method, ok := strings.Cut(name, "."); ok {
		g.methods[method] = append(g.methods[method], name)
	}
}

// call notes a call of a name at a place.
func (g *callGraph) call(where place, name string) {
	if g.calls++; g.calls > maxCalls {
		return
	}
	switch {
	case !where.deferred:
		g.now[name] = true
	case where.in != "":
		g.from[where.in] = append(g.from[where.in], name)
	}
}

// reached returns the functions that run at import, each with the one that is
// called at the level of the module.
func (g *callGraph) reached() map[string]string {
	out := map[string]string{}
	made := map[string]bool{} // classes of which there are objects
	type step struct{ caller, name, root string }
	var queue, waiting []step
	for name := range g.now {
		queue = append(queue, step{"", name, ""})
	}
	visit := func(function, root string) {
		if !g.functions[function] {
			return
		}
		if root == "" {
			root = function
		}
		if old, ok := out[function]; ok && old <= root {
			return // the least name, whatever the order: the answer must not vary
		}
		out[function] = root
		for _, name := range g.from[function] {
			queue = append(queue, step{function, name, root})
		}
	}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		visit(s.name, s.root)
		class, _, _ := strings.Cut(s.caller, ".")
		object, method, dot := strings.Cut(s.name, ".")
		if dot && (object == "self" || object == "cls") {
			visit(class+"."+method, s.root)
			continue
		}
		for _, special := range []string{"__init__", "__new__", "__post_init__"} {
			if made[s.name] = made[s.name] || g.functions[s.name+"."+special]; made[s.name] {
				visit(s.name+"."+special, s.root)
			}
		}
		if i := strings.LastIndexByte(s.name, '.'); i >= 0 && len(g.methods[s.name[i+1:]]) > 0 {
			waiting = append(waiting, s)
		}
		if len(queue) == 0 {
			// Objects have no type here: a method runs if its class is called at all.
			for _, w := range waiting {
				for _, full := range g.methods[w.name[strings.LastIndexByte(w.name, '.')+1:]] {
					if class, _, _ := strings.Cut(full, "."); made[class] || g.now[class] {
						visit(full, w.root)
					}
				}
			}
		}
	}
	return out
}

// reach marks what runs at import through a call.
func (r *sourceReader) reach() {
	reached := r.graph.reached()
	if len(reached) == 0 {
		return
	}
	for _, list := range [][]observation{r.facts.imports, r.facts.calls, r.facts.hooks, r.facts.files, r.facts.encoded, r.facts.obscured} {
		for i := range list {
			if root, ok := reached[list[i].in]; ok && list[i].deferred {
				list[i].deferred, list[i].through = false, root
			}
		}
	}
}
