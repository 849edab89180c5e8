// Package policy holds what decides: the policy in its source and its compiled
// form, the rules that it embeds, and the result of judging evidence by it.
//
//	source JSON ──Compile──► Policy ──Sign──► envelope ──Parse──► Policy
//	 short types   link rules  full URIs                           checked again
//	 rule names    + library   + modules
//	               + indicators
//
// A compiled policy is a witness policy with some fields of its own.
package policy

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"pip-witness/attestation"
)

// Functionary types.
const (
	FunctionaryPublicKey = "publickey"
	FunctionaryRoot      = "root"
)

// DefaultFailOn is the severity that fails a step when the policy names none.
const DefaultFailOn = High

// Policy is a compiled policy.
type Policy struct {
	// Expires ends the policy; RFC 3339, UTC, seconds. Never zero.
	Expires time.Time `json:"expires"`
	// Roots are certificate authorities of functionaries, by id.
	Roots map[string]Root `json:"roots"`
	// TimestampAuthorities are roots of signed times, by id.
	TimestampAuthorities map[string]Root `json:"timestampauthorities"`
	// PublicKeys are the keys of functionaries, by key id.
	PublicKeys map[string]PublicKey `json:"publickeys"`
	// Steps are the steps by name.
	Steps map[string]Step `json:"steps"`
	// External names attestations outside any step that modules may read.
	External map[string]External `json:"external,omitempty"`
	// FailOn is the lowest severity that fails a step; absent means HIGH.
	FailOn Severity `json:"failOn,omitempty"`
	// RequireEvaluated are rule ids that must have been evaluated.
	RequireEvaluated []string `json:"requireEvaluated,omitempty"`
	// Exceptions waive findings, each with a reason and an end.
	Exceptions []Exception `json:"exceptions,omitempty"`
}

// Root is a certificate authority.
type Root struct {
	// Certificate is PEM; base64 in JSON.
	Certificate []byte `json:"certificate"`
	// Intermediates are PEM certificates below it.
	Intermediates [][]byte `json:"intermediates"`
}

// PublicKey is a functionary's key.
type PublicKey struct {
	// KeyID is the SHA-256 of the PEM file, lower-case hex.
	KeyID string `json:"keyid"`
	// Key is the PKIX key in PEM; base64 in JSON.
	Key []byte `json:"key"`
}

// Step is what one step must have left as evidence.
type Step struct {
	// Name is the step's name, the same as its key.
	Name string `json:"name"`
	// Functionaries are who may sign the step; any one is enough.
	Functionaries []Functionary `json:"functionaries"`
	// Attestations are the attestation types that must all be there.
	Attestations []AttestationReq `json:"attestations"`
	// ArtifactsFrom are steps whose artifacts this one's materials must equal.
	ArtifactsFrom []string `json:"artifactsFrom"`
	// AttestationsFrom are steps whose predicates the modules may read.
	AttestationsFrom []string `json:"attestationsFrom"`
}

// Functionary is who may sign a step.
type Functionary struct {
	// Type is "publickey" or "root".
	Type string `json:"type"`
	// CertConstraint narrows the certificates of type "root".
	CertConstraint *CertConstraint `json:"certConstraint,omitempty"`
	// PublicKeyID names one of the policy's public keys, for type "publickey".
	PublicKeyID string `json:"publickeyid,omitempty"`
}

// CertConstraint narrows the certificates that are accepted.
type CertConstraint struct {
	CommonName    string   `json:"commonname"`
	DNSNames      []string `json:"dnsnames"`
	Emails        []string `json:"emails"`
	Organizations []string `json:"organizations"`
	URIs          []string `json:"uris"`
	Roots         []string `json:"roots"`
}

// AttestationReq is one required attestation type and the modules bound to it.
type AttestationReq struct {
	// Type is the full type URI.
	Type string `json:"type"`
	// RegoPolicies judge the attestation; empty means that it must only be there.
	RegoPolicies []Module `json:"regopolicies,omitempty"`
}

// Module is one Rego module.
type Module struct {
	// Name is what findings are attributed to.
	Name string `json:"name"`
	// Module is the Rego text; base64 in JSON.
	Module []byte `json:"module"`
}

// External is an attestation outside any step.
type External struct {
	// Type is the predicate type of the statement.
	Type string `json:"type"`
	// Functionaries are who may sign it.
	Functionaries []Functionary `json:"functionaries"`
	// Required makes its absence leave every step incomplete.
	Required bool `json:"required,omitempty"`
}

// Exception waives findings of one rule.
type Exception struct {
	// Rule is the rule id; Reason says why, for people; both are required.
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Expires ends the exception; required.
	Expires time.Time `json:"expires"`
	// Package, Path, Host, Command and Value narrow it; all that are given must
	// match. Path, Command and Value may hold the wildcards of path.Match: see
	// [Exception.Matches].
	Package string `json:"package,omitempty"`
	Path    string `json:"path,omitempty"`
	Host    string `json:"host,omitempty"`
	Command string `json:"command,omitempty"`
	Value   string `json:"value,omitempty"`
}

// Threshold is FailOn, or the default.
func (p *Policy) Threshold() Severity {
	if p.FailOn == 0 {
		return DefaultFailOn
	}
	return p.FailOn
}

// StepNames are the names of the steps, sorted.
func (p *Policy) StepNames() []string { return slices.Sorted(maps.Keys(p.Steps)) }

// Sources are the steps that a step reads, attestations and artifacts, sorted.
func (s Step) Sources() []string {
	all := slices.Concat(s.AttestationsFrom, s.ArtifactsFrom)
	slices.Sort(all)
	return slices.Compact(all)
}

