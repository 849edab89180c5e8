package check

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/catalogue"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/testpkg"
	"pip-witness/internal/walk"
)

// spread writes outside HOME while it is built, and again while it is imported, where
// it also looks for what it wrote before.
func spread() testpkg.InTree {
	return testpkg.InTree{
		Wheel: testpkg.Wheel{Name: "spread", Version: "1.0", Files: map[string]string{"spread/__init__.py": `import os
assert open("/srv/pip-witness-spread/built").read() == "built"
assert not os.path.exists("/etc/motd"), "it was removed by the build"
os.chmod("/srv/pip-witness-spread/built", 0o600)
open("/srv/pip-witness-spread/imported", "w").write("x")
open("/etc/ld.so.preload", "a").write("x")
`}},
		Hook: `import os
os.makedirs("/srv/pip-witness-spread")
open("/srv/pip-witness-spread/built", "w").write("built")
open("/usr/lib/pip-witness-spread", "w").write("x")
open("/home/pip-witness-spread", "w").write("x")
open("/etc/motd", "a").write("x")
os.unlink("/etc/motd")
`,
	}
}

// What a package changes outside HOME succeeds inside, is in the record of the step
// that did it, and nowhere on the host; the import stands on what the install left.
func TestChangesOutsideHome(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to whom the host's directories belong")
	}
	content, err := spread().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	sdist := filepath.Join(t.TempDir(), spread().Filename())
	if err := os.WriteFile(sdist, content, 0o644); err != nil {
		t.Fatal(err)
	}
	motd, motdErr := os.ReadFile("/etc/motd")
	r := request(t, sdist)
	r.ImportEnvironments = []string{environmentPlain}
	o := observe(t, r)
	if len(o.Steps) != 2 || len(o.Problems) > 0 {
		t.Fatalf("%d steps, problems %q", len(o.Steps), o.Problems)
	}
	outside := func(i int) map[string]string {
		command, found := o.Steps[i].Command, map[string]string{}
		for _, c := range command.Changes {
			if !within(c.Path, command.Coverage.Sandbox.Home) {
				found[c.Path] = c.Change
			}
		}
		return found
	}
	want := map[string]string{
		"/srv/pip-witness-spread": "created", "/srv/pip-witness-spread/built": "created", "/usr/lib/pip-witness-spread": "created",
		"/home/pip-witness-spread": "created", "/tmp/" + reportFile: "created",
	}
	if motdErr == nil {
		want["/etc/motd"] = "deleted"
	}
	if diff := cmp.Diff(want, outside(0)); diff != "" {
		t.Errorf("changes of the install (-want +got):\n%s", diff)
	}
	want = map[string]string{"/srv/pip-witness-spread/built": "mode", "/srv/pip-witness-spread/imported": "created", "/etc/ld.so.preload": "created"}
	if diff := cmp.Diff(want, outside(1)); diff != "" {
		t.Errorf("changes of the import (-want +got):\n%s", diff)
	}
	for _, s := range o.Steps {
		c := s.Command.Coverage
		if !c.Complete || len(c.Sandbox.Missing) > 0 || !slices.Contains(c.Sandbox.Overlaid, "/etc") || slices.Contains(c.Sandbox.ReadOnly, "/etc") {
			t.Errorf("%s: coverage %+v", s.Name, c)
		}
	}
	for _, path := range []string{"/srv/pip-witness-spread", "/usr/lib/pip-witness-spread", "/home/pip-witness-spread", "/etc/ld.so.preload"} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is on the host: %v", path, err)
		}
	}
	if now, err := os.ReadFile("/etc/motd"); !bytes.Equal(now, motd) || (err == nil) != (motdErr == nil) {
		t.Errorf("/etc/motd changed on the host: %v", err)
	}
	if got := denying(judge(t, o)); !slices.Contains(got, "IMPORT_FILE_MUTATION") || !slices.Contains(got, "IMPORT_PERSISTENCE") {
		t.Errorf("rules %q", got)
	}
}

