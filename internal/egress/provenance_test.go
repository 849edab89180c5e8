package egress

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
)

// attestedIndex is an index with one project whose files have provenance objects.
func attestedIndex(t *testing.T, elsewhere string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/sdk/", func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || password != secretWord {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", typeJSON)
		fmt.Fprintf(w, `{"meta":{"api-version":"1.4","project-status":{"status":"archived","reason":"moved"}},"name":"SDK","versions":["1.0","1.1"],"files":[
			{"filename":"sdk-1.0.tar.gz","url":"../../files/sdk-1.0.tar.gz?token=%s","hashes":{"sha256":"00"},"size":12,"upload-time":"2026-01-02T03:04:05.123456Z","provenance":"/integrity/good"},
			{"filename":"sdk-1.1.tar.gz","url":"../../files/sdk-1.1.tar.gz","hashes":{},"yanked":"broken","provenance":%q}]}`, secretWord, elsewhere)
	})
	mux.HandleFunc("/simple/plain/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typeText)
		fmt.Fprint(w, `<a href="plain-1.0.tar.gz#sha256=00" data-provenance="https://other.example/p">plain-1.0.tar.gz</a>`)
	})
	mux.HandleFunc("/integrity/good", func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || password != secretWord {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"accept":%q}`, r.Header.Get("Accept"))
	})
	mux.HandleFunc("/integrity/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(100<<20))
		for range 100 { // 100 MiB
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/integrity/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"version":1,`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestListings(t *testing.T) {
	index := attestedIndex(t, "https://other.example/p")
	at, err := url.Parse(index.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.User, at.Path = url.UserPassword("user", secretWord), "/simple"
	g, stop := start(t, Config{Indexes: []string{at.String()}})
	getPage(t, g, "/i0/simple/sdk/")
	getPage(t, g, "/i0/simple/plain/")
	getPage(t, g, "/i0/simple/sdk/") // from the cache
	name := index.URL + "/simple"
	want := []evidence.IndexProject{{
		Name: "sdk", Index: name, Format: formatJSON, APIVersion: "1.4", Status: "archived", StatusReason: "moved", Versions: []string{"1.0", "1.1"},
		Files: []evidence.IndexFile{
			{
				Filename: "sdk-1.0.tar.gz", Digests: evidence.DigestSet{"sha256": "00"}, URL: index.URL + "/files/sdk-1.0.tar.gz?token=%3Credacted%3E", Size: 12,
				UploadTime: "2026-01-02T03:04:05.123456Z", Provenance: index.URL + "/integrity/good",
			},
			{Filename: "sdk-1.1.tar.gz", URL: index.URL + "/files/sdk-1.1.tar.gz", Size: -1, Yanked: "broken", Provenance: "https://other.example/p"},
		},
	}}
	got := g.Listings("sdk")
	if len(got) == 1 && strings.Contains(got[0].Files[0].URL, secretWord) {
		t.Error("the listing has a secret parameter")
	}
	want[0].Files[0].URL = got[0].Files[0].URL
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if plain := g.Listings("plain"); len(plain) != 1 || plain[0].Format != formatHTML || plain[0].APIVersion != "1.0" || plain[0].Versions != nil ||
		plain[0].Files[0].Provenance != "https://other.example/p" || plain[0].Files[0].Size != -1 {
		t.Errorf("%+v", plain)
	}
	if none := g.Listings("never-asked"); none != nil {
		t.Errorf("%+v", none)
	}
	stop()
	g.Close()
	body, err := g.Provenance(t.Context(), name, index.URL+"/integrity/good")
	if err != nil || string(body) != fmt.Sprintf(`{"accept":%q}`, provenanceAccept) {
		t.Errorf("after the end: %v, %s", err, body)
	}
}

func TestProvenance(t *testing.T) {
	index := attestedIndex(t, "")
	g, _ := start(t, Config{Indexes: []string{index.URL + "/simple", "http://plain.example/simple"}})
	name := index.URL + "/simple"
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was contacted") }))
	defer other.Close()
	for what, test := range map[string]struct{ index, location, want string }{
		"another host":    {name, other.URL + "/integrity/good", "is not the host of the index"},
		"another scheme":  {name, strings.Replace(index.URL, "http:", "https:", 1) + "/integrity/good", "is not the host of the index"},
		"file":            {name, "file:///etc/passwd", "not a URL"},
		"nothing":         {name, "", "not a URL"},
		"another index":   {"https://other.example/simple", index.URL + "/integrity/good", "no index of that name"},
		"plain HTTP":      {"http://plain.example/simple", "http://plain.example/p", "plain HTTP"},
		"no credentials":  {name, index.URL + "/integrity/good", "unauthorized"},
		"none there":      {name, index.URL + "/integrity/none", "not-found"},
		"100 MiB":         {name, index.URL + "/integrity/large", "larger than"},
		"truncated":       {name, index.URL + "/integrity/cut", "cut off"},
		"user in the URL": {name, strings.Replace(index.URL, "http://", "http://u:"+secretWord+"@", 1) + "/integrity/none", "not-found"},
	} {
		t.Run(what, func(t *testing.T) {
			body, err := g.Provenance(t.Context(), test.index, test.location)
			if err == nil || !strings.Contains(err.Error(), test.want) || body != nil {
				t.Fatalf("%v, want %q; %.50s", err, test.want, body)
			}
			if strings.Contains(err.Error(), secretWord) {
				t.Errorf("the error has a password: %v", err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := g.Provenance(ctx, name, index.URL+"/integrity/good"); err == nil {
		t.Error("a run that ended still asked")
	}
}
