package egress

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	testProcess = 7
	testWait    = 30 * time.Second
)

// tunnels is a proxy that knows one host, and what it was asked with.
type tunnels struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string
	logins []string
}

func newTunnels(t *testing.T, host, at string) *tunnels {
	p := &tunnels{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked, p.logins = append(p.asked, r.Method+" "+r.Host), append(p.logins, r.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		if r.Method != http.MethodConnect || r.Host != host {
			http.Error(w, "unknown", http.StatusBadGateway)
			return
		}
		server, err := net.Dial("tcp", at)
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		client, rest, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(server, rest)
			_ = server.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(client, server)
	}))
	t.Cleanup(p.Close)
	return p
}

// greeter speaks first, then answers every line with itself.
func greeter(t *testing.T, config *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintln(conn, "hello")
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

// relaying is a sinkhole with a relay; inside is where a process would connect to.
func relaying(t *testing.T, c Config, allowed ...string) (*Sinkhole, func(name, address string, port int, installer bool) net.Conn) {
	t.Helper()
	for _, text := range allowed {
		h, err := ParseHost(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Allowed = append(c.Allowed, h)
	}
	s := NewSinkhole(func(string, int) int { return testProcess })
	var err error
	if s.Relay, err = NewRelay(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	at := map[string]string{}
	listen := onLoopback(t, at)
	return s, func(name, address string, port int, installer bool) net.Conn {
		t.Helper()
		if name != "" {
			address = s.asked(Query{Name: name}).String()
		}
		s.Contact(Contact{
			Network: "tcp", Address: address, Port: port, Process: testProcess, Installer: func() bool { return installer },
		}, listen)
		conn, err := net.Dial("tcp", at[fmt.Sprintf("tcp %s:%d", address, port)])
		if errors.Is(err, syscall.ECONNRESET) {
			return broken{err: err} // the relay ended before the connection was seen
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(testWait)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

// broken is a connection that was reset at once.
type broken struct {
	net.Conn
	err error
}

func (b broken) Read([]byte) (int, error) { return 0, b.err }
func (b broken) Close() error             { return nil }

func onlyFlow(t *testing.T, s *Sinkhole) Flow {
	t.Helper()
	s.Close()
	flows := s.Flows()
	if len(flows) != 1 {
		t.Fatalf("%d flows, want 1: %+v", len(flows), flows)
	}
	return flows[0]
}

func TestRelayThroughProxy(t *testing.T) {
	p := newTunnels(t, "files.example:8080", greeter(t, nil))
	proxied := strings.Replace(p.URL, "http://", "http://me:pr0xy@", 1)
	s, connect := relaying(t, Config{Environ: []string{"https_proxy=" + proxied}}, "files.example:8080")
	conn := connect("Files.Example", "", 8080, true)
	lines := bufio.NewReader(conn)
	if first, err := lines.ReadString('\n'); err != nil || first != "hello\n" {
		t.Fatalf("greeting %q (%v)", first, err)
	}
	fmt.Fprint(conn, "Authorization: secret\n")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || string(rest) != "Authorization: secret\n" {
		t.Errorf("answer %q (%v)", rest, err)
	}
	f := onlyFlow(t, s)
	if !f.Relayed || f.Hostname != "Files.Example" || f.Port != 8080 || f.Bytes != 22 || f.Received != 28 || f.Process != testProcess || f.FirstBytes != "" || f.Error != "" {
		t.Errorf("flow %+v", f)
	}
	if len(p.asked) != 1 || p.asked[0] != "CONNECT files.example:8080" || p.logins[0] != "Basic bWU6cHIweHk=" {
		t.Errorf("the proxy was asked %q as %q", p.asked, p.logins)
	}
}

func TestRelayKeepsTLSWhole(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	p := newTunnels(t, "example.com:443", greeter(t, &tls.Config{Certificates: server.TLS.Certificates}))
	s, connect := relaying(t, Config{Environ: []string{"https_proxy=" + p.URL}}, "example.com")
	config := &tls.Config{ServerName: "example.com", RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	conn := tls.Client(connect("example.com", "", 443, true), config)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || line != "hello\n" {
		t.Fatalf("greeting %q (%v)", line, err)
	}
	conn.Close()
	if f := onlyFlow(t, s); !f.Relayed || f.ServerName != "example.com" || f.FirstBytes == "" || f.Bytes == 0 || f.Received == 0 {
		t.Errorf("flow %+v", f)
	}
}

func TestRelayRedactsRequests(t *testing.T) {
	p := newTunnels(t, "files.example:80", greeter(t, nil))
	s, connect := relaying(t, Config{Environ: []string{"http_proxy=" + p.URL}}, "files.example")
	conn := connect("files.example", "", 80, true)
	fmt.Fprint(conn, "GET /a?token=hunter2 HTTP/1.1\r\nHost: files.example\r\nAuthorization: Basic aHVudGVyMg==\r\n\r\n")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	if f := onlyFlow(t, s); !f.Relayed || f.HTTPHost != "files.example" || f.HTTPRequest != "GET /a" || f.FirstBytes != "" {
		t.Errorf("flow %+v", f)
	}
}

func TestNotRelayed(t *testing.T) {
	var reached atomic.Int32
	count := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer count.Close()
	for _, c := range []struct {
		name, host, address string
		port                int
		installer           bool
	}{
		{"package code", "files.example", "", 8080, false},
		{"another port", "files.example", "", 81, true},
		{"another host", "other.example", "", 8080, true},
		{"a host below it", "a.files.example", "", 8080, true},
		{"an address that nobody asked for", "", "203.0.113.9", 8080, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, connect := relaying(t, Config{Environ: []string{"http_proxy=" + count.URL, "https_proxy=" + count.URL}}, "files.example:8080", "203.0.113.8")
			conn := connect(c.host, c.address, c.port, c.installer)
			fmt.Fprint(conn, "data")
			conn.Close()
			if f := onlyFlow(t, s); f.Relayed || f.Bytes != 4 {
				t.Errorf("flow %+v", f)
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections went out", n)
	}
}

// A number of a process is used again by another that may not.
func TestPermitIsDecidedAnew(t *testing.T) {
	s, connect := relaying(t, Config{Environ: []string{"https_proxy=http://127.0.0.1:1"}}, "files.example:8080")
	connect("files.example", "", 8080, true).Close()
	address := s.asked(Query{Name: "files.example"})
	if _, ok := s.relayed(testProcess, address.String(), 8080); !ok {
		t.Fatal("the installer is not relayed")
	}
	s.Contact(Contact{Network: "udp", Address: address.String(), Port: 8080, Process: testProcess}, onLoopback(t, map[string]string{}))
	if _, ok := s.relayed(testProcess, address.String(), 8080); !ok {
		t.Error("a datagram took the permit away")
	}
	connect("files.example", "", 8080, false).Close()
	if _, ok := s.relayed(testProcess, address.String(), 8080); ok {
		t.Error("another process with the same number is relayed")
	}
	if _, ok := s.relayed(0, address.String(), 8080); ok {
		t.Error("a process that is not known is relayed")
	}
}

func TestRelayResetsWhenTheHostIsNotThere(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	defer refusing.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			conn.Close()
		}
	}()
	for _, c := range []struct{ name, proxy, want string }{
		{"the proxy refuses", strings.Replace(refusing.URL, "http://", "http://me:pr0xy@", 1), "the proxy answered 404"},
		{"the proxy says nothing", "http://me:pr0xy@" + silent.Addr().String(), "proxy: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, connect := relaying(t, Config{Environ: []string{"https_proxy=" + c.proxy}}, "192.0.2.7")
			conn := connect("", "192.0.2.7", 8443, true)
			if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer saw %v, want a reset", err)
			}
			if f := onlyFlow(t, s); !f.Relayed || f.Bytes != 0 || !strings.Contains(f.Error, c.want) || strings.Contains(f.Error, "pr0xy") {
				t.Errorf("flow %+v, want the error %q", f, c.want)
			}
		})
	}
}

func TestRelaysAreBounded(t *testing.T) {
	r, err := NewRelay(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r.open.Store(relayMaxOpen)
	if _, err := r.begin(t.Context(), "192.0.2.7", 1); !errors.Is(err, errRelays) {
		t.Errorf("beyond the limit: %v", err)
	}
	if n := r.open.Load(); n != relayMaxOpen {
		t.Errorf("%d are counted as open, want %d", n, relayMaxOpen)
	}
}

// The sandbox ends while a relay is open.
func TestCloseEndsRelays(t *testing.T) {
	p := newTunnels(t, "files.example:8080", greeter(t, nil))
	s, connect := relaying(t, Config{Environ: []string{"https_proxy=" + p.URL}}, "files.example")
	conn := connect("files.example", "", 8080, true)
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatalf("greeting %q (%v)", line, err)
	}
	if f := onlyFlow(t, s); !f.Relayed || f.Received != 6 {
		t.Errorf("flow %+v", f)
	}
}

func TestCallerOfTheGateway(t *testing.T) {
	owner := testProcess
	s := NewSinkhole(func(string, int) int { return owner })
	s.Gateway = netip.MustParseAddrPort("127.0.0.1:3141")
	defer s.Close()
	refuse := func(string, string, int) (*os.File, error) {
		t.Error("a socket was opened on loopback")
		return nil, os.ErrInvalid
	}
	contact := func(process, port int, installer bool) {
		s.Contact(Contact{Network: "tcp", Address: "127.0.0.1", Port: port, Process: process, Installer: func() bool { return installer }}, refuse)
	}
	contact(testProcess, 3141, true)
	contact(8, 3141, false)
	contact(9, 3142, true)
	for process, want := range map[int]bool{testProcess: true, 8: false, 9: false, 0: false} {
		owner = process
		if got, ok := s.Caller(40000); got != process || ok != want {
			t.Errorf("process %d is the installer's: %t, want %t", got, ok, want)
		}
	}
}

func TestAllowedNameIsAnsweredLikeAnyOther(t *testing.T) {
	s, _ := relaying(t, Config{}, "files.example")
	var m dnsmessage.Message
	if err := m.Unpack(s.answer(question(t, "files.example.", dnsmessage.TypeA), 0, "192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	a, ok := m.Answers[0].Body.(*dnsmessage.AResource)
	if !ok || !netip.MustParsePrefix("198.18.0.0/15").Contains(netip.AddrFrom4(a.A)) {
		t.Errorf("answer %+v", m.Answers)
	}
}
