package secretscan

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMarks(t *testing.T) {
	tests := []struct {
		name, expression string
		want             []string
	}{
		{"literal", `\b(ghp_[0-9a-zA-Z]{36})\b`, []string{"ghp_"}},
		{"class within", `gh[us]_[0-9a-z]{3}`, []string{"ghs_", "ghu_"}},
		{"factored alternatives", `\b((?:A3T[A-Z0-9]|AKIA|ASIA)[A-Z2-7]{16})\b`, []string{"a3t", "akia", "asia"}},
		{"folded", `(?i)linked[_-]?in`, []string{"linked-in", "linked_in", "linkedin"}},
		{"optional part that is not exact", `ab[0-9a-z]?cde`, []string{"cde"}},
		{"after the first unbounded part", `ab[0-9]+cde`, []string{"ab"}},
		{"optional word", `(?:abc)?[0-9]{3}`, nil},
		{"one alternative without a word", `abc|[0-9]{3}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			re, err := syntax.Parse(tt.expression, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, marks(re).words); d != "" {
				t.Errorf("marks of %s (-want +got):\n%s", tt.expression, d)
			}
		})
	}
}

// FuzzGate: a gate is open around everything that its expression matches.
func FuzzGate(f *testing.F) {
	f.Add(`ab[0-9a-z]?cde`, "ab7cde")
	f.Add(`(?i)[\w.-]{0,50}?(?:key)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=)[\s]{0,5}([a-z0-9]{4})(?:[\s;]|$)`, "  my KEY ::= ab12")
	f.Add(`\b(A(?:3T[A-Z]|KIA)(x{2,}|y)?z)$`, "é AKIAz")
	f.Add(`(?s:.){0,9}abc{2}(d|e(f|g+))h\B`, "\xff abccegghi")
	f.Fuzz(func(t *testing.T, expression, text string) {
		full, err := regexp.Compile(expression)
		if err != nil || !foldable(text) || strings.ContainsAny(expression, "\u212A\u017F\u0130") {
			return
		}
		re, err := syntax.Parse(expression, syntax.Perl)
		if err != nil {
			return
		}
		g, err := newGate(re)
		if err != nil || g.always || !full.MatchString(text) {
			return
		}
		var places []span
		words := g.mark.words
		newAutomaton(words).find(text, func(w int32, end int) { places = append(places, span{end - len(words[w]), end}) })
		spans := g.open(text, places)
		for _, m := range full.FindAllStringIndex(text, -1) {
			within := func(s span) bool {
				return s.from <= m[0] && m[1] <= s.to && (s.from < m[0] || m[0] == 0) && (m[1] < s.to || m[1] == len(text))
			}
			if !slices.ContainsFunc(spans, within) {
				t.Errorf("the gate of %q (mark %v) is open for %q at %v, not around %v", expression, words, text, spans, m)
			}
		}
	})
}
