package check

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pip-witness/internal/interpreter"
	"pip-witness/internal/testpkg"
)

// searching is a build that looks for the password of the index wherever a process
// can look: environments, command lines, memory, descriptors and maps of every
// process, and every file that it can read. The password is not in it: it knows
// a digest of it, and the mark that every form of it begins with. What it finds and
// how far it got goes into the module.
const searching = `
import base64, os, re, stat, time
mark = "%[1]s"
needles = [mark.encode(), mark[::-1].encode(), mark.encode().hex().encode()]
for shift in range(3):
    text = base64.b64encode(b"x" * shift + mark.encode()).decode()
    needles.append(text[[0, 2, 3][shift]:-4].encode())
pattern = re.compile(b"|".join(map(re.escape, needles)))
found, seen = [], {"environ": 0, "cmdline": 0, "mem": 0, "maps": 0, "fd": 0, "files": 0}
everything = %[2]s
me = str(os.getpid())

def look(where, data):
    if pattern.search(data):
        found.append(where)

for name, value in os.environ.items():
    look("environment " + name, (name + "=" + value).encode())

for pid in filter(str.isdigit, os.listdir("/proc")):
    for part in ("environ", "cmdline", "maps"):
        try:
            with open("/proc/%%s/%%s" %% (pid, part), "rb") as f:
                look("/proc/%%s/%%s" %% (pid, part), f.read())
            seen[part] += 1
        except OSError:
            pass
    try:
        for fd in os.listdir("/proc/%%s/fd" %% pid):
            look("fd %%s %%s" %% (pid, fd), os.readlink("/proc/%%s/fd/%%s" %% (pid, fd)).encode())
            seen["fd"] += 1
    except OSError:
        pass
    if pid == me:
        continue  # it has the needles itself
    try:
        with open("/proc/%%s/maps" %% pid) as maps, open("/proc/%%s/mem" %% pid, "rb", 0) as mem:
            for line in maps:
                span, rights = line.split()[:2]
                if "r" not in rights or "[v" in line:
                    continue
                start, end = (int(x, 16) for x in span.split("-"))
                try:
                    mem.seek(start)
                    look("/proc/%%s/mem %%s" %% (pid, line), mem.read(end - start))
                    seen["mem"] += 1
                except (OSError, ValueError):
                    pass
    except OSError:
        pass

here = os.path.realpath(os.getcwd())
# Where settings, the run and its user have their files, or all but pseudo files.
tops = ["/etc", "/home", "/root", "/run", "/srv", "/tmp", "/var", os.environ["HOME"]]
if everything:
    tops = [os.path.join("/", d) for d in os.listdir("/") if d not in ("proc", "sys")]
for folder, dirs, names in (entry for top in tops for entry in os.walk(top)):
    if not everything:
        dirs[:] = [d for d in dirs if d not in ("site-packages", ".cargo", ".rustup") and not re.fullmatch(r"python3\.\d+|3\.\d+\.\d+", d)]
    for name in names:
        path = os.path.join(folder, name)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode) or os.path.realpath(path).startswith(here + "/"):
                continue  # the sources, where the needles are
            with open(path, "rb") as f:
                for piece in iter(lambda: f.read(1 << 24), b""):
                    look(path, piece)
            seen["files"] += 1
        except OSError:
            pass
open("src/testpkg_search.py", "a").write("found = %%r\nseen = %%r\n" %% (found, seen))
`

