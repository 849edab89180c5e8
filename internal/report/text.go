package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"pip-witness/evidence"
	"pip-witness/policy"
)

// Bounds of the text, which says where it was cut; JSON has everything.
const (
	defaultWidth = 100 // characters
	maxOfRule    = 10  // findings of one rule in one step, without Verbose
)

// Style is how text is rendered.
type Style struct {
	Color   bool
	Verbose bool
	// Solution returns what to do about a finding of a rule; nil says nothing.
	Solution func(module, rule string) string
	// Width is where lines wrap, in characters; 0 is 100.
	Width int
}

// Text writes the outcome for a person: the verdict and why, findings by
// severity, then what it rests on.
func Text(w io.Writer, o Outcome, s Style) error {
	p := &printer{style: s}
	if p.style.Width == 0 {
		p.style.Width = defaultWidth
	}
	p.headline(o)
	p.problems(o)
	p.findings(o)
	p.exceptions(o)
	p.steps(o)
	p.packages(o)
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

// block ends a part with one empty line, however it ended.
func (p *printer) block() {
	if text := p.text.String(); !strings.HasSuffix(text, "\n\n") {
		p.line("")
	}
}

// wrapped writes text behind a margin that the first line already has. A word
// that is longer than a line stays whole, so that it can be copied.
func (p *printer) wrapped(first, margin, text string) {
	room := max(p.style.Width-utf8.RuneCountInString(margin), 20)
	line, width := "", 0
	flush := func() {
		p.line("%s%s", first, line)
		first, line, width = margin, "", 0
	}
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if width > 0 && width+1+n > room {
			flush()
		}
		if width > 0 {
			line, width = line+" ", width+1
		}
		line, width = line+word, width+n
	}
	if width > 0 {
		flush()
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
	verdict := strings.ToUpper(string(o.Verdict))
	p.line("%s  %s", p.paint(bold+";"+verdictColor(o.Verdict), verdict), Printable(strings.Join(subjects(o), ", ")))
	p.wrapped("  ", "  ", explanation(o))
	p.block()
}

// subjects are what was asked for, or else what was installed.
func subjects(o Outcome) []string {
	if len(o.Requested) > 0 {
		return o.Requested
	}
	var all []string
	for _, pkg := range o.Packages {
		all = append(all, pkg.Name+" "+pkg.Version)
	}
	return all
}

// explanation says what the verdict means.
func explanation(o Outcome) string {
	denying, excepted, others := split(o)
	also := ""
	if text := counts(excepted); text != "" {
		also += " Excepted by the policy: " + text + "."
	}
	if text := counts(others); text != "" {
		also += " Besides: " + text + "."
	}
	switch o.Verdict {
	case policy.Pass:
		return fmt.Sprintf("nothing that the policy denies was seen.%s", also)
	case policy.Fail:
		if len(denying) == 0 {
			return "denied by the policy, for the reasons below. Do not install it before a person has looked." + also
		}
		return fmt.Sprintf("denied: %s. Do not install it before a person has looked.%s", counts(denying), also)
	case policy.Incomplete:
		return "not decided: something could not be observed or did not finish. This is not a pass."
	case policy.Untrusted:
		if len(o.Findings) > 0 {
			return "not trusted: " + distrust(o) + ". What follows is only what the evidence claims."
		}
		return "not trusted: " + distrust(o) + ". This says nothing about the package."
	}
	return "not decided: the verdict is not known. This is not a pass."
}

// distrust says which kind of trust is missing, from the checks that failed.
func distrust(o Outcome) string {
	failed := map[policy.CheckName]bool{}
	for _, c := range o.Checks {
		if c.Status == policy.StatusFail {
			failed[c.Name] = true
		}
	}
	switch {
	case failed[policy.CheckSignature]:
		return "a signature is missing, wrong, or not of a key that was named"
	case failed[policy.CheckFunctionary]:
		return "the evidence is signed by a key that may not sign for its step"
	case failed[policy.CheckExpiry]:
		return "the policy is no longer valid"
	}
	return "the evidence or the policy cannot be relied on"
}

// split parts the findings that deny from those that the policy waives and from
// those below its threshold.
func split(o Outcome) (denying, excepted, others []policy.Finding) {
	for _, f := range o.Findings {
		switch {
		case f.Exception != "":
			excepted = append(excepted, f)
		case f.Severity >= o.Policy.FailOn:
			denying = append(denying, f)
		default:
			others = append(others, f)
		}
	}
	return denying, excepted, others
}

// counts says how many findings of each severity there are, highest first.
func counts(findings []policy.Finding) string {
	counted := map[policy.Severity]int{}
	var order []policy.Severity
	for _, f := range findings {
		if counted[f.Severity] == 0 {
			order = append(order, f.Severity)
		}
		counted[f.Severity]++
	}
	slices.SortFunc(order, func(a, b policy.Severity) int { return int(b - a) })
	var parts []string
	for _, s := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counted[s], s))
	}
	return strings.Join(parts, ", ")
}

