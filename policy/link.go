package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Prefixes of the rules that linking adds to a module; a module must not use
// them itself.
const (
	libraryPrefix   = "_lib_"
	indicatorPrefix = "_indicators_"
)

// modulePrefix is put before the name of a shipped module that serves another one
// as a library.
const modulePrefix = "module_"

// Catalogue is the set of shipped modules with the library and the indicator
// data that they share.
type Catalogue struct {
	modules    map[string][]byte
	libraries  map[string]*library
	indicators map[string]any
}

// library is one shared package: pip_witness.lib.NAME, or a shipped module.
type library struct {
	scope scope
	rules map[ast.Var][]*ast.Rule // in file order
}

// LoadCatalogue reads NAME.rego (the modules), lib/NAME.rego and
// indicators/NAME.yaml; tests (*_test.rego) are left out. Indicators change the
// shipped data: see [ParseIndicators].
func LoadCatalogue(files fs.FS, indicators map[string]any) (*Catalogue, error) {
	c := &Catalogue{modules: map[string][]byte{}, libraries: map[string]*library{}, indicators: map[string]any{}}
	err := each(files, "*.rego", func(name string, data []byte) error {
		c.modules[name] = data
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(files, "lib/*.rego", func(name string, data []byte) error {
		l, err := c.readLibrary("pip_witness.lib", name, name, data)
		c.libraries[name] = l
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := readIndicators(files, c.indicators); err != nil {
		return nil, err
	}
	return c, c.merge(indicators)
}

// each calls f for every file of the pattern that is not a test, by name.
func each(files fs.FS, pattern string, f func(name string, data []byte) error) error {
	found, err := fs.Glob(files, pattern)
	if err != nil {
		return fmt.Errorf("list rules %q: %w", pattern, err)
	}
	for _, file := range found {
		name := strings.TrimSuffix(path.Base(file), path.Ext(file))
		if strings.HasSuffix(name, "_test") {
			continue
		}
		data, err := fs.ReadFile(files, file)
		if err != nil {
			return fmt.Errorf("read rules %q: %w", file, err)
		}
		if err := f(name, data); err != nil {
			return err
		}
	}
	return nil
}

// Names are the shipped modules, sorted.
func (c *Catalogue) Names() []string { return slices.Sorted(maps.Keys(c.modules)) }

// Module is the text of a shipped module before it is linked.
func (c *Catalogue) Module(name string) ([]byte, bool) {
	src, ok := c.modules[name]
	return src, ok
}

func (c *Catalogue) merge(changes map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		base, ok := c.indicators[name]
		if !ok {
			return fmt.Errorf("unknown indicators %q: there are %s", name, quoteList(slices.Sorted(maps.Keys(c.indicators))))
		}
		merged, err := mergeValue(base, changes[name])
		if err != nil {
			return fmt.Errorf("indicators %q: %w", name, err)
		}
		c.indicators[name] = merged
	}
	return nil
}

func mergeValue(base, change any) (any, error) {
	switch b := base.(type) {
	case []any:
		list, ok := change.([]any)
		if !ok {
			return nil, fmt.Errorf("want a list, have %T", change)
		}
		return slices.Concat(b, list), nil
	case map[string]any:
		m, ok := change.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("want a map, have %T", change)
		}
		out := maps.Clone(b)
		for key, v := range m {
			old, exists := b[key]
			if !exists {
				out[key] = v
				continue
			}
			if key == "source" && old != v {
				// Whose word an entry is stays told, for the shipped ones too.
				v = fmt.Sprintf("%v; %v", old, v)
			}
			merged, err := mergeValue(old, v)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", key, err)
			}
			out[key] = merged
		}
		return out, nil
	}
	return change, nil
}

// Link returns the module as one self-contained text: the rules of the library
// and of other shipped modules that it reaches, and the indicator data, become
// rules of its own package, under names with a private prefix. The same input
// gives the same bytes. A module that uses none of them is returned as it is.
func (c *Catalogue) Link(name string, src []byte) ([]byte, error) {
	m, version, err := parseModule(name, src)
	if err != nil {
		return nil, err
	}
	s, err := c.newScope(m, "")
	if err != nil {
		// Imports that linking cannot follow are none of its business in a
		// module that uses no library.
		if !c.mentionsShared(m) {
			return src, nil
		}
		return nil, fmt.Errorf("link module %q: %w", name, err)
	}
	if !c.mentionsShared(m) {
		return src, nil
	}
	if version == ast.RegoV0 {
		return nil, fmt.Errorf("link module %q: it is not Rego v1, so it cannot use the shared library", name)
	}
	l := &linker{catalogue: c, added: map[ast.Var][]*ast.Rule{}, modules: map[string]*library{}, data: map[string]bool{}}
	var own []*ast.Rule
	for _, r := range m.Rules {
		if isPrivate(ruleName(r)) {
			return nil, fmt.Errorf("link module %q: rule %q: the prefix is reserved", name, ruleName(r))
		}
		linked, err := l.rewrite(r, s)
		if err != nil {
			return nil, fmt.Errorf("link module %q: %w", name, err)
		}
		own = append(own, linked)
	}
	if err := l.resolve(); err != nil {
		return nil, fmt.Errorf("link module %q: %w", name, err)
	}
	out, err := l.text(m.Package, own)
	if err != nil {
		return nil, fmt.Errorf("link module %q: %w", name, err)
	}
	return out, nil
}

func isPrivate(v ast.Var) bool {
	return strings.HasPrefix(string(v), libraryPrefix) || strings.HasPrefix(string(v), indicatorPrefix)
}

// shared reports whether ref lies in the library, the indicators or a shipped
// module, and in which of the first two. A module is given as the library that it
// then is.
func (c *Catalogue) shared(ref ast.Ref) (full ast.Ref, kind string, ok bool) {
	if len(ref) < 3 || !ref[0].Equal(ast.DefaultRootDocument) || !ref[1].Equal(ast.StringTerm("pip_witness")) {
		return ref, "", false
	}
	s, ok := constant(ref, 2)
	switch {
	case !ok:
		return ref, "", false
	case s == "lib" || s == "indicators":
		return ref, s, true
	case c.modules[s] != nil:
		library := ast.StringTerm(modulePrefix + s)
		return slices.Concat(ref[:2], ast.Ref{ast.StringTerm("lib"), library}, ref[3:]), "lib", true
	}
	return ref, "", false
}

func (c *Catalogue) mentionsShared(m *ast.Module) bool {
	found := false
	look := func(ref ast.Ref) bool {
		_, _, ok := c.shared(ref)
		found = found || ok
		return found
	}
	for _, i := range m.Imports {
		ast.WalkRefs(i, look)
	}
	for _, r := range m.Rules {
		ast.WalkRefs(r, look)
	}
	return found
}

// scope is what names mean in one module.
type scope struct {
	imports map[ast.Var]ast.Ref
	// library is the library's name, empty for the module that is linked; own
	// are then its rules.
	library string
	own     map[ast.Var]bool
}

func (c *Catalogue) newScope(m *ast.Module, libraryName string) (scope, error) {
	s := scope{imports: map[ast.Var]ast.Ref{}, library: libraryName, own: map[ast.Var]bool{}}
	for _, i := range m.Imports {
		ref, ok := i.Path.Value.(ast.Ref)
		if !ok || len(ref) == 0 {
			continue
		}
		head, ok := ref[0].Value.(ast.Var)
		if !ok {
			continue
		}
		if head == "rego" || head == "future" {
			continue
		}
		ref, _, ok = c.shared(ref)
		if !ok && head != "input" {
			return s, fmt.Errorf("import %s: only pip_witness.lib, pip_witness.indicators, shipped modules and input can be linked", ref)
		}
		s.imports[i.Name()] = ref
	}
	for _, r := range m.Rules {
		s.own[ruleName(r)] = true
	}
	return s, nil
}

// readLibrary reads the package parent.name, which others see as the library
// called key.
func (c *Catalogue) readLibrary(parent, name, key string, data []byte) (*library, error) {
	m, version, err := parseModule(name, data)
	if err != nil {
		return nil, err
	}
	if want := ast.MustParseRef("data." + parent).Append(ast.StringTerm(name)); !m.Package.Path.Equal(want) {
		return nil, fmt.Errorf("read %q: its package is %s, want %s", name, m.Package.Path, want)
	}
	if version != ast.RegoV1 {
		return nil, fmt.Errorf("read %q: it is not Rego v1", name)
	}
	s, err := c.newScope(m, key)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	l := &library{scope: s, rules: map[ast.Var][]*ast.Rule{}}
	for _, r := range m.Rules {
		l.rules[ruleName(r)] = append(l.rules[ruleName(r)], r)
	}
	return l, nil
}

// linker collects what one module reaches.
type linker struct {
	catalogue *Catalogue
	added     map[ast.Var][]*ast.Rule // library rules by private name, rewritten
	modules   map[string]*library     // shipped modules that serve as libraries
	data      map[string]bool         // indicators in use
	queue     []libraryRule
	seen      map[libraryRule]bool
}

type libraryRule struct {
	library string
	rule    ast.Var
}

func (n libraryRule) private() ast.Var {
	return ast.Var(libraryPrefix + n.library + "_" + string(n.rule))
}

func (l *linker) need(n libraryRule) error {
	lib, err := l.library(n.library)
	if err != nil {
		return err
	}
	if len(lib.rules[n.rule]) == 0 {
		return fmt.Errorf("library %q has no rule %q", n.library, n.rule)
	}
	if l.seen == nil {
		l.seen = map[libraryRule]bool{}
	}
	if !l.seen[n] {
		l.seen[n] = true
		l.queue = append(l.queue, n)
	}
	return nil
}

func (l *linker) library(name string) (*library, error) {
	if lib, ok := l.catalogue.libraries[name]; ok {
		return lib, nil
	}
	if lib, ok := l.modules[name]; ok {
		return lib, nil
	}
	module := strings.TrimPrefix(name, modulePrefix)
	src, ok := l.catalogue.modules[module]
	if !ok || module == name {
		return nil, fmt.Errorf("unknown library %q: there are %s", name, quoteList(slices.Sorted(maps.Keys(l.catalogue.libraries))))
	}
	lib, err := l.catalogue.readLibrary("pip_witness", module, name, src)
	if err != nil {
		return nil, err
	}
	l.modules[name] = lib
	return lib, nil
}

// resolve follows library rules until nothing new is reached.
func (l *linker) resolve() error {
	for len(l.queue) > 0 {
		n := l.queue[0]
		l.queue = l.queue[1:]
		lib, err := l.library(n.library)
		if err != nil {
			return err
		}
		if len(l.added[n.private()]) > 0 {
			return fmt.Errorf("two library rules would be called %q", n.private())
		}
		for _, r := range lib.rules[n.rule] {
			linked, err := l.rewrite(r, lib.scope)
			if err != nil {
				return fmt.Errorf("library %q: %w", n.library, err)
			}
			l.added[n.private()] = append(l.added[n.private()], linked)
		}
	}
	return nil
}

// rewrite returns a copy of the rule whose references to shared packages name
// private rules instead.
func (l *linker) rewrite(r *ast.Rule, s scope) (*ast.Rule, error) {
	for name := range declared(r) {
		_, imported := s.imports[name]
		if imported || s.library != "" && s.own[name] || isPrivate(name) {
			return nil, fmt.Errorf("rule %q declares a variable %q, which is also a name of the module: rename it", ruleName(r), name)
		}
	}
	w := &rewriter{linker: l, scope: s}
	out := r.Copy()
	w.walk(out)
	return out, w.err
}

// declared are the variables that a rule makes: arguments, some, := and every.
func declared(r *ast.Rule) map[ast.Var]bool {
	out := map[ast.Var]bool{}
	add := func(x any) {
		ast.WalkVars(x, func(v ast.Var) bool {
			out[v] = true
			return false
		})
	}
	ast.WalkNodes(r, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Head:
			add(n.Args)
		case *ast.Every:
			if n.Key != nil {
				add(n.Key)
			}
			add(n.Value)
		case *ast.SomeDecl:
			for _, symbol := range n.Symbols {
				if call, ok := symbol.Value.(ast.Call); ok {
					for _, t := range call[1 : len(call)-1] {
						add(t)
					}
					continue
				}
				add(symbol)
			}
		case *ast.Expr:
			if n.IsAssignment() {
				add(n.Operand(0))
			}
		}
		return false
	})
	return out
}

