package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// fact is one line of a program: who states it, what kind it is of, and its words.
// The kinds are listed in testdata/truth.h.
type fact struct {
	pid   int
	kind  string
	words []string
}

func (f fact) word(i int) string {
	if i < len(f.words) {
		return f.words[i]
	}
	return ""
}

func (f fact) line() string { return strings.Join(append([]string{f.kind}, f.words...), "\t") }

func parseFacts(t *testing.T, text string) []fact {
	t.Helper()
	var facts []fact
	for line := range strings.Lines(text) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		pid, err := strconv.Atoi(words[0])
		if err != nil || len(words) < 2 {
			t.Fatalf("a program said %q: no fact", line)
		}
		facts = append(facts, fact{pid, words[1], words[2:]})
	}
	return facts
}

// verify compares what the programs stated with what was recorded.
func (r run) verify(t *testing.T, b behaviour) {
	t.Helper()
	if r.Stderr != "" || r.ExitCode != b.exit || r.timedOut {
		t.Errorf("the program ended with %d, want %d, timed out %v, and complained %q", r.ExitCode, b.exit, r.timedOut, r.Stderr)
	}
	for _, pid := range r.numbers() {
		p, found := r.process(pid)
		if !found {
			t.Errorf("process %d acted and is in no record", pid)
			continue
		}
		r.compareLines(t, b, p)
		r.compareEvents(t, p)
	}
	for _, p := range r.Processes {
		if !slices.Contains(r.numbers(), p.ProcessID) && !slices.Contains(b.ignore, "processes") {
			t.Errorf("process %d is recorded and did nothing", p.ProcessID)
		}
	}
	for _, f := range r.facts {
		r.verifyContent(t, f)
		if f.kind == "unseen" && !slices.Contains(r.Coverage.NotTrapped, b.unobserved) {
			t.Errorf("%q went unseen, and %q is not what the coverage says of it: %q", f.line(), b.unobserved, r.Coverage.NotTrapped)
		}
	}
	r.verifyCoverage(t)
	if b.check != nil {
		b.check(t, r)
	}
}

// numbers are the process ids that stated something, in order.
func (r run) numbers() []int {
	var list []int
	for _, f := range r.facts {
		if !slices.Contains(list, f.pid) {
			list = append(list, f.pid)
		}
	}
	return list
}

func (r run) process(pid int) (evidence.Process, bool) {
	i := slices.IndexFunc(r.Processes, func(p evidence.Process) bool { return p.ProcessID == pid })
	if i < 0 {
		return evidence.Process{}, false
	}
	return r.Processes[i], true
}

// stated are the facts of a process of one kind.
func (r run) stated(pid int, kind string) []fact {
	var list []fact
	for _, f := range r.facts {
		if f.pid == pid && f.kind == kind {
			list = append(list, f)
		}
	}
	return list
}

// compareLines holds the lines of a record to the facts, each as often as it was
// stated, in any order.
func (r run) compareLines(t *testing.T, b behaviour, p evidence.Process) {
	t.Helper()
	record := lines(p, p.ProcessID == r.Processes[0].ProcessID)
	facts := []string{}
	written := map[string]bool{}
	for _, f := range r.facts {
		if f.pid != p.ProcessID {
			continue
		}
		switch f.kind {
		case "open":
			r.verifyInode(t, f)
			facts = append(facts, fact{0, "open", slices.Delete(slices.Clone(f.words), 2, 3)}.line())
		case "write":
			if !written[f.word(0)] { // listed once, however often the file was opened
				facts = append(facts, f.line())
			}
			written[f.word(0)] = true
		case "rename", "delete", "link", "symlink", "node", "mode", "exec", "call", "socket", "exit", "child":
			facts = append(facts, f.line())
		}
	}
	skip := func(line string) bool {
		kind, _, _ := strings.Cut(line, "\t")
		return slices.Contains(b.ignore, kind)
	}
	record, facts = slices.DeleteFunc(record, skip), slices.DeleteFunc(facts, skip)
	slices.Sort(record)
	slices.Sort(facts)
	if diff := cmp.Diff(facts, record); diff != "" {
		t.Errorf("process %d: stated -, recorded +:\n%s", p.ProcessID, diff)
	}
}

