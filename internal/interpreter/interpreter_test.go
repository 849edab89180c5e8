package interpreter

import (
	"context"
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
	"github.com/google/go-cmp/cmp/cmpopts"
)

// python returns a real interpreter, or skips.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(DefaultPython)
	if err != nil {
		t.Skipf("needs %s in PATH: %v", DefaultPython, err)
	}
	return path
}

// environ is the test's environment without pip's variables, with the given
// configuration file and entries.
func environ(t *testing.T, configFile string, entries ...string) []string {
	t.Helper()
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PIP_") || strings.HasPrefix(e, "XDG_CONFIG") || strings.HasPrefix(e, "HOME=")
	})
	home := t.TempDir()
	if configFile != "" {
		path := filepath.Join(home, "pip.conf")
		if err := os.WriteFile(path, []byte(configFile), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, "PIP_CONFIG_FILE="+path)
	}
	// A shim below the real home may need it to find its versions.
	if real, err := os.UserHomeDir(); err == nil {
		env = append(env, "PYENV_ROOT="+filepath.Join(real, ".pyenv"))
	}
	return append(append(env, "HOME="+home), entries...)
}

func TestDiscoverRealInterpreter(t *testing.T) {
	got, err := Discover(t.Context(), python(t))
	if err != nil {
		t.Fatal(err)
	}
	const script = `import sys, os, pip, platform; print(sys.base_prefix, platform.python_version(), pip.__version__, os.path.dirname(pip.__file__), sep="\n")`
	out, err := exec.Command(got.Executable, "-I", "-c", script).Output()
	if err != nil {
		t.Fatalf("run discovered interpreter: %v", err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	have := []string{got.Prefix, got.Version, got.PipVersion, got.PipPackage}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("facts differ from the interpreter's own (-want +got):\n%s", diff)
	}
	if real, err := filepath.EvalSymlinks(got.Executable); err != nil || real != got.Real {
		t.Errorf("Real = %q, want %q (%v)", got.Real, real, err)
	}
	if len(got.Digest["sha256"]) != 64 {
		t.Errorf("digest %q", got.Digest)
	}
	if got.MarkerEnv["python_full_version"] != got.Version || len(got.MarkerEnv) != 11 {
		t.Errorf("marker environment %v", got.MarkerEnv)
	}
	if got.Config.DefaultIndex == "" || len(got.EnvironmentSites("/home/user/venv")) == 0 {
		t.Errorf("default index %q, sites %v", got.Config.DefaultIndex, got.EnvironmentSites("/home/user/venv"))
	}
	for _, need := range []string{got.Executable, got.Real, got.Prefix, got.PipPackage} {
		if !covered(got.ReadPaths, need) {
			t.Errorf("%q is not below any of %q", need, got.ReadPaths)
		}
	}
	if out, err := exec.Command(got.PipCommand()[0], append(got.PipCommand()[1:], "--version")...).Output(); err != nil || !strings.Contains(string(out), got.PipVersion) {
		t.Errorf("pip command %q prints %q, %v", got.PipCommand(), out, err)
	}
}

func covered(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

func TestDiscoverEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(python(t), "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Skipf("needs a Python that makes environments: %v: %s", err, out)
	}
	bin := filepath.Join(dir, "bin", "python")
	_, err := discover(t.Context(), bin, environ(t, ""))
	if !errors.Is(err, ErrNoPip) {
		t.Fatalf("environment without pip: %v, want %v", err, ErrNoPip)
	}

	// The same environment with the base interpreter's pip linked into it.
	base, err := Discover(t.Context(), python(t))
	if err != nil {
		t.Fatal(err)
	}
	site := base.EnvironmentSites(dir)[0]
	if err := os.Symlink(base.PipPackage, filepath.Join(site, "pip")); err != nil {
		t.Fatal(err)
	}
	got, err := discover(t.Context(), bin, environ(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if got.Executable != bin || got.Environment != dir || got.Prefix != base.Prefix || got.Real != base.Real {
		t.Errorf("executable %q, environment %q, prefix %q, real %q", got.Executable, got.Environment, got.Prefix, got.Real)
	}
	if !covered(got.ReadPaths, dir) || !covered(got.ReadPaths, base.Prefix) {
		t.Errorf("environment or base prefix not readable: %q", got.ReadPaths)
	}
}

// TestDiscoverUserSite has a pip that only a lookup without -I finds.
func TestDiscoverUserSite(t *testing.T) {
	base, err := Discover(t.Context(), python(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(base.Executable, "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Skipf("needs a Python that makes environments: %v: %s", err, out)
	}
	extra := t.TempDir()
	if err := os.Symlink(base.PipPackage, filepath.Join(extra, "pip")); err != nil {
		t.Fatal(err)
	}
	got, err := discover(t.Context(), filepath.Join(dir, "bin", "python"), environ(t, "", "PYTHONPATH="+extra))
	if err != nil {
		t.Fatal(err)
	}
	if got.PipIsolated || got.PipPackage != filepath.Join(extra, "pip") {
		t.Errorf("isolated %v, package %q", got.PipIsolated, got.PipPackage)
	}
	command := got.PipCommand()
	if out, err := exec.Command(command[0], append(command[1:], "--version")...).CombinedOutput(); err != nil {
		t.Errorf("pip command %q: %v: %s", command, err, out)
	}
}

// fakePython writes a program that stands in for a broken interpreter.
func fakePython(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDiscoverErrors(t *testing.T) {
	says := func(answer string) string { return "printf '\\n" + probeMarker + answer + "\\n'" }
	pip := `"pip": {"version": "%s", "package": "/nonexistent/pip"}`
	tests := []struct {
		name, script string
		want         error
		hint         string
	}{
		{"python 2", `case "$1" in -I) echo "Unknown option: -I" >&2; exit 2;; esac` + "\n" + says(`{"version": "2.7.18"}`), ErrPythonTooOld, "--python"},
		{"python 3.7", says(`{"version": "3.7.16"}`), ErrPythonTooOld, "--python"},
		{"no venv", says(`{"version": "3.12.1", "venv": false}`), ErrNoVenv, "apt install python3-venv"},
		{"no pip", says(`{"version": "3.12.1", "venv": true, "executable": "/usr/bin/python3"}`), ErrNoPip, "python3-pip"},
		{"no pip but ensurepip", says(`{"version": "3.12.1", "venv": true, "ensurepip": true, "executable": "/usr/bin/python3"}`), ErrNoPip, "-m ensurepip"},
		{"old pip", says(`{"version": "3.12.1", "venv": true, "executable": "/usr/bin/python3", ` + fmt.Sprintf(pip, "22.2.2") + `}`), ErrPipTooOld, "install --upgrade pip"},
		{"refused configuration", says(`{"version": "3.12.1", "venv": true, "config": {"refused": "no good"}, ` + fmt.Sprintf(pip, "24.0") + `}`), ErrConfiguration, "pip config debug"},
		{"silent", "exit 0", ErrNoAnswer, ""},
		{"crash", "echo broken >&2; exit 1", ErrNoAnswer, ""},
		{"garbage", says(`{"version": 3}`), ErrNoAnswer, ""},
		{"shim without a version", "echo 'python: command not found' >&2; exit 127", ErrNoPython, "apt install python3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := discover(t.Context(), fakePython(t, tt.script), environ(t, ""))
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			var typed *Error
			if !errors.As(err, &typed) || !strings.Contains(typed.Hint(), tt.hint) {
				t.Errorf("hint %q, want %q in it", typed.Hint(), tt.hint)
			}
		})
	}
	t.Run("no such program", func(t *testing.T) {
		_, err := Discover(t.Context(), "no-such-python")
		if !errors.Is(err, ErrNoPython) || !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("time limit", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := discover(ctx, fakePython(t, "sleep 30 & wait"), environ(t, ""))
		if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// configuration covers every list, switch and precedence.
const configuration = `[global]
index-url = https://user:pass@index.example/simple
extra-index-url =
    https://second.example/simple
    https://third.example/simple
trusted-host = index.example second.example:8443
timeout = 30
no-binary = six,attrs
target = /home/user/there
[install]
find-links = /home/user/wheels
    https://files.example/links
require-hashes = yes
only-binary = numpy
timeout = 40
no-build-isolation = off
[freeze]
timeout = 99
`

func TestConfigAgreesWithPip(t *testing.T) {
	env := environ(t, configuration, "PIP_RETRIES=2", "PIP_PRE=1", "PIP_EXTRA_INDEX_URL=https://env.example/simple", "PIP_NO_DEPS=0", "PIP_CERT=")
	a, err := ask(t.Context(), "python3", python(t), []string{"-I"}, env)
	if err != nil {
		t.Fatal(err)
	}
	got, err := effectiveConfig(t.Context(), "python3", a, true, env)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DefaultIndex:     got.DefaultIndex,
		IndexURL:         "https://user:pass@index.example/simple",
		ExtraIndexURLs:   []URL{"https://env.example/simple"},
		FindLinks:        []URL{"/home/user/wheels", "https://files.example/links"},
		TrustedHosts:     []string{"index.example", "second.example:8443"},
		Timeout:          40 * time.Second,
		Retries:          2,
		RequireHashes:    true,
		NoBinary:         []string{"attrs", "six"},
		OnlyBinary:       []string{"numpy"},
		Pre:              true,
		NoBuildIsolation: true,
		Unapplied:        []string{"target"},
	}
	options := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Config{}, "KeyringProvider", "Files", "Cert")}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}

	// The other way to ask, by pip's commands, gives the same.
	a.Config.Values = nil
	other, err := effectiveConfig(t.Context(), "python3", a, true, env)
	if err != nil {
		t.Fatal(err)
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(got, other, cmpopts.EquateEmpty(), sorted, cmpopts.IgnoreFields(Config{}, "KeyringProvider", "DefaultIndex")); diff != "" {
		t.Errorf("pip's parser and pip's commands differ (-parser +commands):\n%s", diff)
	}
	if strings.TrimSuffix(string(other.DefaultIndex), "/") != strings.TrimSuffix(string(got.DefaultIndex), "/") || other.DefaultIndex == "" {
		t.Errorf("default index by help %q, by parser %q", other.DefaultIndex, got.DefaultIndex)
	}
}

func TestRefusedConfiguration(t *testing.T) {
	_, err := discover(t.Context(), python(t), environ(t, "[global]\nindex-url = https://user:secretword@index.example/simple\nno-index = maybe\n"))
	if !errors.Is(err, ErrConfiguration) {
		t.Fatalf("error %v, want %v", err, ErrConfiguration)
	}
	if strings.Contains(err.Error(), "secretword") {
		t.Errorf("error shows the password: %v", err)
	}
}

func TestWith(t *testing.T) {
	configured := Config{
		DefaultIndex: "https://default.example/simple", IndexURL: "https://index.example/simple", ExtraIndexURLs: []URL{"https://a.example/simple"},
		FindLinks: []URL{"/home/user/wheels"}, Pre: true, Cert: "/etc/bundle.pem",
	}
	got := configured.With(Flags{
		IndexURL: "https://other.example/simple", ExtraIndexURLs: []string{"https://b.example/simple"}, FindLinks: []string{"./links"},
		NoBinary: []string{"six"}, NoDeps: true,
	})
	want := Config{
		DefaultIndex: "https://default.example/simple", IndexURL: "https://other.example/simple",
		ExtraIndexURLs: []URL{"https://a.example/simple", "https://b.example/simple"}, FindLinks: []URL{"/home/user/wheels", "./links"},
		NoBinary: []string{"six"}, Pre: true, NoDeps: true, Cert: "/etc/bundle.pem",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("With (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"--no-binary", "six", "--pre", "--no-deps"}, got.SelectionOptions()); diff != "" {
		t.Errorf("SelectionOptions (-want +got):\n%s", diff)
	}
	if got := configured.With(Flags{NoIndex: true}).Indexes(); got != nil {
		t.Errorf("Indexes with --no-index = %v", got)
	}
	if diff := cmp.Diff([]URL{"https://default.example/simple"}, Config{DefaultIndex: "https://default.example/simple"}.Indexes()); diff != "" {
		t.Errorf("Indexes unconfigured (-want +got):\n%s", diff)
	}
}

func TestURLHidesCredentials(t *testing.T) {
	u := URL("https://user:secretword@index.example/simple")
	c := Config{IndexURL: u}
	for name, text := range map[string]string{
		"String": u.String(), "%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", c),
	} {
		if strings.Contains(text, "secretword") || !strings.Contains(text, "index.example") {
			t.Errorf("%s = %q", name, text)
		}
	}
	if !u.Secret() || !c.HasCredentials() || URL("https://index.example").Secret() {
		t.Error("credentials are not marked")
	}
	if u.Reveal() != "https://user:secretword@index.example/simple" {
		t.Errorf("Reveal = %q", u.Reveal())
	}
}

func TestPythonString(t *testing.T) {
	tests := []struct{ literal, want string }{
		{`'plain'`, "plain"},
		{`"it's"`, "it's"},
		{`'both \' and "'`, `both ' and "`},
		{`'a\nb\\c'`, "a\nb\\c"},
		{`'\xe9\u20ac'`, "é€"},
	}
	for _, tt := range tests {
		if got, err := pythonString(tt.literal); err != nil || got != tt.want {
			t.Errorf("pythonString(%s) = %q, %v; want %q", tt.literal, got, err, tt.want)
		}
	}
	for _, bad := range []string{``, `'`, `'a"`, `'a'b'`, `'\q'`} {
		if got, err := pythonString(bad); err == nil {
			t.Errorf("pythonString(%s) = %q, want an error", bad, got)
		}
	}
}

func TestOutermost(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b", "ab"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in := []string{dir + "/a/b/", dir + "/ab", dir + "/a", "/", "relative", "", dir + "/missing", dir + "/a"}
	if diff := cmp.Diff([]string{dir + "/a", dir + "/ab"}, outermost(in)); diff != "" {
		t.Errorf("outermost (-want +got):\n%s", diff)
	}
}

func TestOlderThan(t *testing.T) {
	for version, want := range map[string]bool{"22.2.2": true, "22.3": false, "22.3.1": false, "9.0.3": true, "23.0": false, "22.3b1": false, "": true, "dev": true, "22": true} {
		if got := olderThan(version, 22, 3); got != want {
			t.Errorf("olderThan(%q, 22, 3) = %v", version, got)
		}
	}
}

func FuzzParseConfigList(f *testing.F) {
	f.Add("global.index-url='https://index.example/simple'\n:env:.timeout='3'\n")
	f.Add(`install.no-binary="it's,six"` + "\nglobal.retries='x'\n")
	f.Add("global.no-index='\\x41'\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseConfigList(text)
		if err == nil && v == nil {
			t.Error("neither values nor an error")
		}
	})
}
