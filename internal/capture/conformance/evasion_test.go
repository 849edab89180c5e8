package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
)

func bypasses() []behaviour {
	return []behaviour{
		{name: "io-uring", title: "io_uring, for an open and a connect"},
		{name: "asynchronous-io", title: "io_setup, with a read into the memory of arguments"},
		{name: "foreign-architecture", title: "int 0x80 and x32"},
		{name: "nested-filter", title: "seccomp filters of its own that allow everything"},
		{name: "nested-listener", title: "a seccomp listener of its own"},
		{name: "undumpable", title: "PR_SET_DUMPABLE 0"},
		{name: "userfaultfd", title: "userfaultfd, which would hold arguments back"},
		{name: "unreadable", title: "an argument in memory that nobody may read"},
		{name: "executable-memory", title: "memory that is written and executed"},
		{name: "reverse-shell", title: "a socket as standard input"},
		{name: "security-calls", title: "every other call that is an event by itself"},
	}
}

func introspection() []behaviour {
	return []behaviour{
		{name: "ptrace", title: "ptrace of a child, and of the parent by its child"},
		{name: "process-vm", title: "process_vm_readv and process_vm_writev"},
		{name: "proc-mem", title: "/proc/PID/mem"},
		{name: "proc-guarded", title: "files of /proc that ask for the rights of a tracer: its own, of a child, of pid 1"},
		{name: "pidfd-getfd", title: "pidfd_getfd"},
	}
}

func races() []behaviour {
	return []behaviour{
		{
			name: "flip-open", title: "a path that another thread flips during 100,000 opens",
			ignore: []string{"open"}, check: counted,
		},
		unseenBy(capture.Ptrace, "destinations and other arguments that another thread changes during the call, except the names of opens and programs", behaviour{
			name: "flip-connect", title: "an address that another thread flips during 20,000 connects",
			ignore: []string{"call"}, check: counted,
		}),
		{name: "flip-exec", title: "a program's path that another thread flips, in 100 processes"},
		flipped("shared", "a path in a page that another process shares, flipped by it"),
		unseenBy(capture.Notify, "what an open with O_PATH found whose name another thread changed during the call",
			flipped("o-path", "the same path, opened with O_PATH")),
		flipped("file", "a path in a page of a file that another process writes to"),
		flipped("written", "a path that another process flips by process_vm_writev"),
		flipped("mem", "a path that another process flips through a descriptor of /proc/self/mem"),
		flipped("cloned", "a path that a process flips which uses the same memory"),
		flipped("borrowed", "a path that is flipped by a thread which a child of vfork left behind"),
	}
}

// flipped is a path in memory that others than a thread of the process can write to.
func flipped(how, title string) behaviour {
	return behaviour{
		name: "flip-" + how, program: "flip-memory", args: []string{how}, title: title + ", during 5,000 opens", ignore: []string{"open"}, check: counted,
	}
}

// unseenBy is a behaviour that one backend does not observe, as its coverage says.
func unseenBy(backend capture.Backend, class string, b behaviour) behaviour {
	b.unobservedBy, b.unobserved = backend, class
	return b
}

// counted compares how often each path or address was reached with how often the
// record has it, of each process that counted.
func counted(t *testing.T, r run) {
	for _, p := range r.Processes {
		if stated := r.stated(p.ProcessID, "count"); len(stated) > 0 {
			compareCounts(t, stated, p)
		}
	}
}

func compareCounts(t *testing.T, stated []fact, p evidence.Process) {
	t.Helper()
	have := map[string]int{}
	for _, o := range p.FileOps.Opens {
		switch {
		case o.Errno == "" && (o.Mode == "read" || o.Mode == "path"):
			have["open "+o.Path] += max(o.Count, 1)
		case o.Errno != "":
			base, _, _ := strings.Cut(o.Path, "missing-")
			have["failed "+base+"missing-"] += max(o.Count, 1)
		}
	}
	for _, c := range p.Network.Connections {
		have[fmt.Sprintf("connect %s %d", c.Address, c.Port)] += max(c.Count, 1)
	}
	for _, f := range stated {
		key := f.word(1) + " " + f.word(2)
		if got, want := have[key], number(f.word(0)); got != want {
			t.Errorf("%s: recorded %d times, was %d", key, got, want)
		}
		delete(have, key)
	}
	for key, n := range have {
		t.Errorf("%s: recorded %d times, never was", key, n)
	}
}

// killed is the status of a command that was ended at a limit.
const killed = 128 + 9

func floods() []behaviour {
	return []behaviour{
		{
			name: "failing-opens", args: []string{"$MANY"}, title: "1,000,000 opens that fail, 200,000 under ptrace", ignore: []string{"open"},
			check: func(t *testing.T, r run) {
				counted(t, r)
				if n := len(r.Processes[0].FileOps.Opens); n > 1000 {
					t.Errorf("%d records, want at most one for each of the 1,000 names", n)
				}
			},
		},
		{
			name: "fork-bomb", title: "a fork bomb", exit: killed, ignore: []string{"processes", "child", "exit"}, check: ended,
		},
		{
			name: "silent-children", title: "children that make no call at all", exit: killed, ignore: []string{"processes", "child", "exit"}, check: ended,
		},
		{name: "kill-all", title: "kill(-1)"},
	}
}

// ended holds a flood to its end: the recording was stopped, soon.
func ended(t *testing.T, r run) {
	if !r.stopped || r.took > time.Minute {
		t.Errorf("stopped %v after %v", r.stopped, r.took)
	}
	if i := slices.IndexFunc(r.facts, func(f fact) bool { return f.kind == "limit" }); i < 0 {
		t.Error("the program stated no limit")
	}
}

func supervisor() []behaviour {
	return []behaviour{
		{name: "supervisor-memory", args: []string{"$PID"}, title: "signals, ptrace, memory, environment and descriptors of the supervisor"},
		{name: "supervisor-descriptors", title: "descriptors that were left open"},
		{name: "key-file", args: []string{"$HOST"}, title: "a key outside, by its path and through /proc"},
		{name: "supervisor-sockets", args: []string{"$HOST", "$ABSTRACT", "$PORT"}, title: "sockets of somebody outside"},
		{name: "init-signals", title: "every signal to pid 1"},
		{name: "init-memory", title: "ptrace, memory, root and descriptors of pid 1"},
	}
}

func escapes() []behaviour {
	return []behaviour{
		{name: "setns", title: "setns by a pidfd of pid 1, and into its own"},
		{name: "init-namespaces", title: "the namespaces of pid 1 by their files (nsenter)"},
		{name: "unshare-mount", title: "unshare, mount and umount"},
		{name: "pivot-root", title: "pivot_root and chroot"},
		{name: "core-pattern", title: "core_pattern and other settings of the machine"},
		{name: "release-agent", title: "release_agent of a control group"},
		{name: "docker-socket", args: []string{"$HOST"}, title: "the socket of a container engine"},
	}
}
