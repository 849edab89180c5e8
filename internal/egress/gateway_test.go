package egress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"pip-witness/evidence"
)

// pipAccept is what pip sends since 22.3.
const pipAccept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"

// secretWord is part of every credential in these tests: it must not come out.
const secretWord = "hunter2secret"

// start makes a gateway, serves it on loopback until the test ends and returns
// a function that stops it early.
func start(t testing.TB, c Config) (g *Gateway, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Addr = l.Addr().String()
	if c.Timeout == 0 {
		c.Timeout = time.Minute // machines of tests are loaded
	}
	if c.Environ == nil {
		c.Environ = []string{"HOME=" + t.TempDir()}
	}
	if c.Now == nil {
		c.Now = func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }
	}
	g, err = New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, l) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return g, stop
}

// ask is a request of the installer; err is what happened while reading the body.
func ask(t testing.TB, method, target, accept string) (answer *http.Response, body []byte, err error) {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	r.Header.Set("Accept-Encoding", "identity")
	answer, err = http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer, body, err
}

// inside is a page of the gateway as an installer sees it.
type inside struct {
	Meta   map[string]any    `json:"meta"`
	Name   string            `json:"name"`
	Status map[string]string `json:"project-status"`
	Files  []map[string]any  `json:"files"`
}

func getPage(t testing.TB, g *Gateway, path string) inside {
	t.Helper()
	answer, body, err := ask(t, "GET", g.base+path, pipAccept)
	if err != nil || answer.StatusCode != 200 || answer.Header.Get("Content-Type") != typeJSON {
		t.Fatalf("page %s: %v, %v, %s", path, err, answer, body)
	}
	var p inside
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// fileAt is the absolute URL of a file of a page.
func fileAt(t testing.TB, g *Gateway, f map[string]any) string {
	t.Helper()
	path, _, _ := strings.Cut(f["url"].(string), "#")
	if !strings.HasPrefix(path, "/"+g.secret+"/f/") {
		t.Fatalf("file URL %q is not the gateway's", path)
	}
	return "http://" + g.addr + path
}

func sum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

var (
	wheel    = []byte(strings.Repeat("a wheel, near enough. ", 40_000)) // 880 kB: several pieces
	metadata = []byte("Metadata-Version: 2.1\nName: six\nVersion: 1.17.0\n")
)

// jsonIndex is an upstream that speaks PEP 691 and keeps files on another host.
func jsonIndex(t testing.TB) (index, files *httptest.Server) {
	files = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/packages/six-1.17.0-py2.py3-none-any.whl":
			w.Write(wheel)
		case "/packages/six-1.17.0-py2.py3-none-any.whl.metadata":
			w.Write(metadata)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(files.Close)
	index = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/simple/six/" {
			http.NotFound(w, r)
			return
		}
		if !strings.Contains(r.Header.Get("Accept"), typeJSON) {
			t.Errorf("index was asked with Accept %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", typeJSON)
		fmt.Fprintf(w, `{"meta": {"api-version": "1.4", "_last-serial": 7}, "name": "six", "project-status": {"status": "archived", "reason": "done"},
			"versions": ["1.17.0"], "files": [
			{"filename": "six-1.17.0-py2.py3-none-any.whl", "url": "%s/packages/six-1.17.0-py2.py3-none-any.whl", "hashes": {"sha256": "%s"},
			 "requires-python": ">=2.7", "yanked": "broken", "core-metadata": {"sha256": "%s"}, "dist-info-metadata": {"sha256": "%[3]s"},
			 "size": %d, "upload-time": "2024-12-04T17:35:26.475808Z", "provenance": "%[1]s/integrity/six/provenance?token=%[5]s", "gpg-sig": false},
			{"filename": "six.exe", "url": "%[1]s/packages/six.exe", "hashes": {}},
			{"filename": "six-1.tar.gz", "url": "file:///etc/six-1.tar.gz", "hashes": {}},
			{"filename": "six-0.1.tar.gz", "url": "six-0.1.tar.gz", "hashes": null, "yanked": true, "size": "big", "core-metadata": false}]}`,
			files.URL, sum(wheel), sum(metadata), len(wheel), secretWord)
	}))
	t.Cleanup(index.Close)
	return index, files
}

