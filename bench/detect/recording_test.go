package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
)

const archive = "testdata/recordings.jsonl.zst"

// How many recordings there are at least, of attacks and of look-alikes.
const (
	minAttacks    = 13
	minLookalikes = 5
)

// TestRecordings judges the evidence of live runs by the modules of this tree: the
// fast part of the measurement. `go run ./bench/detect record` makes it anew.
func TestRecordings(t *testing.T) {
	recordings, err := readRecordings(archive)
	if err != nil {
		t.Fatal(err)
	}
	scenarios, err := readScenarios("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	j, err := newJudge(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[bool]int{}
	for id, r := range recordings {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.ID == id })
		if i < 0 {
			t.Errorf("there is a recording of %s and no scenario", id)
			continue
		}
		kinds[scenarios[i].lookalike()]++
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			found, err := j.findings(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if l := c.compare(line{Name: id}, scenarios[i], observed{judged: judged{Findings: found}}); !l.OK {
				t.Errorf("%s", l.describe())
			}
		})
	}
	if kinds[false] < minAttacks || kinds[true] < minLookalikes {
		t.Errorf("%d attacks and %d look-alikes are recorded, want %d and %d", kinds[false], kinds[true], minAttacks, minLookalikes)
	}
}

// TestRecordingsAreNeutral: they name neither the machine nor its user's files.
func TestRecordingsAreNeutral(t *testing.T) {
	recordings, err := readRecordings(archive)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for id, r := range recordings {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		// In parts, so that this file does not hold them.
		registries := []string{"python" + "hosted", "pypi" + ".org"}
		for _, private := range append(registries, ".pyenv", directory, ".cargo", "\""+host+"\"") {
			if at := bytes.Index(text, []byte(private)); at >= 0 {
				t.Errorf("%s holds %q: …%s…", id, private, text[max(0, at-60):min(len(text), at+60)])
			}
		}
	}
}

func TestRecordingsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.zst")
	want := map[string]recording{}
	for _, id := range []string{"B", "A"} {
		want[id] = recording{ID: id, Steps: map[string]attestation.Statement{
			"pip-install": {Type: attestation.StatementType, PredicateType: "x", Subject: []attestation.Subject{{Name: id}}, Predicate: json.RawMessage(`{"name":"pip-install"}`)},
		}}
	}
	if err := writeRecordings(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readRecordings(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed[:len(packed)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecordings(path); err == nil {
		t.Error("half an archive was read without an error")
	}
}