// privateIndex serves one sdist to whoever has the password.
func privateIndex(t *testing.T, user, password string, sdist []byte, filename string) *httptest.Server {
	sum := sha256.Sum256(sdist)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/simple/testpkg-search/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<a href="/files/%s#sha256=%s">%[1]s</a>`, filename, hex.EncodeToString(sum[:]))
		case "/files/" + filename:
			_, _ = w.Write(sdist)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestIndexPasswordIsNotInside gives the password of a private index in each way
// that pip knows and lets a build look for it.
func TestIndexPasswordIsNotInside(t *testing.T) {
	for _, c := range []struct {
		name       string
		configure  func(t *testing.T, r *Request, index *url.URL, user, password string)
		everything bool
	}{
		{"option", func(_ *testing.T, r *Request, index *url.URL, user, password string) {
			index.User = url.UserPassword(user, password)
			r.Flags.IndexURL = index.String()
		}, false},
		{"option, every file of the machine", func(t *testing.T, r *Request, index *url.URL, user, password string) {
			if os.Getenv("PIP_WITNESS_E2E") == "" {
				t.Skip("needs PIP_WITNESS_E2E=1 and a -timeout of an hour: the tracer hashes every file of the machine")
			}
			index.User = url.UserPassword(user, password)
			r.Flags.IndexURL = index.String()
		}, true},
		{"variable", func(t *testing.T, _ *Request, index *url.URL, user, password string) {
			index.User = url.UserPassword(user, password)
			t.Setenv("PIP_INDEX_URL", index.String())
		}, false},
		{"netrc in HOME", func(t *testing.T, r *Request, index *url.URL, user, password string) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("NETRC", "")
			writeNetrc(t, filepath.Join(home, ".netrc"), index, user, password)
			r.Flags.IndexURL = index.String()
		}, false},
		{"netrc elsewhere", func(t *testing.T, r *Request, index *url.URL, user, password string) {
			elsewhere := visibleDirectory(t)
			netrc := filepath.Join(elsewhere, "netrc")
			writeNetrc(t, netrc, index, user, password)
			t.Setenv("NETRC", netrc)
			r.Flags.IndexURL = index.String()
		}, false},
		{"configuration file elsewhere", func(t *testing.T, _ *Request, index *url.URL, user, password string) {
			index.User = url.UserPassword(user, password)
			file := filepath.Join(visibleDirectory(t), "pip.conf")
			if err := os.WriteFile(file, []byte("[global]\nindex-url = "+index.String()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PIP_CONFIG_FILE", file)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark, rest := randomHex(t), randomHex(t)
			password := mark + rest
			everything := "False"
			if c.everything {
				everything = "True"
			}
			p := testpkg.InTree{
				Wheel: testpkg.Wheel{Name: "testpkg-search", Version: "1.0", Files: map[string]string{"testpkg_search.py": "value = 1\n"}},
				Hook:  fmt.Sprintf(searching, mark, everything),
			}
			sdist, err := p.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			server := privateIndex(t, "me", password, sdist, p.Filename())
			index, err := url.Parse(server.URL + "/simple/")
			if err != nil {
				t.Fatal(err)
			}
			r := request(t, "testpkg-search")
			r.Flags = interpreter.Flags{}
			c.configure(t, &r, index, "me", password)
			r.Environ, r.Keep = os.Environ(), true
			if c.everything {
				r.Timeout = time.Hour
			}
			r.ImportEnvironments = []string{environmentPlain}
			seen := observe(t, r)
			t.Cleanup(func() { os.RemoveAll(seen.Directory) })
			command := seen.Steps[0].Command
			if command.ExitCode != 0 || len(seen.Steps) != 2 {
				t.Fatalf("status %d, problems %q\n%s", command.ExitCode, seen.Problems, command.Stderr)
			}
			module := read(t, filepath.Join(seen.Directory, dirHome, "venv/lib/python*/site-packages/testpkg_search.py"))
			if !strings.Contains(module, "found = []\n") {
				t.Errorf("the build found the password: %s", module)
			}
			for _, part := range []string{"environ", "cmdline", "mem", "maps", "fd", "files"} {
				if strings.Contains(module, "'"+part+"': 0") || !strings.Contains(module, "'"+part+"': ") {
					t.Errorf("the build looked at no %s: %s", part, module)
				}
			}
			// The mark is in the package; what follows it is the index's secret.
			holdsNowhere(t, seen, rest, base64.StdEncoding.EncodeToString([]byte("me:"+password)))
			t.Log(module)
		})
	}
}

// TestSearchFinds shows that the search works: a file that can be read inside, and
// the environment of another process, give the mark away.
func TestSearchFinds(t *testing.T) {
	mark := randomHex(t)
	file := filepath.Join(visibleDirectory(t), "note")
	if err := os.WriteFile(file, []byte("here: "+base64.StdEncoding.EncodeToString([]byte("user:"+mark+"0000"))), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testpkg.InTree{
		Wheel: testpkg.Wheel{Name: "testpkg-search", Version: "1.0", Files: map[string]string{"testpkg_search.py": "value = 1\n"}},
		Hook:  fmt.Sprintf(searching, mark, "False"),
	}
	sdist, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), p.Filename())
	if err := os.WriteFile(path, sdist, 0o644); err != nil {
		t.Fatal(err)
	}
	r := request(t, path)
	r.Environ = append(os.Environ(), "CFLAGS=-D"+mark)
	r.Keep, r.ImportEnvironments = true, []string{environmentPlain}
	seen := observe(t, r)
	t.Cleanup(func() { os.RemoveAll(seen.Directory) })
	module := read(t, filepath.Join(seen.Directory, dirHome, "venv/lib/python*/site-packages/testpkg_search.py"))
	for _, want := range []string{"'environment CFLAGS'", "/environ'", "/mem ", "'" + file + "'"} {
		if !strings.Contains(module, want) {
			t.Errorf("the search did not find %s: %s", want, module)
		}
	}
}

func writeNetrc(t *testing.T, path string, index *url.URL, user, password string) {
	t.Helper()
	text := fmt.Sprintf("machine %s login %s password %s\n", index.Hostname(), user, password)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// visibleDirectory is a new directory of the host that can be seen inside: not in
// HOME and not in a temporary directory.
func visibleDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "pip-witness-test-")
	if err != nil {
		t.Skipf("needs a directory outside HOME and /tmp that can be written: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func randomHex(t *testing.T) string {
	t.Helper()
	raw := make([]byte, 12)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(raw)
}
