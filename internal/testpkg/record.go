package testpkg

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"pip-witness/evidence"
)

// Op is what kind of event a [Record] is.
type Op string

// The kinds of events.
const (
	OpOpen       Op = "open"       // a file opened, or tried, for reading
	OpWrite      Op = "write"      // a file opened for writing
	OpConnection Op = "connection" // a call with a socket address
	OpExec       Op = "exec"       // a program run in a process of its own
	OpSetsid     Op = "setsid"     // a session of its own, in a process that was forked
)

// Record is one event that the evidence of a step must hold.
type Record struct {
	// Step is StepInstall or StepImport.
	Step string
	// Role is the role of the process.
	Role evidence.Role
	Op   Op
	// Path is absolute, with $HOME and $SITE for the sandbox's home and any of
	// its site directories; for OpExec the base name of the program.
	Path string
	// Errno is empty for success. OrMissing accepts ENOENT as well: the file is
	// there only when the test has planted it.
	Errno     string
	OrMissing bool
	// Syscall, Family, Address and Port are those of OpConnection. "sendto"
	// stands for all calls that send to an address.
	Syscall, Family, Address string
	Port                     int
}

// String names the event in a test's message.
func (r Record) String() string {
	if r.Op == OpConnection {
		return fmt.Sprintf("%s: %s %s %s:%d by %s", r.Step, r.Syscall, r.Family, r.Address, r.Port, r.Role)
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %s by %s %s %s", r.Step, r.Op, r.Role, r.Path, r.Errno))
}

// ErrNotRecorded is what the error of [Record.Find] matches.
var ErrNotRecorded = errors.New("not in the evidence")

// Find reports whether the recording of the record's step holds the event; the
// error matches [ErrNotRecorded].
func (r Record) Find(run evidence.CommandRun) error {
	paths := r.paths(run.Coverage.Sandbox)
	for _, p := range run.Processes {
		if p.Role == r.Role && r.in(p, paths) {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", r, ErrNotRecorded)
}

// in reports whether p did it, on one of paths.
func (r Record) in(p evidence.Process, paths []string) bool {
	switch r.Op {
	case OpOpen:
		return slices.ContainsFunc(p.FileOps.Opens, func(o evidence.Open) bool {
			if !slices.Contains(paths, o.Path) || o.Mode != "read" || !r.accepts(o.Errno) {
				return false
			}
			digests, listed := p.OpenedFiles[o.Path]
			return listed && (len(digests) > 0) == (o.Errno == "")
		})
	case OpWrite:
		return slices.ContainsFunc(p.FileOps.Writes, func(w evidence.Write) bool {
			return slices.Contains(paths, w.Path)
		})
	case OpConnection:
		return slices.ContainsFunc(p.Network.Connections, r.connects)
	case OpExec:
		return path.Base(p.Program) == r.Path && p.ParentPID != 0
	case OpSetsid:
		return slices.ContainsFunc(p.SyscallEvents, func(e evidence.SyscallEvent) bool {
			return e.Syscall == "setsid" && p.ParentPID != 0
		})
	}
	return false
}

func (r Record) accepts(errno string) bool {
	return errno == r.Errno || (r.OrMissing && errno == "ENOENT")
}

func (r Record) connects(c evidence.Connection) bool {
	same := c.Syscall == r.Syscall
	if r.Syscall == "sendto" {
		same = c.Syscall == "sendto" || c.Syscall == "sendmsg" || c.Syscall == "sendmmsg"
	}
	return same && c.Family == r.Family && c.Address == r.Address && c.Port == r.Port
}

// paths returns what r.Path can be in that sandbox.
func (r Record) paths(box evidence.Sandbox) []string {
	if rest, ok := strings.CutPrefix(r.Path, "$HOME/"); ok {
		return []string{path.Join(box.Home, rest)}
	}
	rest, ok := strings.CutPrefix(r.Path, "$SITE/")
	if !ok {
		return []string{r.Path}
	}
	paths := make([]string, len(box.SitePackages))
	for i, site := range box.SitePackages {
		paths[i] = path.Join(site, rest)
	}
	return paths
}

// Insert adds the event to a recording, as the capture would have written it at
// that time, so that rules can be tried on an honest recording that holds one
// attack. The event goes to the last process of the record's role, or to a new
// one below the first process where no process has it. The recording shares no
// memory with the original afterwards as far as it was changed. It is an error
// when the recording is empty or names no directory for the record's path.
func (r Record) Insert(run evidence.CommandRun, at time.Time) (evidence.CommandRun, error) {
	if len(run.Processes) == 0 {
		return run, fmt.Errorf("insert %s: the recording has no process", r)
	}
	paths := r.paths(run.Coverage.Sandbox)
	if len(paths) == 0 {
		return run, fmt.Errorf("insert %s: the recording names no site directory", r)
	}
	run.Processes = slices.Clone(run.Processes)
	p := r.actor(&run, at)
	switch r.Op {
	case OpOpen:
		opened := evidence.DigestSet{"sha256": strings.Repeat("0", 64)}
		if r.Errno != "" {
			opened = evidence.DigestSet{}
		}
		p.OpenedFiles = withFile(p.OpenedFiles, paths[0], opened)
		p.FileOps.Opens = append(slices.Clip(p.FileOps.Opens), evidence.Open{
			Path: paths[0], Flags: "O_RDONLY|O_CLOEXEC", Mode: "read", Errno: r.Errno,
			Truth: evidence.TruthEntry, Timestamp: at,
		})
	case OpWrite:
		p.FileOps.Writes = append(slices.Clip(p.FileOps.Writes),
			evidence.Write{Path: paths[0], Created: true, Timestamp: at})
	case OpConnection:
		p.Network.Connections = append(slices.Clip(p.Network.Connections), evidence.Connection{
			Syscall: r.Syscall, Family: r.Family, Address: r.Address, Port: r.Port, FD: 3, Timestamp: at,
		})
	case OpExec:
		p.Program, p.Comm, p.Cmdline = "/usr/bin/"+r.Path, r.Path, "/bin/"+r.Path
		p.Args = []string{"/bin/" + r.Path}
		p.Execs = []evidence.Exec{{
			Program: p.Program, Argv: p.Args, Truth: evidence.TruthKernel, Timestamp: at,
		}}
	case OpSetsid:
		p.SyscallEvents = append(slices.Clip(p.SyscallEvents),
			evidence.SyscallEvent{Syscall: "setsid", Detail: "new session", Timestamp: at})
	}
	return run, nil
}

// actor returns the process of run that the event goes to. Programs and forks
// are processes of their own.
func (r Record) actor(run *evidence.CommandRun, at time.Time) *evidence.Process {
	if r.Op != OpExec && r.Op != OpSetsid {
		for i := len(run.Processes) - 1; i >= 0; i-- {
			if run.Processes[i].Role == r.Role {
				return &run.Processes[i]
			}
		}
	}
	parent := &run.Processes[0]
	child := evidence.Process{
		Program: parent.Program, Comm: parent.Comm, Cmdline: parent.Cmdline, Args: parent.Args,
		ExeDigest: parent.ExeDigest, ParentPID: parent.ProcessID, StartTime: at, Role: r.Role,
		OpenedFiles: map[string]evidence.DigestSet{},
	}
	for _, p := range run.Processes {
		child.ProcessID = max(child.ProcessID, p.ProcessID)
	}
	child.ProcessID++
	parent.Children = append(slices.Clip(parent.Children), child.ProcessID)
	run.Processes = append(run.Processes, child)
	return &run.Processes[len(run.Processes)-1]
}

// withFile returns a copy of opened with one more entry.
func withFile(opened map[string]evidence.DigestSet, name string, digests evidence.DigestSet) map[string]evidence.DigestSet {
	more := map[string]evidence.DigestSet{name: digests}
	for other, set := range opened {
		if _, taken := more[other]; !taken {
			more[other] = set
		}
	}
	return more
}