func TestJSONIndex(t *testing.T) {
	index, files := jsonIndex(t)
	g, stop := start(t, Config{Indexes: []string{index.URL + "/simple"}})
	p := getPage(t, g, "/i0/simple/six/")
	want := inside{
		Meta:   map[string]any{"api-version": "1.4"},
		Name:   "six",
		Status: map[string]string{"status": "archived", "reason": "done"},
		Files: []map[string]any{
			{
				"filename": "six-1.17.0-py2.py3-none-any.whl", "url": "/" + g.secret + "/f/0/six-1.17.0-py2.py3-none-any.whl",
				"hashes": map[string]any{"sha256": sum(wheel)}, "requires-python": ">=2.7", "yanked": "broken",
				"core-metadata": map[string]any{"sha256": sum(metadata)}, "dist-info-metadata": map[string]any{"sha256": sum(metadata)},
				"size": float64(len(wheel)), "upload-time": "2024-12-04T17:35:26.475808Z", "provenance": files.URL + "/integrity/six/provenance",
			},
			{"filename": "six-0.1.tar.gz", "url": "/" + g.secret + "/f/1/six-0.1.tar.gz", "hashes": map[string]any{}, "yanked": true},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Fatalf("page (-want +got):\n%s", diff)
	}
	file := fileAt(t, g, p.Files[0])
	for range 2 {
		if answer, body, err := ask(t, "GET", file, ""); err != nil || string(body) != string(wheel) || answer.ContentLength != int64(len(wheel)) {
			t.Fatalf("file: %v, %d bytes, %v", err, len(body), answer)
		}
	}
	if answer, body, err := ask(t, "GET", file+".metadata", ""); err != nil || string(body) != string(metadata) {
		t.Fatalf("metadata: %v, %q, %v", err, body, answer)
	}
	if answer, _, err := ask(t, "HEAD", file, ""); err != nil || answer.StatusCode != 200 || answer.ContentLength != int64(len(wheel)) || answer.Header.Get("Accept-Ranges") != "none" {
		t.Errorf("HEAD: %v, %v", answer, err)
	}
	if answer, _, _ := ask(t, "GET", fileAt(t, g, p.Files[1])+".metadata", ""); answer.StatusCode != 404 {
		t.Errorf("metadata that is not offered: %v", answer.Status)
	}
	stop()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	common := evidence.Download{
		Index: index.URL + "/simple", UploadTime: "2024-12-04T17:35:26.475808Z", Yanked: "broken", RequiresPython: ">=2.7", Status: "archived",
		Provenance: files.URL + "/integrity/six/provenance", ServedAt: at,
	}
	first, second := common, common
	first.Filename, first.URL, first.GatewayURL = "six-1.17.0-py2.py3-none-any.whl", files.URL+"/packages/six-1.17.0-py2.py3-none-any.whl", file
	first.Size, first.Expected = int64(len(wheel)), evidence.DigestSet{"sha256": sum(wheel)}
	second.Filename, second.URL, second.GatewayURL = first.Filename+".metadata", first.URL+".metadata", file+".metadata"
	second.Size, second.Expected, second.Metadata = int64(len(metadata)), evidence.DigestSet{"sha256": sum(metadata)}, true
	got := g.Downloads()
	for i := range got {
		if len(got[i].Digests["sha1"]) != 40 || got[i].Digests["sha256"] != got[i].Expected["sha256"] || len(got[i].Digests) != 2 {
			t.Errorf("digests %v", got[i].Digests)
		}
	}
	if diff := cmp.Diff([]evidence.Download{first, second}, got, cmpopts.IgnoreFields(evidence.Download{}, "Digests")); diff != "" {
		t.Errorf("downloads (-want +got):\n%s", diff)
	}
	if problems := g.Problems(); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
	if diff := cmp.Diff([]string{"six"}, g.Projects()); diff != "" {
		t.Errorf("projects:\n%s", diff)
	}
}

func TestHTMLIndex(t *testing.T) {
	var body string
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/team/simple/my-pkg/":
			http.Redirect(w, r, "/elsewhere/my-pkg/", http.StatusFound)
		case "/elsewhere/my-pkg/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, body)
		case "/elsewhere/files/my_pkg-1.0.tar.gz", "/based/my_pkg-1.0.tar.gz":
			w.Write(wheel)
		default:
			http.NotFound(w, r)
		}
	}))
	defer index.Close()
	body = `<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"><meta name="pypi:project-status" content="deprecated"></head>
<body><a href="../files/my_pkg-1.0.tar.gz#sha256=` + sum(wheel) + `&amp;egg=my_pkg" data-requires-python="&gt;=3.8" data-yanked data-dist-info-metadata="true">my_pkg-1.0.tar.gz</a>
<a href="../other/">other</a><a>none</a><A HREF='../files/my_pkg-1.1%20x.zip'>spaced</a></body>`
	g, _ := start(t, Config{Indexes: []string{index.URL + "/team/simple/"}})

	p := getPage(t, g, "/i0/simple/My_Pkg/") // normalised as an index does
	prefix := "/" + g.secret + "/f/"
	want := inside{
		Meta: map[string]any{"api-version": "1.1"}, Name: "my-pkg", Status: map[string]string{"status": "deprecated"},
		Files: []map[string]any{
			{
				"filename": "my_pkg-1.0.tar.gz", "url": prefix + "0/my_pkg-1.0.tar.gz#sha256=" + sum(wheel) + "&egg=my_pkg", "hashes": map[string]any{"sha256": sum(wheel)},
				"requires-python": ">=3.8", "yanked": true, "core-metadata": true, "dist-info-metadata": true,
			},
			{"filename": "my_pkg-1.1 x.zip", "url": prefix + "1/my_pkg-1.1%20x.zip", "hashes": map[string]any{}, "yanked": false},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Fatalf("page (-want +got):\n%s", diff)
	}
	if _, got, err := ask(t, "GET", fileAt(t, g, p.Files[0]), ""); err != nil || string(got) != string(wheel) {
		t.Errorf("file: %v, %d bytes", err, len(got))
	}
	if d := g.Downloads(); len(d) != 1 || d[0].URL != index.URL+"/elsewhere/files/my_pkg-1.0.tar.gz" || d[0].Yanked != "true" {
		t.Errorf("downloads %+v", d)
	}

	// The same page for a client that takes HTML only, with everything kept.
	answer, text, err := ask(t, "GET", g.base+"/i0/simple/my-pkg/", "text/html")
	if err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("HTML page: %v, %v", err, answer)
	}
	at, _ := url.Parse(g.base + "/i0/simple/my-pkg/")
	again, err := parsePage("text/html", text, at)
	if err != nil {
		t.Fatal(err)
	}
	l := again.links[0]
	if l.requiresPython != ">=3.8" || !l.yanked || !l.metadata || l.hashes["sha256"] != sum(wheel) || again.status != "deprecated" || again.version != "1.1" {
		t.Errorf("HTML page lost something: %+v", again)
	}
	if l.url.String() != fileAt(t, g, p.Files[0]) {
		t.Errorf("HTML page has the file at %q", l.url)
	}

	// A base element moves relative links, and its user information does not count.
	body = `<base href="http://user:` + secretWord + `@` + strings.TrimPrefix(index.URL, "http://") + `/based/"><a href="my_pkg-1.0.tar.gz">x</a>`
	g2, _ := start(t, Config{Indexes: []string{index.URL + "/team/simple"}})
	p = getPage(t, g2, "/i0/simple/my-pkg/")
	if _, got, err := ask(t, "GET", fileAt(t, g2, p.Files[0]), ""); err != nil || string(got) != string(wheel) {
		t.Errorf("file below base: %v, %d bytes", err, len(got))
	}
	if d := g2.Downloads(); len(d) != 1 || d[0].URL != index.URL+"/based/my_pkg-1.0.tar.gz" {
		t.Errorf("downloads %+v", d)
	}
}

