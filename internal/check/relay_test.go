package check

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pip-witness/internal/egress"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
)

// TestDirectURLAndRelay installs a wheel from the URL of the requirement, which
// comes through the gateway with the user's password. The wheel needs another from
// a host that the user allowed, which pip gets through a relay. What the import
// sends to that host stays inside.
func TestDirectURLAndRelay(t *testing.T) {
	const password = "pa55-of-the-files"
	o := newOutside(t)
	wheels := map[string][]byte{}
	for _, w := range []testpkg.Wheel{
		{
			Name: "testpkg-direct", Version: "1.0", Requires: []string{"testpkg-dep @ http://deps.test:8080/testpkg_dep-1.0-py3-none-any.whl"},
			Files: map[string]string{"testpkg_direct.py": `
import urllib.request
try:
    urllib.request.urlopen("http://deps.test:8080/from-the-import", timeout=2)
except OSError:
    pass
`},
		},
		{Name: "testpkg-dep", Version: "1.0", Files: map[string]string{"testpkg_dep.py": "value = 1\n"}},
	} {
		data, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		wheels["/"+w.Filename()] = data
	}
	files := func(password string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, p, _ := r.BasicAuth(); p != password || wheels[r.URL.Path] == nil {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(wheels[r.URL.Path])
		})
	}
	o.serve(t, "files.test:80", false, files(password))
	o.serve(t, "deps.test:8080", false, files(""))
	r := request(t, "testpkg-direct @ http://me:"+password+"@files.test/testpkg_direct-1.0-py3-none-any.whl")
	r.Environ, r.ImportEnvironments = o.environ(), []string{environmentPlain}
	r.AllowedHosts = []egress.Host{{Name: "deps.test", Port: 8080}}
	seen := observe(t, r)
	command := seen.Steps[0].Command
	if command.ExitCode != 0 || len(seen.Steps) != 2 {
		t.Fatalf("status %d, problems %q\n%s", command.ExitCode, seen.Problems, command.Stderr)
	}
	out, kept := relayed(command)
	if want := []string{"installer deps.test GET /testpkg_dep-1.0-py3-none-any.whl"}; !slices.Equal(out, want) || len(kept) != 0 {
		t.Errorf("relayed %q, kept %q; want %q", out, kept, want)
	}
	out, kept = relayed(seen.Steps[1].Command)
	if len(out) != 0 || !slices.ContainsFunc(kept, func(f string) bool { return strings.Contains(f, "GET /from-the-import") }) {
		t.Errorf("the import: relayed %q, kept %q", out, kept)
	}
	if n := o.requests("from-the-import"); n != 0 {
		t.Errorf("%d requests of the import arrived", n)
	}
	result := holdsNowhere(t, seen, password)
	denied := denying(result)
	ofInstall := slices.ContainsFunc(result.Findings, func(f policy.Finding) bool {
		return f.Severity >= policy.High && f.Step == "pip-install" && strings.HasPrefix(f.Rule, "NET_")
	})
	if result.Verdict != policy.Fail || !slices.Contains(denied, "IMPORT_NEW_CONNECTION") || ofInstall || slices.Contains(denied, "NET_NONPIP_INDEX") {
		t.Errorf("verdict %s, denied by %q, want of the network only what the import did", result.Verdict, denied)
	}
}
