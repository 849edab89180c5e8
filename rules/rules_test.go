package rules

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"go.yaml.in/yaml/v3"

	"pip-witness/internal/suite"
	"pip-witness/policy"
)

// wantCoverage is the share of lines of modules and libraries, in percent, that
// their tests have to reach.
const wantCoverage = 100.0

// sources returns the text of every Rego file of the folder, tests included.
func sources(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.rego", "lib/*.rego"} {
		names, err := fs.Glob(os.DirFS("."), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found[name] = string(text)
		}
	}
	return found
}

func parsed(t testing.TB) map[string]*ast.Module {
	t.Helper()
	modules := map[string]*ast.Module{}
	for name, text := range sources(t) {
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		modules[name] = m
	}
	return modules
}

// data is the document that imports of indicators see.
func data(t testing.TB) map[string]any {
	t.Helper()
	names, err := fs.Glob(FS, "indicators/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	indicators := map[string]any{}
	for _, name := range names {
		text, err := FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		indicators[strings.TrimSuffix(path.Base(name), ".yaml")] = value
	}
	return map[string]any{"pip_witness": map[string]any{"indicators": indicators}}
}

func compiled(t testing.TB) *ast.Compiler {
	t.Helper()
	c := ast.NewCompiler().WithStrict(true).WithEnablePrintStatements(true)
	if c.Compile(parsed(t)); c.Failed() {
		t.Fatal(c.Errors)
	}
	return c
}

func TestRego(t *testing.T) {
	compiled(t)
	report, err := suite.Run(t.Context(), suite.Options{Files: os.DirFS("."), Shipped: FS, Timeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Tests {
		t.Run(path.Base(r.File)+"/"+r.Name, func(t *testing.T) {
			if r.Status != "pass" {
				t.Errorf("%s:%d: %s %s", r.File, r.Line, r.Status, r.Detail)
			}
		})
	}
	lines := 0
	for _, f := range report.Files {
		lines += f.Covered + f.Missed
		if f.Missed > 0 {
			t.Logf("%s: lines %s are not reached by a test", f.File, strings.Join(f.Ranges, ", "))
		}
	}
	t.Logf("%d Rego tests reach %.1f %% of %d lines", len(report.Tests), report.Share(), lines)
	if report.Share() < wantCoverage {
		t.Errorf("the Rego tests reach %.1f %% of the lines, want %.1f %%", report.Share(), wantCoverage)
	}
}

func TestFormat(t *testing.T) {
	for name, text := range sources(t) {
		want, err := format.SourceWithOpts(name, []byte(text), format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if os.Getenv("UPDATE_FORMAT") != "" {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if !bytes.Equal(want, []byte(text)) {
			t.Errorf("%s is not formatted; UPDATE_FORMAT=1 go test ./rules -run TestFormat writes it", name)
		}
	}
}

// carries matches a rule that repeats what another module denies, under the ids
// of that module.
var carries = regexp.MustCompile(`some msg in [a-z_]+\.deny\b`)

// TestAnnotations holds every rule that denies to the fields from which its
// documentation is made, and every message to the id of its annotation.
func TestAnnotations(t *testing.T) {
	compiled(t)
	catalogue, err := policy.LoadCatalogue(FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalogue.Rules()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]policy.Rule{}
	for _, r := range all {
		if other, taken := ids[r.ID]; taken {
			t.Errorf("%s.rego:%d: the id %q is taken by %s", r.Module, r.Line, r.ID, other.Module)
		}
		ids[r.ID] = r
		for _, key := range r.Missing() {
			t.Errorf("%s.rego:%d: the annotation of %q has no usable %s", r.Module, r.Line, r.ID, key)
		}
	}
	for name, m := range parsed(t) {
		if strings.HasPrefix(name, "lib/") || strings.HasSuffix(name, "_test.rego") {
			continue
		}
		var id string
		for _, r := range m.Rules {
			if r.Head.Ref()[0].String() != "deny" || carries.Match(r.Location.Text) {
				continue
			}
			if len(r.Annotations) > 0 {
				id, _ = r.Annotations[0].Custom["id"].(string)
				if _, ok := ids[id]; !ok {
					t.Errorf("%s: an annotation without a usable id", r.Location)
				}
			}
			// A rule without annotation belongs to the one before it.
			if text := string(r.Location.Text); id == "" || !strings.Contains(text, ":"+id+":") && !strings.Contains(text, `"`+id+`"`) {
				t.Errorf("%s: the message does not name the id %q", r.Location, id)
			}
		}
	}
	if len(ids) == 0 {
		t.Error("no rule was found")
	}
}

// TestIndicators holds every list of indicators to a source and a date.
func TestIndicators(t *testing.T) {
	var walk func(where string, v any, known bool)
	walk = func(where string, v any, known bool) {
		switch v := v.(type) {
		case map[string]any:
			_, source := v["source"]
			_, date := v["date"]
			if source != date {
				t.Errorf("%s has only one of source and date", where)
			}
			for key, value := range v {
				walk(where+"."+key, value, known || source)
			}
		case []any:
			for i, value := range v {
				_, object := value.(map[string]any)
				if !known && !object && !strings.Contains(where, "excluded") {
					t.Errorf("%s has no source", where)
					return
				}
				walk(fmt.Sprintf("%s[%d]", where, i), value, known)
			}
		}
	}
	walk("data", data(t), false)
}

// TestEmbedded keeps the list of embedded files equal to the folder.
func TestEmbedded(t *testing.T) {
	for name := range sources(t) {
		_, err := FS.ReadFile(name)
		if isTest := strings.HasSuffix(name, "_test.rego"); isTest == (err == nil) {
			t.Errorf("%s: embedded %t", name, err == nil)
		}
	}
}
