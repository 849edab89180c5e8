package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/proxy"

	"pip-witness/evidence"
)

// Limits of relays.
const (
	relayMaxOpen = 64              // connections at a time
	relayMaxAll  = 1000            // connections of a run
	relayIdle    = 2 * time.Minute // without a byte in either direction
	relayPiece   = 32 << 10        // 32 KiB are read at a time
	// maxProxyAnswer bounds the header with which a proxy answers CONNECT, in bytes.
	maxProxyAnswer = 64 << 10 // 64 KiB
)

// Relay passes connections on to the hosts that the user allows. It speaks no
// protocol: TLS ends inside and at the host. Its methods are safe for concurrent
// use.
type Relay struct {
	hosts   []Host
	timeout time.Duration
	trust   *tls.Config // for proxies that are asked over TLS
	proxy   func(*http.Request) (*url.URL, error)
	secrets []string
	open    atomic.Int32
	all     atomic.Int32
}

// NewRelay reads the proxy settings of the configuration; it opens no connection.
func NewRelay(c Config) (*Relay, error) {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	choose, err := proxyFunc(c)
	if err != nil {
		return nil, err
	}
	r := &Relay{hosts: slices.Clone(c.Allowed), timeout: c.Timeout, proxy: choose, secrets: userSecrets(c.Proxy)}
	if len(r.hosts) > 0 { // reading certificates takes time, and mostly there are none
		r.trust, err = newTrust(c)
	}
	return r, err
}

// Hosts are the hosts that connections are relayed to, in the order given.
func (r *Relay) Hosts() []Host { return slices.Clone(r.hosts) }

// allows tells whether the user allowed the address, or the name that was asked
// for before it was contacted.
func (r *Relay) allows(name, address string, port int) bool {
	return slices.ContainsFunc(r.hosts, func(h Host) bool { return h.is(name, port) || h.is(address, port) })
}

// errRelays is a relay that is not made because of its number.
var errRelays = errors.New("too many relayed connections")

// dial connects to the host, by the user's proxy where there is one.
func (r *Relay) dial(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	address := net.JoinHostPort(host, strconv.Itoa(port))
	via, err := r.proxyOf(address, port)
	if err != nil {
		return nil, err
	}
	direct := &net.Dialer{}
	switch {
	case via == nil:
		return direct.DialContext(ctx, "tcp", address)
	case via.Scheme == "http" || via.Scheme == "https":
		return r.connect(ctx, direct, via, address)
	}
	dialer, err := proxy.FromURL(via, direct)
	if err != nil {
		return nil, fmt.Errorf("proxy of scheme %q: %w", via.Scheme, err)
	}
	through, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("proxy of scheme %q is not supported", via.Scheme)
	}
	return through.DialContext(ctx, "tcp", address)
}

// proxyOf chooses as for a request of the scheme that the port is for.
func (r *Relay) proxyOf(address string, port int) (*url.URL, error) {
	scheme := "https"
	if port == 80 {
		scheme = "http"
	}
	return r.proxy(&http.Request{URL: &url.URL{Scheme: scheme, Host: address}})
}

// connect asks an HTTP proxy for a tunnel (RFC 9110, 9.3.6).
func (r *Relay) connect(ctx context.Context, direct *net.Dialer, via *url.URL, address string) (net.Conn, error) {
	at := originOf(via)
	conn, err := direct.DialContext(ctx, "tcp", net.JoinHostPort(at.host, at.port))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if via.Scheme == "https" {
		config := r.trust.Clone()
		config.ServerName = at.host
		conn = tls.Client(conn, config)
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if via.User != nil {
		password, _ := via.User.Password()
		request.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy: %w", err)
	}
	// The host behind the proxy may speak first, so not a byte more than the answer
	// is taken.
	//nolint:bodyclose // the body is the tunnel: closing it would read it to its end
	answer, err := http.ReadResponse(bufio.NewReaderSize(&oneByte{r: io.LimitReader(conn, maxProxyAnswer)}, 16), request)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		conn.Close()
		return nil, fmt.Errorf("the proxy answered %d", answer.StatusCode)
	}
	return conn, nil
}

// oneByte reads a byte at a time.
type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.r.Read(p[:1])
}

// pass relays one accepted connection to its end and completes its record.
// opened is what the inside sent first.
func (r *Relay) pass(ctx context.Context, inside net.Conn, host string, flow *Flow, find *finder) (opened []byte) {
	flow.Relayed = true
	outside, err := r.begin(ctx, host, flow.Port)
	if err != nil {
		flow.Error = evidence.RedactText(err.Error(), r.secrets)
		reset(inside)
		return nil
	}
	defer r.open.Add(-1)
	defer outside.Close()
	stop := context.AfterFunc(ctx, func() { outside.Close() })
	defer stop()
	idle := &idleTimer{conns: []net.Conn{inside, outside}}
	var back sync.WaitGroup
	var backErr error
	back.Go(func() {
		flow.Received, backErr = idle.copy(inside, outside, func([]byte) {})
	})
	sent, err := idle.copy(outside, inside, func(piece []byte) {
		opened = append(opened, piece[:min(len(piece), sinkHello-len(opened))]...)
		find.look(piece)
	})
	back.Wait()
	flow.Bytes = sent
	for _, err := range []error{err, backErr} {
		// What the other direction closed is its own news.
		if err != nil && !errors.Is(err, net.ErrClosed) && flow.Error == "" {
			flow.Error = evidence.RedactText(err.Error(), r.secrets)
		}
	}
	if flow.Error != "" {
		reset(inside)
	}
	return opened
}

// begin counts a relay and makes its connection outside.
func (r *Relay) begin(ctx context.Context, host string, port int) (net.Conn, error) {
	if r.open.Add(1) > relayMaxOpen || r.all.Add(1) > relayMaxAll {
		r.open.Add(-1)
		return nil, errRelays
	}
	conn, err := r.dial(ctx, host, port)
	if err != nil {
		r.open.Add(-1)
	}
	return conn, err
}

// reset makes the peer see that the connection broke, not that it ended.
func reset(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // fails only when it is closed already
	}
	_ = conn.Close()
}

// idleTimer ends the connections of a relay when no byte moves for a while.
type idleTimer struct{ conns []net.Conn }

func (t *idleTimer) moved() {
	for _, c := range t.conns {
		// A deadline that cannot be set means that the connection is closed.
		_ = c.SetDeadline(time.Now().Add(relayIdle))
	}
}

// copy passes one direction on until its end, which it passes on too.
func (t *idleTimer) copy(to, from net.Conn, see func([]byte)) (int64, error) {
	var n int64
	buf := make([]byte, relayPiece)
	for {
		t.moved()
		got, err := from.Read(buf)
		if got > 0 {
			see(buf[:got])
			if _, err := to.Write(buf[:got]); err != nil {
				_ = from.Close() // nobody takes what it sends
				return n, err
			}
			n += int64(got)
		}
		if err == nil {
			continue
		}
		if half, ok := to.(interface{ CloseWrite() error }); ok && errors.Is(err, io.EOF) {
			_ = half.CloseWrite() // the other direction goes on
			return n, nil
		}
		_ = to.Close()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
}
