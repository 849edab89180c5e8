package report

import (
	"fmt"
	"io"
	"strings"

	"pip-witness/policy"
)

// Bounds of the summary, which says where it was cut; JSON has everything.
const (
	maxRows       = 200 // findings
	maxRowsOfRule = 50  // findings of one rule in one step
	maxCell       = 600 // characters of one cell
)

// Markdown writes the outcome for the page of a job: verdict, findings, what
// they rest on. Whatever the package may have chosen stands in code spans in
// which neither a backtick nor a pipe is left, so no renderer sees markup in it.
func Markdown(w io.Writer, o Outcome, t Tool) error {
	m := &markdown{}
	m.line("## pip-witness: %s", strings.ToUpper(string(o.Verdict)))
	m.line("")
	if of := subjects(o); len(of) > 0 {
		m.line("%s", code(strings.Join(of, ", ")))
		m.line("")
	}
	m.line("%s", prose(sentence(explanation(o))))
	m.problems(o)
	m.findings(o, t)
	m.exceptions(o)
	m.steps(o)
	m.packages(o)
	m.footer(o)
	_, err := io.WriteString(w, m.text.String())
	return err
}

type markdown struct{ text strings.Builder }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(&m.text, format+"\n", args...) }

// code is a code span; what a span or a table would end at is escaped as
// [Printable] escapes what a terminal would obey.
func code(text string) string {
	text = strings.NewReplacer("`", `\x60`, "|", `\x7c`).Replace(Printable(text))
	if runes := []rune(text); len(runes) > maxCell {
		text = fmt.Sprintf("%s… (%d more characters)", string(runes[:maxCell]), len(runes)-maxCell)
	}
	if strings.TrimSpace(text) == "" {
		return "–"
	}
	return "`" + text + "`"
}

// prose is a text of our own with every character escaped that could be markup
// (CommonMark 0.31, section 2.4).
func prose(text string) string {
	var b strings.Builder
	for _, r := range Printable(text) {
		if strings.ContainsRune("\\`*_{}[]<>#|~&$@!", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func (m *markdown) problems(o Outcome) {
	all := notifications(o)
	shown := false
	for _, n := range all {
		if n.Level == "note" {
			continue
		}
		if !shown {
			m.line("\n### Problems\n")
			shown = true
		}
		m.line("- %s", code(n.Message.Text))
	}
	if o.Advice != "" {
		m.line("\nWhat to do: %s", code(o.Advice))
	}
}

func (m *markdown) findings(o Outcome, t Tool) {
	if len(o.Findings) == 0 {
		return
	}
	m.line("\n### Findings\n")
	m.line("| severity | rule | step | what was seen |")
	m.line("|---|---|---|---|")
	var shown []policy.Finding
	for _, group := range byRule(o.Findings) {
		if len(shown) >= maxRows {
			break
		}
		few := group[:min(len(group), maxRowsOfRule, maxRows-len(shown))]
		shown = append(shown, few...)
		for _, f := range few {
			excepted := ""
			if f.Exception != "" {
				excepted = " excepted by the policy: " + code(f.Exception)
			}
			m.line("| %s | %s | %s | %s%s |", f.Severity, code(f.Rule), code(f.Step), code(f.Message), excepted)
		}
		if cut := len(group) - len(few); cut > 0 {
			m.line("| %s | %s | %s | … and %d more of this rule |", group[0].Severity, code(group[0].Rule), code(group[0].Step), cut)
		}
	}
	if cut := len(o.Findings) - len(shown); cut > 0 {
		m.line("\n%s not shown here; the JSON output has them.", sentence(plural(cut, "more finding")))
	}
	m.solutions(shown, t)
}

func (m *markdown) exceptions(o Outcome) {
	for i, line := range exceptionLines(o) {
		if i == 0 {
			m.line("\n### Exceptions\n")
		}
		m.line("- %s", code(line))
	}
}

// solutions says once per rule what to do about findings that are not excepted.
func (m *markdown) solutions(findings []policy.Finding, t Tool) {
	said := map[string]bool{}
	for _, f := range findings {
		solution := t.Rules[f.Rule].Solution
		if f.Exception != "" || solution == "" || said[f.Rule] {
			continue
		}
		if len(said) == 0 {
			m.line("\n### What to do\n")
		}
		said[f.Rule] = true
		m.line("- %s: %s", code(f.Rule), prose(solution))
	}
}

func (m *markdown) steps(o Outcome) {
	if len(o.Steps) == 0 {
		return
	}
	m.line("\n### Coverage\n")
	m.line("| step | verdict | what it rests on | not judged |")
	m.line("|---|---|---|---|")
	for _, s := range o.Steps {
		notJudged := "–"
		if s.Collection != "" && len(s.NotEvaluated) > 0 {
			notJudged = plural(len(s.NotEvaluated), "rule")
		}
		m.line("| %s | %s | %s | %s |", code(s.Name), s.Verdict, code((&printer{}).basis(o, s)), notJudged)
	}
}

func (m *markdown) packages(o Outcome) {
	if len(o.Packages) == 0 {
		return
	}
	m.line("\n### Packages\n")
	m.line("| package | version | file | sha256 |")
	m.line("|---|---|---|---|")
	for i, p := range o.Packages {
		if i == maxRows {
			m.line("\n%s not shown here; the JSON output has them.", sentence(plural(len(o.Packages)-i, "more package")))
			break
		}
		if len(p.Files) == 0 {
			m.line("| %s | %s | – | – |", code(p.Name), code(p.Version))
		}
		for _, f := range p.Files {
			m.line("| %s | %s | %s | %s |", code(p.Name), code(p.Version), code(f.Filename), code(f.SHA256))
		}
	}
}

func (m *markdown) footer(o Outcome) {
	m.line("")
	if o.Ephemeral {
		m.line("- signed with a key made for this run")
	}
	if o.Policy.SHA256 != "" {
		m.line("- policy %s", code("sha256:"+o.Policy.SHA256))
	}
	if o.Evidence != "" {
		m.line("- evidence %s", code(o.Evidence))
	}
	if o.Next != "" {
		m.line("- next %s", code(o.Next))
	}
}
