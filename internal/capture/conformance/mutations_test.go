package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pip-witness/internal/capture"
)

// mutation takes one trap or one step away, so that a behaviour must fail.
type mutation struct {
	title     string
	file      string // absolute, the source that is replaced
	text      []byte // what replaces it
	behaviour string
}

// noNumber is a call number that no kernel has, in place of the one of a row: the
// filter then never asks for that call.
const noNumber = "1 << 20"

// rowBehaviours names the behaviour that must fail without each row of the tables.
// Rows of this architecture only can be shown; those of others have the same
// handlers.
func rowBehaviours() map[string]string {
	behaviours := map[string]string{}
	for behaviour, names := range map[string]string{
		"open":              "open",
		"openat":            "openat",
		"openat2":           "openat2",
		"creat":             "creat",
		"open-by-handle":    "open_by_handle_at",
		"truncate":          "truncate",
		"rename":            "rename renameat renameat2",
		"hard-link":         "link linkat",
		"symbolic-link":     "symlink symlinkat",
		"chmod":             "chmod fchmod fchmodat fchmodat2",
		"chown":             "chown lchown fchown fchownat",
		"mknod":             "mknod mknodat",
		"directory":         "mkdir mkdirat rmdir unlink unlinkat",
		"execve":            "execve",
		"execveat":          "execveat",
		"fexecve-memfd":     "memfd_create",
		"renames-itself":    "prctl",
		"fork":              "exit_group",
		"daemon-fork":       "fork setsid",
		"daemon-clone":      "clone",
		"daemon-clone3":     "clone3",
		"silent-children":   "vfork",
		"connect":           "connect",
		"bind-listen":       "bind listen",
		"sendto":            "sendto",
		"sendmsg":           "sendmsg sendmmsg",
		"raw-socket":        "socket",
		"io-uring":          "io_uring_setup",
		"nested-filter":     "seccomp",
		"userfaultfd":       "userfaultfd",
		"executable-memory": "mmap mprotect",
		"reverse-shell":     "dup2 dup3",
		"ptrace":            "ptrace",
		"process-vm":        "process_vm_readv process_vm_writev",
		"pidfd-getfd":       "pidfd_getfd",
		"kill-all":          "kill",
		"setns":             "setns",
		"unshare-mount":     "unshare mount umount2",
		"pivot-root":        "pivot_root chroot",
		"security-calls": "kcmp fsopen fsmount move_mount open_tree mount_setattr bpf perf_event_open init_module finit_module " +
			"delete_module kexec_load kexec_file_load keyctl add_key request_key setuid setgid setreuid setregid setresuid " +
			"setresgid setgroups capset reboot syslog sethostname quotactl fanotify_init clock_settime settimeofday " +
			"personality iopl ioperm acct swapon",
	} {
		for name := range strings.FieldsSeq(names) {
			behaviours[name] = behaviour
		}
	}
	return behaviours
}

// rowMutations are one for each row of this architecture's tables.
func rowMutations(t *testing.T, arch string) []mutation {
	t.Helper()
	behaviours := rowBehaviours()
	var list []mutation
	for _, r := range tableRows(t) {
		behaviour := behaviours[r.name]
		if behaviour == "" {
			t.Errorf("no behaviour is named that fails without the trap of %s", r.name)
		}
		if !r.of(arch) {
			continue
		}
		source, err := os.ReadFile(r.file)
		if err != nil {
			t.Fatal(err)
		}
		text := slices.Concat(source[:r.start], []byte(noNumber), source[r.end:])
		list = append(list, mutation{"trap of " + r.name, r.file, text, behaviour})
	}
	return list
}

// stepMutation is one step of what the supervisor finds out, as a piece of its source.
type stepMutation struct {
	title, file, old, new, behaviour string
}

