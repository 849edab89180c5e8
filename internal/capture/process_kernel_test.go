package capture_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
)

// execs are the attempts of a process as "errno truth program argv".
func execs(p evidence.Process) []string {
	var list []string
	for _, x := range p.Execs {
		list = append(list, strings.Join([]string{errnoText(x.Errno), string(x.Truth), filepath.Base(x.Program), strings.Join(x.Argv, " ")}, " "))
	}
	return list
}

func TestPrograms(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		script, again := w.dir+"/script", w.dir+"/again"
		for _, err := range []error{
			os.WriteFile(script, []byte("#!"+w.dir+"/probe open\n"), 0o755), // runs: probe open SCRIPT …
			os.WriteFile(w.dir+"/plain", []byte("neither"), 0o755),
			os.WriteFile(w.dir+"/data", []byte("x"), 0o644),
			os.Symlink("probe", again),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		self := w.dir + "/probe"
		for _, c := range []struct {
			name string
			ops  [][]string
			want []string // of the first process
			args []string // of the image at last
			file string   // program at last
		}{
			{"another program", [][]string{op("exec", self, "open", "data", 0)},
				[]string{"0 kernel probe $P exec $P open data 0", "0 kernel probe $P open data 0"}, []string{self, "open", "data", "0"}, self},
			{"through a symlink", [][]string{op("exec", again, "open", "data", 0)},
				[]string{"0 kernel probe $P exec $D/again open data 0", "0 kernel probe $D/again open data 0"}, []string{again, "open", "data", "0"}, self},
			{"a name that lies", [][]string{op("execas", self, "/usr/bin/python3", "open", "data", 0)},
				[]string{"0 kernel probe $P execas $P /usr/bin/python3 open data 0", "0 kernel probe /usr/bin/python3 open data 0"},
				[]string{"/usr/bin/python3", "open", "data", "0"}, self},
			{"a script", [][]string{op("exec", script, 0)},
				[]string{"0 kernel probe $P exec $D/script 0", "0 kernel script $D/script 0"}, []string{self, "open", script, "0"}, script},
			{"search that fails", [][]string{op("exec", "/nowhere/probe"), op("exec", "$D/data"), op("exec", "$D"), op("exec", "$D/data/x"), op("open", "data", 0)},
				[]string{"0 kernel probe $P exec /nowhere/probe , exec $D/data , exec $D , exec $D/data/x , open data 0",
					"ENOENT entry probe /nowhere/probe", "EACCES entry data $D/data", "EACCES entry $B $D", "ENOTDIR entry x $D/data/x"},
				[]string{self, "exec", "/nowhere/probe", ",", "exec", w.dir + "/data", ",", "exec", w.dir, ",", "exec", w.dir + "/data/x", ",", "open", "data", "0"}, self},
			{"no program at all", [][]string{op("exec", "$D/plain"), op("open", "data", 0)},
				[]string{"0 kernel probe $P exec $D/plain , open data 0", "ENOEXEC kernel plain $D/plain"},
				[]string{self, "exec", w.dir + "/plain", ",", "open", "data", "0"}, self},
			{"by descriptor", [][]string{op("open", "$P", 0), op("fexec", "x", "open", "data", 0)},
				[]string{"0 kernel probe $P open $P 0 , fexec x open data 0", "0 kernel probe x open data 0"}, []string{"x", "open", "data", "0"}, self},
			{"from memory", [][]string{op("memfd", "fd", "$P", "open", "data", 0)},
				[]string{"0 kernel probe $P memfd fd $P open data 0", "0 kernel memfd:hidden (deleted) $P open data 0"},
				[]string{self, "open", "data", "0"}, "/memfd:hidden (deleted)"},
			{"from memory by its name in /proc", [][]string{op("memfd", "proc", "$P", "open", "data", 0)},
				[]string{"0 kernel probe $P memfd proc $P open data 0", "0 kernel memfd:hidden (deleted) $P open data 0"},
				[]string{self, "open", "data", "0"}, "/memfd:hidden (deleted)"},
			{"while another thread works", [][]string{op("spin", "data"), op("exec", self, "open", "data", 0)},
				[]string{"0 kernel probe $P spin data , exec $P open data 0", "0 kernel probe $P open data 0"}, []string{self, "open", "data", "0"}, self},
			{"by a thread that is not the first", [][]string{op("spin", "data"), op("execthread", self, "open", "data", 0)},
				[]string{"0 kernel probe $P spin data , execthread $P open data 0", "0 kernel probe $P open data 0"}, []string{self, "open", "data", "0"}, self},
			{"more arguments than fit", [][]string{op("execmany", self, 200, 120000), op("open", "data", 0)},
				[]string{"0 kernel probe $P execmany $P 200 120000 , open data 0"},
				[]string{self, "execmany", self, "200", "120000", ",", "open", "data", "0"}, self},
			{"many arguments", [][]string{op("execmany", self, 6000, 0)},
				[]string{"0 kernel probe $P execmany $P 6000 0", "0 kernel probe $P" + strings.Repeat(" ", 6000)},
				append([]string{self}, slices.Repeat([]string{""}, 6000)...), self},
			{"a disguise whose exec fails", [][]string{op("disguise", "$D/plain", "zzz"), op("open", "data", 0)},
				[]string{"0 kernel probe $P disguise $D/plain zzz , open data 0", "ENOEXEC kernel plain $D/plain zzz"},
				[]string{self, "disguise", w.dir + "/plain", "zzz", ",", "open", "data", "0"}, self},
		} {
			t.Run(c.name, func(t *testing.T) {
				for i := range c.ops {
					for j := range c.ops[i] {
						c.ops[i][j] = strings.ReplaceAll(c.ops[i][j], "$P", self)
					}
				}
				r := w.probe(t, c.ops...)
				r.wholly(t)
				p := r.Processes[0]
				replace := strings.NewReplacer("$P", self, "$D", w.dir, "$B", filepath.Base(w.dir))
				var want []string
				for _, line := range c.want {
					want = append(want, replace.Replace(line))
				}
				if diff := cmp.Diff(want, execs(p)); diff != "" {
					t.Errorf("execs: want -, got +:\n%s", diff)
				}
				if diff := cmp.Diff(c.args, p.Args); diff != "" || p.Cmdline != strings.Join(c.args, " ") {
					t.Errorf("arguments: want -, got + (joined %.300q):\n%s", p.Cmdline, diff)
				}
				if p.Program != c.file {
					t.Errorf("program %q, want %q", p.Program, c.file)
				}
				if p.ExitCode == nil || *p.ExitCode != r.ExitCode {
					t.Errorf("exit code %v, want %d", p.ExitCode, r.ExitCode)
				}
				if got, want := p.ExeDigest["sha256"], digestOf(t, self); got != want {
					t.Errorf("digest of the image: %q, want %q", got, want)
				}
				if want := digestOf(t, self); c.file != script && p.ProgramDigest["sha256"] != want {
					t.Errorf("digest of the program: %q, want %q", p.ProgramDigest, want)
				} else if c.file == script && p.ProgramDigest["sha256"] != digestOf(t, script) {
					t.Errorf("digest of the script: %q", p.ProgramDigest)
				}
			})
		}
	})
}

