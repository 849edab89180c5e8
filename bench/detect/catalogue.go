package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/internal/check"
	"pip-witness/rules"
)

// catalogue says which module defines a rule.
type catalogue struct {
	modules []string
	home    map[string]string // module by rule id
}

// readCatalogue reads the annotations of the modules of this tree.
func readCatalogue() (catalogue, error) {
	c := catalogue{home: map[string]string{}}
	names, err := fs.Glob(rules.FS, "*.rego")
	if err != nil {
		return c, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.rego") {
			continue
		}
		src, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			return c, err
		}
		parsed, err := ast.ParseModuleWithOpts(name, string(src), ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			return c, fmt.Errorf("read the rules of %q: %w", name, err)
		}
		module := strings.TrimSuffix(name, ".rego")
		c.modules = append(c.modules, module)
		for _, a := range parsed.Annotations {
			if id, ok := a.Custom["id"].(string); ok {
				c.home[id] = module
			}
		}
	}
	slices.Sort(c.modules)
	return c, nil
}

// fired are the rules and the modules that reported something, sorted. A module
// has reported when a finding is its own, or is of a rule that it defines and
// another module carries.
func (c catalogue) fired(findings []finding) (ids, modules []string) {
	for _, f := range findings {
		ids = append(ids, f.Rule)
		modules = append(modules, f.Module)
		if home, ok := c.home[f.Rule]; ok {
			modules = append(modules, home)
		}
	}
	return distinct(ids), distinct(modules)
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// about tells whether a finding is of that rule, or of that module.
func (c catalogue) about(f finding, name string) bool {
	return name == f.Rule || name == f.Module || name == c.home[f.Rule]
}

// Modules that judge by names of known attacks: renaming defeats them, rightly.
func byName() []string { return []string{"teampcp_ioc", "openclaw_ioc"} }

// metadataModules judge the attestation about what was installed, not what ran.
func metadataModules() []string {
	return []string{"supply_chain", "package_signing", "dependency_confusion", "release_integrity"}
}

// policySource is a policy's source, as far as this program changes it.
type policySource struct {
	Steps map[string]map[string]any `json:"steps"`
}

// attestations are those that a step asks for.
func (p policySource) attestations(step string) []any {
	all, _ := p.Steps[step]["attestations"].([]any)
	return all
}

// bindAll changes a policy's source so that every module of the tree judges. It is
// for modules that the built-in policy does not bind yet.
func (c catalogue) bindAll(source []byte) ([]byte, error) {
	var p policySource
	if err := json.Unmarshal(source, &p); err != nil {
		return nil, fmt.Errorf("read the built-in policy: %w", err)
	}
	for step := range p.Steps {
		for _, one := range p.attestations(step) {
			a, _ := one.(map[string]any)
			bound, _ := a["regopolicies"].([]any)
			for _, module := range c.modules {
				if !slices.Contains(bound, any(module)) && c.binds(step, fmt.Sprint(a["type"]), module) {
					bound = append(bound, module)
				}
			}
			if len(bound) > 0 {
				a["regopolicies"] = bound
			}
		}
	}
	return json.Marshal(p)
}

// binds tells whether a module is made for an attestation of a step.
func (c catalogue) binds(step, attestation, module string) bool {
	switch {
	case module == "sbom" || module == "secrets":
		return false // they judge attestations of their own and are bound by whoever wants them
	case slices.Contains(metadataModules(), module):
		return strings.HasPrefix(attestation, "pip-install/")
	case !strings.HasPrefix(attestation, "command-run/"):
		return false
	}
	// What packages do at the import is judged by one module, which carries what the
	// others say of it.
	return (module == "import_behavior") == (step == check.StepImport)
}
