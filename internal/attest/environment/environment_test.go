package environment

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func TestRun(t *testing.T) {
	in := &attest.Input{
		Builder: "pip-witness 0.1.0",
		Environ: []string{
			"PATH=/usr/bin", "PIP_INDEX_URL=https://u:s3cret@index.example/simple", "AWS_SECRET_ACCESS_KEY=s3cret", "GITHUB_ACTIONS=true",
			"GITHUB_REPOSITORY=o/r", "GITHUB_SHA=abc", "GITHUB_TOKEN=s3cret", "GITHUB_SERVER_URL=https://u:s3cret@git.example", "BAD\xff=s3cret", "junk",
		},
		Command: evidence.CommandRun{Coverage: evidence.Coverage{
			Backend: "seccomp-notify", Complete: true, Sandbox: evidence.Sandbox{Kind: "namespaces", Network: "index", Home: "/home/user"},
		}},
		Install: &evidence.Installation{Interpreter: evidence.Interpreter{Executable: "/usr/bin/python3", Version: "3.11.7"}},
	}
	got, err := Attestor().Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "s3cret") {
		t.Errorf("a secret in %s", data)
	}
	p := got.(*Predicate)
	if d := cmp.Diff(map[string]string{
		"PATH": "/usr/bin", "PIP_INDEX_URL": "<redacted>", "AWS_SECRET_ACCESS_KEY": "<redacted>", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r",
		"GITHUB_SHA": "abc", "GITHUB_TOKEN": "<redacted>", "GITHUB_SERVER_URL": "https://<redacted>@git.example", "BAD\uFFFD": "<redacted>",
	}, p.Variables); d != "" {
		t.Errorf("variables (-want +got):\n%s", d)
	}
	hostname, _ := os.Hostname()
	if p.OS != "linux" || p.Hostname != hostname || p.Username == "" || p.Kernel == "" || p.Interpreter.Version != "3.11.7" || p.Sandbox.Network != "index" || !p.Capture.Complete {
		t.Errorf("predicate = %+v", p)
	}
	if d := cmp.Diff(&CI{Provider: "github-actions", Repository: "o/r", Commit: "abc"}, p.CI); d != "" {
		t.Errorf("CI (-want +got):\n%s", d)
	}
}
