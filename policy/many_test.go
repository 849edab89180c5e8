package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/policy"
)

// TestManyMessages: a package that makes a module complain a hundred thousand times
// costs about as much as the evaluation, and no message is lost. The module has as
// many literals as one that is linked with its indicators.
func TestManyMessages(t *testing.T) {
	const many = 100_000
	var literals strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&literals, "%q,", fmt.Sprintf("/path/of/an/indicator/%d", i))
	}
	module := "package many\n\nimport rego.v1\n\nknown := [" + literals.String() + "]\n\n" +
		`deny contains sprintf("%s:A_FLOOD: opened \"/tmp/%d\"", ["HIGH", i]) if {
	count(known) > 0
	some i in numbers.range(1, 100000)
}
`
	p, err := policy.CompileModule(t.Context(), "many", []byte(module))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.Eval(t.Context(), ast.NewObject(), now(), 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	seen := map[policy.Finding]bool{}
	for _, m := range answer.Deny {
		seen[p.Finding("pip-install", m)] = true
	}
	t.Logf("%d findings in %s", len(seen), time.Since(start))
	if len(seen) != many {
		t.Errorf("%d findings, want %d", len(seen), many)
	}
	for f := range seen {
		if f.Severity != policy.High || f.Module != "many" {
			t.Fatalf("%+v", f)
		}
	}
}
