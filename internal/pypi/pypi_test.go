package pypi

import (
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

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"PyYAML": "pyyaml", "zope.interface": "zope-interface", "a__b--c..d": "a-b-c-d", "Foo-_.Bar": "foo-bar", "": "", "six": "six",
	} {
		if got := Normalize(in); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseMetadata(t *testing.T) {
	text := strings.ReplaceAll(`Metadata-Version: 2.4
Name: demo
Version: 1.0
Summary: a summary
 that goes on
Author-email: A <a@files.example>
License: line one
        line two
       |line three
License-Expression: MIT
Classifier: License :: OSI Approved :: MIT License
Classifier: Topic :: Test
Requires-Dist: six
requires-dist: x; extra == "a"
Provides-Extra: a
Project-URL: Home, https://demo.example/a,b
Requires-Python: >=3.8
Unknown-Field: kept out

The description.

Name: not a field
`, "\n", "\r\n")
	got, err := ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{
		MetadataVersion: "2.4", Name: "demo", Version: "1.0", Summary: "a summary that goes on", AuthorEmail: "A <a@files.example>",
		License: "line one\nline two\nline three", LicenseExpression: "MIT", Classifiers: []string{"License :: OSI Approved :: MIT License", "Topic :: Test"},
		RequiresDist: []string{"six", `x; extra == "a"`}, ProvidesExtra: []string{"a"}, ProjectURLs: []ProjectURL{{"Home", "https://demo.example/a,b"}},
		RequiresPython: ">=3.8", Description: "The description.\n\nName: not a field\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{"empty": "", "no name": "Version: 1\n", "body only": "\nName: x\nVersion: 1\n", "broken line": "Name: x\nbroken\nVersion: 1\n"} {
		if _, err := ParseMetadata([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m, err := ParseMetadata([]byte("Name: x\nVersion: 1\nVersion: 2\nLicense: \xff\nbroken\n"))
	if err != nil || m.Version != "1" || len(m.Defects) != 3 {
		t.Errorf("defects %q, version %q, %v", m.Defects, m.Version, err)
	}
}

func TestParseRecord(t *testing.T) {
	got, err := ParseRecord([]byte("a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n\"b,\"\"c.py\",,\n../../../bin/x,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []RecordEntry{
		{Path: "a.py", Algorithm: "sha256", Digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Size: 0},
		{Path: `b,"c.py`, Size: -1}, {Path: "../../../bin/x", Size: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for in, want := range map[string]string{
		"a\n": "line 1: 1 fields, want 3", "a,,\nb,x,\n": `line 2: digest "x"`, "a,,-1\n": "line 1: size", ",,\n": "line 1: no path", "a,sha256=%%,\n": "line 1: digest",
	} {
		if _, err := ParseRecord([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRecord(%q): %v, want %q", in, err, want)
		}
	}
	for in, want := range map[string]string{"a/b": "a/b", "a/../../x": "", "/etc/passwd": "", "..": "", `..\x`: "", "a/./b": "a/b"} {
		if got, _ := (RecordEntry{Path: in}).Inside(); got != want {
			t.Errorf("Inside(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestImportNames(t *testing.T) {
	for name, test := range map[string]struct {
		key, files, top, ns, want string
	}{
		"pyyaml":           {"pyyaml", "yaml/__init__.py yaml/_yaml.cpython-311-x86_64-linux-gnu.so _yaml/__init__.py PyYAML-6.dist-info/METADATA", "", "", "yaml _yaml"},
		"pillow":           {"pillow", "PIL/__init__.py PIL/Image.py pillow.libs/libjpeg-1.so.62", "", "", "PIL"},
		"opencv":           {"opencv-python", "cv2/__init__.py cv2/cv2.abi3.so opencv_python.libs/libav.so", "", "", "cv2"},
		"setuptools":       {"setuptools", "setuptools/__init__.py pkg_resources/__init__.py _distutils_hack/__init__.py distutils-precedence.pth", "", "", "setuptools pkg_resources _distutils_hack"},
		"six":              {"six", "six.py __pycache__/six.cpython-311.pyc", "", "", "six"},
		"attrs":            {"attrs", "attr/__init__.py attrs/__init__.py", "", "", "attrs attr"},
		"extension":        {"x", "_x.abi3.so y.so z.cpython-311-x86_64-linux-gnu.so libq.so.1", "", "", "y z _x"},
		"namespace":        {"google-cloud-storage", "google/cloud/storage/__init__.py google/cloud/storage/a.py", "", "", "google.cloud.storage"},
		"old namespace":    {"zope-interface", "zope/__init__.py zope/interface/__init__.py", "zope", "zope", "zope.interface"},
		"modules in it":    {"core", "ns/a.py ns/_b.py", "", "", "ns.a ns._b"},
		"tests beside":     {"x", "x/__init__.py tests/__init__.py tests/test_a.py bin/run.py", "", "", "x"},
		"only tests":       {"x", "tests/__init__.py", "", "", "tests"},
		"data":             {"x", "x-1.0.data/purelib/y/__init__.py share/doc/x.txt ../../../bin/x", "", "", ""},
		"strays":           {"x", "__init__.py setup.py conftest.py x.py", "", "", "x"},
		"editable":         {"x", "__editable__.x-1.pth __editable___x_finder.py x-1.dist-info/RECORD", "x _x", "", "x _x"},
		"stubs":            {"types-x", "x-stubs/__init__.pyi", "", "", ""},
		"keyword":          {"x", "class.py import/__init__.py ok.py", "", "", "ok"},
		"hostile":          {"x", "../y.py /z.py a b/c.py 1a.py", "", "", ""},
		"namespace module": {"x", "a/__init__.py/b.py", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := Distribution{Key: test.key, TopLevel: strings.Fields(test.top), Namespaces: strings.Fields(test.ns)}
			for _, f := range strings.Fields(test.files) {
				d.Record = append(d.Record, RecordEntry{Path: f, Size: -1})
			}
			want := strings.Fields(test.want)
			if name == "hostile" {
				want = []string{"b.c"} // a namespace package like any other
			}
			if got := ImportNames(d); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// plant writes files below dir.
func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInstalled(t *testing.T) {
	host := t.TempDir()
	outside := t.TempDir()
	plant(t, outside, map[string]string{"METADATA": "Name: secret\nVersion: 1\n"})
	plant(t, host, map[string]string{
		"venv/lib/site/Demo-1.dist-info/METADATA":        "Name: Demo\nVersion: 1\nRequires-Dist: old\n",
		"venv/lib/site/Demo-1.dist-info/RECORD":          "demo.py,,\n",
		"venv/lib/site/Demo-1.dist-info/INSTALLER":       "pip\n",
		"venv/lib/site/Demo-1.dist-info/REQUESTED":       "",
		"venv/lib/site/Demo-1.dist-info/WHEEL":           "Wheel-Version: 1.0\nTag: py3-none-any\n",
		"venv/lib/site/Demo-1.dist-info/direct_url.json": `{"url":"file:///x","dir_info":{"editable":true}}`,
		"venv/lib/site/bad-1.dist-info/METADATA":         "no fields",
		"venv/lib/site/half-1.dist-info/METADATA":        "Name: half\nVersion: 1\n",
		"venv/lib/site/half-1.dist-info/RECORD":          "one\n",
		"venv/lib/site/old-2.egg-info/PKG-INFO":          "Name: old\nVersion: 2\n",
		"venv/lib/site/old-2.egg-info/requires.txt":      "a>=1\n\n[fast:python_version < '4']\nb\n",
		"venv/lib/site/~emo-1.dist-info/METADATA":        "Name: Demo\nVersion: 0\n",
		"venv/lib/site/linked.egg-link":                  "/home/user/src\n.\n",
		"src/linked.egg-info/PKG-INFO":                   "Name: linked\nVersion: 3\n",
	})
	for link, target := range map[string]string{"lib/site/evil-1.dist-info": outside, "lib64": "lib"} {
		if err := os.Symlink(target, filepath.Join(host, "venv", link)); err != nil {
			t.Fatal(err)
		}
	}
	layout := attest.Layout{
		Prefix: "/home/user/venv", SitePackages: []string{"/home/user/venv/lib/site", "/home/user/venv/lib64/site", "/home/user/venv/none"},
		Mounts: []attest.Mount{{Inside: "/home/user/venv", Outside: filepath.Join(host, "venv")}, {Inside: "/home/user", Outside: host}},
	}
	env, err := Installed(layout)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range env.Distributions {
		got = append(got, strings.Join([]string{d.Key, d.Version, d.Format, d.Location}, " "))
	}
	want := []string{"demo 1 dist-info /home/user/venv/lib/site", "half 1 dist-info /home/user/venv/lib/site", "linked 3 egg-link /home/user/src", "old 2 egg-info /home/user/venv/lib/site"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(env.Problems) != 2 || !strings.Contains(env.Problems[0], "bad-1") || !strings.Contains(env.Problems[1], "evil-1") {
		t.Errorf("problems %q", env.Problems)
	}
	d := env.Find("DEMO")
	if d == nil || !d.Requested || d.Installer != "pip" || d.DirectURL == nil || !d.DirectURL.DirInfo.Editable || len(d.Record) != 1 || d.Wheel.Tags[0] != "py3-none-any" {
		t.Errorf("demo %+v", d)
	}
	if p := env.Find("half").Problems; len(p) != 1 || !strings.Contains(p[0], "RECORD") {
		t.Errorf("half: problems %q", p)
	}
	if r := env.Find("old").Metadata.RequiresDist; !slices.Equal(r, []string{"a>=1", `b ; (python_version < '4') and extra == "fast"`}) {
		t.Errorf("old requires %q", r)
	}
	if _, err := Installed(attest.Layout{SitePackages: []string{"/nowhere/at/all"}}); err == nil {
		t.Error("no error without a site directory")
	}
}

func TestDependencies(t *testing.T) {
	env := Environment{Distributions: []Distribution{
		{Key: "app", Metadata: Metadata{RequiresDist: []string{"lib[fast]>=1", "gone; extra == 'x'", "win; sys_platform == 'win32'", "app[all]; extra == 'y'", "deep; extra == 'all'", "bad bad"}}},
		{Key: "lib", Metadata: Metadata{RequiresDist: []string{"speed; extra == 'fast'", "app"}}},
		{Key: "speed"}, {Key: "deep"},
	}}
	g := Dependencies(env, oracleEnv(), map[string][]string{"App": {"X", "y"}})
	want := map[string][]string{"app": {"deep", "gone", "lib"}, "lib": {"app", "speed"}, "speed": nil, "deep": nil}
	if diff := cmp.Diff(want, g.Requires); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(g.Edges("app"), []string{"deep", "lib"}) || !slices.Equal(g.RequiredBy("speed"), []string{"lib"}) {
		t.Errorf("edges %q, required by %q", g.Edges("app"), g.RequiredBy("speed"))
	}
	if len(g.Missing) != 1 || len(g.Problems) != 1 {
		t.Errorf("missing %q, problems %q", g.Missing, g.Problems)
	}
}

// TestDependenciesAreBounded asks for each of many extras, which decide on as many
// requirements, one after the other.
func TestDependenciesAreBounded(t *testing.T) {
	const extras = 20_000
	var chain, wide []string
	for i := range extras {
		chain = append(chain, fmt.Sprintf("a[e%d]; extra == 'e%d'", i+1, i))
		wide = append(wide, fmt.Sprintf("b; extra == 'e%d'", i))
	}
	env := Environment{Distributions: []Distribution{
		{Key: "a", Metadata: Metadata{RequiresDist: slices.Concat(wide, chain)}}, {Key: "b", Metadata: Metadata{RequiresDist: []string{"a[e0]"}}},
		{Key: "c", Metadata: Metadata{RequiresDist: []string{"b"}}},
	}}
	started := time.Now()
	g := Dependencies(env, oracleEnv(), nil)
	if took := time.Since(started); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if len(g.Problems) != 1 || !strings.HasPrefix(g.Problems[0], "a: ") || !strings.Contains(g.Problems[0], "were not decided") {
		t.Errorf("problems %q", g.Problems)
	}
	if !slices.Equal(g.Edges("a"), []string{"b"}) || !slices.Equal(g.Edges("b"), []string{"a"}) || !slices.Equal(g.Edges("c"), []string{"b"}) {
		t.Errorf("edges %q, %q, %q", g.Edges("a"), g.Edges("b"), g.Edges("c"))
	}
}

func TestOriginOf(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	install := &evidence.Installation{
		Downloads: []evidence.Download{
			{Filename: "demo-1.0-py3-none-any.whl.metadata", GatewayURL: "http://127.0.0.1:1/s/demo-1.0-py3-none-any.whl", Metadata: true},
			{Filename: "demo-1.0-py3-none-any.whl", URL: "https://files.example/demo.whl", GatewayURL: "http://127.0.0.1:1/s/demo-1.0-py3-none-any.whl", Index: "https://index.example/", Digests: evidence.DigestSet{"sha256": sum}},
		},
		LocalFiles: []evidence.LocalFile{{Path: "dist/loc-1.tar.gz", SandboxPath: "/home/user/project/loc-1.tar.gz", Kind: "sdist", Digests: evidence.DigestSet{"sha256": "cd"}}},
	}
	item := func(name, info string) *Report {
		r, err := ParseReport([]byte(`{"version":"1","install":[{"metadata":{"name":"` + name + `","version":"1.0.0"},"requested":true,"download_info":` + info + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return &r
	}
	for name, test := range map[string]struct {
		key    string
		report *Report
		want   Origin
	}{
		"gateway": {"demo", item("Demo", `{"url":"http://127.0.0.1:1/s/demo-1.0-py3-none-any.whl#sha256=x","archive_info":{}}`), Origin{Kind: OriginWheel, Filename: "demo-1.0-py3-none-any.whl",
			URL: "https://files.example/demo.whl", Index: "https://index.example/", Digests: evidence.DigestSet{"sha256": sum}, Witnessed: true, Requested: true, Download: &install.Downloads[1]}},
		"no report": {"demo", nil, Origin{Kind: OriginWheel, Filename: "demo-1.0-py3-none-any.whl", URL: "https://files.example/demo.whl", Index: "https://index.example/",
			Digests: evidence.DigestSet{"sha256": sum}, Witnessed: true, Download: &install.Downloads[1]}},
		"local": {"loc", item("loc", `{"url":"file:///home/user/project/loc-1.tar.gz","archive_info":{"hash":"sha256=cd"}}`), Origin{Kind: OriginSdist, Filename: "loc-1.tar.gz",
			URL: "file:dist/loc-1.tar.gz", Digests: evidence.DigestSet{"sha256": "cd"}, Witnessed: true, Requested: true, Local: &install.LocalFiles[0]}},
		"claimed": {"else", item("else", `{"url":"https://u:p@files.example/else-1.0.zip?token=s","archive_info":{"hashes":{"sha256":"EF"}}}`), Origin{Kind: OriginSdist, Filename: "else-1.0.zip",
			URL: "https://files.example/else-1.0.zip?token=%3Credacted%3E", Digests: evidence.DigestSet{"sha256": "ef"}, Requested: true}},
		"checkout": {"v", item("v", `{"url":"https://files.example/v.git","vcs_info":{"vcs":"git","commit_id":"0123"}}`), Origin{Kind: OriginVCS, URL: "https://files.example/v.git", VCS: "git", Commit: "0123", Requested: true}},
		"editable": {"d", item("d", `{"url":"file:///home/user/d","dir_info":{"editable":true}}`), Origin{Kind: OriginDirectory, URL: "file:///home/user/d", Editable: true, Requested: true}},
		"unknown":  {"u", nil, Origin{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := OriginOf(Distribution{Key: test.key, Version: "1.0"}, install, test.report)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClassifyArgument(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		"demo-1.0-py3-none-any.whl": "", "demo-1.0.tar.gz": "", "proj/pyproject.toml": "", "empty/x": "", "requirements.txt": "", "flask/setup.py": "", "odd.whl": "",
	})
	type result struct {
		Kind             ArgumentKind
		Name, Host, Path string
		Extras           []string
	}
	for in, want := range map[string]result{
		"requests>=2":                                   {Kind: ArgumentName, Name: "requests"},
		"requests[socks] ; os_name=='posix'":            {Kind: ArgumentName, Name: "requests", Extras: []string{"socks"}},
		"flask":                                         {Kind: ArgumentName, Name: "flask"}, // a directory of that name does not count without a separator
		"./flask":                                       {Kind: ArgumentDirectory, Path: dir + "/flask"},
		"proj[a,b]":                                     {Kind: ArgumentName, Name: "proj", Extras: []string{"a", "b"}},
		"./proj[a]":                                     {Kind: ArgumentDirectory, Path: dir + "/proj", Extras: []string{"a"}},
		"demo-1.0-py3-none-any.whl":                     {Kind: ArgumentWheel, Name: "demo", Path: dir + "/demo-1.0-py3-none-any.whl"},
		"./demo-1.0-py3-none-any.whl[x]":                {Kind: ArgumentWheel, Name: "demo", Path: dir + "/demo-1.0-py3-none-any.whl", Extras: []string{"x"}},
		dir + "/demo-1.0.tar.gz":                        {Kind: ArgumentSdist, Name: "demo", Path: dir + "/demo-1.0.tar.gz"},
		"file://" + dir + "/demo-1.0.tar.gz":            {Kind: ArgumentSdist, Name: "demo", Path: dir + "/demo-1.0.tar.gz"},
		"demo @ file://" + dir + "/demo-1.0.tar.gz":     {Kind: ArgumentSdist, Name: "demo", Path: dir + "/demo-1.0.tar.gz"},
		"git+https://git.example/a/b.git@main#egg=c[d]": {Kind: ArgumentVCS, Name: "c", Host: "git.example", Extras: []string{"d"}},
		"c @ git+ssh://git@git.example/a":               {Kind: ArgumentVCS, Name: "c", Host: "git.example"},
		"https://files.example/x/demo-1.0.zip":          {Kind: ArgumentURL, Name: "demo", Host: "files.example"},
	} {
		a, err := ClassifyArgument(in, dir, false)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, result{a.Kind, a.Name, a.Host, a.Path, a.Extras}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for in, want := range map[string]string{
		"": "empty", "./none.whl": "no such file", "none-1.0.tar.gz": "no such file", "./empty": "no Python project", "./requirements.txt": "not a distribution file",
		"odd.whl": "5 parts", "requests=2": "column", "requests ==": "column", "-x": "starts with", "ftp://files.example/x.whl": "scheme", "https:///x.whl": "no host",
		"x @ nowhere": "not a URL", "a b": "column", "x; bogus": "column",
	} {
		_, err := ClassifyArgument(in, dir, false)
		var input *InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), strings.ReplaceAll(want, "5 parts", "parts")) || input.Hint == "" {
			t.Errorf("%q: %v, want %q and a hint", in, err, want)
		}
	}
}

func TestReadRequirements(t *testing.T) {
	dir := t.TempDir()
	sum := strings.Repeat("ab", 32)
	plant(t, dir, map[string]string{
		"all.txt": "\ufeff# comment\n-r sub/more.txt  # why\n--index-url https://${USER_X}@index.example/simple\nrequests[socks]>=2 \\\n  --hash=sha256:" + sum + " \\\n  --hash sha256:" + sum + "\n\n" +
			"-c sub/limits.txt\n-e ./proj\n./demo-1.0-py3-none-any.whl ; python_version > '3'\n--find-links wheels --pre\nurl @ https://files.example/url-1.zip#sha256=00\n",
		"sub/more.txt": "flask # inline\n-r ../sub/deeper.txt\n", "sub/deeper.txt": "six==1.0;os_name=='posix'\n", "sub/limits.txt": "idna<4\n",
		"proj/setup.py": "", "demo-1.0-py3-none-any.whl": "", "loop.txt": "-r loop.txt\n", "bad.txt": "ok\n\nrequests=2\n", "opt.txt": "--upgrade x\n", "missing.txt": "six\n-r none.txt\n", "utf16.txt": "\xff\xfes\x00", "url.txt": "-r https://files.example/r.txt\n",
	})
	set, err := ReadRequirements("all.txt", dir, false, func(n string) (string, bool) { return "me", n == "USER_X" })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range set.Requirements {
		got = append(got, strings.Join([]string{strings.TrimPrefix(r.File, dir+"/"), string(rune('0' + r.Line)), string(r.Argument.Kind), r.Argument.Name, strings.Join(r.Hashes, "+")}, " "))
	}
	want := []string{"sub/more.txt 1 name flask ", "sub/deeper.txt 1 name six ", "all.txt 4 name requests sha256:" + sum + "+sha256:" + sum, "all.txt 9 directory  ", "all.txt : wheel demo ", "all.txt < url url "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(set.Constraints) != 1 || set.Constraints[0].Argument.Name != "idna" || len(set.Files) != 4 || !set.Files[3].Constraint {
		t.Errorf("constraints %+v, files %+v", set.Constraints, set.Files)
	}
	wantOptions := []OptionLine{{dir + "/all.txt", 3, "--index-url", "https://me@index.example/simple"}, {dir + "/all.txt", 11, "--find-links", "wheels"}, {dir + "/all.txt", 11, "--pre", ""}}
	if diff := cmp.Diff(wantOptions, set.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	wantPaths := []string{"/all.txt", "/demo-1.0-py3-none-any.whl", "/proj", "/sub/deeper.txt", "/sub/limits.txt", "/sub/more.txt", "/wheels"}
	for i := range wantPaths {
		wantPaths[i] = dir + wantPaths[i]
	}
	if diff := cmp.Diff(wantPaths, set.LocalPaths()); diff != "" {
		t.Errorf("local paths (-want +got):\n%s", diff)
	}
	for file, want := range map[string]string{
		"loop.txt": "loop.txt:1: ", "bad.txt": "bad.txt:3: ", "opt.txt": "opt.txt:1: option", "missing.txt": "missing.txt:2: requirements file", "none.txt": "no such file",
		"utf16.txt": "not UTF-8", "url.txt": "is a URL", "proj": "not a regular file",
	} {
		_, err := ReadRequirements(file, dir, false, nil)
		var input *InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), want) || input.Hint == "" {
			t.Errorf("%s: %v, want %q and a hint", file, err, want)
		}
	}
}

// TestLogicalLines compares comments and continuations with the installer's own reader.
func TestLogicalLines(t *testing.T) {
	if err := exec.Command("python3", "-c", "from pip._internal.req.req_file import preprocess").Run(); err != nil {
		t.Skipf("needs python3 with pip: %v", err)
	}
	for name, text := range map[string]string{
		"plain": "a\nb\n", "comment": "# x\na # y\nb#c\n", "continued": "a \\\n  b\\\nc\nd\n", "comment ends": "a \\\n# c \\\nb\n", "last": "a\\", "blank": "a\\\n\nb\n", "crlf": "a\r\nb \\\r\n c\r\n",
		"hash": "a \\\n  --hash=x # z \\\nb\n", "only comment": "#", "spaces": "   \n  a  \n",
	} {
		var want [][]any
		askOracle(t, "python3", `
import json,sys
from pip._internal.req.req_file import preprocess
print(json.dumps([[n,l.strip()] for n,l in preprocess(json.load(sys.stdin))]))`, text, &want)
		lines, err := logicalLines([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := [][]any{}
		for _, l := range lines {
			got = append(got, []any{float64(l.number), l.text})
		}
		if want == nil {
			want = [][]any{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-pip +got):\n%s", name, diff)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte("Metadata-Version: 2.1\nName: x\nVersion: 1\nLicense: a\n        b\n\nbody"))
	f.Add([]byte("Name: x\r\nVersion: 1\r\nProject-URL: a, b\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := ParseMetadata(data); err == nil && (m.Name == "" || m.Version == "") {
			t.Error("no error, and no name or version")
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\"b,c\",,\n"))
	f.Add([]byte("\"a\"\"b\",,\n../../x,,1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseRecord(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if p, ok := e.Inside(); ok && (filepath.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../")) {
				t.Errorf("%q escapes as %q", e.Path, p)
			}
		}
		ImportNames(Distribution{Key: "x", Record: entries})
	})
}

func FuzzParseRequirement(f *testing.F) {
	for _, s := range oracleRequirements() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRequirement(s)
		if err != nil {
			return
		}
		again, err := ParseRequirement(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is written as %q, read as %q: %v", s, r, again, err)
		}
		_, _ = r.Marker.Eval(oracleEnv(), "x")
	})
}

func FuzzFileIdentity(f *testing.F) {
	f.Add("six-1.17.0-py2.py3-none-any.whl")
	f.Add("my-pkg-1.0a1.tar.gz")
	f.Fuzz(func(t *testing.T, s string) {
		if name, v, _, ok := FileIdentity(s); ok && (name == "" || v.String() == "") {
			t.Errorf("%q: name %q, version %q", s, name, v)
		}
	})
}

func FuzzSpecifiers(f *testing.F) {
	for _, s := range oracleSpecifiers() {
		f.Add(s, "1.0")
	}
	f.Fuzz(func(t *testing.T, spec, version string) {
		s, err := ParseSpecifiers(spec)
		v, errV := ParseVersion(version)
		if err == nil && errV == nil {
			s.Match(v)
		}
	})
}

func FuzzRequirementsFile(f *testing.F) {
	f.Add("requests \\\n --hash=sha256:00 # x\n-r ${A}\n--pre -f x\n-e .\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") || strings.Contains(text, "..") {
			return // stays in its own directory
		}
		dir := t.TempDir()
		plant(t, dir, map[string]string{"r.txt": text})
		_, err := ReadRequirements("r.txt", dir, false, nil)
		var input *InputError
		if err != nil && (!errors.As(err, &input) || input.Hint == "") {
			t.Errorf("%v: not an input error with a hint", err)
		}
	})
}
