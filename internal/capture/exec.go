package capture

import (
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// pendingExec is an exec that was let through and whose result is not seen yet:
// it shows at the next call of the process.
type pendingExec struct {
	index   int // of record.Execs
	argv    []string
	thread  int    // the caller
	mark    string // of the image before
	name    string // as it was asked for
	exposed bool   // another program may have been run than the one that was looked up
	script  bool
}

func (s *Supervisor) onExecve(e *event) {
	name, ok := s.text(e, e.args[0], maxPath)
	if !ok {
		return
	}
	s.exec(e, name, s.resolve(e, unix.AT_FDCWD, name, true), e.args[1])
}

func (s *Supervisor) onExecveat(e *event) {
	l, ok := s.object(e, int32(e.args[0]), e.args[1], e.args[4])
	if !ok {
		return
	}
	name, _ := s.text(e, e.args[1], maxPath) // read before
	if l.byNumber {
		s.addEvent(e, evidence.SyscallEvent{Detail: "program by descriptor", Path: l.path})
	}
	s.exec(e, name, l, e.args[2])
}

func (s *Supervisor) exec(e *event, name string, l location, argv uint64) {
	defer l.close()
	args, ok := s.vector(e, argv)
	if !ok {
		return
	}
	errno := l.errno
	if l.fd >= 0 {
		errno = foretellExec(l)
	}
	p := e.p
	s.records++
	for _, a := range args {
		s.records += len(a) / maxPath // as much memory as so many records
	}
	p.record.Execs = append(p.record.Execs, evidence.Exec{
		Program: l.path, Argv: s.options.Redact(args), Errno: errnoName(errno), Truth: evidence.TruthEntry, Timestamp: e.at,
	})
	var program *digest
	if errno == 0 && l.fd >= 0 {
		program = s.digests.of(l)
	}
	p.execs = append(p.execs, program)
	if errno == 0 {
		x := pendingExec{index: len(p.record.Execs) - 1, argv: args, thread: e.thread(), mark: imageMark(p.id.pid), name: name}
		if x.exposed = s.exposed(e); x.exposed {
			x.script = isScript(l.fd)
		}
		p.pending = append(p.pending, x)
	}
}

// isScript tells whether a program begins with the line of an interpreter.
func isScript(fd int) bool {
	f, err := os.Open(selfDescriptor(fd))
	if err != nil {
		return false
	}
	defer f.Close()
	var start [2]byte
	_, err = io.ReadFull(f, start[:])
	return err == nil && string(start[:]) == "#!"
}

func foretellExec(l location) unix.Errno {
	if l.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EACCES
	}
	return access(l.fd, unix.X_OK)
}

// settleExecs finds out what became of pending execs when a thread makes its next
// call. thread is 0 after the end of the run, when nothing can be read any more
// and the last one is taken as done.
//
// After an exec the process has one thread, with the number of the process. So a
// call of any other thread says nothing, unless it is the one that called exec,
// which then came back.
func (s *Supervisor) settleExecs(p *process, thread int) {
	if len(p.pending) == 0 {
		return
	}
	if thread == 0 {
		last := p.pending[len(p.pending)-1]
		attempt := p.record.Execs[last.index]
		s.newImage(p, last, 0, image{exe: attempt.Program, comm: base(attempt.Program), args: last.argv})
		return
	}
	if thread == p.id.pid {
		if im, err := readImage(p.id.pid); err == nil {
			if i := p.executed(im); i >= 0 {
				p.record.Execs[p.pending[i].index].Truth = evidence.TruthKernel
				s.newImage(p, p.pending[i], thread, im)
				return
			}
		}
	}
	p.pending = slices.DeleteFunc(p.pending, func(x pendingExec) bool {
		if x.thread != thread {
			return false
		}
		attempt := &p.record.Execs[x.index]
		attempt.Errno, attempt.Truth = "ENOEXEC", evidence.TruthKernel // still the old image
		return true
	})
}

// executed is the index of the pending exec that became the image, -1 for none.
func (p *process) executed(im image) int {
	mark := imageMark(p.id.pid)
	last := -1
	for i, x := range p.pending {
		// Without randomization a program that runs itself looks the same.
		if x.mark == mark && im.exe != p.record.Execs[x.index].Program {
			continue
		}
		if last = i; slices.Equal(im.args, x.argv) {
			return i
		}
	}
	return last
}

