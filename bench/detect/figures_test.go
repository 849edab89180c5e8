package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigures(t *testing.T) {
	c := confusion{}
	for range 90 {
		c.add(true, true)
	}
	for range 10 {
		c.add(true, false)
	}
	for range 5 {
		c.add(false, true)
	}
	for range 95 {
		c.add(false, false)
	}
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 1e-4 {
			t.Errorf("%s %.4f, want %.4f", name, got, want)
		}
	}
	near("precision", c.precision(), 90.0/95)
	near("recall", c.recall(), 0.9)
	near("MCC", c.mcc(), 0.8511)
	if none := (confusion{}); !math.IsNaN(none.mcc()) || !math.IsNaN(none.recall()) || !math.IsNaN(none.precision()) {
		t.Errorf("of nothing: %v %v %v", none.precision(), none.recall(), none.mcc())
	}
}

func testCatalogue() catalogue {
	return catalogue{
		modules: []string{"network_exfiltration", "import_behavior", "teampcp_ioc"},
		home:    map[string]string{"NET_RAW_IP": "network_exfiltration", "IMPORT_LISTEN": "import_behavior", "TEAMPCP_C2_IP": "teampcp_ioc"},
	}
}

// TestCompare: a rule that another module carries counts for the module that
// defines it.
func TestCompare(t *testing.T) {
	s := parsed(t, "expect: {rules: [NET_RAW_IP, TEAMPCP_C2_IP], modules: [network_exfiltration, import_behavior, teampcp_ioc]}", "")
	carried := observed{judged: judged{Findings: []finding{{Severity: "HIGH", Rule: "NET_RAW_IP", Module: "import_behavior", Step: "pip-import"}}}}
	plain := testCatalogue().compare(line{}, s, carried)
	if diff := cmp.Diff([]string{"TEAMPCP_C2_IP", "teampcp_ioc"}, plain.Missing); diff != "" || plain.OK {
		t.Errorf("missing, ok %v (-want +got):\n%s", plain.OK, diff)
	}
	if renamed := testCatalogue().compare(line{Seed: 1}, s, carried); !renamed.OK {
		t.Errorf("renamed, what goes by names is expected still: %v", renamed.Missing)
	}
	if diff := cmp.Diff([]string{"import_behavior", "network_exfiltration"}, plain.Denying); diff != "" {
		t.Errorf("denying modules (-want +got):\n%s", diff)
	}
}

// TestCompareBeyond: what the evidence cannot show is no miss, and is named only
// while it is not there.
func TestCompareBeyond(t *testing.T) {
	s := parsed(t, "expect: {rules: [NET_RAW_IP], beyond: {REL_NO_TAG: no tags in the evidence, import_behavior: as the tag}}", "")
	found := func(rules ...string) observed {
		var o observed
		for _, rule := range rules {
			o.Findings = append(o.Findings, finding{Severity: "HIGH", Rule: rule, Module: testCatalogue().home[rule]})
		}
		return o
	}
	for name, c := range map[string]struct {
		seen   observed
		ok     bool
		beyond map[string]string
	}{
		"the rest was caught": {found("NET_RAW_IP"), true, map[string]string{"REL_NO_TAG": "no tags in the evidence", "import_behavior": "as the tag"}},
		"one is there":        {found("NET_RAW_IP", "IMPORT_LISTEN"), true, map[string]string{"REL_NO_TAG": "no tags in the evidence"}},
		"the rest was missed": {found("IMPORT_LISTEN"), false, map[string]string{"REL_NO_TAG": "no tags in the evidence"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := testCatalogue().compare(line{}, s, c.seen)
			if diff := cmp.Diff(c.beyond, l.Beyond); diff != "" || l.OK != c.ok {
				t.Errorf("ok %v, beyond (-want +got):\n%s", l.OK, diff)
			}
		})
	}
}

func TestCompareLookalikes(t *testing.T) {
	s := parsed(t, "quiet: [network_exfiltration]", "")
	for name, c := range map[string]struct {
		f    finding
		loud bool
	}{
		"a denial":                     {finding{Severity: "HIGH", Rule: "NET_RAW_IP", Module: "import_behavior"}, true},
		"a report":                     {finding{Severity: "MEDIUM", Rule: "NET_RAW_IP", Module: "network_exfiltration"}, false},
		"a denial of another module":   {finding{Severity: "HIGH", Rule: "IMPORT_LISTEN", Module: "import_behavior"}, false},
		"one that an exception waives": {finding{Severity: "HIGH", Rule: "NET_RAW_IP", Exception: "known"}, false},
	} {
		l := testCatalogue().compare(line{}, s, observed{judged: judged{Findings: []finding{c.f}}})
		if l.OK == c.loud {
			t.Errorf("%s: ok %v, loud %v", name, l.OK, l.Loud)
		}
	}
}

