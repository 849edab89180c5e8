// Package egress is the index gateway: the only way from the sandbox to the
// package indexes, and the record of everything that took it.
//
//	inside the sandbox                         outside
//	pip ── http://127.0.0.1:PORT/SECRET/ ──► Gateway ── credentials, TLS, proxy ──► indexes
//	        i0/simple/NAME/   project page      │  pages: parsed, file URLs rewritten
//	        l0/               find-links page   │  files: streamed, digests compared
//	        f/N/FILENAME      file              └► Downloads, Problems, Intruders, Flows
//	git ──  g/N/PATH          repository of a site that the user's requirement names
//
// The installer sees one plain-HTTP index per configured index and one page per
// find-links location, in the same order, so that it chooses as it would
// without the gateway. No credential, header, redirect or error text of the
// outside reaches the inside: pages are written anew from what was parsed, and
// of a failure the inside learns a status and one word.
//
// Sources: PEP 503, 592, 629, 658, 691, 700, 714, 740, 792 (simple repository
// API) and the behaviour of pip's network session.
package egress

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"pip-witness/internal/pypi"
)

// Limits on what comes from an index and from inside the sandbox.
const (
	maxPageSize       = 64 << 20  // 64 MiB: one project page, decompressed; the largest known are near 30
	maxMetadataSize   = 16 << 20  // 16 MiB: one core metadata file
	maxFileSize       = 8 << 30   // 8 GiB: one distribution file
	maxPageFiles      = 200_000   // files of one page
	maxFiles          = 2_000_000 // files over all pages of a run
	maxPageCache      = 48 << 20  // 48 MiB of rendered pages kept for the run
	maxHeaderSize     = 1 << 20   // 1 MiB of response header from an index
	maxRequestHeader  = 64 << 10  // 64 KiB of request header from the sandbox
	maxProjectName    = 200       // bytes; longer names are not asked for
	maxConnections    = 128       // connections from the sandbox at a time
	maxUpstream       = 16        // requests to indexes at a time
	maxRedirects      = 20
	maxRecords        = 10_000  // of each kind: projects, problems, intruders
	maxRecordText     = 512     // bytes of a path or message in a record
	maxProvenanceSize = 4 << 20 // 4 MiB: one provenance object
	requestHeaderWait = 15 * time.Second
	defaultTimeout    = 15 * time.Second
	minPageWait       = time.Minute     // for one page, retries included: it may be large, the line slow
	maxPageWait       = 5 * time.Minute // the same for a user who set very long time limits
)

// Config says which indexes the gateway stands for and how to reach them. URLs
// may hold credentials.
type Config struct {
	// Addr is the host:port under which the sandbox reaches the gateway: a
	// loopback address, as pip distrusts plain HTTP elsewhere.
	Addr string
	// Indexes are the index URLs (or directories) in pip's order: the index
	// itself, then the extra ones. Empty stands for --no-index.
	Indexes []string
	// FindLinks are URLs, files and directories in pip's order.
	FindLinks []string
	// TrustedHosts are "host" or "host:port" whose certificates are not verified
	// and which may be asked over plain HTTP.
	TrustedHosts []string
	// Cert is a bundle file, or a directory of certificates, that replaces the
	// default authorities; ClientCert a PEM file with a certificate and its key.
	Cert, ClientCert string
	// ExtraBundle is a further bundle that is trusted beside the system's when
	// neither Cert nor the environment names one: pip's own, for machines
	// without a system bundle. It may be missing.
	ExtraBundle string
	// Allowed are the hosts that the installer may reach beside its indexes: a
	// repository may redirect to them, and the Relay passes connections on to them.
	Allowed []Host
	// Proxy is used for every request; empty lets the proxy variables decide.
	Proxy string
	// Timeout bounds connecting and each wait for data; 0 means 15 seconds.
	Timeout time.Duration
	// Retries is how often an idempotent request is repeated.
	Retries int
	// Environ is the user's environment: proxies, certificates, NETRC, HOME.
	Environ []string
	// WorkDir is what relative paths start from; empty is the current directory.
	WorkDir string
	// CacheDir keeps downloaded files by SHA-256; empty keeps none.
	CacheDir string
	// UserAgent is sent to the indexes; empty means "pip-witness".
	UserAgent string
	// Now is the clock of the records; nil means time.Now.
	Now func() time.Time
}

