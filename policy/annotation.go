package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Page is what the annotations of a module say of it and of its rules: the one
// source of its documentation.
type Page struct {
	// Name is the module's short name, for example "import_behavior".
	Name string `json:"name"`
	// Title and Description are of the module; empty when it does not say.
	Title       string `json:"title"`
	Description string `json:"description"`
	// Attestation is the short type that the module judges, where it says so itself:
	// a module that no step of the built-in policy binds has to.
	Attestation string `json:"attestation,omitempty"`
	// References are addresses of further reading, in order.
	References []string `json:"references,omitempty"`
	// Rules are in the order of the file.
	Rules []Rule `json:"rules"`
}

// Rule is what the annotations of a rule say of it. Fields are empty where they say
// nothing; see [Rule.Missing].
type Rule struct {
	ID string `json:"id"`
	// Module is the short name of the module that has the rule.
	Module string `json:"module"`
	Title  string `json:"title"`
	// Severity is that of most findings; the text says when one has another. A
	// severity that is not known counts as HIGH, as everywhere.
	Severity Severity `json:"severity"`
	// Attack are techniques of MITRE ATT&CK, for example "T1552.004"; empty for none.
	Attack []string `json:"attack"`
	// Incidents are attacks of this kind that became known.
	Incidents []string `json:"incidents"`
	// Description says what the rule sees, Needs which evidence, FalsePositives what
	// looks the same without being bad, Solution what to do about a finding.
	Description    string `json:"description"`
	Needs          string `json:"needs"`
	FalsePositives string `json:"falsePositives"`
	Solution       string `json:"solution"`
	// Line is where its annotation begins in the module's file, from 1.
	Line int `json:"line"`
	// absent are the keys that the annotation does not have, or has with a value that
	// cannot be used.
	absent []string
}

// Missing are the keys of the annotation that are absent or cannot be used, in the
// order of the documentation; none when it is complete.
func (r Rule) Missing() []string { return r.absent }

// TechniqueURL is the address of a technique's description.
func TechniqueURL(technique string) string {
	return "https://attack.mitre.org/techniques/" + strings.ReplaceAll(technique, ".", "/") + "/"
}

// technique is the form of a technique's or sub-technique's id.
var technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

// Pages are the pages of all shipped modules, by name.
func (c *Catalogue) Pages() ([]Page, error) {
	var pages []Page
	for _, name := range c.Names() {
		p, err := ReadPage(name, c.modules[name])
		if err != nil {
			return nil, err
		}
		pages = append(pages, p)
	}
	return pages, nil
}

// Rules are the rules of all shipped modules, by module, in the order of its file.
func (c *Catalogue) Rules() ([]Rule, error) {
	pages, err := c.Pages()
	if err != nil {
		return nil, err
	}
	var rules []Rule
	for _, p := range pages {
		rules = append(rules, p.Rules...)
	}
	return rules, nil
}

// ReadPage reads the annotations of a module's text.
func ReadPage(name string, src []byte) (Page, error) {
	p := Page{Name: name, Rules: []Rule{}}
	m, err := ast.ParseModuleWithOpts(name+".rego", string(src), ast.ParserOptions{
		ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: Capabilities(),
	})
	if err != nil {
		return p, fmt.Errorf("parse module %q: %w", name, err)
	}
	for _, a := range m.Annotations {
		if a.Scope == "package" || a.Scope == "subpackages" {
			p.Title, p.Description = a.Title, strings.TrimSpace(a.Description)
			p.Attestation, _ = a.Custom["attestation"].(string)
			for _, related := range a.RelatedResources {
				p.References = append(p.References, related.Ref.String())
			}
		}
		if id, ok := a.Custom["id"].(string); ok && id != "" {
			p.Rules = append(p.Rules, annotatedRule(name, id, a))
		}
	}
	slices.SortStableFunc(p.Rules, func(a, b Rule) int { return cmp.Compare(a.Line, b.Line) })
	return p, nil
}

