package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/interpreter"
)

// TestE2ERealPip downloads two real projects, once directly and once through the
// gateway, with the user's own pip and index, and compares the files.
func TestE2ERealPip(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") != "1" {
		t.Skip("needs PIP_WITNESS_E2E=1: it uses the configured package index")
	}
	python, err := interpreter.Discover(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	c := python.Config
	config := Config{
		TrustedHosts: c.TrustedHosts, Cert: c.Cert, ClientCert: c.ClientCert, Proxy: c.Proxy.Reveal(), ExtraBundle: python.PipBundle,
		Timeout: c.Timeout, Retries: c.Retries, Environ: os.Environ(), CacheDir: t.TempDir(),
	}
	for _, u := range c.Indexes() {
		config.Indexes = append(config.Indexes, u.Reveal())
	}
	for _, u := range c.FindLinks {
		config.FindLinks = append(config.FindLinks, u.Reveal())
	}
	projects := []string{"six==1.17.0", "requests==2.32.3"}
	download := func(environ []string, options ...string) (string, string) {
		dir := t.TempDir()
		args := slices.Concat(python.PipCommand()[1:], []string{"download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input", "-d", dir}, options, projects)
		cmd := exec.CommandContext(t.Context(), python.Executable, args...)
		cmd.Env = environ // nil: the user's own
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pip: %v\n%s", err, out)
		}
		return dir, string(out)
	}
	direct, _ := download(nil)

	clean := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "PIP_") || strings.HasSuffix(strings.ToLower(name), "_proxy")
	})
	for _, run := range []string{"cold", "warm"} {
		g, stop := start(t, config)
		var through, said string
		if run == "cold" {
			through, said = download(slices.Concat(clean, []string{"PIP_CONFIG_FILE=" + os.DevNull}), g.Options()...)
		} else {
			through, said = download(slices.Concat(clean, g.Environ()))
		}
		stop()
		if diff := cmp.Diff(digestsIn(t, direct), digestsIn(t, through)); diff != "" {
			t.Errorf("%s: files differ (-direct +gateway):\n%s", run, diff)
		}
		recorded := make(map[string]string)
		for _, d := range g.Downloads() {
			if d.UploadTime == "" || d.Expected["sha256"] == "" || d.Index != g.Indexes()[0] {
				t.Errorf("%s: record lacks what the index says: %+v", run, d)
			}
			if !d.Metadata {
				recorded[d.Filename] = d.Digests["sha256"]
			}
			t.Logf("%s: %s %d bytes, uploaded %s, provenance %v", run, d.Filename, d.Size, d.UploadTime, d.Provenance != "")
		}
		if diff := cmp.Diff(digestsIn(t, direct), recorded); diff != "" {
			t.Errorf("%s: records differ (-direct +records):\n%s", run, diff)
		}
		if p, in := g.Problems(), g.Intruders(); len(in) != 0 || slices.ContainsFunc(p, func(p Problem) bool { return p.Kind != NotFound }) {
			t.Errorf("%s: problems %+v, intruders %+v", run, p, in)
		}
		if real := g.RealText(said); strings.Contains(real, g.secret) || !strings.Contains(real, "Downloading https://") {
			t.Errorf("%s: output of pip with real URLs:\n%s", run, real)
		}
	}
}

// digestsIn maps the files of a directory to their SHA-256.
func digestsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := sha256.Sum256(data)
		all[filepath.Base(name)] = hex.EncodeToString(d[:])
	}
	return all
}
