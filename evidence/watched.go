package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Watcher knows the paths that hold credentials. The capture asks it about
// every failed open, since on a clean machine an attempt is all that a thief
// leaves; the rules use the same table. A Watcher does not change and may be
// used from several goroutines.
type Watcher struct {
	homes   []string
	exclude []string // prefixes whose content is never a credential

	contains      []string
	prefixes      []string
	namesExcluded []string

	home     map[string][]watched // by first element below a home directory
	root     map[string][]watched // by first element below /
	names    map[string]string    // whole base name → family
	suffixes []watchedSuffix
}

// watched is one path pattern, relative to what its table says.
type watched struct {
	elements []string // "*" matches within an element
	below    bool     // the pattern ended in "/**"
	family   string
	order    int
}

type watchedSuffix struct{ suffix, family string }

// credentialTable is the file rules/indicators/credential_paths.yaml; what its
// fields mean is written there.
type credentialTable struct {
	Excluded struct {
		Contains []string `yaml:"contains"`
		Prefixes []string `yaml:"prefixes"`
	} `yaml:"excluded"`
	NamesExcluded []string `yaml:"names_excluded"`
	Entries       []struct {
		Rule  string   `yaml:"rule"`
		Paths []string `yaml:"paths"`
		Names []string `yaml:"names"`
	} `yaml:"entries"`
}

// NewWatcher reads the table of credential paths from YAML. Homes are absolute
// home directories besides /root and those below /home; exclude are absolute
// directories whose content is never a credential (the trusted interpreter's
// prefixes, the environment). It returns an error for a table that cannot be
// read or holds a pattern that is not of the form that the file describes.
func NewWatcher(table []byte, homes, exclude []string) (*Watcher, error) {
	var t credentialTable
	if err := yaml.NewDecoder(bytes.NewReader(table)).Decode(&t); err != nil {
		return nil, fmt.Errorf("read the table of credential paths: %w", err)
	}
	if len(t.Entries) == 0 {
		return nil, errors.New("read the table of credential paths: no entries")
	}
	w := &Watcher{
		homes: clean(append([]string{"/root"}, homes...)), exclude: clean(exclude),
		contains: t.Excluded.Contains, prefixes: t.Excluded.Prefixes, namesExcluded: t.NamesExcluded,
		home: map[string][]watched{}, root: map[string][]watched{}, names: map[string]string{},
	}
	order := 0
	for _, e := range t.Entries {
		for _, p := range e.Paths {
			if err := w.addPath(p, e.Rule, order); err != nil {
				return nil, err
			}
			order++
		}
		for _, n := range e.Names {
			if err := w.addName(n, e.Rule); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

func (w *Watcher) addPath(pattern, family string, order int) error {
	table, rest := w.root, strings.TrimPrefix(pattern, "/")
	if r, ok := strings.CutPrefix(pattern, "~/"); ok {
		table, rest = w.home, r
	} else if rest == pattern {
		return fmt.Errorf("credential path %q of %s: want ~/… or an absolute path", pattern, family)
	}
	rest, below := strings.CutSuffix(rest, "/**")
	elements := strings.Split(rest, "/")
	if strings.Contains(elements[0], "*") || strings.Contains(rest, "**") || strings.ContainsAny(rest, `?[]{}\`) ||
		path.Clean("/"+rest) != "/"+rest {
		return fmt.Errorf("credential path %q of %s: want a literal first element, * within an element and ** at the end only", pattern, family)
	}
	table[elements[0]] = append(table[elements[0]], watched{elements: elements, below: below, family: family, order: order})
	return nil
}

func (w *Watcher) addName(pattern, family string) error {
	suffix, ok := strings.CutPrefix(pattern, "*")
	if strings.ContainsAny(suffix, "*/") || suffix == "" {
		return fmt.Errorf("credential name %q of %s: want *SUFFIX or a base name", pattern, family)
	}
	if ok {
		w.suffixes = append(w.suffixes, watchedSuffix{suffix, family})
	} else {
		w.names[pattern] = family
	}
	return nil
}

// Match reports whether the absolute path p is one of the table, and the rule
// that it belongs to, such as "CRED_SSH_KEY". Lexical dots are resolved, links
// are not.
func (w *Watcher) Match(p string) (family string, ok bool) {
	if !strings.HasPrefix(p, "/") {
		return "", false
	}
	if strings.Contains(p, "/.") || strings.Contains(p, "//") {
		p = path.Clean(p)
	}
	best := watched{order: -1}
	first, _, _ := strings.Cut(p[1:], "/")
	best = pick(best, w.root[first], p[1:])
	if rest, in := w.relative(p); in {
		first, _, _ = strings.Cut(rest, "/")
		best = pick(best, w.home[first], rest)
	}
	if best.order < 0 {
		best.family = w.named(p)
	}
	if best.family == "" || w.excluded(p) {
		return "", false
	}
	return best.family, true
}

// pick returns the pattern that matches rel and comes first in the table.
func pick(best watched, patterns []watched, rel string) watched {
	if len(patterns) == 0 {
		return best
	}
	elements := strings.Split(rel, "/")
	for _, c := range patterns {
		if (best.order < 0 || c.order < best.order) && c.matches(elements) {
			best = c
		}
	}
	return best
}

func (c watched) matches(elements []string) bool {
	if len(elements) < len(c.elements) || c.below != (len(elements) > len(c.elements)) {
		return false
	}
	for i, pattern := range c.elements {
		if !matchElement(pattern, elements[i]) {
			return false
		}
	}
	return true
}

// matchElement matches one path element against a pattern in which "*" stands
// for any characters.
func matchElement(pattern, s string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s, rest = s[at+len(part):], after
	}
}

// relative returns what follows the home directory in p.
func (w *Watcher) relative(p string) (string, bool) {
	for _, h := range w.homes {
		if len(p) > len(h)+1 && under(p, h) {
			return strings.TrimPrefix(p[len(h):], "/"), true
		}
	}
	if rest, ok := strings.CutPrefix(p, "/home/"); ok {
		if _, rest, ok = strings.Cut(rest, "/"); ok {
			return rest, true
		}
	}
	return "", false
}

// named returns the family of p's base name.
func (w *Watcher) named(p string) string {
	base := p[strings.LastIndexByte(p, '/')+1:]
	family := w.names[base]
	for _, s := range w.suffixes {
		if family == "" && len(base) > len(s.suffix) && strings.HasSuffix(base, s.suffix) {
			family = s.family
		}
	}
	for _, prefix := range w.namesExcluded {
		if family != "" && strings.HasPrefix(p, prefix) {
			return ""
		}
	}
	return family
}

func (w *Watcher) excluded(p string) bool {
	for _, part := range w.contains {
		if strings.Contains(p, part) {
			return true
		}
	}
	for _, prefix := range w.prefixes {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return deepest(p, w.exclude) > 0
}
