package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/report"
	"pip-witness/policy"
)

var update = flag.Bool("update", false, "write the golden files")

const attestationType = "https://witness.dev/attestations/command-run/v0.1"

// coverage is what a step's capture says of itself.
func coverage(t *testing.T, change func(*evidence.Coverage)) json.RawMessage {
	t.Helper()
	c := evidence.Coverage{Complete: true, Events: 1697, Sandbox: evidence.Sandbox{Kind: "namespaces", Network: "index"}}
	if change != nil {
		change(&c)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// passed is a check of one package that passed.
func passed(t *testing.T) report.Outcome {
	t.Helper()
	good := []policy.AttestationStatus{{Type: attestationType, Status: "ok"}, {Type: "https://example/other/v1", Status: "unlisted"}}
	step := func(name string) policy.StepResult {
		return policy.StepResult{
			Name: name, Verdict: policy.Pass, Functionary: "ab12", Collection: "cd34", Attestations: good, NotEvaluated: []policy.NotEvaluated{},
		}
	}
	return report.Outcome{
		Result: &policy.Result{
			Verdict: policy.Pass,
			Packages: []policy.Package{{Name: "example-sdk", Version: "1.4", Files: []policy.File{
				{Filename: "example_sdk-1.4-py3-none-any.whl", SHA256: strings.Repeat("ab", 32), URL: "https://files.example/example_sdk-1.4-py3-none-any.whl"},
			}}},
			Steps: []policy.StepResult{step("pip-install"), step("pip-import")}, Findings: []policy.Finding{}, Checks: []policy.Check{},
			Coverage: map[string]json.RawMessage{"pip-install": coverage(t, nil), "pip-import": coverage(t, nil)},
			Policy:   policy.Summary{SHA256: strings.Repeat("cd", 32), KeyID: "ab12", FailOn: policy.High},
		},
		Timings: map[string]float64{"total": 2.61, "install": 1.5}, Evidence: "evidence", Requested: []string{"example-sdk"},
		Next: "pip-witness verify --trust-embedded evidence", Ephemeral: true,
	}
}

func finding(s policy.Severity, rule, step, message string) policy.Finding {
	return policy.Finding{Severity: s, Rule: rule, Module: "import_behavior", Step: step, Message: message}
}

// failedTwice is a check whose import read a key and connected.
func failedTwice(t *testing.T) report.Outcome {
	t.Helper()
	o := passed(t)
	o.Verdict, o.Steps[1].Verdict, o.Steps[1].Reasons = policy.Fail, policy.Fail, []string{"2 CRITICAL findings"}
	o.Findings = []policy.Finding{
		finding(policy.Critical, "IMPORT_CRED_ACCESS", "pip-import",
			`the import-harness process "/usr/bin/python3.11" opened "/home/user/.ssh/id_rsa", an SSH key; an import has no business with credentials`),
		finding(policy.Critical, "IMPORT_NEW_CONNECTION", "pip-import",
			`the import-harness process "/usr/bin/python3.11" contacted 127.0.0.1 port 9 (connect); an import needs no network`),
		finding(policy.Medium, "IMPORT_SYSCALL_EVENTS", "pip-import", "importing called kill (2 times), which loading modules does not need"),
		finding(policy.Low, "IMPORT_FAILED", "pip-import", "one of two modules does not import"),
	}
	return o
}

func outcomes(t *testing.T) map[string]report.Outcome {
	t.Helper()
	all := map[string]report.Outcome{"pass": passed(t), "fail": failedTwice(t)}

	o := passed(t)
	o.Findings = []policy.Finding{
		finding(policy.High, "IMPORT_NEW_PROCESS", "pip-import", `importing ran "/usr/bin/true"`),
		finding(policy.Low, "IMPORT_FAILED", "pip-import", "one of two modules does not import"),
	}
	o.Findings[0].Exception = "the vendor starts its helper at import (ticket 12)"
	o.Steps[0].NotEvaluated = []policy.NotEvaluated{{Rule: "NET_UPLOAD", Module: "network_exfiltration", Reason: "byte counts are not in the evidence"}}
	all["pass-excepted"] = o

	o = failedTwice(t)
	o.Findings, o.Steps[1].Reasons = nil, []string{"14 CRITICAL findings"}
	for i := range 14 {
		o.Findings = append(o.Findings, finding(policy.Critical, "IMPORT_CRED_ACCESS", "pip-import", fmt.Sprintf("opened key %d", i)))
	}
	all["fail-many"] = o

	o = passed(t)
	o.Verdict, o.Findings = policy.Fail, nil
	o.Steps[0].Verdict, o.Steps[0].Reasons = policy.Fail, []string{`artifact "other.whl" is not a subject of step "pip-install"`}
	all["fail-without-finding"] = o

	o = passed(t)
	o.Verdict, o.Packages, o.Next = policy.Incomplete, []policy.Package{}, "pip-witness inspect evidence/pip-install.json"
	o.Problems = []string{
		"the installer ended with status 1: No matching distribution found for example-sdk",
		"the installer ended with status 1: No matching distribution found for example-sdk",
	}
	o.Steps[0].Verdict, o.Steps[0].Reasons = policy.Incomplete, []string{"its command ended with exit code 1"}
	o.Steps[1] = policy.StepResult{Name: "pip-import", Verdict: policy.Incomplete, Reasons: []string{`there is no evidence of step "pip-import"`}}
	all["incomplete-install"] = o

	o = passed(t)
	o.Verdict = policy.Incomplete
	o.Steps[1].Verdict = policy.Incomplete
	o.Coverage["pip-import"] = coverage(t, func(c *evidence.Coverage) {
		c.Losses = map[string]int{"opens": 3, "executions": 1}
		c.Limits = []evidence.Limit{{Name: "wall-time", Value: 3000, Unit: "ms"}}
		c.Sandbox.Network = "host-unsafe"
	})
	all["incomplete-losses"] = o

	o = passed(t)
	o.Result = &policy.Result{
		Verdict: policy.Untrusted,
		Checks: []policy.Check{
			{Name: policy.CheckSignature, Status: policy.StatusPass},
			{Name: policy.CheckExpiry, Status: policy.StatusFail, Detail: "the policy expired on 2020-01-01T00:00:00Z"},
		},
	}
	o.Timings, o.Evidence, o.Next, o.Ephemeral, o.Advice = nil, "", "", false, "compile the policy again with a later --expires"
	all["untrusted-expired"] = o

	o = failedTwice(t)
	o.Verdict = policy.Untrusted
	o.Checks = []policy.Check{{Name: policy.CheckSignature, Status: policy.StatusFail, Detail: "no public key was given"}}
	o.Timings, o.Next, o.Ephemeral, o.Requested = nil, "", false, nil
	all["untrusted-findings"] = o

	o = failedTwice(t)
	o.Requested = []string{"evil\x1b[2J\x07"}
	o.Problems = []string{"line one\nPASS  forged \u202egnp.exe \xff"}
	o.Findings = []policy.Finding{finding(policy.High, "R\x1b[0m", "s\ttep", "opened \"\x1b]0;title\x07\"")}
	o.Packages[0].Files[0].Filename = "a\r\nPASS b.whl"
	o.Steps[1].Name, o.Steps[1].Reasons = "pip-\x9bimport", []string{"\x1b[32mpass\x1b[0m"}
	all["hostile"] = o
	return all
}

func solution(_, rule string) string {
	if rule == "IMPORT_CRED_ACCESS" {
		return "Do not use it; if it ran outside a sandbox, replace what it could read."
	}
	return ""
}

func text(t *testing.T, o report.Outcome, s report.Style) string {
	t.Helper()
	s.Solution = solution
	var b bytes.Buffer
	if err := report.Text(&b, o, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), `go test -update` writes it:\n%s", name, diff)
	}
}

func TestText(t *testing.T) {
	again := outcomes(t)
	for name, o := range outcomes(t) {
		t.Run(name, func(t *testing.T) {
			got := text(t, o, report.Style{})
			golden(t, name+".txt", got)
			if text(t, again[name], report.Style{}) != got {
				t.Error("rendering the same outcome again gives other bytes")
			}
			first, _, _ := strings.Cut(got, "  ")
			if want := strings.ToUpper(string(o.Verdict)); first != want {
				t.Errorf("it starts with %q, want the verdict %q", first, want)
			}
			if o.Verdict != policy.Pass && regexp.MustCompile(`(?m)^\s*PASS`).MatchString(got) {
				t.Error("a line of it looks like a pass")
			}
			for _, r := range got {
				if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
					t.Errorf("it holds the control character %U", r)
				}
			}
		})
	}
}

