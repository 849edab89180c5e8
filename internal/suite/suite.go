// Package suite runs the Rego tests of a folder and says which lines they reach.
package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"go.yaml.in/yaml/v3"

	"pip-witness/policy"
)

// maxFile is the largest file that is read.
const maxFile = 4 << 20 // 4 MiB

// ErrNoTests says that a folder has none: nothing was tested.
var ErrNoTests = errors.New("no Rego test was found (rules whose names begin with test_, in packages of the same folder)")

// Options are what is run.
type Options struct {
	// Files is the folder.
	Files fs.FS
	// Shipped are the shipped rules: a package or an indicator file that the folder does
	// not have comes from there.
	Shipped fs.FS
	// Run narrows the tests to those whose full name matches; empty is all.
	Run string
	// Timeout is the time limit of one test.
	Timeout time.Duration
}

// Test is the outcome of one test.
type Test struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Name string `json:"name"`
	// Status is "pass", "fail", "error" (it could not be evaluated) or "skip" (its name
	// says todo_).
	Status string `json:"status"`
	// Detail is the error, or what the test printed.
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Coverage is how much of one file the tests reached.
type Coverage struct {
	File    string `json:"file"`
	Covered int    `json:"covered"` // lines
	Missed  int    `json:"missed"`
	// Ranges are the lines that were not reached, "12" or "12-14".
	Ranges []string `json:"ranges,omitempty"`
}

// Report is the outcome of a run.
type Report struct {
	// Tests are by file and line.
	Tests []Test `json:"tests"`
	// Files are the files of the folder that hold no tests, by name.
	Files []Coverage `json:"files"`
}

// Failed are the tests that did not pass; skipped ones are not among them.
func (r Report) Failed() int {
	n := 0
	for _, t := range r.Tests {
		if t.Status == "fail" || t.Status == "error" {
			n++
		}
	}
	return n
}

// Share is the part of all lines that was reached, in percent; 100 without any line.
func (r Report) Share() float64 {
	covered, all := 0, 0
	for _, f := range r.Files {
		covered, all = covered+f.Covered, all+f.Covered+f.Missed
	}
	if all == 0 {
		return 100
	}
	return 100 * float64(covered) / float64(all)
}

// Run runs the tests. An error is of the folder: a file that cannot be read or does
// not compile, or no test at all ([ErrNoTests]).
func Run(ctx context.Context, o Options) (Report, error) {
	var report Report
	modules, own, err := load(o)
	if err != nil {
		return report, err
	}
	data, err := indicators(o)
	if err != nil {
		return report, err
	}
	store := inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	txn, err := store.NewTransaction(ctx, storage.TransactionParams{})
	if err != nil {
		return report, fmt.Errorf("run Rego tests: %w", err)
	}
	defer store.Abort(ctx, txn)
	reached := cover.New()
	runner := tester.NewRunner().SetCompiler(compiler()).SetStore(store).SetModules(modules).SetTimeout(o.Timeout).
		Filter(o.Run).RaiseBuiltinErrors(true).SetCoverageQueryTracer(reached).CapturePrintOutput(true)
	results, err := runner.RunTests(ctx, txn)
	if err != nil {
		return report, fmt.Errorf("run Rego tests: %w", err)
	}
	for r := range results {
		if own[r.Location.File] {
			report.Tests = append(report.Tests, outcome(r))
		}
	}
	if ctx.Err() != nil {
		return report, fmt.Errorf("run Rego tests: %w", ctx.Err())
	}
	if len(report.Tests) == 0 {
		return report, ErrNoTests
	}
	slices.SortFunc(report.Tests, func(a, b Test) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Name, b.Name))
	})
	report.Files = coverage(reached.Report(modules), own)
	return report, nil
}

