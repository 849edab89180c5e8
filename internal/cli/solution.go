package cli

import (
	"path"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/rules"
)

// solutions returns a function that says what to do about a finding, from the
// annotations of the shipped modules. They are read at the first question: most
// runs ask none.
func solutions() func(module, rule string) string {
	read := sync.OnceValue(readSolutions)
	return func(_, rule string) string { return read()[rule] }
}

func readSolutions() map[string]string {
	found := map[string]string{}
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
			id, _ := a.Custom["id"].(string)
			solution, _ := a.Custom["solution"].(string)
			if id != "" && solution != "" {
				found[id] = solution
			}
		}
	}
	return found
}
