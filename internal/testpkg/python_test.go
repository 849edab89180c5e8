package testpkg

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python returns the interpreter, or skips the test where there is none that
// can do what the code asks for.
func python(t *testing.T, code string) string {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	if out, err := exec.CommandContext(t.Context(), interpreter, "-c", code).CombinedOutput(); err != nil {
		t.Skipf("needs a python3 that can %q: %s", code, bytes.TrimSpace(out))
	}
	return interpreter
}

// run starts the interpreter in dir with a throw-away home, and returns what
// it printed.
func run(t *testing.T, dir, interpreter string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, interpreter, args...)
	command.Dir = dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PIP_") && !strings.HasPrefix(variable, "PYTHON") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, "HOME="+t.TempDir(), "PIP_NO_CACHE_DIR=1",
		"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_CONFIG_FILE="+os.DevNull)
	out, err := command.CombinedOutput()
	return string(out), err
}

// pip accepts every honest package that needs no network, and each imports.
func TestHonestInstallAndImport(t *testing.T) {
	interpreter := python(t, "import pip")
	files, target := t.TempDir(), t.TempDir()
	arguments := []string{"-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target}
	var installed []Package
	for _, p := range Honest() {
		if p.Name == "testpkg-cext" {
			continue // its build requires setuptools: TestSetuptoolsExtension
		}
		if _, err := exec.LookPath("cc"); err != nil && p.Name == "testpkg-cext-intree" {
			t.Logf("%s left out: needs a C compiler", p.Name)
			continue
		}
		path, err := p.Build(files)
		if err != nil {
			t.Fatal(err)
		}
		arguments, installed = append(arguments, path), append(installed, p)
	}
	if out, err := run(t, target, interpreter, arguments...); err != nil {
		t.Fatalf("pip install: %v\n%s", err, out)
	}
	for _, p := range installed {
		t.Run(p.Name, func(t *testing.T) {
			info := filepath.Join(target, escapeName(p.Name)+"-"+p.Version+".dist-info", "RECORD")
			if _, err := os.Stat(info); err != nil {
				t.Errorf("not installed: %v", err)
			}
			code := "import sys; sys.path.insert(0, sys.argv[1])"
			for _, name := range p.Modules {
				code += "; import " + name
			}
			if out, err := run(t, target, interpreter, "-c", code, target); err != nil {
				t.Errorf("import: %v\n%s", err, out)
			}
		})
	}
	t.Run("console script runs", func(t *testing.T) {
		out, err := run(t, target, interpreter, "-c",
			"import sys; sys.path.insert(0, sys.argv[1]); import testpkg_script; testpkg_script.main()", target)
		if err != nil || out != "testpkg-script 1.0\n" {
			t.Errorf("printed %q, %v", out, err)
		}
		if _, err := os.Stat(filepath.Join(target, "bin", "testpkg-script")); err != nil {
			t.Errorf("the script was not installed: %v", err)
		}
	})
}

// The setup.py builds its extension where the interpreter has setuptools.
func TestSetuptoolsExtension(t *testing.T) {
	interpreter := python(t, "import setuptools")
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("needs a C compiler")
	}
	p, err := Find("testpkg-cext")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	extract(t, p.Archive, dir)
	top := filepath.Join(dir, "testpkg_cext-1.0")
	if out, err := run(t, top, interpreter, "setup.py", "--quiet", "build_ext", "--inplace"); err != nil {
		t.Fatalf("build_ext: %v\n%s", err, out)
	}
	out, err := run(t, top, interpreter, "-c", "import testpkg_cext; print(testpkg_cext.answer())")
	if err != nil || out != "42\n" {
		t.Errorf("printed %q, %v", out, err)
	}
}

// pip refuses the faulty distributions at the stage that the catalogue says.
func TestFaultyInstall(t *testing.T) {
	interpreter := python(t, "import pip")
	for _, f := range Faulty() {
		if f.Stage == StageImport || f.Name == "testpkg-build-hangs" {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			path, err := f.Build(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			out, err := run(t, dir, interpreter, "-m", "pip", "install", "--no-deps", "--no-index",
				"--target", filepath.Join(dir, "target"), path)
			if failed, want := err != nil, f.Stage != StageNone; failed != want {
				t.Errorf("pip failed: %v, want %v\n%s", failed, want, out)
			}
			if f.Stage == StageBuild && !strings.Contains(out, "on purpose") {
				t.Errorf("pip does not show the build's own error:\n%s", out)
			}
		})
	}
}

// Attacks are never run here; their sources are at least Python.
func TestSourcesParse(t *testing.T) {
	interpreter := python(t, "import ast")
	var all strings.Builder
	for _, p := range sound() {
		for name, source := range sources(t, p) {
			if filepath.Ext(name) == ".py" {
				all.WriteString(p.Name + ":" + name + "\x00" + source + "\x00")
			}
		}
	}
	all.WriteString("backend.py\x00" + backendSource + "\x00")
	file := filepath.Join(t.TempDir(), "sources")
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	const parse = `import ast, sys
parts = open(sys.argv[1], encoding="utf-8").read().split("\0")[:-1]
for name, source in zip(parts[::2], parts[1::2]):
    ast.parse(source, filename=name)
print(len(parts) // 2)
`
	if out, err := run(t, t.TempDir(), interpreter, "-c", parse, file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// extract unpacks an sdist of this package into dir. The archive is ours: its
// names are relative and have no dots.
func extract(t *testing.T, a Archive, dir string) {
	t.Helper()
	for name, content := range untar(t, a) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
