package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// Forms that a package is checked in.
const (
	formWheel = "w"
	formSdist = "s"
)

// honestPackage is a package of the list in one form.
type honestPackage struct {
	name, form string
}

// label is the name of the result.
func (h honestPackage) label() string {
	if h.form == formSdist {
		return h.name + " (sdist)"
	}
	return h.name
}

// readHonest reads the list of packages: a name, then the forms, a line.
func readHonest(path string) ([]honestPackage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of honest packages: %w", err)
	}
	var all []honestPackage
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) == 1 {
			return nil, fmt.Errorf("read %q: line %d: %q has no form, want w or s", path, number, fields[0])
		}
		for _, form := range fields[1:] {
			if form != formWheel && form != formSdist {
				return nil, fmt.Errorf("read %q: line %d: form %q, want w or s", path, number, form)
			}
			all = append(all, honestPackage{fields[0], form})
		}
	}
	return all, lines.Err()
}

// honest checks the packages of the list, from the index that the user's own
// configuration of pip names.
func (s settings) honest(ctx context.Context) ([]line, error) {
	packages, err := readHonest(s.packages)
	if err != nil {
		return nil, err
	}
	var tasks []task
	for _, p := range packages {
		if !s.selects(p.name, p.form) {
			continue
		}
		known := line{Suite: suiteHonest, Name: p.label(), Binary: s.binaryDigest, Input: digest([]byte(p.label()))}
		tasks = append(tasks, task{known, func(ctx context.Context) (line, error) { return s.checkHonest(ctx, known, p) }})
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("no package for -only %q", strings.Join(s.only, ","))
	}
	return s.work(ctx, suiteHonest, tasks)
}

func (s settings) checkHonest(ctx context.Context, l line, p honestPackage) (_ line, err error) {
	dir, err := os.MkdirTemp("", "detect-")
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kept := filepath.Join(dir, "evidence")
	if s.evidence != "" {
		kept = filepath.Join(s.evidence, strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(l.Name))
		if err := errors.Join(os.RemoveAll(kept), os.MkdirAll(s.evidence, 0o755)); err != nil {
			return l, err
		}
	}
	args := []string{"--evidence", kept, "--compress", p.name}
	if p.form == formSdist {
		args = append(args, "--no-binary", p.name)
	}
	j, took, err := s.check(ctx, dir, os.Environ(), args...)
	if err != nil {
		return l, err
	}
	l.Verdict, l.Problems, l.Counts, l.cost = j.Verdict, j.Problems, count(j.Findings), took
	l.Rules, l.Modules = s.fired(j.Findings)
	l.judge(s.catalogue, j.Findings)
	for _, installed := range j.Packages {
		if pypi.Normalize(installed.Name) == pypi.Normalize(p.name) {
			l.Version = installed.Version
		}
	}
	// A verdict that is no verdict about the package is not a good one.
	l.OK = len(l.Loud) == 0 && !slices.Contains(undecidedVerdicts(), l.Verdict)
	return l, nil
}

// judge notes the findings that deny: those that nothing covers in Loud and, by
// module, in Denying; those that an exception covers in Waived.
func (l *line) judge(c catalogue, findings []finding) {
	for _, f := range findings {
		if !f.denies() {
			continue
		}
		text := fmt.Sprintf("%s %s: %s", f.Severity, f.Rule, f.Message)
		if f.Exception != "" {
			l.Waived = append(l.Waived, text)
			continue
		}
		l.Loud = append(l.Loud, text)
		l.Denying = append(l.Denying, f.Module)
		if home, ok := c.home[f.Rule]; ok {
			l.Denying = append(l.Denying, home)
		}
	}
	l.Denying = distinct(l.Denying)
}

// runHonest checks the packages and names those that would be denied.
func (s settings) runHonest(ctx context.Context, stdout *report) error {
	lines, err := s.honest(ctx)
	if err != nil {
		return err
	}
	stdout.honest(lines)
	return asExpected(lines)
}
