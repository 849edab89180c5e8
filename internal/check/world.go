package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
)

// Directories of a run on the host, below its own temporary directory.
const (
	dirRoot   = "root"   // mount point of the root file system
	dirHome   = "home"   // HOME of the install step
	dirTemp   = "tmp"    // /tmp of the install step
	dirImport = "import" // upper, work, root and tmp of the import step
	dirInputs = "inputs" // requirement files as the installer sees them
	dirSource = "source" // upper and work directories of local project directories
	dirLayers = "layers" // what either step changes elsewhere
)

// tempDir is the temporary directory inside.
const tempDir = "/tmp"

// reportFile is where pip writes its report, in the temporary directory.
const reportFile = "pip-report.json"

// world is the throw-away directory of one run and the map of paths inside the
// sandbox to it. Without a sandbox paths inside are those outside.
type world struct {
	dir    string // on the host
	box    bool   // there is a sandbox
	temp   string // inside: the temporary directory
	home   string // inside: the user's own home directory
	prefix string // inside: the environment
	work   string // inside: where commands start
	python *interpreter.Interpreter
	sites  []string
	decoys []evidence.Decoy
	owner  *os.File // holds the lock on dir
}

func newWorld(python *interpreter.Interpreter, box bool) (*world, error) {
	home := python.Home
	if home == "" || home == "/" {
		home = "/home/user"
	}
	w := &world{box: box, temp: tempDir, home: home, python: python}
	if err := w.make(); err != nil {
		return nil, err
	}
	if !box {
		w.home, w.temp = w.host(dirHome), w.host(dirTemp)
	}
	w.prefix, w.work = w.home+"/venv", w.home+"/project"
	w.sites = python.EnvironmentSites(w.prefix)
	return w, nil
}

// make makes the run's directory.
func (w *world) make() (err error) {
	if w.dir, err = os.MkdirTemp("", runPrefix); err != nil {
		return fmt.Errorf("make the run's directory: %w", err)
	}
	if w.dir, err = filepath.EvalSymlinks(w.dir); err != nil {
		return fmt.Errorf("make the run's directory: %w", err)
	}
	if w.owner, err = ownDirectory(w.dir); err != nil {
		return err
	}
	for _, d := range []string{
		dirRoot, dirHome, dirHome + "/project", dirInputs, dirSource,
		dirImport + "/root", dirImport + "/upper", dirImport + "/work", dirLayers + "/" + StepInstall, dirLayers + "/" + StepImport,
	} {
		if err := os.MkdirAll(w.host(d), 0o755); err != nil {
			return errors.Join(fmt.Errorf("make the run's directory: %w", err), w.remove())
		}
	}
	for _, d := range []string{dirTemp, dirImport + "/tmp"} {
		name := w.host(d)
		if err := errors.Join(os.Mkdir(name, 0o755), os.Chmod(name, 0o777|fs.ModeSticky)); err != nil {
			return errors.Join(fmt.Errorf("make the run's directory: %w", err), w.remove())
		}
	}
	return nil
}

// host is a path below the run's directory.
func (w *world) host(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

// remove deletes the run's directory, whatever a package made of it.
func (w *world) remove() error {
	return errors.Join(sandbox.RemoveAll(w.dir), w.owner.Close())
}

// layout is where the attestors of the install step find files.
func (w *world) layout() attest.Layout {
	return attest.Layout{
		Prefix: w.prefix, Home: w.home, SitePackages: w.sites,
		Mounts: []attest.Mount{{Inside: w.home, Outside: w.host(dirHome)}, {Inside: w.temp, Outside: w.host(dirTemp)}},
	}
}

// changes is where a walk finds what the import step changed.
func (w *world) changes() attest.Layout {
	l := w.layout()
	l.Mounts = []attest.Mount{{Inside: w.home, Outside: w.host(dirImport, "upper")}, {Inside: w.temp, Outside: w.host(dirImport, "tmp")}}
	return l
}

// layers asks for a throw-away layer over everything for one step, on top of what
// an earlier one left.
func (w *world) layers(step string, below []sandbox.Layer) *sandbox.Layers {
	return &sandbox.Layers{Directory: w.host(dirLayers, step), Below: below}
}

// hidden are the host's directories that are empty inside.
func (w *world) hidden() []string {
	h := []string{w.home}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		h = append(h, filepath.Clean(home))
	}
	h = append(h, filepath.Dir(w.dir)) // the temporary directory of the user
	return slices.DeleteFunc(h, func(p string) bool { return p == "/" })
}