// Order returns the steps so that each comes after those that it reads, by name
// where that leaves a choice. A step that does not exist, one that reads itself
// and a cycle are errors that name the steps.
func (p *Policy) Order() ([]string, error) {
	for _, name := range p.StepNames() {
		for _, source := range p.Steps[name].Sources() {
			if source == name {
				return nil, fmt.Errorf("step %q reads itself (attestationsFrom)", name)
			}
			if _, ok := p.Steps[source]; !ok {
				return nil, fmt.Errorf("step %q reads from step %q, which does not exist: steps are %s", name, source, quoteList(p.StepNames()))
			}
		}
	}
	var order []string
	done := map[string]bool{}
	for len(order) < len(p.Steps) {
		progress := false
		for _, name := range p.StepNames() {
			if done[name] || !allDone(p.Steps[name].Sources(), done) {
				continue
			}
			done[name], progress = true, true
			order = append(order, name)
			break
		}
		if !progress {
			return nil, fmt.Errorf("steps read from each other in a cycle: %s", strings.Join(p.cycle(done), " reads "))
		}
	}
	return order, nil
}

func allDone(names []string, done map[string]bool) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !done[n] })
}

// cycle walks from the first step that could not be ordered until it repeats.
func (p *Policy) cycle(done map[string]bool) []string {
	var walked []string
	at := p.StepNames()[slices.IndexFunc(p.StepNames(), func(n string) bool { return !done[n] })]
	for !slices.Contains(walked, at) {
		walked = append(walked, at)
		sources := p.Steps[at].Sources()
		at = sources[slices.IndexFunc(sources, func(n string) bool { return !done[n] })]
	}
	return append(walked[slices.Index(walked, at):], at)
}

// Check reports everything that makes a compiled policy unusable, except its
// being expired: a policy without an end, without steps, with a step that
// nobody may sign or that asks for nothing, with unknown keys or with steps in
// a cycle.
func (p *Policy) Check() error {
	if p.Expires.IsZero() {
		return errors.New("it has no expires: compile it with `pip-witness policy compile`")
	}
	if len(p.Steps) == 0 {
		return errors.New("it has no steps")
	}
	for _, id := range slices.Sorted(maps.Keys(p.PublicKeys)) {
		if err := p.PublicKeys[id].check(id); err != nil {
			return err
		}
	}
	if _, err := Authorities(p.Roots); err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if _, err := Authorities(p.TimestampAuthorities); err != nil {
		return fmt.Errorf("timestampauthorities: %w", err)
	}
	for _, name := range p.StepNames() {
		if err := p.checkStep(name); err != nil {
			return fmt.Errorf("step %q: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.External)) {
		e := p.External[name]
		if !strings.Contains(e.Type, "://") {
			return fmt.Errorf("external %q: type %q is not a URI", name, e.Type)
		}
		if err := p.checkFunctionaries(e.Functionaries); err != nil {
			return fmt.Errorf("external %q: %w", name, err)
		}
	}
	for i, e := range p.Exceptions {
		if e.Rule == "" || e.Reason == "" || e.Expires.IsZero() {
			return fmt.Errorf("exception %d (rule %q): rule, reason and expires are all required", i+1, e.Rule)
		}
		for _, pattern := range []string{e.Path, e.Command, e.Value} {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("exception %d (rule %q): pattern %q: %w", i+1, e.Rule, pattern, err)
			}
		}
	}
	_, err := p.Order()
	return err
}

func (p *Policy) checkStep(name string) error {
	s := p.Steps[name]
	if s.Name != name {
		return fmt.Errorf("its name is %q", s.Name)
	}
	if err := p.checkFunctionaries(s.Functionaries); err != nil {
		return err
	}
	if len(s.Attestations) == 0 {
		return errors.New("it requires no attestation")
	}
	seen := map[string]bool{}
	for _, a := range s.Attestations {
		if !strings.Contains(a.Type, "://") {
			return fmt.Errorf("attestation type %q is not a URI: compile the policy first", a.Type)
		}
		if seen[a.Type] {
			return fmt.Errorf("attestation type %q is listed twice", a.Type)
		}
		seen[a.Type] = true
		modules := map[string]bool{}
		for _, m := range a.RegoPolicies {
			if m.Name == "" || len(m.Module) == 0 {
				return fmt.Errorf("attestation %q: a module needs a name and a text", a.Type)
			}
			if modules[m.Name] {
				return fmt.Errorf("attestation %q: module %q is listed twice", a.Type, m.Name)
			}
			modules[m.Name] = true
		}
	}
	return nil
}

func (p *Policy) checkFunctionaries(list []Functionary) error {
	if len(list) == 0 {
		return errors.New("it has no functionaries: nobody could sign it")
	}
	for _, f := range list {
		switch f.Type {
		case FunctionaryPublicKey:
			if _, ok := p.PublicKeys[f.PublicKeyID]; !ok {
				return fmt.Errorf("functionary %q is not among the publickeys", f.PublicKeyID)
			}
		case FunctionaryRoot:
			if err := f.CertConstraint.check(p.Roots); err != nil {
				return err
			}
		default:
			return fmt.Errorf("functionary type %q, want %q or %q", f.Type, FunctionaryPublicKey, FunctionaryRoot)
		}
	}
	return nil
}

func (k PublicKey) check(id string) error {
	if k.KeyID != id {
		return fmt.Errorf("public key %q: its keyid is %q", id, k.KeyID)
	}
	key, err := attestation.ParsePublicKey(k.Key)
	if err != nil {
		return fmt.Errorf("public key %q: %w", id, err)
	}
	if key.KeyID() != id {
		return fmt.Errorf("public key %q: the key's own id is %q", id, key.KeyID())
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ")
}