// What a process opens after an exec belongs to the new image, and the
// environment is the one that the new image got.
func TestProgramsEnvironment(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("name", "other"), op("open", "x", 0))
		p := r.Processes[0]
		if p.Environ != "HOME=/root PATH=/usr/bin:/bin" || p.Comm != "probe" {
			t.Errorf("environment %q, name %q", p.Environ, p.Comm)
		}
	})
}

func TestProcesses(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		if err := os.WriteFile(w.dir+"/file", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		said := func(r tracing) (pid, code int) {
			fields := strings.Fields(r.said[len(r.said)-1])
			pid, _ = strconv.Atoi(fields[2])
			if len(fields) > 3 {
				code, _ = strconv.Atoi(fields[3])
			}
			return pid, code
		}
		for _, how := range []string{"fork", "vfork", "clone", "clone3"} {
			t.Run(how, func(t *testing.T) {
				r := w.probe(t, op(how, "file"))
				r.wholly(t)
				if how == "clone3" && w.backend == capture.Ptrace {
					if diff := cmp.Diff([]string{"clone3 ECHILD -1 0"}, r.said); diff != "" { // no child to wait for
						t.Error(diff)
					}
					return
				}
				pid, code := said(r)
				if len(r.Processes) != 2 {
					t.Fatalf("%d processes, want 2", len(r.Processes))
				}
				parent, child := r.Processes[0], r.Processes[1]
				if child.ProcessID != pid || child.ParentPID != parent.ProcessID || parent.ParentPID != 0 {
					t.Errorf("child %d of %d, want %d of %d", child.ProcessID, child.ParentPID, pid, parent.ProcessID)
				}
				if diff := cmp.Diff([]int{pid}, parent.Children); diff != "" {
					t.Errorf("children: %s", diff)
				}
				if child.ExitCode == nil || *child.ExitCode != code || code != 7 {
					t.Errorf("exit code %v, want %d", child.ExitCode, code)
				}
				if diff := cmp.Diff([]string{"0 " + w.dir + "/file"}, opens(child)); diff != "" {
					t.Errorf("opens of the child: %s", diff)
				}
				if child.Program != parent.Program || child.Cmdline != parent.Cmdline {
					t.Errorf("image of the child %q %q", child.Program, child.Cmdline)
				}
			})
		}
		t.Run("thread", func(t *testing.T) {
			r := w.probe(t, op("thread", "file"))
			r.wholly(t)
			if len(r.Processes) != 1 || !slices.Contains(opens(r.Processes[0]), "0 "+w.dir+"/file") {
				t.Errorf("%d processes, opens %q", len(r.Processes), opens(r.Processes[0]))
			}
		})
		t.Run("daemon", func(t *testing.T) {
			r := w.probe(t, op("daemon", 300, "file"))
			r.wholly(t)
			if len(r.Processes) != 3 {
				t.Fatalf("%d processes, want 3", len(r.Processes))
			}
			top, middle, daemon := r.Processes[0], r.Processes[1], r.Processes[2]
			if middle.ParentPID != top.ProcessID || daemon.ParentPID != middle.ProcessID {
				t.Errorf("daemon's ancestors: %d, %d, want %d, %d", daemon.ParentPID, middle.ParentPID, middle.ProcessID, top.ProcessID)
			}
			if daemon.ExitCode == nil || *daemon.ExitCode != 3 || len(opens(daemon)) != 1 {
				t.Errorf("daemon: exit code %v, opens %q", daemon.ExitCode, opens(daemon))
			}
		})
		t.Run("killed by a signal", func(t *testing.T) {
			r := w.probe(t, op("killed", "file"))
			r.wholly(t)
			pid, _ := said(r)
			if len(r.Processes) != 2 || r.Processes[1].ProcessID != pid || r.Processes[1].ExitCode != nil {
				t.Errorf("record of the killed child: %+v", r.Processes[1:])
			}
		})
		t.Run("exit code", func(t *testing.T) {
			r := w.probe(t, op("exit", 42))
			if r.ExitCode != 42 || *r.Processes[0].ExitCode != 42 {
				t.Errorf("exit code %d, of the process %v", r.ExitCode, r.Processes[0].ExitCode)
			}
		})
		t.Run("killed itself", func(t *testing.T) {
			r := w.probe(t, op("crash", int(unix.SIGSEGV)))
			if r.ExitCode != 128+int(unix.SIGSEGV) || r.Processes[0].ExitCode == nil || *r.Processes[0].ExitCode != r.ExitCode {
				t.Errorf("exit code %d, of the process %v", r.ExitCode, r.Processes[0].ExitCode)
			}
		})
		t.Run("numbers of its own", func(t *testing.T) {
			r := w.probe(t, op("nested", "file"))
			if w.confined { // none inside the sandbox
				if r.said[0] != "nested ENOSPC" || !slices.Contains(r.events(), "unshare") {
					t.Errorf("said %q, events %q", r.said, r.events())
				}
				return
			}
			if r.said[0] == "nested EPERM" {
				t.Skip("needs user namespaces")
			}
			r.wholly(t)
			pid, _ := said(r)
			if len(r.Processes) != 2 || r.Processes[1].ProcessID != pid || r.Processes[1].ParentPID != r.Processes[0].ProcessID {
				t.Errorf("child in a pid namespace of its own: %d, want %d", r.Processes[len(r.Processes)-1].ProcessID, pid)
			}
		})
	})
}

