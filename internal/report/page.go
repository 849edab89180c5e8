package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"pip-witness/policy"
)

// generatedBy stands at the top of each page that is written here.
const generatedBy = "<!-- generated from rules/*.rego by `go test -run TestRulePages -update .`: change the annotations there -->\n"

// ModulePage is the documentation page of a module, in Markdown: what its rules see,
// need, take for an attack, and what to do about it. Bound are the places at which
// the built-in policy asks the module.
func ModulePage(p policy.Page, bound []policy.Binding) string {
	m := &markdown{}
	m.text.WriteString(generatedBy)
	m.line("\n# %s\n", p.Name)
	if p.Title != "" {
		m.line("**%s.** %s\n", markup(p.Title), markup(p.Description))
	}
	m.line("%s\n", boundText(p, bound))
	m.line("| rule | severity | what |\n|---|---|---|")
	for _, r := range p.Rules {
		m.line("| [%s](#%s) | %s | %s |", r.ID, strings.ToLower(r.ID), r.Severity, cell(r.Title))
	}
	for _, r := range p.Rules {
		m.line("\n## %s\n\n%s", r.ID, strings.TrimRight(ruleSection(r), "\n"))
		m.line("\nAn exception for one place:\n\n```json\n%s\n```", ExampleException(r))
	}
	if len(p.References) > 0 {
		m.line("\n## Further reading\n")
		for _, ref := range p.References {
			m.line("- <%s>", ref)
		}
	}
	return m.text.String()
}

// ruleSection is what the annotations say of one rule.
func ruleSection(r policy.Rule) string {
	m := &markdown{}
	m.line("%s. %s\n", markup(r.Title), markup(r.Description))
	m.line("- Severity: %s", r.Severity)
	m.line("- Evidence needed: %s", markup(orDash(r.Needs)))
	m.line("- Technique: %s", techniques(r, ", "))
	m.line("- Incidents: %s", markup(orDash(strings.Join(r.Incidents, ", "))))
	m.line("- What looks the same: %s", markup(orDash(r.FalsePositives)))
	m.line("- What to do: %s", markup(orDash(r.Solution)))
	return m.text.String()
}

// RuleIndex is the table of all rules, in Markdown.
func RuleIndex(pages []policy.Page, bound map[string][]policy.Binding) string {
	m := &markdown{}
	m.text.WriteString(generatedBy)
	rules := 0
	for _, p := range pages {
		rules += len(p.Rules)
	}
	m.line("\n# Rules\n")
	m.line("%d rules in %d modules. `pip-witness explain RULE_ID` shows one of them in the terminal, `pip-witness policy list` all.\n", rules, len(pages))
	m.line("| module | about | judged at | rules |\n|---|---|---|---|")
	for _, p := range pages {
		m.line("| [%s](%s.md) | %s | %s | %d |", p.Name, p.Name, cell(p.Title), cell(places(p, bound[p.Name])), len(p.Rules))
	}
	m.line("\n| rule | module | severity | technique | incidents |\n|---|---|---|---|---|")
	var all []policy.Rule
	for _, p := range pages {
		all = append(all, p.Rules...)
	}
	slices.SortStableFunc(all, func(a, b policy.Rule) int { return strings.Compare(a.ID, b.ID) })
	for _, r := range all {
		m.line("| [%s](%s.md#%s) | %s | %s | %s | %s |", r.ID, r.Module, strings.ToLower(r.ID), r.Module, r.Severity,
			techniques(r, " "), cell(orDash(strings.Join(r.Incidents, ", "))))
	}
	return m.text.String()
}

// markup is text of our own with the characters escaped that would be lost in Markdown.
func markup(text string) string {
	return strings.NewReplacer("<", `\<`, "*", `\*`).Replace(oneLine(text))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// cell is text that a table cell does not end at.
func cell(text string) string { return strings.ReplaceAll(markup(text), "|", `\|`) }

func orDash(text string) string {
	if text = oneLine(text); text == "" {
		return "–"
	}
	return text
}

func techniques(r policy.Rule, separator string) string {
	var links []string
	for _, t := range r.Attack {
		links = append(links, fmt.Sprintf("[%s](%s)", t, policy.TechniqueURL(t)))
	}
	return orDash(strings.Join(links, separator))
}

// places say at which steps a module is asked, and about what.
func places(p policy.Page, bound []policy.Binding) string {
	var all []string
	for _, b := range bound {
		place := b.Step + ": " + b.Attestation
		if b.Through != "" {
			place += " (through " + b.Through + ")"
		}
		all = append(all, place)
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, ", ")
	case p.Attestation != "":
		return "on request: " + p.Attestation
	}
	return "on request"
}

