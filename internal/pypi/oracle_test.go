package pypi

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// oraclePython returns an interpreter that can import the named modules:
// $PIP_WITNESS_ORACLE_PYTHON, else python3. The test is skipped without one.
func oraclePython(t *testing.T, modules ...string) string {
	t.Helper()
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		python = "python3"
	}
	for _, m := range modules {
		if err := exec.Command(python, "-c", "import "+m).Run(); err != nil {
			t.Skipf("%s cannot import %s (set PIP_WITNESS_ORACLE_PYTHON to an interpreter that can): %v", python, m, err)
		}
	}
	return python
}

// askOracle runs a script with input as JSON on stdin and decodes its output.
func askOracle(t *testing.T, python, script string, input, output any) {
	t.Helper()
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	if err := json.Unmarshal(out, output); err != nil {
		t.Fatalf("oracle output %q: %v", out, err)
	}
}

func oracleVersions() []string {
	return []string{
		"1.0", "1", "1.0.0", "v1.0", "1.0a1", "1.0.alpha-1", "1.0b2", "1.0rc1", "1.0c3", "1.0.pre", "1.0.dev0", "1.0.dev",
		"1.0a1.dev3", "1.0.post1", "1.0-1", "1.0.rev2", "1.0.post1.dev2", "1.0+local", "1.0+ubuntu-1_2", "1.0+1.2", "1.0+01",
		"1!1.0", "1!0.5", "2.0", "1.1", "1.10", "1.9", "1.4.5", "1.4.5a4", "1.5", "2.2", "2.2.post3", "2.3", "3.1", "3.0.dev0",
		"3.1.dev0", "3.1.post0", "3.1.post0.dev1", "3.2.post0", "3.11.7", "3.12", "0.0", "0", "2024.1.1", "1.0.0.0.1", " 1.2 ",
		"", "x", "1.0.x", "1..0", "1.0+", "1.0-", "1.0a1b1", "1.0post1", "1.0+LOCAL", "1_0", "1.0_post1", "99999999999.1",
	}
}

func oracleSpecifiers() []string {
	return []string{
		"==1.0", "==1", "==1.0.*", "==1.*", "!=1.*", "!=1.0", ">=1.0", "<=1.0", ">1.0", "<1.0", "~=1.0", "~=1.4.5", "~=1.4.5a4",
		"~=2.2.post3", "~=1", ">=1.0,<2", ">1.0,!=1.1", "==1.0+local", "==1.0+ubuntu.1.2", "!=1.0+local", ">=1.0+local", "===1.0",
		"===1.0+LOCAL", "<3.1", ">3.1", ">3.1.post0", "<3.1.dev1", "<=3.1", ">=3.1.dev0", "==1!1.*", "~=1!1.0", "<1!0", ">=0",
		"== 1.0 , < 2", "", ",", "1.0", "=1.0", ">=1.*", "==1.0a1.*", "==1.0.dev1.*", "==1.0.post1.*", "~=1.*", "=>1", "==", "== 1 2",
		">=1.0a1", ">=1.0.dev0", "<1.0rc1", "==1.0.0.0.*", "==v1.0",
	}
}

