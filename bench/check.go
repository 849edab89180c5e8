package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// checkGoal is the ratio of a whole check to stay below.
const checkGoal = 2.0

// verdict is what this program reads of a check's JSON.
type verdict struct {
	Verdict  string `json:"verdict"`
	Findings []struct {
		Severity string `json:"severity"`
		Rule     string `json:"ruleID"`
	} `json:"findings"`
	Timings map[string]float64 `json:"timings"`
}

// measureCheck compares a whole check with what it does, without pip-witness: an
// environment is made, the same is installed into it, and it is imported twice,
// the second time with a CI runner's variable, as check does.
func measureCheck(ctx context.Context, s settings, r *report) error {
	cases := []struct {
		name      string
		module    string
		arguments []string
	}{
		{"check requests", "requests", []string{"requests"}},
		{"check markupsafe, from source", "markupsafe", []string{"--no-binary", "markupsafe", "markupsafe"}},
		{"check pandas", "pandas", []string{"pandas"}},
	}
	for _, c := range cases {
		if !s.only.MatchString(c.name) {
			continue
		}
		if err := compareCheck(ctx, s, r, c.name, c.module, c.arguments); err != nil {
			return err
		}
	}
	return nil
}

func compareCheck(ctx context.Context, s settings, r *report, name, module string, arguments []string) (err error) {
	phases := map[string][]float64{}
	checking := func(further ...string) func(*world) ([]command, error) {
		return one(func(w *world) command { return w.check(w.path("evidence"), append(further, arguments...)...) })
	}
	kept, err := newWorld(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.remove()) }()
	all, err := compare(ctx, s, workload{name: name, sides: []side{
		{name: "plain: environment, install, two imports", commands: func(w *world) ([]command, error) {
			return []command{w.venv(), w.install(arguments...), w.importing(module), w.importing(module, "CI=true")}, nil
		}},
		{name: "check, nothing cached", goal: checkGoal, commands: checking(), inspect: phaseTimes(phases)},
		{name: "check, digests of the host's files cached", goal: checkGoal, commands: one(func(w *world) command {
			again := w.check(w.path("evidence"), arguments...)
			again.env = []string{"XDG_CACHE_HOME=" + kept.path("cache")}
			return again
		})},
		{name: "check --linger 0s", commands: checking("--linger", "0s")},
	}})
	if err != nil {
		return err
	}
	r.Comparisons = append(r.Comparisons, all...)
	for _, phase := range slices.Sorted(maps.Keys(phases)) {
		r.add(name+": "+phase, median(phases[phase])*1e3, "ms", 0)
	}
	return nil
}

// phaseTimes keeps the times of the phases that check prints.
func phaseTimes(phases map[string][]float64) func([][]byte) error {
	return func(outputs [][]byte) error {
		v, err := readVerdict(outputs[0])
		if err != nil {
			return err
		}
		for phase, seconds := range v.Timings {
			phases[phase] = append(phases[phase], seconds)
		}
		return nil
	}
}

func readVerdict(output []byte) (verdict, error) {
	var v verdict
	if err := json.Unmarshal(output, &v); err != nil {
		return v, fmt.Errorf("read what check printed: %w: %s", err, tail(output, 600))
	}
	return v, nil
}
