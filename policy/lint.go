package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxComplaints bounds what the engine reports of one module; what is cut is said.
const maxComplaints = 200

// Complaint is one thing that is wrong, or looks wrong, with a module or a policy.
type Complaint struct {
	// File is as it was given; Line counts from 1, 0 is the file as a whole.
	File string `json:"file"`
	Line int    `json:"line"`
	// Level is "error" or "warning".
	Level string `json:"level"`
	Text  string `json:"text"`
}

// Levels of complaints.
const (
	LevelError   = "error"
	LevelWarning = "warning"
)

// Linter looks at modules and policies before they judge anything.
type Linter struct {
	// Modules are the shipped rules: NAME.rego, lib/, indicators/.
	Modules fs.FS
	// Root is put before the names of shipped files in complaints.
	Root string
	// Policy is a source that binds the shipped modules; empty is the built-in one.
	Policy []byte
	// Strict makes errors of the complaints about style in a policy's own modules.
	Strict bool
}

// lintTarget is one module and how it is asked.
type lintTarget struct {
	name    string // without .rego
	file    string // as in complaints
	src     []byte
	shapes  []inputShape
	shipped bool
}

// Shipped looks at every shipped module: as the policy binds it and, where it is
// the library of another one, as that one is bound.
func (l Linter) Shipped(ctx context.Context) ([]Complaint, error) {
	w, err := l.workshop()
	if err != nil {
		return nil, err
	}
	var all []Complaint
	for _, name := range w.catalogue.Names() {
		src, _ := w.catalogue.Module(name)
		all = append(all, w.module(ctx, lintTarget{name: name, file: path.Join(l.Root, name+".rego"), src: src, shapes: w.shapes(name, src), shipped: true})...)
	}
	return tidy(all), nil
}

// Module looks at one module outside any policy. What it judges is what its own
// annotation says (custom: attestation), else what the policy binds a shipped module
// of its name to, else not known.
func (l Linter) Module(ctx context.Context, file string, src []byte) ([]Complaint, error) {
	w, err := l.workshop()
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(path.Base(file), ".rego")
	return tidy(w.module(ctx, lintTarget{name: name, file: file, src: src, shapes: w.shapes(name, src)})), nil
}

// Source looks at a policy's source, or at a compiled policy, and at the modules
// that it binds. ReadFile reads a module that it names by path.
func (l Linter) Source(ctx context.Context, file string, src []byte, readFile func(string) ([]byte, error)) ([]Complaint, error) {
	w, err := l.workshop()
	if err != nil {
		return nil, err
	}
	s, unreadable := lintedSource(file, src)
	if len(unreadable) > 0 {
		return unreadable, nil
	}
	p := &policyLint{workshop: w, file: file, text: src, source: s, readFile: readFile, literals: map[string]prefixes{}}
	p.names()
	p.modules(ctx)
	p.exceptions()
	if !slices.ContainsFunc(p.found, func(c Complaint) bool { return c.Level == LevelError }) {
		p.compile(ctx, l.Modules)
	}
	return tidy(p.found), nil
}

// lintedSource is the source, or why it cannot be read.
func lintedSource(file string, src []byte) (source, []Complaint) {
	s, err := parseSource(src)
	if err != nil {
		return s, []Complaint{{File: file, Level: LevelError, Text: err.Error()}}
	}
	return s, nil
}

// tidy sorts complaints by place and takes out those said twice.
func tidy(all []Complaint) []Complaint {
	slices.SortStableFunc(all, func(a, b Complaint) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Level+a.Text, b.Level+b.Text)
	})
	return slices.Compact(all)
}

// workshop is what linting needs of the shipped rules.
type workshop struct {
	linter    Linter
	catalogue *Catalogue
	// shared are the libraries and shipped modules, by file name.
	shared   map[string]*ast.Module
	bindings map[string][]Binding
	steps    []string
	// importers are the shipped modules that import a shipped module.
	importers map[string][]string
}