func TestVersionsAgainstPackaging(t *testing.T) {
	python := oraclePython(t, "packaging")
	type answer struct {
		Norm  map[string]*string  // normalised version, null when invalid
		Order map[string][]int    // comparisons with every version
		Match map[string][]string // specifier → versions it matches
	}
	var want answer
	askOracle(t, python, `
import json,sys
from packaging.version import Version
from packaging.specifiers import SpecifierSet
d=json.load(sys.stdin); vs={}
def norm(v):
    try: vs[v]=Version(v); return str(vs[v])
    except Exception: return None
r={"Norm":{v:norm(v) for v in d["v"]},"Match":{},"Order":{}}
for a in vs: r["Order"][a]=[(vs[a]>vs[b])-(vs[a]<vs[b]) for b in vs]
for s in d["s"]:
    try: S=SpecifierSet(s)
    except Exception: r["Match"][s]=None; continue
    r["Match"][s]=[v for v in vs if S.contains(vs[v],prereleases=True)]
print(json.dumps(r))`, map[string]any{"v": oracleVersions(), "s": oracleSpecifiers()}, &want)

	var valid []string
	parsed := map[string]Version{}
	for _, s := range oracleVersions() {
		v, err := ParseVersion(s)
		switch norm := want.Norm[s]; {
		case (err == nil) != (norm != nil):
			t.Errorf("ParseVersion(%q): error %v, packaging %v", s, err, norm)
		case err == nil && v.String() != *norm:
			t.Errorf("ParseVersion(%q) = %q, packaging %q", s, v, *norm)
		}
		if err == nil {
			valid, parsed[s] = append(valid, s), v
		}
	}
	if t.Failed() {
		return
	}
	for _, a := range valid {
		for i, b := range valid {
			if got := parsed[a].Compare(parsed[b]); got != want.Order[a][i] {
				t.Errorf("Compare(%q, %q) = %d, packaging %d", a, b, got, want.Order[a][i])
			}
		}
	}
	for _, s := range oracleSpecifiers() {
		spec, err := ParseSpecifiers(s)
		if (err == nil) != (want.Match[s] != nil) {
			t.Errorf("ParseSpecifiers(%q): error %v, packaging %v", s, err, want.Match[s])
			continue
		}
		matches := map[string]bool{}
		for _, v := range want.Match[s] {
			matches[v] = true
		}
		for _, v := range valid {
			if err == nil && spec.Match(parsed[v]) != matches[v] {
				t.Errorf("%q matches %q: %v, packaging %v", s, v, !matches[v], matches[v])
			}
		}
	}
}

func oracleEnv() map[string]string {
	return map[string]string{
		"python_version": "3.11", "python_full_version": "3.11.7", "os_name": "posix", "sys_platform": "linux",
		"platform_release": "6.18.0", "platform_system": "Linux", "platform_version": "#1 SMP", "platform_machine": "x86_64",
		"platform_python_implementation": "CPython", "implementation_name": "cpython", "implementation_version": "3.11.7",
	}
}

func oracleRequirements() []string {
	return []string{
		"requests", "requests[socks]", "requests[socks, security] >= 2.8.1, == 2.8.*", "PySocks (>=1.5.6,!=1.5.7) ; extra == 'socks'",
		`importlib-metadata>=3.6; python_version < "3.10"`, `colorama; sys_platform == "win32"`, `a; python_version >= "3.9" and (os_name == "posix" or extra == "x")`,
		"name @ https://files.example/name-1.0.tar.gz", "name@https://files.example/a.whl ; python_version > '3'", "name @ https://files.example/a;b",
		`x; "3.11" in python_version`, `x; python_version in "3.10 3.11"`, `x; platform_machine not in "x86_64 arm64"`, `x; 'linux' in sys_platform`,
		`x; python_full_version < "3.11.4"`, `x; python_full_version~="3.11.0"`, `x; platform_release >= "5"`, `x; platform_version >= "5"`,
		`x; os_name < "z"`, `x; os_name >= "posix"`, `x; os_name ~= "posix"`, `x; extra == "Dev_Tools"`, `x; extra != "dev-tools"`, `x; os.name == 'posix'`,
		`x; python_implementation == "CPython"`, `x; python_version == "3.11.*"`, `x; python_version === "3.11"`, `x; "3" == "3"`,
		`x; python_version == os_name`, "x;", "x[", "x[]", "x[a", "x[a b]", "x>=", "x>=1,", "x (>=1", "x 1.0", "-x", "x-", "x @", "x @ ", "",
		"A.B-C_d~=1.0", "x!=1.*", "x==1.0+l", "x; (((os_name == 'posix')))", "x; os_name == 'posix' or", "x; bogus == 'a'", `x; os_name == "a'b"`,
		"x>=1;os_name=='nt'or sys_platform=='linux'and extra=='dev-tools'", "x ; python_version<'3' or python_version>'2'", "x===any.thing-1",
		"x >=1 , <2", "x\t>=1", "x()", "x ( >= 1 )", "x>=1 ; extra == 'a' # c", "x@ file:///srv/x.whl", "x>=1.*", "x\n", "x; os_name not  in 'a'",
	}
}