// TestFailures has one project per way in which an index or file host fails.
func TestFailures(t *testing.T) {
	var tries atomic.Int32
	var index *httptest.Server
	index = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
		page := func(file, digest string) {
			w.Header().Set("Content-Type", typeHTML)
			fmt.Fprintf(w, `<a href="%s/f/%s#sha256=%s">x</a>`, index.URL, file, digest)
		}
		switch name {
		case "forbidden":
			w.WriteHeader(403)
		case "flaky":
			if tries.Add(1) < 3 {
				w.WriteHeader(503)
				return
			}
			page("good-1.whl", sum(wheel))
		case "broken":
			w.WriteHeader(500)
		case "garbage":
			w.Header().Set("Content-Type", typeJSON)
			io.WriteString(w, `{"files": [`)
		case "picture":
			w.Header().Set("Content-Type", "image/png")
		case "loop":
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case "slow":
			<-r.Context().Done()
		case "wrong":
			page("good-1.whl", strings.Repeat("0", 64))
		case "wrongsmall":
			page("small-1.whl", strings.Repeat("0", 64))
		case "truncated":
			page("truncated-1.whl", sum(wheel))
		case "stalled":
			page("stalled-1.whl", sum(wheel))
		case "gone":
			page("gone-1.whl", sum(wheel))
		case "f/good-1.whl":
			w.Write(wheel)
		case "f/small-1.whl":
			io.WriteString(w, "small")
		case "f/truncated-1.whl":
			w.Header().Set("Content-Length", fmt.Sprint(len(wheel)))
			w.Write(wheel[:len(wheel)/2])
		case "f/stalled-1.whl":
			w.Header().Set("Content-Length", fmt.Sprint(len(wheel)))
			w.Write(wheel[:len(wheel)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer index.Close()
	// Files lie at /f/ beside /simple/.
	index.Config.Handler = strip(index.Config.Handler)

	tests := []struct {
		project   string
		kind      ProblemKind // of the page
		status    int
		message   string
		file      ProblemKind // of its first file, when the page is there
		fileParts bool        // a part of the file is sent before the cut
	}{
		{project: "missing", kind: NotFound, status: 404, message: "404"},
		{project: "forbidden", kind: Unauthorized, status: 502, message: "403"},
		{project: "broken", kind: UpstreamError, status: 502, message: "500"},
		{project: "garbage", kind: UpstreamError, status: 502, message: "JSON"},
		{project: "picture", kind: UpstreamError, status: 502, message: "image/png"},
		{project: "loop", kind: UpstreamError, status: 502, message: "redirects"},
		{project: "slow", kind: Unreachable, status: 504, message: "time"},
		{project: "flaky"},
		{project: "wrong", file: DigestMismatch, fileParts: true},
		{project: "wrongsmall", file: DigestMismatch},
		{project: "truncated", file: UpstreamError, fileParts: true},
		{project: "stalled", file: Unreachable, fileParts: true},
		{project: "gone", file: NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.project, func(t *testing.T) {
			c := Config{Indexes: []string{index.URL + "/simple"}, Retries: 2}
			switch tt.project {
			case "slow", "stalled":
				c.Timeout = time.Second
				fallthrough
			case "loop":
				c.Retries = 0
			}
			g, _ := start(t, c)
			if tt.kind != "" {
				answer, _, err := ask(t, "GET", g.base+"/i0/simple/"+tt.project+"/", pipAccept)
				if err != nil || answer.StatusCode != tt.status {
					t.Fatalf("answer %v, %v; want %d", answer, err, tt.status)
				}
				p := g.Problems()
				if len(p) != 1 || p[0].Kind != tt.kind || !strings.Contains(p[0].Message, tt.message) || p[0].Project != tt.project || p[0].URL != index.URL+"/simple/"+tt.project+"/" {
					t.Errorf("problems %+v, want one of kind %s with %q", p, tt.kind, tt.message)
				}
				return
			}
			file := fileAt(t, g, getPage(t, g, "/i0/simple/"+tt.project+"/").Files[0])
			if tt.file == "" {
				return
			}
			answer, body, err := ask(t, "GET", file, "")
			switch {
			case tt.fileParts && (err == nil || len(body) >= len(wheel)):
				t.Errorf("a wrong file looks complete: %d bytes, %v", len(body), err)
			case !tt.fileParts && (err != nil || answer.StatusCode < 400):
				t.Errorf("answer %v, %v", answer, err)
			}
			if tt.file == DigestMismatch {
				if answer, _, _ := ask(t, "GET", file, ""); answer.StatusCode != 502 {
					t.Errorf("asked again: %v", answer.Status)
				}
			}
			p := g.Problems()
			if len(p) != 1 || p[0].Kind != tt.file || p[0].Filename == "" {
				t.Errorf("problems %+v, want one of kind %s", p, tt.file)
			}
			if d := g.Downloads(); len(d) != 0 {
				t.Errorf("downloads %+v", d)
			}
		})
	}
	t.Run("no network", func(t *testing.T) {
		l, _ := net.Listen("tcp", "127.0.0.1:0")
		l.Close()
		g, _ := start(t, Config{Indexes: []string{"http://" + l.Addr().String() + "/simple", "https://index.invalid/simple"}, Retries: 1})
		for _, i := range []string{"/i0", "/i1"} {
			if answer, _, err := ask(t, "GET", g.base+i+"/simple/six/", pipAccept); err != nil || answer.StatusCode < 500 {
				t.Errorf("answer %v, %v", answer, err)
			}
		}
		p := g.Problems()
		if len(p) != 2 || p[0].Kind != Unreachable || p[1].Kind != Unreachable {
			t.Errorf("problems %+v", p)
		}
	})
	t.Run("plain HTTP from elsewhere", func(t *testing.T) {
		g, _ := start(t, Config{Indexes: []string{"http://index.example/simple"}})
		answer, _, _ := ask(t, "GET", g.base+"/i0/simple/six/", pipAccept)
		if p := g.Problems(); answer.StatusCode != 502 || len(p) != 1 || p[0].Kind != TLS {
			t.Errorf("%v, %+v", answer.Status, p)
		}
	})
}

// strip serves /f/NAME as "f/NAME" below the index path.
func strip(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/f/"); ok {
			r.URL.Path = "/simple/f/" + rest
		}
		next.ServeHTTP(w, r)
	})
}

