package policy

import "encoding/json"

// Verdict is the outcome of a step or of the whole.
type Verdict string

// Verdicts. Only pass is a pass.
const (
	Pass       Verdict = "pass"
	Fail       Verdict = "fail"       // denied by policy
	Incomplete Verdict = "incomplete" // could not be decided
	Untrusted  Verdict = "untrusted"  // signature, functionary or expiry
)

// rank orders verdicts: the higher one decides.
func (v Verdict) rank() int {
	switch v {
	case Untrusted:
		return 3
	case Fail:
		return 2
	case Pass:
		return 0
	}
	return 1
}

// Worse returns the verdict that decides when both hold: untrusted before fail
// before incomplete before pass.
func (v Verdict) Worse(w Verdict) Verdict {
	if w.rank() > v.rank() {
		return w
	}
	return v
}

// Finding is one answer of a module.
type Finding struct {
	Severity Severity `json:"severity"`
	// Rule is the rule id; the module's name when the message had no prefix.
	Rule string `json:"rule"`
	// Module and Step say where it comes from.
	Module string `json:"module"`
	Step   string `json:"step"`
	// Message is the text after the prefix, control characters escaped.
	Message string `json:"message"`
	// Exception is the reason of the exception that waives it, else absent.
	Exception string `json:"exception,omitempty"`
}

// AttestationStatus says what became of one attestation of a step.
type AttestationStatus struct {
	// Type is the URI as stored, or as required when it is not there.
	Type string `json:"type"`
	// Status is "ok", "missing", "failed" (its attestor failed), "skipped" (its
	// attestor had nothing to work on) or "unlisted" (not asked for).
	Status string `json:"status"`
	// Reason explains every status but ok and unlisted.
	Reason string `json:"reason,omitempty"`
}

// NotEvaluated is a rule that could not be judged on this evidence.
type NotEvaluated struct {
	Rule   string `json:"rule"`
	Module string `json:"module"`
	Reason string `json:"reason"`
}

// StepResult is the outcome of one step.
type StepResult struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Functionary is the key id that signed the collection, empty when none was accepted.
	Functionary string `json:"functionary"`
	// Certificate is the subject of the functionary's certificate, absent for a plain
	// key; SignedAt is when a trusted authority saw the signature (RFC 3339, UTC),
	// absent when the times are the signer's own.
	Certificate string `json:"certificate,omitempty"`
	SignedAt    string `json:"signedAt,omitempty"`
	// Collection is the SHA-256 of the envelope's payload, empty when none was accepted.
	Collection string `json:"collection"`
	// Attestations are the required ones in the policy's order, then the others.
	Attestations []AttestationStatus `json:"attestations"`
	// NotEvaluated are sorted by module and rule.
	NotEvaluated []NotEvaluated `json:"notEvaluated"`
	// Reasons say why the step did not pass; empty for a pass.
	Reasons []string `json:"reasons,omitempty"`
}

// CheckName is one of the ten checks of verification.
type CheckName string

// Checks, in the order in which they are made.
const (
	CheckEnvelope         CheckName = "envelope"
	CheckSignature        CheckName = "signature"
	CheckFunctionary      CheckName = "functionary"
	CheckExpiry           CheckName = "expiry"
	CheckTimestamps       CheckName = "time stamps"
	CheckStepName         CheckName = "step name"
	CheckAttestationTypes CheckName = "attestation types"
	CheckBinding          CheckName = "subjects and binding"
	CheckModules          CheckName = "modules"
	CheckSeverity         CheckName = "severity"
)

// Check is the outcome of one check, of the policy or of one step.
type Check struct {
	Name CheckName `json:"name"`
	// Step is empty for a check of the policy or of evidence of no step.
	Step string `json:"step,omitempty"`
	// Status is "pass", "fail", "incomplete" or "note" (reported, decides nothing).
	Status string `json:"status"`
	// Detail says what was found; empty when there is nothing to say.
	Detail string `json:"detail,omitempty"`
}

// Statuses of checks and exceptions.
const (
	StatusPass       = "pass"
	StatusFail       = "fail"
	StatusIncomplete = "incomplete"
	StatusNote       = "note"
)

// ExceptionUse says what became of one exception of the policy.
type ExceptionUse struct {
	Exception
	// Status is "used", "unused" or "expired" (an expired one waives nothing).
	Status string `json:"status"`
	// Findings is how many findings it waived, or would have when it is expired.
	Findings int `json:"findings"`
}

// File is a distribution file.
type File struct {
	Filename string `json:"filename"`
	SHA256   string `json:"sha256"`
	// URL is where it came from; absent when the evidence does not say.
	URL string `json:"url,omitempty"`
}

// Package is an installed package, as the evidence names it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Files   []File `json:"files"`
}

// Summary names the policy that judged.
type Summary struct {
	// SHA256 is the digest of the policy envelope's payload.
	SHA256 string `json:"sha256"`
	// KeyID is the key that signed it, empty when it was not trusted.
	KeyID   string   `json:"keyid"`
	Expires string   `json:"expires,omitempty"`
	FailOn  Severity `json:"failOn,omitempty"`
}

// Result is the outcome of verification. Slices are never nil, so they are
// arrays in JSON; everything is sorted, so equal input gives equal bytes.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// Packages are from the pip-install attestation; empty when there is none.
	Packages []Package `json:"packages"`
	// Steps are in the order of verification.
	Steps []StepResult `json:"steps"`
	// Findings are by severity, highest first, then step, module, rule, message.
	Findings []Finding `json:"findings"`
	// Checks are in the order in which they were made.
	Checks []Check `json:"checks"`
	// Exceptions are in the policy's order.
	Exceptions []ExceptionUse `json:"exceptions,omitempty"`
	// Coverage is by step what its capture says of itself, as signed.
	Coverage map[string]json.RawMessage `json:"coverage"`
	Policy   Summary                    `json:"policy"`
}

// Exit codes of verdicts.
const (
	ExitPass       = 0
	ExitFail       = 1
	ExitIncomplete = 3
	ExitUntrusted  = 4
)

// ExitCode is the exit code of the verdict. Anything that is not one of the
// four verdicts counts as undecided.
func (r *Result) ExitCode() int {
	switch r.Verdict {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	case Untrusted:
		return ExitUntrusted
	}
	return ExitIncomplete
}
