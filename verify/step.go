package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// outcome is the judgement of one collection for its step.
type outcome struct {
	step        policy.Step
	collection  *collection
	functionary attestation.Accepted
	// sources are the collections of the steps that this one reads.
	sources  map[string]*collection
	verdict  policy.Verdict
	result   policy.StepResult
	findings []policy.Finding
	checks   []policy.Check
	uses     []use
	coverage json.RawMessage
}

// use is one finding that an exception of the policy is about.
type use struct {
	exception int
	expired   bool
}

// note records a check; any status but pass and note lowers the verdict.
func (o *outcome) note(name policy.CheckName, verdict policy.Verdict, detail string) {
	status := policy.StatusFail
	switch verdict {
	case policy.Pass:
		status = policy.StatusPass
	case policy.Incomplete:
		status = policy.StatusIncomplete
	}
	o.checks = append(o.checks, policy.Check{Name: name, Step: o.step.Name, Status: status, Detail: detail})
	o.verdict = o.verdict.Worse(verdict)
	if verdict != policy.Pass && detail != "" {
		o.result.Reasons = append(o.result.Reasons, detail)
	}
}

// problems notes each of them, or one pass when there are none.
func (o *outcome) problems(name policy.CheckName, verdict policy.Verdict, details []string) {
	for _, d := range details {
		o.note(name, verdict, d)
	}
	if len(details) == 0 {
		o.note(name, policy.Pass, "")
	}
}

// step judges every collection of one step and reports the one that decides: a
// passing one, else the one with the worst verdict.
func (v *verifier) step(ctx context.Context, name string) error {
	step := v.policy.Steps[name]
	var all []*outcome
	for _, c := range v.evidence {
		if c.Name != name {
			continue
		}
		by, err := c.functionary(step)
		if err != nil {
			v.reject(policy.CheckFunctionary, c.doc, name, fmt.Sprintf("%v, which is not a functionary of step %q", err, name))
			continue
		}
		o, err := v.judge(ctx, step, c, by)
		if err != nil {
			return err
		}
		all = append(all, o)
	}
	v.outcomes[name] = all
	if len(all) == 0 {
		v.missing(step)
		return nil
	}
	slices.SortStableFunc(all, func(a, b *outcome) int { return cmp.Compare(order(a.verdict), order(b.verdict)) })
	v.report(all[0])
	for _, o := range all[1:] {
		v.check(policy.CheckStepName, name, policy.StatusNote,
			fmt.Sprintf("%s is also evidence of this step (%s, %d findings): another collection decided", o.collection.doc, o.verdict, len(o.findings)))
	}
	v.mention(name)
	return nil
}

// order puts a passing outcome first, then the worst.
func order(v policy.Verdict) int {
	switch v {
	case policy.Pass:
		return 0
	case policy.Untrusted:
		return 1
	case policy.Fail:
		return 2
	}
	return 3
}

// mention lists rejected evidence of a step that other evidence decided.
func (v *verifier) mention(step string) {
	for _, r := range v.rejected {
		if r.step == step {
			v.check(r.check, step, policy.StatusNote, r.reason+": not used")
		}
	}
}

// missing reports a step without accepted evidence: untrusted when there was
// some that could not be trusted, else incomplete.
func (v *verifier) missing(step policy.Step) {
	o := &outcome{step: step, verdict: policy.Pass}
	o.result.Name = step.Name
	for _, r := range v.rejected {
		if r.step == step.Name || r.step == "" {
			o.note(r.check, policy.Untrusted, r.reason)
		}
	}
	if o.verdict == policy.Pass {
		o.note(policy.CheckStepName, policy.Incomplete, fmt.Sprintf("there is no evidence of step %q", step.Name))
	}
	for _, a := range step.Attestations {
		o.result.Attestations = append(o.result.Attestations, policy.AttestationStatus{Type: a.Type, Status: "missing", Reason: "no evidence of the step was accepted"})
		o.skip(a.RegoPolicies, "no evidence of the step was accepted")
	}
	v.report(o)
}