// TestCredentials has a private index that wants a password, redirects to
// another host, and repeats the password in all that it sends.
func TestCredentials(t *testing.T) {
	var leaked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || strings.Contains(r.Header.Get("Referer"), secretWord) {
			leaked.Add(1)
		}
		if r.URL.Query().Get("token") != secretWord {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Set-Cookie", "token="+secretWord)
		w.Write(wheel)
	}))
	defer other.Close()
	var index *httptest.Server
	index = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("X-Token", secretWord)
		if user != "user" || password != secretWord {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+secretWord+`"`)
			w.WriteHeader(401)
			io.WriteString(w, "wrong: "+secretWord)
			return
		}
		host := strings.TrimPrefix(index.URL, "http://")
		switch r.URL.Path {
		case "/private/simple/six/":
			w.Header().Set("Content-Type", typeText)
			fmt.Fprintf(w, `<a href="/files/six-1.whl">a</a> <a href="http://user:%s@%s/files/six-2.whl">b</a> <a href="/moved/six-3.whl?token=%[1]s">c</a>`, secretWord, host)
		case "/private/simple/broken/":
			w.WriteHeader(500)
			io.WriteString(w, "broken: "+secretWord)
		case "/private/simple/moved/":
			http.Redirect(w, r, "http://user:"+secretWord+"@"+host+"/private/simple/six/", http.StatusMovedPermanently)
		case "/files/six-1.whl", "/files/six-2.whl":
			w.Write(wheel)
		case "/moved/six-3.whl":
			http.Redirect(w, r, other.URL+"/signed?token="+secretWord, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer index.Close()
	withUser := func(user string) string { return strings.Replace(index.URL, "http://", "http://"+user+"@", 1) }
	home := t.TempDir()
	netrc := fmt.Sprintf("machine 127.0.0.1 login user password %s\n", secretWord)
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, index string
		environ     []string
		netrc       bool
	}{
		{name: "URL", index: withUser("user:" + secretWord)},
		{name: "netrc", index: index.URL, environ: []string{"HOME=" + home}, netrc: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaked.Store(0)
			g, stop := start(t, Config{Indexes: []string{tt.index + "/private/simple"}, Environ: tt.environ})
			var seen strings.Builder
			look := func(path string) *http.Response {
				answer, body, err := ask(t, "GET", "http://"+g.addr+path, pipAccept)
				if err != nil {
					t.Fatal(err)
				}
				if len(body) != len(wheel) {
					seen.Write(body)
				}
				answer.Header.Write(&seen)
				return answer
			}
			p := getPage(t, g, "/i0/simple/six/")
			for _, f := range p.Files {
				if answer := look(strings.TrimPrefix(fileAt(t, g, f), "http://"+g.addr)); answer.StatusCode != 200 {
					t.Errorf("file %v: %v", f["filename"], answer.Status)
				}
			}
			look("/" + g.secret + "/i0/simple/six/")
			look("/" + g.secret + "/i0/simple/broken/")
			look("/" + g.secret + "/i0/simple/none/")
			if answer := look("/" + g.secret + "/i0/simple/moved/"); answer.StatusCode != 200 {
				t.Errorf("page that moved: %v", answer.Status)
			}
			stop()
			records, err := json.Marshal(map[string]any{"d": g.Downloads(), "p": g.Problems(), "i": g.Intruders(), "x": g.Indexes(), "o": g.Options(), "e": g.Environ()})
			if err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{"the inside": seen.String(), "the records": string(records), "printed records": fmt.Sprintf("%+v", g.Downloads())} {
				if strings.Contains(text, secretWord) || strings.Contains(text, "user@") {
					t.Errorf("%s shows a credential: %s", where, text)
				}
			}
			if len(g.Downloads()) != 3 {
				t.Errorf("downloads %+v", g.Downloads())
			}
			if n := leaked.Load(); n != 0 && !tt.netrc { // netrc names a machine, and the other server is on it
				t.Errorf("credentials of the index went to another host %d times", n)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		g, _ := start(t, Config{Indexes: []string{withUser("user:wrong"+secretWord) + "/private/simple"}})
		answer, body, _ := ask(t, "GET", g.base+"/i0/simple/six/", pipAccept)
		p := g.Problems()
		if answer.StatusCode != 502 || answer.Header.Get("WWW-Authenticate") != "" || len(p) != 1 || p[0].Kind != Unauthorized {
			t.Errorf("%v, %+v", answer, p)
		}
		if text := string(body) + fmt.Sprint(p, g.Indexes()); strings.Contains(text, secretWord) {
			t.Errorf("shows a credential: %s", text)
		}
	})
}

func TestTLS(t *testing.T) {
	index := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", typeText)
		fmt.Fprint(w, `<a href="six-1.whl">x</a>`)
	}))
	index.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are wanted
	index.StartTLS()
	defer index.Close()
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: index.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(index.URL, "https://")
	tests := []struct {
		name string
		c    Config
		want ProblemKind
	}{
		{"unknown authority", Config{}, TLS},
		{"cert", Config{Cert: bundle}, ""},
		{"cert directory", Config{Cert: dir}, ""},
		{"relative cert", Config{Cert: "bundle.pem", WorkDir: dir}, ""},
		{"REQUESTS_CA_BUNDLE", Config{Environ: []string{"REQUESTS_CA_BUNDLE=" + bundle}}, ""},
		{"SSL_CERT_FILE", Config{Environ: []string{"SSL_CERT_FILE=" + bundle}}, ""},
		{"SSL_CERT_DIR", Config{Environ: []string{"SSL_CERT_DIR=/nonexistent:" + dir}}, ""},
		{"pip's bundle", Config{ExtraBundle: bundle}, ""},
		{"trusted host", Config{TrustedHosts: []string{"127.0.0.1"}}, ""},
		{"trusted host and port", Config{TrustedHosts: []string{host}}, ""},
		{"another trusted host", Config{TrustedHosts: []string{"index.example", "127.0.0.1:1"}}, TLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Indexes = []string{index.URL + "/simple"}
			g, _ := start(t, tt.c)
			answer, _, err := ask(t, "GET", g.base+"/i0/simple/six/", pipAccept)
			if err != nil {
				t.Fatal(err)
			}
			p := g.Problems()
			if tt.want == "" && (answer.StatusCode != 200 || len(p) != 0) || tt.want != "" && (len(p) != 1 || p[0].Kind != tt.want) {
				t.Errorf("%v, %+v", answer.Status, p)
			}
		})
	}
	for name, c := range map[string]Config{"missing": {Cert: "/nonexistent.pem"}, "empty": {Cert: os.DevNull}, "client": {ClientCert: bundle}} {
		c.Addr = "127.0.0.1:1"
		if _, err := New(c); err == nil {
			t.Errorf("%s certificate is accepted", name)
		}
	}
}