// steps lists the steps of resolution, prediction and bookkeeping.
func steps() []stepMutation {
	return []stepMutation{
		{"the working directory", "resolve.go", `name := "cwd"`, `name := "root"`, "cwd"},
		{"the directory's descriptor", "resolve.go", `if dirfd != unix.AT_FDCWD {`, `if dirfd == 1<<30 {`, "dirfd"},
		{"/proc/self", "resolve.go", `component == "self" {`, `component == "elf" {`, "proc-self-root"},
		{"/proc/thread-self", "resolve.go", `component == "thread-self" {`, `component == "hread-self" {`, "proc-self-root"},
		{"the directory of a missing name", "resolve.go", `path.Join(descriptorPath(parent), last)`, `path.Join("/", last)`, "failed-open"},
		{"the restrictions of openat2", "resolve.go", `if errno := w.forbidden(name); errno != 0 {`, `if errno := w.forbidden(name); errno == 1<<30 {`, "openat2"},
		{"the root of openat2", "resolve.go", `if w.at = start; how&unix.RESOLVE_IN_ROOT != 0 {`, `if w.at = start; how == 1<<40 {`, "openat2"},
		{"another file system", "resolve.go", `mountOf(source.fd) != mountOf(at)`, `mountOf(source.fd) == 1<<40`, "rename"},
		{"O_NOFOLLOW", "files.go", `follow := flags&unix.O_NOFOLLOW == 0`, `follow := flags&unix.O_NOFOLLOW <= 1<<40`, "symlink-path"},
		{"rights of a file", "files.go", `return access(l.fd, mode)`, `return 0 * access(l.fd, mode)`, "failed-open"},
		{"rights of a directory", "files.go", `errno = access(l.parent, unix.W_OK|unix.X_OK)
	return errno, errno == 0`, `return 0, true`, "creat"},
		{"the digest of what is read", "files.go", `p.opened[l.path] = s.digests.of(l)`, `p.opened[l.path] = nil`, "mmap-read"},
		{"the digest of what is written", "files.go", `p.written[path] = s.digests.of(l)`, `p.written[path] = nil`, "mmap-write"},
		{"the list of what is written", "files.go", `s.addWrite(e, l.path, created)`, `_ = created`, "open"},
		{"a renamed file's digest", "files.go", `e.p.written[target.path] = nil`, `_ = target.path`, "rename"},
		{"lchown", "files.go", `if e.name == "lchown" {`, `if e.name == "" {`, "chown"},
		{"AT_SYMLINK_FOLLOW of linkat", "files.go", `e.args[4]&unix.AT_SYMLINK_FOLLOW != 0`, `e.args[4] == 1<<40`, "hard-link"},
		{"AT_EMPTY_PATH", "files.go", `flags&unix.AT_EMPTY_PATH != 0 {`, `flags == 1<<40 {`, "execveat"},
		{"an exec that came back", "exec.go", `attempt.Errno, attempt.Truth = "ENOEXEC"`, `attempt.Errno, attempt.Truth = ""`, "path-search"},
		{"the interpreter of a script", "exec.go", `if thread == 0 || exe == p.record.Program {`, `if thread >= 0 || exe == "" {`, "shebang"},
		{"the image after an exec", "exec.go", `p.args, p.record.Args = im.args, s.options.Redact(im.args)`, `p.args = im.args`, "argv0-lies"},
		{"CLONE_UNTRACED", "exec.go", `namespaceFlags|unix.CLONE_UNTRACED`, `namespaceFlags`, "clone"},
		{"the exit code", "exec.go", `e.p.record.ExitCode = &code`, `_ = code`, "fork"},
		{"the parent of an orphan", "exec.go", `e.p.forks++`, `_ = e.p.forks`, "daemon-clone"},
		{"AF_UNSPEC of a datagram", "network.go", `if e.name != "connect" && binary`, `if e.name == "" && binary`, "sendto"},
		{"abstract names", "network.go", `return "@" + strings`, `return "" + strings`, "unix-abstract"},
		{"the second message of sendmmsg", "network.go", `min(e.args[2]&0xffffffff, maxMessages)`, `min(e.args[2]&0xffffffff, maxMessages, 1)`, "sendmsg"},
		{"the path of a socket", "network.go", `c.Address = s.socketPath(e, c.Address)`, `_ = s.socketPath`, "unix-path"},
		{"the port of a listener", "network.go", `localAddress(socket, &c)`, `localAddress(-1, &c)`, "bind-listen"},
		{"the refusal", "events.go", `e.refuse = errno`, `_ = errno`, "foreign-architecture"},
		{"the count of what is lost", "memory.go", `s.lose("argument:" + e.name)`, `_ = s.lose`, "userfaultfd"},
		{"other architectures", "filter.go", `SkipTrue: 1},
		notify,
		bpf.LoadAbsolute`, `SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
		bpf.LoadAbsolute`, "foreign-architecture"},
	}
}

