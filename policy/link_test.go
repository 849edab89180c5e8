package policy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"

	"pip-witness/rules"
)

// unlinked compiles a module of the catalogue the way its own tests run it:
// with the library as packages and the indicators as data.
func (c *Catalogue) unlinked(t *testing.T, name string) *Program {
	t.Helper()
	m, version, err := parseModule(name, c.modules[name])
	if err != nil {
		t.Fatal(err)
	}
	others := map[string]*ast.Module{}
	for lib, l := range c.libraries {
		for _, rules := range l.rules {
			others["lib/"+lib] = rules[0].Module
		}
	}
	for other, src := range c.modules {
		if other == name {
			continue
		}
		if others[other], _, err = parseModule(other, src); err != nil {
			t.Fatal(err)
		}
	}
	store := inmem.NewFromObject(map[string]any{"pip_witness": map[string]any{"indicators": plain(c.indicators)}})
	p, err := compile(context.Background(), name, m, version, others, rego.Store(store))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// plain is v with the number types of JSON.
func plain(v any) any {
	value, err := ast.InterfaceToValue(v)
	if err != nil {
		panic(err)
	}
	out, err := ast.JSON(value)
	if err != nil {
		panic(err)
	}
	return out
}

const linkInput = `{
 "processes": [{"program": "/usr/bin/python3",
   "openedfiles": {"/home/user/.ssh/id_rsa": {}, "/home/user/.ssh": {}, "/home/user/.kube/config": {}, "/etc/hosts": {}},
   "network": {"connections": [
     {"family": "AF_INET", "address": "192.0.2.1", "port": 443},
     {"family": "AF_UNIX", "address": "/run/x"},
     {"family": "AF_INET", "address": "192.0.2.2", "port": 80}]}}],
 "product": {"/home/user/venv/x.pth": {}},
 "coverage": {"notTrapped": ["write"]},
 "steps": {"pip-install": {"command-run": {"processes": [{"network": {"connections": [
     {"family": "AF_INET", "address": "192.0.2.1", "port": 443}]}}]}}}}`

func TestLinkedAnswersAsUnlinked(t *testing.T) {
	c, err := LoadCatalogue(os.DirFS("testdata/rules"), nil)
	if err != nil {
		t.Fatal(err)
	}
	compareLinked(t, c, map[string]string{"all": linkInput, "empty": "{}"}, 7)
}

// TestShippedModulesLink links every shipped module and compares its answers.
func TestShippedModulesLink(t *testing.T) {
	c, err := LoadCatalogue(rules.FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	compareLinked(t, c, map[string]string{"all": linkInput, "empty": "{}"}, 0)
}

// TestShippedTestsPassLinked runs the tests of the shipped modules with each
// module in its linked form, which has to answer as the module itself. A linked
// module holds its indicators, so a test that gives others is for the module alone.
func TestShippedTestsPassLinked(t *testing.T) {
	c, err := LoadCatalogue(rules.FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]*ast.Module{}
	for name, src := range c.modules {
		text, err := c.Link(name, src)
		if err != nil {
			t.Fatal(err)
		}
		modules[name], _, err = parseModule(name, text)
		if err != nil {
			t.Fatal(err)
		}
	}
	// The tests are not part of the embedded files.
	for _, pattern := range []string{"*_test.rego", "lib/*.rego"} {
		files, err := filepath.Glob(filepath.Join("..", "rules", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if modules[file], _, err = parseModule(file, data); err != nil {
				t.Fatal(err)
			}
			modules[file].Rules = slices.DeleteFunc(modules[file].Rules, func(r *ast.Rule) bool {
				return strings.Contains(string(r.Location.Text), "with data.pip_witness.indicators.")
			})
		}
	}
	store := inmem.NewFromObject(map[string]any{"pip_witness": map[string]any{"indicators": plain(c.indicators)}})
	ctx := context.Background()
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Abort(ctx, txn)
	results, err := tester.NewRunner().SetCompiler(newCompiler(ast.RegoV1)).SetStore(store).SetModules(modules).RunTests(ctx, txn)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for r := range results {
		count++
		if r.Fail || r.Error != nil {
			t.Errorf("%s.%s fails with the linked module: %v", r.Package, r.Name, r.Error)
		}
	}
	if count == 0 {
		t.Error("no test was run")
	}
}

func compareLinked(t *testing.T, c *Catalogue, inputs map[string]string, atLeast int) {
	t.Helper()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	total := 0
	for _, name := range c.Names() {
		text, err := c.Link(name, c.modules[name])
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := c.Link(name, c.modules[name])
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: linking twice differs (%v)", name, err)
		}
		m, err := ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.mentionsShared(m) {
			t.Errorf("%s: still refers to shared packages:\n%s", name, text)
		}
		strictly := ast.NewCompiler().WithStrict(true).WithCapabilities(Capabilities())
		if strictly.Compile(map[string]*ast.Module{name: m}); strictly.Failed() {
			t.Errorf("%s: strict mode: %v", name, strictly.Errors)
		}
		linked, err := CompileModule(context.Background(), name, text)
		if err != nil {
			t.Error(err)
			continue
		}
		unlinked := c.unlinked(t, name)
		for label, doc := range inputs {
			input, err := ast.ValueFromReader(strings.NewReader(doc))
			if err != nil {
				t.Fatal(err)
			}
			got, gotErr := linked.Eval(context.Background(), input, now, 0)
			want, wantErr := unlinked.Eval(context.Background(), input, now, 0)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s on %s (-unlinked +linked):\n%s", name, label, d)
			}
			if fmt.Sprint(gotErr != nil) != fmt.Sprint(wantErr != nil) {
				t.Errorf("%s on %s: unlinked error %v, linked error %v", name, label, wantErr, gotErr)
			}
			total += len(got.Deny) + len(got.NotEvaluated)
		}
	}
	if total < atLeast {
		t.Errorf("%d answers in all, want %d or more: the comparison shows nothing", total, atLeast)
	}
}

func TestLinkRefuses(t *testing.T) {
	const head = "package pip_witness.m\n\nimport rego.v1\n\nimport data.pip_witness.lib.a\n\n"
	const lib = "package pip_witness.lib.a\n\nimport rego.v1\n\nok(x) if x\n\nname := \"n\"\n\n"
	tests := map[string]struct{ module, lib, want string }{
		"unknown library":    {"package pip_witness.m\nimport rego.v1\ndeny contains \"x\" if data.pip_witness.lib.b.ok(1)", lib, `unknown library "b": there are "a"`},
		"unknown rule":       {head + "deny contains \"x\" if a.gone(1)", lib, `library "a" has no rule "gone"`},
		"unknown indicators": {head + "deny contains \"x\" if data.pip_witness.indicators.z.y", lib, `unknown indicators "z"`},
		"whole library":      {head + "deny contains \"x\" if a[input.rule]", lib, "name one rule of one library"},
		"shadowed import":    {head + "deny contains \"x\" if { a := 1; a == 1 }\n\nb if data.pip_witness.lib.a.name", lib, `declares a variable "a"`},
		"shadowed rule":      {head + "deny contains \"x\" if a.f(1)", lib + "f(name) if name", `declares a variable "name"`},
		"other data":         {head + "deny contains \"x\" if { a.name; data.secrets }", lib, "data.secrets: only pip_witness.lib"},
		"other import":       {head + "import data.other\n\ndeny contains \"x\" if { a.name; other.x }", lib, "import data.other: only"},
		"reserved":           {head + "deny contains \"x\" if a.name\n\n_lib_a_name := 1", lib, "the prefix is reserved"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := LoadCatalogue(fstest.MapFS{
				"m.rego":     {Data: []byte(tt.module)},
				"lib/a.rego": {Data: []byte(tt.lib)},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.Link("m", c.modules["m"]); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestLinkModules shows that one shipped module may use rules of another.
func TestLinkModules(t *testing.T) {
	c, err := LoadCatalogue(fstest.MapFS{
		"a.rego": {Data: []byte("package pip_witness.a\nimport rego.v1\nimport data.pip_witness.b\n" +
			"deny contains msg if some msg in b.deny\ndeny contains \"own\" if input.x")},
		"b.rego": {Data: []byte("package pip_witness.b\nimport rego.v1\nimport data.pip_witness.lib.l\n" +
			"deny contains \"of b\" if {\n\tl.yes\n\t_also\n}\n_also if input.y")},
		"lib/l.rego": {Data: []byte("package pip_witness.lib.l\nimport rego.v1\nyes if input.x")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	compareLinked(t, c, map[string]string{"both": `{"x":true,"y":true}`, "own": `{"x":true}`, "none": `{}`}, 4)
}

func TestIndicatorChangesAreCompiledIn(t *testing.T) {
	changes, err := ParseIndicators([]byte("credentials:\n  suffixes: [/.own/token]\n"), os.DirFS("testdata/rules"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadCatalogue(os.DirFS("testdata/rules"), changes)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Link("credential_harvesting", c.modules["credential_harvesting"])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/.own/token", "/.ssh/id_rsa"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in the linked module", want)
		}
	}
	_, err = LoadCatalogue(os.DirFS("testdata/rules"), map[string]any{"nothing": []any{}})
	if err == nil || !strings.Contains(err.Error(), `there are "credentials"`) {
		t.Errorf("error %v", err)
	}
}
