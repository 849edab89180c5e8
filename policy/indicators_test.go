package policy

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/rules"
)

func TestIndicatorsAreRead(t *testing.T) {
	text := `
network:
  address_lookups:
    hosts: [ip.example]
    source: a note
    date: 2026-11-25
  upload_commands:
    arguments: {ftpput: '^-u$'}
    source: a note
    date: "2026-11-25"
compromised_releases:
  releases:
    - {name: acme, versions: ["1.10"], source: a note, date: 2026-11-25}
own:
  indicators:
    - {kind: host, value: evil.example, reason: seen in March, source: a note, date: 2026-11-25}
    - {kind: address, value: 192.0.2.0/24, severity: HIGH, source: a note, date: 2026-11-25}
    - {kind: path, value: ~/.acme/**, source: a note, date: 2026-11-25}
    - {kind: command, value: '\bacme\b', source: a note, date: 2026-11-25}
    - {kind: sha256, value: "` + strings.Repeat("0a", 32) + `", source: a note, date: 2026-11-25}
    - {kind: package, value: acme==1.10, source: a note, date: 2026-11-25}
`
	changes, err := ParseIndicators([]byte(text), rules.FS)
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadCatalogue(rules.FS, changes)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := LoadCatalogue(rules.FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	lookups := func(c *Catalogue) map[string]any {
		return c.indicators["network"].(map[string]any)["address_lookups"].(map[string]any)
	}
	want := append(slices.Clone(lookups(shipped)["hosts"].([]any)), "ip.example")
	if diff := cmp.Diff(want, lookups(c)["hosts"]); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if got, want := lookups(c)["source"], lookups(shipped)["source"].(string)+"; a note"; got != want {
		t.Errorf("source %q, want %q", got, want)
	}
	if got := c.indicators["own"].(map[string]any)["indicators"].([]any); len(got) != 6 || got[0].(map[string]any)["date"] != "2026-11-25" {
		t.Errorf("own indicators: %v", got)
	}
}

func TestIndicatorsAreRefused(t *testing.T) {
	const said = ", source: a note, date: 2026-11-25}"
	own := func(entry string) string { return "own:\n  indicators:\n    - " + entry }
	tests := map[string]struct{ text, want string }{
		"empty":            {"", "read indicators: it is empty"},
		"a text":           {"hello", "line 1: the file: want a map, have a text"},
		"not YAML":         {"a: [", "read indicators: yaml:"},
		"two documents":    {"own: {}\n---\nown: {}", "more than one document"},
		"unknown file":     {"networks: {}", `line 1: networks: unknown key; there are "`},
		"unknown key":      {"network:\n  tor:\n    proxyports: [1]", `line 3: network.tor.proxyports: unknown key; there are "date", "proxy_ports"`},
		"unknown entry":    {"compromised_releases:\n  releases:\n    - {name: x, version: [\"1\"]" + said, `line 3: compromised_releases.releases[0].version: unknown key`},
		"no versions":      {"compromised_releases:\n  releases:\n    - {name: x" + said, "releases[0]: it has no versions"},
		"a number":         {"compromised_releases:\n  releases:\n    - {name: x, versions: [1.10]" + said, "versions[0]: want a text, have a number: put 1.10 in quotes"},
		"a list":           {"network:\n  tor: []", "line 2: network.tor: want a map, have a list"},
		"a map":            {"network:\n  exfiltration_services: {}", "want a list, have a map"},
		"a port as text":   {"network:\n  tor: {proxy_ports: [\"9\"]" + said, "proxy_ports[0]: want a number, have a text"},
		"nothing":          {"network:\n  tor: {proxy_ports: [~]" + said, "want a number, have nothing"},
		"no source":        {"network:\n  tor: {proxy_ports: [9], date: 2026-11-25}", "line 2: network.tor: it has no source"},
		"empty source":     {"network:\n  tor: {proxy_ports: [9], source: ' ', date: 2026-11-25}", "network.tor.source: it is empty"},
		"no date":          {own("{kind: host, value: a.example, source: x}"), "own.indicators[0]: it has no date"},
		"bad date":         {own("{kind: host, value: a.example, source: x, date: March}"), `"March" is no date such as`},
		"severity":         {own("{kind: host, value: a.example, severity: high" + said), `unknown severity "high"`},
		"shipped severity": {"teampcp:\n  hosts:\n    - {severity: BAD, hosts: [a.example]" + said, `teampcp.hosts[0].severity: unknown severity "BAD"`},
		"twice":            {"own: {}\nown: {}", "line 2: own: it is there twice"},
		"alias":            {"network: &a {}\nown: *a", "anchors and aliases are not read"},
		"kind":             {own("{kind: hosts, value: a.example" + said), `unknown kind "hosts"`},
		"host":             {own("{kind: host, value: 'https://a.example/x'" + said), `"https://a.example/x" is no host name`},
		"address":          {own("{kind: address, value: a.example" + said), "is neither an IP address nor a range"},
		"path":             {own("{kind: path, value: /etc/" + said), `"/etc/" is no path pattern`},
		"command":          {own("{kind: command, value: '('" + said), `"(" is no RE2 expression`},
		"digest":           {own("{kind: sha256, value: abc" + said), `"abc" is no SHA-256`},
		"package":          {own("{kind: package, value: 'acme>=1'" + said), `"acme>=1" is no package`},
		"version":          {own("{kind: package, value: 'acme==one'" + said), `"one" is no version`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseIndicators([]byte(tt.text), rules.FS)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, error %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestKeyedByName: a map that is listed as keyed by names is still there.
func TestKeyedByName(t *testing.T) {
	base := map[string]any{}
	if err := readIndicators(rules.FS, base); err != nil {
		t.Fatal(err)
	}
	for _, path := range keyedMaps() {
		var at any = base
		for key := range strings.SplitSeq(path, ".") {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		if _, ok := at.(map[string]any); !ok {
			t.Errorf("%s is no map of the shipped indicators", path)
		}
	}
}

// TestShippedShapes: each shipped file has the shape that is asked of a user's.
func TestShippedShapes(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "rules", "indicators", "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimSuffix(filepath.Base(name), ".yaml")
		text := key + ":\n  " + strings.ReplaceAll(string(data), "\n", "\n  ")
		if _, err := ParseIndicators([]byte(text), rules.FS); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOwnIndicatorsAreLookedFor: whatever modules a policy names, the user's own
// indicators are judged, and a policy that judges no command is refused.
func TestOwnIndicatorsAreLookedFor(t *testing.T) {
	changes := map[string]any{"own": map[string]any{"indicators": []any{map[string]any{"kind": "host", "value": "evil.example"}}}}
	modules := func(source string, changes map[string]any) ([]string, error) {
		p, err := Compile(context.Background(), []byte(source), Options{Modules: rules.FS, Now: time.Now(), Indicators: changes, Functionaries: []attestation.PublicKey{ownFunctionary(t)}})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, m := range p.Steps["s"].Attestations[0].RegoPolicies {
			names = append(names, m.Name)
		}
		return names, nil
	}
	const head = `{"steps": {"s": {"functionaries": [{"type": "publickey", "publickeyid": "..."}], "attestations": [`
	judged := head + `{"type": "command-run/v0.1", "regopolicies": ["secrets"]}]}}}`
	for name, tt := range map[string]struct {
		source  string
		changes map[string]any
		want    []string
	}{
		"without":      {judged, nil, []string{"secrets"}},
		"added":        {judged, changes, []string{"secrets", ownModule}},
		"named anyway": {head + `{"type": "command-run/v0.1", "regopolicies": ["user_ioc"]}]}}}`, changes, []string{ownModule}},
	} {
		got, err := modules(tt.source, tt.changes)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, source := range []string{
		head + `{"type": "command-run/v0.1"}]}}}`,
		head + `{"type": "pip-install/v0.1", "regopolicies": ["sbom"]}]}}}`,
	} {
		if _, err := modules(source, changes); err == nil || !strings.Contains(err.Error(), "nothing would look for them") {
			t.Errorf("error %v", err)
		}
	}
}

func ownFunctionary(t *testing.T) attestation.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attestation.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzParseIndicators(f *testing.F) {
	f.Add([]byte("own:\n  indicators:\n    - {kind: host, value: evil.example, source: x, date: 2026-11-25}\n"))
	f.Add([]byte("network:\n  tor: {proxy_ports: [9], source: x, date: 2026-11-25}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		changes, err := ParseIndicators(data, rules.FS)
		if err != nil {
			return
		}
		if _, err := LoadCatalogue(rules.FS, changes); err != nil {
			t.Errorf("what was accepted cannot be used: %v", err)
		}
	})
}
