package pypi

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// ImportNames returns the modules that a person imports to use the
// distribution, computed from its RECORD: regular packages, single-file
// modules, extension modules, and for a namespace package the dotted names
// below it ("google.cloud.storage"). Where RECORD names none (an editable
// install, egg-info without a file list) top_level.txt answers.
//
// The name that equals the project's comes first, then the other public names
// by alphabet, then the private ones ("_yaml"). Directories of tests, examples
// and the like count only when nothing else is there. The list is empty for a
// distribution without modules.
func ImportNames(d Distribution) []string {
	names := modulesOf(d)
	if len(names) == 0 {
		for _, n := range d.TopLevel {
			if isIdentifier(n) && !strings.HasPrefix(n, "__editable__") {
				names = append(names, n)
			}
		}
	}
	if main := slices.DeleteFunc(slices.Clone(names), isAside); len(main) > 0 {
		names = main
	}
	own := strings.ReplaceAll(d.Key, "-", "_")
	rank := func(n string) int {
		switch {
		case strings.EqualFold(n, own):
			return 0
		case strings.HasPrefix(n, "_") || strings.Contains(n, "._"):
			return 2
		}
		return 1
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b)) })
	return slices.Compact(names)
}

// isAside reports whether a module is something that many distributions ship by
// mistake beside what they are for.
func isAside(name string) bool {
	top, _, _ := strings.Cut(name, ".")
	switch strings.ToLower(top) {
	case "test", "tests", "testing", "example", "examples", "doc", "docs", "benchmark", "benchmarks",
		"bench", "scripts", "script", "bin", "build", "dist", "samples", "demo", "demos", "tools", "ci":
		return true
	}
	return false
}

// modulesOf builds the tree of importable files and collects the shallowest
// importable name of each branch.
func modulesOf(d Distribution) []string {
	root := &moduleDir{}
	for _, e := range d.Record {
		if p, ok := e.Inside(); ok && strings.Count(p, "/") < maxModuleDepth {
			root.insert(strings.Split(p, "/"))
		}
	}
	namespaces := map[string]bool{}
	for _, n := range d.Namespaces {
		namespaces[n] = true
	}
	var out []string
	for name, dir := range root.dirs {
		out = append(out, dir.names(name, namespaces)...)
	}
	for _, m := range root.modules {
		switch {
		case m == "__init__", m == "__main__", m == "setup", m == "conftest", strings.HasPrefix(m, "__editable__"):
			// Not for import: strays in the site directory, and the finder of an editable install.
		default:
			out = append(out, m)
		}
	}
	return out
}

// moduleDir is a directory of modules.
type moduleDir struct {
	modules []string
	dirs    map[string]*moduleDir
}

// insert adds a file by its path segments when it can be imported.
func (m *moduleDir) insert(segments []string) {
	file := segments[len(segments)-1]
	module, ok := moduleName(file)
	if !ok {
		return
	}
	for _, s := range segments[:len(segments)-1] {
		// "pillow.libs", "x.dist-info", "x-1.data" are no identifiers.
		if !isIdentifier(s) || s == "__pycache__" {
			return
		}
	}
	dir := m
	for _, s := range segments[:len(segments)-1] {
		next := dir.dirs[s]
		if next == nil {
			next = &moduleDir{}
			if dir.dirs == nil {
				dir.dirs = map[string]*moduleDir{}
			}
			dir.dirs[s] = next
		}
		dir = next
	}
	dir.modules = append(dir.modules, module)
}

// names returns name itself for a regular package, and what lies below it for
// a namespace package.
func (m *moduleDir) names(name string, namespaces map[string]bool) []string {
	if slices.Contains(m.modules, "__init__") && !namespaces[name] {
		return []string{name}
	}
	var out []string
	for _, mod := range m.modules {
		if mod != "__init__" && mod != "__main__" {
			out = append(out, name+"."+mod)
		}
	}
	for sub, dir := range m.dirs {
		out = append(out, dir.names(name+"."+sub, namespaces)...)
	}
	return out
}

// moduleName returns the name under which an interpreter imports a file:
// source, sourceless byte code, or an extension module with its ABI tag.
func moduleName(file string) (string, bool) {
	name, suffix, ok := strings.Cut(file, ".")
	if !ok || !isIdentifier(name) {
		return "", false
	}
	switch ext := path.Ext(file); {
	case suffix == "py" || suffix == "pyc":
		return name, true
	case ext == ".so" || ext == ".pyd":
		tag := strings.TrimSuffix("."+suffix, ext)
		plain := tag == "" || tag == ".abi3"
		return name, plain || strings.HasPrefix(tag, ".cpython-") || strings.HasPrefix(tag, ".pypy") ||
			strings.HasPrefix(tag, ".cp") || strings.HasPrefix(tag, ".graalpy")
	}
	return "", false
}

// isIdentifier reports whether s can stand in an import statement. Names
// outside ASCII are allowed as far as they consist of letters.
func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && !isKeyword(s)
}

// isKeyword reports whether s is a reserved word of Python 3.
func isKeyword(s string) bool {
	switch s {
	case "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
		"def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
		"is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield":
		return true
	}
	return false
}

// TopLevel is a name that a distribution adds to the interpreter's module path.
type TopLevel struct {
	Name string
	// Namespace is true for a directory without an __init__ file, and for what
	// the distribution declares as namespace: it may belong to several projects.
	Namespace bool
}

// TopLevels returns the names that the distribution's RECORD puts directly into
// the site directory, sorted. Other than [ImportNames] it leaves nothing out.
func TopLevels(d Distribution) []TopLevel {
	root := &moduleDir{}
	for _, e := range d.Record {
		if p, ok := e.Inside(); ok && strings.Count(p, "/") < maxModuleDepth {
			root.insert(strings.Split(p, "/"))
		}
	}
	var out []TopLevel
	for name, dir := range root.dirs {
		out = append(out, TopLevel{name, !slices.Contains(dir.modules, "__init__") || slices.Contains(d.Namespaces, name)})
	}
	for _, name := range root.modules {
		if root.dirs[name] == nil {
			out = append(out, TopLevel{Name: name})
		}
	}
	slices.SortFunc(out, func(a, b TopLevel) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b TopLevel) bool { return a.Name == b.Name })
}