func TestProxy(t *testing.T) {
	index, _ := jsonIndex(t)
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method == http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(index.URL, "http://")
		r.RequestURI = ""
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	}))
	defer proxy.Close()
	host := strings.TrimPrefix(proxy.URL, "http://")
	tests := []struct {
		name, index string
		c           Config
		through     bool
		want        ProblemKind
	}{
		{"option", "http://index.example/simple", Config{Proxy: "user:" + secretWord + "@" + host}, true, ""},
		{"variable", "http://index.example/simple", Config{Environ: []string{"HTTP_PROXY=http://user:" + secretWord + "@" + host}}, true, ""},
		{"all_proxy", "http://index.example/simple", Config{Environ: []string{"all_proxy=http://user:" + secretWord + "@" + host}}, true, ""},
		{"refused", "https://index.example/simple", Config{Proxy: "http://user:" + secretWord + "@" + host}, true, Unauthorized},
		{"no_proxy", "http://index.invalid/simple", Config{Environ: []string{"http_proxy=http://" + host, "no_proxy=index.invalid"}}, false, Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked.Store(0)
			tt.c.Indexes, tt.c.TrustedHosts = []string{tt.index}, []string{"index.example", "index.invalid"}
			g, _ := start(t, tt.c)
			answer, _, err := ask(t, "GET", g.base+"/i0/simple/six/", pipAccept)
			if err != nil {
				t.Fatal(err)
			}
			p := g.Problems()
			if tt.want == "" && (answer.StatusCode != 200 || len(p) != 0) || tt.want != "" && (len(p) != 1 || p[0].Kind != tt.want) {
				t.Errorf("%v, %+v", answer.Status, p)
			}
			if (asked.Load() > 0) != tt.through {
				t.Errorf("the proxy was asked %d times", asked.Load())
			}
			if strings.Contains(fmt.Sprint(p), secretWord) {
				t.Errorf("problems show a credential: %+v", p)
			}
		})
	}
}

func TestFindLinks(t *testing.T) {
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/links.html" {
			w.Header().Set("Content-Type", typeText)
			fmt.Fprint(w, `<a href="sub/six-1.0.tar.gz">six</a>`)
			return
		}
		w.Write(wheel)
	}))
	defer remote.Close()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "wheels"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"wheels/six-1.17.0-py2.py3-none-any.whl": "local wheel", "wheels/notes.txt": "no", "wheels/more.html": `<a href="../six-2.zip#egg=six">x</a>`,
		"six-2.zip": "zip", "single-1.0.tar.gz": "single", "page.html": `<a href="single-1.0.tar.gz">x</a>`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g, _ := start(t, Config{
		WorkDir: dir,
		FindLinks: []string{
			remote.URL + "/links.html", "wheels", "file://" + dir + "/single-1.0.tar.gz", "./page.html", remote.URL + "/direct/six-3.0.tar.gz", "missing",
		},
	})
	options := g.Options()
	want := []string{"--no-index"}
	for _, n := range []int{1, 2, 3, 5, 0, 4} { // local locations come first
		want = append(want, "--find-links", fmt.Sprintf("%s/l%d/", g.base, n))
	}
	if diff := cmp.Diff(want, options[:len(want)]); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	expected := [][]string{{"six-1.0.tar.gz"}, {"six-1.17.0-py2.py3-none-any.whl", "six-2.zip"}, {"single-1.0.tar.gz"}, {"single-1.0.tar.gz"}, {"six-3.0.tar.gz"}}
	contents := map[string]string{"six-1.17.0-py2.py3-none-any.whl": "local wheel", "six-2.zip": "zip", "single-1.0.tar.gz": "single"}
	for n, names := range expected {
		p := getPage(t, g, fmt.Sprintf("/l%d/", n))
		var got []string
		for _, f := range p.Files {
			name := f["filename"].(string)
			got = append(got, name)
			_, body, err := ask(t, "GET", fileAt(t, g, f), "")
			content, local := contents[name]
			if err != nil || local && string(body) != content || !local && string(body) != string(wheel) {
				t.Errorf("l%d %s: %v, %d bytes", n, name, err, len(body))
			}
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("l%d (-want +got):\n%s", n, diff)
		}
	}
	if answer, _, _ := ask(t, "GET", g.base+"/l5/", pipAccept); answer.StatusCode != 404 {
		t.Errorf("missing directory: %v", answer.Status)
	}
	d := g.Downloads()
	if len(d) != 6 || d[1].Index != "file://"+dir+"/wheels" || d[1].URL != "file://"+dir+"/wheels/six-1.17.0-py2.py3-none-any.whl" || d[0].Index != remote.URL+"/links.html" {
		t.Errorf("downloads %+v", d)
	}
}

