package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"pip-witness/attestation"
)

// Year is how long a policy lasts when nothing says otherwise.
const Year = 365 * 24 * time.Hour

// anyFunctionary stands for the functionaries given at compile time.
const anyFunctionary = "..."

// Options are what compiling adds to a source.
type Options struct {
	// Functionaries replace the key id "..."; required where it occurs.
	Functionaries []attestation.PublicKey
	// Roots and TimestampAuthorities are added to the source's, by id.
	Roots, TimestampAuthorities map[string]Root
	// Expires overrides the source's; zero means the source's, else one year.
	Expires time.Time
	// Indicators change the indicator data, as read by [ParseIndicators].
	Indicators map[string]any
	// Modules are the shipped rules: NAME.rego, lib/, indicators/.
	Modules fs.FS
	// ReadFile reads a module that the source names by path, as written there;
	// nil refuses such modules.
	ReadFile func(path string) ([]byte, error)
	// Now is the time of compilation.
	Now time.Time
	// Programs keeps what is compiled on the way; nil keeps nothing.
	Programs *Programs
}

// source is the specification's form of a policy.
type source struct {
	Expires              *time.Time            `json:"expires"`
	Roots                map[string]Root       `json:"roots"`
	TimestampAuthorities map[string]Root       `json:"timestampauthorities"`
	PublicKeys           map[string]PublicKey  `json:"publickeys"`
	Steps                map[string]sourceStep `json:"steps"`
	External             map[string]External   `json:"external"`
	FailOn               Severity              `json:"failOn"`
	RequireEvaluated     []string              `json:"requireEvaluated"`
	Exceptions           []Exception           `json:"exceptions"`
}

type sourceStep struct {
	Name             string              `json:"name"`
	Functionaries    []Functionary       `json:"functionaries"`
	Attestations     []sourceAttestation `json:"attestations"`
	ArtifactsFrom    []string            `json:"artifactsFrom"`
	AttestationsFrom []string            `json:"attestationsFrom"`
}

type sourceAttestation struct {
	Type         string            `json:"type"`
	RegoPolicies []json.RawMessage `json:"regopolicies"`
}

// UnknownModulesError lists all modules that a source names and that are not
// shipped.
type UnknownModulesError struct {
	Missing []string // sorted
	Shipped []string // sorted
}

func (e *UnknownModulesError) Error() string {
	return fmt.Sprintf("unknown modules: %s; shipped are: %s; any other module is given as a path to a .rego file",
		strings.Join(e.Missing, ", "), strings.Join(e.Shipped, ", "))
}

// Compile turns a policy source into a compiled policy: short types become
// URIs, module names and paths become linked modules that compile, the key id
// "..." becomes the given functionaries. A compiled policy is accepted as a
// source and checked the same way.
func Compile(ctx context.Context, src []byte, o Options) (*Policy, error) {
	s, err := parseSource(src)
	if err != nil {
		return nil, fmt.Errorf("compile policy: %w", err)
	}
	catalogue, err := LoadCatalogue(o.Modules, o.Indicators)
	if err != nil {
		return nil, fmt.Errorf("compile policy: %w", err)
	}
	if o.Programs == nil {
		o.Programs = &Programs{}
	}
	c := &compiler{options: o, catalogue: catalogue, linked: map[string]Module{}}
	p, err := c.policy(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("compile policy: %w", err)
	}
	return p, nil
}

func parseSource(data []byte) (source, error) {
	var s source
	if len(data) > attestation.MaxDocument {
		return s, fmt.Errorf("read source: %w", attestation.ErrTooLarge)
	}
	if err := attestation.CheckJSON(data); err != nil {
		return s, fmt.Errorf("read source: %w", err)
	}
	if err := strict(data, &s); err != nil {
		return s, fmt.Errorf("read source: %w", err)
	}
	return s, nil
}

// strict decodes and refuses fields that are not known: a restriction that is
// misspelt must not be one that is dropped.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

type compiler struct {
	options   Options
	catalogue *Catalogue
	linked    map[string]Module
	ownSteps  []string // whose command-run is searched for the user's own indicators
}

