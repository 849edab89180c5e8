package verify_test

import (
	"context"
	"strings"
	"testing"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/policy"
	"pip-witness/rules"
	"pip-witness/verify"
)

// shipped is the built-in policy with the rules that are shipped.
func shipped(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, signer: key(t), owner: key(t)}
	p := must[*policy.Policy](t)(policy.Compile(context.Background(), policy.Builtin(), policy.Options{
		Functionaries: []attestation.PublicKey{w.signer.Public()}, Modules: rules.FS, Now: now(),
	}))
	w.policy = must[[]byte](t)(p.Marshal())
	return w
}

// TestShippedRules drives the built-in policy as `check` does: a theft at import
// is denied under the specification's ids, and honest evidence has no finding
// that fails a step.
func TestShippedRules(t *testing.T) {
	w := shipped(t)
	r := w.verify(w.both(evidence{}, evidence{})...)
	if r.Verdict == policy.Fail || r.Verdict == policy.Untrusted {
		t.Errorf("honest evidence: %s %+v %+v", r.Verdict, r.Findings, r.Steps)
	}
	theft := `{"cmd":["python"],"exitcode":0,"processes":[{"program":"/usr/bin/python3","processid":1,"role":"import-harness",
	  "openedfiles":{"/home/user/.ssh/id_rsa":{}},
	  "fileOps":{"opens":[{"path":"/home/user/.ssh/id_rsa","mode":"read","truth":"entry"}]},
	  "network":{"connections":[{"syscall":"connect","family":"AF_INET","address":"127.0.0.1","port":4444}]}}],
	  "coverage":{"complete":true,"losses":{},"sandbox":{"home":"/home/user","prefix":"/home/user/venv"}}}`
	r = w.verify(w.both(evidence{}, evidence{run: theft})...)
	want(t, r, policy.Fail, 1, "CRITICAL:IMPORT_CRED_ACCESS")
	want(t, r, policy.Fail, 1, "CRITICAL:IMPORT_NEW_CONNECTION")
	for _, f := range r.Findings {
		if strings.Contains(f.Message, "\n") || f.Rule == f.Module {
			t.Errorf("finding without a rule id, or of several lines: %+v", f)
		}
	}
}

// TestKeyKinds verifies evidence of both kinds of keys.
func TestKeyKinds(t *testing.T) {
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, policy.Builtin())
			ec := must[*seal.PrivateKey](t)(seal.GenerateKey(kind))
			w.edit(func(p map[string]any) {
				p["publickeys"] = map[string]any{ec.KeyID(): map[string]any{"keyid": ec.KeyID(), "key": ec.Public().PEM()}}
				for _, s := range p["steps"].(map[string]any) {
					s.(map[string]any)["functionaries"] = []any{map[string]any{"type": "publickey", "publickeyid": ec.KeyID()}}
				}
			})
			w.signer, w.owner = ec, ec
			want(t, w.verify(w.both(evidence{}, evidence{})...), policy.Pass, 0, "")
		})
	}
}

// BenchmarkShipped verifies small evidence with the shipped rules: what is left
// is the cost of compiling the modules.
func BenchmarkShipped(b *testing.B) {
	w := shipped(b)
	req := w.request(w.both(evidence{}, evidence{})...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify.Verify(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
