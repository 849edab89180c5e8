package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// judged is what this program reads of what check prints.
type judged struct {
	Verdict  string    `json:"verdict"`
	Findings []finding `json:"findings"`
	Problems []string  `json:"problems"`
	Packages []struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"packages"`
}

// finding is one finding of a check.
type finding struct {
	Severity  string `json:"severity"`
	Rule      string `json:"rule"`
	Module    string `json:"module"`
	Step      string `json:"step"`
	Message   string `json:"message"`
	Exception string `json:"exception,omitempty"`
}

// denies tells whether the finding fails its step when no exception covers it.
func (f finding) denies() bool { return f.Severity == "CRITICAL" || f.Severity == "HIGH" }

// cost is what a check took.
type cost struct {
	Seconds float64 `json:"seconds"`
	// CPU is user and system time, in seconds, of pip-witness and all that it ran.
	CPU float64 `json:"cpuSeconds"`
}

// checker runs the built binary.
type checker struct {
	binary string
	python string
	// policy are the arguments for a policy other than the built-in one.
	policy []string
}

// maxOutput bounds what is kept of a command's output.
const maxOutput = 64 << 20 // 64 MiB

// check runs one check in dir; environ are the variables that it gets.
func (c checker) check(ctx context.Context, dir string, environ []string, args ...string) (judged, cost, error) {
	all := slices.Concat([]string{"check", "--python", c.python, "--quiet", "--format", "json"}, c.policy, args)
	command := exec.CommandContext(ctx, c.binary, all...)
	command.Dir, command.Env = dir, environ
	var said, printed bounded
	command.Stdout, command.Stderr = &printed, &said
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // lets it tidy up
	command.WaitDelay = 30 * time.Second
	started := time.Now()
	err := command.Run()
	took := cost{Seconds: time.Since(started).Seconds()}
	if command.ProcessState != nil {
		if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
			took.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
		}
	}
	var j judged
	if ctx.Err() != nil {
		return j, took, ctx.Err()
	}
	if parsed := json.Unmarshal(printed.Bytes(), &j); parsed != nil { // any exit code: the verdict says it
		return j, took, fmt.Errorf("check %q: %w: %s", args, cmp.Or(err, parsed), tail(said.Bytes(), 600))
	}
	return j, took, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// ReadFrom keeps io.Copy from going around Write.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

// tail is the end of a text.
func tail(text []byte, n int) []byte { return bytes.TrimSpace(text[max(0, len(text)-n):]) }

// alone is the environment without the user's settings of pip, so that nothing
// but the scenario decides what is installed.
func alone() []string {
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PIP_") })
	return append(kept, "PIP_CONFIG_FILE="+os.DevNull)
}

// bare is an environment that every machine could have.
func bare() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8", "PIP_CONFIG_FILE=" + os.DevNull,
	}
}

// runner builds scenarios and checks them.
type runner struct {
	checker
	toolchain
	wheels   string // directory with what builds need
	evidence string // directory that evidence is kept in; empty keeps none
	neutral  bool   // without what the user's environment says about the machine
}

// observed is what the check of a scenario showed.
type observed struct {
	judged
	cost
}

// run checks one scenario with the names of a seed.
func (r runner) run(ctx context.Context, s scenario, seed uint64) (_ observed, err error) {
	dir, err := os.MkdirTemp("", "detect-")
	if err != nil {
		return observed{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	served, err := newIndexes(time.Now())
	if err != nil {
		return observed{}, err
	}
	defer served.server.Close()
	for _, program := range s.Needs {
		if _, err := exec.LookPath(program); err != nil {
			return observed{}, &NotRunError{fmt.Sprintf("needs the program %q", program)}
		}
	}
	functions := served.functions()
	functions["wheels"] = func() string { return r.wheels }
	functions["git"] = func(name string) string { return filepath.Join(dir, placeGit, name) }
	p, err := s.expand(s.names(seed), functions)
	if err != nil {
		return observed{}, err
	}
	files, err := r.build(ctx, p)
	if err != nil {
		return observed{}, err
	}
	served.serve(&p, files)
	args, err := r.arguments(p, files, served, dir)
	if err != nil {
		return observed{}, err
	}
	kept := filepath.Join(dir, "evidence")
	if r.evidence != "" {
		kept = filepath.Join(r.evidence, s.ID)
		if err := errors.Join(os.RemoveAll(kept), os.MkdirAll(r.evidence, 0o755)); err != nil {
			return observed{}, err
		}
	}
	if err := commit(ctx, filepath.Join(dir, placeGit), p.git); err != nil {
		return observed{}, err
	}
	environ := alone()
	switch {
	case s.Online:
		environ = os.Environ()
	case r.neutral:
		environ = bare()
	}
	j, took, err := r.check(ctx, filepath.Join(dir, placeWork), environ, append(args, "--evidence", kept, "--compress")...)
	return observed{j, took}, err
}

// arguments writes the files of a check and says how to ask for it.
func (r runner) arguments(p project, files map[string]file, served *indexes, dir string) ([]string, error) {
	written := map[string]string{}
	for name, f := range files {
		written[filepath.Join("dist", f.name)] = string(f.content)
		if name != "" && slices.ContainsFunc(slices.Collect(maps.Values(p.Indexes)), func(all []release) bool {
			return slices.ContainsFunc(all, func(l release) bool { return l.Dist == name })
		}) {
			delete(written, filepath.Join("dist", f.name)) // only the index has it
		}
	}
	for name, content := range p.work {
		written[filepath.Join(placeWork, name)] = content
	}
	if err := os.Mkdir(filepath.Join(dir, placeWork), 0o755); err != nil {
		return nil, err
	}
	for name, content := range written {
		target := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, []byte(content), 0o644)); err != nil {
			return nil, fmt.Errorf("write the files of %s: %w", p.ID, err)
		}
	}
	args := slices.Clone(p.Check)
	if p.Online {
		return append(args, p.Install...), nil
	}
	if len(p.Indexes) == 0 {
		args = append(args, "--no-index", "--offline", "--find-links", r.wheels)
		if len(files) > 1 {
			args = append(args, "--find-links", filepath.Join(dir, "dist"))
		}
	} else {
		root, err := served.sigstore.Root(time.Time{})
		if err != nil {
			return nil, fmt.Errorf("write the trusted root of %s: %w", p.ID, err)
		}
		trusted := filepath.Join(dir, "trusted-root.json")
		if err := os.WriteFile(trusted, root, 0o644); err != nil {
			return nil, err
		}
		args = append(args, "--trusted-root", trusted)
	}
	if len(p.Install) > 0 {
		return append(args, p.Install...), nil
	}
	return append(args, filepath.Join(dir, "dist", files[""].name)), nil
}

// commit makes git repositories of files.
func commit(ctx context.Context, dir string, repositories map[string]map[string]string) error {
	for name, files := range repositories {
		top := filepath.Join(dir, name)
		for inside, content := range files {
			target := filepath.Join(top, inside)
			if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, []byte(content), 0o644)); err != nil {
				return fmt.Errorf("write the repository %q: %w", name, err)
			}
		}
		identity := []string{"-c", "user.name=scenario", "-c", "user.email=scenario@host.example", "-c", "init.defaultBranch=main"}
		for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"commit", "--quiet", "-m", "first"}} {
			git := exec.CommandContext(ctx, "git", append(slices.Clone(identity), args...)...)
			git.Dir = top
			if said, err := git.CombinedOutput(); err != nil {
				return fmt.Errorf("make the repository %q: %w: %s", name, err, tail(said, 300))
			}
		}
	}
	return nil
}
