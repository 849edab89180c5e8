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
)

// tempDir is the temporary directory inside.
const tempDir = "/tmp"

// world is the throw-away directory of one run and the map of paths inside the
// sandbox to it.
type world struct {
	dir    string // on the host
	home   string // inside: the user's own home directory
	prefix string // inside: the environment
	work   string // inside: where commands start
	python *interpreter.Interpreter
	sites  []string
	decoys []evidence.Decoy
	owner  *os.File // holds the lock on dir
}

func newWorld(python *interpreter.Interpreter) (*world, error) {
	home := python.Home
	if home == "" || home == "/" {
		home = "/home/user"
	}
	dir, err := os.MkdirTemp("", runPrefix)
	if err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	owner, err := ownDirectory(dir)
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, home: home, prefix: home + "/venv", work: home + "/project", python: python, owner: owner}
	w.sites = python.EnvironmentSites(w.prefix)
	for _, d := range []string{
		dirRoot, dirHome, dirHome + "/project", dirInputs, dirSource,
		dirImport + "/root", dirImport + "/upper", dirImport + "/work",
	} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make the run's directory: %w", err), w.remove())
		}
	}
	for _, d := range []string{dirTemp, dirImport + "/tmp"} {
		name := filepath.Join(dir, d)
		if err := errors.Join(os.Mkdir(name, 0o755), os.Chmod(name, 0o777|fs.ModeSticky)); err != nil {
			return nil, errors.Join(fmt.Errorf("make the run's directory: %w", err), w.remove())
		}
	}
	return w, nil
}

// host is a path below the run's directory.
func (w *world) host(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

// remove deletes the run's directory, whatever a package made of it.
func (w *world) remove() error {
	return errors.Join(removeTree(w.dir), w.owner.Close())
}

// layout is where the attestors of the install step find files.
func (w *world) layout() attest.Layout {
	return attest.Layout{
		Prefix: w.prefix, Home: w.home, SitePackages: w.sites,
		Mounts: []attest.Mount{{Inside: w.home, Outside: w.host(dirHome)}, {Inside: tempDir, Outside: w.host(dirTemp)}},
	}
}

// changes is where a walk finds what the import step changed.
func (w *world) changes() attest.Layout {
	l := w.layout()
	l.Mounts = []attest.Mount{{Inside: w.home, Outside: w.host(dirImport, "upper")}, {Inside: tempDir, Outside: w.host(dirImport, "tmp")}}
	return l
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

// interpreterBinds show the trusted interpreter where an empty directory would
// hide it.
func (w *world) interpreterBinds() []sandbox.Bind {
	var binds []sandbox.Bind
	hidden := append(w.hidden(), "/tmp", "/run", "/home", "/root")
	for _, p := range w.python.ReadPaths {
		if slices.ContainsFunc(hidden, func(dir string) bool { return within(p, dir) }) {
			binds = append(binds, sandbox.Bind{Source: p, Target: p})
		}
	}
	return binds
}

// within tells whether the absolute path p is dir or below it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// sandboxFacts are the world's part of the coverage.
func (w *world) sandboxFacts(network, gateway string, missing []string, binds []sandbox.Bind) evidence.Sandbox {
	s := evidence.Sandbox{
		Kind: "namespaces", Namespaces: []string{"ipc", "mount", "network", "pid", "user", "uts"},
		Network: network, Home: w.home, Prefix: w.prefix, TempDir: tempDir, WorkDir: w.work,
		SitePackages: w.sites, BasePrefixes: w.basePrefixes(), Gateway: gateway,
		Writable: []string{w.home, tempDir, "/dev/shm"}, Missing: missing, Decoys: w.decoys,
	}
	if network == NetworkHost {
		s.Namespaces = slices.DeleteFunc(s.Namespaces, func(n string) bool { return n == "network" })
	} else {
		s.Resolver = nameServer
	}
	s.ReadOnly = append(s.ReadOnly, "/")
	for _, b := range binds {
		if !b.Writable {
			s.ReadOnly = append(s.ReadOnly, b.Target)
		}
	}
	return s
}

// basePrefixes are the directories that hold the trusted interpreter and its pip.
func (w *world) basePrefixes() []string {
	var prefixes []string
	for _, p := range append([]string{w.python.Prefix, filepath.Dir(w.python.Real), w.python.PipPackage}, w.python.ReadPaths...) {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() || slices.Contains(w.python.CertPaths, p) {
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
}

// environment is the environment of every command inside.
func (w *world) environment(user []string) []string {
	env := []string{"HOME=" + w.home, "TMPDIR=" + tempDir}
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