// Gateway serves the sandbox and records what it served. It is an
// [http.Handler]; all methods may be called concurrently.
type Gateway struct {
	addr, secret string
	base         string // http://ADDR/SECRET
	sources      []*source
	insideWait   time.Duration
	upstream     *upstream
	cache        cache
	now          func() time.Time

	ctx    context.Context // ends when the gateway closes
	cancel context.CancelFunc
	active sync.RWMutex // read-locked by each request, locked to wait for all

	files   fileTable
	pages   pageCache
	sites   sites
	records records

	listings listings

	// Caller tells which process inside has the other end of a connection from that
	// local port, and whether it is one of the installer's own: only those get
	// repositories. nil gives them to whoever knows the secret path. It is set before
	// Serve.
	Caller func(port int) (process int, installer bool)
}

// New checks the configuration, certificates and local directories included,
// and makes a gateway with a secret path of its own. It opens no connection.
func New(c Config) (*Gateway, error) {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("index gateway address %q: %w", c.Addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("index gateway address %q: not a loopback address", c.Addr)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make secret path: %w", err)
	}
	g := &Gateway{addr: c.Addr, secret: hex.EncodeToString(secret), now: c.Now, cache: cache{dir: c.CacheDir}}
	g.base = "http://" + c.Addr + "/" + g.secret
	g.insideWait = pageWait(c.Timeout, c.Retries) + 30*time.Second
	if g.sources, err = newSources(c); err != nil {
		return nil, err
	}
	if g.upstream, err = newUpstream(c, g.sources); err != nil {
		return nil, err
	}
	g.sites.config, g.sites.up, g.sites.moved = c, g.upstream, map[string]string{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// pageWait is how long one page may take with all its repetitions.
func pageWait(timeout time.Duration, retries int) time.Duration {
	wait := timeout
	for n := 1; n <= retries && wait < maxPageWait; n++ {
		wait += timeout + backoff(n)
	}
	return min(max(wait, minPageWait), maxPageWait)
}

// Addr is the host:port that the sandbox reaches the gateway at.
func (g *Gateway) Addr() string { return g.addr }

// Options are the options that make pip use the gateway and nothing else:
// indexes, find-links locations, patience. pip must also be kept from the
// user's own configuration (PIP_CONFIG_FILE=/dev/null, no other PIP_* and no
// proxy variables). Local find-links locations come before remote ones: pip
// prefers local files to pages, and all are pages here.
func (g *Gateway) Options() []string {
	var options []string
	indexes, links := g.locations()
	for n, u := range indexes {
		if n == 0 {
			options = append(options, "--index-url", u)
		} else {
			options = append(options, "--extra-index-url", u)
		}
	}
	if indexes == nil {
		options = append(options, "--no-index")
	}
	for _, u := range links {
		options = append(options, "--find-links", u)
	}
	return append(options, "--retries", "0", "--timeout", g.patience())
}

// Environ is the same as Options for the environment, as NAME=VALUE, with the
// variables that keep pip from the user's configuration and from questions. It
// is to be used instead of Options, not with it, as pip would join the lists.
// Unlike options it also reaches a pip that a build starts (setup_requires) and
// the patience of pip's own child that installs build requirements.
func (g *Gateway) Environ() []string {
	env := []string{
		"PIP_CONFIG_FILE=/dev/null", "PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1",
		"PIP_RETRIES=0", "PIP_TIMEOUT=" + g.patience(),
	}
	indexes, links := g.locations()
	if indexes == nil {
		env = append(env, "PIP_NO_INDEX=1")
	} else {
		env = append(env, "PIP_INDEX_URL="+indexes[0])
	}
	if len(indexes) > 1 {
		env = append(env, "PIP_EXTRA_INDEX_URL="+strings.Join(indexes[1:], " "))
	}
	if links != nil {
		env = append(env, "PIP_FIND_LINKS="+strings.Join(links, " "))
	}
	return env
}

// locations are the URLs of the indexes and of the find-links pages inside.
func (g *Gateway) locations() (indexes, links []string) {
	var remote []string
	for _, s := range g.sources {
		switch {
		case s.kind == kindIndex:
			indexes = append(indexes, g.base+s.path)
		case s.local:
			links = append(links, g.base+s.path)
		default:
			remote = append(remote, g.base+s.path)
		}
	}
	return indexes, append(links, remote...)
}

// patience is how long pip waits for an answer, in seconds: the gateway repeats
// and waits itself, and pip must not give up before it.
func (g *Gateway) patience() string { return strconv.Itoa(int(g.insideWait / time.Second)) }

// Indexes are the configured index URLs and find-links locations, without
// credentials, in order.
func (g *Gateway) Indexes() []string {
	var names []string
	for _, s := range g.sources {
		names = append(names, s.name)
	}
	return names
}

// FindLinks are those of [Gateway.Indexes] that are no indexes.
func (g *Gateway) FindLinks() []string {
	var names []string
	for _, s := range g.sources {
		if s.kind == kindLinks {
			names = append(names, s.name)
		}
	}
	return names
}

// Serve answers connections of l, which it closes, until ctx ends or the
// gateway is closed. When it returns every request has ended, so that the
// records are final. It returns nil when it was asked to end.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           g,
		ConnContext:       connContext,
		ReadHeaderTimeout: requestHeaderWait,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxRequestHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // what the sandbox does wrong is in the records
	}
	end := func() {
		g.cancel()
		server.Close()
	}
	defer context.AfterFunc(ctx, end)()
	defer context.AfterFunc(g.ctx, end)()
	err := server.Serve(netutil.LimitListener(l, maxConnections))
	end()
	g.active.Lock() // waits for every request that began; later ones record nothing
	defer g.active.Unlock()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve index gateway at %q: %w", g.addr, err)
}

