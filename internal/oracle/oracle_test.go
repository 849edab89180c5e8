package oracle

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/testpkg"
)

// differences are all that may differ between what strace printed and the
// record, each with its reason. Everything else fails.
var differences = [...]struct {
	reason string
	allows func(c call, records []evidence.Process) bool
}{
	{
		"a descriptor without a path: pipes, sockets and anonymous objects opened by their name in /proc",
		func(c call, _ []evidence.Process) bool {
			return strings.HasPrefix(c.name, "open") && c.opened() == ""
		},
	},
	{
		"strace itself, which is part of the run, opens its log before it looks at anybody",
		func(c call, _ []evidence.Process) bool {
			return c.name == "openat" && strings.HasSuffix(c.opened(), ".strace")
		},
	},
}

func build(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	binary := filepath.Join(t.TempDir(), "pip-witness")
	if out, err := exec.Command("go", "build", "-o", binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// python is the interpreter itself: a shim before it would be a run of its own.
func python(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skipf("needs python3: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func environment(t *testing.T, python string) string {
	t.Helper()
	venv := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("python -m venv: %v\n%s", err, out)
	}
	return venv
}

// compare runs the command under both tracers at once and holds every successful
// open, exec, connect, rename and unlink that strace prints against the record.
func compare(t *testing.T, binary string, command ...string) {
	t.Helper()
	dir := t.TempDir()
	key, out, log := filepath.Join(dir, "key.pem"), filepath.Join(dir, "run.json"), filepath.Join(dir, "run.strace")
	if text, err := exec.Command(binary, "keygen", "--out", key).CombinedOutput(); err != nil {
		t.Fatalf("keygen: %v\n%s", err, text)
	}
	args := []string{"run", "--step", "oracle", "--key", key, "--out", out, "--attestors", "", "--",
		"strace", "-f", "-y", "-s", "4096", "-o", log, "-e", "trace=" + traced}
	run := exec.Command(binary, append(args, command...)...)
	run.Dir = dir
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", command, err, text)
	}
	recorded := readRecord(t, out)
	if !recorded.Coverage.Complete {
		t.Fatalf("the recording is not complete: %+v", recorded.Coverage)
	}
	byProcess := map[int][]evidence.Process{}
	for _, p := range recorded.Processes {
		byProcess[p.ProcessID] = append(byProcess[p.ProcessID], p)
	}
	seen := map[string]int{}
	missing := 0
	for _, c := range readStrace(t, log) {
		kind, found := match(c, byProcess[c.process])
		if kind == "" {
			continue
		}
		seen[kind]++
		if found || allowed(c, byProcess[c.process]) {
			continue
		}
		if missing++; missing <= 20 {
			t.Errorf("no record by process %d of: %s", c.process, c.line)
		}
	}
	t.Logf("compared %v, %d missing", seen, missing)
	if seen["open"] == 0 || seen["exec"] == 0 {
		t.Errorf("strace printed no open or no exec: nothing was compared (%v)", seen)
	}
}

func readRecord(t *testing.T, name string) evidence.CommandRun {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := attestation.ParseEnvelope(data)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := attestation.ParseStatement(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		t.Fatal(err)
	}
	var command evidence.CommandRun
	for _, a := range collection.Attestations {
		if attestation.ShortName(a.Type) == "command-run" {
			if err := json.Unmarshal(a.Attestation, &command); err != nil {
				t.Fatal(err)
			}
		}
	}
	return command
}

func allowed(c call, records []evidence.Process) bool {
	for _, d := range differences {
		if d.allows(c, records) {
			return true
		}
	}
	return false
}

// match finds the record of a call among those of its process. The kind is empty
// for calls that are not compared.
func match(c call, records []evidence.Process) (kind string, found bool) {
	some := func(has func(evidence.Process) bool) bool { return slices.ContainsFunc(records, has) }
	switch c.name {
	case "open", "openat", "openat2", "creat":
		path := c.opened()
		return "open", some(func(p evidence.Process) bool {
			return slices.ContainsFunc(p.FileOps.Opens, func(o evidence.Open) bool { return o.Errno == "" && o.Path == path })
		})
	case "execve", "execveat":
		program := resolved(c.names()[0])
		return "exec", some(func(p evidence.Process) bool {
			return slices.ContainsFunc(p.Execs, func(e evidence.Exec) bool { return e.Errno == "" && e.Program == program })
		})
	case "connect":
		family, address, port, ok := c.peer()
		return "connect", ok && some(func(p evidence.Process) bool {
			return slices.ContainsFunc(p.Network.Connections, func(n evidence.Connection) bool {
				return n.Syscall == "connect" && n.Family == family && n.Port == port && (n.Address == address || n.Address == resolved(address))
			})
		})
	case "rename", "renameat", "renameat2":
		names := c.names()
		return "rename", some(func(p evidence.Process) bool {
			return slices.ContainsFunc(p.FileOps.Renames, func(r evidence.Rename) bool {
				return r.Errno == "" && same(r.OldPath, names[0]) && same(r.NewPath, names[1])
			})
		})
	case "unlink", "unlinkat", "rmdir":
		name := c.names()[0]
		return "unlink", some(func(p evidence.Process) bool {
			return slices.ContainsFunc(p.FileOps.Deletes, func(d evidence.Delete) bool { return d.Errno == "" && same(d.Path, name) })
		})
	}
	return "", false
}

// same compares a recorded path with one that strace printed as it was asked
// for: absolute, or relative to a directory that the log does not say.
func same(recorded, asked string) bool {
	if !filepath.IsAbs(asked) {
		return strings.HasSuffix(recorded, "/"+filepath.Clean(asked))
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(asked))
	if err != nil { // gone since: compare as asked
		return recorded == filepath.Clean(asked)
	}
	return recorded == filepath.Join(dir, filepath.Base(asked)) || recorded == filepath.Clean(asked)
}

func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

func TestLocalInstallAndImport(t *testing.T) {
	binary, python := build(t), python(t)
	venv := environment(t, python)
	for _, p := range testpkg.Honest() {
		if p.Name != "testpkg-cext-intree" && p.Name != "testpkg-script" {
			continue
		}
		archive, err := p.Build(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(p.Name, func(t *testing.T) {
			compare(t, binary, python, "-m", "pip", "--python", venv+"/bin/python", "install", "--no-index", "--no-deps", "--no-cache-dir", archive)
			compare(t, binary, venv+"/bin/python", "-c", "import "+strings.Join(p.Modules, ", "))
		})
	}
}

func TestE2EInstallAndImport(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("needs PIP_WITNESS_E2E=1 and a package index")
	}
	binary, python := build(t), python(t)
	for _, c := range []struct {
		name, requirement, module string
		options                   []string
	}{
		{"requests", "requests", "requests", nil},
		{"sdist with a compiler", "markupsafe", "markupsafe", []string{"--no-binary", "markupsafe"}},
		{"pandas", "pandas", "pandas", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			venv := environment(t, python)
			install := []string{python, "-m", "pip", "--python", venv + "/bin/python", "install", c.requirement}
			compare(t, binary, append(install, c.options...)...)
			compare(t, binary, venv+"/bin/python", "-c", "import "+c.module)
		})
	}
}
