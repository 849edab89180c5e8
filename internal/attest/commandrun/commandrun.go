// Package commandrun attests the recording of the command itself: the
// command-run/v0.1 predicate is [evidence.CommandRun] as it is.
package commandrun

import (
	"context"
	"fmt"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/command-run/v0.1"

// Attestor returns the catalogue entry. Its predicate is an
// [evidence.CommandRun]; an error says which required list the recording lacks,
// because a list that is absent cannot be told from one that is empty.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "command-run", Type: Type, Run: run}
}

func run(_ context.Context, in *attest.Input) (any, error) {
	if err := check(&in.Command); err != nil {
		return nil, fmt.Errorf("recording of step %q: %w", in.Step, err)
	}
	return in.Command, nil
}

func check(c *evidence.CommandRun) error {
	for _, list := range []struct {
		name    string
		missing bool
	}{
		{"cmd", c.Cmd == nil},
		{"processes", c.Processes == nil},
		{"coverage.trapped", c.Coverage.Trapped == nil},
		{"coverage.notTrapped", c.Coverage.NotTrapped == nil},
		{"coverage.losses", c.Coverage.Losses == nil},
		{"coverage.limits", c.Coverage.Limits == nil},
		{"coverage.refusals", c.Coverage.Refusals == nil},
	} {
		if list.missing {
			return fmt.Errorf("list %q is absent", list.name)
		}
	}
	for i := range c.Processes {
		if c.Processes[i].OpenedFiles == nil {
			return fmt.Errorf("list %q of process %d (%q) is absent", "openedfiles", c.Processes[i].ProcessID, c.Processes[i].Program)
		}
	}
	return nil
}