func TestRequirementsAgainstPackaging(t *testing.T) {
	python := oraclePython(t, "packaging")
	type answer struct {
		Name, URL string
		Extras    []string
		Spec      []string
		Holds     []any // no extra, "dev.tools"
	}
	want := map[string]*answer{}
	askOracle(t, python, `
import json,sys
from packaging.requirements import Requirement
d=json.load(sys.stdin); out={}
for s in d["r"]:
    try: r=Requirement(s)
    except Exception: out[s]=None; continue
    holds=[]
    for e in ["","dev.tools"]:
        if not r.marker: holds.append(True); continue
        try: holds.append(r.marker.evaluate(dict(d["env"],extra=e)))
        except Exception: holds.append("error")
    out[s]=dict(Name=r.name,URL=r.url or "",Extras=sorted(r.extras),Spec=sorted(str(x) for x in r.specifier),Holds=holds)
print(json.dumps(out))`, map[string]any{"r": oracleRequirements(), "env": oracleEnv()}, &want)
	for _, s := range oracleRequirements() {
		r, err := ParseRequirement(s)
		w := want[s]
		if (err == nil) != (w != nil) {
			t.Errorf("ParseRequirement(%q): error %v, packaging %+v", s, err, w)
			continue
		}
		if err != nil {
			continue
		}
		if r.Name != w.Name || r.URL != w.URL || len(r.Extras) != len(w.Extras) || len(r.Specifiers) != len(w.Spec) {
			t.Errorf("ParseRequirement(%q) = %+v, packaging %+v", s, r, w)
		}
		if r.Marker == nil {
			continue
		}
		for i, extra := range []string{"", "dev.tools"} {
			got, err := r.Marker.Eval(oracleEnv(), extra)
			if wantErr := w.Holds[i] == "error"; wantErr != (err != nil) || !wantErr && got != w.Holds[i] {
				t.Errorf("%q with extra %q: %v, %v; packaging %v", s, extra, got, err, w.Holds[i])
			}
		}
		if again, err := ParseMarker(r.Marker.String()); err != nil || again.String() != r.Marker.String() {
			t.Errorf("marker of %q written as %q: %v", s, r.Marker, err)
		}
	}
}

func TestFileNamesAgainstPackaging(t *testing.T) {
	python := oraclePython(t, "packaging")
	names := []string{
		"six-1.17.0-py2.py3-none-any.whl", "numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"a_b.c-1.0-1build-py3-none-any.whl", "a-1.0-py3-none-any.whl", "a-1.0-none-any.whl", "a-b-1.0-py3-none-any.whl", "a__b-1-py3-none-any.whl",
		"a-x-py3-none-any.whl", "a-1.0-b1-py3-none-any.whl", "a-1.0-py3-none-any.zip", "-1.0-py3-none-any.whl", "a-1.0+l.1-py3-none-any.whl",
		"six-1.17.0.tar.gz", "zope.interface-6.0.zip", "my-pkg-1.0a1.tar.gz", "a.tar.gz", "a-1.0.tar", "-1.0.tar.gz", "a-1.0-1.tar.gz",
	}
	var want map[string][]string
	askOracle(t, python, `
import json,sys
from packaging.utils import parse_wheel_filename,parse_sdist_filename
out={}
for n in json.load(sys.stdin):
    try:
        r=parse_wheel_filename(n) if n.endswith(".whl") else parse_sdist_filename(n)
        out[n]=[r[0],str(r[1])]
    except Exception: out[n]=None
print(json.dumps(out))`, names, &want)
	for _, n := range names {
		name, version, _, ok := FileIdentity(n)
		if w := want[n]; ok != (w != nil) || ok && (name != w[0] || version.String() != w[1]) {
			t.Errorf("FileIdentity(%q) = %q, %q, %v; packaging %v", n, name, version, ok, w)
		}
	}
}
