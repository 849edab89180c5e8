package pipinstall

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuildSystem(t *testing.T) {
	for name, test := range map[string]struct {
		toml    string
		want    Pyproject
		scripts []string
	}{
		"known": {"[build-system]\nrequires = ['setuptools>=61']\nbuild-backend = 'setuptools.build_meta'\n",
			Pyproject{BuildBackend: "setuptools.build_meta", BuildRequires: []string{"setuptools>=61"}}, nil},
		"in tree": {"[build-system]\nrequires = []\nbuild-backend = 'own'\nbackend-path = ['_b']\n",
			Pyproject{BuildBackend: "own", BuildRequires: []string{}, BackendPath: []string{"_b"}, IsCustomBackend: true}, nil},
		"unknown":  {"[build-system]\nbuild-backend = 'nobody.knows'\n", Pyproject{BuildBackend: "nobody.knows", BuildRequires: []string{}, IsCustomBackend: true}, nil},
		"none":     {"[project]\nname = 'x'\n", Pyproject{BuildRequires: []string{}}, nil},
		"commands": {"[tool.setuptools.cmdclass]\ninstall = 'own.Install'\n", Pyproject{BuildRequires: []string{}, CmdClass: []string{"install = own.Install"}}, nil},
		"hatch": {"[tool.hatch.build.hooks.custom]\n[tool.hatch.build.hooks.vcs]\nversion-file='v'\n[tool.hatch.build.targets.wheel.hooks.custom]\npath = 'own/hook.py'\n",
			Pyproject{BuildRequires: []string{}, Hooks: []string{"hatch: custom", "hatch: vcs", "hatch: wheel.custom"}}, []string{"hatch_build.py", "own/hook.py"}},
		"poetry": {"[tool.poetry.build]\nscript = 'build.py'\n", Pyproject{BuildRequires: []string{}, Hooks: []string{"poetry: build.py"}}, []string{"build.py"}},
		"older":  {"[tool.poetry]\nbuild = 'build.py'\n", Pyproject{BuildRequires: []string{}, Hooks: []string{"poetry: build.py"}}, []string{"build.py"}},
		"pdm":    {"[tool.pdm.build]\nsetup-script = 's.py'\n", Pyproject{BuildRequires: []string{}, Hooks: []string{"pdm: s.py"}}, []string{"s.py"}},
	} {
		got, scripts := buildSystem("p", []byte(test.toml))
		test.want.Package, test.want.Path = "p", "pyproject.toml"
		if diff := cmp.Diff(test.want, got); diff != "" || !cmp.Equal(test.scripts, scripts) {
			t.Errorf("%s: scripts %q (-want +got):\n%s", name, scripts, diff)
		}
	}
	if got, _ := buildSystem("p", []byte("[[[")); !strings.HasPrefix(got.Error, "parse pyproject.toml") {
		t.Errorf("broken: %+v", got)
	}
}

func TestSetupConfig(t *testing.T) {
	got := setupConfig("p", []byte("# comment\n[metadata]\nname = p\ncmdclass = no\n[options]\nsetup_requires =\n  cython>=3 ; python_version>'3'\n  evil\ncmdclass =\n\tinstall = own.Install\npackages: find:\n"))
	want := Pyproject{Package: "p", Path: "setup.cfg", BuildRequires: []string{"cython>=3 ; python_version>'3'", "evil"}, CmdClass: []string{"install = own.Install"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBuildRoles says which files of a source run in its build.
func TestBuildRoles(t *testing.T) {
	b := &build{c: &collector{}, key: "p", files: map[string][]byte{
		"setup.py":       []byte("cmdclass = {}\n"),
		"pyproject.toml": []byte("[build-system]\nbuild-backend = 'own.backend:x'\nbackend-path = ['.', 'more/']\n[tool.hatch.build.hooks.custom]\npath='./h.py'\n"),
	}}
	b.read()
	for name, want := range map[string]string{
		"setup.py": roleSetup, "own/backend.py": roleBackend, "more/deep/x.py": roleBackend, "h.py": roleHook,
		"own/other.py": "", "src/setup.py": "", "moreover/x.py": "",
	} {
		if got := b.role(name); got != want {
			t.Errorf("%s: role %q, want %q", name, got, want)
		}
	}
	b.hook("setup.py", b.files["setup.py"])
	var p Package
	b.write(&p)
	if !*p.HasSetupPy || !*p.HasCmdClass || len(b.c.predicate.NotExamined) != 2 { // more and h.py have no file here
		t.Errorf("%+v, not examined %+v", p, b.c.predicate.NotExamined)
	}
}
