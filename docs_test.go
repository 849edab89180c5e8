package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pip-witness/internal/report"
	"pip-witness/policy"
	"pip-witness/rules"
)

// TestRulePages keeps docs/rules equal to the annotations of the modules: a page for
// each module, and the table of all rules.
func TestRulePages(t *testing.T) {
	const dir = "docs/rules"
	catalogue, err := policy.LoadCatalogue(rules.FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := catalogue.Pages()
	if err != nil {
		t.Fatal(err)
	}
	bound, err := catalogue.Bindings(policy.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"README.md": report.RuleIndex(pages, bound)}
	for _, p := range pages {
		want[p.Name+".md"] = report.ModulePage(p, bound[p.Name])
	}
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range want {
		file := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if !bytes.Equal(have, []byte(text)) {
			t.Errorf("%s is not current: run `go test -run TestRulePages -update .`", file)
		}
	}
	removeStale(t, dir, want)
}

// removeStale reports, or with -update removes, pages of modules that are gone.
func removeStale(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; ok || !strings.HasSuffix(e.Name(), ".md") {
			continue
		}
		if !*update {
			t.Errorf("%s/%s is of no module: run `go test -run TestRulePages -update .`", dir, e.Name())
		} else if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}
