package cli

import "testing"

func TestSolutions(t *testing.T) {
	ask := solutions()
	for _, rule := range []string{"IMPORT_CRED_ACCESS", "IMPORT_NEW_CONNECTION", "PTH_EXEC_LINE"} {
		if ask("", rule) == "" {
			t.Errorf("nothing to do about %s", rule)
		}
	}
	if got := ask("", "NO_SUCH_RULE"); got != "" {
		t.Errorf("an unknown rule has the solution %q", got)
	}
}
