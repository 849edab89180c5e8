package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// measureCapture compares commands with the same commands under `pip-witness run`
// without further attestors, which leaves the tracer, and where strace is there
// under strace, for reference. Digests of the host's files are known from the run
// before, as they are to whoever has used the program once.
func measureCapture(ctx context.Context, s settings, r *report) error {
	key, err := s.key(ctx)
	if err != nil {
		return err
	}
	defer os.Remove(key)
	trees := &trees{}
	defer trees.remove()
	digests := &digests{}
	environment := func(ctx context.Context, w *world) error {
		_, err := w.run(ctx, w.venv(), nil)
		return err
	}
	install := func(requirements ...string) func(*world) command {
		return func(w *world) command { return w.install(requirements...) }
	}
	cases := []struct {
		name    string
		goal    float64
		prepare func(context.Context, *world) error
		command func(*world) command
	}{
		{"pip install requests", 1.20, environment, install("requests")},
		{"pip install markupsafe, from source", 1.15, environment, install("--no-binary", "markupsafe", "markupsafe")},
		{largeInstall, 1.15, environment, install("pandas", "numpy", "scipy", "matplotlib")},
		{
			"import pandas", 1.15,
			func(ctx context.Context, w *world) error { return trees.place(ctx, w, "pandas") },
			func(w *world) command { return w.importing("pandas") },
		},
	}
	for _, c := range cases {
		if !s.only.MatchString(c.name) {
			continue
		}
		var calls []float64
		peak := &captureWatch{binary: s.binary}
		sides := append([]side{
			{name: "plain", commands: one(c.command)},
			{
				name: "pip-witness run", goal: c.goal, commands: one(traced(c.command, key)), inspect: countCalls(&calls),
				watch: peak.watch, after: digests.keep,
			},
		}, references(c.command)...)
		prepare := func(ctx context.Context, w *world) error { return errors.Join(c.prepare(ctx, w), digests.place(w)) }
		all, err := compare(ctx, s, workload{name: c.name, prepare: prepare, sides: sides})
		if err != nil {
			return err
		}
		r.Comparisons = append(r.Comparisons, all...)
		seen := median(calls)
		r.add(c.name+": system calls seen", seen, "calls", 0)
		if seen > 0 {
			r.add(c.name+": added for each", (all[1].Took-all[0].Took)/seen*1e6, "µs", 0)
		}
		gate := 0.0
		if c.name == largeInstall {
			gate = supervisorGate
		}
		r.add(c.name+": memory of the supervisor while the command runs", float64(peak.most)/megabyte, "MB", gate)
	}
	return nil
}

const largeInstall = "pip install pandas numpy scipy matplotlib"

// supervisorGate is the resident memory, in MB, to stay below during the capture
// of the large install.
const supervisorGate = 60

// captureWatch follows the resident memory of the supervisor while there is a
// command below it.
type captureWatch struct {
	binary string
	most   int64 // bytes
}

func (c *captureWatch) watch(ctx context.Context, pid int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && c.commandRuns(pid) {
			c.most = max(c.most, statusBytes(status, "VmRSS:"))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(peakPoll):
		}
	}
}

// commandRuns tells whether a descendant runs another program.
func (c *captureWatch) commandRuns(pid int) bool {
	return slices.ContainsFunc(family(pid), func(one int) bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", one))
		return err == nil && exe != c.binary
	})
}

// digests are what pip-witness keeps of the host's files from run to run, carried
// from one world to the next.
type digests struct{ data []byte }

func digestsFile(w *world) string {
	return filepath.Join(w.path("cache"), "pip-witness", "digests.json")
}

// keep takes them from a world in which a command was traced.
func (d *digests) keep(w *world) (err error) {
	d.data, err = os.ReadFile(digestsFile(w))
	return err
}

// place puts them where the next run finds them.
func (d *digests) place(w *world) error {
	if d.data == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(digestsFile(w)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(digestsFile(w), d.data, 0o600)
}

// one is a side of a single command.
func one(c func(*world) command) func(*world) ([]command, error) {
	return func(w *world) ([]command, error) { return []command{c(w)}, nil }
}

// traced is the command under the tracer alone.
func traced(c func(*world) command, key string) func(*world) command {
	return func(w *world) command {
		inner := c(w)
		args := []string{w.binary, "run", "--step", "bench", "--key", key, "--out", w.path("step.json"), "--attestors", "", "--"}
		return command{label: "run", args: append(args, inner.args...), env: inner.env}
	}
}

// key makes a key to sign with.
func (s settings) key(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "bench-key-")
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "key.pem")
	if out, err := exec.CommandContext(ctx, s.binary, "keygen", "--out", made).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make a key: %w: %s", err, out)
	}
	kept := dir + ".pem"
	return kept, os.Rename(made, kept)
}

// straceCalls are about the calls that pip-witness traps whatever their
// arguments are; a question mark lets strace skip what a machine does not have.
const straceCalls = "?open,openat,openat2,?creat,execve,execveat,connect,bind,listen,sendto,sendmsg,sendmmsg,socket," +
	"?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir,?link,linkat,?symlink,symlinkat,?chmod,fchmod,fchmodat," +
	"?chown,?lchown,fchown,fchownat,truncate,?mkdir,mkdirat,?mknod,mknodat,?fork,?vfork,clone,clone3,exit_group"

// references are strace with every call, and with a filter for the calls that
// pip-witness sees; none where there is no strace.
func references(c func(*world) command) []side {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil
	}
	under := func(options ...string) func(*world) ([]command, error) {
		return one(func(w *world) command {
			inner := c(w)
			args := append([]string{strace, "-f", "-o", os.DevNull}, options...)
			return command{label: "strace", args: append(args, inner.args...), env: inner.env}
		})
	}
	return []side{
		{name: "strace -f", commands: under()},
		{name: "strace -f --seccomp-bpf, the same calls", commands: under("--seccomp-bpf", "-e", "trace="+straceCalls)},
	}
}

// countCalls keeps the number that `run` prints.
func countCalls(calls *[]float64) func([][]byte) error {
	pattern := regexp.MustCompile(`(\d+) system calls seen`)
	return func(outputs [][]byte) error {
		match := pattern.FindSubmatch(outputs[0])
		if match == nil {
			return fmt.Errorf("pip-witness run printed no number of calls: %s", tail(outputs[0], 600))
		}
		n, err := strconv.Atoi(string(match[1]))
		*calls = append(*calls, float64(n))
		return err
	}
}

// trees keeps one installation of a requirement for every run that only imports
// it: an import changes nothing there, and its files are as old as those of an
// environment that is in use.
type trees struct{ kept map[string]*world }

// place gives a world the environment with the requirement installed.
func (t *trees) place(ctx context.Context, w *world, requirement string) error {
	if t.kept[requirement] == nil {
		made, err := newWorld(w.settings)
		if err != nil {
			return err
		}
		for _, c := range []command{made.venv(), made.install(requirement)} {
			if _, err := made.run(ctx, c, nil); err != nil {
				return errors.Join(err, made.remove())
			}
		}
		if t.kept == nil {
			t.kept = map[string]*world{}
		}
		t.kept[requirement] = made
	}
	w.prefix = t.kept[requirement].prefix
	return nil
}

func (t *trees) remove() {
	for _, w := range t.kept {
		_ = w.remove() // a temporary directory that stays behind changes no figure
	}
}
