package pipinstall_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/pypi"
	"pip-witness/internal/testpkg"
	"pip-witness/internal/walk"
)

// walk takes the tree as it is now, and serves distribution files from dir.
func (e environment) walk(t *testing.T, dir string) {
	t.Helper()
	tree, err := walk.Tree(t.Context(), e.input.Layout, []string{insidePrefix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.input.After = tree
	if dir == "" {
		return
	}
	e.input.Distribution = func(sha256 string) (attest.DistributionFile, error) {
		for _, d := range e.input.Install.Downloads {
			if d.Digests["sha256"] == sha256 {
				return os.Open(filepath.Join(dir, d.Filename))
			}
		}
		return nil, errors.New("not kept")
	}
}

// site is the site directory on this machine.
func (e environment) site() string { return e.input.Layout.Host(e.input.Layout.SitePackages[0]) }

func packageOf(t *testing.T, p pipinstall.Predicate, key string) pipinstall.Package {
	t.Helper()
	i := slices.IndexFunc(p.Packages, func(p pipinstall.Package) bool { return pypi.Normalize(p.Name) == key })
	if i < 0 {
		t.Fatalf("%q is not among the packages", key)
	}
	return p.Packages[i]
}

func change(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRecordCheck installs two wheels that share a file, changes what was
// installed in every way that RECORD can tell, and wants each way told.
func TestRecordCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, dir,
		testpkg.Wheel{Name: "one", Version: "1", Files: map[string]string{
			"one/__init__.py": "", "one/same.py": "A = 1\n", "one/longer.py": "B = 1\n", "one/gone.py": "", "one/link.py": "",
			"one/kind.py": "", "shared.py": "ONE = 1\n", "one/a,b \"c\".txt": "commas and quotes\n", "both.py": "SAME = 1\n",
		}, Scripts: map[string]string{"one-tool": "one:main"}},
		testpkg.Wheel{Name: "two", Version: "1", Files: map[string]string{"two.py": "", "shared.py": "TWO = 2\n", "both.py": "SAME = 1\n"}},
	)
	e := install(t, "--no-index", "--find-links", dir, "one")
	honest := e
	honest.serve(t)
	honest.walk(t, dir)
	before := packageOf(t, run[pipinstall.Predicate](t, pipinstall.Attestor(), honest.input), "one")
	empty := &pipinstall.RecordCheck{Matching: before.RecordCheck.Matching, Unhashed: before.RecordCheck.Unhashed, Mismatches: []pipinstall.RecordMismatch{},
		Missing: []string{}, Outside: []string{}, Duplicates: []string{}, Overwritten: []pipinstall.Overwritten{}}
	if diff := cmp.Diff(empty, before.RecordCheck); diff != "" || before.RecordCheck.Matching < 12 {
		t.Errorf("untouched: %d match (-want +got):\n%s", before.RecordCheck.Matching, diff)
	}
	if w := before.WheelStructure; w == nil || len(w.Defects)+len(w.Changed) > 0 || w.Error != "" || w.RootIsPurelib == nil {
		t.Errorf("untouched wheel: %+v", w)
	}

	// Two is installed over one, as --no-deps and --target leave it.
	e.pip(t, "--no-index", "--find-links", dir, "--no-deps", "two")
	site := e.site()
	change(t, filepath.Join(site, "one/same.py"), "A = 2\n")
	change(t, filepath.Join(site, "one/longer.py"), "B = 1 # and more\n")
	for _, name := range []string{"one/gone.py", "one/link.py", "one/kind.py"} {
		if err := os.Remove(filepath.Join(site, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("link.py", filepath.Join(site, "one/link.py")), os.Mkdir(filepath.Join(site, "one/kind.py"), 0o755)); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(site, "one-1.dist-info/RECORD")
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	change(t, record, string(text)+"/etc/cron.d/job,sha256=AAAA,1\n../../../../.bashrc,,\none/./same.py,,\none/gone.py,md5=AAAA,1\none/__init__.py,md5=AAAA,0\n")
	e.walk(t, dir)
	got := packageOf(t, run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input), "one")
	in := e.input.Layout.SitePackages[0]
	var mismatches []string
	for _, m := range got.RecordCheck.Mismatches {
		if m.Why == "type" { // the size of a directory is the file system's
			m.FoundSize = 0
		}
		mismatches = append(mismatches, fmt.Sprintf("%s %d %d %s", strings.TrimPrefix(m.Path, in+"/"), m.RecordedSize, m.FoundSize, m.Why))
	}
	for name, test := range map[string]struct{ want, got []string }{
		"mismatches":  {[]string{"one/kind.py 0 0 type", "one/link.py 0 7 link", "one/longer.py 6 17 ", "one/same.py 6 6 ", "shared.py 8 8 "}, mismatches},
		"missing":     {[]string{in + "/one/gone.py"}, got.RecordCheck.Missing},
		"outside":     {[]string{"/etc/cron.d/job", "/home/user/.bashrc"}, got.RecordCheck.Outside},
		"duplicates":  {[]string{in + "/one/__init__.py", in + "/one/gone.py", in + "/one/same.py"}, got.RecordCheck.Duplicates},
		"changed":     {[]string{in + "/one/longer.py", in + "/one/same.py", in + "/shared.py"}, got.WheelStructure.Changed},
		"overwritten": {[]string{in + "/both.py [two] true", in + "/shared.py [two] false"}, overwritten(got)},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func overwritten(p pipinstall.Package) []string {
	var out []string
	for _, o := range p.RecordCheck.Overwritten {
		out = append(out, fmt.Sprintf("%s %v %v", o.Path, o.By, o.SameContent))
	}
	return out
}

// TestShadows installs a wheel that takes the names of others.
func TestShadows(t *testing.T) {
	dir := t.TempDir()
	write(t, dir,
		testpkg.Wheel{Name: "taker", Version: "1", Files: map[string]string{
			"json.py": "", "requests/__init__.py": "", "mine/__init__.py": "", "free/__init__.py": "", "space/taker.py": "",
		}, Scripts: map[string]string{"sudo": "mine:main", "python3.11": "mine:main", "taker": "mine:main"}, Data: map[string]string{"scripts/git": "#!python\n"}},
		testpkg.Wheel{Name: "owner", Version: "1", Files: map[string]string{"mine/__init__.py": "", "space/owner.py": ""}},
	)
	e := install(t, "--no-index", "--find-links", dir, "taker", "owner")
	e.serve(t)
	e.walk(t, dir)
	got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	in := e.input.Layout.SitePackages[0]
	want := []pipinstall.Shadow{
		{Kind: "command", Name: "python3.11", Where: "python3.11 = mine:main"},
		{Kind: "command", Name: "sudo", Where: "sudo = mine:main"},
		{Kind: "command", Name: "git", Where: insidePrefix + "/bin/git"},
		{Kind: "standard-library", Name: "json", Where: in + "/json"},
		{Kind: "installed-project", Name: "mine", Where: in + "/mine", Of: []string{"owner"}},
		{Kind: "other-project", Name: "requests", Where: in + "/requests", Of: []string{"requests"}},
	}
	if diff := cmp.Diff(want, packageOf(t, got, "taker").Shadows); diff != "" {
		t.Errorf("shadows (-want +got):\n%s", diff)
	}
	if s := packageOf(t, got, "owner").Shadows; len(s) != 1 || s[0].Kind != "installed-project" {
		t.Errorf("shadows of the owner: %+v", s)
	}
	if w := packageOf(t, got, "taker").WheelStructure; !cmp.Equal(w.DataFiles, []string{"scripts/git"}) {
		t.Errorf("data files %q", w.DataFiles)
	}
}

// TestFaultyWheels examines the broken wheels of the catalogue that installers
// take, and one that is not there any more.
func TestFaultyWheels(t *testing.T) {
	dir := t.TempDir()
	wrong, err := testpkg.Find("testpkg-record-wrong")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, wrong.Archive)
	e := install(t, "--no-index", "--find-links", dir, "testpkg-record-wrong")
	e.serve(t)
	e.walk(t, dir)
	got := packageOf(t, run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input), "testpkg-record-wrong")
	if len(got.RecordCheck.Mismatches) != 1 || len(got.WheelStructure.Changed) != 1 {
		t.Errorf("a wrong digest in RECORD: %+v, %+v", got.RecordCheck, got.WheelStructure)
	}

	// The installer refuses two metadata directories; what it refused is looked at.
	two, err := testpkg.Wheel{Name: "two", Version: "1", Files: map[string]string{"two.py": "", "requests-99.dist-info/METADATA": "Name: requests\nVersion: 99\n"},
		Requires: []string{"dep @ https://elsewhere.example/dep.zip"}, Scripts: map[string]string{"ls": "two:main"}}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	keep, digest := e.input.Distribution, sum(two)
	e.input.Install.Downloads = append(e.input.Install.Downloads, evidence.Download{Filename: "two-1-py3-none-any.whl",
		URL: "https://files.example/two-1-py3-none-any.whl", Index: "https://index.example/simple/", Digests: evidence.DigestSet{"sha256": digest}})
	e.input.Distribution = func(sha256 string) (attest.DistributionFile, error) {
		if sha256 == digest {
			return memory{bytes.NewReader(two)}, nil
		}
		return keep(sha256)
	}
	left := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input).NotInstalled
	if len(left) != 1 || left[0].Name != "two" || left[0].SHA256 != digest || left[0].WheelStructure == nil || len(left[0].WheelStructure.Defects) != 1 ||
		left[0].WheelStructure.Defects[0].What != "2 .dist-info directories, want 1" || len(left[0].RequiresDist)+len(left[0].EntryPoints) != 2 {
		t.Errorf("not installed: %+v", left)
	}

	e.input.Distribution = nil
	p := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	if packageOf(t, p, "testpkg-record-wrong").WheelStructure != nil ||
		!slices.ContainsFunc(p.NotExamined, func(n pipinstall.NotExamined) bool { return strings.HasPrefix(n.What, "packages[].wheelStructure of") }) {
		t.Errorf("a wheel that is not at hand: %+v", p.NotExamined)
	}
}

// TestBadMetadata leaves metadata of a gigabyte, a loop of symlinks and a FIFO
// where files are expected.
func TestBadMetadata(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, testpkg.Wheel{Name: "one", Version: "1", Files: map[string]string{"one.py": ""}}, testpkg.Wheel{Name: "two", Version: "1", Files: map[string]string{"two.py": ""}})
	e := install(t, "--no-index", "--find-links", dir, "one", "two")
	e.serve(t)
	site := e.site()
	if err := errors.Join(
		os.Truncate(filepath.Join(site, "one-1.dist-info/METADATA"), 1<<30),
		os.Symlink("b", filepath.Join(site, "a")), os.Symlink("a", filepath.Join(site, "b")),
		os.Remove(filepath.Join(site, "two-1.dist-info/RECORD")), os.Symlink("../a", filepath.Join(site, "two-1.dist-info/RECORD")),
	); err != nil {
		t.Fatal(err)
	}
	e.walk(t, dir)
	p := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	said := fmt.Sprint(p.Problems, p.NotExamined)
	for _, want := range []string{"one-1.dist-info", "more than 8388608 bytes", "RECORD", "too many levels"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing is said of %q: %s", want, said)
		}
	}
}

