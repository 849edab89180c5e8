package rules

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"go.yaml.in/yaml/v3"

	"pip-witness/evidence"
)

// TestWatcherAgrees asks the capture's table and the rules' library about the
// same paths: one for each pattern, and near misses of it.
func TestWatcherAgrees(t *testing.T) {
	table, err := FS.ReadFile(CredentialPaths)
	if err != nil {
		t.Fatal(err)
	}
	const home, prefix, base = "/srv/people/ann", "/srv/people/ann/venv", "/opt/python"
	watcher, err := evidence.NewWatcher(table, []string{home}, []string{prefix, base})
	if err != nil {
		t.Fatal(err)
	}
	opened, want := map[string]any{}, map[string]string{}
	for _, p := range variations(t, table, home, prefix, base) {
		opened[p] = map[string]any{"sha256": "00"}
		if family, ok := watcher.Match(p); ok {
			want[p] = family
		}
	}
	input := map[string]any{
		"processes": []any{map[string]any{"processid": 2, "openedfiles": opened}},
		"coverage":  map[string]any{"sandbox": map[string]any{"home": home, "prefix": prefix, "basePrefixes": []any{base}}},
	}
	query := `got := {path: entry.rule |
		some path, order in data.pip_witness.lib.credentials._watched
		entry := data.pip_witness.indicators.credential_paths.entries[order]
	}`
	results, err := rego.New(rego.Query(query), rego.Compiler(compiled(t)), rego.Input(input), rego.StrictBuiltinErrors(true),
		rego.Store(inmem.NewFromObjectWithOpts(data(t), inmem.OptReturnASTValuesOnRead(true)))).Eval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for p, rule := range results[0].Bindings["got"].(map[string]any) {
		got[p] = rule.(string)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules differ from the capture (-capture +rules):\n%s", diff)
	}
	if len(got) < 500 {
		t.Errorf("only %d of %d paths match: the variations are wrong", len(got), len(opened))
	}
}

// variations returns paths that match the patterns of the table and paths that
// nearly do, sorted.
func variations(t *testing.T, table []byte, home, prefix, base string) []string {
	t.Helper()
	var entries struct {
		Entries []struct{ Paths, Names []string }
	}
	if err := yaml.Unmarshal(table, &entries); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	add := func(pattern string) {
		for _, deep := range []string{"x", "x/y"} {
			p := strings.ReplaceAll(strings.Replace(pattern, "**", deep, 1), "*", "7")
			for _, variant := range []string{p, p + "/z", p + "z", p[:len(p)-1], p[:strings.LastIndexByte(p, '/')]} {
				found[path.Clean(variant)] = true // as the capture writes paths
			}
		}
	}
	for _, e := range entries.Entries {
		for _, p := range e.Paths {
			rest, ok := strings.CutPrefix(p, "~")
			if !ok {
				add(p)
				continue
			}
			for _, dir := range []string{home, "/root", "/home/user", "/home", "/srv", prefix, base, "/tmp/pip-x"} {
				add(dir + rest)
			}
		}
		for _, n := range e.Names {
			for _, dir := range []string{home, "/srv/app", "/tmp/x", prefix + "/lib/site-packages/x", base, "/etc"} {
				add(dir + "/" + n)
			}
		}
	}
	delete(found, ".")
	return slices.Sorted(maps.Keys(found))
}
