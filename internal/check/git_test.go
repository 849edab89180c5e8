package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pip-witness/evidence"
	"pip-witness/internal/egress"
	"pip-witness/internal/pypi"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// outside is what exists beyond the sandbox for a test: servers on loopback, known
// by names that only a proxy resolves, as it is for users behind one.
type outside struct {
	proxy *httptest.Server
	mu    sync.Mutex
	hosts map[string]string // host:port → address on loopback
	asked []string          // "METHOD host path" of requests that reached a server
}

func newOutside(t *testing.T) *outside {
	o := &outside{hosts: map[string]string{}}
	transport := &http.Transport{}
	o.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if !strings.Contains(host, ":") {
			host += ":80"
		}
		o.mu.Lock()
		at := o.hosts[host]
		o.mu.Unlock()
		if at == "" {
			http.Error(w, "no such host", http.StatusBadGateway)
			return
		}
		if r.Method == http.MethodConnect {
			tunnel(w, at)
			return
		}
		(&httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", at
		}}).ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		o.proxy.CloseClientConnections()
		o.proxy.Close()
		transport.CloseIdleConnections()
	})
	return o
}

func tunnel(w http.ResponseWriter, at string) {
	server, err := net.Dial("tcp", at)
	if err != nil {
		http.Error(w, "refused", http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, rest)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}

// serve makes a server under a name, which counts what it is asked.
func (o *outside) serve(t *testing.T, host string, secure bool, handler http.Handler) *httptest.Server {
	t.Helper()
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked = append(o.asked, r.Method+" "+host+" "+r.URL.Path)
		o.mu.Unlock()
		handler.ServeHTTP(w, r)
	})
	s := httptest.NewUnstartedServer(counted)
	if secure {
		s.TLS = &tls.Config{}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts[host] = s.Listener.Addr().String()
	return s
}

// environ is the test's own with the proxy that knows the names.
func (o *outside) environ(more ...string) []string {
	env := os.Environ()
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, name+"="+o.proxy.URL)
	}
	return append(append(env, "no_proxy=", "NO_PROXY="), more...)
}

func (o *outside) requests(text string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, r := range o.asked {
		if strings.Contains(r, text) {
			n++
		}
	}
	return n
}

// gitServer serves the repositories below a directory with git's own server; with
// a password only to whoever has it.
func gitServer(t *testing.T, root, user, password string) http.Handler {
	t.Helper()
	program, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skipf("needs git: %v", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(program)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skipf("needs git-http-backend: %v", err)
	}
	served := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1"}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); password != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		served.ServeHTTP(w, r)
	})
}

// git runs git in a directory, without the settings of this machine.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a.example",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a.example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// unpack writes what is in an sdist, without its top directory.
func unpack(t *testing.T, sdist []byte, dir string) {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(sdist))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(zipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, ok := strings.Cut(h.Name, "/")
		if !ok || name == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// repository makes a repository with a package that builds itself, and its bare
// copy below root; hook runs in the build.
func repository(t *testing.T, root, name, hook string) (work, commit string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skipf("needs git: %v", err)
	}
	p := testpkg.InTree{Wheel: testpkg.Wheel{Name: name, Version: "1.0", Files: map[string]string{strings.ReplaceAll(name, "-", "_") + ".py": "value = 1\n"}}, Hook: hook}
	sdist, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	work = t.TempDir()
	unpack(t, sdist, work)
	git(t, work, "init", "-q", "-b", "main")
	git(t, work, "add", "-A")
	git(t, work, "commit", "-q", "-m", "first")
	git(t, work, "tag", "v1")
	publish(t, work, root, name)
	return work, git(t, work, "rev-parse", "HEAD")
}

func publish(t *testing.T, work, root, name string) {
	t.Helper()
	bare := filepath.Join(root, name+".git")
	if err := os.RemoveAll(bare); err != nil {
		t.Fatal(err)
	}
	git(t, work, "clone", "-q", "--bare", work, bare)
}

