package check

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/egress"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/pypi"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/walk"
)

// inputs are what the user asked for, and what the sandbox has to show for it.
type inputs struct {
	workDir   string
	arguments []pypi.Argument
	sets      []fileSet
	flags     interpreter.Flags // the user's, with those of requirement files
	local     []evidence.LocalFile
	binds     []sandbox.Bind
	overlays  []sandbox.Overlay
}

// fileSet is one -r or -c file with all it includes.
type fileSet struct {
	path       string
	constraint bool
	set        pypi.RequirementSet
}

// InputError is input that cannot be used; it ends with exit code 2.
type InputError struct {
	Err  error
	Hint string
}

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

func inputError(hint, format string, args ...any) error {
	return &InputError{Err: fmt.Errorf(format, args...), Hint: hint}
}

// readInputs classifies the requirements. It reads files, not the network.
func readInputs(r Request, python *interpreter.Interpreter) (*inputs, error) {
	in := &inputs{workDir: r.WorkDir, flags: r.Flags}
	for _, text := range r.Requirements {
		a, err := pypi.ClassifyArgument(text, r.WorkDir, false)
		if err != nil {
			return nil, err
		}
		in.arguments = append(in.arguments, a)
	}
	config := python.Config.With(interpreter.Flags{Requirements: r.RequirementFiles, Constraints: r.Flags.Constraints})
	for _, path := range config.Requirements {
		if err := in.read(path, r.WorkDir, false); err != nil {
			return nil, err
		}
	}
	for _, path := range config.Constraints {
		if err := in.read(path, r.WorkDir, true); err != nil {
			return nil, err
		}
	}
	if len(in.arguments) == 0 && !slices.ContainsFunc(in.sets, func(s fileSet) bool { return len(s.set.Requirements) > 0 }) {
		return nil, inputError("name a package, a wheel or an sdist, or give -r FILE", "nothing to check")
	}
	return in, in.supported(r)
}

func (in *inputs) read(path, dir string, constraint bool) error {
	set, err := pypi.ReadRequirements(path, dir, constraint, os.LookupEnv)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	in.sets = append(in.sets, fileSet{path: filepath.Clean(path), constraint: constraint, set: set})
	for _, o := range set.Options {
		in.option(o)
	}
	return nil
}

// option takes a line of a requirements file that is about indexes: they are
// the gateway's.
func (in *inputs) option(o pypi.OptionLine) {
	f := &in.flags
	switch o.Name {
	case "--index-url":
		f.IndexURL = o.Value
	case "--extra-index-url":
		f.ExtraIndexURLs = append(f.ExtraIndexURLs, o.Value)
	case "--find-links":
		f.FindLinks = append(f.FindLinks, o.Value)
	case "--trusted-host":
		f.TrustedHosts = append(f.TrustedHosts, o.Value)
	case "--no-index":
		f.NoIndex = true
	}
}

// all are the classified requirements of the command line and of files.
func (in *inputs) all() []pypi.Argument {
	all := slices.Clone(in.arguments)
	for _, s := range in.sets {
		if s.constraint {
			continue
		}
		for _, line := range s.set.Requirements {
			all = append(all, line.Argument)
		}
	}
	return all
}

// supported refuses what the sandbox has no way to fetch.
func (in *inputs) supported(r Request) error {
	for _, a := range in.named() {
		shown := evidence.RedactURL(a.Text)
		switch {
		case a.Kind == pypi.ArgumentVCS && (a.Checkout.VCS != "git" || !slices.Contains([]string{"https", "http", "file"}, a.Checkout.Scheme)):
			return inputError("use git+https, or build a wheel or an sdist of it and give its path",
				"requirement %q: only git over https, http or file can be reached from the sandbox", shown)
		case a.Kind == pypi.ArgumentVCS:
			if err := in.hasGit(a, r.Environ); err != nil {
				return err
			}
		}
		if a.Host != "" && r.Network == NetworkNone {
			return inputError("leave --network out", "requirement %q names a host and there is --network=%s", shown, NetworkNone)
		}
	}
	if len(r.AllowedHosts) > 0 && r.Network != NetworkIndex {
		return inputError("leave one of them out", "--allow-host is for --network=%s, and there is --network=%s", NetworkIndex, r.Network)
	}
	return nil
}

