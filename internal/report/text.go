// Package report renders the outcome of a check or of a verification. Nothing
// in it decides anything; rendering the same outcome twice gives the same bytes.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"pip-witness/evidence"
	"pip-witness/policy"
)

// Outcome is what is rendered.
type Outcome struct {
	*policy.Result
	// Timings are seconds by stage; empty for a verification.
	Timings map[string]float64 `json:"timings,omitempty"`
	// Evidence is the directory with the evidence; empty when it was not written.
	Evidence string `json:"evidence,omitempty"`
	// Problems say in words what went wrong besides findings.
	Problems []string `json:"problems,omitempty"`
	// Requested is what the user asked for, for the first line.
	Requested []string `json:"-"`
	// Next is the command to type next; empty is none.
	Next string `json:"-"`
	// Ephemeral tells that the key was made for this run and is gone.
	Ephemeral bool `json:"ephemeralKey,omitempty"`
}

// JSON writes the outcome as one indented object.
func JSON(w io.Writer, o Outcome) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(o)
}

// Style is how text is rendered.
type Style struct {
	Color   bool
	Verbose bool
	// Solution returns what to do about a finding of a rule; nil says nothing.
	Solution func(module, rule string) string
	// Width is where lines wrap, in characters; 0 is 100.
	Width int
}

// Text writes the outcome for a person: verdict first, then findings by severity.
func Text(w io.Writer, o Outcome, s Style) error {
	p := &printer{style: s}
	if p.style.Width == 0 {
		p.style.Width = 100
	}
	p.headline(o)
	p.problems(o)
	p.findings(o)
	p.notEvaluated(o)
	p.packages(o)
	p.steps(o)
	p.footer(o)
	_, err := io.WriteString(w, p.text.String())
	return err
}

type printer struct {
	style Style
	text  strings.Builder
}

func (p *printer) line(format string, args ...any) {
	p.text.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

// wrapped writes text behind a margin that the first line already has.
func (p *printer) wrapped(first, margin, text string) {
	room := max(p.style.Width-utf8.RuneCountInString(margin), 20)
	prefix := first
	for len(text) > 0 {
		cut := len(text)
		if utf8.RuneCountInString(text) > room {
			runes := []rune(text)
			if at := strings.LastIndexByte(string(runes[:room]), ' '); at > 0 {
				cut = at
			} else if at := strings.IndexByte(text, ' '); at > 0 {
				cut = at
			}
		}
		p.line("%s%s", prefix, text[:cut])
		text, prefix = strings.TrimLeft(text[cut:], " "), margin
	}
}

// Terminal colours (ECMA-48).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
)

func (p *printer) paint(color, text string) string {
	if !p.style.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func verdictColor(v policy.Verdict) string {
	switch v {
	case policy.Pass:
		return green
	case policy.Incomplete:
		return yellow
	}
	return red
}

func severityColor(s policy.Severity) string {
	switch s {
	case policy.Critical, policy.High:
		return red
	case policy.Medium:
		return yellow
	}
	return cyan
}

func (p *printer) headline(o Outcome) {
	subject := strings.Join(o.Requested, " ")
	if subject == "" {
		var names []string
		for _, pkg := range o.Packages {
			names = append(names, pkg.Name+" "+pkg.Version)
		}
		subject = strings.Join(names, ", ")
	}
	verdict := strings.ToUpper(string(o.Verdict))
	p.line("%s  %s", p.paint(bold+";"+verdictColor(o.Verdict), verdict), subject)
	if explanation := p.explanation(o); explanation != "" {
		p.wrapped("  ", "  ", explanation)
	}
	p.line("")
}

func (p *printer) explanation(o Outcome) string {
	switch o.Verdict {
	case policy.Fail:
		return fmt.Sprintf("denied: %s. Do not install it before a person has looked.", p.counts(o.Findings, true))
	case policy.Incomplete:
		return "not decided: something could not be observed or did not finish. This is not a pass."
	case policy.Untrusted:
		return "not trusted: the evidence or the policy is not signed by a key that you named."
	}
	return ""
}

// counts says how many findings of each severity there are.
func (p *printer) counts(findings []policy.Finding, denying bool) string {
	counted := map[policy.Severity]int{}
	var order []policy.Severity
	for _, f := range findings {
		if denying && f.Exception != "" {
			continue
		}
		if counted[f.Severity] == 0 {
			order = append(order, f.Severity)
		}
		counted[f.Severity]++
	}
	var parts []string
	for _, s := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counted[s], s))
	}
	if len(parts) == 0 {
		return "no finding"
	}
	return strings.Join(parts, ", ")
}