// relayed are the flows that went out, by role of the process, and those that did
// not: "role host METHOD path".
func relayed(command evidence.CommandRun) (out, kept []string) {
	for _, p := range command.Processes {
		for _, f := range p.Network.Flows {
			text := string(p.Role) + " " + f.Hostname + " " + f.HTTPRequest
			if f.Relayed {
				out = append(out, text)
			} else {
				kept = append(kept, text)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), kept
}

// holdsNowhere fails when a text is in the evidence.
func holdsNowhere(t *testing.T, o *Observation, texts ...string) *policy.Result {
	t.Helper()
	dir := t.TempDir()
	result, err := Judge(t.Context(), o, Judgement{Key: newKey(t), Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s holds %q", filepath.Base(path), text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Steps {
		raw := decodedPayload(t, s)
		for _, text := range texts {
			if strings.Contains(raw, text) {
				t.Errorf("the payload of %s holds %q", s.Name, text)
			}
		}
	}
	return result
}

func decodedPayload(t *testing.T, s StepEvidence) string {
	t.Helper()
	if len(s.Collection.Payload) == 0 {
		t.Fatalf("step %s has no payload", s.Name)
	}
	return string(s.Collection.Payload)
}

// subjectsOf are the digests of a step's subjects.
func subjectsOf(s StepEvidence) []map[string]string {
	var all []map[string]string
	for _, subject := range s.Collection.Subjects {
		all = append(all, subject.Digest)
	}
	return all
}

// sneaking is a build that tries to reach the host that the user named, directly
// and through what it finds in its environment.
const sneaking = `
import os, socket, urllib.request
said = []
try:
    answer = urllib.request.urlopen("http://code.test:8000/from-the-build", data=b"x", timeout=3).read()
    said.append("direct " + repr(answer))
except Exception as e:
    said.append("direct failed")
for name, value in os.environ.items():
    if name.startswith("GIT_CONFIG_KEY_") and value.startswith("url."):
        base = value[len("url."):-len(".insteadOf")]
        try:
            answer = urllib.request.urlopen(base + "testpkg-git.git/info/refs?service=git-upload-pack", timeout=3).read()
            said.append("gateway " + repr(answer))
        except urllib.error.HTTPError as e:
            said.append("gateway %d" % e.code)
open("src/testpkg_git.py", "a").write("said = " + repr(said) + "\n")
`

func TestGitRequirement(t *testing.T) {
	const password = "pa55-of-the-repository"
	root := t.TempDir()
	o := newOutside(t)
	_, commit := repository(t, root, "testpkg-git", sneaking)
	o.serve(t, "code.test:8000", false, gitServer(t, root, "me", password))
	r := request(t, "git+http://me:"+password+"@code.test:8000/testpkg-git.git@v1")
	r.Environ, r.Keep = o.environ(), true
	r.ImportEnvironments = []string{environmentPlain}
	seen := observe(t, r)
	t.Cleanup(func() { os.RemoveAll(seen.Directory) })
	command := seen.Steps[0].Command
	if command.ExitCode != 0 || len(seen.Steps) != 2 {
		t.Fatalf("status %d, problems %q\n%s", command.ExitCode, seen.Problems, command.Stderr)
	}

	site := filepath.Join(seen.Directory, dirHome, "venv/lib/python*/site-packages")
	module := read(t, filepath.Join(site, "testpkg_git.py"))
	if want := `said = ['direct failed', 'gateway 403']`; !strings.Contains(module, want) {
		t.Errorf("the build reached further: %s", module)
	}
	if n := o.requests("from-the-build"); n != 0 {
		t.Errorf("%d requests of the build arrived", n)
	}
	out, kept := relayed(command)
	want := []string{"installer code.test GET /testpkg-git.git/info/refs", "installer code.test POST /testpkg-git.git/git-upload-pack"}
	if !slices.Equal(out, want) {
		t.Errorf("relayed %q, want %q", out, want)
	}
	if !slices.ContainsFunc(kept, func(f string) bool { return strings.HasPrefix(f, "build-child code.test POST /from-the-build") }) {
		t.Errorf("the build's own connection is not in the record: %q", kept)
	}

	direct, err := pypi.ParseDirectURL([]byte(read(t, filepath.Join(site, "testpkg_git-1.0.dist-info/direct_url.json"))))
	if err != nil || direct.URL != "http://code.test:8000/testpkg-git.git" || direct.VCSInfo == nil ||
		*direct.VCSInfo != (pypi.VCSInfo{VCS: "git", RequestedRevision: "v1", CommitID: commit}) {
		t.Errorf("direct_url.json %+v (%v), want commit %s", direct, err, commit)
	}
	for _, s := range seen.Steps {
		if got := subjectsOf(s); len(got) != 1 || got[0]["gitCommit"] != commit {
			t.Errorf("subjects of %s: %v, want commit %s", s.Name, got, commit)
		}
	}
	for _, want := range []string{`"vcs":"git"`, `"requestedRevision":"v1"`, `"commit":"` + commit + `"`, `"directUrl":"http://code.test:8000/testpkg-git.git"`} {
		if !strings.Contains(decodedPayload(t, seen.Steps[0]), want) {
			t.Errorf("the evidence does not say %s", want)
		}
	}
	result := holdsNowhere(t, seen, password)
	if result.Verdict != policy.Fail || !slices.Contains(denying(result), "NET_BUILD_CONNECT") {
		t.Errorf("verdict %s, findings %+v, want fail for the build's connection", result.Verdict, result.Findings)
	}
	for _, f := range result.Findings {
		if strings.Contains(f.Message, "/git-remote-http") {
			t.Errorf("the installer's git is a finding: %s", f.Message)
		}
	}
}

// read returns the file that the pattern names.
func read(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q (%v)", pattern, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestGitOverTLS has its certificate and its password from the user's own
// settings, and the requirement in a file.
func TestGitOverTLS(t *testing.T) {
	const token = "t0ken-of-the-repository"
	root := t.TempDir()
	o := newOutside(t)
	_, commit := repository(t, root, "testpkg-git", "")
	// The certificate of the test server is for example.com.
	server := o.serve(t, "example.com:8443", true, gitServer(t, root, "token", token))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REPOSITORY_TOKEN", token)
	r := request(t)
	file := filepath.Join(r.WorkDir, "requirements.txt")
	text := "# the repository\ntestpkg-git @ \\\n  git+https://token:${REPOSITORY_TOKEN}@example.com:8443/testpkg-git # no revision\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r.RequirementFiles, r.ImportEnvironments = []string{file}, []string{environmentPlain}
	r.Environ = o.environ("GIT_SSL_CAINFO=" + ca)
	seen := observe(t, r)
	command := seen.Steps[0].Command
	if command.ExitCode != 0 {
		t.Fatalf("status %d, problems %q\n%s", command.ExitCode, seen.Problems, command.Stderr)
	}
	if got := subjectsOf(seen.Steps[0]); len(got) != 1 || got[0]["gitCommit"] != commit {
		t.Errorf("subjects %v, want commit %s", got, commit)
	}
	result := holdsNowhere(t, seen, token)
	if result.Verdict != policy.Pass {
		t.Errorf("verdict %s, problems %q, findings %+v", result.Verdict, seen.Problems, result.Findings)
	}

	// Without the certificate nothing is trusted.
	r.Environ = o.environ("GIT_SSL_CAINFO=", "SSL_CERT_FILE=", "REQUESTS_CA_BUNDLE=")
	seen = observe(t, r)
	if command := seen.Steps[0].Command; command.ExitCode == 0 || !strings.Contains(strings.Join(seen.Problems, "\n"), "tls") {
		t.Errorf("status %d with an unknown authority, problems %q", command.ExitCode, seen.Problems)
	}
	holdsNowhere(t, seen, token)
}

// TestGitSubmodule has a part of the repository on another host: it comes only
// when the user allows that host, and then by a relay.
func TestGitSubmodule(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	o := newOutside(t)
	work, _ := repository(t, root, "testpkg-git", "")
	repository(t, other, "part", "")
	o.serve(t, "code.test:80", false, gitServer(t, root, "", ""))
	o.serve(t, "parts.test:80", false, gitServer(t, other, "", ""))
	// The submodule's URL is the one of the other host, its content from here.
	git(t, work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", filepath.Join(other, "part.git"), "part")
	git(t, work, "config", "-f", ".gitmodules", "submodule.part.url", "http://parts.test/part.git")
	git(t, work, "commit", "-q", "-a", "-m", "with a part")
	publish(t, work, root, "testpkg-git")

	for _, c := range []struct {
		name    string
		allowed []egress.Host
		status  bool
	}{
		{"not allowed", nil, false},
		{"allowed", []egress.Host{{Name: "parts.test"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, "git+http://code.test/testpkg-git.git")
			r.Environ, r.AllowedHosts, r.ImportEnvironments = o.environ(), c.allowed, []string{environmentPlain}
			before := o.requests(" parts.test")
			seen := observe(t, r)
			command := seen.Steps[0].Command
			out, kept := relayed(command)
			if (command.ExitCode == 0) != c.status {
				t.Fatalf("status %d, problems %q, relayed %q, kept %q\n%s", command.ExitCode, seen.Problems, out, kept, command.Stderr)
			}
			part := "installer parts.test GET /part.git/info/refs"
			if slices.Contains(out, part) != c.status || (o.requests(" parts.test") > before) != c.status {
				t.Errorf("relayed %q, kept %q, %d requests", out, kept, o.requests(" parts.test")-before)
			}
			if !c.status && !slices.ContainsFunc(kept, func(f string) bool { return strings.HasPrefix(f, part) }) {
				t.Errorf("the submodule's host is not in the record: %q", kept)
			}
			result := judge(t, seen)
			if len(denying(result)) > 0 || (result.Verdict == policy.Pass) != c.status {
				t.Errorf("verdict %s, findings %+v", result.Verdict, result.Findings)
			}
			if c.status && !slices.Contains(command.Coverage.Sandbox.AllowedHosts, "parts.test") {
				t.Errorf("allowed hosts %q", command.Coverage.Sandbox.AllowedHosts)
			}
		})
	}
}

func TestGitOfThisMachine(t *testing.T) {
	work, commit := repository(t, t.TempDir(), "testpkg-git", "")
	r := request(t, "git+file://"+work+"@main#egg=testpkg-git")
	r.ImportEnvironments = []string{environmentPlain}
	seen := observe(t, r)
	command := seen.Steps[0].Command
	if command.ExitCode != 0 {
		t.Fatalf("status %d, problems %q\n%s", command.ExitCode, seen.Problems, command.Stderr)
	}
	if got := subjectsOf(seen.Steps[0]); len(got) != 1 || got[0]["gitCommit"] != commit {
		t.Errorf("subjects %v, want commit %s", got, commit)
	}
	if result := judge(t, seen); result.Verdict != policy.Pass {
		t.Errorf("verdict %s, findings %+v", result.Verdict, result.Findings)
	}
	raw, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("git-upload-pack")) {
		t.Error("git's own processes are not in the record")
	}
}