// hasGit looks for git where the installer inside will, and for the repository of
// a git+file requirement.
func (in *inputs) hasGit(a pypi.Argument, environ []string) error {
	found := false
	for _, kv := range environ {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range filepath.SplitList(path) {
				info, err := os.Stat(filepath.Join(dir, "git"))
				found = found || err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
			}
		}
	}
	if !found {
		return inputError("install git", "requirement %q: there is no git in PATH", evidence.RedactURL(a.Text))
	}
	if a.Checkout.Path == "" {
		return nil
	}
	for _, dir := range []string{a.Checkout.Path, filepath.Join(a.Checkout.Path, ".git")} {
		if info, err := os.Stat(filepath.Join(dir, "objects")); err == nil && info.IsDir() {
			return nil
		}
	}
	return inputError("give the directory of a repository, not of a further work tree or a submodule",
		"requirement %q: %q is no git repository", a.Text, a.Checkout.Path)
}

// named are the requirements that the installer reads: all, and constraints.
func (in *inputs) named() []pypi.Argument {
	all := slices.Clone(in.arguments)
	for _, s := range in.sets {
		for _, line := range slices.Concat(s.set.Requirements, s.set.Constraints) {
			all = append(all, line.Argument)
		}
	}
	return all
}

// secrets are the passwords, or lone user names, of requirements.
func (in *inputs) secrets() []string {
	var secrets []string
	for _, a := range in.named() {
		u, err := url.Parse(a.URL)
		if err != nil || u.User == nil || a.Checkout != nil && a.Checkout.Scheme == "ssh" {
			continue
		}
		if password, ok := u.User.Password(); ok && password != "" {
			secrets = append(secrets, password)
		} else {
			secrets = append(secrets, u.User.Username())
		}
	}
	return secrets
}

