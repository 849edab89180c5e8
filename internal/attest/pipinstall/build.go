package pipinstall

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// build collects what decides how one distribution is built.
type build struct {
	c        *collector
	key      string
	files    map[string][]byte // of the top directory, by name
	foreign  []string          // build descriptions in other languages
	total    int64             // bytes of build files read
	project  *Pyproject        // of pyproject.toml
	config   *Pyproject        // of setup.cfg
	scripts  map[string]string // Python files that a hook names → their role
	backends []string          // directories of in-tree backends, "." for the top
	analysed []SetupPy
	command  bool
}

// Roles of the Python files that run in a build.
const (
	roleSetup   = "setup.py"
	roleBackend = "build backend"
	roleHook    = "build hook"
)

// collect is the first visit: the files whose names are fixed.
func (b *build) collect(name string, size int64, r io.Reader) error {
	if foreignBuild(name) {
		if b.foreign = append(b.foreign, clip(name)); len(b.foreign) > maxForeign {
			b.foreign = b.foreign[:maxForeign]
		}
		return nil
	}
	switch name {
	case "setup.py", "pyproject.toml", "setup.cfg":
		if size > maxBuildFile {
			return fmt.Errorf("read %q: %d bytes, want at most %d", name, size, maxBuildFile)
		}
		content, err := limitedRead(r, name)
		if err != nil {
			return err
		}
		b.files[name] = content
	}
	return nil
}

// foreignBuild reports whether a file describes a build in another language than
// Python. Makefiles below the top are mostly those of documentation.
func foreignBuild(name string) bool {
	switch path.Base(name) {
	case "CMakeLists.txt", "meson.build", "Cargo.toml", "build.rs", "build.zig", "binding.gyp", "SConstruct":
		return true
	case "configure", "configure.ac", "Makefile", "makefile":
		return !strings.Contains(name, "/")
	}
	return false
}

// maxForeign bounds the build descriptions that are named as not analysed.
const maxForeign = 20

// read understands the collected files: they say what else runs.
func (b *build) read() {
	b.scripts = map[string]string{}
	if data, ok := b.files["pyproject.toml"]; ok {
		p, scripts := buildSystem(b.key, data)
		b.project = &p
		b.backends = p.BackendPath
		for _, s := range scripts {
			b.scripts[path.Clean(s)] = roleHook
		}
	}
	if data, ok := b.files["setup.cfg"]; ok {
		p := setupConfig(b.key, data)
		b.config = &p
	}
	if _, ok := b.files["setup.py"]; ok {
		b.scripts["setup.py"] = roleSetup
	}
}

// wants reports whether a Python file of the source runs in the build; what is too
// large is said not to be examined.
func (b *build) wants(name string, size int64) bool {
	role := b.role(name)
	if role == "" {
		return false
	}
	if b.total += size; size > maxBuildFile || b.total > maxBuildBytes {
		b.c.notExamined("setupPyAnalysis of "+b.key, "%q has %d bytes, of %d read in all", clip(name), size, b.total)
		return false
	}
	return true
}

func (b *build) role(name string) string {
	if role := b.scripts[name]; role != "" {
		return role
	}
	for _, dir := range b.backends {
		dir = path.Clean(dir)
		switch {
		case dir == ".":
			// The whole source is on the path: of it, the module that is the backend.
			module, _, _ := strings.Cut(b.project.BuildBackend, ":")
			file := strings.ReplaceAll(module, ".", "/")
			if name == file+".py" || name == file+"/__init__.py" {
				return roleBackend
			}
		case strings.HasPrefix(name, dir+"/"):
			return roleBackend
		}
	}
	return ""
}

// hook analyses one Python file that runs in the build.
func (b *build) hook(name string, content []byte) {
	facts := readSource(content)
	if facts.cut || len(facts.obscured) > maxModuleFacts {
		b.c.notExamined("setupPyAnalysis of "+b.key, "%q has more calls or facts of a kind than are followed", clip(name))
	}
	role := b.role(name)
	b.command = b.command || role == roleSetup && facts.command
	b.analysed = append(b.analysed, setupFacts(b.key, name, role, facts))
}

