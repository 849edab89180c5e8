package secretscan

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// gate decides whether an expression can match a text, faster than by matching
// it: Go's regexp has no fast path for expressions that begin with a character
// class, as most rules do.
//
// It may say yes in vain and never no in vain, because each step keeps every
// match: (1) prefix is the expression up to its first unbounded repetition, so
// whatever the expression matches begins with a match of prefix; (2) such a
// match, its ASCII letters lowered, contains a word of mark, with bounded
// lengths before and after it; (3) so it lies in a window around a place of that
// word in the text, and one more character on each side keeps \b what it was.
// The ends of a window look like ends of the text, which adds matches and
// removes none.
type gate struct {
	prefix *regexp.Regexp
	mark   mark
	// always is set for an expression without a mark: it is matched wherever one
	// of gitleaks' keywords for it is in the text.
	always bool
}

// mark is a set of words, in lower case, one of which is in everything that an
// expression matches. Without words nothing is known.
type mark struct {
	words         []string
	before, after int // the most bytes of a match before and after the word
}

// maxReach bounds the windows. An expression that reaches further is not gated.
const maxReach = 4 << 10 // 4 KiB

func newGate(re *syntax.Regexp) (*gate, error) {
	cut, _ := bounded(re)
	g := &gate{mark: marks(cut)}
	if length := maxLength(cut); len(g.mark.words) == 0 || length < 0 || length > maxReach {
		return &gate{always: true}, nil
	}
	prefix, err := regexp.Compile(cut.String())
	if err != nil {
		return nil, err
	}
	g.prefix = prefix
	return g, nil
}

// bounded returns an expression that matches a prefix of everything that re
// matches, without unbounded repetitions, and whether it left something out.
func bounded(re *syntax.Regexp) (*syntax.Regexp, bool) {
	empty := &syntax.Regexp{Op: syntax.OpEmptyMatch, Flags: re.Flags}
	repeat := func(sub *syntax.Regexp, n int) *syntax.Regexp {
		return &syntax.Regexp{Op: syntax.OpRepeat, Flags: re.Flags, Sub: []*syntax.Regexp{sub}, Min: n, Max: n}
	}
	switch re.Op {
	case syntax.OpStar:
		return empty, true
	case syntax.OpPlus:
		sub, _ := bounded(re.Sub[0])
		return sub, true
	case syntax.OpRepeat, syntax.OpQuest:
		least, most := re.Min, re.Max
		if re.Op == syntax.OpQuest {
			least, most = 0, 1
		}
		sub, cut := bounded(re.Sub[0])
		switch {
		case cut && least == 0:
			return empty, true
		case cut:
			return sub, true
		case most < 0 && least == 0:
			return empty, true
		case most < 0:
			return repeat(sub, least), true
		}
		return re, false
	case syntax.OpCapture:
		return bounded(re.Sub[0])
	case syntax.OpConcat:
		out := &syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags}
		for _, sub := range re.Sub {
			part, cut := bounded(sub)
			out.Sub = append(out.Sub, part)
			if cut {
				return out, true
			}
		}
		return out, false
	case syntax.OpAlternate:
		out, any := &syntax.Regexp{Op: syntax.OpAlternate, Flags: re.Flags}, false
		for _, sub := range re.Sub {
			part, cut := bounded(sub)
			out.Sub = append(out.Sub, part)
			any = any || cut
		}
		return out, any
	default:
		return re, false
	}
}

// maxLength returns the most bytes that a bounded expression matches, -1 when
// it is not bounded.
func maxLength(re *syntax.Regexp) int {
	sum := func() int {
		n := 0
		for _, sub := range re.Sub {
			part := maxLength(sub)
			if part < 0 || n > maxReach {
				return -1
			}
			n += part
		}
		return n
	}
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune) * utf8.UTFMax
	case syntax.OpCharClass:
		for _, c := range re.Rune {
			// The two characters that fold to ASCII are in no text that is gated.
			if c >= utf8.RuneSelf && c != '\u212A' && c != '\u017F' {
				return utf8.UTFMax
			}
		}
		return 1
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat:
		if part := maxLength(re.Sub[0]); part >= 0 && re.Max >= 0 && part*re.Max <= maxReach {
			return part * re.Max
		}
		return -1
	case syntax.OpAlternate:
		most := 0
		for _, sub := range re.Sub {
			part := maxLength(sub)
			if part < 0 {
				return -1
			}
			most = max(most, part)
		}
		return most
	default: // captures and optional parts have one child, assertions none
		return sum()
	}
}

