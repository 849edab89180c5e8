package cli

import (
	"strings"
	"testing"

	"pip-witness/policy"
)

func TestShippedRules(t *testing.T) {
	known := shippedRules()()
	for id, r := range known {
		if r.ID != id || r.Module == "" || r.Title == "" || r.Solution == "" || r.Severity == 0 {
			t.Errorf("rule %s: %+v", id, r)
		}
	}
	if got, want := known["CRED_SSH_KEY"].Module, "credential_harvesting"; got != want {
		t.Errorf("module %q, want %q", got, want)
	}
	if got := known["CRED_SSH_KEY"]; strings.Join(got.Attack, " ") != "T1552.004" || got.Severity != policy.Critical || got.FalsePositives == "" {
		t.Errorf("annotations: %+v", got)
	}
	if _, ok := known["NO_SUCH_RULE"]; ok || len(known) < 50 {
		t.Errorf("%d rules", len(known))
	}
}