// rewriter changes one copied rule in place.
type rewriter struct {
	linker *linker
	scope  scope
	err    error
}

func (w *rewriter) walk(x any) {
	ast.NewGenericVisitor(w.visit).Walk(x)
}

// visit returns true where it has walked the children itself.
func (w *rewriter) visit(x any) bool {
	switch x := x.(type) {
	case *ast.Head:
		w.head(x)
		return true
	case *ast.Expr:
		terms, ok := x.Terms.([]*ast.Term)
		if !ok {
			return false
		}
		w.call(terms)
		for _, with := range x.With {
			w.walk(with)
		}
		return true
	case *ast.Term:
		return w.term(x)
	}
	return false
}

func (w *rewriter) term(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Call:
		w.call(v)
		return true
	case ast.Var:
		if ref := w.ref(ast.Ref{ast.VarTerm(string(v))}); len(ref) > 1 {
			t.Value = ref
		} else {
			t.Value = ref[0].Value
		}
		return true
	case ast.Ref:
		ref := w.ref(v)
		for _, rest := range ref[1:] {
			w.walk(rest)
		}
		if len(ref) == 1 {
			t.Value = ref[0].Value
		} else {
			t.Value = ref
		}
		return true
	}
	return false
}

// call rewrites an operator, which stays a reference, and its operands.
func (w *rewriter) call(terms []*ast.Term) {
	if ref, ok := terms[0].Value.(ast.Ref); ok {
		terms[0].Value = w.ref(ref)
	}
	for _, t := range terms[1:] {
		w.walk(t)
	}
}

