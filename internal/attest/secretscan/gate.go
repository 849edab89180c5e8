package secretscan

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// gate finds the places of a text where an expression may match, faster than by
// matching all of it: Go's regexp has no fast path for expressions that begin
// with a character class, as most rules do, and follows a thread from every byte.
//
// Everything that the expression matches contains a word of the mark, begins at
// most before bytes ahead of it, and goes on from the word as suffix says. So
// suffix is tried where the automaton found a word, and nowhere else, and how far
// it had to read is how far any such match can reach.
type gate struct {
	mark mark
	// suffix is the expression from its mark on, anchored, with one character before
	// it, so that \b is what it was.
	suffix *regexp.Regexp
	// always is set for an expression without a mark: it is matched wherever one
	// of gitleaks' keywords for it is in the text.
	always bool
}

// mark is a set of words, in lower case, one of which is in everything that an
// expression matches. Without words nothing is known.
type mark struct {
	words  []string
	before int            // the most bytes of a match before the word
	suffix *syntax.Regexp // the expression from the word on
}

// maxReach bounds what lies before a mark. An expression that reaches further is
// not gated.
const maxReach = 4 << 10 // 4 KiB

func newGate(re *syntax.Regexp) (*gate, error) {
	g := &gate{mark: marks(re)}
	if len(g.mark.words) == 0 {
		return &gate{always: true}, nil
	}
	suffix, err := regexp.Compile(`\A(?s:.?)(?:` + g.mark.suffix.String() + `)`)
	if err != nil {
		return nil, err
	}
	suffix.Longest() // it reads until no thread is left
	g.suffix = suffix
	return g, nil
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

// marks returns the best mark of an expression: the one whose shortest word is
// longest. Only what has a bounded length lies before it.
func marks(re *syntax.Regexp) mark {
	if words := exact(re); shortest(words) > 0 {
		return mark{words: words, suffix: re}
	}
	switch re.Op {
	case syntax.OpCapture:
		return marks(re.Sub[0])
	case syntax.OpPlus, syntax.OpRepeat: // the first copy has the mark
		m := marks(re.Sub[0])
		if re.Op == syntax.OpRepeat && re.Min == 0 || len(m.words) == 0 {
			return mark{}
		}
		m.suffix = concat(m.suffix, &syntax.Regexp{Op: syntax.OpStar, Flags: re.Flags, Sub: re.Sub})
		return m
	case syntax.OpConcat:
		return marksOfSequence(re)
	case syntax.OpAlternate:
		all := mark{suffix: &syntax.Regexp{Op: syntax.OpAlternate, Flags: re.Flags}}
		for _, sub := range re.Sub {
			part := marks(sub)
			if len(part.words) == 0 {
				return mark{}
			}
			all.words = append(all.words, part.words...)
			all.before = max(all.before, part.before)
			all.suffix.Sub = append(all.suffix.Sub, part.suffix)
		}
		slices.Sort(all.words)
		all.words = slices.Compact(all.words)
		return all
	default:
		return mark{}
	}
}

func concat(subs ...*syntax.Regexp) *syntax.Regexp {
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: subs}
}

// marksOfSequence looks at each element by itself and at each run of elements
// that match a few exact words, so that "gh[us]_" has the marks ghu_ and ghs_.
func marksOfSequence(re *syntax.Regexp) mark {
	var best mark
	before := 0
	for i, sub := range re.Sub {
		rest := re.Sub[i+1:]
		offer := func(words []string, inner int, suffix ...*syntax.Regexp) {
			if shortest(words) > shortest(best.words) && before+inner <= maxReach {
				best = mark{words: words, before: before + inner, suffix: concat(suffix...)}
			}
		}
		if m := marks(sub); len(m.words) > 0 {
			offer(m.words, m.before, append([]*syntax.Regexp{m.suffix}, rest...)...)
		}
		words := exact(sub)
		for _, next := range rest {
			if words == nil {
				break
			}
			// "A(?:3T[A-Z0-9]|KIA)" has no exact words, but marks a3t and akia.
			offer(pairs(words, leading(next)), 0, re.Sub[i:]...)
			words = pairs(words, exact(next))
		}
		length := maxLength(sub)
		if length < 0 {
			break
		}
		before += length
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

// span is a part of a text, in bytes.
type span struct{ from, to int }

// open returns where the expression can match, in order and apart from each
// other, given the places of its mark, in order: every match lies within one of
// them, with a character on each side where the text has one.
func (g *gate) open(text string, places []span) []span {
	var out []span
	for _, word := range places {
		from := word.from
		if from > 0 {
			_, size := utf8.DecodeLastRuneInString(text[:from])
			from -= size
		}
		reader := strings.NewReader(text[from:])
		if g.suffix.FindReaderIndex(reader) == nil {
			continue
		}
		reached := span{max(0, word.from-g.mark.before-2*utf8.UTFMax), min(len(text), len(text)-reader.Len()+utf8.UTFMax)}
		out = append(out, reached.whole(text))
	}
	return join(out)
}

// whole widens a span so that it does not begin or end within a character.
func (s span) whole(text string) span {
	for s.from > 0 && !utf8.RuneStart(text[s.from]) {
		s.from--
	}
	for s.to < len(text) && !utf8.RuneStart(text[s.to]) {
		s.to++
	}
	return s
}

// join sorts spans and makes one of those that overlap or touch.
func join(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:0]
	for _, s := range spans {
		if last := len(out) - 1; last >= 0 && s.from <= out[last].to {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// meet says that a span of a and one of b touch; both are in order and apart from
// each other.
func meet(a, b []span) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].to < b[0].from:
			a = a[1:]
		case b[0].to < a[0].from:
			b = b[1:]
		default:
			return true
		}
	}
	return false
}