// TestSourceComparison builds an sdist that the gateway kept and whose build
// changes one module and makes another.
func TestSourceComparison(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, testpkg.InTree{
		Wheel:   testpkg.Wheel{Name: "built", Version: "3", Files: map[string]string{"built/__init__.py": "A = 1\n", "built/same.py": "B = 1\n"}},
		Hook:    "open('src/built/__init__.py', 'w').write('A = 2\\n')\nopen('src/built/made.py', 'w').write('')\n",
		Sources: map[string]string{"CMakeLists.txt": "project(built)\n", "setup.cfg": "[options]\nsetup_requires = more\n"},
	})
	e := install(t, "--no-index", "--find-links", dir, "built")
	e.serve(t)
	e.walk(t, dir)
	got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
	in := e.input.Layout.SitePackages[0]
	want := &pipinstall.SourceComparison{Same: 1, Changed: []string{in + "/built/__init__.py"}, Added: []string{in + "/built/made.py"}}
	if diff := cmp.Diff(want, packageOf(t, got, "built").SourceComparison); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got.PyprojectAnalysis) != 2 || got.PyprojectAnalysis[1].Path != "setup.cfg" || !cmp.Equal(got.PyprojectAnalysis[1].BuildRequires, []string{"more"}) {
		t.Errorf("build requirements: %+v", got.PyprojectAnalysis)
	}
	if !strings.Contains(fmt.Sprint(got.NotExamined), "CMakeLists.txt") {
		t.Errorf("nothing is said of CMake: %+v", got.NotExamined)
	}
}