// compiler is that of policy modules, which may print in tests.
func compiler() *ast.Compiler {
	capabilities := policy.Capabilities()
	capabilities.Builtins = append(capabilities.Builtins, ast.Print)
	return ast.NewCompiler().WithCapabilities(capabilities).WithEnablePrintStatements(true).
		WithSkipStages(ast.StageBuildComprehensionIndices)
}

// load parses the Rego files of the folder, at any depth, and those shipped ones
// whose package the folder does not have.
func load(o Options) (modules map[string]*ast.Module, own map[string]bool, err error) {
	modules, own = map[string]*ast.Module{}, map[string]bool{}
	packages := map[string]bool{}
	err = fs.WalkDir(o.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".rego" {
			return err
		}
		m, err := parse(o.Files, name)
		if err != nil {
			return err
		}
		modules[name], own[name] = m, true
		packages[m.Package.Path.String()] = true
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read Rego files: %w", err)
	}
	for _, pattern := range []string{"*.rego", "lib/*.rego"} {
		names, err := fs.Glob(o.Shipped, pattern)
		if err != nil {
			return nil, nil, fmt.Errorf("read shipped rules: %w", err)
		}
		for _, name := range names {
			m, err := parse(o.Shipped, name)
			if err != nil {
				return nil, nil, err
			}
			if !packages[m.Package.Path.String()] {
				modules["shipped/"+name] = m
			}
		}
	}
	return modules, own, nil
}

func parse(files fs.FS, name string) (*ast.Module, error) {
	text, err := bounded(files, name)
	if err != nil {
		return nil, err
	}
	m, err := ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", name, err)
	}
	if m == nil {
		return nil, fmt.Errorf("parse %q: it holds no package", name)
	}
	return m, nil
}

func bounded(files fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read %q: %d bytes, at most %d are read", name, info.Size(), maxFile)
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return text, nil
}

// indicators are the data that modules import: the shipped files, those of the
// folder in their place or beside them.
func indicators(o Options) (map[string]any, error) {
	all := map[string]any{}
	for _, files := range []fs.FS{o.Shipped, o.Files} {
		names, err := fs.Glob(files, "indicators/*.yaml")
		if err != nil {
			return nil, fmt.Errorf("list indicators: %w", err)
		}
		for _, name := range names {
			text, err := bounded(files, name)
			if err != nil {
				return nil, err
			}
			var v map[string]any
			if err := yaml.Unmarshal(text, &v); err != nil {
				return nil, fmt.Errorf("read indicators %q: %w", name, err)
			}
			all[strings.TrimSuffix(path.Base(name), ".yaml")] = v
		}
	}
	return map[string]any{"pip_witness": map[string]any{"indicators": all}}, nil
}

func outcome(r *tester.Result) Test {
	t := Test{File: r.Location.File, Line: r.Location.Row, Name: r.Package + "." + r.Name, Status: "pass", Seconds: r.Duration.Seconds()}
	switch {
	case r.Error != nil:
		t.Status, t.Detail = "error", r.Error.Error()
	case r.Skip:
		t.Status = "skip"
	case !r.Pass():
		t.Status = "fail"
	}
	if out := strings.TrimSpace(string(r.Output)); out != "" && t.Detail == "" {
		t.Detail = out
	}
	return t
}

// coverage is that of the folder's own files but its tests.
func coverage(all cover.Report, own map[string]bool) []Coverage {
	files := []Coverage{}
	for _, name := range slices.Sorted(maps.Keys(all.Files)) {
		if !own[name] || strings.HasSuffix(name, "_test.rego") {
			continue
		}
		f := all.Files[name]
		c := Coverage{File: name, Covered: f.CoveredLines, Missed: f.NotCoveredLines}
		for _, r := range f.NotCovered {
			lines := fmt.Sprint(r.Start.Row)
			if r.End.Row != r.Start.Row {
				lines = fmt.Sprintf("%d-%d", r.Start.Row, r.End.Row)
			}
			c.Ranges = append(c.Ranges, lines)
		}
		files = append(files, c)
	}
	return files
}
