package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// maxAddress is the size of struct sockaddr_storage, in bytes.
const maxAddress = 128

// maxMessages is UIO_MAXIOV, the most that sendmmsg looks at.
const maxMessages = 1024

// Sizes of struct msghdr and struct mmsghdr on 64-bit Linux, in bytes.
const (
	sizeMsghdr  = 56
	sizeMmsghdr = 64
)

// onAddress records connect and bind.
func (s *Supervisor) onAddress(e *event) {
	raw, c, ok := s.address(e, int32(e.args[0]), e.args[1], e.args[2])
	if !ok || raw == nil {
		return
	}
	if s.port.injects() && forOthers(c.Family) && s.exposed(e) {
		s.addressFor(e, raw, &c)
	}
	i := s.addConnection(e, c)
	if !s.port.injects() {
		p := e.p
		e.returned = func(got int64) {
			if got < 0 {
				p.record.Network.Connections[i].Errno = errnoName(unix.Errno(-got))
			}
		}
	}
}

// onSendto records the destination of a datagram.
func (s *Supervisor) onSendto(e *event) {
	raw, c, ok := s.address(e, int32(e.args[0]), e.args[4], e.args[5])
	if !ok || raw == nil {
		return
	}
	s.addConnection(e, c)
	if s.port.injects() && forOthers(c.Family) && s.exposed(e) {
		s.sendFor(e, []message{{header: header{name: e.args[4]}, raw: raw, data: []span{{e.args[1], e.args[2]}}}}, int(int32(e.args[3])))
	}
}

func (s *Supervisor) onSendmsg(e *event) {
	if m, ok := s.message(e, e.args[1]); ok {
		s.sendMessages(e, []message{m}, int(int32(e.args[2])))
	}
}

func (s *Supervisor) onSendmmsg(e *event) {
	var all []message
	for i := range min(e.args[2]&0xffffffff, maxMessages) {
		m, ok := s.message(e, e.args[1]+i*sizeMmsghdr)
		if !ok {
			return
		}
		all = append(all, m)
	}
	s.sendMessages(e, all, int(int32(e.args[3])))
}

// sendMessages records the destinations of messages. Without any, and on a stream,
// where the kernel looks at none, the call goes on as it is.
func (s *Supervisor) sendMessages(e *event, all []message, flags int) {
	named, others := false, true
	for i := range all {
		m := &all[i]
		if m.name == 0 || m.nameLength == 0 {
			continue
		}
		raw, c, ok := s.address(e, int32(e.args[0]), m.name, m.nameLength)
		if !ok {
			return
		}
		if m.raw = raw; raw != nil {
			named, others = true, others && forOthers(c.Family)
			s.addConnection(e, c)
		}
	}
	if !s.port.injects() || !others || !s.exposed(e) {
		return
	}
	stream := s.socketType(e, int32(e.args[0])) == "SOCK_STREAM" && flags&unix.MSG_FASTOPEN == 0
	if family := s.socketFamily(e, int32(e.args[0])); !stream && (named || forOthers(family)) {
		s.sendFor(e, all, flags)
	}
}

// forOthers tells whether calls on sockets of this family may be made for the
// caller. The kernel asks a netlink message for the rights of its sender, and the
// supervisor's thread owns the user namespace; such messages go nowhere else.
func forOthers(family string) bool {
	return family == "AF_INET" || family == "AF_INET6" || family == "AF_UNIX"
}

// header is struct msghdr without its output fields.
type header struct {
	name, nameLength       uint64
	vectors, vectorCount   uint64
	control, controlLength uint64
}

// message is one message that a call sends.
type message struct {
	header
	raw  []byte // the destination, nil for none
	data []span // where it is in the caller's memory
}

func (s *Supervisor) message(e *event, at uint64) (message, bool) {
	w, ok := s.words(e, at, sizeMsghdr/8)
	if !ok {
		return message{}, false
	}
	return message{header: header{w[0], w[1] & 0xffffffff, w[2], w[3], w[4], w[5]}}, true
}

