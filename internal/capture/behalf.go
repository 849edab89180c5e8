package capture

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// openFor makes an open for the caller and gives it the descriptor, so that what
// is recorded is what was opened. The calling thread has the caller's user and no
// rights, see [Supervisor.settleDown]; what the kernel decides by the opening
// process itself is decided here.
func (s *Supervisor) openFor(e *event, o opening, l location) {
	if !s.port.injects() {
		if l.errno == 0 && !o.has(unix.O_PATH) && s.closed(e, l) {
			s.finishOpen(e, o, l, -1, unix.EACCES, false)
		} else {
			s.verifyOpen(e, o, l)
		}
		return
	}
	for range maxRaces {
		fd, errno, created := s.make(e, o, l)
		if errno != errRaced {
			s.finishOpen(e, o, l, fd, errno, created)
			return
		}
		l = s.resolveAs(e, o.dirfd, o.name, o.lookup())
		defer l.close() // a few, and rarely any
	}
	s.lose("raced:" + e.name)
	e.refuse = unix.EAGAIN
}

// maxRaces bounds how often an open is looked up anew because somebody changes the
// directory meanwhile.
const maxRaces = 100

// errRaced tells that what was resolved is not there any more.
const errRaced = unix.ESTALE

func (s *Supervisor) finishOpen(e *event, o opening, l location, fd int, errno unix.Errno, created bool) {
	if e.later {
		return
	}
	if errno != 0 {
		e.make(0, errno)
		s.recordOpen(e, l, o.flags, result{errno: errno, truth: evidence.TruthKernel})
		return
	}
	e.given, e.cloexec = fd, o.has(unix.O_CLOEXEC)
	opened := l
	if created {
		// What was made, wherever its directory was moved meanwhile.
		opened = foundAt(fd, descriptorPath(fd), false)
	}
	s.recordOpen(e, opened, o.flags, result{created: created, truth: evidence.TruthKernel})
}

// make opens what was resolved, or makes it.
func (s *Supervisor) make(e *event, o opening, l location) (fd int, errno unix.Errno, created bool) {
	switch {
	case l.slash && o.has(unix.O_CREAT):
		return -1, unix.EISDIR, false
	case l.errno == 0:
		fd, errno = s.reopen(e, o, l)
		return fd, errno, false
	case l.errno != unix.ENOENT || !o.has(unix.O_CREAT) || l.parent <= 0:
		return -1, l.errno, false
	}
	mask, errno := umask(e.thread())
	if errno != 0 {
		return -1, errno, false
	}
	how := unix.OpenHow{
		Flags: ownFlags(o.flags) | unix.O_EXCL | unix.O_NOFOLLOW, Mode: o.mode & 0o7777 &^ mask, Resolve: unix.RESOLVE_NO_SYMLINKS,
	}
	fd, errno = openPath(l.parent, path.Base(l.path), how)
	if errno == unix.EEXIST && !o.has(unix.O_EXCL) {
		return -1, errRaced, false
	}
	return fd, errno, errno == 0
}

// ownFlags are the flags for a descriptor that is only passed on.
func ownFlags(flags uint64) uint64 { return flags | unix.O_CLOEXEC | unix.O_NOCTTY }

// reopen opens an object that exists.
func (s *Supervisor) reopen(e *event, o opening, l location) (int, unix.Errno) {
	kind := l.stat.Mode & unix.S_IFMT
	switch {
	case o.has(unix.O_CREAT | unix.O_EXCL):
		return -1, unix.EEXIST
	case o.has(unix.O_DIRECTORY) && kind != unix.S_IFDIR:
		return -1, unix.ENOTDIR
	case kind == unix.S_IFLNK:
		return -1, unix.ELOOP
	case kind == unix.S_IFSOCK:
		return -1, unix.ENXIO
	case kind == unix.S_IFDIR && o.has(unix.O_CREAT):
		return -1, unix.EISDIR
	case kind == unix.S_IFCHR && l.stat.Rdev == controllingTerminal:
		return -1, unix.ENXIO // the caller's own, which a command in a session of its own lacks
	}
	flags := ownFlags(o.flags) &^ (unix.O_CREAT | unix.O_NOFOLLOW)
	mode := uint32(0)
	if o.has(unix.O_TMPFILE) {
		mask, errno := umask(e.thread())
		if errno != 0 {
			return -1, errno
		}
		mode = uint32(o.mode & 0o7777 &^ mask)
	}
	if onProc, _ := procfs(l.fd); onProc {
		return s.reopenProc(e, l, flags)
	}
	if kind == unix.S_IFIFO && !o.has(unix.O_NONBLOCK) && !o.has(unix.O_RDWR) {
		s.openAside(e, o, l, flags)
		return -1, 0
	}
	fd, err := unix.Open(selfDescriptor(l.fd), int(flags), mode)
	return fd, errnoOf(err)
}

// controllingTerminal is the device number of /dev/tty, 5:0.
const controllingTerminal = 5 << 8

