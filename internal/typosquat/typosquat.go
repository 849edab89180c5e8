// Package typosquat finds the widely known projects whose names another name could
// be taken for: one keystroke away, the same but for separators or for characters
// that look alike, or with a word before or after it. A match is a fact about two
// names; many an honest project has one.
package typosquat

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// Limits on a list of names and on what is reported.
const (
	// MaxSize is the size of a list, in bytes.
	MaxSize    = 16 << 20 // 16 MiB; 15,000 names take 0.8
	maxNames   = 100_000
	maxMatches = 10 // of one name
	minTyped   = 4  // shorter names are one keystroke from too many others
)

//go:embed names.txt
var shipped string

// Shipped is the list that this program ships: normalised names, sorted.
func Shipped() []string {
	var names []string
	for line := range strings.Lines(shipped) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	return names
}

var errNames = errors.New("it has no names: want {\"rows\": [{\"project\": …}]}")

// Parse reads a list of popular projects as top-pypi-packages publishes it: a JSON
// object whose rows each have a project. The names are normalised.
func Parse(raw []byte) ([]string, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("read popular names: larger than %d bytes", MaxSize)
	}
	var in struct {
		Rows []struct {
			Project string `json:"project"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("read popular names: %w", err)
	}
	if len(in.Rows) == 0 {
		return nil, fmt.Errorf("read popular names: %w", errNames)
	}
	if len(in.Rows) > maxNames {
		return nil, fmt.Errorf("read popular names: %d names, at most %d", len(in.Rows), maxNames)
	}
	names := make([]string, 0, len(in.Rows))
	for i, r := range in.Rows {
		if !pypi.ValidName(r.Project) {
			return nil, fmt.Errorf("read popular names: row %d: %.80q is no project's name", i+1, r.Project)
		}
		names = append(names, pypi.Normalize(r.Project))
	}
	return names, nil
}

// How is the way in which two names are alike.
type How string

// Ways to be alike.
const (
	Separators How = "separators" // the same without separators
	LookAlike  How = "look-alike" // the same to the eye: 0 and o, 1 and l, rn and m
	Keystroke  How = "keystroke"  // one letter more, less, other, or two swapped
	Affix      How = "affix"      // with a word before or after it
)

// Match is a popular name that another is like.
type Match struct {
	Name string `json:"name"`
	How  How    `json:"how"`
}

// Names are popular names, prepared for many questions.
type Names struct {
	known     map[string]bool
	list      []string
	joined    map[string][]string // by the form without separators
	skeletons map[string][]string // by the form that looks the same
}

// New prepares normalised names.
func New(names []string) *Names {
	n := &Names{known: map[string]bool{}, joined: map[string][]string{}, skeletons: map[string][]string{}}
	for _, name := range names {
		if n.known[name] {
			continue
		}
		n.known[name] = true
		n.list = append(n.list, name)
		n.joined[join(name)] = append(n.joined[join(name)], name)
		n.skeletons[skeleton(name)] = append(n.skeletons[skeleton(name)], name)
	}
	return n
}

// Len is how many names there are.
func (n *Names) Len() int { return len(n.list) }

// Known tells whether a normalised name is one of them.
func (n *Names) Known(name string) bool { return n.known[name] }

// Close returns the popular names that a normalised name is like, each once, the
// likest way first. A popular name is like no other.
func (n *Names) Close(name string) []Match {
	if n.known[name] {
		return nil
	}
	var matches []Match
	add := func(popular string, how How) {
		same := func(m Match) bool { return m.Name == popular }
		if len(matches) < maxMatches && !slices.ContainsFunc(matches, same) {
			matches = append(matches, Match{popular, how})
		}
	}
	for _, popular := range n.joined[join(name)] {
		add(popular, Separators)
	}
	for _, popular := range n.skeletons[skeleton(name)] {
		add(popular, LookAlike)
	}
	for _, popular := range n.list {
		if min(len(name), len(popular)) >= minTyped && oneKeystroke(name, popular) {
			add(popular, Keystroke)
		}
	}
	for _, core := range withoutAffix(name) {
		if n.known[core] {
			add(core, Affix)
		}
	}
	return matches
}

func join(name string) string { return strings.ReplaceAll(name, "-", "") }

// skeleton is a form that names have in common when they look alike in the
// typefaces of terminals.
func skeleton(name string) string {
	return strings.NewReplacer("rn", "m", "vv", "w", "0", "o", "1", "l", "i", "l", "5", "s", "3", "e", "-", "").Replace(name)
}

// oneKeystroke tells whether the distance of Damerau and Levenshtein is 1.
func oneKeystroke(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// withoutAffix returns what is left of a name without a word that imitations put
// before or after a known name.
func withoutAffix(name string) []string {
	var cores []string
	keep := func(core string, ok bool) {
		if ok && len(core) >= minTyped {
			cores = append(cores, core)
		}
	}
	for _, prefix := range []string{"python-", "python3-", "py-", "py", "lib-", "lib", "the-", "my-", "new-", "real-", "official-", "pip-", "django-", "async-"} {
		core, ok := strings.CutPrefix(name, prefix)
		keep(core, ok)
	}
	for _, suffix := range []string{
		"-python", "-python3", "-py", "py", "-lib", "lib", "-sdk", "-api", "-client", "-dev", "-official", "-utils", "-util", "-tool", "-tools",
		"-cli", "-core", "-plus", "-pro", "-new", "-fixed", "-patched", "-secure", "-wrapper", "-async", "-2", "-3", "2", "3", "s", "-js",
	} {
		core, ok := strings.CutSuffix(name, suffix)
		keep(core, ok)
	}
	return cores
}