// address reads an address, makes sure that somebody is there and describes it;
// raw is nil when the kernel will take it for none, or for a wrong one.
func (s *Supervisor) address(e *event, fd int32, at, length uint64) (raw []byte, c evidence.Connection, ok bool) {
	length = min(length&0xffffffff, maxAddress)
	if at == 0 || length < 2 {
		return nil, c, true // fails in the kernel
	}
	raw = make([]byte, length)
	if !s.bytes(e, at, raw) {
		return nil, c, false
	}
	if e.name != "connect" && binary.LittleEndian.Uint16(raw) == unix.AF_UNSPEC {
		// The kernel takes it for AF_INET here, see udp_sendmsg and inet_bind.
		binary.LittleEndian.PutUint16(raw, unix.AF_INET)
	}
	c = decodeAddress(raw)
	if c.Family == "AF_UNIX" && c.Address != "" && !strings.HasPrefix(c.Address, "@") {
		c.Address = s.socketPath(e, c.Address)
	}
	c.Syscall, c.FD, c.Timestamp, c.Type = e.name, int(fd), e.at, s.socketType(e, fd)
	if s.options.Contact != nil && e.name != "bind" && (c.Family == "AF_INET" || c.Family == "AF_INET6") {
		network := "tcp"
		if c.Type == "SOCK_DGRAM" {
			network = "udp"
		}
		s.options.Contact(s.contact(e.p, network, c.Address, c.Port))
	}
	return raw, c, true
}

// decodeAddress reads a struct sockaddr; what it does not know keeps the number
// of its family.
func decodeAddress(raw []byte) evidence.Connection {
	family := binary.LittleEndian.Uint16(raw)
	c := evidence.Connection{Family: familyName(int(family))}
	switch {
	case family == unix.AF_INET && len(raw) >= 8:
		c.Port = int(binary.BigEndian.Uint16(raw[2:]))
		c.Address = netip.AddrFrom4([4]byte(raw[4:8])).String()
	case family == unix.AF_INET6 && len(raw) >= 24:
		c.Port = int(binary.BigEndian.Uint16(raw[2:]))
		c.Address = netip.AddrFrom16([16]byte(raw[8:24])).String()
	case family == unix.AF_UNIX:
		c.Address = unixAddress(raw[2:])
	case family == unix.AF_NETLINK && len(raw) >= 8:
		c.Address = strconv.FormatUint(uint64(binary.LittleEndian.Uint32(raw[4:])), 10)
	default:
		c.Address = fmt.Sprintf("%x", raw[2:])
	}
	return c
}

func unixAddress(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == 0 { // abstract: the length counts, not a NUL byte
		return "@" + strings.TrimRight(string(raw[1:]), "\x00")
	}
	name, _, _ := strings.Cut(string(raw), "\x00")
	return name
}

func familyName(family int) string {
	switch family {
	case unix.AF_INET:
		return "AF_INET"
	case unix.AF_INET6:
		return "AF_INET6"
	case unix.AF_UNIX:
		return "AF_UNIX"
	case unix.AF_NETLINK:
		return "AF_NETLINK"
	}
	return "AF_" + strconv.Itoa(family)
}

func (s *Supervisor) socketPath(e *event, name string) string {
	l := s.resolve(e, unix.AT_FDCWD, name, true)
	defer l.close()
	if l.path == "" {
		return path.Clean(name)
	}
	return l.path
}

// socketType asks the socket itself, through a duplicate of the descriptor;
// empty when it could not be had.
func (s *Supervisor) socketType(e *event, fd int32) string {
	socket, errno := s.duplicate(e, fd)
	if errno != 0 {
		return ""
	}
	defer unix.Close(socket)
	kind, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return ""
	}
	return typeName(kind)
}