// report adds the outcome to the result.
func (v *verifier) report(o *outcome) {
	o.result.Verdict = o.verdict
	if o.result.Attestations == nil {
		o.result.Attestations = []policy.AttestationStatus{}
	}
	if o.result.NotEvaluated == nil {
		o.result.NotEvaluated = []policy.NotEvaluated{}
	}
	slices.SortFunc(o.result.NotEvaluated, func(a, b policy.NotEvaluated) int {
		return strings.Compare(a.Module+"\x00"+a.Rule+"\x00"+a.Reason, b.Module+"\x00"+b.Rule+"\x00"+b.Reason)
	})
	o.result.NotEvaluated = slices.Compact(o.result.NotEvaluated)
	v.result.Steps = append(v.result.Steps, o.result)
	v.result.Findings = append(v.result.Findings, o.findings...)
	v.result.Checks = append(v.result.Checks, o.checks...)
	if o.coverage != nil {
		v.result.Coverage[o.step.Name] = o.coverage
	}
	for _, u := range o.uses {
		x := &v.uses[u.exception]
		x.Findings++
		x.Status = "used"
		if u.expired {
			x.Status = "expired"
		}
	}
	if o.collection != nil && len(v.result.Packages) == 0 {
		v.result.Packages = packages(o.collection)
	}
}

// judge makes the checks of one collection, in the specification's order.
func (v *verifier) judge(ctx context.Context, step policy.Step, c *collection, functionary attestation.Accepted) (*outcome, error) {
	o := &outcome{step: step, collection: c, functionary: functionary, verdict: policy.Pass, sources: map[string]*collection{}}
	o.result = policy.StepResult{Name: step.Name, Functionary: functionary.KeyID(), Collection: c.sum}
	if functionary.Certificate != nil {
		o.result.Certificate = functionary.Certificate.Subject.String()
	}
	if at := c.stamp(); !at.IsZero() {
		o.result.SignedAt = at.Format(time.RFC3339)
	}
	for _, name := range []policy.CheckName{policy.CheckEnvelope, policy.CheckSignature, policy.CheckFunctionary} {
		o.note(name, policy.Pass, "")
	}
	unbound, absent := v.bind(o)
	if err := c.checkTimes(v.req.Now, o.sources); err != nil {
		o.note(policy.CheckTimestamps, policy.Untrusted, fmt.Sprintf("%s: %v", c.doc, err))
	} else {
		o.note(policy.CheckTimestamps, policy.Pass, c.timeClaim(v.trust))
	}
	o.note(policy.CheckStepName, policy.Pass, "")
	o.attestationTypes()
	for _, a := range absent {
		o.note(policy.CheckBinding, policy.Incomplete, a)
	}
	if len(absent) == 0 || len(unbound) > 0 {
		o.problems(policy.CheckBinding, policy.Fail, unbound)
	}
	if err := v.modules(ctx, o); err != nil {
		return nil, err
	}
	o.severity(v.policy.Threshold())
	v.sourcesPassed(o)
	return o, nil
}

// sourcesPassed keeps a step from passing when one that it reads did not.
func (v *verifier) sourcesPassed(o *outcome) {
	for _, name := range o.step.Sources() {
		for _, s := range v.outcomes[name] {
			if s.collection == o.sources[name] && s.verdict != policy.Pass {
				o.note(policy.CheckBinding, policy.Incomplete, fmt.Sprintf("step %q, which it reads, did not pass (%s)", name, s.verdict))
			}
		}
	}
}

