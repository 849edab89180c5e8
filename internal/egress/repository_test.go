package egress

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smart is a server that answers as git's do, with what it was asked for.
func smart(t *testing.T, tell func(*http.Request)) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell(r)
		kind := "advertisement"
		if r.Method == http.MethodPost {
			kind = "result"
		}
		w.Header().Set("Content-Type", gitAnswer+kind)
		w.Header().Set("Set-Cookie", "session=secret")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL, r.Header.Get("Git-Protocol"), body)
	}))
	t.Cleanup(s.Close)
	return s
}

// repositories is a gateway with repositories, and ask, which asks it for a path of
// the n-th site.
func repositories(t *testing.T, c Config, urls ...string) (*Gateway, func(method string, n int, path string) (int, string, http.Header)) {
	t.Helper()
	c.Addr = "127.0.0.1:3141"
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	for _, u := range urls {
		if err := g.AddRepository(u); err != nil {
			t.Fatal(err)
		}
	}
	return g, func(method string, n int, path string) (int, string, http.Header) {
		t.Helper()
		r := httptest.NewRequest(method, fmt.Sprintf("%s/g/%d/%s", g.base, n, path), strings.NewReader("0000"))
		if method == http.MethodGet {
			r.Body = http.NoBody
		}
		r.Header.Set("Git-Protocol", "version=2")
		r.Header.Set("Authorization", "Basic aW5zaWRlOmluc2lkZQ==")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code, w.Body.String(), w.Header()
	}
}

const refsOf = "info/refs?service=git-upload-pack"

func withUser(t *testing.T, raw, user, password string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestRepositoryPassesFetchesOnly(t *testing.T) {
	var logins []string
	s := smart(t, func(r *http.Request) { logins = append(logins, r.Header.Get("Authorization")) })
	g, ask := repositories(t, Config{}, withUser(t, s.URL+"/a.git", "me", "hunter2"))
	status, body, header := ask(http.MethodGet, 0, "a.git/"+refsOf)
	if want := "GET /a.git/info/refs?service=git-upload-pack version=2 "; status != 200 || body != want || header.Get("Set-Cookie") != "" {
		t.Errorf("references: %d %q, cookies %q", status, body, header.Get("Set-Cookie"))
	}
	if status, body, _ := ask(http.MethodPost, 0, "a.git/git-upload-pack"); status != 200 || body != "POST /a.git/git-upload-pack version=2 0000" {
		t.Errorf("objects: %d %q", status, body)
	}
	// The password is for that repository; another of the server has none, and what
	// the inside sends is never passed on.
	ask(http.MethodGet, 0, "a/"+refsOf)
	ask(http.MethodGet, 0, "a.git.git/"+refsOf)
	ask(http.MethodGet, 0, "ab.git/"+refsOf)
	ask(http.MethodGet, 0, "b/a.git/"+refsOf)
	me := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:hunter2"))
	if want := []string{me, me, me, "", "", ""}; !slices.Equal(logins, want) {
		t.Errorf("logins %q, want %q", logins, want)
	}
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "a.git/HEAD"},
		{http.MethodGet, "a.git/info/refs"},
		{http.MethodGet, "a.git/info/refs?service=git-receive-pack"},
		{http.MethodPost, "a.git/git-receive-pack"},
		{http.MethodPost, "a.git/git-upload-pack?a=b"},
		{http.MethodPost, "a.git/info/refs?service=git-upload-pack"},
	} {
		if status, _, _ := ask(c.method, 0, c.path); status != 404 {
			t.Errorf("%s %s: %d, want 404", c.method, c.path, status)
		}
	}
	if status, _, _ := ask(http.MethodGet, 1, "a.git/"+refsOf); status != 404 {
		t.Errorf("a site that is none: %d", status)
	}
	if len(logins) != 6 {
		t.Errorf("%d requests arrived, want 6", len(logins))
	}
	flows := g.Flows()
	if len(flows) != 6 {
		t.Fatalf("%d flows, want 6", len(flows))
	}
	if f := flows[1]; !f.Relayed || f.Bytes != 4 || f.Received != 42 || f.HTTPRequest != "POST /a.git/git-upload-pack" || f.Hostname != "127.0.0.1" || f.Port != 3141 {
		t.Errorf("flow %+v", f)
	}
	if text := fmt.Sprint(flows, g.Problems()); strings.Contains(text, "hunter2") {
		t.Errorf("the records hold the password: %s", text)
	}
	inside := g.base + "/g/0/a.git"
	if real, ok := g.RealURL(inside); !ok || real != s.URL+"/a.git" {
		t.Errorf("real URL of %q: %q", inside, real)
	}
}

