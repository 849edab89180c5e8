package policy

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"pip-witness/attestation"
)

// policyLint looks at one policy.
type policyLint struct {
	*workshop
	file     string
	text     []byte
	source   source
	readFile func(string) ([]byte, error)
	// literals are the texts in the bound modules, by module name.
	literals map[string]prefixes
	found    []Complaint
}

// add complains about the first place of the policy where the name stands.
func (p *policyLint) add(level, name, format string, args ...any) {
	line := 0
	if before, _, ok := strings.Cut(string(p.text), fmt.Sprintf("%q", name)); ok {
		line = 1 + strings.Count(before, "\n")
	}
	p.found = append(p.found, Complaint{p.file, line, level, fmt.Sprintf(format, args...)})
}

// names looks at the names of steps, types and modules.
func (p *policyLint) names() {
	steps := sortedKeys(p.source.Steps)
	for _, step := range steps {
		s := p.source.Steps[step]
		for _, read := range slices.Concat(s.AttestationsFrom, s.ArtifactsFrom) {
			if _, ok := p.source.Steps[read]; !ok {
				p.add(LevelError, read, "step %q reads from step %q, which does not exist%s Steps are %s", step, read, didYouMean(read, steps), strings.Join(steps, ", "))
			}
		}
		for _, a := range s.Attestations {
			if _, err := attestation.ResolveShort(a.Type); err != nil {
				p.add(LevelError, a.Type, "step %q: %v", step, err)
			}
		}
	}
	for _, name := range sortedKeys(p.source.External) {
		if _, err := attestation.ResolveShort(p.source.External[name].Type); err != nil {
			p.add(LevelError, p.source.External[name].Type, "external %q: %v", name, err)
		}
	}
}

// modules looks at every module that the policy binds, as it binds it.
func (p *policyLint) modules(ctx context.Context) {
	targets := map[string]*lintTarget{}
	var types []string
	for _, s := range p.source.Steps {
		for _, a := range s.Attestations {
			types = append(types, resolved(a.Type))
		}
	}
	slices.Sort(types)
	for _, step := range sortedKeys(p.source.Steps) {
		s := p.source.Steps[step]
		shape := inputShape{steps: sortedCopy(s.AttestationsFrom), types: slices.Compact(types), external: append([]string{}, sortedKeys(p.source.External)...)}
		for _, a := range s.Attestations {
			shape.attestation = a.Type
			for _, raw := range a.RegoPolicies {
				p.target(targets, raw, shape)
			}
		}
	}
	for _, key := range sortedKeys(targets) {
		t := targets[key]
		p.found = append(p.found, p.module(ctx, *t)...)
		if linked, err := p.catalogue.Link(t.name, t.src); err == nil {
			if m, _, err := parseModule(t.name, linked); err == nil {
				p.literals[t.name] = literalPrefixes(m)
			}
		}
	}
}

func sortedCopy(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return out
}

// target adds one entry of regopolicies.
func (p *policyLint) target(targets map[string]*lintTarget, raw []byte, shape inputShape) {
	var name string
	t := &lintTarget{}
	if strict(raw, &name) != nil {
		var m Module
		if err := strict(raw, &m); err != nil {
			p.add(LevelError, "regopolicies", "regopolicies entry %s: want a name, a path or {name, module}", raw)
			return
		}
		*t = lintTarget{name: m.Name, file: p.file + "#" + m.Name + ".rego", src: m.Module}
	} else if isModulePath(name) {
		src, err := p.readFile(name)
		if err != nil {
			p.add(LevelError, name, "module %q: %v", name, err)
			return
		}
		*t = lintTarget{name: strings.TrimSuffix(path.Base(name), ".rego"), file: name, src: src}
	} else {
		src, ok := p.catalogue.Module(name)
		if !ok {
			p.add(LevelError, name, "module %q is not shipped%s Shipped are %s; any other is given as a path to a .rego file",
				name, didYouMean(name, p.catalogue.Names()), strings.Join(p.catalogue.Names(), ", "))
			return
		}
		*t = lintTarget{name: name, file: path.Join(p.linter.Root, name+".rego"), src: src, shipped: true}
		shape.steps = mergedSteps(shape.steps, p.source, p.importers[name])
	}
	if known, ok := targets[t.file]; ok {
		t = known
	}
	t.shapes = append(t.shapes, shape)
	targets[t.file] = t
}

// mergedSteps adds the steps that a module can read where another one, bound
// elsewhere in the policy, has it as its library.
func mergedSteps(own []string, s source, importers []string) []string {
	all := append([]string{}, own...)
	for _, step := range s.Steps {
		for _, a := range step.Attestations {
			for _, raw := range a.RegoPolicies {
				var name string
				if strict(raw, &name) == nil && slices.Contains(importers, name) {
					all = append(all, step.AttestationsFrom...)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// exceptions looks for those that can never be used, and those that waive too much.
func (p *policyLint) exceptions() {
	for _, e := range p.source.Exceptions {
		if e.Rule != "" && !p.knows(e.Rule) {
			p.add(LevelWarning, e.Rule, "exception for rule %q: no module of this policy has it%s", e.Rule, didYouMean(e.Rule, p.rules()))
		}
		if e.Package == "" && e.Path == "" && e.Host == "" && e.Command == "" && e.Value == "" {
			p.add(LevelWarning, e.Rule, "exception for rule %q waives all its findings: narrow it by package, path, host, command or value", e.Rule)
		}
	}
	for _, rule := range p.source.RequireEvaluated {
		if !p.knows(rule) {
			p.add(LevelWarning, rule, "requireEvaluated names rule %q: no module of this policy has it%s", rule, didYouMean(rule, p.rules()))
		}
	}
}

// knows reports whether a bound module can answer with the rule: its text has the
// id, or it answers without ids and the rule is its name.
func (p *policyLint) knows(rule string) bool {
	for name, texts := range p.literals {
		if name == rule || slices.ContainsFunc(texts, func(text string) bool { return hasWord(text, rule) }) {
			return true
		}
	}
	return false
}

// rules are the ids of the shipped rules, for suggestions.
func (p *policyLint) rules() []string {
	ids := slices.Collect(maps.Keys(p.literals))
	rules, err := p.catalogue.Rules()
	if err != nil {
		return ids // a suggestion less
	}
	for _, r := range rules {
		ids = append(ids, r.ID)
	}
	return ids
}

// compile complains about whatever else keeps the policy from being compiled. Keys
// are not known yet: one that nobody holds stands for "...".
func (p *policyLint) compile(ctx context.Context, modules fs.FS) {
	key, err := placeholderKey()
	if err == nil {
		_, err = Compile(ctx, p.text, Options{
			Functionaries: []attestation.PublicKey{key}, Modules: modules, ReadFile: p.readFile,
			// Whether it is expired is asked when it is compiled for use.
			Now: time.Unix(0, 0),
		})
	}
	if err == nil {
		return
	}
	p.found = append(p.found, Complaint{p.file, 0, LevelError, err.Error()})
}

func placeholderKey() (attestation.PublicKey, error) {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return attestation.PublicKey{}, fmt.Errorf("make a placeholder key: %w", err)
	}
	return attestation.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