// write puts what was found into the predicate.
func (b *build) write(p *Package) {
	_, has := b.files["setup.py"]
	out := &b.c.predicate
	slices.SortFunc(b.analysed, func(x, y SetupPy) int { return strings.Compare(x.Path, y.Path) })
	out.SetupPyAnalysis = append(out.SetupPyAnalysis, b.analysed...)
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(b.scripts)), b.backends) {
		name = path.Clean(name)
		if !slices.ContainsFunc(b.analysed, func(s SetupPy) bool { return s.Path == name || name == "." || within(name, s.Path) }) {
			b.c.notExamined("setupPyAnalysis of "+b.key, "%q runs in the build and is not among the files of the source", clip(name))
		}
	}
	for _, project := range []*Pyproject{b.project, b.config} {
		if project != nil {
			b.command = b.command || len(project.CmdClass) > 0
			out.PyprojectAnalysis = append(out.PyprojectAnalysis, *project)
		}
	}
	p.HasSetupPy, p.HasCmdClass = &has, &b.command
	if len(b.foreign) > 0 {
		slices.Sort(b.foreign)
		b.c.notExamined("build of "+b.key, "the build descriptions %q are not analysed (at most %d are named)", b.foreign, maxForeign)
	}
}

func setupFacts(key, name, role string, f sourceFacts) SetupPy {
	s := SetupPy{
		Path: name, Package: key, Role: role,
		SuspiciousCalls: lines(f.calls, isSuspiciousCall), NetworkImports: lines(f.imports, isNetworkModule),
		FileOperations: lines(f.files, nil), EncodedLines: lines(f.encoded, nil),
	}
	s.EncodedPayloads = len(s.EncodedLines) > 0
	for _, o := range f.obscured[:min(len(f.obscured), maxModuleFacts)] {
		s.Obfuscation = append(s.Obfuscation, fmt.Sprintf("line %d: %s: %s%s", o.line, o.kind, o.what, suffix(o)))
	}
	return s
}

// lines renders the observations that pass the filter as "line N: what".
func lines(list []observation, keep func(string) bool) []string {
	out := []string{}
	for _, o := range list {
		if keep == nil || keep(o.what) {
			out = append(out, fmt.Sprintf("line %d: %s%s", o.line, o.what, suffix(o)))
		}
	}
	return slices.Compact(out)
}

func suffix(o observation) string {
	switch {
	case o.deferred:
		return " (in a function)"
	case o.through != "":
		return " (in a function that runs at import: " + clip(o.through) + ")"
	}
	return ""
}