func TestRepositoryIsForTheInstaller(t *testing.T) {
	asked := 0
	s := smart(t, func(*http.Request) { asked++ })
	g, _ := repositories(t, Config{}, s.URL+"/a.git")
	installer := false
	g.Caller = func(int) (int, bool) { return 7, installer }
	server := httptest.NewUnstartedServer(g)
	server.Config.ConnContext = connContext
	server.Start()
	defer server.Close()
	get := func() int {
		t.Helper()
		answer, err := http.Get(server.URL + strings.TrimPrefix(g.base, "http://"+g.addr) + "/g/0/a.git/" + refsOf)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		server.CloseClientConnections()
		return answer.StatusCode
	}
	if status := get(); status != 403 || asked != 0 || len(g.Intruders()) != 1 {
		t.Errorf("package code got %d, %d requests, intruders %+v", status, asked, g.Intruders())
	}
	installer = true
	if status := get(); status != 200 || asked != 1 || g.Flows()[0].Process != 7 {
		t.Errorf("the installer got %d, %d requests, flows %+v", status, asked, g.Flows())
	}
}

func TestRepositoryRedirects(t *testing.T) {
	var logins []string
	tell := func(r *http.Request) {
		user, password, _ := r.BasicAuth()
		logins = append(logins, r.Host+r.URL.Path+" "+user+":"+password)
	}
	other := smart(t, tell)
	otherURL, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	var first *httptest.Server
	served := smart(t, tell)
	first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/old.git/info/refs"):
			http.Redirect(w, r, "/new.git/info/refs?"+r.URL.RawQuery, http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, "/away.git/info/refs"):
			http.Redirect(w, r, "http://localhost:"+otherURL.Port()+"/away.git/info/refs?"+r.URL.RawQuery, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/login.git/info/refs"):
			http.Redirect(w, r, "/login", http.StatusFound)
		case r.Method == http.MethodPost && r.URL.Path == "/posted.git/git-upload-pack":
			http.Redirect(w, r, "/new.git/git-upload-pack", http.StatusFound)
		default:
			served.Config.Handler.ServeHTTP(w, r)
		}
	}))
	defer first.Close()
	old := withUser(t, first.URL+"/old.git", "me", "hunter2")
	away := withUser(t, first.URL+"/away.git", "me", "hunter2")

	g, ask := repositories(t, Config{}, old, away)
	if status, body, _ := ask(http.MethodGet, 0, "old.git/"+refsOf); status != 200 || !strings.HasPrefix(body, "GET /new.git/info/refs") {
		t.Errorf("a new name: %d %q", status, body)
	}
	if status, body, _ := ask(http.MethodPost, 0, "old.git/git-upload-pack"); status != 200 || !strings.HasPrefix(body, "POST /new.git/git-upload-pack") {
		t.Errorf("objects under the new name: %d %q", status, body)
	}
	host := strings.TrimPrefix(first.URL, "http://")
	if want := []string{host + "/new.git/info/refs me:hunter2", host + "/new.git/git-upload-pack me:hunter2"}; !slices.Equal(logins, want) {
		t.Errorf("asked %q, want %q", logins, want)
	}
	for _, c := range []struct{ method, path, want string }{
		{http.MethodGet, "away.git/" + refsOf, "another host"},
		{http.MethodGet, "login.git/" + refsOf, "redirects to"},
		{http.MethodPost, "posted.git/git-upload-pack", "redirects to"},
	} {
		status, _, _ := ask(c.method, 0, c.path)
		problems := g.Problems()
		if status != 403 || len(problems) == 0 || !strings.Contains(problems[len(problems)-1].Message, c.want) {
			t.Errorf("%s: %d, problems %+v", c.path, status, problems)
		}
	}
	if len(logins) != 2 {
		t.Errorf("asked %q", logins[2:])
	}

	// The user allowed the other host: it is asked, without this one's password.
	logins = nil
	_, ask = repositories(t, Config{Allowed: []Host{{Name: "localhost"}}}, away)
	if status, _, _ := ask(http.MethodGet, 0, "away.git/"+refsOf); status != 200 {
		t.Errorf("allowed: %d", status)
	}
	if status, _, _ := ask(http.MethodPost, 0, "away.git/git-upload-pack"); status != 200 {
		t.Errorf("objects of the allowed host: %d", status)
	}
	at := "localhost:" + otherURL.Port()
	if want := []string{at + "/away.git/info/refs :", at + "/away.git/git-upload-pack :"}; !slices.Equal(logins, want) {
		t.Errorf("asked %q, want %q", logins, want)
	}
}

