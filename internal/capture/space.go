package capture

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Letting a call go on is sound while nobody can change its arguments between the
// look at them and the kernel's: they lie in memory that only the caller itself,
// which is stopped, can write. An argument is exposed when that does not hold.
// Then the call is made here, with what was read, or its outcome is looked at.
//
// Memory is the caller's alone when no other thread or process shares the address
// space (space.shared), nobody outside was given a way into it, and the page is
// anonymous and private: one of a file, or shared, has writers elsewhere.

// space is an address space. Processes share one between a vfork and the exec.
type space struct {
	shared bool // somebody else may write to it
}

// span is a part of the caller's memory.
type span struct{ address, length uint64 }

// maxSpans is how many arguments of one call are told apart; none reads more.
const maxSpans = 8

// reads notes that the call depends on this memory.
func (e *event) reads(address uint64, length int) {
	if e.read < maxSpans {
		e.spans[e.read] = span{address, uint64(max(length, 1))}
	}
	e.read++
}

// exposed tells whether somebody else could change what was read of the caller's
// memory before the kernel reads it.
func (s *Supervisor) exposed(e *event) bool {
	if e.p.space.shared || s.entangled || e.read > maxSpans {
		return true
	}
	page := uint64(os.Getpagesize())
	var last uint64 // the page looked at last
	for _, m := range e.spans[:e.read] {
		for at := m.address / page; at <= (m.address+m.length-1)/page; at++ {
			if at == last {
				continue
			}
			if !s.private(e, at) {
				return true
			}
			last = at
		}
	}
	return false
}

// pageShared is the bit of an entry of /proc/PID/pagemap that is set for a page
// of a file and a shared anonymous one (Documentation/admin-guide/mm/pagemap.rst).
const pageShared = 1 << 61

// private tells whether a page of the caller is anonymous and its own.
func (s *Supervisor) private(e *event, page uint64) bool {
	if e.p.pages < 0 {
		if s.kept >= maxKept {
			s.closeKept()
		}
		fd, err := unix.Open(procPath(e.thread(), "pagemap"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		s.kept++
		e.p.pages = fd
	}
	var entry [8]byte
	n, err := unix.Pread(e.p.pages, entry[:], int64(page*8))
	return err == nil && n == len(entry) && binary.LittleEndian.Uint64(entry[:])&pageShared == 0
}

// share notes what a fork with these flags means for the address space, before it
// is made.
func (s *Supervisor) share(e *event, flags uint64) {
	switch {
	case flags&unix.CLONE_VM == 0:
	case flags&unix.CLONE_THREAD == 0 && flags&unix.CLONE_VFORK != 0 && flags&unix.CLONE_PARENT == 0:
		// The parent stands still until the child runs another image.
		e.p.lends = true
	default:
		e.p.space.shared = true
		if flags&unix.CLONE_THREAD == 0 {
			// A process that has all of its memory in common with another, and a parent
			// that may not be the one that made it: nobody uses that, so nobody is slowed
			// down by distrust of every image that is there already.
			s.entangled = true
		}
	}
}

// spaceOf is the address space of a new process; certain tells whether the kernel
// names the parent too.
func (s *Supervisor) spaceOf(parent *process, certain bool) *space {
	if !certain {
		// Any that shares its memory may have made it.
		shared := slices.ContainsFunc(s.order, func(p *process) bool { return p.space.shared })
		return &space{shared: shared}
	}
	if parent.lends {
		return parent.space
	}
	// A caller with several threads may have asked for something else than was seen,
	// and CLONE_PARENT makes a sibling.
	shared := slices.ContainsFunc(s.order, func(p *process) bool {
		return p.space.shared && (p == parent || p.maker == parent && !p.ended)
	})
	return &space{shared: shared}
}

// invaded notes that the memory of the process with that number inside can be
// written by another one from now on; 0 is the caller itself.
func (s *Supervisor) invaded(e *event, pid int) {
	if pid == 0 {
		e.p.space.shared = true
		return
	}
	for _, p := range s.order {
		if p.inside == pid && !p.ended {
			if !p.space.shared {
				p.space.shared = true
				s.land(func(other *process) bool { return other != e.p && other.space == p.space })
			}
			return
		}
	}
	s.entangle(e) // a number of another namespace, or a thread
}

// entangle notes that some memory, and nobody knows whose, can be written by others
// from now on.
func (s *Supervisor) entangle(e *event) {
	if !s.entangled {
		s.entangled = true
		s.land(func(p *process) bool { return p != e.p })
	}
}

// opensMemory notes an open for writing of the memory file of a process.
func (s *Supervisor) opensMemory(e *event, path string) {
	if !strings.HasSuffix(path, "/mem") {
		return
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(path, "/proc/"), "/")
	pid, err := strconv.Atoi(number)
	if err != nil {
		s.entangle(e) // below another mount of /proc
		return
	}
	s.invaded(e, pid)
}