// A local project is built in its own directory: what the build leaves there is seen
// by the import, listed, and not on the host.
func TestChangesOfProject(t *testing.T) {
	project := testpkg.InTree{
		Wheel: testpkg.Wheel{Name: "local", Version: "1.0"},
		Hook:  "open(\"built\", \"w\").write(\"x\")\n",
	}
	dir := filepath.Join(t.TempDir(), "local-1.0")
	project.Wheel.Files = map[string]string{"local/__init__.py": "assert open(\"" + dir + "/built\").read() == \"x\"\nopen(\"" + dir + "/imported\", \"w\")\n"}
	content, err := project.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	unpack := exec.Command("tar", "-xzf", "-", "-C", filepath.Dir(dir))
	unpack.Stdin = bytes.NewReader(content)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Skipf("needs tar: %v\n%s", err, out)
	}
	r := request(t, dir)
	r.ImportEnvironments = []string{environmentPlain}
	o := observe(t, r)
	if len(o.Steps) != 2 || len(o.Problems) > 0 {
		t.Fatalf("%d steps, problems %q", len(o.Steps), o.Problems)
	}
	if !slices.Contains(o.Steps[0].Command.Changes, evidence.TreeChange{Path: dir + "/built", Change: "created"}) {
		t.Errorf("changes of the install: %v", o.Steps[0].Command.Changes)
	}
	if diff := cmp.Diff([]evidence.TreeChange{{Path: dir + "/imported", Change: "created"}}, o.Steps[1].Command.Changes); diff != "" {
		t.Errorf("changes of the import (-want +got):\n%s", diff)
	}
	for _, name := range []string{"built", "imported"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is on the host: %v", name, err)
		}
	}
}

// A list of changes that a package made too long is cut, which the coverage says.
func TestTooManyChanges(t *testing.T) {
	wheel := testpkg.Wheel{Name: "flood", Version: "1.0", Files: map[string]string{"flood/__init__.py": `import os
for i in range(21000): os.close(os.open("/tmp/%d" % i, os.O_CREAT))
`}}
	content, err := wheel.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), wheel.Filename())
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	r := request(t, path)
	r.ImportEnvironments = []string{environmentPlain}
	command := observe(t, r).Steps[1].Command
	limit := evidence.Limit{Name: "changes", Value: maxChanges, Unit: "changes"}
	if len(command.Changes) != maxChanges || command.Coverage.Complete || !slices.Contains(command.Coverage.Limits, limit) {
		t.Errorf("%d changes, complete %v, limits %v", len(command.Changes), command.Coverage.Complete, command.Coverage.Limits)
	}
}

