package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/policy"
)

var update = flag.Bool("update", false, "rewrite golden files")

// functionaryPEM is a fixed key, so that golden files do not change.
const functionaryPEM = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
`

func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func functionary(t *testing.T) attestation.PublicKey {
	t.Helper()
	k, err := attestation.ParsePublicKey([]byte(functionaryPEM))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func options(t *testing.T) policy.Options {
	return policy.Options{
		Functionaries: []attestation.PublicKey{functionary(t)},
		Modules:       os.DirFS("testdata/rules"),
		ReadFile:      func(p string) ([]byte, error) { return os.ReadFile(filepath.Join("testdata", p)) },
		Now:           now(),
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnknownModulesAreNamed(t *testing.T) {
	source := bytes.ReplaceAll(read(t, "spec-policy.json"), []byte(`"persistence", "attack_sequences"`), []byte(`"persistence2", "attack-sequences"`))
	_, err := policy.Compile(context.Background(), source, options(t))
	var unknown *policy.UnknownModulesError
	if !errors.As(err, &unknown) {
		t.Fatalf("error %v, want UnknownModulesError", err)
	}
	if len(unknown.Missing) != 2 {
		t.Errorf("%d missing, want 2", len(unknown.Missing))
	}
	golden(t, "unknown-modules.refused", []byte(err.Error()+"\n"))
}

func TestBuiltinCompiles(t *testing.T) {
	p, err := policy.Compile(context.Background(), policy.Builtin(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "builtin.compiled.json", data)
	again, err := policy.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, again); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
	twice, err := policy.Compile(context.Background(), policy.Builtin(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, twice); d != "" {
		t.Errorf("not deterministic:\n%s", d)
	}
	// A compiled policy is a source as well, and stays as it is.
	same, err := policy.Compile(context.Background(), data, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, same); d != "" {
		t.Errorf("compiled again (-want +got):\n%s", d)
	}
}

// TestBuiltinIsTheSpecification compares the built-in source with the
// specification's. Exceptions are what it adds.
func TestBuiltinIsTheSpecification(t *testing.T) {
	var spec, builtin any
	if err := json.Unmarshal(read(t, "spec-policy.json"), &spec); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(policy.Builtin(), &builtin); err != nil {
		t.Fatal(err)
	}
	delete(builtin.(map[string]any), "exceptions")
	if d := cmp.Diff(spec, builtin); d != "" {
		t.Errorf("(-specification +builtin):\n%s", d)
	}
}

func TestCompileModuleForms(t *testing.T) {
	src := `{"steps":{"s":{"functionaries":[{"type":"publickey","publickeyid":"..."}],"attestations":[
	  {"type":"https://example.com/own/v3","regopolicies":["pth_injection","import_behavior.rego",{"name":"given","module":"` +
		`cGFja2FnZSBhbnkKZGVueVttc2ddIHsgbXNnIDo9IGlucHV0LnggfQo="}]}]}}}`
	p, err := policy.Compile(context.Background(), []byte(src), options(t))
	if err != nil {
		t.Fatal(err)
	}
	a := p.Steps["s"].Attestations[0]
	if a.Type != "https://example.com/own/v3" {
		t.Errorf("type %q", a.Type)
	}
	var names []string
	for _, m := range a.RegoPolicies {
		names = append(names, m.Name)
	}
	if d := cmp.Diff([]string{"pth_injection", "import_behavior", "given"}, names); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(a.RegoPolicies[1].Module, read(t, "import_behavior.rego")) {
		t.Error("a module given as a path is not embedded verbatim")
	}
	if want := now().Add(policy.Year); !p.Expires.Equal(want) {
		t.Errorf("expires %s, want %s", p.Expires, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	step := func(rest string) string {
		return `{"steps":{"a":{"functionaries":[{"type":"publickey","publickeyid":"..."}],` + rest + `}}}`
	}
	att := `"attestations":[{"type":"command-run/v0.1"}]`
	fn := `"functionaries":[{"type":"publickey","publickeyid":"..."}]`
	module := func(text string) string {
		b, err := json.Marshal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return step(`"attestations":[{"type":"command-run/v0.1","regopolicies":[{"name":"own","module":` + string(b) + `}]}]`)
	}
	tests := map[string]struct{ src, want string }{
		"not JSON":            {`steps: {}`, `not JSON`},
		"cut off":             {`{"steps": {`, `truncated`},
		"empty":               {``, `empty document`},
		"data after":          {`{} {}`, `data after the JSON document`},
		"key twice":           {`{"steps":{},"steps":{}}`, `"steps" appears twice`},
		"unknown field":       {`{"stepz":{}}`, `unknown field "stepz"`},
		"no steps":            {`{}`, `it has no steps`},
		"unknown type":        {step(`"attestations":[{"type":"sbomb/v0.1"}]`), `unknown attestation type "sbomb/v0.1": known are command-run/v0.1, environment/v0.1`},
		"unknown version":     {step(`"attestations":[{"type":"command-run/v0.2"}]`), `unknown attestation type "command-run/v0.2"`},
		"type without versio": {step(`"attestations":[{"type":"command-run"}]`), `ambiguous attestation type "command-run"`},
		"type twice":          {step(`"attestations":[{"type":"sbom/v0.1"},{"type":"sbom/v0.1"}]`), `listed twice`},
		"no attestation":      {step(`"attestations":[]`), `requires no attestation`},
		"unknown step":        {step(att + `,"attestationsFrom":["b"]`), `step "a" reads from step "b", which does not exist: steps are "a"`},
		"itself":              {step(att + `,"attestationsFrom":["a"]`), `step "a" reads itself`},
		"cycle": {`{"steps":{"a":{` + fn + `,` + att + `,"attestationsFrom":["b"]},"b":{` + fn + `,` + att + `,"attestationsFrom":["c"]},"c":{` + fn + `,` + att +
			`,"attestationsFrom":["b"]}}}`, `cycle: b reads c reads b`},
		"name differs":   {step(`"name":"z",` + att), `its name is "z"`},
		"unknown key":    {`{"steps":{"a":{"functionaries":[{"type":"publickey","publickeyid":"ab"}],` + att + `}}}`, `functionary "ab" is not among the publickeys`},
		"certificates":   {`{"steps":{"a":{"functionaries":[{"type":"root"}],` + att + `}}}`, `it needs a certConstraint`},
		"bad severity":   {`{"failOn":"SEVERE","steps":{}}`, `unknown severity "SEVERE"`},
		"bare exception": {`{"exceptions":[{"rule":"X"}],"steps":{"a":{` + fn + `,` + att + `}}}`, `rule, reason and expires are all required`},
		"expired":        {`{"expires":"2026-01-01T00:00:00Z","steps":{"a":{` + fn + `,` + att + `}}}`, `it would be expired`},
		"rego syntax":    {module("package x\ndeny contains {"), `parse module "own"`},
		"http.send":      {module("package x\ndeny contains m if { http.send({\"method\": \"get\", \"url\": \"http://files.example\"}); m := \"x\" }"), `http.send is not available to policy modules`},
		"print":          {module("package x\ndeny contains m if { print(1); m := \"x\" }"), `print is not available`},
		"no deny":        {module("package x\nallow if true"), `declares no deny`},
		"missing path":   {step(`"attestations":[{"type":"command-run/v0.1","regopolicies":["gone.rego"]}]`), `read module "gone.rego"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Compile(context.Background(), []byte(tt.src), options(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	p, err := policy.Compile(context.Background(), policy.Builtin(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"without expires": {regexp.MustCompile(`"expires": "[^"]*",`).ReplaceAll(data, nil), "it has no expires"},
		"a source":        {policy.Builtin(), "compile it with"},
		"other key bytes": {bytes.Replace(data, []byte(`"key": "LS0t`), []byte(`"key": "LS1t`), 1), "public key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.Parse(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(policy.Builtin())
	f.Add([]byte(`{"expires":"2027-11-23T12:00:00Z","steps":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse(data)
		if err == nil && (p.Expires.IsZero() || len(p.Steps) == 0) {
			t.Errorf("accepted %+v", p)
		}
	})
}
