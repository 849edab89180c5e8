package secretscan

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

// environment is a layout over a host directory, with the tree before.
func environment(t testing.TB, existing map[string]string) (string, *attest.Input) {
	t.Helper()
	dir := t.TempDir()
	in := &attest.Input{Layout: attest.Layout{
		Prefix: "/home/user/venv", Home: "/home/user", SitePackages: []string{"/home/user/venv/lib/python3.11/site-packages"},
		Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}},
	}}
	put(t, dir, existing)
	in.Before = tree(t, in.Layout)
	return dir, in
}

func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func tree(t testing.TB, l attest.Layout) *evidence.Tree {
	t.Helper()
	out, err := walk.Tree(t.Context(), l, []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func scan(t *testing.T, in *attest.Input) *Predicate {
	t.Helper()
	in.After = tree(t, in.Layout)
	got, err := Attestor().Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*Predicate)
}

// random returns n random characters of an alphabet, always the same for a seed.
func random(seed uint64, n int, alphabet string) string {
	r := rand.New(rand.NewPCG(seed, 9))
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(out)
}

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

const site = "venv/lib/python3.11/site-packages/"

// TestPlantedKeys puts made-up keys, assembled here, into an installation.
func TestPlantedKeys(t *testing.T) {
	keys := []struct {
		rule, key string
		class     Class
	}{
		{"aws-access-token", "AK" + "IA" + random(1, 16, upper), ClassSpecific},
		{"github-pat", "gh" + "p_" + random(2, 36, alnum), ClassSpecific},
		{"github-app-token", "gh" + "s_" + random(3, 36, alnum), ClassSpecific},
		{"gitlab-pat", "gl" + "pat-" + random(4, 20, alnum), ClassSpecific},
		{"stripe-access-token", "sk" + "_live_" + random(5, 24, alnum), ClassSpecific},
		{"slack-bot-token", "xo" + "xb-" + random(6, 12, "0123456789") + "-" + random(7, 12, "0123456789") + random(8, 24, alnum), ClassSpecific},
		{"gcp-api-key", "AI" + "za" + random(9, 35, alnum), ClassSpecific},
		{"npm-access-token", "np" + "m_" + random(10, 36, alnum), ClassSpecific},
		{"private-key", "-----BEGIN " + "PRIVATE KEY-----\n" + random(12, 64, alnum) + "\n" + random(13, 64, alnum) + "\n-----END " + "PRIVATE KEY-----", ClassSpecific},
		{"generic-api-key", random(14, 40, alnum), ClassGeneric},
	}
	dir, in := environment(t, map[string]string{"venv/pyvenv.cfg": "x", site + "old.py": "k = '" + keys[0].key + "'\n"})
	want := make(map[string]string)
	for i, k := range keys {
		name := fmt.Sprintf("%spkg/m%02d.py", site, i)
		put(t, dir, map[string]string{name: "\n# gitleaks:allow\n\napi_key = '" + k.key + "'  # gitleaks:allow\n"})
		sum := sha256.Sum256([]byte(k.key))
		want["/home/user/"+name] = fmt.Sprint(k.rule, " ", k.class, " ", hex.EncodeToString(sum[:]))
	}
	got := scan(t, in)
	for _, f := range got.Findings { // some keys are found by two rules
		if want[f.Location] == fmt.Sprint(f.RuleID, " ", f.Class, " ", f.Secret["sha256"]) {
			delete(want, f.Location)
		}
		if f.StartLine != 4 {
			t.Errorf("%s is on line %d, want 4", f.Location, f.StartLine)
		}
	}
	if len(want) != 0 {
		t.Errorf("not found: %v\nfindings: %+v", want, got.Findings)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if strings.Contains(string(data), k.key) || strings.Contains(string(data), k.key[len(k.key)/2:]) {
			t.Errorf("the key of %s is in the predicate", k.rule)
		}
	}
	if got.Scanned.Files != len(keys) {
		t.Errorf("%d files scanned, want the %d that were installed", got.Scanned.Files, len(keys))
	}
	again, err := json.Marshal(scan(t, in))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(data), string(again)); d != "" {
		t.Errorf("a second scan differs:\n%s", d)
	}
}

func TestEncodedKey(t *testing.T) {
	dir, in := environment(t, nil)
	key := "gh" + "p_" + random(20, 36, alnum)
	put(t, dir, map[string]string{site + "p.py": "x = '" + base64.StdEncoding.EncodeToString([]byte("token = '"+key+"'")) + "'\n"})
	sum := sha256.Sum256([]byte(key))
	for _, f := range scan(t, in).Findings {
		if f.RuleID == "github-pat" && f.Secret["sha256"] == hex.EncodeToString(sum[:]) {
			if d := cmp.Diff([]string{"base64"}, f.EncodingPath); d != "" || !f.LocationApproximate {
				t.Errorf("finding = %+v", f)
			}
			return
		}
	}
	t.Error("a base64-encoded key was not found")
}

