package capture

import (
	"encoding/binary"
	"path"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// addressFor makes a connect or bind for the caller, on a duplicate of its socket,
// with the address that was read.
func (s *Supervisor) addressFor(e *event, raw []byte, c *evidence.Connection) {
	socket, errno := s.duplicate(e, int32(e.args[0]))
	if errno != 0 {
		e.make(0, errno)
		return
	}
	if e.name == "bind" {
		errno = s.bindFor(e, socket, raw, c)
		unix.Close(socket)
		e.make(0, errno)
		c.Errno = errnoName(errno)
		return
	}
	release := func() {}
	if c.Family == "AF_UNIX" {
		raw, release = s.reachable(e, raw)
	}
	if c.Type != "SOCK_STREAM" || nonblocking(socket) {
		errno = connect(socket, raw)
		release()
		unix.Close(socket)
		e.make(0, errno)
		c.Errno = errnoName(errno)
		return
	}
	s.beside(e, func() {
		e.make(0, connect(socket, raw))
		release()
		unix.Close(socket)
	})
	if !e.later {
		release()
		unix.Close(socket)
	}
}

func connect(socket int, raw []byte) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(socket), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw)))
	return errno
}

func nonblocking(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK != 0
}

// firstFreePort is where ports begin that need no capability.
const firstFreePort = 1024

// bindFor binds the caller's socket. The calling thread owns the user namespace of
// the caller's network and could bind ports that the caller may not.
func (s *Supervisor) bindFor(e *event, socket int, raw []byte, c *evidence.Connection) unix.Errno {
	if (c.Family == "AF_INET" || c.Family == "AF_INET6") && c.Port > 0 && c.Port < firstFreePort {
		return unix.EACCES
	}
	name := unixAddress(raw[2:])
	if c.Family != "AF_UNIX" || name == "" || raw[2] == 0 {
		_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(socket), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw)))
		return errno
	}
	p := s.placeOf(e, unix.AT_FDCWD, name)
	defer p.close()
	if errno := p.ready(); errno != 0 {
		return errno
	}
	mask, errno := umask(e.thread())
	if errno != 0 {
		return errno
	}
	// The mask is the thread's own, see settleDown.
	unix.Umask(int(mask))
	defer unix.Umask(0)
	return errnoOf(unix.Bind(socket, &unix.SockaddrUnix{Name: path.Join(selfDescriptor(p.directory.fd), p.name)}))
}

// reachable is the address of a socket in the file system by a name that holds
// here; others stay as they are.
func (s *Supervisor) reachable(e *event, raw []byte) ([]byte, func()) {
	name := unixAddress(raw[2:])
	if name == "" || raw[2] == 0 {
		return raw, func() {}
	}
	l := s.resolve(e, unix.AT_FDCWD, name, true)
	if l.fd < 0 {
		return raw, l.close // it fails just as well
	}
	named := binary.LittleEndian.AppendUint16(nil, unix.AF_UNIX)
	return append(append(named, selfDescriptor(l.fd)...), 0), l.close
}

// Limits of what is sent for a caller: what fits a datagram, and the kernel's
// UIO_MAXIOV.
const (
	maxDatagram = 1 << 20 // 1 MiB, more than any datagram
	maxVectors  = 1024
)

// sendFor sends messages for the caller, with the destinations that were read; the
// answer is the number of bytes, or of messages. Descriptors and credentials that
// go along with a message cannot be passed on from here: that is refused.
func (s *Supervisor) sendFor(e *event, all []message, flags int) {
	socket, errno := s.duplicate(e, int32(e.args[0]))
	if errno != 0 {
		e.make(0, errno)
		return
	}
	defer unix.Close(socket)
	sent := 0
	for i := range all {
		n, errno := s.sendOne(e, socket, &all[i], flags)
		if e.name != "sendmmsg" {
			e.make(n, errno)
			return
		}
		if errno != 0 && i == 0 {
			e.make(0, errno)
			return
		}
		if errno != 0 {
			break
		}
		// struct mmsghdr: what was sent of each message.
		if !s.writeLength(e, e.args[1]+uint64(i)*sizeMmsghdr+sizeMsghdr, uint32(n)) {
			e.make(0, unix.EFAULT)
			return
		}
		sent++
	}
	e.make(sent, 0)
}

func (s *Supervisor) writeLength(e *event, at uint64, value uint32) bool {
	buf := binary.LittleEndian.AppendUint32(nil, value)
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	n, err := unix.ProcessVMWritev(e.thread(), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(buf)}}, 0)
	return err == nil && n == len(buf)
}

func (s *Supervisor) sendOne(e *event, socket int, m *message, flags int) (int, unix.Errno) {
	data, errno := s.gather(e, m)
	if errno != 0 {
		return 0, errno
	}
	var control []byte
	if m.control != 0 && m.controlLength > 0 {
		control = make([]byte, min(m.controlLength, maxPath))
		if !s.bytes(e, m.control, control) {
			return 0, unix.EFAULT
		}
		if passes(control) {
			s.refusals["sendmsg:control"]++
			return 0, unix.EPERM
		}
	}
	raw := m.raw
	if len(raw) > 2 && binary.LittleEndian.Uint16(raw) == unix.AF_UNIX {
		var release func()
		raw, release = s.reachable(e, raw)
		defer release()
	}
	return sendRaw(socket, data, raw, control, flags|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

// gather reads the data of a message.
func (s *Supervisor) gather(e *event, m *message) ([]byte, unix.Errno) {
	if m.data == nil && m.vectors != 0 && m.vectorCount > 0 {
		if m.vectorCount > maxVectors {
			return nil, unix.EMSGSIZE
		}
		w, ok := s.words(e, m.vectors, int(2*m.vectorCount))
		if !ok {
			return nil, unix.EFAULT
		}
		for i := 0; i+1 < len(w); i += 2 {
			m.data = append(m.data, span{w[i], w[i+1]})
		}
	}
	var data []byte
	for _, d := range m.data {
		if uint64(len(data))+d.length > maxDatagram {
			return nil, unix.EMSGSIZE
		}
		piece := make([]byte, d.length)
		if d.length > 0 && !s.bytes(e, d.address, piece) {
			return nil, unix.EFAULT
		}
		data = append(data, piece...)
	}
	return data, 0
}

// passes tells whether control messages hold descriptors or credentials, or ask
// for something that may need a right.
func passes(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(messages, func(m unix.SocketControlMessage) bool {
		kind := [2]int32{m.Header.Level, m.Header.Type}
		return !slices.Contains([][2]int32{
			{unix.SOL_IP, unix.IP_PKTINFO}, {unix.SOL_IP, unix.IP_TOS}, {unix.SOL_IP, unix.IP_TTL},
			{unix.SOL_IPV6, unix.IPV6_PKTINFO}, {unix.SOL_IPV6, unix.IPV6_TCLASS}, {unix.SOL_IPV6, unix.IPV6_HOPLIMIT},
		}, kind)
	})
}

func sendRaw(socket int, data, to, control []byte, flags int) (int, unix.Errno) {
	var h unix.Msghdr
	vector := unix.Iovec{}
	if len(data) > 0 {
		vector.Base = &data[0]
		vector.SetLen(len(data))
	}
	h.Iov = &vector
	h.SetIovlen(1)
	if len(to) > 0 {
		h.Name, h.Namelen = &to[0], uint32(len(to))
	}
	if len(control) > 0 {
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	return int(n), errno
}
