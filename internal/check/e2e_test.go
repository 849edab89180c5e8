package check

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/pypi"
	"pip-witness/internal/step"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// needE2E skips unless the end-to-end tests are asked for: they use the package
// index through pip.
func needE2E(t *testing.T) {
	t.Helper()
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("needs PIP_WITNESS_E2E=1 and a package index")
	}
}

// honest are the packages that must pass, as users ask for them.
var honest = [...]struct {
	requirement string
	noBinary    []string
}{
	{"requests", nil}, {"click", nil}, {"pyyaml", nil}, {"numpy", nil}, {"pandas", nil}, {"flask", nil},
	{"cryptography", nil}, {"boto3", nil}, {"markupsafe", []string{"markupsafe"}},
}

func TestE2EHonestPackages(t *testing.T) {
	needE2E(t)
	for _, h := range honest {
		t.Run(h.requirement, func(t *testing.T) {
			r := request(t, h.requirement)
			r.Flags = interpreter.Flags{NoBinary: h.noBinary}
			r.Keep = true
			o := observe(t, r)
			t.Cleanup(func() { os.RemoveAll(o.Directory) })
			result := judge(t, o)
			if result.Verdict != policy.Pass || len(denying(result)) > 0 {
				t.Fatalf("verdict %s, problems %q, findings %+v", result.Verdict, o.Problems, result.Findings)
			}
			comparePackages(t, result.Packages, filepath.Join(o.Directory, dirHome, "venv"))
			compareFiles(t, result.Packages)
			insertAttacks(t, o)
		})
	}
}

// comparePackages holds the packages of a result against what pip itself lists
// for the environment. It reads metadata only: nothing of the packages runs.
func comparePackages(t *testing.T, got []policy.Package, venv string) {
	t.Helper()
	sites, err := filepath.Glob(filepath.Join(venv, "lib", "python*", "site-packages"))
	if err != nil || len(sites) != 1 {
		t.Fatalf("site directories of the kept environment: %q, %v", sites, err)
	}
	out, err := exec.Command("python3", "-m", "pip", "inspect", "--path", sites[0]).Output()
	if err != nil {
		t.Fatalf("pip inspect: %v", err)
	}
	var inspected struct {
		Installed []struct {
			Metadata struct{ Name, Version string } `json:"metadata"`
		} `json:"installed"`
	}
	if err := json.Unmarshal(out, &inspected); err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for _, i := range inspected.Installed {
		want = append(want, pypi.Normalize(i.Metadata.Name)+" "+i.Metadata.Version)
	}
	for _, p := range got {
		have = append(have, pypi.Normalize(p.Name)+" "+p.Version)
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("packages (-pip inspect +result):\n%s", diff)
	}
}

// compareFiles fetches each file again, with pip alone, and compares digests.
func compareFiles(t *testing.T, packages []policy.Package) {
	t.Helper()
	for _, p := range packages {
		if len(p.Files) != 1 {
			t.Errorf("%s %s: files %+v, want one", p.Name, p.Version, p.Files)
			continue
		}
		dir := t.TempDir()
		args := []string{"-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "-d", dir, p.Name + "==" + p.Version}
		if strings.HasSuffix(p.Files[0].Filename, ".tar.gz") {
			// pip runs an sdist's build to learn its metadata: not outside the sandbox.
			continue
		}
		if out, err := exec.Command("python3", append(args, "--only-binary", ":all:")...).CombinedOutput(); err != nil {
			t.Errorf("pip download %s: %v\n%s", p.Name, err, out)
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, p.Files[0].Filename))
		if err != nil {
			t.Errorf("%s: pip downloaded another file: %v", p.Name, err)
			continue
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != p.Files[0].SHA256 {
			t.Errorf("%s: digest %s, downloaded file has %s", p.Files[0].Filename, p.Files[0].SHA256, got)
		}
	}
}

// insertAttacks puts one event of each attack into the honest recording, which
// then must be denied by the rule that is about it.
func insertAttacks(t *testing.T, o *Observation) {
	t.Helper()
	for _, a := range testpkg.Attacks() {
		if !a.Denied {
			continue
		}
		for _, event := range a.WantRecord {
			t.Run("with "+event.String(), func(t *testing.T) {
				altered := &Observation{Timings: map[string]float64{}, Steps: slices.Clone(o.Steps)}
				for i, s := range altered.Steps {
					if s.Name != event.Step {
						continue
					}
					command, err := event.Insert(s.Command, s.Command.Processes[0].StartTime.Add(time.Second))
					if err != nil {
						t.Fatal(err)
					}
					altered.Steps[i].Collection = replaced(t, s, command)
				}
				result := judge(t, altered)
				fired := func(id string) bool { return slices.Contains(denying(result), id) }
				if result.Verdict != policy.Fail || !slices.ContainsFunc(a.WantRules, fired) {
					t.Errorf("verdict %s with %q, want fail with one of %q", result.Verdict, denying(result), a.WantRules)
				}
			})
		}
	}
}

// replaced is the collection of a step with another command-run attestation.
func replaced(t *testing.T, s StepEvidence, command evidence.CommandRun) *step.Collection {
	t.Helper()
	statement, err := attestation.ParseStatement(s.Collection.Payload)
	if err != nil {
		t.Fatal(err)
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range collection.Attestations {
		if attestation.ShortName(a.Type) == "command-run" {
			collection.Attestations[i].Attestation = raw
		}
	}
	if statement.Predicate, err = json.Marshal(collection); err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(statement)
	if err != nil {
		t.Fatal(err)
	}
	return &step.Collection{Payload: payload, Subjects: s.Collection.Subjects}
}

// TestE2EOracles lets third-party readers check what a check of a real package wrote.
func TestE2EOracles(t *testing.T) {
	needE2E(t)
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		t.Skip("needs PIP_WITNESS_ORACLE_PYTHON, an interpreter with the packages of .ci/oracles.txt")
	}
	r := request(t, "flask")
	r.Flags = interpreter.Flags{}
	o := observe(t, r)
	dir := t.TempDir()
	if _, err := Judge(t.Context(), o, Judgement{Key: newKey(t), Directory: dir}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/oracles.py", dir).CombinedOutput()
	var failed *exec.ExitError
	if errors.As(err, &failed) || err != nil {
		t.Fatalf("oracles: %v\n%s", err, out)
	}
	for _, accepted := range []string{"dsse pip-install", "dsse pip-import", "statement pip-install", "dsse provenance", "statement provenance", "provenance", "dsse summary", "statement summary", "cyclonedx 1.6"} {
		if !strings.Contains(string(out), "accepted "+accepted+"\n") {
			t.Errorf("no oracle accepted %s:\n%s", accepted, out)
		}
	}
}

// TestE2ESix is the specification's pin: its own module on a clean import.
func TestE2ESix(t *testing.T) {
	needE2E(t)
	r := request(t, "six")
	r.Flags = interpreter.Flags{}
	o := observe(t, r)
	if got := fmt.Sprint(o.Steps[1].Command.Imports); !strings.Contains(got, "six") {
		t.Errorf("imports %s", got)
	}
	key := newKey(t)
	result := judgeBySpecification(t, o, key)
	if diff := cmp.Diff([]string{"IMPORT_FILE_MUTATION"}, denying(result)); diff != "" || len(result.Findings) != 1 {
		t.Errorf("findings %+v (-want +got):\n%s", result.Findings, diff)
	}
}