func (c *compiler) policy(ctx context.Context, s source) (*Policy, error) {
	p := &Policy{
		Expires:              c.expires(s),
		Roots:                added(s.Roots, c.options.Roots),
		TimestampAuthorities: added(s.TimestampAuthorities, c.options.TimestampAuthorities),
		PublicKeys:           orEmpty(s.PublicKeys),
		Steps:                map[string]Step{},
		External:             s.External,
		FailOn:               s.FailOn,
		RequireEvaluated:     s.RequireEvaluated,
		Exceptions:           s.Exceptions,
	}
	if !p.Expires.After(c.options.Now) {
		return nil, fmt.Errorf("it would be expired: expires %s is not after %s", p.Expires.Format(time.RFC3339), c.options.Now.UTC().Format(time.RFC3339))
	}
	// The graph and the modules' names are looked at first, all at once: these
	// are what people get wrong.
	for name, step := range s.Steps {
		if step.Name == "" {
			step.Name = name
		}
		p.Steps[name] = Step{
			Name:             step.Name,
			ArtifactsFrom:    slices.Concat([]string{}, step.ArtifactsFrom),
			AttestationsFrom: slices.Concat([]string{}, step.AttestationsFrom),
		}
	}
	if _, err := p.Order(); err != nil {
		return nil, err
	}
	if err := c.known(s); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Steps)) {
		if err := c.step(ctx, p, name, s.Steps[name]); err != nil {
			return nil, fmt.Errorf("step %q: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.External)) {
		if err := c.external(p, name); err != nil {
			return nil, fmt.Errorf("external %q: %w", name, err)
		}
	}
	if c.own() && len(c.ownSteps) == 0 {
		return nil, fmt.Errorf("indicators %q: no step has a command-run with modules, so nothing would look for them", ownIndicators)
	}
	return p, p.Check()
}

// own reports whether there are indicators of the user's own. Only their module
// reads them: it is added to every command-run that is judged at all, so that no policy has
// to name it and no list is without effect.
func (c *compiler) own() bool {
	m, _ := c.catalogue.indicators[ownIndicators].(map[string]any)
	list, _ := m["indicators"].([]any)
	return len(list) > 0
}

// judgesOwn reports whether their module has to be added to an attestation.
func (c *compiler) judgesOwn(req AttestationReq) bool {
	short, err := attestation.ResolveShort("command-run/v0.1")
	return c.own() && err == nil && req.Type == short && len(req.RegoPolicies) > 0
}

func (c *compiler) expires(s source) time.Time {
	t := c.options.Now.Add(Year)
	if s.Expires != nil {
		t = *s.Expires
	}
	if !c.options.Expires.IsZero() {
		t = c.options.Expires
	}
	return t.UTC().Truncate(time.Second)
}

func orEmpty[T any](m map[string]T) map[string]T {
	if m == nil {
		return map[string]T{}
	}
	return m
}

// added are the authorities of a source with those of the options, which win. A
// list of intermediates is never null: witness reads an array.
func added(source, more map[string]Root) map[string]Root {
	out := map[string]Root{}
	maps.Copy(out, source)
	maps.Copy(out, more)
	for id, r := range out {
		r.Intermediates = slices.Concat([][]byte{}, r.Intermediates)
		out[id] = r
	}
	return out
}

// known refuses module names and attestation types that do not exist: all
// missing names in one error.
func (c *compiler) known(s source) error {
	missing := map[string]bool{}
	for _, step := range slices.Sorted(maps.Keys(s.Steps)) {
		for _, a := range s.Steps[step].Attestations {
			if _, err := attestation.ResolveShort(a.Type); err != nil {
				return fmt.Errorf("step %q: %w", step, err)
			}
			for _, raw := range a.RegoPolicies {
				var name string
				if json.Unmarshal(raw, &name) != nil || isModulePath(name) {
					continue
				}
				if _, ok := c.catalogue.Module(name); !ok {
					missing[name] = true
				}
			}
		}
	}
	if len(missing) > 0 {
		return &UnknownModulesError{Missing: slices.Sorted(maps.Keys(missing)), Shipped: c.catalogue.Names()}
	}
	return nil
}

func (c *compiler) step(ctx context.Context, p *Policy, name string, s sourceStep) error {
	step := p.Steps[name]
	var err error
	if step.Functionaries, err = c.functionaries(p, s.Functionaries); err != nil {
		return err
	}
	for _, a := range s.Attestations {
		uri, err := attestation.ResolveShort(a.Type)
		if err != nil {
			return err
		}
		req := AttestationReq{Type: uri}
		for _, raw := range a.RegoPolicies {
			m, err := c.module(ctx, raw)
			if err != nil {
				return fmt.Errorf("attestation %q: %w", a.Type, err)
			}
			req.RegoPolicies = append(req.RegoPolicies, m)
		}
		if c.judgesOwn(req) {
			c.ownSteps = append(c.ownSteps, name)
			m, err := c.module(ctx, json.RawMessage(`"`+ownModule+`"`))
			if err != nil {
				return fmt.Errorf("attestation %q: %w", a.Type, err)
			}
			if !slices.ContainsFunc(req.RegoPolicies, func(o Module) bool { return o.Name == ownModule }) {
				req.RegoPolicies = append(req.RegoPolicies, m)
			}
		}
		step.Attestations = append(step.Attestations, req)
	}
	p.Steps[name] = step
	return nil
}

func (c *compiler) external(p *Policy, name string) error {
	e := p.External[name]
	var err error
	if e.Type, err = attestation.ResolveShort(e.Type); err != nil {
		return err
	}
	if e.Functionaries, err = c.functionaries(p, e.Functionaries); err != nil {
		return err
	}
	p.External[name] = e
	return nil
}

// functionaries fills in the "..." ids and the policy's public keys.
func (c *compiler) functionaries(p *Policy, list []Functionary) ([]Functionary, error) {
	var out []Functionary
	for _, f := range list {
		if f.Type != FunctionaryPublicKey {
			out = append(out, f)
			continue
		}
		if f.PublicKeyID == anyFunctionary && len(c.options.Functionaries) == 0 {
			return nil, errors.New("functionary \"...\": no key was given (--functionary KEY.pub)")
		}
		for _, k := range c.options.Functionaries {
			if f.PublicKeyID == anyFunctionary || f.PublicKeyID == k.KeyID() {
				p.PublicKeys[k.KeyID()] = PublicKey{KeyID: k.KeyID(), Key: k.PEM()}
			}
			if f.PublicKeyID == anyFunctionary {
				out = append(out, Functionary{Type: FunctionaryPublicKey, PublicKeyID: k.KeyID()})
			}
		}
		if f.PublicKeyID != anyFunctionary {
			out = append(out, f)
		}
	}
	return out, nil
}

func isModulePath(name string) bool { return strings.HasSuffix(name, ".rego") }

// module resolves one entry of regopolicies: a name, a path, or {name, module}.
func (c *compiler) module(ctx context.Context, raw json.RawMessage) (Module, error) {
	var name string
	if json.Unmarshal(raw, &name) != nil {
		var m Module
		if err := strict(raw, &m); err != nil {
			return m, fmt.Errorf("regopolicies entry %s: want a name, a path or {name, module}: %w", raw, err)
		}
		return c.link(ctx, m.Name, m.Module)
	}
	if m, ok := c.linked[name]; ok {
		return m, nil
	}
	src, _ := c.catalogue.Module(name)
	short := name
	if isModulePath(name) {
		if c.options.ReadFile == nil {
			return Module{}, fmt.Errorf("module %q: paths cannot be read here", name)
		}
		var err error
		if src, err = c.options.ReadFile(name); err != nil {
			return Module{}, fmt.Errorf("read module %q: %w", name, err)
		}
		short = strings.TrimSuffix(path.Base(name), ".rego")
	}
	m, err := c.link(ctx, short, src)
	if err == nil {
		c.linked[name] = m
	}
	return m, err
}

// link links a module and proves that the result compiles by itself.
func (c *compiler) link(ctx context.Context, name string, src []byte) (Module, error) {
	text, err := c.catalogue.Link(name, src)
	if err != nil {
		return Module{}, err
	}
	if _, err := c.options.Programs.Compile(ctx, name, text); err != nil {
		return Module{}, err
	}
	return Module{Name: name, Module: text}, nil
}

// Marshal returns the policy as indented JSON with a final newline: the bytes
// that are signed.
func (p *Policy) Marshal() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("write policy: %w", err)
	}
	return b.Bytes(), nil
}

// Parse reads a compiled policy from the bytes that were signed, and checks it.
// An expired policy is read; verification refuses it.
func Parse(payload []byte) (*Policy, error) {
	if err := attestation.CheckJSON(payload); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	var p Policy
	if err := strict(payload, &p); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && strings.Contains(typeErr.Field, "regopolicies") {
			return nil, fmt.Errorf("read policy: it is a source, with names of modules: compile it with `pip-witness policy compile`")
		}
		return nil, fmt.Errorf("read policy: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return &p, nil
}

// Sign signs compiled policy bytes, as they are, after reading them once to
// refuse what verification would refuse.
func Sign(ctx context.Context, compiled []byte, signers ...attestation.Signer) (attestation.Envelope, error) {
	if _, err := Parse(compiled); err != nil {
		return attestation.Envelope{}, fmt.Errorf("sign policy: %w", err)
	}
	return attestation.Sign(ctx, attestation.PolicyPayloadType, compiled, signers...)
}