func TestLocalIndex(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "simple", "six"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"simple/six/index.html": `<a href="../../six-1.zip">x</a>`, "six-1.zip": "zip"}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, index := range []string{"file://" + dir + "/simple", filepath.Join(dir, "simple") + "/"} {
		g, _ := start(t, Config{Indexes: []string{index}})
		p := getPage(t, g, "/i0/simple/six/")
		if _, body, err := ask(t, "GET", fileAt(t, g, p.Files[0]), ""); err != nil || string(body) != "zip" {
			t.Errorf("%s: %q, %v", index, body, err)
		}
		if answer, _, _ := ask(t, "GET", g.base+"/i0/simple/none/", pipAccept); answer.StatusCode != 404 || g.Problems()[0].Kind != NotFound {
			t.Errorf("%s: %v, %v", index, answer.Status, g.Problems())
		}
	}
}

func TestOptions(t *testing.T) {
	g, _ := start(t, Config{
		Indexes:   []string{"https://user:" + secretWord + "@index.example/simple", "https://second.example/simple/"},
		FindLinks: []string{"https://files.example/links"}, Timeout: 10 * time.Second, Retries: 1,
	})
	want := []string{
		"--index-url", g.base + "/i0/simple/", "--extra-index-url", g.base + "/i1/simple/", "--find-links", g.base + "/l0/", "--retries", "0", "--timeout", "90",
	}
	if diff := cmp.Diff(want, g.Options()); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	wantEnv := []string{
		"PIP_CONFIG_FILE=/dev/null", "PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_RETRIES=0", "PIP_TIMEOUT=90",
		"PIP_INDEX_URL=" + g.base + "/i0/simple/", "PIP_EXTRA_INDEX_URL=" + g.base + "/i1/simple/", "PIP_FIND_LINKS=" + g.base + "/l0/",
	}
	if diff := cmp.Diff(wantEnv, g.Environ()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://index.example/simple", "https://second.example/simple/", "https://files.example/links"}, g.Indexes()); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	for _, bad := range []Config{
		{Addr: "0.0.0.0:80"}, {Addr: "127.0.0.1"}, {Addr: "index.example:80"},
		{Addr: "127.0.0.1:1", Indexes: []string{"ftp://user:" + secretWord + "@index.example"}},
		{Addr: "127.0.0.1:1", FindLinks: []string{"git+https://index.example/x"}},
		{Addr: "127.0.0.1:1", Indexes: []string{"https://user:" + secretWord + "@[bad/simple"}},
		{Addr: "127.0.0.1:1", Proxy: "http://user:" + secretWord + "@[bad"},
	} {
		if _, err := New(bad); err == nil || strings.Contains(err.Error(), secretWord) {
			t.Errorf("New(%+v): %v", bad, err)
		}
	}
}

func TestIntruders(t *testing.T) {
	index, _ := jsonIndex(t)
	g, stop := start(t, Config{Indexes: []string{index.URL + "/simple"}})
	for range 3 {
		if answer, body, err := ask(t, "GET", "http://"+g.addr+"/simple/six/?x=1", ""); err != nil || answer.StatusCode != 404 || strings.Contains(string(body), g.secret) {
			t.Errorf("%v, %s, %v", answer, body, err)
		}
	}
	ask(t, "POST", g.base+"/i0/simple/six/", "")
	ask(t, "GET", "http://"+g.addr+"/"+strings.Repeat("a", 2000), "")
	for _, path := range []string{"/i1/simple/six/", "/i0/six/", "/i0/simple/", "/i0/simple/../../etc/", "/f/0/x.whl", "/f/-1/x.whl", "/l0/", "/x", "", "/i0/simple/" + strings.Repeat("a", 300) + "/", "/i0/simple/a%2Fb/"} {
		if answer, _, err := ask(t, "GET", g.base+path, pipAccept); err != nil || answer.StatusCode != 404 {
			t.Errorf("%q: %v, %v", path, answer, err)
		}
	}
	stop()
	in := g.Intruders()
	if len(in) != 3 || in[0].Count != 3 || in[0].Path != "/simple/six/?x=1" || in[1].Method != "POST" || in[1].Path != "/SECRET/i0/simple/six/" || len(in[2].Path) > maxRecordText+8 {
		t.Errorf("intruders %+v", in)
	}
}

