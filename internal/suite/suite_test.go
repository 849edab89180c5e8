package suite_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pip-witness/internal/suite"
	"pip-witness/rules"
)

func run(t *testing.T, files map[string]string) (suite.Report, error) {
	t.Helper()
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return suite.Run(t.Context(), suite.Options{Files: folder, Shipped: rules.FS, Timeout: 30 * time.Second})
}

func TestRun(t *testing.T) {
	r, err := run(t, map[string]string{
		"deep/own.rego":      "package own\n\nimport rego.v1\n\na := 1 if input.x\n\nb := 2 if {\n\tinput.y\n\tinput.z\n}",
		"deep/own_test.rego": "package own_test\n\nimport rego.v1\n\nimport data.own\n\ntest_a if own.a == 1 with input as {\"x\": true}\n\ntest_b if own.b == 3\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tests) != 2 || r.Tests[0].Status != "pass" || r.Tests[1].Status != "fail" || r.Failed() != 1 {
		t.Errorf("tests: %+v", r.Tests)
	}
	if len(r.Files) != 1 || r.Files[0].File != "deep/own.rego" || r.Files[0].Missed == 0 || r.Share() >= 100 || r.Share() <= 0 {
		t.Errorf("coverage: %+v, %.1f %%", r.Files, r.Share())
	}
}

// TestRunOwnLibrary: what the folder has stands in place of the shipped one.
func TestRunOwnLibrary(t *testing.T) {
	r, err := run(t, map[string]string{
		"lib/coverage.rego":     "package pip_witness.lib.coverage\n\nimport rego.v1\n\nreason(_) := \"own\"\n",
		"indicators/known.yaml": "hosts: [h.example]\n",
		"own_test.rego": "package own_test\n\nimport rego.v1\n\nimport data.pip_witness.indicators.known\nimport data.pip_witness.indicators.network\n" +
			"import data.pip_witness.lib.coverage\n\ntest_own if {\n\tcoverage.reason({\"x\"}) == \"own\"\n\tknown.hosts == [\"h.example\"]\n\tcount(network) > 0\n}\n",
	})
	if err != nil || r.Failed() > 0 {
		t.Errorf("%+v, %v", r.Tests, err)
	}
}

// TestRunRefuses: a folder that cannot be tested is an error, never a pass.
func TestRunRefuses(t *testing.T) {
	if _, err := run(t, map[string]string{"own.rego": "package own"}); !errors.Is(err, suite.ErrNoTests) {
		t.Errorf("no test: %v", err)
	}
	for want, files := range map[string]map[string]string{
		"parse":      {"x_test.rego": "package x y"},
		"http.send":  {"x_test.rego": "package x_test\n\nimport rego.v1\n\ntest_x if http.send({})"},
		"indicators": {"indicators/x.yaml": "a: [", "x_test.rego": "package x_test\n\nimport rego.v1\n\ntest_x if true"},
		"at most":    {"x_test.rego": "package x_test #" + strings.Repeat("x", 5<<20)},
	} {
		if _, err := run(t, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	if _, err := suite.Run(t.Context(), suite.Options{Files: unreadable{}, Shipped: rules.FS}); err == nil {
		t.Error("a folder that cannot be read is none")
	}
}

type unreadable struct{}

func (unreadable) Open(string) (fs.File, error) { return nil, fs.ErrPermission }
