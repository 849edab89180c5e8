package capture

import (
	"encoding/binary"
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
	s.address(e, int32(e.args[0]), e.args[1], e.args[2])
}

func (s *Supervisor) onSendto(e *event) {
	s.address(e, int32(e.args[0]), e.args[4], e.args[5])
}

func (s *Supervisor) onSendmsg(e *event) {
	s.message(e, int32(e.args[0]), e.args[1])
}

func (s *Supervisor) onSendmmsg(e *event) {
	for i := range min(e.args[2]&0xffffffff, maxMessages) {
		if !s.message(e, int32(e.args[0]), e.args[1]+i*sizeMmsghdr) {
			return
		}
	}
}

// message records the destination of one struct msghdr, when it has one.
func (s *Supervisor) message(e *event, fd int32, at uint64) bool {
	header, ok := s.words(e, at, sizeMsghdr/8)
	if !ok {
		return false
	}
	if name, length := header[0], header[1]&0xffffffff; name != 0 && length != 0 {
		return s.address(e, fd, name, length)
	}
	return true
}

func (s *Supervisor) address(e *event, fd int32, at, length uint64) bool {
	length = min(length&0xffffffff, maxAddress)
	if at == 0 || length < 2 {
		return true // fails in the kernel
	}
	raw := make([]byte, length)
	if readMemory(e.thread(), at, raw) != len(raw) {
		return s.unreadable(e, at)
	}
	if e.name != "connect" && binary.LittleEndian.Uint16(raw) == unix.AF_UNSPEC {
		// The kernel takes it for AF_INET here, see udp_sendmsg and inet_bind.
		binary.LittleEndian.PutUint16(raw, unix.AF_INET)
	}
	c := decodeAddress(raw)
	if c.Family == "AF_UNIX" && c.Address != "" && !strings.HasPrefix(c.Address, "@") {
		c.Address = s.socketPath(e, c.Address)
	}
	c.Syscall, c.FD, c.Timestamp, c.Type = e.name, int(fd), e.at, s.socketType(e, fd)
	s.addConnection(e, c)
	if s.options.Contact != nil && e.name != "bind" && (c.Family == "AF_INET" || c.Family == "AF_INET6") {
		network := "tcp"
		if c.Type == "SOCK_DGRAM" {
			network = "udp"
		}
		s.options.Contact(s.contact(e.p, network, c.Address, c.Port))
	}
	return true
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
	pidfd, err := unix.PidfdOpen(e.p.id.pid, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(pidfd)
	socket, err := unix.PidfdGetfd(pidfd, int(fd), 0)
	if err != nil {
		return ""
	}
	defer unix.Close(socket)
	kind, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return ""
	}
	return typeName(kind)
}

func typeName(kind int) string {
	names := [...]string{1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET", 10: "SOCK_PACKET"}
	if kind > 0 && kind < len(names) && names[kind] != "" {
		return names[kind]
	}
	return "SOCK_" + strconv.Itoa(kind)
}

func (s *Supervisor) addConnection(e *event, c evidence.Connection) {
	key := strings.Join([]string{c.Syscall, c.Family, c.Address, strconv.Itoa(c.Port), c.Type}, " ")
	if i, seen := e.p.links[key]; seen {
		c := &e.p.record.Network.Connections[i]
		c.Count = max(c.Count, 1) + 1
		return
	}
	s.records++
	network := &e.p.record.Network
	e.p.links[key] = len(network.Connections)
	network.Connections = append(network.Connections, c)
	if c.Port == 53 && c.Syscall != "bind" {
		network.DNSLookups = append(network.DNSLookups, evidence.DNSLookup{ServerAddress: c.Address, ServerPort: c.Port})
	}
}

// onListen records the local address that a socket listens on.
func (s *Supervisor) onListen(e *event) {
	c := evidence.Connection{Syscall: e.name, Family: "AF_0", FD: int(int32(e.args[0])), Timestamp: e.at}
	if pidfd, err := unix.PidfdOpen(e.p.id.pid, 0); err == nil {
		defer unix.Close(pidfd)
		if socket, err := unix.PidfdGetfd(pidfd, c.FD, 0); err == nil {
			defer unix.Close(socket)
			localAddress(socket, &c)
		}
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
	}
	s.records++
	network := &e.p.record.Network
	network.Sockets = append(network.Sockets, evidence.Socket{
		Family: familyName(family), Type: typeName(kind), Protocol: int(int32(e.args[2])), FD: -1,
	})
}
