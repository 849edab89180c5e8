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
	backend   capture.Backend
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
		"attributes":        "setxattr lsetxattr fsetxattr",
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
		"asynchronous-io":   "io_setup",
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
		list = append(list, mutation{"trap of " + r.name, r.file, text, capture.Backends()[0], behaviour})
	}
	return list
}

// stepMutation is one step of what the supervisor finds out or does for others, as a
// piece of its source.
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
		{"the root of openat2", "resolve.go", `if w.at = start; look.how&unix.RESOLVE_IN_ROOT != 0 {`, `if w.at = start; look.how == 1<<40 {`, "openat2"},
		{"the directory of an entry", "resolve.go", `p.directory = s.resolve(e, dirfd, dir, true)`, `p.directory = s.resolve(e, unix.AT_FDCWD, dir, true)`, "rename"},
		{"the closed root of init", "resolve.go", `pid == initPID && w.confined && pid != w.inside`, `pid < 0`, "init-memory"},
		{"O_NOFOLLOW", "files.go", `follow: !o.has(unix.O_NOFOLLOW) && `, `follow: `, "symlink-path"},
		{"rights of a file", "files.go", `return access(l.fd, mode)`, `return 0 * access(l.fd, mode)`, "failed-open"},
		{"rights of a directory", "files.go", `errno = access(l.parent, unix.W_OK|unix.X_OK)
	return errno, errno == 0`, `return 0, true`, "creat"},
		{"the digest of what is read", "files.go", `p.opened[l.path] = s.digests.of(l)`, `p.opened[l.path] = nil`, "mmap-read"},
		{"the digest of what is written", "files.go", `p.written[path] = s.digests.of(l)`, `p.written[path] = nil`, "mmap-write"},
		{"the list of what is written", "files.go", `s.addWrite(e, l.path, r.created)`, `_ = r.created`, "open"},
		{"a renamed file's digest", "files.go", `e.p.written[target.path] = nil`, `_ = target.path`, "rename"},
		{"lchown", "files.go", `if e.name == "lchown" {`, `if e.name == "" {`, "chown"},
		{"AT_SYMLINK_FOLLOW of linkat", "files.go", `if flags&unix.AT_SYMLINK_FOLLOW != 0 {`, `if flags == 1<<40 {`, "hard-link"},
		{"AT_EMPTY_PATH", "files.go", `flags&unix.AT_EMPTY_PATH != 0 {`, `flags == 1<<40 {`, "execveat"},
		{"the mask of a directory", "files.go", `uint32(mode&0o7777&^mask)`, `uint32(mode&0o7777|0*mask)`, "umask"},
		{"the mask of a pipe", "files.go", `uint32(mode&^mask)`, `uint32(mode|0*mask)`, "umask"},
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
		{"the count of what is lost", "memory.go", `s.lose("argument:" + e.name)`, `_ = s.lose`, "unreadable"},
		{"other architectures", "filter.go", `SkipTrue: 1},
		notify,
		bpf.LoadAbsolute`, `SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
		bpf.LoadAbsolute`, "foreign-architecture"},
	}
}

