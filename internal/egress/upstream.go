package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpproxy"

	"pip-witness/evidence"
)

// failure is why a page or file could not be had, and what the inside is told.
type failure struct {
	kind    ProblemKind
	status  int // for the inside: 404, 502 or 504
	message string
	again   bool // worth repeating
	wait    time.Duration
}

func (f *failure) Error() string { return f.message }

// upstream speaks to the real indexes.
type upstream struct {
	client      *http.Client
	transports  []*http.Transport
	credentials *credentials
	trusted     []origin
	timeout     time.Duration
	retries     int
	userAgent   string
	slots       chan struct{}
	secrets     []string // to be taken out of messages
}

func newUpstream(c Config, sources []*source) (*upstream, error) {
	trust, err := newTrust(c)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFunc(c)
	if err != nil {
		return nil, err
	}
	u := &upstream{
		timeout:   c.Timeout,
		retries:   max(0, c.Retries),
		userAgent: c.UserAgent,
		trusted:   origins(c.TrustedHosts),
		slots:     make(chan struct{}, maxUpstream),
	}
	if u.userAgent == "" {
		u.userAgent = "pip-witness"
	}
	if u.credentials, err = newCredentials(c, sources); err != nil {
		return nil, err
	}
	u.secrets = append(u.credentials.secrets(), userSecrets(c.Proxy)...)

	unverified := trust.Clone()
	unverified.InsecureSkipVerify = true // asked for by the user, for the trusted hosts alone
	u.transports = []*http.Transport{transport(c, trust, proxy), transport(c, unverified, proxy)}
	u.client = &http.Client{
		Transport:     roundTripper(u.roundTrip),
		CheckRedirect: u.checkRedirect,
	}
	return u, nil
}

func transport(c Config, trust *tls.Config, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyAnswer,
		DialContext:            (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    c.Timeout,
		ResponseHeaderTimeout:  c.Timeout,
		MaxResponseHeaderBytes: maxHeaderSize,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// proxyAnswer turns the refusal of a proxy into a failure of the right kind.
func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	switch {
	case answer.StatusCode == http.StatusOK:
		return nil
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return &failure{kind: Unauthorized, status: http.StatusBadGateway, message: "the proxy asks for credentials"}
	}
	return &failure{kind: Unreachable, status: http.StatusBadGateway, message: fmt.Sprintf("the proxy answered %d", answer.StatusCode), again: true}
}

// proxyFunc chooses the proxy of a request: pip's option for all of them, else
// the usual variables.
func proxyFunc(c Config) (func(*http.Request) (*url.URL, error), error) {
	if c.Proxy != "" {
		raw := c.Proxy
		if !strings.Contains(raw, "://") {
			raw = "http://" + raw
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("proxy %q: not a URL", evidence.RedactURL(raw))
		}
		return http.ProxyURL(u), nil
	}
	get := func(names ...string) string {
		for _, name := range names {
			if v := variable(c.Environ, name); v != "" {
				return v
			}
		}
		return ""
	}
	config := httpproxy.Config{
		HTTPProxy:  get("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
		HTTPSProxy: get("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
		NoProxy:    get("no_proxy", "NO_PROXY"),
	}
	choose := config.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u, err := choose(r.URL)
		if err != nil {
			return nil, errors.New("the proxy variable is not a URL") // the parser's text may quote a password
		}
		return u, nil
	}, nil
}

// roundTripper is a function that is an [http.RoundTripper].
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// roundTrip chooses by host whether certificates are verified.
func (u *upstream) roundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" && u.isTrusted(r.URL) {
		return u.transports[1].RoundTrip(r)
	}
	return u.transports[0].RoundTrip(r)
}

func (u *upstream) close() {
	for _, t := range u.transports {
		t.CloseIdleConnections()
	}
}

// pageKey marks the context of a request for a page: pip asks pages, unlike
// files, only from secure origins.
type pageKey struct{}

// checkRedirect follows a redirect with the credentials of its own target.
func (u *upstream) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: fmt.Sprintf("more than %d redirects", maxRedirects)}
	}
	if r.Context().Value(pageKey{}) != nil {
		if f := u.insecure(r.URL); f != nil {
			return f
		}
	}
	r.Header.Del("Authorization")
	r.Header.Del("Referer")
	u.credentials.apply(r)
	return nil
}

// insecure refuses a page over plain HTTP from elsewhere, as pip does.
func (u *upstream) insecure(target *url.URL) *failure {
	host := target.Hostname()
	ip := net.ParseIP(host)
	if target.Scheme == "https" || strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback() || u.isTrusted(target) {
		return nil
	}
	return &failure{kind: TLS, status: http.StatusBadGateway, message: "plain HTTP from a host that is not trusted (see --trusted-host)"}
}

// origin is a host, with a port or with any.
type origin struct{ host, port string }

