package commandrun

import (
	"encoding/json"
	"strings"
	"testing"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func complete() *attest.Input {
	return &attest.Input{Step: "pip-import", Command: evidence.CommandRun{
		Cmd:       []string{"python"},
		Processes: []evidence.Process{{Program: "/usr/bin/python3", OpenedFiles: map[string]evidence.DigestSet{}}},
		Coverage: evidence.Coverage{
			Trapped: []string{}, NotTrapped: []string{}, Losses: map[string]int{}, Limits: []evidence.Limit{}, Refusals: map[string]int{},
		},
	}}
}

func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		change func(*evidence.CommandRun)
		err    string // a part of the error; empty for none
	}{
		{"complete", func(*evidence.CommandRun) {}, ""},
		{"no processes seen", func(c *evidence.CommandRun) { c.Processes = []evidence.Process{} }, ""},
		{"no command", func(c *evidence.CommandRun) { c.Cmd = nil }, `"cmd"`},
		{"no processes", func(c *evidence.CommandRun) { c.Processes = nil }, `"processes"`},
		{"no losses", func(c *evidence.CommandRun) { c.Coverage.Losses = nil }, `"coverage.losses"`},
		{"no opened files", func(c *evidence.CommandRun) { c.Processes[0].OpenedFiles = nil }, `"openedfiles"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := complete()
			tt.change(&in.Command)
			got, err := Attestor().Run(t.Context(), in)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want one about %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), ":null") {
				t.Errorf("a null in %s", data)
			}
		})
	}
}
