package evidence

import (
	"os"
	"strings"
	"testing"
)

func testWatcher(t testing.TB) *Watcher {
	t.Helper()
	table, err := os.ReadFile("../rules/indicators/credential_paths.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWatcher(table, []string{"/srv/people/ann", ""}, []string{"/opt/python", "/root/venv"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWatcherMatch(t *testing.T) {
	tests := []struct{ path, want string }{
		{"/root/.ssh/id_rsa", "CRED_SSH_KEY"},
		{"/root/.ssh", "CRED_SSH_KEY"},
		{"/home/user/.ssh/id_ed25519", "CRED_SSH_KEY"},
		{"/srv/people/ann/.ssh/id_rsa", "CRED_SSH_KEY"},
		{"/root/./.aws/../.aws//credentials", "CRED_CLOUD"},
		{"/root/.config/gcloud/legacy_credentials/a/b.json", "CRED_CLOUD"},
		{"/home/user/.mozilla/firefox/x.default/key4.db", "CRED_BROWSER"},
		{"/proc/1/environ", "CRED_PROC_ENVIRON"},
		{"/proc/7/task/8/mem", "CRED_PROC_MEM"},
		{"/etc/ssh/ssh_host_ed25519_key", "CRED_SSH_KEY"},
		{"/srv/app/.env", "CRED_DOTENV"},
		{"/root/documents/all.kdbx", "CRED_PASSWORD_MANAGER"},
		{"/home/runner/runners/2.3/.credentials", "CRED_CI_OIDC"},
		{"/root/.config/solana/my-keypair-2.json", "CRED_CRYPTO_WALLET"},

		{"/root/.config/gcloud/legacy_credentials", ""},
		{"/root/.ssh/id_rsa/x", ""},
		{"/etc/ssh/ssh_host_ed25519_key.pub", ""},
		{"/home/.ssh/id_rsa", ""},
		{"/srv/.ssh/id_rsa", ""},
		{"/root/venv/lib/python3.11/site-packages/x/.env", ""},
		{"/root/venv/share/.env", ""},
		{"/opt/python/lib/python3.11/.env", ""},
		{"/tmp/pip-req-build-x/.env", ""},
		{"/tmp/build/.env", ""},
		{"/root/.cache/pip/selfcheck/.env", ""},
		{"/srv/app/.kdbx", ""},
		{"/usr/share/x.p12", ""},
		{"relative/.env", ""},
		{"/", ""},
		{"", ""},
	}
	w := testWatcher(t)
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			if family, ok := w.Match(tt.path); family != tt.want || ok != (tt.want != "") {
				t.Errorf("Match(%q) = %q, %t, want %q", tt.path, family, ok, tt.want)
			}
		})
	}
}

func TestNewWatcherErrors(t *testing.T) {
	tests := []struct{ name, table, want string }{
		{"not YAML", "\t", "read the table"},
		{"no entries", "entries: []", "no entries"},
		{"relative path", `entries: [{rule: A, paths: ["x/y"]}]`, `credential path "x/y"`},
		{"wildcard first", `entries: [{rule: A, paths: ["~/.*"]}]`, "literal first element"},
		{"two stars inside", `entries: [{rule: A, paths: ["~/.a/**/b"]}]`, "at the end only"},
		{"unclean", `entries: [{rule: A, paths: ["/a/../b"]}]`, "credential path"},
		{"class", `entries: [{rule: A, paths: ["/a/[bc]"]}]`, "credential path"},
		{"name with path", `entries: [{rule: A, names: ["a/b"]}]`, "credential name"},
		{"empty name", `entries: [{rule: A, names: ["*"]}]`, "credential name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewWatcher([]byte(tt.table), nil, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMatchElement(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"*", "", true}, {"a*", "a", true}, {"a*b", "ab", true}, {"a*b", "axb", true},
		{"a*a", "a", false}, {"*x*y", "axby", true}, {"*x*y", "ayx", false}, {"a*b*c", "abbc", true},
	}
	for _, tt := range tests {
		t.Run(tt.pattern+" "+tt.s, func(t *testing.T) {
			if got := matchElement(tt.pattern, tt.s); got != tt.want {
				t.Errorf("matchElement = %t", got)
			}
		})
	}
}

func FuzzWatcherMatch(f *testing.F) {
	for _, p := range []string{"/root/.ssh/id_rsa", "/home/", "//", "/proc/1/environ", "/a/../root/.env", "\x00", "/home/a/.aws"} {
		f.Add(p)
	}
	w := testWatcher(f)
	f.Fuzz(func(t *testing.T, p string) {
		family, ok := w.Match(p)
		if ok != (family != "") {
			t.Errorf("Match(%q) = %q, %t", p, family, ok)
		}
	})
}

func BenchmarkWatcherMatch(b *testing.B) {
	w := testWatcher(b)
	for b.Loop() {
		w.Match("/root/.config/matplotlib/matplotlibrc")
		w.Match("/usr/include/x86_64-linux-gnu/bits/types.h")
		w.Match("/root/.ssh/id_rsa")
	}
}