func annotatedRule(module, id string, a *ast.Annotations) Rule {
	r := Rule{ID: id, Module: module, Title: a.Title, Description: strings.TrimSpace(a.Description), Attack: []string{}, Incidents: words(a, "incidents")}
	if a.Location != nil {
		r.Line = a.Location.Row
	}
	r.FalsePositives, r.Solution, r.Needs = custom(a, "false_positives"), custom(a, "solution"), custom(a, "needs")
	severity, err := ParseSeverity(custom(a, "severity"))
	if err != nil {
		severity = High
		r.absent = append(r.absent, "severity")
	}
	r.Severity = severity
	attack := words(a, "attack")
	if len(attack) == 0 {
		r.absent = append(r.absent, "attack")
	}
	for _, t := range attack {
		switch {
		case technique.MatchString(t):
			r.Attack = append(r.Attack, t)
		case t != "none":
			r.absent = append(r.absent, "attack")
		}
	}
	for _, field := range []struct{ key, value string }{
		{"title", r.Title}, {"description", r.Description}, {"solution", r.Solution}, {"needs", r.Needs}, {"false_positives", r.FalsePositives},
	} {
		if field.value == "" {
			r.absent = append(r.absent, field.key)
		}
	}
	if _, ok := a.Custom["incidents"]; !ok {
		r.absent = append(r.absent, "incidents")
	}
	return r
}

// custom is a text of the annotation, without the line ends at which it was wrapped.
func custom(a *ast.Annotations, key string) string {
	text, _ := a.Custom[key].(string)
	return strings.TrimSpace(text)
}

// words are a list of the annotation, or the parts of a text between commas.
func words(a *ast.Annotations, key string) []string {
	out := []string{}
	switch v := a.Custom[key].(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	case []any:
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
	}
	return out
}

// Binding is a place of a policy at which a module is asked.
type Binding struct {
	Step string `json:"step"`
	// Attestation is the type as the policy writes it.
	Attestation string `json:"attestation"`
	// Reads are the steps that the step reads, sorted.
	Reads []string `json:"reads,omitempty"`
	// Through is the module that is bound there and asks this one; empty for the
	// module itself.
	Through string `json:"through,omitempty"`
}

// Bindings are those of [Bindings] and, of a module that other shipped ones use, the
// steps at which only those are bound.
func (c *Catalogue) Bindings(src []byte) (map[string][]Binding, error) {
	bound, err := Bindings(src)
	if err != nil {
		return nil, err
	}
	direct := maps.Clone(bound)
	for _, user := range c.Names() {
		for name := range c.imports(user) {
			for _, b := range direct[user] {
				if !slices.ContainsFunc(bound[name], func(o Binding) bool { return o.Step == b.Step }) {
					b.Through = user
					bound[name] = append(bound[name], b)
				}
			}
		}
	}
	return bound, nil
}

// Bindings are the places at which a policy's source binds modules, by the name or
// path that the source writes, sorted by step.
func Bindings(src []byte) (map[string][]Binding, error) {
	s, err := parseSource(src)
	if err != nil {
		return nil, err
	}
	bound := map[string][]Binding{}
	for _, step := range sortedKeys(s.Steps) {
		for _, a := range s.Steps[step].Attestations {
			for _, raw := range a.RegoPolicies {
				var name string
				if json.Unmarshal(raw, &name) != nil {
					var m Module
					if err := strict(raw, &m); err != nil {
						return nil, fmt.Errorf("step %q: regopolicies entry %s: want a name, a path or {name, module}", step, raw)
					}
					name = m.Name
				}
				reads := slices.Sorted(slices.Values(s.Steps[step].AttestationsFrom))
				bound[name] = append(bound[name], Binding{Step: step, Attestation: a.Type, Reads: reads})
			}
		}
	}
	return bound, nil
}