func origins(entries []string) []origin {
	var all []origin
	for _, e := range entries {
		host, port, err := net.SplitHostPort(e)
		if err != nil {
			host, port = strings.Trim(e, "[]"), ""
		}
		all = append(all, origin{strings.ToLower(host), port})
	}
	return all
}

func (u *upstream) isTrusted(target *url.URL) bool {
	at := originOf(target)
	return slices.ContainsFunc(u.trusted, func(o origin) bool {
		return o.host == at.host && (o.port == "" || o.port == at.port)
	})
}

// originOf returns the host and port of a URL, the scheme's port when none is given.
func originOf(u *url.URL) origin {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return origin{strings.ToLower(u.Hostname()), port}
}

// get asks for a page or file, repeats where that may help, and returns the
// answer when its status is 200. The body reports a stall as a [failure].
func (u *upstream) get(ctx context.Context, method string, target *url.URL, accept string) (*http.Response, *failure) {
	select {
	case u.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, u.failure(ctx.Err())
	}
	release := sync.OnceFunc(func() { <-u.slots })
	for attempt := 1; ; attempt++ {
		answer, f := u.once(ctx, method, target, accept, release)
		if f == nil {
			return answer, nil
		}
		if !f.again || attempt > u.retries {
			release()
			return nil, f
		}
		select {
		case <-time.After(max(backoff(attempt), f.wait)):
		case <-ctx.Done():
			release()
			return nil, f
		}
	}
}

// backoff is the pause before the n-th repetition: none, then 0.5 s, 1 s, …
func backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(250*time.Millisecond<<min(n-1, 10), 8*time.Second)
}

// once makes one request.
func (u *upstream) once(ctx context.Context, method string, target *url.URL, accept string, release func()) (*http.Response, *failure) {
	ctx, cancel := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		cancel()
		return nil, u.failure(err)
	}
	r.Header.Set("User-Agent", u.userAgent)
	if accept != "" {
		r.Header.Set("Accept", accept)
		r.Header.Set("Cache-Control", "max-age=0")
	} else {
		r.Header.Set("Accept-Encoding", "identity") // the digest is of the bytes as stored
	}
	u.credentials.apply(r)
	answer, err := u.client.Do(r)
	if err != nil {
		cancel()
		return nil, u.failure(err)
	}
	if answer.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // 64 KiB: lets the connection be used again
		answer.Body.Close()
		cancel()
		return nil, statusFailure(answer)
	}
	answer.Body = u.newPatience(answer.Body, cancel, release)
	return answer, nil
}

// statusFailure names what a status other than 200 means.
func statusFailure(answer *http.Response) *failure {
	f := &failure{kind: UpstreamError, status: http.StatusBadGateway, message: fmt.Sprintf("the index answered %d", answer.StatusCode)}
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		f.kind, f.status = NotFound, http.StatusNotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		f.kind = Unauthorized
	case http.StatusTooManyRequests, 500, 502, 503, 504, 520, 527:
		f.again = true
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
			f.wait = min(time.Duration(max(0, seconds))*time.Second, 30*time.Second)
		}
	}
	return f
}

// failure names what an error of the transport means, without credentials.
func (u *upstream) failure(err error) *failure {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	var wrapper *url.Error
	if errors.As(err, &wrapper) {
		err = wrapper.Err // its own text has the URL with its user name
	}
	f := &failure{kind: UpstreamError, status: http.StatusBadGateway, message: evidence.RedactText(err.Error(), u.secrets), again: true}
	var network net.Error
	var op *net.OpError
	var name *net.DNSError
	switch {
	case isTLS(err):
		f.kind, f.again = TLS, false
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		f.kind, f.status = Unreachable, http.StatusGatewayTimeout
	case errors.As(err, &name), errors.As(err, &op), errors.Is(err, context.Canceled):
		f.kind = Unreachable
	}
	return f
}

// patience is a body that ends with a failure when no data comes for a while.
type patience struct {
	io.ReadCloser
	up      *upstream
	cancel  context.CancelFunc
	release func()
	timer   *time.Timer
	stalled atomic.Bool
}

func (u *upstream) newPatience(body io.ReadCloser, cancel context.CancelFunc, release func()) *patience {
	p := &patience{ReadCloser: body, up: u, cancel: cancel, release: release}
	p.timer = time.AfterFunc(u.timeout, func() {
		p.stalled.Store(true)
		cancel()
	})
	return p
}

func (p *patience) Read(b []byte) (int, error) {
	p.timer.Reset(p.up.timeout)
	n, err := p.ReadCloser.Read(b)
	p.timer.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case p.stalled.Load():
		return n, &failure{kind: Unreachable, status: http.StatusGatewayTimeout, message: fmt.Sprintf("no data for %v", p.up.timeout), again: true}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, &failure{kind: UpstreamError, status: http.StatusBadGateway, message: "the answer is cut off", again: true}
	}
	return n, p.up.failure(err)
}

func (p *patience) Close() error {
	p.timer.Stop()
	err := p.ReadCloser.Close()
	p.cancel()
	p.release()
	return err
}
