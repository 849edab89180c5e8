package cli

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// osvzip FILE JSON… packs advisories, files of the script, into a database's zip.
func osvzip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: osvzip FILE JSON…")
	}
	var texts []string
	for _, name := range args[1:] {
		texts = append(texts, ts.ReadFile(name))
	}
	data, err := packAdvisories(texts...)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

func packAdvisories(texts ...string) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, text := range texts {
		f, err := w.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(f, text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// TestDBUpdateURL fetches a database from a server that is as it should be, and from
// some that are not.
func TestDBUpdateURL(t *testing.T) {
	whole, err := packAdvisories(`{"id":"X-1","affected":[{"package":{"ecosystem":"PyPI","name":"demo"},"versions":["1"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/whole", "/moved/whole":
			w.Write(whole)
		case "/moved":
			http.Redirect(w, r, "/moved/whole", http.StatusFound)
		case "/breaks":
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			w.Write(whole[:len(whole)/2])
		case "/page":
			io.WriteString(w, "<html>sign in first</html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	secret := strings.Replace(server.URL, "http://", "http://user:hunter2@", 1)
	for _, test := range []struct {
		url  string
		code int
		text string // of standard error
	}{
		{gone.URL, exitUndecided, "connection refused"},
		{secret + "/absent", exitUndecided, "404"},
		{server.URL + "/breaks", exitUndecided, "unexpected EOF"},
		{server.URL + "/page", exitUsage, "the database that was there stays"},
		{server.URL + "/whole", 0, "1 advisories"},
		{server.URL + "/moved", 0, "1 advisories"},
		{server.URL + "/page", exitUsage, "the database that was there stays"},
	} {
		dir := filepath.Join(os.Getenv("HOME"), "db")
		var out, errOut bytes.Buffer
		code := Main([]string{"db", "update", test.url, "--osv-db", dir}, strings.NewReader(""), &out, &errOut)
		if code != test.code || !strings.Contains(errOut.String(), test.text) || strings.Contains(errOut.String(), "hunter2") {
			t.Errorf("%s: code %d, want %d and %q\n%s", test.url, code, test.code, test.text, &errOut)
		}
		names, err := filepath.Glob(filepath.Join(dir, "osv-scalibr", "PyPI", "*"))
		if err != nil || len(names) > 1 || len(names) == 1 && filepath.Base(names[0]) != "all.zip" {
			t.Errorf("%s: left %q, %v", test.url, names, err)
		}
	}
	kept, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), "db", "osv-scalibr", "PyPI", "all.zip"))
	if err != nil || !bytes.Equal(kept, whole) {
		t.Errorf("the database is not the one that came whole: %v", err)
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2024, 5, 10, 12, 0, 0, 0, time.UTC)
	for newest, want := range map[string]int{"2024-05-10T11:00:00Z": 0, "2024-05-08T13:00:00Z": 1, "2025-01-01T00:00:00Z": 0, "": -1, "x": -1} {
		if got := age(newest, now); got != want {
			t.Errorf("%q: %d, want %d", newest, got, want)
		}
	}
}

func TestStayEncrypted(t *testing.T) {
	request := func(url string) *http.Request { return httptest.NewRequest(http.MethodGet, url, nil) }
	for name, test := range map[string]struct {
		from, to string
		before   int
		want     string
	}{
		"stays":       {"https://a.example/x", "https://b.example/y", 1, ""},
		"becomes":     {"http://a.example/x", "https://b.example/y", 1, ""},
		"plain":       {"http://a.example/x", "http://b.example/y", 1, ""},
		"opened":      {"https://a.example/x", "http://b.example/y", 1, "from https to http"},
		"goes around": {"https://a.example/x", "https://a.example/x", 10, "more than 10 redirects"},
	} {
		var before []*http.Request
		for range test.before {
			before = append(before, request(test.from))
		}
		err := stayEncrypted(request(test.to), before)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
