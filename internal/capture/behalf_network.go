package capture

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// addressFor makes a connect or bind for the caller, on a duplicate of its socket,
// with the address that was read.
func (s *Supervisor) addressFor(e *event, raw []byte, c *evidence.Connection) {
	if e.name == "bind" && c.Family == "AF_UNIX" {
		return // by another name it would be another address for the caller and its peers
	}
	socket, errno := s.duplicate(e, int32(e.args[0]))
	if errno != 0 {
		e.make(0, errno)
		return
	}
	if e.name == "bind" {
		errno = bindFor(socket, raw, c)
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
func bindFor(socket int, raw []byte, c *evidence.Connection) unix.Errno {
	if c.Port > 0 && c.Port < firstFreePort {
		return unix.EACCES
	}
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(socket), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw)))
	return errno
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

// parcel is a message as it is sent from here.
type parcel struct {
	data, to, control []byte
	release           func()
}

// sendFor sends messages for the caller, with the destinations that were read; the
// answer is the number of bytes, or of messages. Descriptors and credentials that
// go along with a message cannot be passed on from here: that is refused.
func (s *Supervisor) sendFor(e *event, all []message, flags int) {
	socket, errno := s.duplicate(e, int32(e.args[0]))
	if errno != 0 {
		e.make(0, errno)
		return
	}
	waits := flags&unix.MSG_DONTWAIT == 0 && !nonblocking(socket)
	for i := range all {
		p, errno := s.pack(e, &all[i])
		n := 0
		switch {
		case errno != 0:
		case waits && flags&unix.MSG_FASTOPEN != 0:
			errno = unix.EAGAIN // a connection is to be made first, which is one to wait for
		default:
			n, errno = p.send(socket, flags|unix.MSG_DONTWAIT)
		}
		if errno == unix.EAGAIN && waits && i == 0 {
			s.sendAside(e, socket, p, flags)
			return
		}
		p.release()
		if errno == 0 && e.name == "sendmmsg" {
			errno = s.writeLength(e, i, n)
		}
		if errno != 0 || e.name != "sendmmsg" {
			if i > 0 {
				n, errno = i, 0 // some were sent
			}
			unix.Close(socket)
			e.make(n, errno)
			return
		}
	}
	unix.Close(socket)
	e.make(len(all), 0)
}

// sendAside sends the first message from a thread of its own, because it has to wait;
// that may be fewer than the caller asked for.
func (s *Supervisor) sendAside(e *event, socket int, p parcel, flags int) {
	s.beside(e, func() {
		n, errno := p.send(socket, flags)
		if errno == 0 && e.name == "sendmmsg" {
			n, errno = 1, s.writeLength(e, 0, n)
		}
		e.make(n, errno)
		p.release()
		unix.Close(socket)
	})
	if !e.later {
		p.release()
		unix.Close(socket)
	}
}

// writeLength tells the caller how much was sent of a message of sendmmsg, as the
// kernel does in struct mmsghdr.
func (s *Supervisor) writeLength(e *event, i, length int) unix.Errno {
	at := e.args[1] + uint64(i)*sizeMmsghdr + sizeMsghdr
	buf := binary.LittleEndian.AppendUint32(nil, uint32(length))
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	n, err := unix.ProcessVMWritev(e.thread(), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(buf)}}, 0)
	if err != nil || n != len(buf) {
		return unix.EFAULT
	}
	return 0
}

// pack reads a message.
func (s *Supervisor) pack(e *event, m *message) (parcel, unix.Errno) {
	p := parcel{to: m.raw, release: func() {}}
	var errno unix.Errno
	if p.data, errno = s.gather(e, m); errno != 0 {
		return p, errno
	}
	if m.control != 0 && m.controlLength > 0 {
		p.control = make([]byte, min(m.controlLength, maxPath))
		if !s.bytes(e, m.control, p.control) {
			return p, unix.EFAULT
		}
		if passes(p.control) {
			s.refusals["sendmsg:control"]++
			return p, unix.EPERM
		}
	}
	if len(p.to) > 2 && binary.LittleEndian.Uint16(p.to) == unix.AF_UNIX {
		p.to, p.release = s.reachable(e, p.to)
	}
	return p, 0
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

func (p parcel) send(socket, flags int) (int, unix.Errno) {
	var h unix.Msghdr
	vector := unix.Iovec{}
	if len(p.data) > 0 {
		vector.Base = &p.data[0]
		vector.SetLen(len(p.data))
	}
	h.Iov = &vector
	h.SetIovlen(1)
	if len(p.to) > 0 {
		h.Name, h.Namelen = &p.to[0], uint32(len(p.to))
	}
	if len(p.control) > 0 {
		h.Control = &p.control[0]
		h.SetControllen(len(p.control))
	}
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(&h)), uintptr(flags|unix.MSG_NOSIGNAL))
	return int(n), errno
}