// buildSystem reads the [build-system] table (PEP 518 and 517), and what the
// tables of build backends say of code of the project's own: the files are in
// scripts.
func buildSystem(key string, data []byte) (p Pyproject, scripts []string) {
	p = Pyproject{Package: key, Path: "pyproject.toml", BuildRequires: []string{}}
	var doc struct {
		BuildSystem struct {
			Requires    []string `toml:"requires"`
			Backend     string   `toml:"build-backend"`
			BackendPath []string `toml:"backend-path"`
		} `toml:"build-system"`
		Tool struct {
			Setuptools struct {
				CmdClass map[string]string `toml:"cmdclass"`
			} `toml:"setuptools"`
			Hatch struct {
				Build struct {
					Hooks   map[string]hatchHook `toml:"hooks"`
					Targets map[string]struct {
						Hooks map[string]hatchHook `toml:"hooks"`
					} `toml:"targets"`
				} `toml:"build"`
			} `toml:"hatch"`
			Poetry struct {
				Build any `toml:"build"`
			} `toml:"poetry"`
			PDM struct {
				Build struct {
					RunSetuptools bool   `toml:"run-setuptools"`
					Setup         string `toml:"setup-script"`
				} `toml:"build"`
			} `toml:"pdm"`
		} `toml:"tool"`
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
		p.Error = clip(fmt.Sprintf("parse pyproject.toml: %v", err))
		return p, nil
	}
	p.BuildBackend, p.BackendPath = doc.BuildSystem.Backend, doc.BuildSystem.BackendPath
	p.BuildRequires = list(doc.BuildSystem.Requires)
	p.IsCustomBackend = len(p.BackendPath) > 0 || p.BuildBackend != "" && !knownBackend(p.BuildBackend)
	for _, name := range slices.Sorted(maps.Keys(doc.Tool.Setuptools.CmdClass)) {
		p.CmdClass = append(p.CmdClass, name+" = "+doc.Tool.Setuptools.CmdClass[name])
	}
	hooks := maps.Clone(doc.Tool.Hatch.Build.Hooks)
	if hooks == nil {
		hooks = map[string]hatchHook{}
	}
	for target, t := range doc.Tool.Hatch.Build.Targets {
		for name, h := range t.Hooks {
			hooks[target+"."+name] = h
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hooks)) {
		p.Hooks = append(p.Hooks, "hatch: "+name)
		if name == "custom" || strings.HasSuffix(name, ".custom") {
			file := hooks[name].Path
			if file == "" {
				file = "hatch_build.py" // hatchling's default
			}
			scripts = append(scripts, file)
		}
	}
	switch script := doc.Tool.Poetry.Build.(type) {
	case string:
		p.Hooks, scripts = append(p.Hooks, "poetry: "+script), append(scripts, script)
	case map[string]any:
		if file, ok := script["script"].(string); ok {
			p.Hooks, scripts = append(p.Hooks, "poetry: "+file), append(scripts, file)
		}
	}
	if file := doc.Tool.PDM.Build.Setup; file != "" {
		p.Hooks, scripts = append(p.Hooks, "pdm: "+file), append(scripts, file)
	}
	return p, scripts
}

// hatchHook is one hook of hatchling's.
type hatchHook struct {
	Path string `toml:"path"`
}

// setupConfig reads what setup.cfg says of the build: the commands that it
// replaces and what these need. It is an INI file whose values go on in indented
// lines.
func setupConfig(key string, data []byte) Pyproject {
	p := Pyproject{Package: key, Path: "setup.cfg", BuildRequires: []string{}}
	section, option := "", ""
	for line := range strings.Lines(strings.ToValidUTF8(string(data), "\uFFFD")) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[' && line[0] == '[':
			section, option = strings.Trim(text, "[]"), ""
			continue
		case line[0] != ' ' && line[0] != '\t':
			name, value, _ := strings.Cut(strings.Replace(text, ":", "=", 1), "=")
			option, text = strings.ReplaceAll(strings.TrimSpace(name), "-", "_"), strings.TrimSpace(value)
		}
		if section != "options" || text == "" || len(p.CmdClass)+len(p.BuildRequires) >= maxListed {
			continue
		}
		switch option {
		case "cmdclass":
			p.CmdClass = append(p.CmdClass, clip(text))
		case "setup_requires":
			p.BuildRequires = append(p.BuildRequires, clip(text))
		}
	}
	return p
}

// knownBackend reports whether a build backend is in wide use.
func knownBackend(name string) bool {
	switch module, _, _ := strings.Cut(name, ":"); module {
	case "setuptools.build_meta", "flit_core.buildapi", "flit.buildapi", "flit_scm", "hatchling.build", "hatchling.ouroboros", "pdm.backend",
		"pdm.pep517.api", "poetry.core.masonry.api", "poetry.masonry.api", "poetry_dynamic_versioning.backend", "maturin", "mesonpy",
		"scikit_build_core.build", "scikit_build_core.setuptools.build_meta", "uv_build", "sipbuild.api",
		"jupyter_packaging.build_api", "whey", "enscons.api", "py_build_cmake.build", "setuptools_rust", "trampolim", "expandvars":
		return true
	}
	return false
}