// interpreterBinds show the trusted interpreter read-only: where an empty directory
// would hide it, all that it needs; elsewhere what is its own.
func (w *world) interpreterBinds() []sandbox.Bind {
	var binds []sandbox.Bind
	hidden := append(w.hidden(), "/tmp", "/run", "/home", "/root")
	covered := func(p string) bool {
		return slices.ContainsFunc(hidden, func(dir string) bool { return within(p, dir) })
	}
	for _, p := range w.python.ReadPaths {
		if covered(p) {
			binds = append(binds, sandbox.Bind{Source: p, Target: p})
		}
	}
	for _, p := range w.own() {
		if !covered(p) {
			binds = append(binds, sandbox.Bind{Source: p, Target: p})
		}
	}
	return binds
}

// own are the existing paths that belong to the trusted interpreter alone. A prefix
// that the whole system shares is not one of them: a package may well try to write
// /usr/lib, and then it has to be seen what.
func (w *world) own() []string {
	release := strings.Split(w.python.Version, ".")
	var paths []string
	for _, p := range append(w.basePrefixes(), w.python.Real) {
		if !slices.Contains(sharedPrefixes[:], p) {
			paths = append(paths, p)
			continue
		}
		for _, lib := range []string{"lib", "lib64"} {
			for n := 1; n <= min(len(release), 2); n++ {
				paths = append(paths, filepath.Join(p, lib, "python"+strings.Join(release[:n], ".")))
			}
		}
	}
	slices.Sort(paths)
	var own []string
	for _, p := range slices.Compact(paths) {
		if _, err := os.Stat(p); err == nil && !slices.ContainsFunc(own, func(dir string) bool { return within(p, dir) }) {
			own = append(own, p)
		}
	}
	return own
}

// sharedPrefixes are directories of the file system hierarchy that an interpreter
// of the system is installed into.
var sharedPrefixes = [...]string{
	"/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/bin", "/lib", "/lib64",
}

// toolchains are the directories of Rust's tools, by the variable that names them
// and their usual place below the user's home (rustup's documentation).
var toolchains = [...][2]string{{"CARGO_HOME", ".cargo"}, {"RUSTUP_HOME", ".rustup"}}

// toolchainBinds show the user's Rust tools read-only, without cargo's tokens.
func (w *world) toolchainBinds(user []string) ([]sandbox.Bind, error) {
	var binds []sandbox.Bind
	for _, t := range toolchains {
		dir := filepath.Join(w.python.Home, t[1])
		if value, ok := lookUp(user, t[0]); ok && filepath.IsAbs(value) {
			dir = filepath.Clean(value)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || within(w.dir, dir) || dir == "/" {
			continue
		}
		binds = append(binds, sandbox.Bind{Source: dir, Target: dir})
		for _, name := range []string{"credentials", "credentials.toml"} {
			file := filepath.Join(dir, name)
			if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
				continue
			}
			cover, err := w.cover(file)
			if err != nil {
				return nil, err
			}
			binds = append(binds, cover)
		}
	}
	return binds, nil
}

// cover is an empty file in place of one of the host.
func (w *world) cover(file string) (sandbox.Bind, error) {
	empty := w.host(dirInputs, "empty")
	if err := os.WriteFile(empty, nil, 0o444); err != nil && !errors.Is(err, fs.ErrPermission) {
		return sandbox.Bind{}, fmt.Errorf("hide %q: %w", file, err)
	}
	return sandbox.Bind{Source: empty, Target: file}, nil
}