func (p *printer) problems(o Outcome) {
	seen := map[string]bool{}
	add := func(text string) {
		if !seen[text] {
			seen[text] = true
			p.wrapped("  ! ", "    ", text)
		}
	}
	for _, text := range o.Problems {
		add(text)
	}
	for _, s := range o.Steps {
		if s.Verdict == policy.Pass {
			continue
		}
		for _, reason := range s.Reasons {
			add(s.Name + ": " + reason)
		}
	}
	for _, c := range o.Checks {
		if c.Status == policy.StatusFail && c.Step == "" {
			add(string(c.Name) + ": " + c.Detail)
		}
	}
	if len(seen) > 0 {
		p.line("")
	}
}

func (p *printer) findings(o Outcome) {
	shown, quiet := 0, 0
	for _, f := range o.Findings {
		if !p.style.Verbose && f.Severity < policy.Medium {
			quiet++
			continue
		}
		p.finding(f)
		shown++
	}
	if quiet > 0 {
		p.line("  %d finding(s) of severity LOW or INFO, shown with -v", quiet)
	}
	if shown+quiet > 0 {
		p.line("")
	}
}

func (p *printer) finding(f policy.Finding) {
	p.line("  %s  %s  %s", p.paint(severityColor(f.Severity), fmt.Sprintf("%-8s", f.Severity)), p.paint(bold, f.Rule),
		"("+f.Step+", "+f.Module+")")
	p.wrapped("            ", "            ", f.Message)
	if f.Exception != "" {
		p.wrapped("            ", "            ", "excepted by the policy: "+f.Exception)
		return
	}
	if p.style.Solution != nil {
		if solution := p.style.Solution(f.Module, f.Rule); solution != "" {
			p.wrapped("            → ", "              ", solution)
		}
	}
}

func (p *printer) notEvaluated(o Outcome) {
	for _, s := range o.Steps {
		if !p.style.Verbose && len(s.NotEvaluated) > 0 {
			p.line("  %d rule(s) of %s not evaluated for lack of evidence, listed with -v", len(s.NotEvaluated), s.Name)
			continue
		}
		for _, n := range s.NotEvaluated {
			p.wrapped("  not evaluated  ", "                 ", fmt.Sprintf("%s (%s): %s", n.Rule, s.Name, n.Reason))
		}
	}
}

func (p *printer) packages(o Outcome) {
	for _, pkg := range o.Packages {
		p.line("  %s %s", pkg.Name, pkg.Version)
		for _, f := range pkg.Files {
			p.line("      %s  sha256:%s", f.Filename, f.SHA256)
		}
	}
	if len(o.Packages) > 0 {
		p.line("")
	}
}

func (p *printer) steps(o Outcome) {
	width := 0
	for _, s := range o.Steps {
		width = max(width, len(s.Name))
	}
	for _, s := range o.Steps {
		good := 0
		for _, a := range s.Attestations {
			if a.Status == "ok" || a.Status == "unlisted" {
				good++
			}
		}
		p.line("  %-*s  %s  %d attestations%s", width, s.Name, p.paint(verdictColor(s.Verdict), fmt.Sprintf("%-10s", s.Verdict)), good, p.observed(o, s.Name))
		if p.style.Verbose {
			for _, a := range s.Attestations {
				p.line("      %-8s %s %s", a.Status, a.Type, a.Reason)
			}
		}
	}
}

// observed is what the coverage of a step says, in a few words.
func (p *printer) observed(o Outcome, step string) string {
	raw, ok := o.Coverage[step]
	if !ok {
		return ""
	}
	var c evidence.Coverage
	if err := json.Unmarshal(raw, &c); err != nil {
		return ", coverage unreadable"
	}
	text := fmt.Sprintf(", %d system calls seen", c.Events)
	if len(c.Losses) > 0 {
		var losses []string
		for class, n := range c.Losses {
			losses = append(losses, fmt.Sprintf("%d %s", n, class))
		}
		slices.Sort(losses)
		text += ", lost: " + strings.Join(losses, ", ")
	}
	for _, l := range c.Limits {
		text += fmt.Sprintf(", limit reached: %s (%d %s)", l.Name, l.Value, l.Unit)
	}
	if c.Sandbox.Network == "host-unsafe" || c.Sandbox.Kind == "none" {
		text += ", NOT CONFINED"
	}
	return text
}

func (p *printer) footer(o Outcome) {
	p.line("")
	if o.Ephemeral {
		p.line("  signed with a key made for this run; give --key FILE to sign with your own")
	}
	if total := o.Timings["total"]; total > 0 {
		p.line("  %.1f s", total)
	}
	if o.Evidence != "" {
		p.line("  evidence  %s", o.Evidence)
	}
	if o.Next != "" {
		p.line("  next      %s", o.Next)
	}
}