// stepMutations finds each step in the source as it is today.
func stepMutations(t *testing.T) []mutation {
	t.Helper()
	var list []mutation
	for _, s := range steps() {
		path, err := filepath.Abs(filepath.Join("..", s.file))
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", s.title, err)
			continue
		}
		if n := strings.Count(string(source), s.old); n != 1 {
			t.Errorf("%s: %q is %d times in %s, want once: the entry is stale", s.title, s.old, n, s.file)
			continue
		}
		text := strings.Replace(string(source), s.old, s.new, 1)
		list = append(list, mutation{s.title, path, []byte(text), s.behaviour})
	}
	return list
}

// TestMutationList holds the list to the sources and to the suite: every row of
// the tables and every piece is there, and every behaviour exists.
func TestMutationList(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sections() {
		for _, b := range s.behaviours {
			if known[b.name] {
				t.Errorf("two behaviours are called %q", b.name)
			}
			known[b.name] = true
		}
	}
	rows := map[string]bool{}
	for _, r := range tableRows(t) {
		rows[r.name] = true
	}
	for name, behaviour := range rowBehaviours() {
		if !rows[name] {
			t.Errorf("%s is no row of the tables any more: the entry is stale", name)
		}
		if !known[behaviour] {
			t.Errorf("%s names the behaviour %q, which does not exist", name, behaviour)
		}
	}
	for _, m := range slices.Concat(rowMutations(t, "amd64"), rowMutations(t, "arm64"), stepMutations(t)) {
		if !known[m.behaviour] {
			t.Errorf("%s names the behaviour %q, which does not exist", m.title, m.behaviour)
		}
	}
}

// mutationsVariable asks for all mutations, which take about ten seconds each.
const mutationsVariable = "PIP_WITNESS_MUTATIONS"

// quick are the mutations that always run.
func quick() []string {
	return []string{"trap of openat", "trap of fork", "/proc/self", "the digest of what is written", "the refusal"}
}

// TestMutations shows that the suite notices: with one trap or one step taken
// away, the behaviour that the list names fails; with all in place it holds.
func TestMutations(t *testing.T) {
	needCompiler(t)
	if testing.Short() {
		t.Skip("needs time: it compiles the suite anew for each mutation")
	}
	all := slices.Concat(rowMutations(t, runtime.GOARCH), stepMutations(t))
	if os.Getenv(mutationsVariable) == "" {
		all = slices.DeleteFunc(all, func(m mutation) bool { return !slices.Contains(quick(), m.title) })
		if len(all) != len(quick()) {
			t.Fatalf("%d of the quick mutations exist, want %d", len(all), len(quick()))
		}
	}
	healthy := map[string]bool{}
	for _, m := range all {
		t.Run(m.title, func(t *testing.T) {
			if _, known := healthy[m.behaviour]; !known {
				out, err := behave(t, m.behaviour)
				healthy[m.behaviour] = err == nil
				if strings.Contains(out, "--- SKIP: TestConformance") {
					t.Skipf("needs what the behaviour needs: %s", out)
				}
			}
			if !healthy[m.behaviour] {
				t.Fatalf("%s does not hold as it is, so nothing can be shown by it", m.behaviour)
			}
			out, err := behave(t, m.behaviour, overlay(t, m))
			failed := fmt.Sprintf("--- FAIL: TestConformance/%s/%s ", capture.Backends()[0], m.behaviour)
			if err == nil || !strings.Contains(out, failed) {
				t.Errorf("%s holds without %s: %v\n%s", m.behaviour, m.title, err, out)
			}
		})
	}
}

// overlay writes the mutated source and the list of replacements of go build -overlay.
func overlay(t *testing.T, m mutation) string {
	t.Helper()
	dir := t.TempDir()
	mutated := filepath.Join(dir, filepath.Base(m.file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {m.file: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{mutated: m.text, filepath.Join(dir, "overlay.json"): list} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "-overlay=" + filepath.Join(dir, "overlay.json")
}

// behave runs one behaviour of this package on the preferred backend.
func behave(t *testing.T, behaviour string, flags ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	pattern := fmt.Sprintf("^TestConformance$/^%s$/^%s$", capture.Backends()[0], regexp.QuoteMeta(behaviour))
	args := slices.Concat([]string{"test", "-count=1", "-run", pattern}, flags, []string{"."})
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	return string(out), err
}
