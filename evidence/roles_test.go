package evidence

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	basePython = "/opt/python/bin/python3.11"
	basePip    = "/opt/python/lib/python3.11/site-packages/pip"
	baseHooks  = basePip + "/_vendor/pyproject_hooks/_in_process/_in_process.py"
)

var roleSandbox = Sandbox{
	Home: "/root", Prefix: "/root/venv", TempDir: "/tmp", WorkDir: "/root/project",
	BasePrefixes: []string{"/opt/python"}, ReadOnly: []string{"/", "/root/.cargo"}, Writable: []string{"/root", "/tmp"},
}

// ran is a process whose images are the given argument vectors; the first
// element of each is the program that the kernel ran.
func ran(pid, parent int, vectors ...[]string) Process {
	p := Process{ProcessID: pid, ParentPID: parent}
	for _, v := range vectors {
		p.Execs = append(p.Execs, Exec{Program: v[0], Argv: v})
		p.Program, p.Args = v[0], v
	}
	return p
}

func vector(args ...string) []string { return args }

func TestAssignRolesInstall(t *testing.T) {
	root := ran(2, 0, vector(basePython, "-m", "pip", "--python", "/root/venv", "install", "demo"))
	again := ran(3, 2, vector(basePython, basePip+"/__pip-runner__.py", "--python", "/root/venv", "install", "demo"))
	hook := ran(5, 3, vector(basePython, baseHooks, "build_wheel", "/tmp/tmpx"))
	failed := ran(6, 3)
	failed.Execs = []Exec{{Program: "/root/bin/rustc", Errno: "ENOENT"}}
	tests := []struct {
		name      string
		processes []Process
		want      []Role
	}{
		{"pip and its own child", []Process{root, again}, []Role{RoleInstaller, RoleInstaller}},
		{
			"options before -m", []Process{ran(2, 0, vector(basePython, "-I", "-X", "utf8", "-Wignore", "-m", "pip", "install"))},
			[]Role{RoleInstaller},
		},
		{
			"joined option", []Process{ran(2, 0, vector(basePython, "-Impip", "install"))}, []Role{RoleInstaller},
		},
		{"another module", []Process{ran(2, 0, vector(basePython, "-m", "build"))}, []Role{RolePackageCode}},
		{"a program that is called pip", []Process{ran(2, 0, vector("/tmp/python3", "-m", "pip", "install"))}, []Role{RolePackageCode}},
		{
			"installation of build requirements",
			[]Process{root, again, ran(4, 3, vector(basePython, basePip+"/__pip-runner__.py", "install", "--prefix", "/tmp/pip-build-env-x/overlay"))},
			[]Role{RoleInstaller, RoleInstaller, RoleInstaller},
		},
		{
			"pip's probe of the system",
			[]Process{
				root, again, ran(4, 3, vector("/usr/bin/lsb_release", "-a")), ran(7, 4), ran(8, 7, vector("/usr/bin/tr", "a", "b")),
				ran(9, 3, vector("/root/.cargo/bin/rustc", "--version")), failed,
			},
			[]Role{RoleInstaller, RoleInstaller, RoleInstaller, RoleInstaller, RoleInstaller, RoleInstaller, RoleInstaller},
		},
		{
			"the hook runner and all below it",
			[]Process{root, again, hook, ran(7, 5, vector("/usr/bin/gcc", "-c", "x.c")), ran(8, 7, vector("/usr/bin/as"))},
			[]Role{RoleInstaller, RoleInstaller, RoleBuildChild, RoleBuildChild, RoleBuildChild},
		},
		{
			"setup.py as old pip runs it",
			[]Process{root, ran(4, 2, vector(basePython, "-u", "-c", "exec(compile('''…", "bdist_wheel"))},
			[]Role{RoleInstaller, RoleBuildChild},
		},
		{
			"a build that ends as pip",
			[]Process{root, ran(4, 2, vector(basePython, baseHooks, "build_wheel", "/tmp/x"), vector(basePython, basePip+"/__pip-runner__.py", "install"))},
			[]Role{RoleInstaller, RoleBuildChild},
		},
		{
			"a build that starts pip",
			[]Process{root, hook, ran(7, 5, vector(basePython, basePip+"/__pip-runner__.py", "install", "x"))},
			[]Role{RoleInstaller, RolePackageCode, RolePackageCode},
		},
		{
			"a runner that package code could write",
			[]Process{root, ran(4, 2, vector(basePython, "/tmp/pip/__pip-runner__.py", "install"))},
			[]Role{RoleInstaller, RoleBuildChild},
		},
		{
			"a git hook",
			[]Process{root, ran(4, 2, vector("/usr/bin/git", "clone", "x")), ran(5, 4, vector("/tmp/pip-req-build-x/.git/hooks/post-checkout"))},
			[]Role{RoleInstaller, RoleInstaller, RolePackageCode},
		},
		{"a process from nowhere", []Process{root, ran(9, 77, vector("/usr/bin/uname"))}, []Role{RoleInstaller, RolePackageCode}},
		{
			"a number that is used again",
			[]Process{root, ran(5, 2, vector(basePython, baseHooks)), ran(5, 2, vector("/usr/bin/uname")), ran(6, 5, vector("/usr/bin/tr"))},
			[]Role{RoleInstaller, RoleBuildChild, RoleInstaller, RoleInstaller},
		},
		{"evidence without attempts", []Process{{ProcessID: 2, Program: basePython, Args: vector(basePython, "-m", "pip")}}, []Role{RoleInstaller}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, roles(tt.processes, StepInstall)); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAssignRolesImport(t *testing.T) {
	harness := vector(basePython, "/opt/harness.py", "demo")
	tests := []struct {
		name      string
		processes []Process
		want      []Role
	}{
		{"two commands", []Process{ran(2, 0, harness), ran(3, 0, harness)}, []Role{RoleImportHarness, RoleImportHarness}},
		{
			"a driver of two interpreters", []Process{ran(2, 0, harness), ran(3, 2, harness), ran(4, 3, harness)},
			[]Role{RoleImportHarness, RoleImportHarness, RolePackageCode},
		},
		{
			"a copy in the environment", []Process{ran(2, 0, vector("/root/venv/bin/python3", "/opt/harness.py"))},
			[]Role{RoleImportHarness},
		},
		{
			"children and forks", []Process{ran(2, 0, harness), ran(3, 2, vector("/bin/true")), ran(4, 2), ran(5, 2, vector(basePython, "-c", "x"))},
			[]Role{RoleImportHarness, RolePackageCode, RolePackageCode, RolePackageCode},
		},
		{"another program", []Process{ran(2, 0, vector("/usr/bin/sh", "x"))}, []Role{RolePackageCode}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, roles(tt.processes, StepImport)); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAssignRolesCommand(t *testing.T) {
	got := roles([]Process{ran(2, 0, vector("/usr/bin/make")), ran(3, 2, vector("/usr/bin/cc"))}, StepCommand)
	if diff := cmp.Diff([]Role{RoleCommand, RoleCommand}, got); diff != "" {
		t.Error(diff)
	}
	AssignRoles(&CommandRun{}, StepInstall)
}

func roles(processes []Process, kind StepKind) []Role {
	cmd := CommandRun{Processes: processes, Coverage: Coverage{Sandbox: roleSandbox}}
	AssignRoles(&cmd, kind)
	var got []Role
	for _, p := range cmd.Processes {
		got = append(got, p.Role)
	}
	return got
}

func TestEntryPoint(t *testing.T) {
	tests := []struct {
		name       string
		args       []string
		kind, what string
	}{
		{"script", vector("python", "-I", "x.py", "-m", "pip"), "", "x.py"},
		{"module", vector("python", "-m", "pip"), "-m", "pip"},
		{"joined module", vector("python", "-Bmpip"), "-m", "pip"},
		{"code", vector("python", "-c", "import os", "x"), "-c", "import os"},
		{"option with value", vector("python", "-W", "error", "--check-hash-based-pycs", "always", "x.py"), "", "x.py"},
		{"standard input", vector("python", "-"), "", ""},
		{"long option", vector("python", "--version"), "", ""},
		{"module without name", vector("python", "-m"), "-m", ""},
		{"nothing", nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if kind, what := entryPoint(tt.args); kind != tt.kind || what != tt.what {
				t.Errorf("entryPoint = %q, %q, want %q, %q", kind, what, tt.kind, tt.what)
			}
		})
	}
}

// A role that is decided while the run goes on is the one that the record gets.
func TestRoleNow(t *testing.T) {
	root := ran(2, 0, vector(basePython, "-m", "pip", "--python", "/root/venv", "install", "demo"))
	again := ran(3, 2, vector(basePython, basePip+"/__pip-runner__.py", "--python", "/root/venv", "install", "demo"))
	hook := ran(5, 3, vector(basePython, baseHooks, "build_wheel", "/tmp/tmpx"))
	vcs := ran(6, 3, vector("/usr/bin/git", "clone", "https://code.example/a.git"))
	helper := ran(7, 6, vector("/usr/lib/git-core/git-remote-https", "origin", "https://code.example/a.git"))
	tests := []struct {
		name    string
		lineage []Process
		want    Role
	}{
		{"pip", []Process{root}, RoleInstaller},
		{"pip's own child", []Process{root, again}, RoleInstaller},
		{"git that pip started", []Process{root, again, vcs}, RoleInstaller},
		{"git's own helper", []Process{root, again, vcs, helper}, RoleInstaller},
		{"a backend", []Process{root, again, hook}, RoleBuildChild},
		{"git that a backend started", []Process{root, again, hook, ran(8, 5, vector("/usr/bin/git", "clone"))}, RoleBuildChild},
		{"git of the package", []Process{root, again, ran(8, 3, vector("/tmp/git", "clone"))}, RolePackageCode},
		{"a program with git's name that became pip", []Process{root, again, ran(8, 3, vector("/root/bin/git"), vector("/usr/bin/git"))}, RolePackageCode},
		{"an orphan", []Process{ran(9, 1, vector("/usr/bin/git", "clone"))}, RolePackageCode},
		{"a lineage without its beginning", []Process{again, vcs}, RolePackageCode},
		{"nobody", nil, RolePackageCode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := RoleNow(tt.lineage, roleSandbox, StepInstall); got != tt.want {
				t.Errorf("role %q, want %q", got, tt.want)
			}
			for _, p := range tt.lineage {
				if p.Role != "" {
					t.Errorf("process %d of the lineage was changed: %q", p.ProcessID, p.Role)
				}
			}
		})
	}
}
