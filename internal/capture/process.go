package capture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// identity tells processes apart although numbers are used again: the process id
// outside, and the start time in clock ticks since boot (proc(5), field 22).
type identity struct {
	pid   int
	start string
}

// process is one process (thread group) under observation.
type process struct {
	record  evidence.Process
	id      identity
	inside  int    // process id in its own namespace
	root    int    // O_PATH descriptor of its root directory, -1 when not open
	above   string // path of the root directory, with a slash at its end
	pages   int    // descriptor of its pagemap, -1 when not open
	space   *space
	lends   bool     // it made a child that uses its memory until its exec
	maker   *process // its parent, nil for the command and when it is not known
	forks   int      // children announced by fork calls and not seen yet
	ended   bool
	pending []pendingExec
	args    []string // of the image, as they are; the record has them redacted

	opened   map[string]*digest
	opens    map[openKey]int
	dirs     map[dirKey]int
	links    map[string]int
	events   map[eventKey]int
	written  map[string]*digest
	unhashed map[string]string
	program  *digest
	exe      *digest
	execs    []*digest // parallel to record.Execs, nil where there is none
	children []int
	threads  []int
}

type openKey struct {
	path  string
	flags uint64
	errno unix.Errno
}

type eventKey struct{ syscall, detail, path string }

// thread is a thread of a process, known by its number. A thread that ends makes
// no call that is trapped, so its number may mean another process later.
type thread struct {
	p       *process
	checked time.Time
}

// trustThread is how long a number means the same thread without a look: making
// as many processes as there are numbers takes far longer.
const trustThread = 10 * time.Millisecond

// processOf finds or makes the record of the process that made the call; nil
// when it ended before it could be read.
func (s *Supervisor) processOf(e *event) *process {
	known := s.threads[e.thread()]
	if known != nil && e.at.Sub(known.checked) < trustThread {
		return known.p
	}
	st, err := readStatus(e.thread(), s.depth)
	if err != nil {
		if s.stillThere(e) {
			s.lose("process-identity")
			e.refuse = unix.EPERM
		}
		return nil
	}
	if known != nil && known.p.id == st.id {
		known.checked = e.at
		return known.p
	}
	p := s.processes[st.id]
	if p == nil {
		p = s.newProcess(e, st)
	}
	p.threads = append(p.threads, e.thread())
	s.threads[e.thread()] = &thread{p, e.at}
	return p
}

func (s *Supervisor) newProcess(e *event, st status) *process {
	p := &process{
		id: st.id, inside: st.inside, root: -1, pages: -1,
		opened: map[string]*digest{}, opens: map[openKey]int{}, dirs: map[dirKey]int{}, links: map[string]int{},
		events: map[eventKey]int{}, written: map[string]*digest{}, unhashed: map[string]string{},
	}
	p.record = evidence.Process{ProcessID: st.inside, StartTime: e.at}
	if s.CommandPID() == 0 { // it is the command itself, which has no parent here
		p.space = &space{}
	} else {
		p.record.ParentPID = initPID
		var certain bool
		p.maker, certain = s.parentOf(st)
		p.space = s.spaceOf(p.maker, certain)
		if parent := p.maker; parent != nil {
			parent.forks--
			parent.children = append(parent.children, st.inside)
			p.inherit(parent)
		}
	}
	s.processes[st.id] = p
	s.order = append(s.order, p)
	s.records++
	if s.live++; s.live > maxLive {
		if s.recount(); s.live > maxLive {
			s.reachLimit("live-processes", maxLive, "processes")
		}
	}
	if len(s.order) > s.options.MaxProcesses {
		s.reachLimit("processes", s.options.MaxProcesses, "processes")
	}
	return p
}

// initPID is recorded as the parent of a process whose real one was never seen.
const initPID = 1

// inherit gives a forked child the image of its parent.
func (p *process) inherit(parent *process) {
	r := parent.record
	p.record.ParentPID = parent.inside
	p.record.Program, p.record.Comm = r.Program, r.Comm
	p.record.Cmdline, p.record.Args, p.record.Environ = r.Cmdline, r.Args, r.Environ
	p.args = parent.args
	p.program, p.exe = parent.program, parent.exe
}

// parentOf finds the process that forked a new one: the parent that the kernel
// names, or, when that is none of ours because the real one ended already, the
// last process that announced a fork which was not seen yet; then it is not
// certain.
func (s *Supervisor) parentOf(st status) (parent *process, certain bool) {
	var orphaned, forking *process
	for _, p := range slices.Backward(s.order) {
		if p.id.pid == st.parent && !p.ended {
			return p, true
		}
		if p.forks == 0 {
			continue
		}
		if orphaned == nil && p.ended {
			orphaned = p
		}
		if forking == nil {
			forking = p
		}
	}
	if orphaned != nil {
		return orphaned, false
	}
	return forking, false
}

// recount ends the processes that a signal ended: nothing announced that.
func (s *Supervisor) recount() {
	for _, p := range s.order {
		if p.ended {
			continue
		}
		if st, err := readStatus(p.id.pid, s.depth); err != nil || st.id != p.id {
			s.end(p)
		}
	}
}

