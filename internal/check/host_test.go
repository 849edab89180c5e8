package check

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is what a check must leave as it was: facts of the machine by name. What
// other programs of an idle machine change is not among them, see ignored.
type host map[string]string

// ignored are paths that others change, and why.
var ignored = map[string]string{
	"/var/log":     "programs write their logs",
	"/var/cache":   "package tools and the dynamic linker keep caches",
	"/var/lib/apt": "package lists are refreshed by timers",
	"/var/tmp":     "programs of others put files there; the test's own are looked at one by one",
}

// look takes the facts: whole trees, own being the test's, which are looked at
// with their contents, and the state of the kernel that a process can change.
func look(t *testing.T, own ...string) host {
	t.Helper()
	h := host{}
	for _, root := range []string{"/etc", "/usr", "/opt", "/var"} {
		h.addTree(t, root, false)
	}
	for _, root := range own {
		h.addTree(t, root, true)
	}
	for _, name := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/sysrq",
		"/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/sys/kernel/randomize_va_space",
		"/sys/kernel/uevent_helper", "/proc/modules", "/proc/swaps",
	} {
		if text, err := os.ReadFile(name); err == nil {
			h[name] = string(text)
		}
	}
	h["mounts"] = mountTable(t)
	h.addHome(t)
	h.addGroups(t)
	h.addFilterRules(t)
	return h
}

// addHome looks at what the package tries to write in a home directory in the
// real one of this user, where others write as well.
func (h host) addHome(t *testing.T) {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		".profile", ".bashrc", ".config/autostart", ".config/systemd", ".ssh", "pip-witness-escape", "setuid-program", "mounted",
		"tricks-build", "tricks-import", "x-build", "x-import", "block", "char", "venv", "project",
	} {
		path := filepath.Join(home, name)
		if _, err := os.Lstat(path); err == nil {
			h.addTree(t, path, true)
		}
	}
}

func (h host) addTree(t *testing.T, root string, contents bool) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if _, skip := ignored[path]; skip {
			return fs.SkipDir
		}
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); errors.Is(err, unix.ENOENT) {
			return nil // of another program, which removed it
		} else if err != nil {
			return err
		}
		fact := fmt.Sprintf("mode %o owner %d:%d size %d links %d inode %d modified %d.%09d changed %d.%09d",
			s.Mode, s.Uid, s.Gid, s.Size, s.Nlink, s.Ino, s.Mtim.Sec, s.Mtim.Nsec, s.Ctim.Sec, s.Ctim.Nsec)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fact += " to " + target
		case contents && d.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fact += fmt.Sprintf(" sha256 %x", sha256.Sum256(text))
		}
		h[path] = fact
		return nil
	})
	if err != nil {
		t.Fatalf("look at %q: %v", root, err)
	}
}