// TestModuleFacts installs a wheel whose modules do at import what they should not,
// and a native library, and wants each with its owner.
func TestModuleFacts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, testpkg.Wheel{Name: "loud", Version: "1", Files: map[string]string{
		"loud/__init__.py": "from . import deep\n",
		"loud/deep.py":     "import subprocess as s, urllib.request as u\ndef go():\n  s.run(['true'])\ngo()\nu.urlopen('http://127.0.0.1:9/')\n",
		"loud/odd.py":      "import base64\nexec(base64.b64decode('cGFzcw=='))\n",
		"loud/lib.so":      "\x7fELF broken",
		"loud.pth":         "import base64; exec(base64.b64decode('cGFzcw=='))\n",
	}})
	e := install(t, "--no-index", "--find-links", dir, "--no-compile", "loud")
	e.serve(t)
	e.walk(t, dir)
	f := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input).InstalledFileAnalysis
	in := e.input.Layout.SitePackages[0] + "/"
	want := []pipinstall.SourceFact{
		{Path: in + "loud/deep.py", Line: 3, Package: "loud", Kind: "process", What: "subprocess.run", Through: "go"},
		{Path: in + "loud/deep.py", Line: 5, Package: "loud", Kind: "network", What: "urllib.request.urlopen"},
	}
	if diff := cmp.Diff(want, f.ImportTime); diff != "" {
		t.Errorf("import time (-want +got):\n%s", diff)
	}
	want = []pipinstall.SourceFact{{Path: in + "loud/odd.py", Line: 2, Package: "loud", Kind: "exec-decoded", What: "exec of base64.b64decode"}}
	if diff := cmp.Diff(want, f.Obfuscation); diff != "" {
		t.Errorf("obfuscation (-want +got):\n%s", diff)
	}
	if l := f.NativeLibraries; len(l) != 1 || l[0].Error == "" || l[0].Package != "loud" {
		t.Errorf("native libraries %+v", l)
	}
	if p := f.PthFiles; len(p) != 1 || len(p[0].ExecutableLines) != 1 || !cmp.Equal(p[0].ExecutableLines[0].Obfuscation, []string{"exec-decoded: exec of base64.b64decode"}) {
		t.Errorf("pth files %+v", p)
	}
}