// reopenProc opens a file of /proc. The kernel asks there whether the opening
// process may trace the one that the file is about.
func (s *Supervisor) reopenProc(e *event, l location, flags uint64) (int, unix.Errno) {
	if s.closed(e, l) {
		return -1, unix.EACCES
	}
	var fd int
	errno := withoutRights(func() error {
		var err error
		fd, err = unix.Open(selfDescriptor(l.fd), int(flags), 0)
		return err
	})
	return fd, errno
}

// closed tells whether a file of /proc is not for the caller, whatever the kernel
// says to the supervisor, which owns the namespaces. A process may look at itself; the
// memory of another one is not given through this way.
func (s *Supervisor) closed(e *event, l location) bool {
	pid := aboutProcess(l.path)
	return pid != 0 && pid != e.p.inside && path.Base(l.path) == "mem" || s.tellsOfInit(e, l)
}

// tellsOfInit tells whether a file of /proc is about the sandbox's init and only for
// who may trace it: init may trace all, and nobody it.
func (s *Supervisor) tellsOfInit(e *event, l location) bool {
	pid := aboutProcess(l.path)
	return pid != e.p.inside && s.isInit(pid) && isGuarded(l.path)
}

// isInit tells whether a process is the sandbox's init.
func (s *Supervisor) isInit(pid int) bool { return pid == initPID && s.depth > 0 }

// aboutProcess is the number of the process that a path in /proc is about; 0 for
// none.
func aboutProcess(name string) int {
	rest, ok := strings.CutPrefix(name, "/proc/")
	if !ok {
		return 0
	}
	number, _, _ := strings.Cut(rest, "/")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return pid
}

// isGuarded tells whether the kernel lets only who may trace a process open this
// file about it, which the file's mode does not say.
func isGuarded(name string) bool {
	return aboutProcess(name) != 0 && slices.Contains(guarded[:], path.Base(name))
}

// guarded are the names of such files.
var guarded = [...]string{
	"environ", "auxv", "maps", "smaps", "smaps_rollup", "numa_maps", "mem", "fd", "fdinfo", "map_files", "ns", "stack", "syscall", "io",
	"personality", "pagemap", "clear_refs", "wchan", "timers", "uid_map", "gid_map", "setgroups", "projid_map",
}

// withoutRights runs f without any effective capability.
func withoutRights(f func() error) unix.Errno {
	if err := yieldRights(0); err != nil {
		return errnoOf(err)
	}
	err := f()
	// The permitted set still has it, so this cannot fail.
	_ = raiseRights(1 << unix.CAP_SYS_PTRACE)
	return errnoOf(err)
}

// openAside opens a pipe, which waits for somebody at its other end, on a thread
// of its own, which answers.
func (s *Supervisor) openAside(e *event, o opening, l location, flags uint64) {
	s.recordOpen(e, l, o.flags, result{truth: evidence.TruthKernel})
	fd, errno := duplicate(l.fd)
	if errno != 0 {
		e.make(0, errno)
		return
	}
	s.pipes = append(s.pipes, fd)
	s.beside(e, func() {
		opened, err := unix.Open(selfDescriptor(fd), int(flags), 0)
		if e.given, e.cloexec = opened, o.has(unix.O_CLOEXEC); err != nil {
			e.given = -1
			e.make(0, errnoOf(err))
		}
	})
}

// maxAside bounds the threads that wait for calls of traced processes.
const maxAside = 256

// beside makes a call that may wait on a thread of its own and answers then.
func (s *Supervisor) beside(e *event, call func()) {
	if s.asides.Load() >= maxAside {
		s.lose("waiting-calls")
		e.make(0, unix.EAGAIN)
		return
	}
	p := s.port
	e.later = true
	s.asides.Add(1)
	s.aside.Go(func() {
		defer s.asides.Add(-1)
		if err := s.settleDown(); err != nil {
			e.make(0, unix.EIO)
		} else {
			call()
		}
		// An answer that cannot be sent leaves a caller that was killed.
		_ = p.send(e)
	})
}

// endAside ends what still waits after the last process has ended: a pipe that is
// open for both lets everybody in.
func (s *Supervisor) endAside() {
	var both []int
	for _, fd := range s.pipes {
		if opened, err := unix.Open(selfDescriptor(fd), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			both = append(both, opened)
		}
	}
	s.aside.Wait()
	for _, fd := range append(both, s.pipes...) {
		unix.Close(fd)
	}
	s.pipes = nil
}

// umask is the file mode mask of a thread, from /proc/PID/status (4.7 and newer).
func umask(thread int) (uint64, unix.Errno) {
	status, err := os.ReadFile(procPath(thread, "status"))
	if err != nil {
		return 0, unix.ESRCH
	}
	_, rest, _ := bytes.Cut(status, []byte("\nUmask:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	mask, err := strconv.ParseUint(string(line), 8, 16)
	if err != nil {
		return 0, unix.EIO
	}
	return mask, 0
}