// problems are what went wrong with the run or with the policy as a whole.
func (p *printer) problems(o Outcome) {
	seen := map[string]bool{}
	add := func(text string) {
		if !seen[text] {
			seen[text] = true
			p.wrapped("  ! ", "    ", Printable(text))
		}
	}
	for _, text := range o.Problems {
		add(text)
	}
	for _, c := range o.Checks {
		if c.Status == policy.StatusFail && c.Step == "" {
			add(c.Detail)
		}
	}
	if o.Advice != "" {
		p.wrapped("  → ", "    ", Printable(o.Advice))
	}
	p.block()
}

// findings are in the order of the result; those of one rule in one step stand
// together, with what to do about them once.
func (p *printer) findings(o Outcome) {
	quiet, shown := 0, o.Findings
	if !p.style.Verbose {
		shown = nil
		for _, f := range o.Findings {
			if f.Severity < policy.Medium {
				quiet++
			} else {
				shown = append(shown, f)
			}
		}
	}
	for _, group := range byRule(shown) {
		p.rule(group)
	}
	if quiet > 0 {
		p.line("  %s of severity LOW or INFO, shown with -v", plural(quiet, "finding"))
	}
	p.block()
}

// byRule parts findings, in their order, into those of one rule in one step; in each
// part those that no exception waives come first, because a long one is cut.
func byRule(findings []policy.Finding) [][]policy.Finding {
	var groups [][]policy.Finding
	for len(findings) > 0 {
		n := 1
		for n < len(findings) && sameRule(findings[0], findings[n]) {
			n++
		}
		var open, waived []policy.Finding
		for _, f := range findings[:n] {
			if f.Exception == "" {
				open = append(open, f)
			} else {
				waived = append(waived, f)
			}
		}
		groups = append(groups, append(open, waived...))
		findings = findings[n:]
	}
	return groups
}

// exceptions say what became of those of the policy. One that was used stands with
// its findings; here is how many it waived. Those that nothing needed are told when
// asked.
func (p *printer) exceptions(o Outcome) {
	if !p.style.Verbose {
		o.Exceptions = slices.DeleteFunc(slices.Clone(o.Exceptions), func(e policy.ExceptionUse) bool { return e.Status == "unused" })
	}
	for _, line := range exceptionLines(o) {
		p.wrapped("  ", "    ", Printable(line))
	}
	p.block()
}

// exceptionLines are one line for each exception of the policy, in its order.
func exceptionLines(o Outcome) []string {
	var lines []string
	for _, e := range o.Exceptions {
		var narrowed []string
		for _, field := range []struct{ name, value string }{
			{"package", e.Package}, {"path", e.Path}, {"host", e.Host}, {"command", e.Command}, {"value", e.Value},
		} {
			if field.value != "" {
				narrowed = append(narrowed, field.name+" "+field.value)
			}
		}
		text := "exception " + e.Rule
		if len(narrowed) > 0 {
			text += " (" + strings.Join(narrowed, ", ") + ")"
		}
		switch e.Status {
		case "used":
			text += " waived " + plural(e.Findings, "finding")
		case "expired":
			text += fmt.Sprintf(" expired on %s and waived nothing; it would have waived %s", e.Expires.UTC().Format(time.DateOnly), plural(e.Findings, "finding"))
		default:
			text += " was not used"
		}
		lines = append(lines, text+": "+e.Reason)
	}
	return lines
}

func sameRule(a, b policy.Finding) bool {
	return a.Severity == b.Severity && a.Rule == b.Rule && a.Step == b.Step && a.Module == b.Module
}

const findingMargin = "            " // below the rule id

