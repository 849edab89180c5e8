package licence

import (
	_ "embed"
	"strings"
	"sync"
)

// ListVersion is the version of the SPDX licence list in ids.txt.
const ListVersion = "3.27"

//go:embed ids.txt
var idsText string

// list holds the identifiers by their lower-case spelling.
type list struct {
	licences, exceptions map[string]string
	deprecated           map[string]bool // by identifier
}

// spdx reads the list once.
var spdx = sync.OnceValue(func() list {
	l := list{licences: map[string]string{}, exceptions: map[string]string{}, deprecated: map[string]bool{}}
	into := l.licences
	for line := range strings.Lines(idsText) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#' || line == "[licences]":
		case line == "[exceptions]":
			into = l.exceptions
		default:
			id, old := strings.CutPrefix(line, "-")
			into[strings.ToLower(id)] = id
			if old {
				l.deprecated[id] = true
			}
		}
	}
	return l
})

// ID returns the identifier of the SPDX licence list that s spells, case aside.
func ID(s string) (string, bool) {
	id, ok := spdx().licences[strings.ToLower(s)]
	return id, ok
}

// Deprecated reports whether the list has a licence or exception identifier only
// for documents that were written before it was replaced.
func Deprecated(id string) bool { return spdx().deprecated[id] }