// maxRepeat bounds how often a line that has a count is repeated for comparison.
const maxRepeat = 1000

// lines are what a record says, in the words of the facts. The exec that began
// the command is of the launcher, not of the program.
func lines(p evidence.Process, command bool) []string {
	list := []string{}
	add := func(count int, words ...string) {
		line := strings.Join(words, "\t")
		list = append(list, slices.Repeat([]string{line}, min(max(count, 1), maxRepeat))...)
	}
	ops := p.FileOps
	for _, o := range ops.Opens {
		add(o.Count, "open", errno(o.Errno), o.Mode, o.Path)
	}
	for _, w := range ops.Writes {
		add(1, "write", w.Path)
	}
	for _, x := range ops.Renames {
		add(1, "rename", errno(x.Errno), x.OldPath, x.NewPath)
	}
	for _, d := range ops.Deletes {
		add(1, "delete", errno(d.Errno), d.Path)
	}
	for _, l := range ops.Links {
		kind := map[bool]string{true: "symlink", false: "link"}[l.Symbolic]
		add(1, kind, errno(l.Errno), l.Target, l.Path)
	}
	for _, d := range ops.Dirs {
		add(1, "node", errno(d.Errno), d.Kind, d.Path)
	}
	for _, m := range ops.PermChanges {
		add(1, "mode", errno(m.Errno), m.Mode, m.Path)
	}
	for i, x := range p.Execs {
		if i > 0 || !command {
			add(1, "exec", errno(x.Errno), x.Program)
		}
	}
	for _, c := range p.Network.Connections {
		add(c.Count, "call", c.Syscall, c.Family, c.Type, c.Address, strconv.Itoa(c.Port))
	}
	for _, s := range p.Network.Sockets {
		add(1, "socket", s.Family, s.Type, strconv.Itoa(s.Protocol))
	}
	if p.ExitCode != nil {
		add(1, "exit", strconv.Itoa(*p.ExitCode))
	}
	for _, c := range p.Children {
		add(1, "child", strconv.Itoa(c))
	}
	return list
}

func errno(name string) string {
	if name == "" {
		return "0"
	}
	return name
}

// verifyInode holds the path that a program was told to the object that it got.
func (r run) verifyInode(t *testing.T, f fact) {
	t.Helper()
	path := f.word(3)
	if f.word(0) != "0" || f.word(2) == "0" || !strings.HasPrefix(path, r.dir+"/") || strings.HasSuffix(path, " (deleted)") {
		return
	}
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err == nil && strconv.FormatUint(s.Ino, 10) != f.word(2) {
		t.Errorf("%q has inode %d, the program got %s", path, s.Ino, f.word(2))
	}
}

// compareEvents holds the events of a record to the facts: each stated one is
// there with its errno and text, and there is no other.
func (r run) compareEvents(t *testing.T, p evidence.Process) {
	t.Helper()
	stated := r.stated(p.ProcessID, "event")
	matches := func(f fact, e evidence.SyscallEvent) bool {
		text := e.Detail + " " + e.Path + " " + e.TargetPath
		return f.word(0) == e.Syscall && (e.Refused == "" || e.Refused == f.word(1)) && strings.Contains(text, f.word(2))
	}
	for _, f := range stated {
		if !slices.ContainsFunc(p.SyscallEvents, func(e evidence.SyscallEvent) bool { return matches(f, e) }) {
			t.Errorf("process %d: no event is %q; there are %+v", p.ProcessID, f.line(), p.SyscallEvents)
		}
	}
	for _, e := range p.SyscallEvents {
		if !slices.ContainsFunc(stated, func(f fact) bool { return matches(f, e) }) {
			t.Errorf("process %d: the event %q %q %q refused %q was not stated", p.ProcessID, e.Syscall, e.Detail, e.Path, e.Refused)
		}
	}
}

