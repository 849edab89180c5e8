package pipinstall

import (
	_ "embed" // for the lists of names
	"path"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// Shadow is a name that a distribution takes and that stands for something else.
type Shadow struct {
	// Kind is command (a program that users have from elsewhere),
	// standard-library (a module of Python), other-project (the import name of a
	// well-known project), or installed-project (a regular package that another
	// installed distribution has as well).
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Where is the entry point or the file's absolute path.
	Where string `json:"where"`
	// Of are the projects that the name belongs to; empty for commands of the
	// system and for the standard library.
	Of []string `json:"of,omitempty"`
}

// Kinds of shadows.
const (
	shadowCommand  = "command"
	shadowStandard = "standard-library"
	shadowKnown    = "other-project"
	shadowShared   = "installed-project"
)

// The lists of names are files, so that they can be read and extended. They are
// never assigned; embedding allows variables only.
var (
	//go:embed names/commands.txt
	commandNames string
	//go:embed names/standard-library.txt
	standardNames string
	//go:embed names/imports.txt
	importNames string
)

// nameList reads a list: a name, then the projects it belongs to.
func nameList(text string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			out[fields[0]] = fields[1:]
		}
	}
	return out
}

// shadows looks at the names that every distribution takes: commands and
// top-level modules.
func (c *collector) shadows() {
	commands, standard, known := nameList(commandNames), nameList(standardNames), nameList(importNames)
	packages := map[string][]string{} // regular top-level name → projects
	for _, d := range c.env.Distributions {
		for _, t := range pypi.TopLevels(d) {
			if !t.Namespace && !slices.Contains(packages[t.Name], d.Key) {
				packages[t.Name] = append(packages[t.Name], d.Key)
			}
		}
	}
	for i, d := range c.env.Distributions {
		found := shadowedCommands(d, path.Join(c.in.Layout.Prefix, "bin"), commands)
		for _, t := range pypi.TopLevels(d) {
			where := path.Join(d.Location, t.Name)
			if _, ok := standard[t.Name]; ok {
				found = append(found, Shadow{Kind: shadowStandard, Name: t.Name, Where: where})
			}
			if of := known[t.Name]; len(of) > 0 && !slices.Contains(of, d.Key) {
				found = append(found, Shadow{Kind: shadowKnown, Name: t.Name, Where: where, Of: of})
			}
			if others := slices.DeleteFunc(slices.Clone(packages[t.Name]), func(k string) bool { return k == d.Key }); len(others) > 0 && !t.Namespace {
				found = append(found, Shadow{Kind: shadowShared, Name: t.Name, Where: where, Of: others})
			}
		}
		c.predicate.Packages[i].Shadows = cut(c, "packages[].shadows of "+d.Key, found)
	}
}

// shadowedCommands compares entry points and the files in the directory of
// programs with the list.
func shadowedCommands(d pypi.Distribution, bin string, commands map[string][]string) []Shadow {
	var out []Shadow
	add := func(name, where string) {
		of, ok := commands[name]
		if !ok {
			plain := strings.TrimSuffix(strings.TrimRight(strings.TrimSuffix(name, ".exe"), "0123456789."), "-")
			of, ok = commands[plain]
		}
		known := func(s Shadow) bool { return s.Name == name }
		if ok && !slices.Contains(of, d.Key) && !slices.ContainsFunc(out, known) {
			out = append(out, Shadow{Kind: shadowCommand, Name: name, Where: where, Of: of})
		}
	}
	for _, e := range d.EntryPoints {
		if e.Group == "console_scripts" || e.Group == "gui_scripts" {
			add(e.Name, e.Name+" = "+clip(e.Value))
		}
	}
	for _, e := range d.Record {
		if full := recordPath(d.Location, e.Path); path.Dir(full) == bin {
			add(path.Base(full), full)
		}
	}
	return out
}