// attestationTypes requires every type of the policy. One that is missing
// because its attestor failed leaves the step undecided; one that is missing
// without a word was not made, and the step fails.
func (o *outcome) attestationTypes() {
	outcomes, err := o.collection.outcomes()
	if err != nil {
		o.note(policy.CheckAttestationTypes, policy.Incomplete, err.Error())
	}
	ok := true
	listed := map[int]bool{}
	for _, req := range o.step.Attestations {
		i := o.collection.find(req.Type)
		if i >= 0 {
			listed[i] = true
			o.result.Attestations = append(o.result.Attestations, policy.AttestationStatus{Type: o.collection.Attestations[i].Type, Status: "ok"})
			continue
		}
		ok = false
		short := attestation.ShortName(req.Type)
		status := policy.AttestationStatus{Type: req.Type, Status: "missing", Reason: "it is not in the collection"}
		verdict := policy.Fail
		switch recorded := outcomes[short]; recorded.Status {
		case "failed":
			status.Status, status.Reason, verdict = "failed", recorded.Error, policy.Incomplete
		case "skipped":
			status.Status, status.Reason, verdict = "skipped", "it would have needed "+recorded.Unmet, policy.Incomplete
		}
		o.result.Attestations = append(o.result.Attestations, status)
		o.note(policy.CheckAttestationTypes, verdict, fmt.Sprintf("attestation %s is %s: %s", short, status.Status, status.Reason))
	}
	for i, a := range o.collection.Attestations {
		if !listed[i] {
			o.result.Attestations = append(o.result.Attestations, policy.AttestationStatus{Type: a.Type, Status: "unlisted"})
		}
	}
	if ok {
		o.note(policy.CheckAttestationTypes, policy.Pass, "")
	}
}

// attestorOutcome is one entry of an outcome/v0.1 predicate.
type attestorOutcome struct {
	Attestor string `json:"attestor"`
	Status   string `json:"status"`
	Error    string `json:"error"`
	Unmet    string `json:"unmet"`
}

// outcomes are how the attestors ended, by name; empty when nothing says so.
func (c *collection) outcomes() (map[string]attestorOutcome, error) {
	i := c.find(attestation.TypeOutcome)
	if i < 0 {
		return nil, nil
	}
	var p struct {
		Outcomes []attestorOutcome `json:"outcomes"`
	}
	if err := json.Unmarshal(c.Attestations[i].Attestation, &p); err != nil {
		return nil, fmt.Errorf("read outcome attestation: %w", err)
	}
	out := map[string]attestorOutcome{}
	for _, x := range p.Outcomes {
		out[x.Attestor] = x
	}
	return out, nil
}

// severity compares the findings with the policy's threshold.
func (o *outcome) severity(threshold policy.Severity) {
	count := map[policy.Severity]int{}
	for _, f := range o.findings {
		if f.Severity >= threshold && f.Exception == "" {
			count[f.Severity]++
		}
	}
	var parts []string
	for s := policy.Critical; s >= threshold; s-- {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	if len(parts) == 0 {
		o.note(policy.CheckSeverity, policy.Pass, "")
		return
	}
	noun := "findings"
	if len(parts) == 1 && strings.HasPrefix(parts[0], "1 ") {
		noun = "finding"
	}
	o.note(policy.CheckSeverity, policy.Fail, strings.Join(parts, ", ")+" "+noun)
}

// skip lists modules that were not asked.
func (o *outcome) skip(modules []policy.Module, reason string) {
	for _, m := range modules {
		o.result.NotEvaluated = append(o.result.NotEvaluated, policy.NotEvaluated{Rule: m.Name, Module: m.Name, Reason: reason})
	}
}

// captureGaps says what keeps the step from having been observed to its end: a
// command that failed, what the capture lost, or that it does not say.
func (o *outcome) captureGaps() ([]string, error) {
	i := o.collection.named("command-run")
	if i < 0 {
		return nil, nil
	}
	var gaps []string
	code, err := o.collection.exitCode()
	if err != nil {
		return nil, err
	}
	if code != 0 {
		gaps = append(gaps, fmt.Sprintf("its command ended with exit code %d", code))
	}
	value, err := o.collection.coverage()
	if err != nil {
		return nil, err
	}
	if value == nil {
		if o.judgesBehaviour() {
			gaps = append(gaps, "the capture does not say what it could observe (no coverage in command-run)")
		}
		return gaps, nil
	}
	plain, err := ast.JSON(value)
	if err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	if o.coverage, err = json.Marshal(plain); err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	lost, err := coverageGaps(o.coverage)
	return append(gaps, lost...), err
}

// judgesBehaviour reports whether the policy binds a module to command-run.
func (o *outcome) judgesBehaviour() bool {
	return slices.ContainsFunc(o.step.Attestations, func(a policy.AttestationReq) bool {
		return attestation.ShortName(a.Type) == "command-run" && len(a.RegoPolicies) > 0
	})
}