func TestWhatIsScanned(t *testing.T) {
	key := "gh" + "p_" + random(30, 36, alnum)
	dir, in := environment(t, nil)
	text := "token = '" + key + "'\n"
	put(t, dir, map[string]string{
		"outside.py":             text, // not in the environment
		"venv/bin/tool":          text,
		site + "a.py":            text,
		site + "a-1.dist-info/x": text, // gitleaks would leave these four out by their names
		site + "picture.png":     text,
		site + "data.zip.txt":    text,
		site + "node_modules/a":  text,
		site + "a.pyc":           text,
		site + "real.png":        "\x89PNG\r\n\x1a\n\x00\x00" + text,
		site + "lib.so":          "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60) + text,
		site + "empty.py":        "",
	})
	if err := os.Symlink("/home/user/outside.py", dir+"/"+site+"link.py"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(dir + "/" + site + "large.bin")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxFileSize + 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got := scan(t, in)
	var found []string
	for _, f := range got.Findings {
		if f.RuleID == "github-pat" {
			found = append(found, strings.TrimPrefix(f.Location, "/home/user/"))
		}
	}
	want := []string{"venv/bin/tool", site + "a-1.dist-info/x", site + "a.py", site + "data.zip.txt", site + "node_modules/a", site + "picture.png"}
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("found in (-want +got):\n%s", d)
	}
	reasons := make(map[string]string)
	for _, n := range got.NotScanned {
		reasons[strings.TrimPrefix(n.Path, "/home/user/"+site)] = n.Reason
	}
	if d := cmp.Diff(map[string]string{
		"real.png": "binary: image/png", "lib.so": "binary: an archive or a program, by its first bytes", "large.bin": "16777217 bytes, more than 16777216",
	}, reasons); d != "" {
		t.Errorf("not scanned (-want +got):\n%s", d)
	}
	if got.Bytecode.Files != 1 || got.Scanned.Files != 7 {
		t.Errorf("bytecode %+v, scanned %+v", got.Bytecode, got.Scanned)
	}
}

// TestHonestText scans the interpreter's own json and http packages.
func TestHonestText(t *testing.T) {
	stdlib := corpus(t)
	dir, in := environment(t, nil)
	for _, pkg := range []string{"json", "http", "email", "logging", "importlib"} {
		files, err := filepath.Glob(filepath.Join(stdlib, pkg, "*.py"))
		if err != nil || len(files) == 0 {
			t.Skipf("needs the package %s of the standard library", pkg)
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, map[string]string{site + pkg + "/" + filepath.Base(f): string(content)})
		}
	}
	got := scan(t, in)
	for _, f := range got.Findings {
		if f.Class == ClassSpecific {
			t.Errorf("a specific finding in honest text: %+v", f)
		}
	}
	if got.Scanned.Files < 40 {
		t.Errorf("%d files scanned, want at least 40", got.Scanned.Files)
	}
	if !strings.HasPrefix(got.Engine, "gitleaks v8") {
		t.Errorf("engine = %q", got.Engine)
	}
}

func TestClasses(t *testing.T) {
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	classes := s.classes()
	for id, want := range map[string]Class{
		"generic-api-key": ClassGeneric, "twitter-api-key": ClassGeneric, "jwt": ClassGeneric, "pkcs12-file": ClassGeneric, "heroku-api-key": ClassGeneric,
		"twilio-api-key": ClassGeneric, "aws-access-token": ClassSpecific, "github-pat": ClassSpecific, "private-key": ClassSpecific, "openai-api-key": ClassSpecific,
		"slack-webhook-url": ClassSpecific, "anthropic-api-key": ClassSpecific, "gcp-api-key": ClassSpecific, "dropbox-long-lived-api-token": ClassSpecific,
	} {
		if classes[id] != want {
			t.Errorf("rule %q is %q, want %q", id, classes[id], want)
		}
	}
}

func TestNothingInstalled(t *testing.T) {
	_, in := environment(t, map[string]string{site + "a.py": "x"})
	got := scan(t, in)
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "null") || len(got.Findings) != 0 {
		t.Errorf("predicate = %s", data)
	}
	if _, err := Attestor().Run(t.Context(), &attest.Input{Before: in.Before}); !errors.Is(err, attest.ErrNoTree) {
		t.Errorf("error = %v, want %v", err, attest.ErrNoTree)
	}
}
