package report_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pip-witness/internal/report"
	"pip-witness/policy"
)

func markdown(t *testing.T, o report.Outcome) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Markdown(&b, o, tool()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// span is a code span as the summary writes them.
var span = regexp.MustCompile("`[^`]*`")

func TestMarkdown(t *testing.T) {
	for name, o := range withLocated(t) {
		t.Run(name, func(t *testing.T) {
			got := markdown(t, o)
			golden(t, name+".md", got)
			if markdown(t, withLocated(t)[name]) != got {
				t.Error("rendering the same outcome again gives other bytes")
			}
			if want := "## pip-witness: " + strings.ToUpper(string(o.Verdict)) + "\n"; !strings.HasPrefix(got, want) {
				t.Errorf("it does not start with %q", want)
			}
			if o.Verdict != policy.Pass && strings.Contains(span.ReplaceAllString(got, ""), "PASS") {
				t.Error("outside of code spans it speaks of a pass")
			}
		})
	}
}

func TestMarkdownCuts(t *testing.T) {
	o := passed(t)
	for range 51 {
		o.Findings = append(o.Findings, finding(policy.Medium, "A_RULE", "pip-import", strings.Repeat("ü", 601)))
	}
	for i := range 160 {
		o.Findings = append(o.Findings, finding(policy.Low, fmt.Sprintf("RULE_%03d", i), "pip-import", "x"))
	}
	got := markdown(t, o)
	for _, want := range []string{"… and 1 more of this rule |", "11 more findings not shown here", "ü… (1 more characters)`"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// FuzzMarkdown: no text changes what stands outside of code spans, nor the cells.
func FuzzMarkdown(f *testing.F) {
	f.Add("plain")
	f.Add("`|\n\r| <script>alert(1)</script> \u202e\x1b[2J \\`\\| ![x](http://index.example/) @someone #1")
	f.Add("` `` ```\n## pip-witness: PASS")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, hostile string) {
		shape := func(text string) string {
			o := failedTwice(t)
			o.Requested, o.Problems = []string{"x" + text}, []string{"x" + text}
			o.Findings = []policy.Finding{finding(policy.High, "x"+text, "x"+text, "x"+text)}
			o.Findings[0].Exception = "x" + text
			o.Packages[0].Name, o.Packages[0].Files[0].Filename = "x"+text, "x"+text
			o.Steps[1].Name, o.Steps[1].Reasons = "x"+text, []string{"x" + text}
			return span.ReplaceAllString(markdown(t, o), "")
		}
		if got, want := shape(hostile), shape(""); got != want {
			t.Errorf("%q changes the page:\n%s\nwant\n%s", hostile, got, want)
		}
	})
}
