package secretscan

import (
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/detect/codec"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"
)

// scanner finds what gitleaks' detector finds, and only runs those of its rules
// that can match. It is safe for concurrent use.
//
//	text ─► automaton ─► gates ─┐
//	  └► decodable? ─► decoded ─┴► rules ─► gitleaks, one rule at a time ─► generic ones that a
//	                                                                       specific one covers removed
type scanner struct {
	rules []rule
	// whole is gitleaks' detector with all rules, for texts that are not gated.
	whole *detect.Detector
	words *automaton
	users [][]use // per word of the automaton
}

// use is a rule that has a word: in its mark, among gitleaks' keywords for it,
// or both.
type use struct {
	rule          int
	mark, keyword bool
}

// newScanner compiles the rules: some 30 ms, so it is done when there is
// something to scan.
func newScanner() (*scanner, error) {
	cfg, err := loadConfig()
	if err != nil {
		return nil, err
	}
	s := &scanner{whole: newDetector(cfg, decodeDepth)}
	if s.rules, err = newRules(cfg); err != nil {
		return nil, err
	}
	index := make(map[string]int)
	var words []string
	add := func(word string, u use) {
		i, ok := index[word]
		if !ok {
			i = len(words)
			index[word] = i
			words = append(words, word)
			s.users = append(s.users, nil)
		}
		s.users[i] = append(s.users[i], u)
	}
	for i, r := range s.rules {
		if r.gate == nil {
			continue
		}
		for _, w := range r.gate.mark.words {
			add(w, use{rule: i, mark: true})
		}
		for _, w := range r.Keywords {
			add(strings.ToLower(w), use{rule: i, keyword: true})
		}
	}
	s.words = newAutomaton(words)
	return s, nil
}

// find returns the findings in one fragment of a file.
func (s *scanner) find(f sources.Fragment) []report.Finding {
	if !foldable(f.Raw) {
		return s.whole.Detect(detect.Fragment(f))
	}
	chosen := make([]bool, len(s.rules))
	s.choose(f, f.Raw, chosen)
	decodes := false
	if canDecode(f.Raw) {
		if decoded, segments := codec.NewDecoder().Decode(f.Raw, nil); len(segments) > 0 {
			if !foldable(decoded) {
				return s.whole.Detect(detect.Fragment(f))
			}
			s.choose(f, decoded, chosen)
			decodes = true
		}
	}
	var out []report.Finding
	for i, r := range s.rules {
		switch {
		case chosen[i] && decodes:
			out = append(out, r.decoding.Detect(detect.Fragment(f))...)
		case chosen[i]:
			out = append(out, r.plain.Detect(detect.Fragment(f))...)
		}
	}
	return withoutCovered(out)
}

// foldable says that lowering the ASCII letters of a text is as good as lowering
// all of it: Unicode has three characters outside ASCII that lower or fold to a
// letter of ASCII (the Kelvin sign, the long s, the dotted capital I).
func foldable(text string) bool {
	return !strings.Contains(text, "\u212A") && !strings.Contains(text, "\u017F") && !strings.Contains(text, "\u0130")
}

// choose marks the rules that can match text, which is a fragment or what it
// decodes to: those for its path, with a keyword in the text and an open gate.
func (s *scanner) choose(f sources.Fragment, text string, chosen []bool) {
	ends := make([][]int, len(s.rules))
	keyword := make([]bool, len(s.rules))
	s.words.find(text, func(word int32, end int) {
		for _, u := range s.users[word] {
			keyword[u.rule] = keyword[u.rule] || u.keyword
			if u.mark && !chosen[u.rule] {
				ends[u.rule] = append(ends[u.rule], end)
			}
		}
	})
	for i, r := range s.rules {
		switch {
		case chosen[i] || r.Path != nil && !r.Path.MatchString(f.FilePath):
		case r.gate == nil:
			chosen[i] = true
		case len(r.Keywords) > 0 && !keyword[i]:
		default:
			chosen[i] = r.gate.always || r.gate.open(text, ends[i])
		}
	}
}

// withoutCovered removes findings of generic rules that a finding of another
// rule on the same line contains, as gitleaks does within one detector.
func withoutCovered(all []report.Finding) []report.Finding {
	generic := func(f report.Finding) bool { return strings.Contains(strings.ToLower(f.RuleID), "generic") }
	return slices.DeleteFunc(slices.Clone(all), func(f report.Finding) bool {
		return generic(f) && slices.ContainsFunc(all, func(other report.Finding) bool {
			return !generic(other) && other.StartLine == f.StartLine && strings.Contains(other.Secret, f.Secret)
		})
	})
}
