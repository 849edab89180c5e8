package policy_test

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"pip-witness/policy"
	"pip-witness/rules"
)

// TestShippedModulesAreClean: strict mode, the schema of the input and the
// annotations have nothing to say of any shipped module.
func TestShippedModulesAreClean(t *testing.T) {
	found, err := policy.Linter{Modules: rules.FS, Root: "rules"}.Shipped(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		t.Errorf("%s:%d: %s: %s", c.File, c.Line, c.Level, c.Text)
	}
}

// said lints one module as a policy's own, bound to a type, and returns what is said
// of it, without the file.
func said(t *testing.T, strict bool, module string) []string {
	t.Helper()
	found, err := policy.Linter{Modules: rules.FS, Root: "rules", Strict: strict}.Module(t.Context(), "own.rego", []byte(module))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range found {
		lines = append(lines, fmt.Sprintf("%d %s %s", c.Line, c.Level, c.Text))
	}
	return lines
}

func TestLintModule(t *testing.T) {
	head := func(attestation string) string {
		return "# METADATA\n# title: x\n# custom:\n#   attestation: " + attestation + "\npackage own\n\nimport rego.v1\n\n"
	}
	command := head("command-run/v0.1") // 8 lines
	tests := map[string]struct {
		module string
		strict bool
		want   []string // parts, one for each complaint
	}{
		"nothing": {module: command + `deny contains "HIGH:A: x" if { some p in input.processes; some c in p.network.connections; c.port == 25 }`},
		"misspelt field": {
			module: command + "deny contains msg if {\n\tsome p in input.processes\n\tmsg := p.progam\n}",
			want:   []string{`11 error p.progam does not exist, did you mean "program"? There are: args, children,`},
		},
		"misspelt field in a comprehension": {
			module: command + "deny contains msg if {\n\tsome msg in [x | some p in input.processes; some o in p.fileOps.opens; x := o.pth]\n}",
			want:   []string{`10 error o.pth does not exist, did you mean "path"?`},
		},
		"misspelt name of object.get": {
			module: command + "deny contains msg if {\n\tsome p in input.processes\n\tmsg := object.get(p, [\"fileOps\", \"writs\"], [])[_].path\n}",
			want:   []string{`11 warning object.get: p.fileOps.writs does not exist, did you mean "writes"?`},
		},
		"misspelt name of object.get, strict": {
			strict: true,
			module: command + "deny contains msg if {\n\tsome p in input.processes\n\tmsg := object.get(p, \"progam\", \"\")\n}",
			want:   []string{`11 error object.get: p.progam does not exist`},
		},
		"right names of object.get": {
			module: command + "deny contains msg if {\n\tsome p in object.get(input, \"processes\", [])\n\tmsg := object.get(p, \"program\", \"\")\n}",
		},
		"step that does not exist": {
			module: command + `deny contains "x" if input.steps["pip-instal"]["command-run"]`,
			want:   []string{`9 error input.steps["pip-instal"] does not exist, did you mean "pip-install"? There are: pip-import, pip-install`},
		},
		"attestation that does not exist": {
			module: command + `deny contains "x" if input.steps["pip-install"].omnitrial`,
			want:   []string{`9 error input.steps["pip-install"].omnitrial does not exist, did you mean "omnitrail"?`},
		},
		"attestation by its URI": {
			module: command + `deny contains "x" if input.steps["pip-install"]["https://aflock.ai/attestations/command-run/v0.1"].exitcode == 1`,
		},
		"attestation of the same collection": {module: command + `deny contains "x" if input.sbom.bomFormat == "x"`},
		"field of another attestation": {
			module: command + `deny contains "x" if input.pipVersion`,
			want:   []string{`9 error input.pipVersion does not exist`},
		},
		"that attestation": {module: head("pip-install/v0.1") + `deny contains "x" if { input.pipVersion; input.attestation.packages[_].name == "x" }`},
		"misspelt below attestation": {
			module: head("pip-install/v0.1") + `deny contains "x" if input.attestation.packages[_].nam == "x"`,
			want:   []string{`did you mean "name"?`},
		},
		"a map is open":      {module: head("product/v0.1") + `deny contains "x" if { some path, _ in input.attestation; input.product[path].digest.sha256 == "" }`},
		"recursive document": {module: head("sbom/v0.1") + `deny contains "x" if input.components[_].components[_].components[_].name == "x"`},
		"misspelt in a recursive document": {
			module: head("sbom/v0.1") + `deny contains "x" if input.components[_].components[_].nam == "x"`,
			want:   []string{`does not exist, did you mean "name"?`},
		},
		"type that nothing has": {
			module: command + `deny contains "x" if { some p in input.processes; p.processid == "1" }`,
			want:   []string{`9 error match error`},
		},
		"attestation is not known": {module: "package own\nimport rego.v1\ndeny contains \"x\" if { input.pipVersion; input.processes[_].program }"},
		"unused variable": {
			module: command + `deny contains "x" if { y := input.exitcode }`,
			want:   []string{`9 warning assigned var y unused`},
		},
		"unused variable, strict": {
			module: command + `deny contains "x" if { y := input.exitcode }`, strict: true,
			want: []string{`9 error assigned var y unused`},
		},
		"unused import":   {module: command + "import data.pip_witness.lib.text\n\ndeny contains \"x\" if input.exitcode == 1", want: []string{`9 warning import data.pip_witness.lib.text unused`}},
		"parse":           {module: command + "deny contains msg if { msg := \n", want: []string{`error`}},
		"no deny":         {module: command + "allow := true", want: []string{`1 error it declares no deny`}},
		"removed builtin": {module: command + `deny contains "x" if http.send({"method": "get", "url": "http://127.0.0.1/"})`, want: []string{`9 error undefined function http.send`}},
		"v0":              {module: "package own\n\ndeny[msg] { msg := input.exitcode }", want: []string{`1 warning it is not Rego v1`}},
		"library rule that does not exist": {
			module: command + "import data.pip_witness.lib.text\n\ndeny contains text.sfe(\"x\") if input.exitcode == 1",
			want:   []string{`text.sfe`},
		},
		"library": {
			module: command + "import data.pip_witness.lib.process\n\ndeny contains process.describe(p) if some p in input.processes",
		},
		"only what is reached of a library": {
			module: head("pip-install/v0.1") + "import data.pip_witness.lib.process\n\ndeny contains \"x\" if process.under(input.packages[_].location, \"/x\")",
		},
		"what is reached of a library does not fit": {
			module: head("pip-install/v0.1") + "import data.pip_witness.lib.process\n\ndeny contains process.describe(p) if some p in input.packages",
			want:   []string{`error input.processes does not exist`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := said(t, tt.strict, tt.module)
			ok := len(got) == len(tt.want)
			for i := range min(len(tt.want), len(got)) {
				ok = ok && strings.Contains(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestLintSource(t *testing.T) {
	lint := func(t *testing.T, text string) []string {
		t.Helper()
		read := func(name string) ([]byte, error) {
			if name != "own.rego" {
				return nil, fs.ErrNotExist
			}
			return []byte("package own\n\nimport rego.v1\n\ndeny contains \"HIGH:OWN_RULE: x\" if input.steps.first.product"), nil
		}
		found, err := policy.Linter{Modules: rules.FS, Root: "rules"}.Source(t.Context(), "src.json", []byte(text), read)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, c := range found {
			lines = append(lines, fmt.Sprintf("%s:%d %s %s", c.File, c.Line, c.Level, c.Text))
		}
		return lines
	}
	step := func(name, reads, attestations string) string {
		return fmt.Sprintf("%q: {\"functionaries\": [{\"type\": \"publickey\", \"publickeyid\": \"...\"}], \"attestationsFrom\": [%s],\n\"attestations\": [%s]}", name, reads, attestations)
	}
	bound := `{"type": "command-run/v0.1", "regopolicies": ["own.rego", "network_exfiltration"]}`
	exception := func(fields string) string {
		return `,"exceptions": [{"reason": "r", "expires": "2030-01-01T00:00:00Z", ` + fields + `}]}`
	}
	good := "{\"steps\": {" + step("first", "", `{"type": "product/v0.1"}`) + ",\n" + step("second", `"first"`, bound) + "}"
	tests := map[string]struct {
		text string
		want []string
	}{
		"nothing":                            {text: good + "}"},
		"step not read":                      {text: "{\"steps\": {" + step("second", "", bound) + "}}", want: []string{`own.rego:5 error input.steps.first does not exist: there is none: the step has no attestationsFrom`}},
		"not JSON":                           {text: "{", want: []string{"src.json:0 error read source"}},
		"unknown field":                      {text: `{"steeps": {}}`, want: []string{`unknown field "steeps"`}},
		"unknown type":                       {text: "{\"steps\": {" + step("a", "", `{"type": "comand-run/v0.1"}`) + "}}", want: []string{`src.json:2 error step "a": unknown attestation type "comand-run/v0.1": known are`}},
		"unknown step":                       {text: "{\"steps\": {" + step("first", `"frist"`, `{"type": "product/v0.1"}`) + "}}", want: []string{`src.json:1 error step "first" reads from step "frist", which does not exist, did you mean "first"?`}},
		"unknown module":                     {text: "{\"steps\": {" + step("a", "", `{"type": "command-run/v0.1", "regopolicies": ["network_exfil"]}`) + "}}", want: []string{`src.json:2 error module "network_exfil" is not shipped, did you mean "network_exfiltration"?`}},
		"absent module":                      {text: "{\"steps\": {" + step("a", "", `{"type": "command-run/v0.1", "regopolicies": ["x.rego"]}`) + "}}", want: []string{`src.json:2 error module "x.rego": file does not exist`}},
		"exception":                          {text: good + exception(`"rule": "NET_RAW_IP", "host": "h.example"`)},
		"exception of the policy's own rule": {text: good + exception(`"rule": "OWN_RULE", "value": "x"`)},
		"exception of a module without ids":  {text: good + exception(`"rule": "own", "value": "x"`)},
		"exception of a module that is not bound": {
			text: good + exception(`"rule": "PTH_HIDDEN", "path": "/x"`),
			want: []string{`src.json:4 warning exception for rule "PTH_HIDDEN": no module of this policy has it`},
		},
		"misspelt exception": {
			text: good + exception(`"rule": "NET_RAW_IPP", "path": "/x"`),
			want: []string{`warning exception for rule "NET_RAW_IPP": no module of this policy has it, did you mean "NET_RAW_IP"?`},
		},
		"exception of everything": {
			text: good + exception(`"rule": "NET_RAW_IP"`),
			want: []string{`warning exception for rule "NET_RAW_IP" waives all its findings`},
		},
		"bad pattern": {
			text: good + exception(`"rule": "NET_RAW_IP", "path": "/x["`),
			want: []string{`exception 1 (rule "NET_RAW_IP"): pattern "/x[": syntax error in pattern`},
		},
		"requireEvaluated": {
			text: good + `, "requireEvaluated": ["NET_TORR"]}`,
			want: []string{`warning requireEvaluated names rule "NET_TORR": no module of this policy has it, did you mean "NET_TOR"?`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := lint(t, tt.text)
			ok := len(got) == len(tt.want)
			for i := range min(len(tt.want), len(got)) {
				ok = ok && strings.Contains(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestLintBuiltin: the built-in policy is clean, and so is what it compiles to.
func TestLintBuiltin(t *testing.T) {
	linter := policy.Linter{Modules: rules.FS, Root: "rules"}
	o := options(t)
	o.Modules = rules.FS
	p, err := policy.Compile(t.Context(), policy.Builtin(), o)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string][]byte{"source": policy.Builtin(), "compiled": compiled} {
		found, err := linter.Source(t.Context(), name, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			if c.Level == policy.LevelError {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"NET_RAW_IP", "NET_RAW_SOCKET", "CRED_SSH_KEY", "NET_TOR"}
	for word, want := range map[string]string{
		"NET_RAWIP": "NET_RAW_IP", "net-raw-ip": "NET_RAW_IP", "NET_RWA_IP": "NET_RAW_IP", "SSH_KEY": "CRED_SSH_KEY", "": "", "SOMETHING_ELSE": "",
		strings.Repeat("x", 100_000): "",
	} {
		if got := strings.Join(append(policy.Nearest(word, known), "")[:1], ""); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", word, got, want)
		}
	}
}

func TestReadPage(t *testing.T) {
	page, err := policy.ReadPage("own", []byte(`# METADATA
# title: About
# description: What it is about.
# related_resources:
#   - ref: https://example.com/x
# custom:
#   attestation: command-run/v0.1
package own

import rego.v1

# METADATA
# title: A rule
# description: >-
#   It sees
#   something.
# custom:
#   id: A_RULE
#   severity: LOW
#   attack: T1059.006, T1105
#   incidents: [one, 2]
#   false_positives: none known
#   solution: Look.
#   needs: all
deny contains "LOW:A_RULE: x" if input.exitcode == 1

# METADATA
# title: Another
# custom:
#   id: B_RULE
#   severity: AWFUL
#   attack: [none]
deny contains "HIGH:B_RULE: x" if input.exitcode == 2
`))
	if err != nil {
		t.Fatal(err)
	}
	if page.Title != "About" || page.Attestation != "command-run/v0.1" || len(page.References) != 1 || len(page.Rules) != 2 {
		t.Fatalf("%+v", page)
	}
	a, b := page.Rules[0], page.Rules[1]
	want := policy.Rule{
		ID: "A_RULE", Module: "own", Title: "A rule", Severity: policy.Low, Attack: []string{"T1059.006", "T1105"}, Incidents: []string{"one", "2"},
		Description: "It sees something.", Needs: "all", FalsePositives: "none known", Solution: "Look.", Line: 12,
	}
	if d := cmp.Diff(want, a, cmpopts.IgnoreUnexported(policy.Rule{})); d != "" || len(a.Missing()) > 0 {
		t.Errorf("(-want +got):\n%s, missing %q", d, a.Missing())
	}
	if b.Severity != policy.High || strings.Join(b.Missing(), " ") != "severity description solution needs false_positives incidents" {
		t.Errorf("%+v, missing %q", b, b.Missing())
	}
	if got := policy.TechniqueURL("T1059.006"); got != "https://attack.mitre.org/techniques/T1059/006/" {
		t.Error(got)
	}
}

// FuzzLintSource: whatever a policy says, it is told, and nothing else happens.
func FuzzLintSource(f *testing.F) {
	f.Add([]byte(`{"steps": {"a": {"attestations": [{"type": "command-run/v0.1", "regopolicies": ["sbom", {"name": "x", "module": "cGFja2FnZSB4"}]}]}}}`))
	f.Add([]byte(`{"exceptions": [{"rule": "x"}], "requireEvaluated": [""]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		linter := policy.Linter{Modules: os.DirFS("testdata/rules"), Policy: []byte(`{"steps": {}}`)}
		found, err := linter.Source(t.Context(), "f.json", text, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			if c.Text == "" || c.Level != policy.LevelError && c.Level != policy.LevelWarning {
				t.Errorf("%+v", c)
			}
		}
	})
}
