package secretscan

import "slices"

// automaton finds all words in a text in one pass (Aho and Corasick, 1975),
// with ASCII letters of the text lowered. The transitions are a full table over
// the bytes that are in some word, all others being one: the rules have about 300
// short words, some 2,000 states, and the table should stay in the processor's
// cache.
type automaton struct {
	next    []uint16 // by state and class
	classes int
	class   [256]uint8 // 0 is a byte that is in no word
	words   [][]int32  // per state, the words that end there
}

// newAutomaton builds an automaton of at most 65,535 states; words are in lower
// case and not empty.
func newAutomaton(words []string) *automaton {
	a := &automaton{classes: 1, words: make([][]int32, 1)}
	for _, w := range words {
		for _, c := range []byte(w) {
			if a.class[c] == 0 {
				a.class[c] = uint8(a.classes)
				a.classes++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	a.next = make([]uint16, a.classes)
	for i, w := range words {
		state := 0
		for _, c := range []byte(w) {
			at := state*a.classes + int(a.class[c])
			if a.next[at] == 0 {
				a.next[at] = uint16(len(a.words))
				a.next = append(a.next, make([]uint16, a.classes)...)
				a.words = append(a.words, nil)
			}
			state = int(a.next[at])
		}
		a.words[state] = append(a.words[state], int32(i))
	}
	a.link()
	return a
}

// link completes the transitions breadth first: where a state has none, it
// takes that of its longest proper suffix, which is a state of a lesser depth.
func (a *automaton) link() {
	suffix := make([]uint16, len(a.words))
	var queue []uint16
	for _, s := range a.next[:a.classes] {
		if s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := int(queue[0])
		queue = queue[1:]
		a.words[state] = append(a.words[state], a.words[suffix[state]]...)
		for c := range a.classes {
			at := state*a.classes + c
			fallback := a.next[int(suffix[state])*a.classes+c]
			if child := a.next[at]; child != 0 {
				suffix[child] = fallback
				queue = append(queue, child)
				continue
			}
			a.next[at] = fallback
		}
	}
	for i := range a.words {
		a.words[i] = slices.Clip(a.words[i])
	}
}

// find calls found for every place where a word ends, in order.
func (a *automaton) find(text string, found func(word int32, end int)) {
	state, classes, next := 0, a.classes, a.next
	for i := range len(text) {
		state = int(next[state*classes+int(a.class[text[i]])])
		for _, w := range a.words[state] {
			found(w, i+1)
		}
	}
}