func TestTextVerbose(t *testing.T) {
	all := outcomes(t)
	golden(t, "fail.verbose.txt", text(t, all["fail"], report.Style{Verbose: true}))
	golden(t, "pass-excepted.verbose.txt", text(t, all["pass-excepted"], report.Style{Verbose: true}))
	if n := strings.Count(text(t, all["fail-many"], report.Style{Verbose: true}), "opened key"); n != 14 {
		t.Errorf("%d findings, want all 14", n)
	}
}

func TestTextColor(t *testing.T) {
	escape := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, o := range outcomes(t) {
		t.Run(name, func(t *testing.T) {
			colored, plain := text(t, o, report.Style{Color: true}), text(t, o, report.Style{})
			if !escape.MatchString(colored) {
				t.Error("it has no colour")
			}
			if diff := cmp.Diff(plain, escape.ReplaceAllString(colored, "")); diff != "" {
				t.Errorf("without colours it differs (-plain +colored):\n%s", diff)
			}
		})
	}
}

func TestTextWidth(t *testing.T) {
	for line := range strings.Lines(text(t, outcomes(t)["fail"], report.Style{Width: 60})) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 && strings.HasPrefix(line, strings.Repeat(" ", 12)) {
			t.Errorf("%d characters: %q", n, line)
		}
	}
}

func TestJSON(t *testing.T) {
	for _, name := range []string{"pass", "fail", "incomplete-install"} {
		t.Run(name, func(t *testing.T) {
			var got, again bytes.Buffer
			if err := report.JSON(&got, outcomes(t)[name]); err != nil {
				t.Fatal(err)
			}
			if err := report.JSON(&again, outcomes(t)[name]); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", got.String())
			if got.String() != again.String() {
				t.Error("rendering the same outcome again gives other bytes")
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "a b, ü → “c”", "a b, ü → “c”"},
		{"escape", "\x1b[31m", `\x1b[31m`},
		{"line end", "a\nb\r", `a\x0ab\x0d`},
		{"C1 control", "\u009b2J", `\u009b2J`},
		{"bidirectional override", "\u202etxt", `\u202etxt`},
		{"zero width", "a\u200bb", `a\u200bb`},
		{"no-break space", "a\u00a0b", `a\u00a0b`},
		{"tag character", "\U000e0041", `\U000e0041`},
		{"no UTF-8", "a\xffb", `a\xffb`},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := report.Printable(c.in); got != c.want {
				t.Errorf("Printable(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;x\x07\u202e\xff\U000e0041")
	f.Fuzz(func(t *testing.T, in string) {
		got := report.Printable(in)
		if again := report.Printable(got); again != got {
			t.Errorf("printing %q again gives %q", got, again)
		}
		if strings.ContainsAny(got, "\x1b\n\r\t\x07\u202e") {
			t.Errorf("Printable(%q) = %q", in, got)
		}
	})
}
