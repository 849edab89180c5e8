package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Names of the suites.
const (
	suiteAttacks  = "attacks"
	suiteMutation = "mutation"
	suiteHonest   = "honest"
)

// task is one result to be had.
type task struct {
	line line // what is known before
	run  func(context.Context) (line, error)
}

// work runs tasks, at most jobs at a time, and notes each result. What an earlier
// run finished is not run again. An interruption is no result.
func (s settings) work(ctx context.Context, suite string, tasks []task) ([]line, error) {
	bar := newProgress(s.talk, suite, len(tasks))
	defer bar.end()
	results := make([]line, len(tasks))
	errs := make([]error, len(tasks))
	free := make(chan struct{}, s.jobs)
	var wait sync.WaitGroup
	for i, t := range tasks {
		if earlier, ok := s.journal.finished(t.line); ok {
			results[i] = earlier
			bar.done(earlier, true, earlier.describe()+" (finished before)")
			continue
		}
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-free }()
			l, err := t.run(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", t.line.Name, err)
				bar.done(t.line, false, errs[i].Error())
				return
			}
			results[i], errs[i] = l, s.journal.add(l)
			bar.done(l, false, l.describe())
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted; the same command continues: %w", ctx.Err())
	}
	return slices.DeleteFunc(results, func(l line) bool { return l.Suite == "" }), errors.Join(errs...)
}

// attacks runs the scenarios, with the names of a seed.
func (s settings) attacks(ctx context.Context, suite string, seed uint64) ([]line, error) {
	scenarios, err := readScenarios(s.scenarios)
	if err != nil {
		return nil, err
	}
	var tasks []task
	for _, one := range scenarios {
		if !s.selects(one.ID, one.Family) || suite == suiteMutation && one.lookalike() {
			continue
		}
		known := line{
			Suite: suite, Name: one.ID, Seed: seed, Binary: s.binaryDigest, Input: one.digest, Family: one.Family, Difficulty: one.Difficulty,
			Lookalike: one.lookalike(), Unreachable: one.Unreachable, Expected: one.Expect.Modules,
		}
		tasks = append(tasks, task{known, func(ctx context.Context) (line, error) {
			seen, err := s.runner.run(ctx, one, seed)
			var cannot *NotRunError
			if errors.As(err, &cannot) {
				known.NotRun = cannot.Reason
				return known, nil
			}
			if err != nil {
				return known, err
			}
			return s.catalogue.compare(known, one, seen), nil
		}})
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("no scenario for -only %q", strings.Join(s.only, ","))
	}
	return s.work(ctx, suite, tasks)
}

// compare holds what was seen against the header of a scenario.
func (c catalogue) compare(l line, s scenario, seen observed) line {
	l.Verdict, l.cost, l.Problems = seen.Verdict, seen.cost, seen.Problems
	l.Rules, l.Modules = c.fired(seen.Findings)
	l.Counts = count(seen.Findings)
	for _, id := range s.Expect.Rules {
		if !slices.Contains(l.Rules, id) && !(l.Seed != 0 && slices.Contains(byName(), c.home[id])) {
			l.Missing = append(l.Missing, id)
		}
	}
	for _, module := range s.Expect.Modules {
		if !slices.Contains(l.Modules, module) && !(l.Seed != 0 && slices.Contains(byName(), module)) {
			l.Missing = append(l.Missing, module)
		}
	}
	l.Beyond = maps.Clone(s.Expect.Beyond)
	maps.DeleteFunc(l.Beyond, func(name, _ string) bool { return slices.Contains(l.Rules, name) || slices.Contains(l.Modules, name) })
	l.judge(c, seen.Findings)
	l.Loud = nil
	for _, f := range seen.Findings {
		quiet := slices.ContainsFunc(s.Quiet, func(name string) bool { return c.about(f, name) })
		if f.denies() && f.Exception == "" && (quiet || s.Ordinary) {
			l.Loud = append(l.Loud, fmt.Sprintf("%s %s: %s", f.Severity, f.Rule, f.Message))
		}
		if f.Rule == ruleImportFailed {
			l.Problems = append(l.Problems, f.Message)
		}
	}
	// A look-alike that did not run was quiet for another reason.
	undecided := s.lookalike() && slices.Contains(undecidedVerdicts(), seen.Verdict)
	l.OK = len(l.Missing) == 0 && len(l.Loud) == 0 && !undecided
	return l
}

// undecidedVerdicts are those that say nothing about the package.
func undecidedVerdicts() []string { return []string{"incomplete", "untrusted"} }

// ruleImportFailed reports modules that did not import: of a scenario, a mistake
// in it more often than not.
const ruleImportFailed = "IMPORT_FAILED"

func count(findings []finding) map[string]int {
	counts := map[string]int{}
	for _, f := range findings {
		counts[f.Severity]++
	}
	return counts
}

// describe is one line about a result.
func (l line) describe() string {
	word := "ok"
	switch {
	case l.NotRun != "":
		return l.Name + ": not run: " + l.NotRun
	case l.OK:
	case l.Suite == suiteHonest || l.Lookalike:
		word = "LOUD " + strings.Join(l.Loud, " | ")
	case l.Unreachable != "":
		word = "missed as expected (" + l.Unreachable + ")"
	default:
		word = "MISSED " + strings.Join(l.Missing, " ")
	}
	text := fmt.Sprintf("%s: %s; %s in %.0f s, CPU %.1f s", l.Name, word, l.Verdict, l.Seconds, l.CPU)
	if len(l.Rules) > 0 {
		text += "; fired " + strings.Join(l.Rules, " ")
	}
	if len(l.Problems) > 0 {
		text += "; problems: " + strings.Join(l.Problems, " | ")
	}
	return text
}
