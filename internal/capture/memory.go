package capture

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxPath is PATH_MAX, the longest path the kernel takes, with its NUL byte.
	maxPath = 4096
	// maxArgument and maxVector bound one argument and a whole vector as the
	// kernel does: MAX_ARG_STRLEN, and three quarters of the default stack.
	maxArgument = 128 << 10 // 128 KiB
	maxVector   = 6 << 20   // 6 MiB
	// maxAttribute is the longest name of an extended attribute, with its NUL byte.
	maxAttribute = 256
	// maxMemfdName is the longest name of a memfd, with its NUL byte.
	maxMemfdName = 250
)

// readMemory fills buf from address of the thread's memory and returns how much
// could be read. It splits at page ends, so that a string that ends just before
// an unmapped page can be read. process_vm_readv works on processes that made
// themselves undumpable, because the supervisor owns their user namespace.
func readMemory(thread int, address uint64, buf []byte) int {
	page := uint64(os.Getpagesize())
	first := page - address%page
	if uint64(len(buf)) <= first {
		return readPieces(thread, buf, []unix.RemoteIovec{{Base: uintptr(address), Len: len(buf)}})
	}
	remote := []unix.RemoteIovec{{Base: uintptr(address), Len: int(first)}}
	for got := uint64(remote[0].Len); got < uint64(len(buf)); {
		size := min(page, uint64(len(buf))-got)
		remote = append(remote, unix.RemoteIovec{Base: uintptr(address + got), Len: int(size)})
		got += size
	}
	return readPieces(thread, buf, remote)
}

func readPieces(thread int, buf []byte, remote []unix.RemoteIovec) int {
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	n, err := unix.ProcessVMReadv(thread, local, remote, 0)
	if err != nil {
		return 0
	}
	return n
}

// text reads a NUL-terminated string of at most limit bytes.
func (s *Supervisor) text(e *event, address uint64, limit int) (string, bool) {
	value, ok := s.cString(e, address, limit)
	e.reads(address, len(value)+1)
	return value, ok
}

func (s *Supervisor) cString(e *event, address uint64, limit int) (string, bool) {
	buf := s.buffer
	if limit > len(buf) {
		buf = make([]byte, limit)
	}
	// Most strings are short: one page at most first.
	size := min(limit, 256)
	for {
		n := readMemory(e.thread(), address, buf[:size])
		if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
			return string(buf[:end]), true
		}
		if n < size {
			return "", s.unreadable(e, address)
		}
		if size == limit {
			e.refuse = tooLong(limit)
			return "", false
		}
		size = min(limit, size*16)
	}
}

// tooLong is what the kernel says to a string without an end within its limit.
func tooLong(limit int) unix.Errno {
	switch limit {
	case maxPath:
		return unix.ENAMETOOLONG
	case maxArgument:
		return unix.E2BIG
	}
	return unix.EINVAL
}

// unreadable decides what an argument means that could not be read: a null
// pointer fails in the kernel with EFAULT just as well; a caller that has ended
// lost nothing; anything else is refused and counted as lost.
func (s *Supervisor) unreadable(e *event, address uint64) bool {
	switch {
	case address == 0:
		e.refuse = unix.EFAULT
	case s.stillThere(e):
		s.lose("argument:" + e.name)
		e.refuse = unix.EPERM
	}
	return false
}

// stillThere tells whether the caller still waits for the answer.
func (s *Supervisor) stillThere(e *event) bool { return s.port.waits(e) }

// words reads n 64-bit words.
func (s *Supervisor) words(e *event, address uint64, n int) ([]uint64, bool) {
	buf := make([]byte, 8*n)
	if !s.bytes(e, address, buf) {
		return nil, false
	}
	words := make([]uint64, n)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(buf[8*i:])
	}
	return words, true
}

// bytes fills buf from the caller's memory.
func (s *Supervisor) bytes(e *event, address uint64, buf []byte) bool {
	e.reads(address, len(buf))
	if readMemory(e.thread(), address, buf) != len(buf) {
		return s.unreadable(e, address)
	}
	return true
}

// vector reads an array of pointers to strings, ended by a null pointer. It does
// not count among what the call depends on: the arguments of an image are read
// from the image.
func (s *Supervisor) vector(e *event, address uint64) ([]string, bool) {
	var values []string
	if address == 0 {
		return nil, true
	}
	total := 0
	var word [8]byte
	for i := uint64(0); total <= maxVector; i++ {
		if readMemory(e.thread(), address+8*i, word[:]) != len(word) {
			return nil, s.unreadable(e, address+8*i)
		}
		pointer := binary.LittleEndian.Uint64(word[:])
		if pointer == 0 {
			return values, true
		}
		value, ok := s.cString(e, pointer, maxArgument)
		if !ok {
			return nil, false
		}
		values = append(values, value)
		total += len(value) + 1 + 8
	}
	e.refuse = unix.E2BIG
	return nil, false
}
