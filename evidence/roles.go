package evidence

import (
	"path"
	"slices"
	"strings"
)

// StepKind is what a step does with the environment; it decides which roles
// its processes can have.
type StepKind string

// Kinds of steps.
const (
	StepInstall StepKind = "install" // the installer, started by us
	StepImport  StepKind = "import"  // the harness that imports what was installed
	StepCommand StepKind = "command" // any other command that the user asked to witness
)

// pip's own files with which pip starts itself again, as path suffixes (pip 22.3
// to 26). Package code cannot choose them for a process of pip: the file must lie
// where the run cannot write and the parent must be pip.
const (
	pipRunner = "/pip/__pip-runner__.py" // for --python and for build requirements
	pipMain   = "/pip/__main__.py"       // by directory
)

// AssignRoles sets the Role of every process of cmd from its ancestry and from
// the images that it ran, and touches nothing else. Names decide nothing: a
// process is pip because we started it, or because pip started the trusted
// interpreter on a file of pip that the run cannot write. A process keeps the
// least trusted role of all images it ran, so that a build backend that ends as
// pip stays a build backend. A process whose parent was not seen is package
// code. Processes must be in order of first sight.
func AssignRoles(cmd *CommandRun, kind StepKind) {
	if len(cmd.Processes) == 0 {
		return
	}
	root := &cmd.Processes[0]
	ground := newGround(cmd.Coverage.Sandbox, root)
	// Numbers are used again after an exit: the parent is the latest earlier
	// process with that number.
	latest := make(map[int]int, len(cmd.Processes))
	for i := range cmd.Processes {
		p := &cmd.Processes[i]
		var parent *Process
		if at, ok := latest[p.ParentPID]; ok && p.ParentPID != 0 {
			parent = &cmd.Processes[at]
		}
		latest[p.ProcessID] = i
		switch kind {
		case StepInstall:
			p.Role = installRole(p, parent, ground)
		case StepImport:
			p.Role = importRole(p, parent, ground, root)
		default:
			p.Role = RoleCommand
		}
	}
}

// RoleNow is the role that AssignRoles would give to the last process of a lineage,
// which has its ancestors before it, if the run ended at this moment. The role can
// only get less trusted later. An empty lineage is package code.
func RoleNow(lineage []Process, s Sandbox, kind StepKind) Role {
	if len(lineage) == 0 {
		return RolePackageCode
	}
	cmd := CommandRun{Processes: slices.Clone(lineage), Coverage: Coverage{Sandbox: s}}
	AssignRoles(&cmd, kind)
	return cmd.Processes[len(lineage)-1].Role
}

// image is one program that a process ran, with its arguments.
type image struct {
	program string
	args    []string
}

// images returns the images that p ran, in order; none when p was forked and
// ran on as its parent.
func (p *Process) images() []image {
	var ran []image
	for _, e := range p.Execs {
		if e.Errno == "" {
			ran = append(ran, image{e.Program, e.Argv})
		}
	}
	if len(ran) == 0 && len(p.Execs) == 0 && p.ParentPID == 0 {
		ran = append(ran, image{p.Program, p.Args})
	}
	return ran
}

func installRole(p, parent *Process, ground ground) Role {
	ran := p.images()
	if parent == nil {
		if p.ParentPID != 0 || len(ran) == 0 {
			return RolePackageCode
		}
		last := ran[len(ran)-1]
		if last.program == ground.interpreter && module(last.args) == "pip" {
			return RoleInstaller
		}
		return RolePackageCode
	}
	if parent.Role != RoleInstaller {
		return parent.Role
	}
	role := RoleInstaller
	for _, im := range ran {
		switch {
		case im.program != ground.interpreter:
			// git, uname, rustc and what they start; not a git hook in /tmp.
			if ground.writable(im.program) {
				role = RolePackageCode
			}
		case ground.fixed(script(im.args), pipRunner, pipMain):
		default:
			// The hook runner loads the backend into itself, -c is how pip runs
			// setup.py: from here on everything is under the package's control.
			return RoleBuildChild
		}
	}
	return role
}