// TestByteCode lists compiled files that do not depend on a source, and none of
// those that the installer made.
func TestByteCode(t *testing.T) {
	dir := t.TempDir()
	const magic = "\xa7\r\r\n"
	write(t, dir, testpkg.Wheel{Name: "code", Version: "1", Files: map[string]string{
		"code_a.py": "A = 1\n", "lone/only.pyc": magic + "\x00\x00\x00\x00", "lone/short.pyc": "x",
	}})
	e := install(t, "--no-index", "--find-links", dir, "code")
	compiled, err := filepath.Glob(filepath.Join(e.site(), "__pycache__", "code_a.*.pyc"))
	if err != nil || len(compiled) != 1 {
		t.Fatalf("compiled %q, %v", compiled, err)
	}
	f := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input).InstalledFileAnalysis
	in := e.input.Layout.SitePackages[0]
	want := []pipinstall.ByteCode{
		{Path: in + "/lone/only.pyc", Package: "code", Why: []string{"shipped", "no-source"}},
		{Path: in + "/lone/short.pyc", Package: "code", Why: []string{"shipped", "no-source", "unreadable"}},
	}
	if diff := cmp.Diff(want, f.ByteCode); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	change(t, compiled[0], magic+"\x01\x00\x00\x00")
	f = run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input).InstalledFileAnalysis
	if len(f.ByteCode) != 3 || !cmp.Equal(f.ByteCode[0].Why, []string{"unchecked"}) {
		t.Errorf("byte code that is not checked: %+v", f.ByteCode)
	}
}

// memory is a distribution file that is kept in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