// addGroups reads the settings of every control group.
func (h host) addGroups(t *testing.T) {
	t.Helper()
	for _, m := range groupMounts(t) {
		err := filepath.WalkDir(m.point, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENODEV) {
				return nil // groups of others come and go
			}
			if err != nil || d.IsDir() {
				return err
			}
			switch d.Name() {
			case "notify_on_release", "release_agent", "cgroup.max.descendants", "cgroup.subtree_control", "freezer.state", "cgroup.freeze":
				if text, err := os.ReadFile(path); err == nil {
					h[path] = string(text)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// addFilterRules takes the packet filter's rules from the program that shows them.
func (h host) addFilterRules(t *testing.T) {
	t.Helper()
	for _, command := range [][]string{{"nft", "list", "ruleset"}, {"iptables-save"}, {"ip6tables-save"}} {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("packet filter rules are not compared by %s: it is not installed", command[0])
			continue
		}
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Logf("packet filter rules are not compared by %s: %v", command[0], err)
			continue
		}
		h[command[0]] = string(out)
	}
}

// differences are facts that are not the same, as lines for a message.
func (h host) differences(after host) []string {
	var lines []string
	names := maps.Clone(h)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := h[name]
		is, has := after[name]
		switch {
		case had && !has:
			lines = append(lines, fmt.Sprintf("%s is gone, was %s", name, was))
		case !had:
			lines = append(lines, fmt.Sprintf("%s is new: %s", name, is))
		case was != is:
			lines = append(lines, fmt.Sprintf("%s was %s\n\tis %s", name, was, is))
		}
	}
	return lines
}

// mountTable is the mount table but for what other tests mount below the temporary
// directory for themselves.
func mountTable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		below, others := strings.CutPrefix(strings.Fields(line)[4], strings.TrimSuffix(os.TempDir(), "/")+"/")
		for _, own := range []string{runPrefix, escapePrefix, killedPrefix} {
			others = others && !strings.HasPrefix(below, own)
		}
		if !others {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// groupMount is a mounted hierarchy of control groups.
type groupMount struct {
	point, kind, options string
}

func groupMounts(t *testing.T) []groupMount {
	t.Helper()
	var mounts []groupMount
	for line := range strings.Lines(mountTable(t)) {
		// id parent major:minor root point options… - kind source super-options (proc(5))
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(super) < 3 || super[0] != "cgroup" && super[0] != "cgroup2" {
			continue
		}
		m := groupMount{point: fields[4], kind: super[0]}
		if m.kind == "cgroup" {
			controllers := slices.DeleteFunc(strings.Split(super[2], ","), func(o string) bool { return o == "rw" || o == "ro" })
			if m.options = strings.Join(controllers, ","); strings.HasPrefix(m.options, "name=") {
				m.options = "none," + m.options
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// adoptOrphans makes this test the parent of what a command leaves behind, so
// that nothing of it can hide from descendants.
func adoptOrphans(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
}

// processStat is what /proc/PID/stat says first.
type processStat struct {
	pid, parent int
	started     int // clock ticks since boot
	state, name string
}

func processStats(t *testing.T) []processStat {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var all []processStat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		end := bytes.LastIndexByte(text, ')')
		fields := strings.Fields(string(text[end+1:]))
		parent, err := strconv.Atoi(fields[1])
		started, err2 := strconv.Atoi(fields[19])
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		all = append(all, processStat{pid, parent, started, fields[0], string(text[bytes.IndexByte(text, '(')+1 : end])})
	}
	return all
}

// descendants are the live processes below this test but known ones.
func descendants(t *testing.T, known ...int) []processStat {
	t.Helper()
	below := map[int]bool{os.Getpid(): true}
	all := processStats(t)
	var found []processStat
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if below[p.parent] && !below[p.pid] && !slices.Contains(known, p.pid) {
				below[p.pid], grown = true, true
				if p.state != "Z" {
					found = append(found, p)
				}
			}
		}
	}
	return found
}

// awaitNobody waits until nothing of a command lives, and reaps what it left; it
// returns what still lives after the time.
func awaitNobody(t *testing.T, limit time.Duration, known ...int) []processStat {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		for _, p := range processStats(t) {
			if p.parent == os.Getpid() && p.state == "Z" && !slices.Contains(known, p.pid) {
				_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil) // somebody else's child has ended: it is reaped there
			}
		}
		left := descendants(t, known...)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// ownerlessSockets are sockets in the tables of this network namespace that no
// process has. What the processes of a dead run left open would be among them.
func ownerlessSockets(t *testing.T) map[string]string {
	t.Helper()
	sockets := map[string]string{}
	for _, table := range []struct {
		name  string
		inode int // the field that is the inode
	}{{"tcp", 9}, {"tcp6", 9}, {"udp", 9}, {"udp6", 9}, {"raw", 9}, {"raw6", 9}, {"unix", 6}, {"packet", 8}} {
		f, err := os.Open("/proc/net/" + table.name)
		if err != nil {
			continue // the kernel has no such family
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			// A closing TCP connection has no inode any more.
			if len(fields) > table.inode && fields[table.inode] != "0" && fields[table.inode] != "Inode" && fields[table.inode] != "inode" {
				sockets[fields[table.inode]] = table.name + " " + lines.Text()
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	held, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range held {
		if target, err := os.Readlink(fd); err == nil {
			delete(sockets, strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]"))
		}
	}
	return sockets
}
