package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pip-witness/evidence"
)

// Limits on repositories.
const (
	maxRepositoryRequest = 64 << 20        // 64 MiB: one request of git, a list of commits
	repositoryWait       = 2 * time.Minute // for an answer to begin: the server counts objects
)

// sites are the servers of git repositories that the user's own requirements
// name. git inside gets each as a path of the gateway, by the insteadOf setting,
// so that requirement, clone and direct_url.json keep the true URL, submodules on
// the same server come the same way, and user name and password stay outside.
type sites struct {
	config    Config
	transport *http.Transport // nil without any site
	up        *upstream

	mu     sync.Mutex
	all    []*site
	logins []login           // each for one repository
	moved  map[string]string // repository → where its server redirected it
}

// site is one server: scheme, host and port.
type site struct {
	number int
	prefix string // "https://host/", as the requirement spells it
	url    *url.URL
}

// open makes the way to the servers, with the user's own certificate settings for
// git where there are any.
func (s *sites) open() error {
	c := s.config
	for _, name := range []string{"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"} {
		if path := variable(c.Environ, name); path != "" {
			c.Cert = path
			break
		}
	}
	trust, err := newTrust(c)
	if err != nil {
		return err
	}
	proxy, err := proxyFunc(c)
	if err != nil {
		return err
	}
	s.transport = transport(c, trust, proxy)
	s.transport.ResponseHeaderTimeout = repositoryWait
	s.transport.DisableCompression = true // git's own encodings pass through
	return nil
}

func (s *sites) get(n int) *site {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 0 || n >= len(s.all) {
		return nil
	}
	return s.all[n]
}

// ErrRepository is a URL that cannot be served as a repository.
var ErrRepository = errors.New("not an http or https URL of a repository")

// AddRepository makes the repository of a requirement (git+https://…, here without
// "git+", revision and fragment) available inside to the installer's processes,
// with the user name and password of the URL. Nothing is fetched yet.
func (g *Gateway) AddRepository(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("repository %q: %w", evidence.RedactURL(raw), ErrRepository)
	}
	s := &g.sites
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if u.User != nil {
		s.logins = append(s.logins, login{u.Scheme, originOf(u), repositoryPath(u.Path), u.User})
		s.up.secrets = append(s.up.secrets, userTexts(u.User)...)
	}
	prefix := u.Scheme + "://" + u.Host + "/"
	if !slices.ContainsFunc(s.all, func(known *site) bool { return known.prefix == prefix }) {
		s.all = append(s.all, &site{len(s.all), prefix, &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}})
	}
	return nil
}

// HasRepositories tells whether a repository was added.
func (g *Gateway) HasRepositories() bool { return g.sites.get(0) != nil }

// GitEnviron is the environment, as NAME=VALUE, with which git inside asks the
// gateway for the repositories that were added, and nobody for a password. It needs
// git 2.31; an older one finds the server itself, like any other process.
func (g *Gateway) GitEnviron() []string {
	g.sites.mu.Lock()
	defer g.sites.mu.Unlock()
	if len(g.sites.all) == 0 {
		return nil
	}
	settings := [][2]string{
		{"credential.helper", ""},                // forgets those of the machine
		{"http." + g.base + "/.proxy", ""},       // the gateway is on loopback
		{"http." + g.base + "/.extraHeader", ""}, // forgets those of the machine
	}
	for _, s := range g.sites.all {
		settings = append(settings, [2]string{"url." + g.base + "/g/" + strconv.Itoa(s.number) + "/.insteadOf", s.prefix})
	}
	env := []string{"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings))}
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return env
}

// repositoryPath is the path of a repository without what servers take as optional.
func repositoryPath(path string) string {
	return strings.TrimSuffix(strings.TrimRight(path, "/"), ".git")
}

// The two requests of a fetch over smart HTTP (gitprotocol-http(5)). Nothing else
// is passed on: not the file by file protocol, and nothing that writes.
const (
	gitRefs   = "/info/refs"
	gitFetch  = "/git-upload-pack"
	gitQuery  = "service=git-upload-pack"
	gitAnswer = "application/x-git-upload-pack-"
)

// peer is the process at the other end of a connection. It is looked up once, at
// the first request: a child of it may have the same socket later.
type peer struct {
	once      sync.Once
	process   int
	installer bool
}

type peerKey struct{}

// connContext gives every connection a peer.
func connContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, new(peer))
}

