package secretscan

import "slices"

// automaton finds all words in a text in one pass (Aho and Corasick, 1975),
// with ASCII letters of the text lowered. The transitions are a full table: the
// rules have about 300 short words, some 2,000 states of 512 bytes.
type automaton struct {
	next  [][256]uint16
	words [][]int32 // per state, the words that end there
	lower [256]byte
}

// newAutomaton builds an automaton of at most 65,535 states; words are in lower
// case and not empty.
func newAutomaton(words []string) *automaton {
	a := &automaton{next: make([][256]uint16, 1), words: make([][]int32, 1)}
	for i := range a.lower {
		a.lower[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			a.lower[i] += 'a' - 'A'
		}
	}
	for i, w := range words {
		state := uint16(0)
		for _, c := range []byte(w) {
			if a.next[state][c] == 0 {
				a.next = append(a.next, [256]uint16{})
				a.words = append(a.words, nil)
				a.next[state][c] = uint16(len(a.next) - 1)
			}
			state = a.next[state][c]
		}
		a.words[state] = append(a.words[state], int32(i))
	}
	a.link()
	return a
}

// link completes the transitions breadth first: where a state has none, it
// takes that of its longest proper suffix, which is a state of a lesser depth.
func (a *automaton) link() {
	suffix := make([]uint16, len(a.next))
	var queue []uint16
	for _, s := range a.next[0] {
		if s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		a.words[state] = append(a.words[state], a.words[suffix[state]]...)
		for c, child := range a.next[state] {
			fallback := a.next[suffix[state]][c]
			if child == 0 {
				a.next[state][c] = fallback
				continue
			}
			suffix[child] = fallback
			queue = append(queue, child)
		}
	}
	for i := range a.words {
		a.words[i] = slices.Clip(a.words[i])
	}
}

// find calls found for every place where a word ends, in order.
func (a *automaton) find(text string, found func(word int32, end int)) {
	state := uint16(0)
	for i := range len(text) {
		state = a.next[state][a.lower[text[i]]]
		for _, w := range a.words[state] {
			found(w, i+1)
		}
	}
}
