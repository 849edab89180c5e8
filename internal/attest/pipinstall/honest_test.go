package pipinstall_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/pypi"
)

// TestE2EHonest installs packages that everybody uses and wants no finding of a
// kind that stands for an attack; the counts of the others are printed.
func TestE2EHonest(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") != "1" {
		t.Skip("needs the package index: set PIP_WITNESS_E2E=1")
	}
	names := []string{"requests", "flask", "numpy", "pandas", "cryptography"}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "-d", dir}, names...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("download: %v\n%s", err, out)
	}
	e := install(t, append([]string{"--no-index", "--find-links", dir}, names...)...)
	e.serve(t)
	e.walk(t, dir)
	began := time.Now()
	if _, err := pipinstall.Attestor().Run(t.Context(), e.input); err != nil {
		t.Fatal(err)
	}
	t.Logf("attested in %v", time.Since(began))
	got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	for _, p := range got.Packages {
		r, w := p.RecordCheck, p.WheelStructure
		if r == nil || w == nil {
			t.Errorf("%s: record %v, wheel %v", p.Name, r, w)
			continue
		}
		t.Logf("%s %s: %d files match, %d without digest; wheel of %d members, %d bytes, data %q; shadows %+v; requirements %d", p.Name, p.Version,
			r.Matching, r.Unhashed, w.Members, w.Unpacked, w.DataFiles, p.Shadows, len(p.Requirements))
		if len(r.Mismatches)+len(r.Missing)+len(r.Outside)+len(r.Duplicates)+len(r.Overwritten)+len(w.Changed) > 0 || w.Error != "" {
			t.Errorf("%s: record %+v, changed %q, error %q", p.Name, r, w.Changed, w.Error)
		}
		for _, d := range w.Defects {
			switch d.Kind {
			case pypi.DefectTags:
				t.Logf("%s: %+v", p.Name, d)
			default:
				t.Errorf("%s: %+v", p.Name, d)
			}
		}
		if len(p.Shadows) > 0 {
			t.Errorf("%s: shadows %+v", p.Name, p.Shadows)
		}
	}
	honestFiles(t, got.InstalledFileAnalysis)
}

// honestFiles wants no fact of a kind that honest code does not need.
func honestFiles(t *testing.T, f *pipinstall.InstalledFiles) {
	t.Helper()
	counts := map[string]int{}
	hard := []string{"exec-decoded", "hidden-code", "compatibility-name", "lookalike-name", "escaped-name", "computed-name"}
	for _, o := range f.Obfuscation {
		counts["obfuscation "+o.Kind]++
		if slices.Contains(hard, o.Kind) {
			t.Errorf("obfuscation %+v", o)
		} else {
			t.Logf("obfuscation %+v", o)
		}
	}
	for _, o := range f.ImportTime {
		counts["import time "+o.Kind]++
		if o.Kind == "network" {
			t.Errorf("network at import: %+v", o)
		} else {
			t.Logf("at import: %+v", o)
		}
	}
	if len(f.ByteCode)+len(f.UnownedFiles)+len(f.StartupModules) > 0 {
		t.Errorf("byte code %+v, unowned %q, startup modules %q", f.ByteCode, f.UnownedFiles, f.StartupModules)
	}
	for _, p := range f.PickleAnalysis {
		counts["pickles"]++
		t.Logf("pickle %+v", p)
		if len(p.DangerousGlobals) > 0 {
			t.Errorf("pickle %q imports %q", p.Path, p.DangerousGlobals)
		}
	}
	for _, l := range f.NativeLibraries {
		counts["native libraries"]++
		t.Logf("%s %s init %d needed %q imports %q", l.Path[strings.Index(l.Path, "site-packages")+14:], l.Machine, l.Init, l.Needed, l.Imports)
		if l.Error != "" {
			t.Errorf("%s: %s", l.Path, l.Error)
		}
		for _, n := range l.Findings {
			counts["native "+n.Kind]++
			t.Errorf("%s: %+v", l.Path, n)
		}
	}
	t.Logf("%d files, %d .py: %v", f.TotalFiles, f.TotalPyFiles, counts)
}
