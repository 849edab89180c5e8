package secretscan

import (
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
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
	// users and lengths are per word of the automaton.
	users   [][]use
	lengths []int
	// paths are the expressions by which rules tell paths apart.
	paths []*regexp.Regexp
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
			s.lengths = append(s.lengths, len(word))
			s.users = append(s.users, nil)
		}
		s.users[i] = append(s.users[i], u)
	}
	for i, r := range s.rules {
		if r.Path != nil {
			s.paths = append(s.paths, r.Path)
		}
		for _, list := range r.Allowlists {
			s.paths = append(s.paths, list.Paths...)
		}
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
	plain := s.choose(f, f.Raw)
	var decoded map[int][]span
	if canDecode(f.Raw) {
		if text, changed := decodeLines(f.Raw); len(changed) > 0 {
			if !foldable(text) {
				return s.whole.Detect(detect.Fragment(f))
			}
			decoded = s.choose(f, text)
			// Of the decoded text gitleaks reports what lies in a decoded part.
			for i, spans := range decoded {
				if !meet(spans, changed) {
					delete(decoded, i)
				}
			}
		}
	}
	var out []report.Finding
	for i := range s.rules {
		if _, ok := decoded[i]; ok {
			out = append(out, s.rules[i].decoding.Detect(detect.Fragment(f))...)
		} else if spans, ok := plain[i]; ok {
			out = append(out, s.rules[i].detect(f, spans)...)
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

// choose returns the rules that can match text, which is a fragment or what it
// decodes to, and where: those for its path, with a keyword in the text and an
// open gate.
func (s *scanner) choose(f sources.Fragment, text string) map[int][]span {
	places := make([][]span, len(s.rules))
	keyword := make([]bool, len(s.rules))
	s.words.find(text, func(word int32, end int) {
		for _, u := range s.users[word] {
			keyword[u.rule] = keyword[u.rule] || u.keyword
			if u.mark {
				places[u.rule] = append(places[u.rule], span{end - s.lengths[word], end})
			}
		}
	})
	chosen := make(map[int][]span)
	for i, r := range s.rules {
		all := []span{{0, len(text)}}
		switch {
		case r.gate != nil && len(r.Keywords) > 0 && !keyword[i]:
		case r.gate != nil && !r.gate.always && len(places[i]) == 0:
		case r.Path != nil && !r.Path.MatchString(f.FilePath):
		case r.gate == nil || r.gate.always:
			chosen[i] = all
		default:
			if spans := r.gate.open(text, places[i]); len(spans) > 0 {
				chosen[i] = spans
			}
		}
	}
	return chosen
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