// Close ends Serve and every request, and drops idle connections to indexes.
func (g *Gateway) Close() {
	g.cancel()
	g.upstream.close()
	if t := g.sites.transport; t != nil {
		t.CloseIdleConnections()
	}
}

// ServeHTTP answers one request from inside the sandbox.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.active.RLock()
	defer g.active.RUnlock()
	if g.ctx.Err() != nil {
		http.Error(w, "closed", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()

	rest, ok := g.authorize(r)
	asked := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost && strings.HasPrefix(rest, "g/")
	if !ok || !asked {
		g.records.intruder(g.now(), r, g.secret)
		if ok {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		} else {
			http.Error(w, "not found", http.StatusNotFound)
		}
		return
	}
	g.route(w, r.WithContext(ctx), rest)
}

// authorize returns the path below the secret one.
func (g *Gateway) authorize(r *http.Request) (rest string, ok bool) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	return rest, subtle.ConstantTimeCompare([]byte(first), []byte(g.secret)) == 1
}

// route finds the page or file that a path below the secret one names.
func (g *Gateway) route(w http.ResponseWriter, r *http.Request, rest string) {
	head, tail, _ := strings.Cut(rest, "/")
	if head == "f" {
		number, name, _ := strings.Cut(tail, "/")
		name, err := url.PathUnescape(name)
		n, err2 := strconv.Atoi(number)
		if err == nil && err2 == nil {
			g.serveFile(w, r, n, name)
			return
		}
	}
	if head == "g" {
		number, path, _ := strings.Cut(tail, "/")
		if n, err := strconv.Atoi(number); err == nil {
			g.serveRepository(w, r, n, path)
			return
		}
	}
	for _, s := range g.sources {
		if s.id() != head {
			continue
		}
		if s.kind == kindLinks {
			if tail == "" {
				g.servePage(w, r, s, "")
				return
			}
			break
		}
		name, under := strings.CutPrefix(tail, "simple/")
		name = strings.TrimSuffix(name, "/")
		if under && len(name) <= maxProjectName && pypi.ValidName(name) {
			g.servePage(w, r, s, pypi.Normalize(name))
			return
		}
	}
	http.Error(w, "not found", http.StatusNotFound)
}
