// Package interpreter asks the user's own Python, once and before anything
// untrusted runs, what it is and what its pip is configured to do.
//
// The question is a short script in isolated mode (-I), which leaves out the
// current directory, PYTHON* variables and the user's site directory but keeps
// pip's configuration: pip reads PIP_* and its files itself. Only when pip
// cannot be found or is too old there, the question is put again without -I, as
// pip may live in the user's site directory. Nothing is installed or changed.
package interpreter

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pip-witness/evidence"
)

// DefaultPython is the interpreter that is asked when the user names none.
const DefaultPython = "python3"

// Limits on the question.
const (
	probeTimeout   = 60 * time.Second // pip's imports on a cold, loaded machine take seconds
	maxProbeOutput = 4 << 20          // 4 MiB of standard output
	maxProbeError  = 64 << 10         // 64 KiB of standard error
	maxExecutable  = 512 << 20        // 512 MiB: an interpreter is a few MiB, rarely 100
)

// Interpreter is the user's Python with everything that the sandbox, the
// installer and the index gateway need to know of it.
type Interpreter struct {
	// Interpreter is what goes into the evidence. SitePackages is empty: it
	// belongs to an environment, see [Interpreter.EnvironmentSites].
	evidence.Interpreter
	// Real is the file behind Executable, all symlinks resolved. They differ
	// for the interpreter of a virtual environment.
	Real string
	// Environment is the virtual environment that Executable belongs to; empty
	// when it belongs to none.
	Environment string
	// Home is the home directory that the password database names; empty when
	// it has no entry for this user.
	Home string
	// ReadPaths are the absolute paths (directories and single files) that must
	// be readable for Executable and its pip to run: prefixes, standard library,
	// symlinks on the way, certificates, pip itself. Sorted, existing, none
	// below another one.
	ReadPaths []string
	// CertPaths are OpenSSL's default certificate file and directory.
	CertPaths []string
	// PipPackage is the directory of the pip package.
	PipPackage string
	// PipBundle is the certificate bundle that comes with pip; empty when a
	// distribution took it out.
	PipBundle string
	// PipIsolated is true when pip is found in isolated mode. When it is false,
	// `python -I -m pip` does not work; see [Interpreter.PipCommand].
	PipIsolated bool
	// Config is what pip is configured to do.
	Config Config

	sites []string // site directories relative to the prefix of an environment
}

// PipCommand is the command that runs the user's pip in isolated mode.
func (i *Interpreter) PipCommand() []string {
	if i.PipIsolated {
		return []string{i.Executable, "-I", "-m", "pip"}
	}
	return []string{i.Executable, "-I", i.PipPackage}
}

// EnvironmentSites are the site directories that a virtual environment at
// prefix, made by this interpreter, has; one or two absolute paths.
func (i *Interpreter) EnvironmentSites(prefix string) []string {
	sites := make([]string, len(i.sites))
	for n, s := range i.sites {
		sites[n] = filepath.Join(prefix, s)
	}
	return sites
}

//go:embed probe.py
var probe string

// Discover asks the interpreter named by python, a path or a name looked up in
// PATH; an empty name means [DefaultPython]. It runs in the caller's directory
// and environment. Errors are of type [*Error]; match their cause with
// [ErrNoPython], [ErrPythonTooOld], [ErrNoVenv], [ErrNoPip], [ErrPipTooOld],
// [ErrConfiguration] or [ErrNoAnswer].
func Discover(ctx context.Context, python string) (*Interpreter, error) {
	return discover(ctx, python, os.Environ())
}

func discover(ctx context.Context, python string, environ []string) (*Interpreter, error) {
	if python == "" {
		python = DefaultPython
	}
	path, err := locate(python)
	if err != nil {
		return nil, noPython(python, err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()

	a, err := ask(ctx, python, path, []string{"-I", "-B"}, environ)
	var usage *usageError
	if errors.As(err, &usage) { // Python 2 knows no -I
		a, err = ask(ctx, python, path, []string{"-B"}, environ)
	}
	if err != nil {
		return nil, err
	}
	if err := checkPython(python, a); err != nil {
		return nil, err
	}
	isolated, pipErr := true, checkPip(python, a)
	if pipErr != nil {
		b, err := ask(ctx, python, path, []string{"-B"}, environ)
		if err != nil {
			return nil, err
		}
		if checkPip(python, b) != nil {
			return nil, pipErr
		}
		a, isolated = b, false
	}
	config, err := effectiveConfig(ctx, python, a, isolated, environ)
	if err != nil {
		return nil, err
	}
	return a.interpreter(config, isolated)
}

// locate returns the absolute path of the program that python names.
func locate(python string) (string, error) {
	path, err := exec.LookPath(python)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// interpreter turns the answer into what callers see.
func (a *answer) interpreter(config Config, isolated bool) (*Interpreter, error) {
	digest, err := digestFile(a.Real)
	if err != nil {
		return nil, err
	}
	paths := slices.Concat(a.Paths, a.Certificates, a.Pip.Paths, []string{a.Pip.Bundle, config.Cert})
	return &Interpreter{
		Interpreter: evidence.Interpreter{
			Executable: a.Executable,
			Prefix:     a.Prefix,
			Version:    a.Version,
			Implement:  a.Implementation,
			PipVersion: a.Pip.Version,
			Digest:     evidence.DigestSet{"sha256": digest},
			Platform:   a.Platform,
			MarkerEnv:  a.Markers,
		},
		Real:        a.Real,
		Environment: a.Environment,
		Home:        a.Home,
		ReadPaths:   outermost(paths),
		CertPaths:   outermost(a.Certificates),
		PipPackage:  a.Pip.Package,
		PipBundle:   a.Pip.Bundle,
		PipIsolated: isolated,
		Config:      config,
		sites:       a.Sites,
	}, nil
}

// digestFile returns the SHA-256 of a file as lower-case hex.
func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest interpreter %q: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxExecutable+1))
	if err != nil {
		return "", fmt.Errorf("digest interpreter %q: %w", path, err)
	}
	if n > maxExecutable {
		return "", fmt.Errorf("digest interpreter %q: larger than %d bytes", path, int64(maxExecutable))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// outermost returns the existing absolute paths, sorted, without those that lie
// below another one. The root directory is left out: it would name everything.
func outermost(paths []string) []string {
	var clean []string
	for _, p := range paths {
		p = filepath.Clean(p)
		if !filepath.IsAbs(p) || p == "/" {
			continue
		}
		if _, err := os.Lstat(p); err == nil {
			clean = append(clean, p)
		}
	}
	slices.Sort(clean)
	clean = slices.Compact(clean)
	return slices.DeleteFunc(clean, func(p string) bool {
		for dir := filepath.Dir(p); dir != "/"; dir = filepath.Dir(dir) {
			if _, found := slices.BinarySearch(clean, dir); found {
				return true
			}
		}
		return false
	})
}

// versionNumber returns the leading numbers of a version: "23.0.1" is 23, 0, 1
// and "24.1b2" is 24, 1.
func versionNumber(version string) []int {
	var numbers []int
	for _, part := range strings.Split(version, ".") {
		end := 0
		for end < len(part) && part[end] >= '0' && part[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			break
		}
		numbers = append(numbers, n)
		if end < len(part) {
			break
		}
	}
	return numbers
}

// olderThan says whether version comes before the release major.minor.
func olderThan(version string, major, minor int) bool {
	return slices.Compare(versionNumber(version), []int{major, minor}) < 0
}