func TestRepositoryFailures(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/private.git/info/refs":
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "secret text", http.StatusUnauthorized)
		case "/dumb.git/info/refs":
			fmt.Fprint(w, "0000 refs/heads/main")
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	g, ask := repositories(t, Config{}, s.URL+"/a.git", "http://127.0.0.1:1/a.git")
	for _, c := range []struct {
		n      int
		path   string
		status int
		kind   ProblemKind
	}{
		{0, "private.git/", 403, Unauthorized}, // never 401: git would look for a password
		{0, "dumb.git/", 502, UpstreamError},
		{0, "absent.git/", 404, NotFound},
		{1, "a.git/", 502, Unreachable},
	} {
		status, body, header := ask(http.MethodGet, c.n, c.path+refsOf)
		problems := g.Problems()
		if status != c.status || problems[len(problems)-1].Kind != c.kind || strings.Contains(body, "secret") || header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %q, problems %+v; want %d %s", c.path, status, body, problems, c.status, c.kind)
		}
	}
}

func TestRepositoryByNetrc(t *testing.T) {
	var logins []string
	s := smart(t, func(r *http.Request) {
		user, password, _ := r.BasicAuth()
		logins = append(logins, user+":"+password)
	})
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine 127.0.0.1 login n password hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ask := repositories(t, Config{Environ: []string{"NETRC=" + netrc}}, withUser(t, s.URL+"/a.git", "me", "hunter2"))
	ask(http.MethodGet, 0, "a.git/"+refsOf)
	ask(http.MethodGet, 0, "b.git/"+refsOf)
	if want := []string{"me:hunter2", "n:hunter3"}; !slices.Equal(logins, want) {
		t.Errorf("logins %q, want %q", logins, want)
	}
}

func TestGitEnviron(t *testing.T) {
	g, _ := repositories(t, Config{})
	if env := g.GitEnviron(); env != nil {
		t.Errorf("without repositories %q", env)
	}
	g, _ = repositories(t, Config{}, "https://me:hunter2@code.example/a.git", "https://code.example/b.git", "http://code.example:8080/c.git")
	env := strings.Join(g.GitEnviron(), "\n")
	for _, want := range []string{
		"GIT_CONFIG_COUNT=5", "=url." + g.base + "/g/0/.insteadOf\nGIT_CONFIG_VALUE_3=https://code.example/",
		"=url." + g.base + "/g/1/.insteadOf\nGIT_CONFIG_VALUE_4=http://code.example:8080/",
	} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in\n%s", want, env)
		}
	}
	if strings.Contains(env, "hunter2") {
		t.Errorf("the password is inside:\n%s", env)
	}
	for _, raw := range []string{"ssh://git@code.example/a", "file:///a", "https:///a", "a"} {
		if err := g.AddRepository(raw); err == nil {
			t.Errorf("%q was added", raw)
		}
	}
}