func importRole(p, parent *Process, ground ground, root *Process) Role {
	ran := p.images()
	if len(ran) == 0 {
		return RolePackageCode // forked without exec: package code called fork
	}
	last := ran[len(ran)-1]
	if p.ParentPID == 0 && ground.environment(last) {
		return RoleImportHarness
	}
	// A driver starts the interpreters one by one: the same image on the same
	// script, nothing else. Being one exempts a process from nothing but being
	// reported as a new process.
	driven := parent == root && parent.Role == RoleImportHarness && len(ran) == 1 &&
		ground.environment(last) && last.program == root.Program &&
		script(last.args) != "" && script(last.args) == script(root.Args)
	if driven {
		return RoleImportHarness
	}
	return RolePackageCode
}

// ground is what the run could write and what it could not.
type ground struct {
	soft []string // throw-away directories
	hard []string // directories inside them that are read-only or the interpreter's own
	base []string // the trusted interpreter's prefixes
	env  string   // the environment's prefix
	// interpreter is the trusted interpreter: the first program of the run, where
	// it lies in one of the base prefixes; else "".
	interpreter string
}

func newGround(s Sandbox, root *Process) ground {
	g := ground{base: clean(s.BasePrefixes), env: path.Clean(s.Prefix)}
	g.soft = clean(append([]string{s.Home, s.Prefix, s.TempDir, s.WorkDir, "/tmp", "/var/tmp", "/dev/shm"}, s.Writable...))
	g.hard = clean(append(slices.Clone(s.BasePrefixes), s.ReadOnly...))
	if ran := root.images(); len(ran) > 0 {
		if program := ran[len(ran)-1].program; deepest(path.Clean(program), g.base) > 0 {
			g.interpreter = program
		}
	}
	return g
}

// clean returns the absolute directories among dirs, cleaned.
func clean(dirs []string) []string {
	var kept []string
	for _, d := range dirs {
		if strings.HasPrefix(d, "/") {
			kept = append(kept, path.Clean(d))
		}
	}
	return kept
}

// writable reports whether code of the run could have written p: the deepest
// directory that is known to be throw-away or read-only decides. A path that
// is not absolute is writable.
func (g ground) writable(p string) bool {
	if !strings.HasPrefix(p, "/") {
		return true
	}
	p = path.Clean(p)
	return deepest(p, g.soft) > deepest(p, g.hard)
}

// environment reports whether im is the environment's interpreter: a link to
// the trusted one, or a copy in the environment's bin directory.
func (g ground) environment(im image) bool {
	return im.program != "" && im.program == g.interpreter || path.Dir(path.Clean(im.program)) == path.Join(g.env, "bin")
}

// fixed reports whether p is a file that the run cannot write and that ends
// with one of the suffixes.
func (g ground) fixed(p string, suffixes ...string) bool {
	if p == "" || g.writable(p) {
		return false
	}
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(path.Clean(p), s) })
}

// deepest returns the length of the longest directory of dirs that is p or
// above it, 0 when there is none.
func deepest(p string, dirs []string) int {
	longest := 0
	for _, d := range dirs {
		if len(d) > longest && under(p, d) {
			longest = len(d)
		}
	}
	return longest
}

// under reports whether the clean path p is dir or lies below it.
func under(p, dir string) bool {
	return dir == "/" || p == dir || len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// module returns the module that an interpreter was started on with -m, else "".
func module(args []string) string {
	kind, name := entryPoint(args)
	if kind != "-m" {
		return ""
	}
	return name
}

// script returns the file that an interpreter was started on, else "".
func script(args []string) string {
	kind, name := entryPoint(args)
	if kind != "" {
		return ""
	}
	return name
}

// entryPoint returns what an interpreter with the argument vector args runs:
// ("-m", module), ("-c", code) or ("", file). Options are those of Python 3
// (python(1)); single letters may be joined, and -c, -m, -W and -X may have
// their value in the same argument.
func entryPoint(args []string) (kind, name string) {
	next := func(i int) string {
		if i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--check-hash-based-pycs":
			i++
			continue
		case strings.HasPrefix(a, "--") || a == "-":
			return "", ""
		case !strings.HasPrefix(a, "-"):
			return "", a
		}
		at := strings.IndexAny(a[1:], "cmWX")
		if at < 0 {
			continue
		}
		letter, value := a[1+at], a[2+at:]
		switch {
		case (letter == 'c' || letter == 'm') && value != "":
			return "-" + string(letter), value
		case letter == 'c' || letter == 'm':
			return "-" + string(letter), next(i)
		case value == "":
			i++
		}
	}
	return "", ""
}