// A thread number that the kernel gives out again is not taken for the process
// that had it before.
func TestThreadNumbersAreUsedAgain(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to set the next process id")
	}
	w := newWorld(t, false)
	const file = "/proc/sys/kernel/ns_last_pid"
	if f, err := os.OpenFile(file, os.O_WRONLY, 0); err != nil {
		t.Skipf("needs a writable %s: %v", file, err)
	} else {
		f.Close()
	}
	done := make(chan struct{})
	go func() { // the child of "killed" is the 2nd process of the run; make the 3rd have its number
		defer close(done)
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) {
			content, err := os.ReadFile(w.dir + "/pid")
			if pid, e := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && e == nil {
				_ = os.WriteFile(file, []byte(strconv.Itoa(pid-1)), 0)
				_ = os.WriteFile(w.dir+"/go", nil, 0o644)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	script := `
import os, signal, sys, time
first = os.fork()
if first == 0:
    try: os.open("first", os.O_RDONLY)
    except OSError: pass
    signal.pause()
time.sleep(0.1)
os.kill(first, signal.SIGKILL); os.waitpid(first, 0)
with open("pid.tmp", "w") as f: f.write(str(first))
os.rename("pid.tmp", "pid")
while not os.path.exists("go"): time.sleep(0.001)
second = os.fork()
if second == 0:
    try: os.open("second", os.O_RDONLY)
    except OSError: pass
    os._exit(0)
os.waitpid(second, 0)
print(first, second)
`
	python := pythonPath(t)
	r := w.run(t, python, "-I", "-S", "-c", script)
	<-done
	var first, second int
	if _, err := fmt.Sscan(r.Stdout, &first, &second); err != nil {
		t.Fatalf("%q %q: %v", r.Stdout, r.Stderr, err)
	}
	if first != second {
		t.Skipf("the kernel gave number %d and then %d: another process was faster", first, second)
	}
	if len(r.Processes) != 3 {
		t.Fatalf("%d processes, want 3", len(r.Processes))
	}
	for i, name := range []string{"first", "second"} {
		if got := opens(r.Processes[i+1]); !slices.Equal(got, []string{"ENOENT " + w.dir + "/" + name}) {
			t.Errorf("opens of process %d: %q", i+1, got)
		}
	}
}

// Descriptors that the supervisor keeps for processes that were killed do not
// run out.
func TestManyKilledProcesses(t *testing.T) {
	w := newWorld(t, true)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 100, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	r := w.probe(t, op("many", 150, "/etc/hostname"), op("open", "/etc/passwd", 0))
	r.wholly(t)
	if len(r.Processes) != 151 {
		t.Fatalf("%d processes, want 151", len(r.Processes))
	}
	for i, p := range r.Processes {
		want := "0 /etc/hostname"
		if i == 0 {
			want = "0 /etc/passwd"
		}
		if got := opens(p); len(got) != 1 || got[0] != want {
			t.Fatalf("opens of process %d: %q, want %q", i, got, want)
		}
	}
}

// What cannot be read is refused and counted, except a null pointer, which fails
// by itself.
func TestUnreadableArguments(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("open", "null", 0), op("open", "bad", 0), op("unlink", "bad"))
		if diff := cmp.Diff([]string{"open EFAULT", "open EPERM", "unlink EPERM"}, r.said); diff != "" {
			t.Errorf("said: %s", diff)
		}
		if diff := cmp.Diff(map[string]int{"argument:open": 1, "argument:unlink": 1}, r.Coverage.Losses); diff != "" || r.Coverage.Complete {
			t.Errorf("complete %v, losses: %s", r.Coverage.Complete, diff)
		}
	})
}