// Without a sandbox, which has to be asked for by name, the evidence says so.
func TestUnconfined(t *testing.T) {
	r := request(t, build(t, testpkg.Honest()[0]))
	r.Sandbox = SandboxOff
	o := observe(t, r)
	if len(o.Steps) != 2 || len(o.Problems) != 1 || !strings.Contains(o.Problems[0], "there was no sandbox") {
		t.Fatalf("%d steps, problems %q", len(o.Steps), o.Problems)
	}
	for _, s := range o.Steps {
		got := s.Command.Coverage.Sandbox
		if got.Kind != "none" || got.Network != "host" || len(got.Namespaces) > 0 || !cmp.Equal(got.Missing, []string{"any confinement"}) {
			t.Errorf("%s: %+v", s.Name, got)
		}
	}
	if result := judge(t, o); len(denying(result)) > 0 {
		t.Errorf("findings %+v", result.Findings)
	}
	for name, change := range map[string]func(*Request){
		"no network": func(r *Request) { r.Network = NetworkNone },
		"a file of requirements": func(r *Request) {
			path := filepath.Join(r.WorkDir, "requirements.txt")
			if err := os.WriteFile(path, []byte("x\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			r.RequirementFiles = []string{path}
		},
	} {
		refused := request(t, "x")
		refused.Sandbox = SandboxOff
		change(&refused)
		var input *InputError
		if _, err := Observe(t.Context(), refused); !errors.As(err, &input) || input.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// confinedCommand is a request to run a script in the sandbox, in a new directory.
func confinedCommand(t *testing.T, script string, attestors []attest.Attestor) (CommandRequest, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	dir := t.TempDir()
	for name, content := range map[string]string{"kept": "k", "gone": "g", "key.pem": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return CommandRequest{
		Sandbox: true, Step: "build", Args: []string{"/bin/sh", "-c", script}, Environ: os.Environ(), WorkDir: dir, Stdout: out, Stderr: out,
		Attestors: attestors, Timeout: time.Minute, Linger: 5 * time.Second, Builder: "pip-witness test", Private: []string{filepath.Join(dir, "key.pem")},
	}, out
}

func TestConfinedCommand(t *testing.T) {
	attestors, err := catalogue.Select([]string{"environment", "omnitrail", "product"})
	if err != nil {
		t.Fatal(err)
	}
	r, out := confinedCommand(t, `cat kept key.pem; echo made > made; rm gone; mkdir dir; echo x > dir/f; echo x > ~/.profile; rm ~/.netrc
echo x > /tmp/left; cat ~/.ssh/id_rsa | grep -c BEGIN`, attestors)
	evidenceOf, err := ObserveCommand(t.Context(), r)
	needSandbox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "k1\n" {
		t.Errorf("it printed %q", out)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	var want []evidence.TreeChange
	for path, change := range map[string]string{
		r.WorkDir + "/made": "created", r.WorkDir + "/gone": "deleted", r.WorkDir + "/dir": "created", r.WorkDir + "/dir/f": "created",
		home + "/.profile": "created", home + "/.netrc": "deleted", "/tmp/left": "created",
	} {
		want = append(want, evidence.TreeChange{Path: path, Change: change})
	}
	slices.SortFunc(want, compareChanges)
	command := evidenceOf.Command
	if diff := cmp.Diff(want, command.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if s := command.Coverage.Sandbox; s.Kind != "namespaces" || s.Network != NetworkNone || len(s.Decoys) == 0 || !command.Coverage.Complete {
		t.Errorf("coverage %+v", command.Coverage)
	}
	for _, outcome := range evidenceOf.Collection.Outcomes {
		if outcome.Status != "ok" {
			t.Errorf("attestor %s: %s %s", outcome.Attestor, outcome.Status, outcome.Error)
		}
	}
	names, err := walk.Tree(t.Context(), attest.Layout{Prefix: r.WorkDir}, []string{r.WorkDir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(names.Files) != 4 { // the directory, and the three files that there were
		t.Errorf("on the host: %v", names.Files)
	}
	if _, err := os.Lstat(home + "/.profile"); home != "/root" && err == nil {
		t.Errorf("%s/.profile is on the host", home)
	}
}

// A command goes nowhere on the network, and what it sends is in the record.
func TestConfinedCommandNetwork(t *testing.T) {
	r, _ := confinedCommand(t, "", nil)
	r.Args = []string{python(t), "-I", "-S", "-c", `import socket
s = socket.create_connection(("203.0.113.7", 443), 5)
s.sendall(b"hello from inside")
s.close()`}
	o, err := ObserveCommand(t.Context(), r)
	needSandbox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	flows := o.Command.Processes[0].Network.Flows
	if len(flows) != 1 || flows[0].Address != "203.0.113.7" || flows[0].Port != 443 || flows[0].Bytes != int64(len("hello from inside")) {
		t.Errorf("exit %d, %s, flows %+v", o.Command.ExitCode, o.Command.Stderr, flows)
	}
}

// The home directory is never shown inside, so it cannot be worked in.
func TestConfinedCommandAtHome(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Skipf("needs a home directory: %v", err)
	}
	for _, dir := range []string{home, filepath.Dir(home)} {
		r, _ := confinedCommand(t, "true", nil)
		r.WorkDir = dir
		var input *InputError
		if _, err := ObserveCommand(t.Context(), r); !errors.As(err, &input) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func needSandbox(t *testing.T, err error) {
	t.Helper()
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
}

// python is an interpreter of the system, which is not below a home directory.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("needs a python3 below /usr")
	return ""
}

// Where user namespaces are not to be had, an ordinary user is refused, with the
// reason and the command that helps; root uses the others.
func TestWithoutUserNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a namespace with several users")
	}
	const python = "/usr/bin/python3"
	if _, err := interpreter.Discover(t.Context(), python); err != nil {
		t.Skipf("needs %s with venv and pip, which every user can run: %v", python, err)
	}
	dir, err := os.MkdirTemp("", "no-namespaces-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "pip-witness")
	if out, err := exec.Command("go", "build", "-o", binary, "pip-witness").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	wheel, err := testpkg.Honest()[0].Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		uid  uint32
		exit int
		says string
	}{
		{"root", 0, 0, "PASS"},
		{"user", nobody, 3, "hint: raise the limit: sysctl -w user.max_user_namespaces=10000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := filepath.Join(dir, c.name)
			if err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, int(c.uid), int(c.uid)), os.Chmod(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
			script := `echo 0 > /proc/sys/user/max_user_namespaces || exit 99
exec setpriv --reuid "$1" --regid "$1" --clear-groups "$2" check "$3" --no-index --python ` + python + ` --linger 1s -q --evidence evidence`
			command := exec.Command("/bin/sh", "-c", script, "sh", map[bool]string{true: "0", false: "65534"}[c.uid == 0], binary, wheel)
			command.Dir = home
			command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home}
			command.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:                 unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
				UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}},
				GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}},
				GidMappingsEnableSetgroups: true,
			}
			out, err := command.CombinedOutput()
			if errors.Is(err, unix.EPERM) || command.ProcessState.ExitCode() == 99 || command.ProcessState.ExitCode() == 127 {
				t.Skipf("needs nested user namespaces and setpriv: %v\n%s", err, out)
			}
			if command.ProcessState.ExitCode() != c.exit || !strings.Contains(string(out), c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s", command.ProcessState.ExitCode(), c.exit, c.says, out)
			}
		})
	}
}
