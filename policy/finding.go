package policy

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/open-policy-agent/opa/v1/ast"
)

// messagePrefix is "SEVERITY:RULE_ID: " at the start of a message.
var messagePrefix = regexp.MustCompile(`^(CRITICAL|HIGH|MEDIUM|LOW|INFO):([A-Z][A-Z0-9_]*):[ \t]*`)

// prefixes are the string literals of a module's text. A module without
// prefixes may answer with text that a package chose (a file name), and such
// text must be able neither to lower its own severity nor to take the id of a
// rule that has an exception: a prefix counts only when the module's own text
// spells it. One that is not spelled can only raise the severity.
type prefixes []string

func literalPrefixes(m *ast.Module) prefixes {
	var out prefixes
	for _, r := range m.Rules {
		ast.WalkTerms(r, func(t *ast.Term) bool {
			if s, ok := t.Value.(ast.String); ok {
				out = append(out, string(s))
			}
			return false
		})
	}
	return out
}

// spells is [prefixes.spells]. The literals are looked through once for each
// prefix: a module may answer with a hundred thousand messages.
func (p *Program) spells(severity, rule string) bool {
	key := severity + ":" + rule
	p.mu.Lock()
	defer p.mu.Unlock()
	spelt, known := p.spelt[key]
	if !known {
		spelt = p.prefixes.spells(severity, rule)
		if len(p.spelt) < maxSpelt {
			p.spelt[key] = spelt
		}
	}
	return spelt
}

// spells reports whether the module's text holds the prefix whole, or its rule
// id and its severity apart (as arguments of a function that joins them).
func (p prefixes) spells(severity, rule string) bool {
	var haveRule, haveSeverity bool
	for _, s := range p {
		if strings.Contains(s, severity+":"+rule+":") {
			return true
		}
		haveRule = haveRule || hasWord(s, rule)
		haveSeverity = haveSeverity || hasWord(s, severity)
	}
	return haveRule && haveSeverity
}

// hasWord reports whether one of the identifiers in s is word.
func hasWord(s, word string) bool {
	return slices.Contains(strings.FieldsFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }), word)
}

// Finding turns a message of this module, asked about a step, into a finding.
func (p *Program) Finding(step string, m Message) Finding {
	f := Finding{Severity: High, Rule: p.Name, Module: p.Name, Step: step, Message: printable(m.Text)}
	groups := messagePrefix.FindStringSubmatch(m.Text)
	if groups == nil {
		return f
	}
	severity, err := ParseSeverity(groups[1])
	if err != nil {
		return f
	}
	if !p.spells(groups[1], groups[2]) {
		f.Severity = max(severity, High)
		return f
	}
	f.Severity, f.Rule = severity, groups[2]
	f.Message = printable(m.Text[len(groups[0]):])
	return f
}

// NotEvaluatedRule reads one element of not_evaluated, "RULE_ID: reason".
func (p *Program) NotEvaluatedRule(text string) NotEvaluated {
	rule, reason, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(rule, " \t") {
		return NotEvaluated{Rule: p.Name, Module: p.Name, Reason: printable(text)}
	}
	return NotEvaluated{Rule: printable(rule), Module: p.Name, Reason: printable(strings.TrimSpace(reason))}
}