// privateBinds cover files of the host that nothing inside may read, the key above
// all. What lies in an empty directory is not there anyway, except below shown, a
// directory that is.
func (w *world) privateBinds(files []string, shown string) ([]sandbox.Bind, error) {
	hidden := append(w.hidden(), "/tmp", "/run", "/home", "/root")
	var binds []sandbox.Bind
	for _, f := range files {
		file, err := filepath.EvalSymlinks(f)
		if err != nil {
			return nil, fmt.Errorf("hide %q: %w", f, err)
		}
		covered := func(dir string) bool { return within(file, dir) }
		if slices.ContainsFunc(hidden, covered) && (shown == "" || !covered(shown)) {
			continue
		}
		cover, err := w.cover(file)
		if err != nil {
			return nil, err
		}
		binds = append(binds, cover)
	}
	return binds, nil
}

func lookUp(environ []string, name string) (string, bool) {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// within tells whether the absolute path p is dir or below it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// sandboxFacts complete the coverage of a step, which has the namespaces already, by
// the world's part.
func (w *world) sandboxFacts(s evidence.Sandbox, network, gateway string, binds []sandbox.Bind, layers []sandbox.Layer) evidence.Sandbox {
	s.Kind, s.Network, s.Gateway, s.Decoys = "namespaces", network, gateway, w.decoys
	s.Home, s.Prefix, s.TempDir, s.WorkDir = w.home, w.prefix, w.temp, w.work
	s.SitePackages, s.BasePrefixes = w.sites, w.basePrefixes()
	if !w.box {
		s.Kind, s.Network, s.Missing = "none", "host", []string{"any confinement"}
		return s
	}
	if network != NetworkHost {
		s.Resolver = nameServer
	}
	s.Writable = []string{w.home, w.temp, "/dev/shm"}
	s.ReadOnly = append(s.ReadOnly, "/")
	for _, b := range binds {
		if !b.Writable {
			s.ReadOnly = append(s.ReadOnly, b.Target)
		}
	}
	layerFacts(&s, layers)
	return s
}

// basePrefixes are the directories that hold the trusted interpreter and its pip.
func (w *world) basePrefixes() []string {
	var prefixes []string
	for _, p := range append([]string{w.python.Prefix, filepath.Dir(w.python.Real), w.python.PipPackage}, w.python.ReadPaths...) {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() || !filepath.IsAbs(p) || slices.Contains(w.python.CertPaths, p) {
			continue
		}
		if !slices.ContainsFunc(prefixes, func(dir string) bool { return within(p, dir) }) {
			prefixes = append(prefixes, p)
		}
	}
	slices.Sort(prefixes)
	return prefixes
}

// passedVariables of the user's environment reach the command: what decides how
// things are built, and nothing that holds a secret.
var passedVariables = [...]string{
	"PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "SOURCE_DATE_EPOCH", "CC", "CXX", "CFLAGS", "CXXFLAGS",
	"CPPFLAGS", "LDFLAGS", "AR", "MAKEFLAGS", "ARCHFLAGS", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "RUSTFLAGS",
	"CARGO_HOME", "RUSTUP_HOME",
}

// environment is the environment of every command inside.
func (w *world) environment(user []string) []string {
	env := []string{"HOME=" + w.home, "TMPDIR=" + w.temp}
	name := userName(user)
	env = append(env, "USER="+name, "LOGNAME="+name)
	for _, kv := range user {
		if name, _, ok := strings.Cut(kv, "="); ok && slices.Contains(passedVariables[:], name) {
			env = append(env, kv)
		}
	}
	return env
}

func userName(env []string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "USER="); ok && value != "" {
			return value
		}
	}
	if os.Getuid() == 0 {
		return "root"
	}
	return "user" + strconv.Itoa(os.Getuid())
}

// ciVariables are what a continuous integration runner sets; code that acts only
// there shows itself with them. No value is a secret of anybody.
func ciVariables() []string {
	return []string{
		"CI=true", "GITHUB_ACTIONS=true", "GITHUB_WORKFLOW=build", "GITHUB_RUN_ID=1", "GITHUB_REPOSITORY=example/example",
		"GITHUB_REF=refs/heads/main", "GITHUB_SHA=0000000000000000000000000000000000000000", "GITHUB_ACTOR=example",
		"RUNNER_OS=Linux", "RUNNER_ARCH=X64", "RUNNER_NAME=runner",
	}
}
