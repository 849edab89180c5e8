package cli

import (
	"path"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/internal/report"
	"pip-witness/policy"
	"pip-witness/rules"
)

// shippedRules returns a function that reads the annotations of the shipped
// modules, by rule id. They are read at the first question: most runs ask none.
func shippedRules() func() map[string]report.Rule { return sync.OnceValue(readRules) }

func readRules() map[string]report.Rule {
	found := map[string]report.Rule{}
	entries, err := rules.FS.ReadDir(".")
	if err != nil {
		return found
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".rego" {
			continue
		}
		src, err := rules.FS.ReadFile(e.Name())
		if err != nil {
			continue
		}
		module, err := ast.ParseModuleWithOpts(e.Name(), string(src), ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			continue // a shipped module that does not parse fails the module tests
		}
		for _, a := range module.Annotations {
			if id := custom(a, "id"); id != "" {
				found[id] = annotated(strings.TrimSuffix(e.Name(), ".rego"), id, a)
			}
		}
	}
	return found
}

// annotated is what the annotations of a rule say; severities are those of the
// module tests, so one that is not known counts as HIGH as everywhere.
func annotated(module, id string, a *ast.Annotations) report.Rule {
	severity, err := policy.ParseSeverity(custom(a, "severity"))
	if err != nil {
		severity = policy.High
	}
	return report.Rule{
		ID: id, Module: module, Title: a.Title, Severity: severity, Description: strings.TrimSpace(a.Description), Solution: custom(a, "solution"),
		FalsePositives: custom(a, "false_positives"), Attack: custom(a, "attack"),
	}
}

func custom(a *ast.Annotations, key string) string {
	text, _ := a.Custom[key].(string)
	return text
}