func (w *rewriter) head(h *ast.Head) {
	ref := h.Ref().Copy()
	if w.scope.library != "" {
		if name, ok := ref[0].Value.(ast.Var); ok {
			private := libraryRule{w.scope.library, name}.private()
			ref[0] = ast.VarTerm(string(private))
			h.Name = private
		}
	}
	for _, t := range ref[1:] {
		w.walk(t)
	}
	h.Reference = ref
	w.walk(h.Args)
	if h.Key != nil {
		w.walk(h.Key)
	}
	if h.Value != nil {
		w.walk(h.Value)
	}
}

// ref returns the reference with its shared part replaced.
func (w *rewriter) ref(ref ast.Ref) ast.Ref {
	head, ok := ref[0].Value.(ast.Var)
	if !ok {
		w.walk(ref[0])
		return ref
	}
	full := ref
	if target, ok := w.scope.imports[head]; ok {
		full = slices.Concat(target, ref[1:])
	} else if w.scope.library != "" && w.scope.own[head] {
		n := libraryRule{w.scope.library, head}
		w.fail(w.linker.need(n))
		return slices.Concat(ast.Ref{ast.VarTerm(string(n.private()))}, ref[1:])
	}
	full, kind, ok := w.linker.catalogue.shared(full)
	if !ok {
		if full[0].Equal(ast.DefaultRootDocument) {
			w.fail(fmt.Errorf("%s: only pip_witness.lib, pip_witness.indicators and shipped modules can be linked", full))
		}
		return full
	}
	if kind == "lib" {
		return w.library(full)
	}
	name, ok := constant(full, 3)
	if !ok {
		w.fail(fmt.Errorf("%s: name the indicators", full))
		return full
	}
	if _, ok := w.linker.catalogue.indicators[name]; !ok {
		w.fail(fmt.Errorf("unknown indicators %q: there are %s", name, quoteList(slices.Sorted(maps.Keys(w.linker.catalogue.indicators)))))
	}
	w.linker.data[name] = true
	return slices.Concat(ast.Ref{ast.VarTerm(indicatorPrefix + name)}, full[4:])
}