// socketFamily is the family of a socket; empty when it could not be had.
func (s *Supervisor) socketFamily(e *event, fd int32) string {
	socket, errno := s.duplicate(e, fd)
	if errno != 0 {
		return ""
	}
	defer unix.Close(socket)
	family, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return ""
	}
	return familyName(family)
}

// duplicate is the caller's descriptor, here. It asks for the thread (6.9), which may
// have a table of descriptors of its own; an older kernel has the process.
func (s *Supervisor) duplicate(e *event, fd int32) (int, unix.Errno) {
	pidfd, err := unix.PidfdOpen(e.thread(), unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) {
		pidfd, err = unix.PidfdOpen(e.p.id.pid, 0)
	}
	if err != nil {
		return -1, errnoOf(err)
	}
	defer unix.Close(pidfd)
	own, err := unix.PidfdGetfd(pidfd, int(fd), 0)
	return own, errnoOf(err)
}

func typeName(kind int) string {
	names := [...]string{1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET", 10: "SOCK_PACKET"}
	if kind > 0 && kind < len(names) && names[kind] != "" {
		return names[kind]
	}
	return "SOCK_" + strconv.Itoa(kind)
}

// addConnection returns the index of the record.
func (s *Supervisor) addConnection(e *event, c evidence.Connection) int {
	key := strings.Join([]string{c.Syscall, c.Family, c.Address, strconv.Itoa(c.Port), c.Type}, " ")
	if i, seen := e.p.links[key]; seen {
		c := &e.p.record.Network.Connections[i]
		c.Count = max(c.Count, 1) + 1
		return i
	}
	s.records++
	network := &e.p.record.Network
	e.p.links[key] = len(network.Connections)
	network.Connections = append(network.Connections, c)
	if c.Port == 53 && c.Syscall != "bind" {
		network.DNSLookups = append(network.DNSLookups, evidence.DNSLookup{ServerAddress: c.Address, ServerPort: c.Port})
	}
	return e.p.links[key]
}

// onListen records the local address that a socket listens on.
func (s *Supervisor) onListen(e *event) {
	c := evidence.Connection{Syscall: e.name, Family: "AF_0", FD: int(int32(e.args[0])), Timestamp: e.at}
	if socket, errno := s.duplicate(e, int32(e.args[0])); errno == 0 {
		defer unix.Close(socket)
		localAddress(socket, &c)
	}
	s.addConnection(e, c)
}

func localAddress(socket int, c *evidence.Connection) {
	name, err := unix.Getsockname(socket)
	if err != nil {
		return
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		c.Family, c.Address, c.Port = "AF_INET", netip.AddrFrom4(a.Addr).String(), a.Port
	case *unix.SockaddrInet6:
		c.Family, c.Address, c.Port = "AF_INET6", netip.AddrFrom16(a.Addr).String(), a.Port
	case *unix.SockaddrUnix:
		c.Family, c.Address = "AF_UNIX", a.Name
	}
	if kind, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
		c.Type = typeName(kind)
	}
}

// onSocket records sockets of an unusual family or type.
func (s *Supervisor) onSocket(e *event) {
	family, kind := int(int32(e.args[0])), int(e.args[1]&0xf)
	usual := kind == unix.SOCK_STREAM || kind == unix.SOCK_DGRAM || kind == unix.SOCK_SEQPACKET
	switch family {
	case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6:
		if usual {
			return
		}
	case unix.AF_NETLINK:
		if e.args[2] == unix.NETLINK_ROUTE {
			return // getaddrinfo looks at the interfaces
		}
	default:
		if s.depth > 0 && family != unix.AF_PACKET {
			// Not all families end at a network namespace: AF_VSOCK reaches the machine
			// that runs this one.
			e.refuse = unix.EAFNOSUPPORT
			s.refusals[e.name]++
		}
	}
	s.records++
	network := &e.p.record.Network
	network.Sockets = append(network.Sockets, evidence.Socket{
		Family: familyName(family), Type: typeName(kind), Protocol: int(int32(e.args[2])), FD: -1,
	})
}