func TestCompareSeeds(t *testing.T) {
	lines := func(seed uint64, ok ...bool) (all []line) {
		for i, good := range ok {
			l := line{Name: string(rune('A' + i)), Seed: seed, OK: good, Expected: []string{"network_exfiltration"}}
			if !good {
				l.Missing = []string{"NET_RAW_IP"}
			}
			all = append(all, l)
		}
		all = append(all, line{Name: "named", Seed: seed, Expected: []string{"teampcp_ioc"}})
		return all
	}
	got := testCatalogue().compareSeeds(lines(0, true, true, true, false), lines(5, true, false, true, false), 5)
	want := comparison{seed: 5, plain: 3, renamed: 2, total: 4, notMutated: 1, lost: []string{"B (NET_RAW_IP)"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(comparison{})); diff != "" {
		t.Errorf("comparison (-want +got):\n%s", diff)
	}
	if got.drop() != 25 {
		t.Errorf("drop %.1f, want 25", got.drop())
	}
}

// TestResume: what the same binary finished on the same input does not run again,
// also after a line that was cut off.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	ran := 0
	work := func(binary string) []line {
		j, err := openJournal(path, false)
		if err != nil {
			t.Fatal(err)
		}
		s := settings{journal: j, jobs: 2, talk: io.Discard}
		var tasks []task
		for _, name := range []string{"A", "B", "C"} {
			known := line{Suite: suiteAttacks, Name: name, Binary: binary, Input: "i"}
			tasks = append(tasks, task{known, func(context.Context) (line, error) {
				if name == "C" && binary == "one" {
					return known, errors.New("broken")
				}
				known.OK = true
				return known, nil
			}})
		}
		for i := range tasks {
			inner := tasks[i].run
			tasks[i].run = func(ctx context.Context) (line, error) {
				j.mu.Lock()
				ran++
				j.mu.Unlock()
				return inner(ctx)
			}
		}
		lines, err := s.work(t.Context(), suiteAttacks, tasks)
		if broken := err != nil; broken != (binary == "one") {
			t.Fatalf("binary %s: error %v", binary, err)
		}
		return lines
	}
	if got := work("one"); len(got) != 2 || ran != 3 {
		t.Errorf("%d results of %d runs, want 2 of 3", len(got), ran)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"suite":"attacks","name":"A","bin`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	ran = 0
	work("one")
	if ran != 1 {
		t.Errorf("%d ran again, want 1: the broken one", ran)
	}
	ran = 0
	if got := work("two"); ran != 3 || len(got) != 3 {
		t.Errorf("another binary: %d ran, want 3", ran)
	}
}

func TestReadHonest(t *testing.T) {
	all, err := readHonest("honest.txt")
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]int{}
	for _, p := range all {
		forms[p.form]++
	}
	if forms[formWheel] < 60 || forms[formSdist] < 30 {
		t.Errorf("%v packages: the list was shortened", forms)
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("six w x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readHonest(path); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v, want one that names line 1", err)
	}
}

// TestTable: every part of the table is there, and cells hold what was counted.
func TestTable(t *testing.T) {
	c := testCatalogue()
	scenarios := []line{
		{Name: "NET-1", Difficulty: 1, OK: true, Expected: []string{"network_exfiltration"}, Modules: []string{"network_exfiltration"}, Denying: []string{"network_exfiltration"}, Beyond: map[string]string{"REL_NO_TAG": "no tags"}},
		{Name: "NET-2", Difficulty: 2, Expected: []string{"network_exfiltration"}, Missing: []string{"NET_RAW_IP"}},
		{Name: "NET-3", Difficulty: 5, Expected: []string{"network_exfiltration"}, Unreachable: "acts on another day"},
		{Name: "BEN-1", Difficulty: 1, OK: true, Lookalike: true},
		{Name: "NET-4", NotRun: "needs a C compiler"},
	}
	honest := []line{{Name: "six", OK: true, Verdict: "pass", Counts: map[string]int{"LOW": 2}}}
	var text strings.Builder
	r := &report{to: &text, c: c}
	r.overall(scenarios, honest)
	r.perDifficulty(scenarios)
	r.perModule(scenarios, honest)
	r.misses(scenarios, []notRun{{ID: "NET-5", Reason: "harmful"}})
	r.honest(honest)
	r.costs(scenarios, honest)
	if r.err != nil {
		t.Fatal(r.err)
	}
	squeezed := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{
		"| scenarios of attacks | 2 | 1 | 1 | – | 0.500 | – |", "| together | 5 | 1 | 4 | 1.000 | 0.333 |",
		"| network_exfiltration | 3 | 1 | 2 | 0 | 0 | 1.000 | 0.333 |", "| NET-2 | missing NET_RAW_IP | a miss |", "| NET-1 | beyond the evidence: REL_NO_TAG | no tags |", "| NET-3 | missing | acts on another day |",
		"| NET-5 | not run, recorded as nothing | harmful |", "| NET-4 | not run | needs a C compiler |", "| 5 | 0 | 0 | 0 | – | 1 |",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
}
