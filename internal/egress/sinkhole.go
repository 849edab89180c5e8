package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"pip-witness/evidence"
)

// Limits of the sinkhole. What a peer sends beyond them is read and dropped.
const (
	sinkFirstBytes = 512              // bytes of a flow that are kept
	sinkHello      = 16 << 10         // 16 KiB: the largest TLS or HTTP opening that is parsed
	sinkFlowTime   = 20 * time.Second // a flow is closed after that
	sinkIdle       = 5 * time.Second  // or when nothing comes for that long
	sinkMaxFlows   = 10_000
	sinkMaxQueries = 10_000
)

// Sinkhole is everything that the sandbox can reach besides the index gateway:
// it accepts what is sent to any address, answers names with made-up addresses,
// records both and sends nothing out, except to the hosts of its Relay. Its
// methods are safe for concurrent use.
type Sinkhole struct {
	// Owner tells which process inside has the socket with that local port, by its
	// number inside; 0 when it is not known. It is called while the peer waits.
	Owner func(network string, port int) int
	// Canaries are looked for in everything that is sent and asked. They are set
	// before the first contact.
	Canaries []Canary
	// Relay has the hosts that the installer's processes reach; nil is none. Gateway
	// is the index gateway's address inside. Both are set before the first contact.
	Relay   *Relay
	Gateway netip.AddrPort

	ctx     context.Context // ends relays
	cancel  context.CancelFunc
	mu      sync.Mutex
	open    map[string]bool // "network address:port" that are served
	closers []func() error  // of listening sockets
	streams map[net.Conn]bool
	permits map[permit]bool
	names   map[netip.Addr]string
	given   map[string]netip.Addr
	flows   []Flow
	queries []Query
	dropped int
	closed  bool
	active  sync.WaitGroup
}

// Canary is a value that nobody has a reason to send.
type Canary struct{ Name, Value string }

// Flow is one connection, or the datagrams from one socket, to an address that
// is not there.
type Flow struct {
	Process int // as of Owner
	evidence.Flow
}

// Query is one question to the name service.
type Query struct {
	Process int
	Server  string // the address asked
	Name    string // without final dot
	Type    string // "A", "AAAA", "TXT" …
	Time    time.Time
	// Canaries are those whose value was in the name, with or without its dots.
	Canaries []string
}

// NewSinkhole returns a sinkhole that serves nothing yet.
func NewSinkhole(owner func(network string, port int) int) *Sinkhole {
	ctx, cancel := context.WithCancel(context.Background())
	return &Sinkhole{
		Owner: owner, ctx: ctx, cancel: cancel, open: map[string]bool{}, streams: map[net.Conn]bool{}, permits: map[permit]bool{},
		names: map[netip.Addr]string{}, given: map[string]netip.Addr{},
	}
}

// Contact is an address that a process inside is about to contact.
type Contact struct {
	Network string // "tcp" or "udp"
	Address string
	Port    int
	Process int // its number inside
	// Installer tells whether the process is one of the installer's own; it is asked
	// where that matters, and nil is no.
	Installer func() bool
}

// Contact makes sure that somebody listens at the address, by way of listen,
// which opens a socket inside: "tcp" or "udp". Loopback is the sandbox's own
// business. It is called before the kernel is let to make the contact, and
// decides for this contact whether it is relayed.
func (s *Sinkhole) Contact(c Contact, listen func(network, address string, port int) (*os.File, error)) {
	network, address, port := c.Network, c.Address, c.Port
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return
	}
	s.decide(c, ip.Unmap())
	if ip.Unmap().IsLoopback() || ip.Unmap().IsUnspecified() || ip.Unmap().IsMulticast() {
		return
	}
	key := fmt.Sprintf("%s %s:%d", network, address, port)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] || s.closed || len(s.open) >= sinkMaxFlows {
		return
	}
	s.open[key] = true
	file, err := listen(network, address, port)
	if err != nil {
		return // the address is taken inside: the package talks to itself
	}
	defer file.Close()
	if network == "tcp" {
		s.serveStream(file, address, port)
		return
	}
	s.servePackets(file, address, port)
}

func (s *Sinkhole) serveStream(file *os.File, address string, port int) {
	listener, err := net.FileListener(file)
	if err != nil {
		return
	}
	s.closers = append(s.closers, listener.Close)
	s.active.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.active.Go(func() { s.stream(conn, address, port) })
		}
	})
}

// stream reads one connection to its end.
func (s *Sinkhole) stream(conn net.Conn, address string, port int) {
	defer s.hold(conn)()
	flow := Flow{Flow: evidence.Flow{Protocol: "tcp", Address: address, Port: port, Timestamp: time.Now().UTC()}}
	if peer, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		flow.Process = s.Owner("tcp", peer.Port)
	}
	if port == dnsPort {
		s.answerStream(conn, flow.Process, address)
		return
	}
	if host, ok := s.relayed(flow.Process, address, port); ok {
		s.relay(conn, host, flow)
		return
	}
	deadline := time.Now().Add(sinkFlowTime)
	var opening []byte
	find := s.finder()
	buf := make([]byte, 16<<10) // 16 KiB
	for time.Now().Before(deadline) {
		// A deadline that cannot be set leaves the connection to be closed at the end.
		_ = conn.SetReadDeadline(time.Now().Add(sinkIdle))
		n, err := conn.Read(buf)
		opening = append(opening, buf[:min(n, sinkHello-len(opening))]...)
		find.look(buf[:n])
		flow.Bytes += int64(n)
		if err != nil {
			break
		}
	}
	flow.Canaries = find.names()
	s.record(flow, opening)
}