// verifyContent checks the facts that are about one entry of the record.
func (r run) verifyContent(t *testing.T, f fact) {
	t.Helper()
	p, found := r.process(f.pid)
	if !found {
		return
	}
	sum := func() string {
		content, err := hex.DecodeString(f.word(0))
		if err != nil {
			t.Fatalf("a program said %q: %v", f.line(), err)
		}
		return digestOf(content)
	}
	switch f.kind {
	case "open":
		r.verifyDigest(t, p, f)
	case "read":
		if got, want := p.OpenedFiles[f.word(1)]["sha256"], sum(); got != want {
			t.Errorf("digest of %q that was read: %q, want %q", f.word(1), got, want)
		}
	case "wrote":
		if got, want := p.WrittenDigests[f.word(1)]["sha256"], sum(); got != want {
			t.Errorf("digest of %q that was written: %q, want %q", f.word(1), got, want)
		}
		content, err := os.ReadFile(f.word(1))
		if err != nil || digestOf(content) != sum() {
			t.Errorf("the file %q holds %q, %v: not what the program said", f.word(1), content, err)
		}
	case "kernel":
		for _, o := range p.FileOps.Opens {
			if o.Path == f.word(0) && o.Truth != evidence.TruthKernel {
				t.Errorf("the open of %q is recorded with truth %q, want %q", o.Path, o.Truth, evidence.TruthKernel)
			}
		}
	case "image":
		got := []string{p.Program, p.Comm, ""}
		if len(p.Args) > 0 {
			got[2] = p.Args[0]
		}
		if f.word(1) == "*" { // the kernel's choice
			got[1] = "*"
		}
		if diff := cmp.Diff(f.words, got); diff != "" {
			t.Errorf("image of process %d: stated -, recorded +:\n%s", f.pid, diff)
		}
		if p.ExeDigest["sha256"] != r.digest {
			t.Errorf("digest of the image of process %d: %v, want %s", f.pid, p.ExeDigest, r.digest)
		}
	case "child":
		if child, found := r.process(number(f.word(0))); !found || child.ParentPID != f.pid {
			t.Errorf("process %s has parent %d, want %d", f.word(0), child.ParentPID, f.pid)
		}
	}
}

// verifyDigest holds the digest of a file that was read, and that nobody in this
// run changed, to its content. A change of mode or of links is one too: its time shows.
func (r run) verifyDigest(t *testing.T, p evidence.Process, f fact) {
	t.Helper()
	path := f.word(3)
	if f.word(0) != "0" || f.word(1) != "read" || !strings.HasPrefix(path, r.dir+"/") {
		return
	}
	for _, other := range r.facts {
		if slices.Contains([]string{"write", "rename", "delete", "mode", "link"}, other.kind) && slices.Contains(other.words, path) {
			return
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return // it was removed, or its directory renamed
	}
	if got, want := p.OpenedFiles[path]["sha256"], digestOf(content); got != want {
		t.Errorf("digest of %q, which process %d read: %q, want %q", path, p.ProcessID, got, want)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// verifyCoverage holds losses, limits and completeness to what was stated: what a
// program did not announce must not have been lost or cut.
func (r run) verifyCoverage(t *testing.T) {
	t.Helper()
	c := r.Coverage
	var lost, limits []string
	for _, f := range r.facts {
		switch {
		case f.kind == "lost" && !slices.Contains(lost, f.word(0)):
			lost = append(lost, f.word(0))
		case f.kind == "limit" && !slices.Contains(limits, f.word(0)):
			limits = append(limits, f.word(0))
		}
	}
	for class := range c.Losses {
		if !slices.Contains(lost, class) {
			t.Errorf("lost %d of class %q", c.Losses[class], class)
		}
	}
	for _, class := range lost {
		if c.Losses[class] == 0 {
			t.Errorf("nothing of class %q was counted as lost", class)
		}
	}
	for _, l := range c.Limits {
		if !slices.Contains(limits, l.Name) {
			t.Errorf("reached the limit %q of %d %s", l.Name, l.Value, l.Unit)
		}
	}
	for _, name := range limits {
		if !slices.ContainsFunc(c.Limits, func(l evidence.Limit) bool { return l.Name == name }) {
			t.Errorf("the limit %q was not reached or not stated: %v", name, c.Limits)
		}
	}
	if want := len(lost)+len(limits) == 0; c.Complete != want {
		t.Errorf("complete %v, want %v", c.Complete, want)
	}
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
