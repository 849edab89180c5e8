package egress

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// finder looks for canaries in a stream, also across the pieces it comes in.
type finder struct {
	needles []needle
	found   map[string]bool
	tail    []byte
	longest int
}

type needle struct {
	name string
	text []byte
}

// finder has every form of every canary that is looked for.
func (s *Sinkhole) finder() *finder {
	f := &finder{found: map[string]bool{}}
	for _, c := range s.Canaries {
		for _, form := range forms(c.Value) {
			f.needles = append(f.needles, needle{c.Name, []byte(form)})
			f.longest = max(f.longest, len(form))
		}
	}
	return f
}

// forms are the value as it is, in hexadecimal, and in base64 at each of the three
// places that it can have in a longer text, without the characters at the ends
// that depend on its neighbours.
func forms(value string) []string {
	all := []string{value, hex.EncodeToString([]byte(value))}
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + value))
		start := []int{0, 2, 3}[shift]
		all = append(all, encoded[start:len(encoded)-1])
	}
	return all
}

// look examines the next piece.
func (f *finder) look(piece []byte) {
	if len(f.needles) == 0 {
		return
	}
	window := append(f.tail, piece...)
	for _, n := range f.needles {
		if !f.found[n.name] && bytes.Contains(window, n.text) {
			f.found[n.name] = true
		}
	}
	f.tail = slices.Clone(window[max(0, len(window)-f.longest+1):])
}

// names are the canaries that were found, sorted; nil for none.
func (f *finder) names() []string {
	var names []string
	for name := range f.found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