func (s *Sinkhole) servePackets(file *os.File, address string, port int) {
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return
	}
	s.closers = append(s.closers, conn.Close)
	s.active.Go(func() {
		buf := make([]byte, 64<<10) // the largest datagram
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			process := 0
			if peer, ok := from.(*net.UDPAddr); ok {
				process = s.Owner("udp", peer.Port)
			}
			if port == dnsPort {
				if reply := s.answer(buf[:n], process, address); reply != nil {
					_, _ = conn.WriteTo(reply, from) // the asker may be gone
				}
				continue
			}
			flow := Flow{Process: process, Flow: evidence.Flow{
				Protocol: "udp", Address: address, Port: port, Bytes: int64(n), Timestamp: time.Now().UTC(),
			}}
			find := s.finder()
			find.look(buf[:n])
			flow.Canaries = find.names()
			s.record(flow, buf[:min(n, sinkHello)])
		}
	})
}

// relay passes a connection on. What it carries may hold credentials, so of its
// beginning only a TLS hello is kept, which has none.
func (s *Sinkhole) relay(conn net.Conn, host string, flow Flow) {
	find := s.finder()
	opening := s.Relay.pass(s.ctx, conn, host, &flow, find)
	flow.Canaries = find.names()
	s.record(flow, opening)
}

// record keeps a flow; datagrams of one process to one address are one flow.
func (s *Sinkhole) record(flow Flow, opening []byte) {
	flow.FirstBytes = base64.StdEncoding.EncodeToString(opening[:min(len(opening), sinkFirstBytes)])
	flow.ServerName = serverName(opening)
	flow.HTTPHost, flow.HTTPRequest = httpRequest(opening)
	if flow.Relayed {
		flow.HTTPRequest = withoutSecrets(flow.HTTPRequest)
		if !isHandshake(opening) {
			flow.FirstBytes = ""
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ip, err := netip.ParseAddr(flow.Address); err == nil {
		flow.Hostname = s.names[ip.Unmap()]
	}
	if flow.Protocol == "udp" {
		same := func(f Flow) bool {
			return f.Protocol == "udp" && f.Process == flow.Process && f.Address == flow.Address && f.Port == flow.Port
		}
		if i := slices.IndexFunc(s.flows, same); i >= 0 {
			s.flows[i].Bytes += flow.Bytes
			s.flows[i].Canaries = append(s.flows[i].Canaries, flow.Canaries...)
			slices.Sort(s.flows[i].Canaries)
			s.flows[i].Canaries = slices.Compact(s.flows[i].Canaries)
			return
		}
	}
	if len(s.flows) >= sinkMaxFlows {
		s.dropped++
		return
	}
	s.flows = append(s.flows, flow)
}

// errHello ends the handshake after its first message.
var errHello = errors.New("hello seen")

// serverName is the server name of a TLS ClientHello, empty when there is none.
func serverName(opening []byte) string {
	if !isHandshake(opening) {
		return ""
	}
	var name string
	server := tls.Server(&replay{Reader: bytes.NewReader(opening)}, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errHello
		},
	})
	_ = server.HandshakeContext(context.Background()) // always fails: the name is all that is wanted
	return name
}

// isHandshake tells that a stream begins with a TLS handshake record.
func isHandshake(opening []byte) bool { return len(opening) >= 6 && opening[0] == 22 }

// withoutSecrets is a request line without the query, which may hold a token.
func withoutSecrets(line string) string {
	line, _, _ = strings.Cut(line, "?")
	return evidence.RedactText(line, nil)
}

// replay is a connection that reads what was read already and writes nowhere.
type replay struct {
	net.Conn
	*bytes.Reader
}

func (r *replay) Read(p []byte) (int, error)       { return r.Reader.Read(p) }
func (r *replay) Write(p []byte) (int, error)      { return len(p), nil }
func (r *replay) Close() error                     { return nil }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

// httpRequest is the host and the request line of an HTTP/1 request; both are
// empty for anything else. Nothing in it is a secret of the user: none is inside.
func httpRequest(opening []byte) (host, line string) {
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(opening)))
	if err != nil {
		return "", ""
	}
	line = request.Method + " " + request.RequestURI
	return request.Host, line[:min(len(line), sinkFirstBytes)]
}

// hold lets Close end a connection; the returned function closes it.
func (s *Sinkhole) hold(conn net.Conn) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[conn] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, conn)
		_ = conn.Close() // nothing is to be flushed
	}
}

// Waits of Close, for what the processes sent before they ended.
const (
	sinkAccept = 20 * time.Millisecond // for connections that are not accepted yet
	sinkFinish = 2 * time.Second       // for accepted ones to be read to their end
)

// Close ends all flows and waits for their records. Every process inside should
// have ended before.
func (s *Sinkhole) Close() {
	s.mu.Lock()
	closers := s.closers
	s.closers, s.closed = nil, true
	s.mu.Unlock()
	defer s.cancel()
	if len(closers) == 0 {
		return
	}
	time.Sleep(sinkAccept)
	for _, f := range closers {
		_ = f() // closing twice is no harm
	}
	finished := make(chan struct{})
	go func() {
		s.active.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return
	case <-time.After(sinkFinish):
	}
	s.cancel()
	s.mu.Lock()
	for conn := range s.streams {
		_ = conn.Close()
	}
	s.mu.Unlock()
	<-finished
}

// Flows are what was sent, in order; Queries what was asked. Dropped counts
// records beyond the limits. They are final after Close.
func (s *Sinkhole) Flows() []Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.flows)
}

// Queries are the questions to the name service, in order.
func (s *Sinkhole) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// Dropped is how many records were left out at a limit.
func (s *Sinkhole) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Host is the name that was asked for before the address was contacted; empty
// when none was.
func (s *Sinkhole) Host(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[ip.Unmap()]
}
