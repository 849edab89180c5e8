package check

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"pip-witness/evidence"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// TestNativeBuilds checks sdists that compilers build inside the sandbox: they
// pass, and the compilers are in the record.
func TestNativeBuilds(t *testing.T) {
	compilers := map[string][]string{"testpkg-native": {"cc", "c++"}, "testpkg-rust": {"cargo", "cc"}}
	for _, p := range testpkg.Native() {
		t.Run(p.Name, func(t *testing.T) {
			for _, c := range compilers[p.Name] {
				if _, err := exec.LookPath(c); err != nil {
					t.Skipf("needs %s on the PATH", c)
				}
			}
			o := observe(t, request(t, build(t, p)))
			install := o.Steps[0].Command
			for _, c := range compilers[p.Name] {
				if !runs(install, c) && tried(install, c) {
					t.Skipf("needs %s inside the sandbox: CARGO_HOME, RUSTUP_HOME and what is on the PATH below the real home are not shown there", c)
				}
			}
			result := judge(t, o)
			if result.Verdict != policy.Pass {
				t.Fatalf("verdict %s, problems %q, findings %+v", result.Verdict, o.Problems, result.Findings)
			}
			if !slices.ContainsFunc(o.Steps[1].Command.Imports, func(i evidence.ImportResult) bool { return i.OK }) {
				t.Errorf("imports %+v", o.Steps[1].Command.Imports)
			}
		})
	}
}

// runs tells whether a process of the recording ran a program called so, which
// may be a link to one of another name.
func runs(command evidence.CommandRun, program string) bool {
	return executes(command, program, func(e evidence.Exec) bool { return e.Errno == "" })
}

// tried tells whether a process wanted to run it and did not find it.
func tried(command evidence.CommandRun, program string) bool {
	return executes(command, program, func(e evidence.Exec) bool { return e.Errno == "ENOENT" })
}

func executes(command evidence.CommandRun, program string, fits func(evidence.Exec) bool) bool {
	return slices.ContainsFunc(command.Processes, func(p evidence.Process) bool {
		return slices.ContainsFunc(p.Execs, func(e evidence.Exec) bool {
			return len(e.Argv) > 0 && filepath.Base(e.Argv[0]) == program && fits(e)
		})
	})
}