// hosts are those that the user allows: by name, and those of requirements.
func (in *inputs) hosts(allowed []egress.Host) ([]egress.Host, error) {
	hosts := slices.Clone(allowed)
	for _, a := range in.named() {
		raw := a.URL
		if a.Kind == pypi.ArgumentVCS {
			raw = a.Checkout.Repository
		}
		if a.Host == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil {
			return nil, inputError("check the URL", "requirement %q: not a URL", evidence.RedactURL(a.Text))
		}
		// Loopback inside is the sandbox's own: such a host is the gateway's to ask.
		if h, err := egress.HostOf(u); err == nil && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// place puts local inputs where the sandbox can show them: files by a read-only
// bind at their own path, requirement files as copies without index options,
// project directories below an overlay, because builds write into them.
func (in *inputs) place(w *world, gateway *egress.Gateway) error {
	for _, a := range in.named() {
		if a.Kind == pypi.ArgumentVCS {
			if err := in.addRepository(a.Checkout, gateway); err != nil {
				return err
			}
		}
	}
	for _, a := range in.all() {
		switch a.Kind {
		case pypi.ArgumentWheel, pypi.ArgumentSdist:
			if err := in.addFile(a.Path, string(a.Kind)); err != nil {
				return err
			}
			in.binds = append(in.binds, sandbox.Bind{Source: a.Path, Target: a.Path})
		case pypi.ArgumentDirectory:
			if err := in.addDirectory(w, a.Path); err != nil {
				return err
			}
		}
	}
	for _, s := range in.sets {
		for _, f := range s.set.Files {
			if err := in.placeFile(w, f, s.set, gateway); err != nil {
				return err
			}
		}
	}
	return nil
}

// addRepository gives git inside a way to the repository: its server through the
// gateway, or its directory by a read-only bind.
func (in *inputs) addRepository(c *pypi.Checkout, gateway *egress.Gateway) error {
	if c.Path == "" {
		return gateway.AddRepository(c.Repository)
	}
	if !slices.ContainsFunc(in.binds, func(b sandbox.Bind) bool { return b.Target == c.Path }) {
		in.binds = append(in.binds, sandbox.Bind{Source: c.Path, Target: c.Path})
	}
	return nil
}

// shown is a local path as evidence names it: relative to where the user stands,
// or the last element alone for what lies elsewhere.
func (in *inputs) shown(path string) string {
	relative, err := filepath.Rel(in.workDir, path)
	if err != nil || !filepath.IsLocal(relative) {
		return filepath.Base(path)
	}
	return relative
}

func (in *inputs) addFile(path, kind string) error {
	if slices.ContainsFunc(in.local, func(l evidence.LocalFile) bool { return l.SandboxPath == path }) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return inputError("check the path and its permissions", "read %s %q: %w", kind, path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read %s %q: %w", kind, path, err)
	}
	digests, err := walk.Digest(context.Background(), f, info.Size())
	if err != nil {
		return fmt.Errorf("read %s %q: %w", kind, path, err)
	}
	in.local = append(in.local, evidence.LocalFile{Path: in.shown(path), SandboxPath: path, Kind: kind, Digests: digests, Size: info.Size()})
	return nil
}

func (in *inputs) addDirectory(w *world, path string) error {
	name := strconv.Itoa(len(in.overlays))
	o := sandbox.Overlay{Lower: path, Upper: w.host(dirSource, name, "upper"), Work: w.host(dirSource, name, "work"), Target: path}
	for _, d := range []string{o.Upper, o.Work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("place project %q: %w", path, err)
		}
	}
	in.overlays = append(in.overlays, o)
	in.local = append(in.local, evidence.LocalFile{Path: in.shown(path), SandboxPath: path, Kind: "directory"})
	return nil
}

// placeFile shows a requirements file at its own path, without the lines about
// indexes and with the gateway's address for direct URLs.
func (in *inputs) placeFile(w *world, f pypi.SetFile, set pypi.RequirementSet, gateway *egress.Gateway) error {
	kind := "requirements"
	if f.Constraint {
		kind = "constraints"
	}
	if err := in.addFile(f.Path, kind); err != nil {
		return err
	}
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return inputError("check the path and its permissions", "read %s %q: %w", kind, f.Path, err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, o := range set.Options {
		if o.File == f.Path && isIndexOption(o.Name) && o.Line >= 1 && o.Line <= len(lines) {
			lines[o.Line-1] = []byte("\n")
		}
	}
	for _, l := range slices.Concat(set.Requirements, set.Constraints) {
		if l.File != f.Path || l.Argument.URL == "" || l.Line < 1 || l.Line > len(lines) {
			continue
		}
		inside, err := insideText(l.Argument, gateway)
		if err != nil {
			return err
		}
		replaceLine(lines, l, inside)
	}
	text = bytes.Join(lines, nil)
	copied := w.host(dirInputs, strconv.Itoa(len(in.binds)))
	if err := os.WriteFile(copied, text, 0o444); err != nil {
		return fmt.Errorf("place %s %q: %w", kind, f.Path, err)
	}
	in.binds = append(in.binds, sandbox.Bind{Source: copied, Target: f.Path})
	return nil
}

// replaceLine writes a requirement anew, with all its continuations: the line may
// have its credentials from variables, which do not exist inside.
func replaceLine(lines [][]byte, l pypi.RequirementLine, text string) {
	if l.Argument.Editable {
		text = "-e " + text
	}
	for _, h := range l.Hashes {
		text += " --hash=" + h
	}
	for _, o := range l.Options {
		text += " " + o
	}
	at := l.Line - 1
	for bytes.HasSuffix(bytes.TrimRight(lines[at], "\r\n"), []byte(`\`)) && at+1 < len(lines) {
		lines[at] = []byte("\n")
		at++
	}
	lines[at] = []byte("\n")
	lines[l.Line-1] = []byte(text + "\n")
}

// insideText is a requirement as the installer inside gets it.
func insideText(a pypi.Argument, gateway *egress.Gateway) (string, error) {
	switch a.Kind {
	case pypi.ArgumentURL:
		inside, err := gateway.Register(a.URL)
		return strings.Replace(a.Text, a.URL, inside, 1), err
	case pypi.ArgumentVCS:
		return strings.Replace(a.Text, a.URL, a.Checkout.Requirement, 1), nil
	}
	return a.Text, nil
}

func isIndexOption(name string) bool {
	switch name {
	case "--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--no-index":
		return true
	}
	return false
}

// installArguments are the requirements as the installer inside gets them.
func (in *inputs) installArguments(gateway *egress.Gateway) ([]string, error) {
	var args []string
	for _, s := range in.sets {
		option := "--requirement"
		if s.constraint {
			option = "--constraint"
		}
		args = append(args, option, s.path)
	}
	for _, a := range in.arguments {
		switch a.Kind {
		case pypi.ArgumentWheel, pypi.ArgumentSdist, pypi.ArgumentDirectory:
			args = append(args, withExtras(a))
		default:
			text, err := insideText(a, gateway)
			if err != nil {
				return nil, err
			}
			args = append(args, text)
		}
	}
	return args, nil
}

func withExtras(a pypi.Argument) string {
	if len(a.Extras) == 0 {
		return a.Path
	}
	text := a.Path + "["
	for i, e := range a.Extras {
		if i > 0 {
			text += ","
		}
		text += e
	}
	return text + "]"
}