func boundText(p policy.Page, bound []policy.Binding) string {
	if len(bound) > 0 {
		return "The built-in policy asks it at " + places(p, bound) + "."
	}
	about := ""
	if p.Attestation != "" {
		about = " to " + p.Attestation
	}
	return "The built-in policy does not ask it; a policy that wants it binds it" + about + "."
}

// ExampleException is an exception that waives one finding of the rule, as it
// stands in a policy's source.
func ExampleException(r policy.Rule) string {
	e := []struct{ key, value string }{{"rule", r.ID}, {"package", "example-sdk"}}
	needs := strings.ToLower(r.Needs)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(needs, w) })
	}
	switch {
	case has("connection", "host name", "names that were asked", "flows"):
		e = append(e, struct{ key, value string }{"host", "telemetry.example.com:443"})
	case has("file", "open", "write", "path", "rename", "trail", "product", "change"):
		e = append(e, struct{ key, value string }{"path", "/home/user/.config/example-sdk/*"})
	case has("program", "process", "exec", "argument", "call"):
		e = append(e, struct{ key, value string }{"command", "/usr/bin/example-helper"})
	default:
		e = append(e, struct{ key, value string }{"value", "a text that the finding has in quotes"})
	}
	e = append(e, struct{ key, value string }{"reason", "why it is harmless here, and who decided it"}, struct{ key, value string }{"expires", "2027-06-30T00:00:00Z"})
	var parts []string
	for _, field := range e {
		value, err := json.Marshal(field.value)
		if err != nil { // a string is always JSON
			continue
		}
		parts = append(parts, fmt.Sprintf("%q: %s", field.key, value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// ExceptionHelp says how findings are waived, for people.
func ExceptionHelp() []string {
	return []string{
		"An exception stands in the policy's source, in the list exceptions, and is signed with it. It names the rule, says why, and ends: rule, reason and expires are required.",
		"package, path, host, command and value narrow it; all that are given must match. path is the first absolute path of the finding's text, host its first address (with or without port), command its first text in quotes, which names the process, value any text in quotes. path, command and value may hold * and ?, which do not match a slash.",
		"package must have been installed in the run. Findings about processes name no package: for them give one of the others too.",
		"Each report lists the exceptions that were used, were not needed or are expired. pip-witness policy lint names those of rules that no module of the policy has.",
	}
}

// RuleText writes the page of one rule for a terminal.
func RuleText(w io.Writer, r policy.Rule, p policy.Page, bound []policy.Binding, s Style) error {
	out := &printer{style: s}
	if out.style.Width == 0 {
		out.style.Width = defaultWidth
	}
	out.line("%s  %s", out.paint(bold, Printable(r.ID)), out.paint(severityColor(r.Severity), r.Severity.String()))
	out.wrapped("  ", "  ", Printable(r.Title+". "+oneLine(r.Description)))
	out.block()
	var attack []string
	for _, t := range r.Attack {
		attack = append(attack, t+" "+policy.TechniqueURL(t))
	}
	for _, field := range []struct{ name, text string }{
		{"module", r.Module + ", " + strings.ToLower(p.Title)},
		{"judged at", places(p, bound)},
		{"needs", orDash(r.Needs)},
		{"technique", orDash(strings.Join(attack, ", "))},
		{"incidents", orDash(strings.Join(r.Incidents, ", "))},
		{"looks the same", orDash(r.FalsePositives)},
		{"what to do", orDash(r.Solution)},
	} {
		out.wrapped(fmt.Sprintf("  %-15s ", field.name), strings.Repeat(" ", 18), Printable(field.text))
	}
	out.block()
	out.exceptionHelp(ExampleException(r))
	_, err := io.WriteString(w, out.text.String())
	return err
}

// ExceptionText writes how to waive a finding, for a terminal.
func ExceptionText(w io.Writer, s Style) error {
	out := &printer{style: s}
	if out.style.Width == 0 {
		out.style.Width = defaultWidth
	}
	out.exceptionHelp(ExampleException(policy.Rule{ID: "RULE_ID", Needs: "connections"}))
	_, err := io.WriteString(w, out.text.String())
	return err
}

func (p *printer) exceptionHelp(example string) {
	p.line("%s", p.paint(bold, "EXCEPTIONS"))
	for _, text := range ExceptionHelp() {
		p.wrapped("  ", "  ", text)
	}
	p.line("\n  \"exceptions\": [")
	p.line("    %s", example)
	p.line("  ]")
}