// end forgets the thread numbers of a process, which may be used again.
func (s *Supervisor) end(p *process) {
	if !p.ended {
		s.live--
	}
	p.ended = true
	s.forgetThreads(p)
	s.closeFiles(p)
}

func (s *Supervisor) forgetThreads(p *process) {
	for _, t := range p.threads {
		if known := s.threads[t]; known != nil && known.p == p {
			delete(s.threads, t)
		}
	}
	p.threads = nil
}

// maxKept bounds the descriptors that are kept open for processes: those of
// processes that were killed are not closed one by one.
const maxKept = 64

// closeFiles closes what is kept open for a process.
func (s *Supervisor) closeFiles(p *process) {
	for _, fd := range []*int{&p.root, &p.pages} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
			s.kept--
		}
	}
}

// closeKept closes what is kept open for all processes.
func (s *Supervisor) closeKept() {
	for _, p := range s.order {
		s.closeFiles(p)
	}
}

// status is what /proc tells of a thread's process.
type status struct {
	id     identity
	parent int
	inside int
	depth  int
}

// maxDepth is more than the kernel's limit of nested pid namespaces.
const maxDepth = 64

// readStatus reads the status of a thread's process; inside is its number in the
// pid namespace at that depth, also when it has one of its own below.
func readStatus(thread, depth int) (status, error) {
	dir := "/proc/" + strconv.Itoa(thread)
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return status{}, err
	}
	var st status
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "Tgid":
			st.id.pid, err = strconv.Atoi(fields[0])
		case "PPid":
			st.parent, err = strconv.Atoi(fields[0])
		case "NStgid":
			st.depth = min(depth, len(fields)-1)
			st.inside, err = strconv.Atoi(fields[st.depth])
		}
		if err != nil {
			return status{}, fmt.Errorf("read %s/status: %w", dir, err)
		}
	}
	fields, err := readStat(st.id.pid)
	if err != nil {
		return status{}, err
	}
	st.id.start = fields[statStart]
	return st, nil
}

// Fields of /proc/PID/stat, counted from the third, which follows the name.
const (
	statStart    = 22 - 3 // starttime
	statCode     = 26 - 3 // startcode, the first of three that describe the image
	statData     = 45 - 3 // start_data, the first of seven
	statExitCode = 52 - 3
)

func readStat(pid int) ([]string, error) {
	stat, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return nil, err
	}
	// comm, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= statExitCode {
		return nil, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}

// imageMark differs between two images of one process: it is the layout of the
// address space, which an exec makes anew at random places.
func imageMark(pid int) string {
	fields, err := readStat(pid)
	if err != nil {
		return ""
	}
	return strings.Join(slices.Concat(fields[statCode:statCode+3], fields[statData:statExitCode]), " ")
}

// image is what /proc tells of the program that a process runs.
type image struct {
	exe     string
	comm    string
	args    []string
	environ []string
}

// maxImageText bounds the arguments and the environment that are kept of one
// image, in bytes each.
const maxImageText = 1 << 20 // 1 MiB

func readImage(pid int) (image, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	exe, err := os.Readlink(dir + "/exe")
	if err != nil {
		return image{}, err
	}
	im := image{exe: exe}
	comm, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return image{}, err
	}
	im.comm = strings.TrimSuffix(string(comm), "\n")
	if im.args, err = readVector(dir + "/cmdline"); err != nil {
		return image{}, err
	}
	if im.environ, err = readVector(dir + "/environ"); err != nil {
		return image{}, err
	}
	return im, nil
}

// readVector reads NUL-terminated strings.
func readVector(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, 0, 4096)
	for len(text) < maxImageText {
		text = slices.Grow(text, 4096)
		n, err := f.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if n == 0 || err != nil {
			break // the end, or the process is gone: what was read stands
		}
	}
	if len(text) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"), nil
}

// finish completes the record with the digests that were computed meanwhile.
func (p *process) finish() evidence.Process {
	r := p.record
	r.OpenedFiles = make(map[string]evidence.DigestSet, len(p.opened))
	for path, d := range p.opened {
		set, reason := d.result()
		r.OpenedFiles[path] = set
		if reason != "" {
			p.unhashed[path] = reason
		}
	}
	for _, path := range sortedKeys(p.unhashed) {
		r.UnhashedOpens = append(r.UnhashedOpens, evidence.UnhashedOpen{Path: path, Reason: p.unhashed[path]})
	}
	for path, d := range p.written {
		if set, reason := d.result(); reason == "" {
			if r.WrittenDigests == nil {
				r.WrittenDigests = map[string]evidence.DigestSet{}
			}
			r.WrittenDigests[path] = set
		}
	}
	r.ProgramDigest, _ = p.program.result()
	r.ExeDigest, _ = p.exe.result()
	for i, d := range p.execs {
		r.Execs[i].Digest, _ = d.result()
	}
	slices.Sort(p.children)
	r.Children = p.children
	return r
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// base is the last element of a path, for messages.
func base(path string) string { return filepath.Base(path) }