// newImage records the image that a process runs from now on.
func (s *Supervisor) newImage(p *process, from pendingExec, thread int, im image) {
	if from.exposed && thread != 0 && !from.became(im, p.record.Execs[from.index].Program) {
		p.record.Execs[from.index].Program = im.exe
		p.execs[from.index] = s.digestOfImage(p, thread, im.exe)
	}
	attempt := p.record.Execs[from.index]
	p.pending = nil
	s.closeFiles(p) // the new image may have been run from another root
	p.space, p.lends = &space{}, false
	s.forgetThreads(p)
	p.record.Program, p.record.Comm = attempt.Program, im.comm
	p.args, p.record.Args = im.args, s.options.Redact(im.args)
	p.record.Cmdline = joinArgs(p.record.Args)
	p.record.Environ = s.options.RedactEnviron(im.environ)
	p.program = p.execs[from.index]
	p.exe = s.digestOfImage(p, thread, im.exe)
}

// became tells whether the image is that of the program which was looked up: a
// script shows as its interpreter with the script's name among the arguments.
func (x pendingExec) became(im image, program string) bool {
	if x.script {
		return slices.Contains(im.args[min(1, len(im.args)):min(3, len(im.args))], x.name)
	}
	return im.exe == program
}

// digestOfImage is the digest of the mapped image, which for a script is its
// interpreter.
func (s *Supervisor) digestOfImage(p *process, thread int, exe string) *digest {
	if thread == 0 || exe == p.record.Program {
		return p.program
	}
	fd, err := unix.Open(procPath(thread, "exe"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	l := location{path: exe, fd: fd}
	defer l.close()
	if err := unix.Fstat(fd, &l.stat); err != nil {
		return nil
	}
	return s.digests.of(l)
}

func (s *Supervisor) onFork(e *event) { s.fork(e, e.args[0]) }

// onVfork is a fork whose child uses the parent's memory until its exec.
func (s *Supervisor) onVfork(e *event) { s.fork(e, unix.CLONE_VM|unix.CLONE_VFORK) }

// onClone3 reads the flags, the first word of struct clone_args. Under ptrace they
// have to be in a register: a child that asks not to be traced would be lost.
func (s *Supervisor) onClone3(e *event) {
	if s.backend == Ptrace {
		e.refuse = unix.ENOSYS // as on a kernel without it, for which callers have a fallback
		return
	}
	flags, ok := s.words(e, e.args[0], 1)
	if !ok {
		return
	}
	if !e.p.space.shared && s.exposed(e) {
		s.entangled = true // it may ask for something else
	}
	s.fork(e, flags[0])
}

// namespaceFlags are the clone flags that make new namespaces; chrome-like
// sandboxes and attacks use them.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

func (s *Supervisor) fork(e *event, flags uint64) {
	if e.name == "fork" {
		flags = 0
	}
	if s.backend == Ptrace && flags&unix.CLONE_UNTRACED != 0 {
		s.refuse(e, unix.EPERM, "CLONE_UNTRACED")
		return
	}
	s.share(e, flags)
	if flags&unix.CLONE_THREAD != 0 {
		return
	}
	e.p.forks++
	// Also those that never make a call that is trapped.
	if s.forked++; s.forked > s.options.MaxProcesses {
		s.reachLimit("processes", s.options.MaxProcesses, "processes")
	}
	if flags&(namespaceFlags|unix.CLONE_UNTRACED) != 0 {
		s.addEvent(e, evidence.SyscallEvent{Detail: "flags", Args: []uint64{flags}})
	}
}

func (s *Supervisor) onExit(e *event) {
	code := int(e.args[0] & 0xff)
	s.mu.Lock()
	e.p.record.ExitCode = &code
	s.mu.Unlock()
	s.end(e.p)
}

// SetExit records the exit status of the command that was attached last, which
// its parent saw; it stands also when the command was killed. It may be called
// from any goroutine.
func (s *Supervisor) SetExit(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.command != nil {
		s.command.record.ExitCode = &code
	}
}

// CommandPID is the process id, outside, of the command that was attached last;
// 0 before it was seen. It may be called from any goroutine.
func (s *Supervisor) CommandPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.command == nil {
		return 0
	}
	return s.command.id.pid
}
