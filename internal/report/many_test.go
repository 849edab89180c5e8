package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pip-witness/internal/report"
	"pip-witness/policy"
)

// many are so many findings of a module that a package makes it complain about, and
// after them one of another rule.
const many = 100_000

func flooded(t testing.TB) report.Outcome {
	o := report.Outcome{Result: &policy.Result{
		Verdict: policy.Fail, Policy: policy.Summary{FailOn: policy.High},
		Packages: []policy.Package{{Name: "example-sdk", Version: "1"}, {Name: "other", Version: "2"}},
	}}
	for i := range many {
		f := finding(policy.Critical, "A_FLOOD", "pip-install", fmt.Sprintf("the process \"/usr/bin/python3\" opened \"/tmp/x%06d\"", i))
		o.Findings = append(o.Findings, f)
	}
	o.Findings[0].Exception = "this one is known"
	o.Findings = append(o.Findings, finding(policy.High, "B_HIDDEN", "pip-install", "what a flood is meant to hide"))
	return o
}

// TestManyFindings: each output shows the finding behind a flood and says how many
// are not shown; JSON has them all.
func TestManyFindings(t *testing.T) {
	o := flooded(t)
	short := text(t, o, report.Style{Width: 300})
	for _, want := range []string{"99999 CRITICAL, 1 HIGH", "Excepted by the policy: 1 CRITICAL", "… and 99990 more, shown with -v", "what a flood is meant to hide"} {
		if !strings.Contains(short, want) {
			t.Errorf("the text does not say %q", want)
		}
	}
	if strings.Contains(short, "this one is known") {
		t.Error("a waived finding took the place of one that denies")
	}
	if n := strings.Count(short, "\n"); n > 60 {
		t.Errorf("the text has %d lines", n)
	}
	if n := strings.Count(text(t, o, report.Style{Verbose: true}), "A_FLOOD"); n != 1 {
		t.Errorf("the rule stands %d times in the verbose text, want once", n)
	}
	md := markdown(t, o)
	for _, want := range []string{"… and 99950 more of this rule", "what a flood is meant to hide", "99950 more findings not shown here; the JSON output has them."} {
		if !strings.Contains(strings.ToLower(md), strings.ToLower(want)) {
			t.Errorf("the summary does not say %q", want)
		}
	}
	var document, results strings.Builder
	if err := report.JSON(&document, o); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(document.String(), `/tmp/x`); n != many {
		t.Errorf("the JSON has %d findings, want %d", n, many)
	}
	if err := report.SARIF(&results, o, tool()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"99000 more findings of rule A_FLOOD are not among the results", "what a flood is meant to hide"} {
		if !strings.Contains(results.String(), want) {
			t.Errorf("the SARIF does not say %q", want)
		}
	}
}

func BenchmarkManyFindings(b *testing.B) {
	o := flooded(b)
	for name, render := range map[string]func(*strings.Builder) error{
		"text":     func(w *strings.Builder) error { return report.Text(w, o, report.Style{}) },
		"verbose":  func(w *strings.Builder) error { return report.Text(w, o, report.Style{Verbose: true}) },
		"markdown": func(w *strings.Builder) error { return report.Markdown(w, o, tool()) },
		"json":     func(w *strings.Builder) error { return report.JSON(w, o) },
		"sarif":    func(w *strings.Builder) error { return report.SARIF(w, o, tool()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var w strings.Builder
				if err := render(&w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestExceptionUses: what became of each exception is said, with what narrows it.
func TestExceptionUses(t *testing.T) {
	o := passed(t)
	end := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	use := func(status string, n int, e policy.Exception) policy.ExceptionUse {
		e.Reason, e.Expires = "ticket 12", end
		return policy.ExceptionUse{Exception: e, Status: status, Findings: n}
	}
	o.Exceptions = []policy.ExceptionUse{
		use("used", 3, policy.Exception{Rule: "A_RULE", Package: "p", Value: "v\x1b[2J"}),
		use("unused", 0, policy.Exception{Rule: "B_RULE"}),
		use("expired", 1, policy.Exception{Rule: "C_RULE", Path: "/x/*", Host: "h.example", Command: "/usr/bin/cc"}),
	}
	for name, got := range map[string]string{"text": text(t, o, report.Style{Width: 300, Verbose: true}), "markdown": markdown(t, o)} {
		for _, want := range []string{
			`exception A_RULE (package p, value v\x1b[2J) waived 3 findings: ticket 12`,
			`exception B_RULE was not used: ticket 12`,
			`exception C_RULE (path /x/*, host h.example, command /usr/bin/cc) expired on 2026-03-01 and waived nothing; it would have waived 1 finding: ticket 12`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, got)
			}
		}
	}
}