// exposures lists the causes for which a call is made for the caller, and what has
// to be heeded then.
func exposures() []stepMutation {
	return []stepMutation{
		{"the exposure by threads", "space.go", `	default:
		e.p.space.shared = true`, `	default:`, "flip-open"},
		{"the exposure by CLONE_VM", "space.go", `	default:
		e.p.space.shared = true
		if flags&unix.CLONE_THREAD == 0 {`, `	default:
		if flags == 1<<40 {`, "flip-cloned"},
		{"the memory that vfork lends", "space.go", `e.p.lends = true`, `e.p.lends = false`, "flip-borrowed"},
		{"the exposure of shared pages", "space.go", `&pageShared == 0`, `&pageShared >= 0`, "flip-shared"},
		{"the exposure of pages of files", "space.go", `&pageShared == 0`, `&pageShared >= 0`, "flip-file"},
		{"the exposure by process_vm_writev", "events.go", `s.invaded(e, pid)`, `_ = s.invaded`, "flip-written"},
		{"the exposure by asynchronous reads", "events.go", `s.invaded(e, pid)`, `_ = s.invaded`, "asynchronous-io"},
		{"the exposure by a tracer", "events.go", `s.invaded(e, pid)`, `_ = s.invaded`, "ptrace"},
		{"the exposure by /proc/PID/mem", "files.go", `s.opensMemory(e, l.path)`, `_ = s.opensMemory`, "flip-mem"},
		{"the address of a connect for another", "network.go", `if s.port.injects() && forOthers(c.Family) && s.exposed(e) {
		s.addressFor`, `if s.port == nil {
		s.addressFor`, "flip-connect"},
		{"the program of an exposed exec", "exec.go", `if from.exposed && thread != 0 &&`, `if from.exposed && thread < 0 &&`, "flip-exec"},
		{"the path of what was opened for another", "behalf.go", `opened := l
`, `opened := location{path: o.name, fd: l.fd, stat: l.stat}
`, "cwd-threaded"},
		{"the mask of a file made for another", "behalf.go", `Mode: o.mode & 0o7777 &^ mask,`, `Mode: o.mode & 0o7777 | 0*mask,`, "umask-threaded"},
		{"the mask of a nameless file", "behalf.go", `mode = uint32(o.mode & 0o7777 &^ mask)`, `mode = uint32(o.mode & 0o7777 | 0*mask)`, "umask-threaded"},
		{"the lengths of sendmmsg", "behalf_network.go", `AppendUint32(nil, uint32(length))`, `AppendUint32(nil, uint32(0*length))`, "sendmsg-threaded"},
		{"the socket's name as the caller has it", "behalf_network.go", `raw, release = s.reachable(e, raw)
	}
	if c.Type`, `_ = s.reachable
	}
	if c.Type`, "unix-path-threaded"},
		{"the mode of chmod for another", "files.go", `uint32(mode&0o7777), 0)`, `uint32(mode&0o777), 0)`, "chmod-threaded"},
		{"truncate for another", "files.go", `unix.Truncate(selfDescriptor(l.fd), int64(e.args[1]))`, `unix.Access(selfDescriptor(l.fd), unix.F_OK)`, "truncate-threaded"},
		{"the guarded files of /proc", "files.go", `!o.has(unix.O_PATH) && s.tellsOfInit(e, l)`, `o.has(1<<40) && s.tellsOfInit(e, l)`, "proc-guarded"},
		{"the closed files of init", "behalf.go", `s.isInit(pid) && isGuarded(l.path)`, `pid < 0`, "init-memory"},
	}
}

// tracing lists the steps that the ptrace backend has of its own.
func tracing() []stepMutation {
	return []stepMutation{
		{"CLONE_UNTRACED under ptrace", "exec.go", `s.backend == Ptrace && flags&unix.CLONE_UNTRACED != 0`, `s.backend == ""`, "clone"},
		{"clone3 under ptrace", "exec.go", `if s.backend == Ptrace {
		e.refuse = unix.ENOSYS`, `if s.backend == "" {
		e.refuse = unix.ENOSYS`, "clone3"},
		{"NEW_LISTENER under ptrace", "events.go", `e.args[1]&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0`, `e.args[1] == 1<<40`, "nested-listener"},
		{"what was opened under ptrace", "ptrace.go", `opened := s.described(e, int32(got))`, `opened := asked
		opened.errno = 0`, "flip-open"},
		{"the answer under ptrace", "ptrace.go", `err = skipCall(e.thread(), -int64(e.refuse))`, `_ = skipCall`, "foreign-architecture"},
		{"calls of other processes under ptrace", "ptrace.go", `unix.PTRACE_O_TRACEFORK | `, ``, "daemon-fork"},
	}
}

// stepMutations finds each step in the source as it is today.
func stepMutations(t *testing.T) []mutation {
	t.Helper()
	return slices.Concat(
		findSteps(t, capture.Backends()[0], steps()), findSteps(t, capture.Backends()[0], exposures()), findSteps(t, capture.Ptrace, tracing()),
	)
}

func findSteps(t *testing.T, backend capture.Backend, steps []stepMutation) []mutation {
	t.Helper()
	var list []mutation
	for _, s := range steps {
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
		list = append(list, mutation{s.title, path, []byte(text), backend, s.behaviour})
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
	return []string{
		"trap of openat", "trap of fork", "/proc/self", "the digest of what is written", "the refusal", "the exposure of shared pages",
		"CLONE_UNTRACED under ptrace",
	}
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
			of := string(m.backend) + "/" + m.behaviour
			if _, known := healthy[of]; !known {
				out, err := behave(t, m)
				healthy[of] = err == nil
				if strings.Contains(out, "--- SKIP: TestConformance") {
					t.Skipf("needs what the behaviour needs: %s", out)
				}
			}
			if !healthy[of] {
				t.Fatalf("%s does not hold as it is, so nothing can be shown by it", of)
			}
			out, err := behave(t, m, overlay(t, m))
			failed := "--- FAIL: TestConformance/" + of + " "
			if err == nil || !strings.Contains(out, failed) {
				t.Errorf("%s holds without %s: %v\n%s", of, m.title, err, out)
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

// behave runs the mutation's behaviour of this package, with more flags of go test.
func behave(t *testing.T, m mutation, flags ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	pattern := fmt.Sprintf("^TestConformance$/^%s$/^%s$", m.backend, regexp.QuoteMeta(m.behaviour))
	args := slices.Concat([]string{"test", "-count=1", "-run", pattern}, flags, []string{"."})
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	return string(out), err
}
