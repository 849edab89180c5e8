package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pip-witness/policy"
)

// modules asks every module of the step. All of them are asked, whatever the
// others answer, so that one run reports everything.
func (v *verifier) modules(ctx context.Context, o *outcome) error {
	problems, err := o.captureGaps()
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(v.policy.External)) {
		if _, ok := v.external[name]; !ok && v.policy.External[name].Required {
			problems = append(problems, fmt.Sprintf("external attestation %q, which the policy requires, was not given", name))
		}
	}
	for _, req := range o.step.Attestations {
		if len(req.RegoPolicies) == 0 {
			continue
		}
		bound := o.collection.find(req.Type)
		if bound < 0 {
			o.skip(req.RegoPolicies, "its attestation is not in the collection")
			continue
		}
		if name := o.withoutSource(); name != "" {
			o.skip(req.RegoPolicies, fmt.Sprintf("there is no accepted evidence of step %q for it to read", name))
			continue
		}
		for _, m := range req.RegoPolicies {
			if err := v.evaluate(ctx, o, bound, m); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				problems = append(problems, err.Error())
			}
		}
	}
	for _, n := range o.result.NotEvaluated {
		if slices.Contains(v.policy.RequireEvaluated, n.Rule) {
			problems = append(problems, fmt.Sprintf("rule %s, which the policy requires, was not evaluated: %s", n.Rule, n.Reason))
		}
	}
	o.problems(policy.CheckModules, policy.Incomplete, problems)
	return nil
}

// withoutSource names the first step that this one reads and has nothing of.
func (o *outcome) withoutSource() string {
	for _, name := range o.step.AttestationsFrom {
		if o.sources[name] == nil {
			return name
		}
	}
	return ""
}

// evaluate asks one module and keeps its findings. An error is an error of
// evaluation: it names the module and keeps the step from passing.
func (v *verifier) evaluate(ctx context.Context, o *outcome, bound int, m policy.Module) error {
	program, err := v.req.Programs.Compile(ctx, m.Name, m.Module)
	if err != nil {
		return err
	}
	input, err := o.input(v, bound, program.Reads)
	if err != nil {
		return fmt.Errorf("evaluate module %q: %w", m.Name, err)
	}
	answer, err := program.Eval(ctx, input, v.req.Now, v.req.EvalTimeout)
	if err != nil {
		return err
	}
	installed := v.installed(o)
	seen := map[policy.Finding]bool{}
	for _, f := range o.findings {
		f.Exception = ""
		seen[f] = true
	}
	for _, message := range answer.Deny {
		f := program.Finding(o.step.Name, message)
		if seen[f] {
			continue
		}
		seen[f] = true
		f.Exception = v.except(o, f, message, installed)
		o.findings = append(o.findings, f)
	}
	for _, text := range answer.NotEvaluated {
		o.result.NotEvaluated = append(o.result.NotEvaluated, program.NotEvaluatedRule(text))
	}
	return nil
}

// installed are the normalised names of what this step, or else a step that it
// reads, installed; none where no exception asks for it.
func (v *verifier) installed(o *outcome) []string {
	if !slices.ContainsFunc(v.policy.Exceptions, func(e policy.Exception) bool { return e.Package != "" }) {
		return nil
	}
	all := packages(o.collection)
	for _, name := range o.step.AttestationsFrom {
		if source := o.sources[name]; len(all) == 0 && source != nil {
			all = packages(source)
		}
	}
	var names []string
	for _, p := range all {
		names = append(names, policy.NormalName(p.Name))
	}
	return names
}

// except returns the reason of the first exception in force that waives the
// finding, and counts the expired ones that would have.
func (v *verifier) except(o *outcome, f policy.Finding, m policy.Message, installed []string) string {
	for i, e := range v.policy.Exceptions {
		if !e.Matches(f, m, installed) {
			continue
		}
		expired := !e.Expires.After(v.req.Now)
		o.uses = append(o.uses, use{i, expired})
		if !expired {
			return e.Reason
		}
	}
	return ""
}

// lostImports is the class of losses that counts imports of a run in which none
// succeeded: nothing of what an import does was observed.
const lostImports = "imports"

// coverageGaps says why a capture is not complete.
func coverageGaps(raw json.RawMessage) ([]string, error) {
	var c struct {
		Complete *bool          `json:"complete"`
		Losses   map[string]int `json:"losses"`
		Limits   []struct {
			Name string `json:"name"`
		} `json:"limits"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	var gaps []string
	for _, class := range slices.Sorted(maps.Keys(c.Losses)) {
		if c.Losses[class] > 0 && class == lostImports {
			gaps = append(gaps, "no module could be imported")
		} else if c.Losses[class] > 0 {
			gaps = append(gaps, fmt.Sprintf("the capture lost %d events of class %s", c.Losses[class], class))
		}
	}
	if c.Complete != nil && *c.Complete {
		return gaps, nil
	}
	for _, l := range c.Limits {
		gaps = append(gaps, fmt.Sprintf("the capture reached its limit %q", l.Name))
	}
	if len(gaps) == 0 {
		gaps = append(gaps, "the capture is not complete")
	}
	return gaps, nil
}