// caller tells who made the request, and whether it may have repositories.
func (g *Gateway) caller(r *http.Request) (process int, installer bool) {
	if g.Caller == nil {
		return 0, true
	}
	p, known := r.Context().Value(peerKey{}).(*peer)
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if !known || err != nil {
		return 0, false
	}
	p.once.Do(func() { p.process, p.installer = g.Caller(int(from.Port())) })
	return p.process, p.installer
}

// serveRepository passes one request of git on to the real server.
func (g *Gateway) serveRepository(w http.ResponseWriter, r *http.Request, n int, path string) {
	at := g.sites.get(n)
	refs := r.Method == http.MethodGet && strings.HasSuffix(path, gitRefs) && r.URL.RawQuery == gitQuery
	fetch := r.Method == http.MethodPost && strings.HasSuffix(path, gitFetch) && r.URL.RawQuery == ""
	if at == nil || !refs && !fetch {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	process, installer := g.caller(r)
	if !installer {
		g.records.intruder(g.now(), r, g.secret)
		http.Error(w, "for the installer only", http.StatusForbidden)
		return
	}
	target, err := url.Parse(at.prefix + path)
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	user := g.sites.user(target)
	if now := g.sites.current(target); now != target {
		if originOf(now) != originOf(target) {
			user = g.sites.user(now)
		}
		target = now
	}
	target.RawQuery = r.URL.RawQuery
	target.User = user
	f := g.newRepositoryFlow(process, r.Method, target)
	if failed := g.forward(w, r, target, &f); failed != nil {
		f.Error = failed.message
		g.records.problem(Problem{Kind: failed.kind, URL: plainURL(target), Message: failed.message, Time: g.now()})
	}
	g.records.flow(f)
}

func (g *Gateway) newRepositoryFlow(process int, method string, target *url.URL) Flow {
	f := Flow{Process: process, Flow: evidence.Flow{
		Protocol: "tcp", Hostname: target.Hostname(), HTTPHost: target.Host,
		HTTPRequest: withoutSecrets(method + " " + target.EscapedPath()), Relayed: true, Timestamp: g.now().UTC(),
	}}
	if inside, err := netip.ParseAddrPort(g.addr); err == nil {
		f.Address, f.Port = inside.Addr().String(), int(inside.Port())
	}
	return f
}

// forward makes the request outside and answers with what came. Of a failure the
// inside learns one word.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, target *url.URL, f *Flow) *failure {
	answer, sent, failed := g.sites.ask(r, target)
	f.Bytes = sent.n.Load()
	if failed != nil {
		if r.Context().Err() == nil {
			http.Error(w, string(failed.kind), failed.status)
		}
		return failed
	}
	defer answer.Body.Close()
	for _, name := range []string{"Content-Type", "Content-Encoding", "Cache-Control"} {
		if v := answer.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	received, err := io.Copy(flushing{w}, io.LimitReader(answer.Body, maxFileSize))
	f.Bytes, f.Received = sent.n.Load(), received
	if err == nil || r.Context().Err() != nil {
		return nil // to its end, or git went away
	}
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		connection.Close() // half an answer must not look whole
	}
	return g.upstream.failure(err)
}

// counter counts what is read through it; the transport may still read when the
// answer is there.
type counter struct {
	io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// flushing sends every piece at once: git shows its progress.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}

// ask makes one request of git outside, with the credentials of the repository.
// Only the list of references may be redirected, as git does it, and only to a
// host that the user named or allowed.
func (s *sites) ask(r *http.Request, target *url.URL) (*http.Response, *counter, *failure) {
	sent := &counter{Reader: http.MaxBytesReader(nil, r.Body, maxRepositoryRequest)}
	var body io.Reader
	if r.Method == http.MethodPost {
		body = sent
	}
	plain := *target
	plain.User = nil
	request, err := http.NewRequestWithContext(r.Context(), r.Method, plain.String(), body)
	if err != nil {
		return nil, sent, s.up.failure(err)
	}
	for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "Git-Protocol", "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			request.Header.Set(name, v)
		}
	}
	if body != nil {
		request.ContentLength = r.ContentLength
	}
	authorize(request, target.User)
	client := http.Client{Transport: s.transport, CheckRedirect: s.redirect}
	answer, err := client.Do(request)
	if err != nil {
		return nil, sent, s.up.failure(err)
	}
	if failed := repositoryFailure(answer); failed != nil {
		answer.Body.Close()
		return nil, sent, failed
	}
	s.remember(target, answer.Request.URL)
	return answer, sent, nil
}

