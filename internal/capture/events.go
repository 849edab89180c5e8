package capture

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// onEvent records a security-relevant call by its arguments. Pointers among them
// say nothing outside the process and are recorded as they are.
func (s *Supervisor) onEvent(e *event) {
	detail := ""
	switch e.name {
	case "chroot", "unshare", "setns", "pivot_root", "mount":
		s.closeFiles(e.p)
	case "mmap":
		detail = "writable and executable"
		if e.args[2]&unix.PROT_WRITE == 0 {
			detail = "anonymous and executable"
		}
		s.addEvent(e, evidence.SyscallEvent{Detail: detail, Args: []uint64{0, 0, e.args[2], e.args[3]}})
		return
	case "mprotect":
		s.addEvent(e, evidence.SyscallEvent{Detail: "writable and executable", Args: []uint64{0, 0, e.args[2]}})
		return
	case "kill":
		detail = fmt.Sprintf("pid %d signal %d", int32(e.args[0]), int32(e.args[1]))
	case "process_vm_readv":
		detail = fmt.Sprintf("pid %d", int32(e.args[0]))
	case "seccomp":
		detail = fmt.Sprintf("operation %d flags %#x", e.args[0], e.args[1])
		if s.backend == Ptrace && e.args[0] == unix.SECCOMP_SET_MODE_FILTER && e.args[1]&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 {
			// A listener of its own would be asked before the tracer is.
			s.refuse(e, unix.EBUSY, detail)
			return
		}
	}
	s.addEvent(e, evidence.SyscallEvent{Detail: detail, Args: append([]uint64(nil), e.args[:]...)})
}

// onInvasion records calls that give somebody else a way into the memory of a
// process: a tracer, a writer, or for asynchronous reads the kernel.
func (s *Supervisor) onInvasion(e *event) {
	pid, detail := 0, ""
	switch e.name {
	case "ptrace":
		detail = fmt.Sprintf("request %d pid %d", int32(e.args[0]), int32(e.args[1]))
		if e.args[0] != unix.PTRACE_TRACEME {
			pid = int(int32(e.args[1]))
		}
	case "process_vm_writev":
		pid = int(int32(e.args[0]))
		detail = fmt.Sprintf("pid %d", pid)
	}
	s.invaded(e, pid)
	s.addEvent(e, evidence.SyscallEvent{Detail: detail, Args: append([]uint64(nil), e.args[:]...)})
}

func (s *Supervisor) addEvent(e *event, ev evidence.SyscallEvent) {
	ev.Syscall, ev.Timestamp = e.name, e.at
	key := eventKey{ev.Syscall, ev.Detail, ev.Path}
	if i, seen := e.p.events[key]; seen {
		ev := &e.p.record.SyscallEvents[i]
		ev.Count = max(ev.Count, 1) + 1
		return
	}
	s.records++
	e.p.events[key] = len(e.p.record.SyscallEvents)
	e.p.record.SyscallEvents = append(e.p.record.SyscallEvents, ev)
}

// onRefused refuses calls that a traced process may not make at all: a ring
// would do file and network operations that no filter sees, a handle opens a
// file without any path, and who handles the faults of a page decides how long
// its reader waits and what it reads.
func (s *Supervisor) onRefused(e *event) {
	errno := unix.EPERM
	if e.name == "io_uring_setup" {
		errno = unix.ENOSYS // as on a kernel without it, for which callers have a fallback
	}
	s.refuse(e, errno, "")
}

// onForeign refuses a call of another architecture's table or of the x32 ABI.
func (s *Supervisor) onForeign(e *event) {
	e.name = "foreign"
	s.refuse(e, unix.ENOSYS, fmt.Sprintf("architecture %#x number %d", e.arch, e.nr))
}

func (s *Supervisor) refuse(e *event, errno unix.Errno, detail string) {
	e.refuse = errno
	s.refusals[e.name]++
	s.addEvent(e, evidence.SyscallEvent{Detail: detail, Refused: errnoName(errno)})
}

func (s *Supervisor) onMemfd(e *event) {
	name, ok := s.text(e, e.args[0], maxMemfdName)
	if ok {
		s.addEvent(e, evidence.SyscallEvent{Detail: name, Args: []uint64{0, e.args[1]}})
	}
}

func (s *Supervisor) onPrctl(e *event) {
	detail := prctlName(uint32(e.args[0]))
	if e.args[0] == unix.PR_SET_NAME {
		name := make([]byte, 16) // TASK_COMM_LEN
		n := readMemory(e.thread(), e.args[1], name)
		name, _, _ = bytes.Cut(name[:n], []byte{0})
		detail += " " + strconv.Quote(string(name))
		if e.thread() == e.p.id.pid {
			detail += " main thread"
		}
	}
	if e.args[0] == unix.PR_SET_MM {
		// The layout of the address space is what tells one image from the next.
		s.refuse(e, unix.EPERM, detail)
		return
	}
	s.addEvent(e, evidence.SyscallEvent{Detail: detail, Args: []uint64{e.args[0], e.args[1]}})
}

// onDup records a socket that becomes standard input, output or error, with both
// descriptors.
func (s *Supervisor) onDup(e *event) {
	target, err := s.descriptor(e, int32(e.args[0]))
	if err != nil || !strings.HasPrefix(target, "socket:") {
		return
	}
	s.addEvent(e, evidence.SyscallEvent{
		Detail: fmt.Sprintf("socket onto descriptor %d", int32(e.args[1])), Args: []uint64{uint64(uint32(e.args[0])), uint64(uint32(e.args[1]))},
	})
}

// onPathEvent records a call whose first argument is a path.
func (s *Supervisor) onPathEvent(e *event) {
	name, ok := s.text(e, e.args[0], maxPath)
	if !ok {
		return
	}
	l := s.resolve(e, unix.AT_FDCWD, name, true)
	l.close()
	s.closeFiles(e.p)
	s.addEvent(e, evidence.SyscallEvent{Path: l.path})
}

// onAttribute records an extended attribute that is set: capabilities of a program
// are one.
func (s *Supervisor) onAttribute(e *event) {
	name, ok := s.text(e, e.args[1], maxAttribute)
	if !ok {
		return
	}
	var l location
	if e.name == "fsetxattr" {
		l = s.described(e, int32(e.args[0]))
	} else {
		flags := uint64(0)
		if e.name == "lsetxattr" {
			flags = unix.AT_SYMLINK_NOFOLLOW
		}
		if l, ok = s.object(e, unix.AT_FDCWD, e.args[0], flags); !ok {
			return
		}
	}
	l.close()
	s.addEvent(e, evidence.SyscallEvent{Detail: name, Path: l.path})
}

func (s *Supervisor) onMount(e *event) {
	ev := evidence.SyscallEvent{Args: []uint64{e.args[3]}}
	for i, to := range []*string{&ev.Path, &ev.TargetPath, &ev.Detail} {
		if e.args[i] == 0 {
			continue
		}
		text, ok := s.text(e, e.args[i], maxPath)
		if !ok {
			return
		}
		*to = text
	}
	s.closeFiles(e.p)
	s.addEvent(e, ev)
}

func procPath(thread int, name string) string {
	return "/proc/" + strconv.Itoa(thread) + "/" + name
}

func joinArgs(args []string) string { return strings.Join(args, " ") }
