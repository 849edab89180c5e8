package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/report"
	"pip-witness/policy"
)

func tool() report.Tool {
	return report.Tool{Version: "1.2.3", Rules: map[string]policy.Rule{
		"IMPORT_CRED_ACCESS": {
			ID: "IMPORT_CRED_ACCESS", Module: "import_behavior", Title: "Credentials read by an import", Severity: policy.Critical,
			Description:    "A process of the import opened a file of this kind.",
			Solution:       "Do not use it; if it ran outside a sandbox, replace what it could read.",
			FalsePositives: "none", Attack: []string{"T1552.004"},
		},
		"IMPORT_SYSCALL_EVENTS": {ID: "IMPORT_SYSCALL_EVENTS", Module: "import_behavior", Title: "Unusual calls", Severity: policy.Medium, Solution: "Read *why* it <calls> them."},
	}}
}

// located is a check of two packages, one of them asked for by line 7 of a file.
func located(t *testing.T) report.Outcome {
	t.Helper()
	o := failedTwice(t)
	o.Packages = append(o.Packages, policy.Package{Name: "Other_Dist", Version: "2.0", Files: []policy.File{}})
	o.Requested = []string{"-r requirements.txt"}
	o.Places = []report.Place{{URI: "requirements.txt", Line: 3, Package: "example.sdk"}, {URI: "requirements.txt", Line: 7, Package: "other-dist"}, {URI: "dev/more%20requirements.txt", Line: 1}}
	o.Findings = []policy.Finding{
		finding(policy.High, "PTH_EXEC_LINE", "pip-install", `"/venv/lib/python3.11/site-packages/other_dist-2.0.dist-info/x.pth" runs code`),
		finding(policy.Medium, "IMPORT_SYSCALL_EVENTS", "pip-import", `"/venv/lib/python3.11/site-packages/example_sdk/x.so" called kill (2 times)`),
		finding(policy.Low, "IMPORT_FAILED", "pip-import", "one of two modules does not import"),
	}
	o.Findings[1].Exception = "it stops its own helper (ticket 7)"
	return o
}

func sarif(t *testing.T, o report.Outcome) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.SARIF(&b, o, tool()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func withLocated(t *testing.T) map[string]report.Outcome {
	t.Helper()
	all := outcomes(t)
	all["located"] = located(t)
	return all
}

// parsed are the parts of a log that the tests look at.
type parsed struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []struct {
					ID         string
					Properties map[string]any
				}
			}
		}
		AutomationDetails struct{ ID string }
		Invocations       []struct {
			ExecutionSuccessful bool
			ExitCode            int
		}
		Results []struct {
			RuleID    string
			RuleIndex int
			Level     string
			Locations []struct {
				PhysicalLocation *struct {
					ArtifactLocation struct{ URI string }
					Region           struct{ StartLine int }
				}
				LogicalLocations []struct{ FullyQualifiedName string }
			}
			RelatedLocations    []json.RawMessage
			PartialFingerprints map[string]string
			Suppressions        []json.RawMessage
		}
	}
}

func parse(t *testing.T, text string) parsed {
	t.Helper()
	var p parsed
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Runs) != 1 || len(p.Runs[0].Invocations) != 1 {
		t.Fatalf("%d runs, want one with one invocation", len(p.Runs))
	}
	return p
}

func TestSARIF(t *testing.T) {
	for name, o := range withLocated(t) {
		t.Run(name, func(t *testing.T) {
			got := sarif(t, o)
			golden(t, name+".sarif", got)
			if sarif(t, withLocated(t)[name]) != got {
				t.Error("rendering the same outcome again gives other bytes")
			}
			run := parse(t, got).Runs[0]
			if o.Verdict != policy.Pass && (len(run.Results) == 0 || run.Results[0].Level != "error") {
				t.Error("it is no pass, and a reader would take it for one")
			}
			if want := o.Verdict == policy.Pass || o.Verdict == policy.Fail; run.Invocations[0].ExecutionSuccessful != want || run.Invocations[0].ExitCode != o.ExitCode() {
				t.Errorf("invocation %+v for verdict %s", run.Invocations[0], o.Verdict)
			}
			for _, r := range run.Results {
				if rule := run.Tool.Driver.Rules[r.RuleIndex]; rule.ID != r.RuleID || rule.Properties["security-severity"] == nil {
					t.Errorf("result of %s refers to %+v", r.RuleID, rule)
				}
				if len(r.Locations) != 1 || len(r.PartialFingerprints) != 1 {
					t.Errorf("%s: %d locations, %d fingerprints", r.RuleID, len(r.Locations), len(r.PartialFingerprints))
				}
				if p := r.Locations[0].PhysicalLocation; p != nil && p.Region.StartLine < 1 {
					t.Errorf("%s: line %d", r.RuleID, p.Region.StartLine)
				}
			}
			if strings.ContainsAny(got, "\x1b\u202e\x07") {
				t.Error("it holds control characters")
			}
		})
	}
}