func repositoryFailure(answer *http.Response) *failure {
	if answer.StatusCode != http.StatusOK {
		failed := statusFailure(answer)
		failed.message = fmt.Sprintf("the server answered %d", answer.StatusCode)
		if failed.status != http.StatusNotFound {
			failed.status = http.StatusForbidden // git would repeat, or ask for a password
		}
		return failed
	}
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, gitAnswer) {
		return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: "the server does not speak git's smart HTTP protocol"}
	}
	return nil
}

// redirect follows the list of references to where the user allows.
func (s *sites) redirect(r *http.Request, via []*http.Request) error {
	refuse := func(format string, args ...any) error {
		return &failure{kind: UpstreamError, status: http.StatusForbidden, message: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(via) > maxRedirects:
		return refuse("more than %d redirects", maxRedirects)
	case via[0].Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, gitRefs):
		return refuse("the server redirects to %q", plainURL(r.URL))
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return refuse("the server redirects to %q, which is not encrypted", plainURL(r.URL))
	case !s.reachable(r.URL):
		return refuse("the server redirects to another host, %q: see --allow-host", plainURL(r.URL))
	}
	r.Header.Del("Authorization")
	r.Header.Del("Referer")
	if originOf(r.URL) == originOf(via[0].URL) {
		// The same repository under its new name.
		if user, password, ok := via[0].BasicAuth(); ok {
			r.SetBasicAuth(user, password)
		}
		return nil
	}
	authorize(r, s.user(r.URL))
	return nil
}

// reachable tells whether the user named or allowed the host of a URL.
func (s *sites) reachable(u *url.URL) bool {
	at := originOf(u)
	port, err := strconv.Atoi(at.port)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	named := func(known *site) bool { return known.url.Scheme == u.Scheme && originOf(known.url) == at }
	return slices.ContainsFunc(s.all, named) || slices.ContainsFunc(s.config.Allowed, func(h Host) bool { return h.is(at.host, port) })
}

// user is who asks for a repository: as the requirement's URL has it, for this
// repository alone, or as netrc has it for the host; nil is nobody.
func (s *sites) user(u *url.URL) *url.Userinfo {
	at, path := originOf(u), u.Path
	for _, end := range []string{gitRefs, gitFetch} {
		path = strings.TrimSuffix(path, end)
	}
	path = repositoryPath(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logins {
		if l.scheme == u.Scheme && l.at == at && l.path == path {
			return l.user
		}
	}
	for _, m := range s.up.credentials.netrc {
		if m.host == "" || m.host == at.host {
			return url.UserPassword(m.login, m.password)
		}
	}
	return nil
}

func authorize(r *http.Request, user *url.Userinfo) {
	if user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
}

// remember keeps where the list of references was found at last: git inside does
// not see the redirect and asks for the objects at the old place.
func (s *sites) remember(asked, found *url.URL) {
	from, isRefs := strings.CutSuffix(asked.Scheme+"://"+asked.Host+asked.EscapedPath(), gitRefs)
	to, known := strings.CutSuffix(found.Scheme+"://"+found.Host+found.EscapedPath(), gitRefs)
	if !isRefs || !known || from == to {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.moved) < maxRecords {
		s.moved[from] = to
	}
}

// current is where a request for objects goes.
func (s *sites) current(target *url.URL) *url.URL {
	from, ok := strings.CutSuffix(target.Scheme+"://"+target.Host+target.EscapedPath(), gitFetch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.moved[from]; ok && to != "" {
		if moved, err := url.Parse(to + gitFetch); err == nil {
			return moved
		}
	}
	return target
}
