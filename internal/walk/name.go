package walk

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// entryName is one directory entry: its name on disk, and the one it has in the
// tree.
type entryName struct{ disk, key string }

// encodeNames gives the names of one directory their keys. A name that is not
// UTF-8 has each bad byte written as %XX. That can collide with the name of
// another file, so names that need no encoding come first, and every name
// whose key is taken is returned in clashes instead. The order is fixed: it
// depends on the set of names alone.
func encodeNames(names []string) (entries, clashes []entryName) {
	slices.Sort(names)
	taken := make(map[string]bool)
	var bad []string
	for _, n := range names {
		if utf8.ValidString(n) {
			entries = append(entries, entryName{n, n})
		} else {
			bad = append(bad, n)
		}
	}
	if len(bad) == 0 {
		return entries, nil
	}
	for _, e := range entries {
		taken[e.key] = true
	}
	for _, n := range bad {
		e := entryName{n, encodeName(n)}
		if taken[e.key] {
			clashes = append(clashes, e)
			continue
		}
		taken[e.key] = true
		entries = append(entries, e)
	}
	return entries, clashes
}

func encodeName(name string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n == 1 {
			b.WriteByte('%')
			b.WriteByte(digits[name[0]>>4])
			b.WriteByte(digits[name[0]&15])
		} else {
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	return b.String()
}