func (w *rewriter) library(full ast.Ref) ast.Ref {
	lib, ok := constant(full, 3)
	rule, named := constant(full, 4)
	if !ok || !named {
		w.fail(fmt.Errorf("%s: name one rule of one library", full))
		return full
	}
	n := libraryRule{lib, ast.Var(rule)}
	w.fail(w.linker.need(n))
	return slices.Concat(ast.Ref{ast.VarTerm(string(n.private()))}, full[5:])
}

// constant is element i of a reference when it is a string.
func constant(ref ast.Ref, i int) (string, bool) {
	if len(ref) <= i {
		return "", false
	}
	s, ok := ref[i].Value.(ast.String)
	return string(s), ok
}

func (w *rewriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// text prints the module: its own rules, then library rules and data by name.
func (l *linker) text(pkg *ast.Package, own []*ast.Rule) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Linked by pip-witness policy compile: the module, its library and its indicators.\n%s\n\nimport rego.v1\n", strings.TrimSpace(pkg.String()))
	if err := printRules(&b, pkg, own); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(l.added)) {
		if err := printRules(&b, pkg, l.added[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.data)) {
		var v bytes.Buffer
		e := json.NewEncoder(&v)
		e.SetEscapeHTML(false)
		e.SetIndent("", "\t")
		if err := e.Encode(l.catalogue.indicators[name]); err != nil {
			return nil, fmt.Errorf("write indicators %q: %w", name, err)
		}
		fmt.Fprintf(&b, "\n%s%s := %s", indicatorPrefix, name, v.Bytes())
	}
	return b.Bytes(), nil
}

// printRules formats rules of one file. The formatter works on whole modules,
// so they are given one, and its package line is taken off.
func printRules(b *bytes.Buffer, pkg *ast.Package, rules []*ast.Rule) error {
	m := &ast.Module{Package: pkg, Rules: rules}
	m.SetRegoVersionSpan(ast.RegoVersionSpanOf(ast.RegoV1))
	for _, r := range rules {
		r.Module = m
		r.Annotations = nil
	}
	text, err := format.AstWithOpts(m, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	_, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return errors.New("format: no package line")
	}
	b.WriteByte('\n')
	b.Write(bytes.TrimLeft(body, "\n"))
	return nil
}