// marks returns the best mark of a bounded expression: the one whose shortest
// word is longest.
func marks(re *syntax.Regexp) mark {
	if words := exact(re); shortest(words) > 0 {
		return mark{words: words}
	}
	switch re.Op {
	case syntax.OpCapture:
		return marks(re.Sub[0])
	case syntax.OpRepeat: // its first copy has the mark
		m := marks(re.Sub[0])
		if re.Min == 0 {
			return mark{}
		}
		m.after += (re.Max - 1) * maxLength(re.Sub[0])
		return m
	case syntax.OpConcat:
		return marksOfSequence(re.Sub)
	case syntax.OpAlternate:
		var all mark
		for _, sub := range re.Sub {
			part := marks(sub)
			if len(part.words) == 0 {
				return mark{}
			}
			all.words = append(all.words, part.words...)
			all.before, all.after = max(all.before, part.before), max(all.after, part.after)
		}
		slices.Sort(all.words)
		all.words = slices.Compact(all.words)
		return all
	default:
		return mark{}
	}
}

// marksOfSequence looks at each element by itself and at each run of elements
// that match a few exact words, so that "gh[us]_" has the marks ghu_ and ghs_.
func marksOfSequence(subs []*syntax.Regexp) mark {
	var best mark
	length := func(part []*syntax.Regexp) int {
		n := 0
		for _, sub := range part {
			n += max(maxLength(sub), 0)
		}
		return n
	}
	offer := func(m mark, from, to int) {
		if shortest(m.words) > shortest(best.words) {
			m.before += length(subs[:from])
			m.after += length(subs[to:])
			best = m
		}
	}
	for i, sub := range subs {
		offer(marks(sub), i, i+1)
		words := exact(sub)
		for j := i + 1; j < len(subs) && words != nil; j++ {
			// "A(?:3T[A-Z0-9]|KIA)" has no exact words, but marks a3t and akia.
			offer(mark{words: pairs(words, leading(subs[j]))}, i, j)
			words = pairs(words, exact(subs[j]))
		}
	}
	return best
}

// leading returns words one of which everything that an expression matches
// begins with, or nil where they are too many.
func leading(re *syntax.Regexp) []string {
	if words := exact(re); words != nil {
		return words
	}
	switch re.Op {
	case syntax.OpCapture:
		return leading(re.Sub[0])
	case syntax.OpConcat:
		words := []string{""}
		for _, sub := range re.Sub {
			more := pairs(words, leading(sub))
			if more == nil {
				return words
			}
			words = more
			if exact(sub) == nil {
				return words
			}
		}
		return words
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			out = append(out, leading(sub)...)
			if len(leading(sub)) == 0 {
				return nil
			}
		}
		return unique(out)
	default:
		return []string{""}
	}
}

// maxWords bounds the words of one mark.
const maxWords = 64

// exact returns all texts that an expression matches, in lower case, or nil
// where they are too many. Assertions match the empty text.
func exact(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		// A literal's other cases outside ASCII are in no text that is gated.
		return []string{strings.ToLower(string(re.Rune))}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}
	case syntax.OpCapture:
		return exact(re.Sub[0])
	case syntax.OpCharClass:
		var out []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] > 3 {
				return nil
			}
			for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
				out = append(out, strings.ToLower(string(c)))
			}
		}
		return unique(out)
	case syntax.OpQuest:
		if words := exact(re.Sub[0]); words != nil {
			return unique(append([]string{""}, words...))
		}
		return nil
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			if out = pairs(out, exact(sub)); out == nil {
				return nil
			}
		}
		return out
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			part := exact(sub)
			if part == nil {
				return nil
			}
			out = append(out, part...)
		}
		return unique(out)
	default:
		return nil
	}
}

func unique(words []string) []string {
	slices.Sort(words)
	if words = slices.Compact(words); len(words) > maxWords {
		return nil
	}
	return words
}

// pairs returns every word of a followed by every word of b.
func pairs(a, b []string) []string {
	if a == nil || b == nil || len(a)*len(b) > maxWords {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return unique(out)
}

// shortest is the length of the shortest word, 0 without words.
func shortest(words []string) int {
	if len(words) == 0 {
		return 0
	}
	n := len(words[0])
	for _, w := range words[1:] {
		n = min(n, len(w))
	}
	return n
}

// open says whether the expression can match text, given the ends of the places
// of its mark, in order.
func (g *gate) open(text string, ends []int) bool {
	longest := 0
	for _, w := range g.mark.words {
		longest = max(longest, len(w))
	}
	before, after := longest+g.mark.before+utf8.UTFMax, g.mark.after+utf8.UTFMax
	for i := 0; i < len(ends); {
		from, to := ends[i]-before, ends[i]+after
		for i++; i < len(ends) && ends[i]-before <= to; i++ {
			to = ends[i] + after
		}
		from, to = max(from, 0), min(to, len(text))
		// A window does not begin or end within a character.
		for from > 0 && !utf8.RuneStart(text[from]) {
			from--
		}
		for to < len(text) && !utf8.RuneStart(text[to]) {
			to++
		}
		if g.prefix.MatchString(text[from:to]) {
			return true
		}
	}
	return false
}