// A process that made itself undumpable is read all the same in the sandbox.
func TestUndumpable(t *testing.T) {
	w := newWorld(t, true)
	r := w.probe(t, op("undumpable"), op("open", "/etc/passwd", 0), op("connect", "dgram", "inet", "127.0.0.1", 9))
	r.wholly(t)
	if !slices.Contains(opens(r.Processes[0]), "0 /etc/passwd") || len(r.Processes[0].Network.Connections) != 1 {
		t.Errorf("opens %q, connections %v", opens(r.Processes[0]), r.Processes[0].Network.Connections)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		options capture.Options
		ops     []string
		want    evidence.Limit
	}{
		{"records", capture.Options{MaxRecords: 50}, []string{"flood", "1000000"}, evidence.Limit{Name: "records", Value: 50, Unit: "records"}},
		{"processes", capture.Options{MaxProcesses: 8}, []string{"bomb", "100"}, evidence.Limit{Name: "processes", Value: 8, Unit: "processes"}},
		{"memory", capture.Options{MaxRecords: 500}, []string{"execmany", "/nowhere", "40", "120000"}, evidence.Limit{Name: "records", Value: 500, Unit: "records"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w world) {
				processes, coverage := w.attach(t, c.options, c.ops...)
				if diff := cmp.Diff([]evidence.Limit{c.want}, coverage.Limits); diff != "" || coverage.Complete {
					t.Errorf("complete %v, limits: %s", coverage.Complete, diff)
				}
				if len(processes) > 10 || len(processes[0].FileOps.Opens) > 100_000 {
					t.Errorf("%d processes, %d opens", len(processes), len(processes[0].FileOps.Opens))
				}
			})
		})
	}
	t.Run("repetitions are one record", func(t *testing.T) {
		w := newWorld(t, true)
		processes, coverage := w.attach(t, capture.Options{MaxRecords: 50}, "repeat", "500", "/etc/passwd")
		if !coverage.Complete || processes[0].FileOps.Opens[0].Count != 500 {
			t.Errorf("complete %v, count %d", coverage.Complete, processes[0].FileOps.Opens[0].Count)
		}
	})
}

func TestOptions(t *testing.T) {
	if _, err := capture.New(capture.Options{}); err == nil {
		t.Error("options without Stop: no error")
	}
	w := newWorld(t, true)
	_, coverage := w.attach(t, capture.Options{}, "open", "/etc/passwd", "0")
	if coverage.Backend != "seccomp-notify" || coverage.Architecture != runtime.GOARCH || coverage.Kernel == "" {
		t.Errorf("coverage %+v", coverage)
	}
	for _, name := range []string{"openat", "execve", "connect", "ptrace", "io_uring_setup", "mmap"} {
		if !slices.Contains(coverage.Trapped, name) {
			t.Errorf("%s is not in the trapped calls", name)
		}
	}
	if !slices.IsSorted(coverage.Trapped) || len(coverage.NotTrapped) == 0 {
		t.Error("trapped calls are not sorted, or nothing is said to be left out")
	}
}
