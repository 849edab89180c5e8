package secretscan

import (
	"math"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"
)

// detect returns what gitleaks finds in a fragment by one rule, whose matches all
// lie within spans. It shows gitleaks the lines around those matches only, because
// gitleaks searches a text twice for each rule.
//
//	fragment  …………\n………[……span……]………\n…………
//	shown          \n………[……span……]………\n
//
// A part of a text can have matches that the whole has not: those that take an
// end of the part for an end of the text. They touch it, and then the whole
// fragment is shown.
func (r *rule) detect(f sources.Fragment, spans []span) []report.Finding {
	text := f.Raw
	var shown []span
	for _, s := range spans {
		if s.from == 0 && s.to == len(text) {
			return r.plain.Detect(detect.Fragment(f))
		}
		part := text[s.from:s.to]
		possible := false
		for _, m := range r.Regex.FindAllStringIndex(part, -1) {
			if r.touches(s, m, text) {
				return r.plain.Detect(detect.Fragment(f))
			}
			possible = possible || r.possible(part[m[0]:m[1]])
		}
		if !possible {
			continue
		}
		lines, ok := linesAround(text, s)
		if !ok {
			return r.plain.Detect(detect.Fragment(f))
		}
		shown = append(shown, lines)
	}
	var out []report.Finding
	for _, s := range join(shown) {
		part := f
		part.Raw, part.Bytes = text[s.from:s.to], nil
		part.StartLine += strings.Count(text[:s.from], "\n")
		for _, m := range r.Regex.FindAllStringIndex(part.Raw, -1) {
			if r.touches(s, m, text) {
				return r.plain.Detect(detect.Fragment(f))
			}
		}
		out = append(out, r.plain.Detect(detect.Fragment(part))...)
	}
	return out
}

// touches says that a match in a part of a text reaches an end of the part that is
// no end of the text.
func (r *rule) touches(s span, match []int, text string) bool {
	return match[0] == 0 && s.from > 0 || match[1] == s.to-s.from && s.to < len(text)
}

// possible says whether a match can be a finding, by what is cheap to tell: the
// entropy of its secret.
func (r *rule) possible(match string) bool {
	if r.Entropy == 0 {
		return true
	}
	secret := strings.Trim(match, "\n")
	if groups := r.Regex.FindStringSubmatch(secret); len(groups) >= 2 {
		if r.SecretGroup > 0 && r.SecretGroup < len(groups) {
			secret = groups[r.SecretGroup]
		} else if r.SecretGroup == 0 {
			for _, g := range groups[1:] {
				if g != "" {
					secret = g
					break
				}
			}
		}
	}
	// The sum depends on the order in which it is made, in the last digits.
	const margin = 1e-6
	return entropy(secret) > r.Entropy-margin
}

// entropy is Shannon's, in bits per character, as gitleaks has it: per byte of
// the text's length.
func entropy(text string) float64 {
	counts := make(map[rune]int)
	for _, c := range text {
		counts[c]++
	}
	sum := 0.0
	for _, n := range counts {
		share := float64(n) / float64(len(text))
		sum -= share * math.Log2(share)
	}
	return sum
}

// linesAround widens a span to whole lines with the line ends around them, so that
// gitleaks gives a match there the place and the line that it has in the whole
// text. In the last line without an end, gitleaks takes everything before it for
// the line: false then.
func linesAround(text string, s span) (span, bool) {
	s.from = max(0, strings.LastIndexByte(text[:s.from], '\n'))
	end := strings.IndexByte(text[s.to:], '\n')
	if end < 0 {
		return s, false
	}
	s.to += end + 1
	return s, true
}