func TestRegister(t *testing.T) {
	_, files := jsonIndex(t)
	g, _ := start(t, Config{})
	raw := strings.Replace(files.URL, "http://", "http://user:"+secretWord+"@", 1) + "/packages/six-1.17.0-py2.py3-none-any.whl#sha256=" + sum(wheel) + "&subdirectory=a"
	inside, err := g.Register(raw)
	if err != nil {
		t.Fatal(err)
	}
	if want := g.base + "/f/0/six-1.17.0-py2.py3-none-any.whl#sha256=" + sum(wheel) + "&subdirectory=a"; inside != want {
		t.Errorf("Register = %q, want %q", inside, want)
	}
	if _, body, err := ask(t, "GET", inside, ""); err != nil || string(body) != string(wheel) {
		t.Errorf("file: %v, %d bytes", err, len(body))
	}
	d := g.Downloads()
	if len(d) != 1 || d[0].URL != files.URL+"/packages/six-1.17.0-py2.py3-none-any.whl" || d[0].Index != "" || d[0].Expected["sha256"] != sum(wheel) {
		t.Errorf("downloads %+v", d)
	}
	for _, bad := range []string{"git+https://index.example/six", "file:///etc/six.zip", "https://index.example/page", "six", "https://user:" + secretWord + "@[bad/six.zip"} {
		if got, err := g.Register(bad); !errors.Is(err, ErrDirectURL) || strings.Contains(err.Error(), secretWord) {
			t.Errorf("Register(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestRealText(t *testing.T) {
	index, files := jsonIndex(t)
	g, _ := start(t, Config{Indexes: []string{strings.Replace(index.URL, "http://", "http://user:"+secretWord+"@", 1) + "/simple"}, FindLinks: []string{"/home/user/wheels"}})
	file := fileAt(t, g, getPage(t, g, "/i0/simple/six/").Files[0])
	in := "Looking in indexes: " + g.base + "/i0/simple/, " + g.base + "/l0/\nLooking in links: " + g.base + "/l0/\nDownloading " + file + " (11 kB)\n" +
		"Downloading " + file + ".metadata\nsee " + g.base + "/i0/simple/six/\n(" + file + "#sha256=00) " + g.base + "/f/99/x /" + g.secret + "/"
	real := files.URL + "/packages/six-1.17.0-py2.py3-none-any.whl"
	want := "Looking in indexes: " + index.URL + "/simple, file:///home/user/wheels\nLooking in links: file:///home/user/wheels\nDownloading " + real + " (11 kB)\n" +
		"Downloading " + real + ".metadata\nsee " + index.URL + "/simple/six/\n(" + real + "#sha256=00) http://" + g.addr + "/SECRET/f/99/x /SECRET/"
	if diff := cmp.Diff(want, g.RealText(in)); diff != "" {
		t.Errorf("RealText (-want +got):\n%s", diff)
	}
}

func TestCache(t *testing.T) {
	index, files := jsonIndex(t)
	dir := filepath.Join(t.TempDir(), "cache")
	run := func() []evidence.Download {
		g, stop := start(t, Config{Indexes: []string{index.URL + "/simple"}, CacheDir: dir})
		p := getPage(t, g, "/i0/simple/six/")
		answer, body, err := ask(t, "GET", fileAt(t, g, p.Files[0]), "")
		if err != nil || answer.StatusCode != 200 || string(body) != string(wheel) {
			t.Fatalf("file: %v, %v, %d bytes", err, answer, len(body))
		}
		stop()
		// What was kept can be read again, when the gateway is closed too.
		if f, err := g.Distribution(sum(wheel)); err == nil {
			kept, err := io.ReadAll(f)
			if f.Close(); err != nil || string(kept) != string(wheel) {
				t.Errorf("kept %d bytes, %v", len(kept), err)
			}
		} else if !errors.Is(err, ErrNotKept) || !strings.Contains(dir, "below a file") {
			t.Errorf("what was kept: %v", err)
		}
		if _, err := g.Distribution(strings.Repeat("0", 64)); !errors.Is(err, ErrNotKept) {
			t.Errorf("another file: %v", err)
		}
		return g.Downloads()
	}
	cold := run()
	path := cache{dir: dir}.path(sum(wheel))
	if kept, err := os.ReadFile(path); err != nil || string(kept) != string(wheel) {
		t.Fatalf("cache has %d bytes, %v", len(kept), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
	// A changed file is noticed, removed and fetched again.
	if err := os.WriteFile(path, append([]byte("x"), wheel[1:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(urlsOf(cold), urlsOf(run())); diff != "" {
		t.Errorf("after a changed file:\n%s", diff)
	}
	// A warm run needs no file host.
	files.Config.Handler = http.NotFoundHandler()
	if diff := cmp.Diff(urlsOf(cold), urlsOf(run())); diff != "" {
		t.Errorf("warm run:\n%s", diff)
	}
	// A cache that cannot be used is none.
	files.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(wheel) })
	dir = filepath.Join(path, "below a file")
	run()
}

func urlsOf(all []evidence.Download) []string {
	var urls []string
	for _, d := range all {
		urls = append(urls, d.URL+" "+d.Digests["sha256"])
	}
	return urls
}

// TestServeEnds has a request to a silent index when the context ends.
func TestServeEnds(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	defer index.Close()
	g, stop := start(t, Config{Indexes: []string{index.URL + "/simple"}, Timeout: time.Minute, Retries: 5})
	client := make(chan error, 1)
	go func() {
		answer, err := http.Get(g.base + "/i0/simple/six/")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode < 500 {
				err = errors.New(answer.Status)
			} else {
				err = nil
			}
		}
		client <- err
	}()
	<-asked
	begin := time.Now()
	stop()
	<-client
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the request to the index did not end")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	if p := g.Problems(); len(p) != 0 {
		t.Errorf("the end is recorded as a problem: %+v", p)
	}
}

// TestConcurrent has many clients ask for the same and for different things.
func TestConcurrent(t *testing.T) {
	index, _ := jsonIndex(t)
	g, stop := start(t, Config{Indexes: []string{index.URL + "/simple", index.URL + "/simple/"}, CacheDir: t.TempDir()})
	done := make(chan error)
	const clients = 24
	for i := range clients {
		go func() {
			path := fmt.Sprintf("%s/i%d/simple/six/", g.base, i%2)
			if i%5 == 0 {
				path = fmt.Sprintf("http://%s/intruder/%d", g.addr, i)
			}
			r, _ := http.NewRequest("GET", path, nil)
			r.Header.Set("Accept", pipAccept)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				done <- err
				return
			}
			defer answer.Body.Close()
			var p inside
			if json.NewDecoder(answer.Body).Decode(&p) == nil && len(p.Files) > 0 {
				file, err := http.Get("http://" + g.addr + p.Files[0]["url"].(string))
				if err != nil {
					done <- err
					return
				}
				body, err := io.ReadAll(file.Body)
				file.Body.Close()
				if err == nil && sum(body) != sum(wheel) {
					err = fmt.Errorf("%d wrong bytes", len(body))
				}
				done <- err
				return
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	stop()
	if d, in := g.Downloads(), g.Intruders(); len(d) != 2 || len(in) != 5 {
		t.Errorf("%d downloads, %d intruders", len(d), len(in))
	}
}

func TestAcceptsJSON(t *testing.T) {
	for accept, want := range map[string]bool{
		pipAccept: true, "": false, "*/*": false, "text/html": false, typeJSON: true, typeJSON + ";q=0.1, text/html": false,
		"application/vnd.pypi.simple.latest+json, text/html;q=0.5": true, typeJSON + "; q=0": false, typeJSON + "; q=x": false,
	} {
		if got := acceptsJSON(accept); got != want {
			t.Errorf("acceptsJSON(%q) = %v", accept, got)
		}
	}
}

func TestNetrc(t *testing.T) {
	text := "# hosts\nmachine a.example login \"us er\" password p#1\nmacdef init\nmachine no.example login x password y\n\n" +
		"default login any password \\\"q\nmachine B.example\n\tlogin b\n\taccount acc password \"x y\"\nmachine c.example login only\nmachine"
	want := []machine{{"a.example", "us er", "p#1"}, {"b.example", "b", "x y"}, {"", "any", `"q`}}
	if diff := cmp.Diff(want, parseNetrc(text), cmp.AllowUnexported(machine{})); diff != "" {
		t.Errorf("netrc (-want +got):\n%s", diff)
	}
}

func TestCredentialsOrigin(t *testing.T) {
	c := Config{Indexes: []string{"https://one:1@index.example/a/simple", "https://two:2@index.example/b/simple", "http://plain:3@index.example:8080/simple"}}
	sources, err := newSources(c)
	if err != nil {
		t.Fatal(err)
	}
	known, err := newCredentials(c, sources)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"https://index.example/a/simple/six/": "one", "https://index.example/b/simple": "two", "https://index.example:443/b/simple/x": "two",
		"https://INDEX.example/files/x": "one", "http://index.example/a/simple/": "", "http://index.example:8080/x": "plain",
		"https://index.example:8443/a/simple/": "", "https://other.example/a/simple/": "", "https://own:4@other.example/x": "own",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{URL: u, Header: make(http.Header)}
		known.apply(r)
		user, _, _ := r.BasicAuth()
		if user != want || r.URL.User != nil {
			t.Errorf("%s: user %q, want %q; URL %s", target, user, want, r.URL)
		}
	}
}

func FuzzParsePage(f *testing.F) {
	f.Add(typeText, []byte(`<base href="//x/"><a href="a-1.zip#sha256=00" data-yanked data-core-metadata=sha256=1>`))
	f.Add(typeJSON, []byte(`{"meta":{"api-version":"1.0"},"files":[{"url":"a-1.zip","hashes":{"sha256":"00","x":1},"yanked":"y","size":1e99,"core-metadata":{}}]}`))
	f.Add(typeHTML+"; charset=latin-1", []byte("<a href=\xe9-1.zip>"))
	f.Add(typeJSON, []byte(`{"files":[{"url":"http://u:p@[::1]/%2F..%2fa-1.whl"}]}`))
	base, _ := url.Parse("https://user:" + secretWord + "@index.example/simple/six/")
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		p, err := parsePage(kind, body, base)
		if err != nil {
			return
		}
		where := func(l *link) (string, error) {
			e := &entry{link: *l}
			if strings.Contains(l.filename, "/") || l.url.Scheme == "file" || !archiveName(l.filename) {
				t.Errorf("link %+v", l)
			}
			return e.path(), nil
		}
		for _, render := range []func(*page, fileURL) ([]byte, error){renderJSON, renderHTML} {
			out, err := render(p, where)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(out), secretWord) {
				t.Errorf("credential in %s", out)
			}
			again := typeHTML
			if out[0] == '{' {
				again = typeJSON
			}
			q, err := parsePage(again, out, base)
			if err != nil || len(q.links) != len(p.links) {
				t.Errorf("page is not read again: %v, %d files of %d: %s", err, len(q.links), len(p.links), out)
			}
		}
	})
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password \"c\\\"\ndefault login x password y")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseNetrc(text) {
			if m.password == "" {
				t.Errorf("entry without a password: %+v", m)
			}
		}
	})
}