func (l Linter) workshop() (*workshop, error) {
	catalogue, err := LoadCatalogue(l.Modules, nil)
	if err != nil {
		return nil, err
	}
	source := l.Policy
	if len(source) == 0 {
		source = Builtin()
	}
	w := &workshop{linter: l, catalogue: catalogue, shared: map[string]*ast.Module{}, importers: map[string][]string{}}
	if w.bindings, err = Bindings(source); err != nil {
		return nil, err
	}
	s, err := parseSource(source)
	if err != nil {
		return nil, err
	}
	w.steps = sortedKeys(s.Steps)
	for _, pattern := range []string{"*.rego", "lib/*.rego"} {
		dir := path.Dir(pattern)
		err := each(l.Modules, pattern, func(name string, data []byte) error {
			file := path.Join(l.Root, dir, name+".rego")
			m, _, err := parseFile(file, data)
			w.shared[file] = m
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range catalogue.Names() {
		for other := range catalogue.imports(name) {
			w.importers[other] = append(w.importers[other], name)
		}
	}
	return w, nil
}

// imports are the shipped modules that a shipped module imports.
func (c *Catalogue) imports(name string) map[string]bool {
	found := map[string]bool{}
	m, _, err := parseModule(name, c.modules[name])
	if err != nil {
		return found // which is a complaint about that module
	}
	for _, i := range m.Imports {
		ref, ok := i.Path.Value.(ast.Ref)
		if other, named := constant(ref, 2); ok && named && other != name && c.modules[other] != nil && ref[1].Equal(ast.StringTerm("pip_witness")) {
			found[other] = true
		}
	}
	return found
}

// shapes are the inputs with which a module is asked outside a policy of the user.
func (w *workshop) shapes(name string, src []byte) []inputShape {
	var shapes []inputShape
	reads := []string{}
	for _, b := range w.bindings[name] {
		shapes = append(shapes, inputShape{attestation: b.Attestation})
		reads = append(reads, b.Reads...)
	}
	for _, importer := range w.importers[name] {
		for _, b := range w.bindings[importer] {
			reads = append(reads, b.Reads...)
		}
	}
	if len(shapes) == 0 {
		page, err := ReadPage(name, src)
		if err != nil {
			page.Attestation = "" // the module does not parse, which is said elsewhere
		}
		return []inputShape{{attestation: page.Attestation, steps: w.steps}}
	}
	slices.Sort(reads)
	for i := range shapes {
		shapes[i].steps = slices.Compact(reads)
	}
	return shapes
}

// module makes all complaints about one module.
func (w *workshop) module(ctx context.Context, t lintTarget) []Complaint {
	style := LevelWarning
	if t.shipped || w.linter.Strict {
		style = LevelError
	}
	m, version, err := parseFile(t.file, t.src)
	if err != nil {
		return complaints(t.file, LevelError, err)
	}
	var found []Complaint
	if version == ast.RegoV0 {
		found = append(found, Complaint{t.file, 1, style, "it is not Rego v1 and is read as v0: write `deny contains msg if`"})
	}
	if !declares(m, "deny") {
		return append(found, Complaint{t.file, 1, LevelError, "it declares no deny, so it would say nothing of any evidence"})
	}
	if !declares(m, "print") && callsPrint(m) {
		found = append(found, Complaint{t.file, 1, LevelError, "print is not available to policy modules"})
	}
	modules := w.withShared(t, m, version)
	plain := newCompiler(version).SetErrorLimit(maxComplaints)
	if plain.Compile(copied(modules)); plain.Failed() {
		return append(found, complaints(t.file, LevelError, explain(plain.Errors))...)
	}
	strict := newCompiler(version).SetErrorLimit(maxComplaints).WithStrict(true)
	if strict.Compile(copied(modules)); strict.Failed() {
		for _, c := range complaints(t.file, style, strict.Errors) {
			if c.File == t.file {
				found = append(found, c)
			}
		}
	}
	found = append(found, w.typed(t, prune(modules, t.file, plain), version, style)...)
	if text, err := w.catalogue.Link(t.name, t.src); err != nil {
		found = append(found, complaints(t.file, LevelError, err)...)
	} else if _, err := CompileModule(ctx, t.name, text); err != nil && len(found) == 0 {
		found = append(found, complaints(t.file, LevelError, err)...)
	}
	if t.shipped {
		found = append(found, annotationComplaints(t)...)
	}
	return found
}

// withShared are the module and those shared files that it reaches, by file name. A
// module that is a shipped one stands for it. Rego v0 cannot use the library.
func (w *workshop) withShared(t lintTarget, m *ast.Module, version ast.RegoVersion) map[string]*ast.Module {
	modules := map[string]*ast.Module{t.file: m}
	if version == ast.RegoV0 {
		return modules
	}
	queue := []*ast.Module{m}
	for len(queue) > 0 {
		mentioned := mentions(queue[0])
		queue = queue[1:]
		for _, file := range sortedKeys(w.shared) {
			other := w.shared[file]
			if modules[file] != nil || other.Package.Path.Equal(m.Package.Path) || !mentioned[other.Package.Path.String()] {
				continue
			}
			modules[file] = other
			queue = append(queue, other)
		}
	}
	return modules
}

// mentions are the packages that references of a module may lie in.
func mentions(m *ast.Module) map[string]bool {
	found := map[string]bool{}
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		if ref[0].Equal(ast.DefaultRootDocument) {
			for n := 2; n <= min(len(ref), 5); n++ {
				found[ref[:n].String()] = true
			}
		}
		return false
	})
	return found
}

// parseFile parses as [parseModule], with the file's name in every place.
func parseFile(file string, src []byte) (*ast.Module, ast.RegoVersion, error) {
	return parseModule(strings.TrimSuffix(file, ".rego"), src)
}

func copied(modules map[string]*ast.Module) map[string]*ast.Module {
	out := map[string]*ast.Module{}
	for file, m := range modules {
		out[file] = m.Copy()
	}
	return out
}

// prune leaves of the shared files only the rules that the module reaches: the
// others may be about the evidence of other attestations.
func prune(modules map[string]*ast.Module, own string, compiled *ast.Compiler) map[string]*ast.Module {
	reached := map[any]bool{}
	var visit func(any)
	visit = func(rule any) {
		if reached[rule] {
			return
		}
		reached[rule] = true
		for next := range compiled.Graph.Dependencies(rule) {
			visit(next)
		}
	}
	for _, r := range compiled.Modules[own].Rules {
		visit(r)
	}
	out := map[string]*ast.Module{}
	for file, m := range modules {
		m = m.Copy()
		if rules := compiled.Modules[file].Rules; file != own && len(rules) == len(m.Rules) {
			var kept []*ast.Rule
			for i, r := range m.Rules {
				if reached[rules[i]] {
					kept = append(kept, r)
				}
			}
			m.Rules = kept
		}
		out[file] = m
	}
	return out
}

// typed compiles the module against the schema of each input that it is asked
// about. Names given to object.get are complaints about style in a module of the
// user's own, which may ask for what other writers of the evidence give.
func (w *workshop) typed(t lintTarget, modules map[string]*ast.Module, version ast.RegoVersion, style string) []Complaint {
	var found []Complaint
	for _, shape := range t.shapes {
		set, err := schemaSet(shape)
		if err != nil {
			return append(found, complaints(t.file, LevelError, err)...)
		}
		about := ""
		if shape.attestation != "" {
			about = " (judging " + shape.attestation + ")"
		}
		plain := typeErrors(copied(modules), version, set)
		for _, c := range complaints(t.file, LevelError, plain) {
			c.Text += about
			found = append(found, c)
		}
		asked := copied(modules)
		for _, m := range asked {
			askFields(m)
		}
		said := map[string]bool{}
		for _, e := range plain {
			said[e.Error()] = true
		}
		for _, e := range typeErrors(asked, version, set) {
			if said[e.Error()] {
				continue
			}
			for _, c := range complaints(t.file, style, ast.Errors{e}) {
				c.Text = "object.get: " + c.Text + about
				found = append(found, c)
			}
		}
	}
	return found
}

func typeErrors(modules map[string]*ast.Module, version ast.RegoVersion, set *ast.SchemaSet) ast.Errors {
	c := newCompiler(version).SetErrorLimit(maxComplaints).WithSchemas(set)
	c.Compile(modules)
	return c.Errors
}

// complaints are the errors in err, each at its place.
func complaints(file, level string, err error) []Complaint {
	var list ast.Errors
	if !errors.As(err, &list) {
		if err == nil {
			return nil
		}
		return []Complaint{{file, 0, level, strings.TrimSpace(err.Error())}}
	}
	var found []Complaint
	for _, e := range list {
		c := Complaint{file, 0, level, e.Message}
		if e.Location != nil {
			c.File, c.Line = cmp.Or(e.Location.File, file), e.Location.Row
		}
		var detail *ast.RefErrInvalidDetail
		if d, ok := e.Details.(*ast.RefErrInvalidDetail); ok {
			detail = d
		}
		switch {
		case detail != nil:
			c.Text = undefinedName(detail)
		case e.Details != nil:
			for _, line := range e.Details.Lines() {
				c.Text += "; " + strings.TrimSpace(line)
			}
		}
		found = append(found, c)
	}
	if len(list) >= maxComplaints {
		found = append(found, Complaint{file, 0, level, fmt.Sprintf("there may be more: only the first %d complaints are shown", maxComplaints)})
	}
	return found
}

// undefinedName says what is not there, what it may have meant, and what is there.
func undefinedName(d *ast.RefErrInvalidDetail) string {
	var there []string
	for _, v := range d.OneOf {
		if s, ok := v.(ast.String); ok {
			there = append(there, string(s))
		}
	}
	slices.Sort(there)
	there = slices.Compact(there)
	asked := d.Ref[:min(d.Pos+1, len(d.Ref))].String()
	switch {
	case d.Have != nil || len(there) == 0:
		return fmt.Sprintf("%s: nothing of this kind is there", asked)
	case len(there) == 1 && (there[0] == nobody || there[0] == noExternal):
		return fmt.Sprintf("%s does not exist: there is %s", asked, there[0])
	}
	wrong, _ := constant(d.Ref, d.Pos)
	return fmt.Sprintf("%s does not exist%s There are: %s", asked, didYouMean(wrong, there), strings.Join(there, ", "))
}

func didYouMean(word string, of []string) string {
	if near := Nearest(word, of); word != "" && len(near) > 0 {
		return fmt.Sprintf(", did you mean %q?", near[0])
	}
	return "."
}

// annotationComplaints are about the annotations that the documentation of a shipped
// module is made of.
func annotationComplaints(t lintTarget) []Complaint {
	page, err := ReadPage(t.name, t.src)
	if err != nil {
		return complaints(t.file, LevelError, err)
	}
	var found []Complaint
	if page.Title == "" || page.Description == "" {
		found = append(found, Complaint{t.file, 1, LevelError, "the annotation of the package has no title or no description"})
	}
	for _, r := range page.Rules {
		if missing := r.Missing(); len(missing) > 0 {
			found = append(found, Complaint{t.file, r.Line, LevelError, fmt.Sprintf("the annotation of %s has no usable %s", r.ID, strings.Join(missing, ", "))})
		}
	}
	return found
}
