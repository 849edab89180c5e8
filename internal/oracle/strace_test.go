package oracle

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// traced are the system calls that strace is asked for: all that open, run,
// connect, rename and remove, and those that say which thread belongs to which
// process.
const traced = "open,openat,openat2,creat,execve,execveat,connect,rename,renameat,renameat2,unlink,unlinkat,rmdir," +
	"clone,clone3,fork,vfork"

// call is one successful call that strace printed.
type call struct {
	process int
	name    string
	args    string
	result  string // "0", or "3</path>" with -y
	line    string
}

var (
	lineOf     = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumedOf  = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	callOf     = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+|\?)(.*)$`)
	unfinished = " <unfinished ...>"
)

// readStrace returns the successful calls of a log of `strace -f -y -o`.
func readStrace(t *testing.T, name string) []call {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var calls []call
	started := map[int]string{}  // by thread: the first part of a call that was interrupted
	processOf := map[int]int{}   // by thread
	lines := bufio.NewScanner(f) // one call a line; arguments are cut at -s
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := lineOf.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("strace printed %q", lines.Text())
		}
		thread, _ := strconv.Atoi(m[1])
		text := m[2]
		if first, ok := strings.CutSuffix(text, unfinished); ok {
			started[thread] = first
			continue
		}
		if m := resumedOf.FindStringSubmatch(text); m != nil {
			text = started[thread] + m[1]
		}
		m = callOf.FindStringSubmatch(text)
		if m == nil || m[3] == "?" {
			continue // a signal, an exit, or a call that never returned
		}
		result, _ := strconv.Atoi(m[3])
		if result < 0 {
			continue
		}
		process, known := processOf[thread]
		if !known {
			process = thread
		}
		if strings.HasPrefix(m[1], "clone") && strings.Contains(m[2], "CLONE_THREAD") {
			processOf[result] = process
			continue
		}
		calls = append(calls, call{process, m[1], m[2], m[3] + strings.TrimSpace(m[4]), text})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}

var (
	descriptorOf = regexp.MustCompile(`^\d+<(.*)>(\(deleted\))?$`)
	stringOf     = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	atOf         = regexp.MustCompile(`(?:AT_FDCWD|\d+)<([^>]*)>, "((?:[^"\\]|\\.)*)"`)
	inetOf       = regexp.MustCompile(`sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)`)
	inet6Of      = regexp.MustCompile(`sin6_port=htons\((\d+)\).*inet_pton\(AF_INET6, "([^"]*)"`)
	unixOf       = regexp.MustCompile(`sun_path=(@?)"([^"]*)"`)
)

// opened is the path that an open returned, empty for what has none (a pipe
// opened by its name in /proc).
func (c call) opened() string {
	m := descriptorOf.FindStringSubmatch(c.result)
	if m == nil || !strings.HasPrefix(m[1], "/") {
		return ""
	}
	return m[1]
}

// names are the path arguments, made absolute by the directory that strace
// prints for the descriptor before them. It prints none for the older calls
// (rename, unlink): these are relative to a directory that the log does not say.
func (c call) names() []string {
	var names []string
	for _, m := range atOf.FindAllStringSubmatch(c.args, -1) {
		names = append(names, absolute(m[1], unquote(m[2])))
	}
	if names != nil {
		return names
	}
	for _, m := range stringOf.FindAllStringSubmatch(c.args, -1) {
		names = append(names, unquote(m[1]))
	}
	return names
}

func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

func unquote(text string) string {
	if plain, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return plain
	}
	return text
}

// peer is the family, address and port of a connect.
func (c call) peer() (family, address string, port int, ok bool) {
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	if m := inetOf.FindStringSubmatch(c.args); m != nil {
		return "AF_INET", m[2], number(m[1]), true
	}
	if m := inet6Of.FindStringSubmatch(c.args); m != nil {
		return "AF_INET6", m[2], number(m[1]), true
	}
	if m := unixOf.FindStringSubmatch(c.args); m != nil {
		return "AF_UNIX", m[1] + unquote(m[2]), 0, true
	}
	return "", "", 0, false
}

func TestReadStrace(t *testing.T) {
	log := strings.Join([]string{
		`10 execve("/usr/bin/python3", ["python3"], 0x7ffc /* 3 vars */) = 0`,
		`10 openat(AT_FDCWD</tmp>, "a", O_RDONLY|O_CLOEXEC) = 3</tmp/a>`,
		`10 openat(AT_FDCWD</tmp>, "b", O_RDONLY) = -1 ENOENT (No such file or directory)`,
		`10 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD, parent_tid=[11]) = 11`,
		`11 connect(4<socket:[1]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")}, 16 <unfinished ...>`,
		`10 unlinkat(5</tmp/d>, "x\"y", 0) = 0`,
		`11 <... connect resumed>)          = 0`,
		`10 renameat(AT_FDCWD</tmp>, "old", AT_FDCWD</tmp>, "/new") = 0`,
		`10 --- SIGCHLD {si_signo=SIGCHLD} ---`,
		`10 +++ exited with 0 +++`,
	}, "\n")
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range readStrace(t, name) {
		_, address, port, _ := c.peer()
		got = append(got, fmt.Sprint(c.process, c.name, c.opened(), c.names(), address, port))
	}
	want := []string{
		"10execve[/usr/bin/python3 python3] 0", "10openat/tmp/a[/tmp/a] 0", `10unlinkat[/tmp/d/x"y] 0`,
		"10connect[192.0.2.1]192.0.2.1 53", "10renameat[/tmp/old /new] 0",
	}
	for i, w := range want {
		if i >= len(got) || strings.ReplaceAll(got[i], " ", "") != strings.ReplaceAll(w, " ", "") {
			t.Fatalf("calls\n%q\nwant\n%q", got, want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d calls, want %d: %q", len(got), len(want), got)
	}
}