// BenchmarkFile is the throughput of one file from an index on loopback, and
// BenchmarkWarmFile the same from the cache.
func BenchmarkFile(b *testing.B)     { benchmarkFile(b, "") }
func BenchmarkWarmFile(b *testing.B) { benchmarkFile(b, b.TempDir()) }

func benchmarkFile(b *testing.B, cacheDir string) {
	content := []byte(strings.Repeat("0123456789abcdef", 4<<20)) // 64 MiB
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".whl") {
			w.Write(content)
			return
		}
		w.Header().Set("Content-Type", typeText)
		fmt.Fprintf(w, `<a href="big-1.whl#sha256=%s">x</a>`, sum(content))
	}))
	defer index.Close()
	g, _ := start(b, Config{Indexes: []string{index.URL + "/simple"}, CacheDir: cacheDir})
	file := fileAt(b, g, getPage(b, g, "/i0/simple/big/").Files[0])
	fetch := func() {
		answer, err := http.Get(file)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil || n != int64(len(content)) {
			b.Fatal(n, err)
		}
	}
	fetch()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		fetch()
	}
}

// BenchmarkPage is a project page of 3,000 files, read and written.
func BenchmarkPage(b *testing.B) {
	p := &page{name: "big", version: "1.0"}
	base, _ := url.Parse("https://files.example/packages/")
	for i := range 3000 {
		l, _ := newLink(base, fmt.Sprintf("aa/bb/big-1.%d-py3-none-any.whl", i))
		l.hashes["sha256"], l.requiresPython, l.uploadTime, l.size = sum([]byte{byte(i)}), ">=3.8", "2024-12-04T17:35:26.475808Z", 1000
		p.links = append(p.links, l)
	}
	body, err := renderJSON(p, func(l *link) (string, error) { return l.url.String(), nil })
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		g := &Gateway{secret: "s"}
		q, err := parsePage(typeJSON, body, base)
		if err != nil {
			b.Fatal(err)
		}
		if _, f := g.render(q, &source{name: "i"}, "", true); f != nil {
			b.Fatal(f)
		}
	}
}