// TestSARIFLocations: a finding is at the line that asks for its package, and one
// about the run as a whole at the first with the others related.
func TestSARIFLocations(t *testing.T) {
	run := parse(t, sarif(t, located(t))).Runs[0]
	type at struct {
		uri     string
		line    int
		logical string
		related int
	}
	var got []at
	for _, r := range run.Results {
		l := r.Locations[0]
		got = append(got, at{l.PhysicalLocation.ArtifactLocation.URI, l.PhysicalLocation.Region.StartLine, l.LogicalLocations[0].FullyQualifiedName, len(r.RelatedLocations)})
	}
	want := []at{
		{"requirements.txt", 7, "pkg:pypi/other-dist@2.0", 0},
		{"requirements.txt", 3, "pkg:pypi/example-sdk@1.4", 0},
		{"requirements.txt", 3, "pkg:pypi/example-sdk@1.4", 2},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(at{})); d != "" {
		t.Errorf("locations (-want +got):\n%s", d)
	}
	if n := len(run.Results[1].Suppressions); n != 1 || len(run.Results[0].Suppressions) != 0 {
		t.Errorf("%d suppressions of the excepted finding, want 1", n)
	}
	without := located(t)
	without.Places = nil
	if p := parse(t, sarif(t, without)).Runs[0].Results[0].Locations[0]; p.PhysicalLocation != nil || p.LogicalLocations[0].FullyQualifiedName != "pkg:pypi/other-dist@2.0" {
		t.Errorf("without a requirements file: %+v", p)
	}
}

// TestSARIFFingerprints: what differs from run to run does not change them, and
// what makes it another finding does.
func TestSARIFFingerprints(t *testing.T) {
	print := func(rule, message string) string {
		o := passed(t)
		o.Verdict, o.Findings = policy.Fail, []policy.Finding{finding(policy.Critical, rule, "pip-import", message)}
		for _, value := range parse(t, sarif(t, o)).Runs[0].Results[0].PartialFingerprints {
			return value
		}
		return ""
	}
	const message = `the build process 4711 "/tmp/pip-build-env-8x_2/bin/sh" read "/proc/4711/environ" (3 times) at 2026-11-25T05:32:44.1Z through 198.18.0.7 with key 0123456789abcdef0123`
	same := `the build process 99 "/tmp/pip-build-env-zzzz/bin/sh" read "/proc/99/environ" (1 times) at 2027-01-01T00:00:00Z through 198.19.4.1 with key ffffffffffffffff0000`
	if print("A_RULE", message) != print("A_RULE", same) {
		t.Error("another run of the same finding has another fingerprint")
	}
	for _, other := range [][2]string{
		{"B_RULE", message},
		{"A_RULE", strings.Replace(message, "bin/sh", "bin/dash", 1)},
		{"A_RULE", strings.Replace(message, "environ", "mem", 1)},
	} {
		if print("A_RULE", message) == print(other[0], other[1]) {
			t.Errorf("%q is the same finding", other)
		}
	}
	if a, b := print("A_RULE", "contacted 192.0.2.1 port 80"), print("A_RULE", "contacted 192.0.2.2 port 80"); a == b {
		t.Error("another peer is the same finding")
	}
}

// schemaModule is a library of others that carries the schema of OASIS in a
// constant; nothing of it is linked.
const schemaModule = "github.com/owenrumney/go-sarif/v3@v3.3.1"

// sarifSchema writes the schema to a file.
func sarifSchema(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", schemaModule).Output()
	if err != nil {
		t.Skipf("needs the module %s: %v", schemaModule, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	source, err := parser.ParseFile(token.NewFileSet(), filepath.Join(module.Dir, "pkg/report/v210/sarif/schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var schema string
	ast.Inspect(source, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && len(literal.Value) > len(schema) {
			schema = literal.Value
		}
		return true
	})
	schema, err = strconv.Unquote(schema)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sarif-schema-2.1.0.json")
	if err := os.WriteFile(path, []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestE2ESARIFSchema lets check-jsonschema judge every outcome, and one that is
// wrong, by the schema of SARIF 2.1.0.
func TestE2ESARIFSchema(t *testing.T) {
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if os.Getenv("PIP_WITNESS_E2E") == "" || python == "" {
		t.Skip("needs PIP_WITNESS_E2E=1 and PIP_WITNESS_ORACLE_PYTHON, an interpreter with check-jsonschema")
	}
	schema, dir := sarifSchema(t), t.TempDir()
	validate := func(name, text string) (string, error) {
		file := filepath.Join(dir, name+".sarif")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), python, "-m", "check_jsonschema", "--schemafile", schema, file).CombinedOutput()
		return string(out), err
	}
	for name, o := range withLocated(t) {
		if out, err := validate(name, sarif(t, o)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	wrong := strings.Replace(sarif(t, located(t)), `"startLine": 7`, `"startLine": 0`, 1)
	if out, err := validate("wrong", wrong); err == nil || !strings.Contains(out, "startLine") {
		t.Errorf("line 0 is accepted (%v):\n%s", err, out)
	}
}