// printable escapes what a terminal would obey or show as something else:
// control characters, and format characters such as bidirectional overrides.
func printable(s string) string {
	clean := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case clean(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// Matches reports whether the exception is about this finding of a run that
// installed the given packages (normalised names; none when the evidence does not
// say). Where the module answered with an object its fields are compared. Where it
// answered with text, Path is compared with the first absolute path in it, Host
// with the first address or host:port, and Command with the first text in quotes,
// which names the process in messages about one, because what follows may have been
// chosen by the package that was judged. Value is compared with every text in
// quotes. Package must have been installed in the run, and be a word of the text or
// all of a quoted one; messages about processes name no package, so there one of
// the other fields may stand in for the word.
func (e Exception) Matches(f Finding, m Message, installed []string) bool {
	if e.Rule != f.Rule {
		return false
	}
	if e.Path != "" && !matchPath(e.Path, orFirst(m.Path, m.Text, isPath)) {
		return false
	}
	if e.Host != "" && !matchHost(e.Host, orFirst(m.Host, m.Text, isHost)) {
		return false
	}
	quoted := quotedTexts(m.Text)
	if e.Command != "" && !matchPath(e.Command, cmp.Or(m.Command, append(quoted, "")[0])) {
		return false
	}
	if e.Value != "" {
		if m.Value != "" {
			quoted = []string{m.Value}
		}
		if !slices.ContainsFunc(quoted, func(text string) bool { return matchPath(e.Value, text) }) {
			return false
		}
	}
	return e.Package == "" || e.matchesPackage(m, installed)
}

func (e Exception) matchesPackage(m Message, installed []string) bool {
	name := NormalName(e.Package)
	if len(installed) > 0 && !slices.Contains(installed, name) {
		return false
	}
	if m.Package != "" {
		return NormalName(m.Package) == name
	}
	if first(m.Text, func(word string) bool { return NormalName(word) == name }) != "" {
		return true
	}
	return len(installed) > 0 && (e.Path != "" || e.Host != "" || e.Command != "" || e.Value != "")
}

// part is a piece of a message: outside quotes, or what stands within a pair of them.
type part struct {
	text   string
	quoted bool
	ended  bool // the second quote is there
}

// quotedText is a quoted text, whose end may be missing; a backslash takes the meaning
// of what follows it.
var quotedText = regexp.MustCompile(`(?s)^"((?:[^"\\]|\\.)*\\?)("?)`)

// parts splits a message at its double quotes.
func parts(text string) []part {
	var out []part
	for text != "" {
		start := strings.IndexByte(text, '"')
		if start < 0 {
			return append(out, part{text: text})
		}
		groups := quotedText.FindStringSubmatch(text[start:])
		out = append(out, part{text: text[:start]}, part{text: groups[1], quoted: true, ended: groups[2] != ""})
		text = text[start+len(groups[0]):]
	}
	return out
}

// escaped is a backslash and what it takes the meaning of.
var escaped = regexp.MustCompile(`(?s)\\(.?)`)

// quotedTexts are the texts in double quotes, in order, unescaped; an end that is
// missing ends the last one.
func quotedTexts(text string) []string {
	var out []string
	for _, p := range parts(text) {
		if p.quoted {
			out = append(out, escaped.ReplaceAllString(p.text, "$1"))
		}
	}
	return out
}

func orFirst(given, text string, is func(string) bool) string {
	if given != "" {
		return given
	}
	return first(text, is)
}

// first returns the first word of text for which is holds.
func first(text string, is func(string) bool) string {
	for _, word := range messageWords(text) {
		if word != "" && is(word) {
			return word
		}
	}
	return ""
}

// messageWords are the words of a message, without what stands around them. A quoted
// text is one word: shipped modules quote what a package chose, which must not bring
// words of its own into the sentence.
func messageWords(text string) []string {
	var out []string
	for _, p := range parts(text) {
		if p.quoted && p.ended {
			out = append(out, p.text)
			continue
		}
		for _, word := range strings.Fields(p.text) {
			out = append(out, strings.TrimRight(strings.Trim(word, "'`()<>{},;"), ".:"))
		}
	}
	return out
}

func isPath(word string) bool { return strings.HasPrefix(word, "/") }

// hostWord is an IP address or a name with a dot, with or without a port.
var hostWord = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|localhost)(:[0-9]+)?$`)

func isHost(word string) bool { return hostWord.MatchString(word) }

func matchPath(pattern, got string) bool {
	if got == "" {
		return false
	}
	ok, err := path.Match(pattern, got)
	return err == nil && ok || pattern == got
}

// matchHost compares with or without the port.
func matchHost(want, got string) bool {
	if want == got {
		return true
	}
	host, _, ok := strings.Cut(got, ":")
	if strings.HasPrefix(got, "[") {
		host, _, ok = strings.Cut(strings.TrimPrefix(got, "["), "]")
	}
	return ok && host != "" && want == host
}

var nameSeparators = regexp.MustCompile(`[-_.]+`)

// NormalName is a project name in the form of PEP 503.
func NormalName(name string) string {
	return nameSeparators.ReplaceAllString(strings.ToLower(name), "-")
}

// IsDistribution reports whether filename is a wheel or an sdist of a project's
// version, by the naming rules of the binary and source distribution formats.
func IsDistribution(filename, project, version string) bool {
	rest, ok := strings.CutPrefix(NormalName(path.Base(filename)), NormalName(project)+"-"+NormalName(version)+"-")
	if !ok {
		return false
	}
	return strings.HasSuffix(rest, "-whl") || rest == "tar-gz" || rest == "zip" || rest == "whl"
}