// rule shows the findings of one rule in one step.
func (p *printer) rule(findings []policy.Finding) {
	first := findings[0]
	p.line("  %s  %s  (%s, %s)", p.paint(severityColor(first.Severity), fmt.Sprintf("%-8s", first.Severity)),
		p.paint(bold, Printable(first.Rule)), Printable(first.Step), Printable(first.Module))
	denied := false
	for i, f := range findings {
		if i == maxOfRule && !p.style.Verbose {
			p.line("%s… and %d more, shown with -v", findingMargin, len(findings)-i)
			break
		}
		p.wrapped(findingMargin, findingMargin, Printable(f.Message))
		if f.Exception != "" {
			p.wrapped(findingMargin, findingMargin, "excepted by the policy: "+Printable(f.Exception))
		}
	}
	for _, f := range findings {
		denied = denied || f.Exception == ""
	}
	if !denied || p.style.Solution == nil {
		return
	}
	if solution := p.style.Solution(first.Module, first.Rule); solution != "" {
		p.wrapped(findingMargin+"→ ", findingMargin+"  ", Printable(solution))
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// steps show what the verdict rests on, and below each step why it did not pass
// and what was not judged.
func (p *printer) steps(o Outcome) {
	width := 0
	for _, s := range o.Steps {
		width = max(width, utf8.RuneCountInString(Printable(s.Name)))
	}
	for _, s := range o.Steps {
		verdict := p.paint(verdictColor(s.Verdict), fmt.Sprintf("%-10s", s.Verdict))
		p.wrapped(fmt.Sprintf("  %-*s  %s  ", width, Printable(s.Name), verdict), strings.Repeat(" ", width+16), p.basis(o, s))
		for _, reason := range s.Reasons {
			p.wrapped("      ! ", "        ", Printable(reason))
		}
		p.notEvaluated(s)
		if p.style.Verbose {
			p.signed(s)
			for _, a := range s.Attestations {
				p.line("      %-8s %s %s", a.Status, Printable(a.Type), Printable(a.Reason))
			}
		}
	}
	p.block()
}

// signed says whose signature was accepted, and since when it is known to exist.
func (p *printer) signed(s policy.StepResult) {
	if s.Functionary == "" {
		return
	}
	who := "key " + s.Functionary
	if s.Certificate != "" {
		who = s.Certificate + ", " + who
	}
	when := "no trusted authority vouches for the time"
	if s.SignedAt != "" {
		when = "time stamp " + s.SignedAt
	}
	p.wrapped("      signed   ", "               ", Printable("by "+who+"; "+when))
}

func (p *printer) notEvaluated(s policy.StepResult) {
	if s.Collection == "" || len(s.NotEvaluated) == 0 { // without evidence nothing was
		return
	}
	if !p.style.Verbose {
		p.line("      %s not judged for lack of evidence, listed with -v", plural(len(s.NotEvaluated), "rule"))
		return
	}
	for _, n := range s.NotEvaluated {
		p.wrapped("      not judged ", "                 ", Printable(n.Rule+": "+n.Reason))
	}
}

// basis is what a step's verdict rests on, in a few words.
func (p *printer) basis(o Outcome, s policy.StepResult) string {
	if s.Collection == "" {
		return "no evidence"
	}
	good := 0
	for _, a := range s.Attestations {
		if a.Status == "ok" || a.Status == "unlisted" {
			good++
		}
	}
	return plural(good, "attestation") + p.observed(o.Coverage[s.Name], len(s.Reasons) > 0)
}

// observed is what the coverage of a step says, in a few words; what is missing
// is left to the reasons of the step where there are any.
func (p *printer) observed(raw json.RawMessage, explained bool) string {
	if len(raw) == 0 {
		return ""
	}
	var c evidence.Coverage
	if err := json.Unmarshal(raw, &c); err != nil {
		return ", coverage unreadable"
	}
	text := ", " + plural(c.Events, "system call") + " seen"
	if !explained || p.style.Verbose {
		text += missing(c)
	}
	if c.Sandbox.Network == "host-unsafe" || c.Sandbox.Kind == "none" {
		text += ", NOT CONFINED"
	}
	return text
}

// missing is what the capture did not see.
func missing(c evidence.Coverage) string {
	text := ""
	for i, class := range slices.Sorted(maps.Keys(c.Losses)) {
		separator := ", lost: "
		if i > 0 {
			separator = ", "
		}
		text += fmt.Sprintf("%s%d %s", separator, c.Losses[class], Printable(class))
	}
	for _, l := range c.Limits {
		text += fmt.Sprintf(", limit reached: %s (%d %s)", Printable(l.Name), l.Value, Printable(l.Unit))
	}
	return text
}

func (p *printer) packages(o Outcome) {
	for _, pkg := range o.Packages {
		p.line("  %s %s", Printable(pkg.Name), Printable(pkg.Version))
		for _, f := range pkg.Files {
			p.line("      %s  sha256:%s", Printable(f.Filename), Printable(f.SHA256))
		}
	}
	p.block()
}

func (p *printer) footer(o Outcome) {
	if o.Ephemeral {
		p.line("  signed with a key made for this run; give --key FILE to sign with your own")
	}
	if total := o.Timings["total"]; total > 0 {
		p.line("  %.1f s", total)
	}
	if o.Evidence != "" {
		p.line("  evidence  %s", Printable(o.Evidence))
	}
	if o.Next != "" {
		p.line("  next      %s", Printable(o.Next))
	}
	text := strings.TrimRight(p.text.String(), "\n") + "\n"
	p.text.Reset()
	p.text.WriteString(text)
}
