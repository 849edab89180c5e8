package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/policy"
	"pip-witness/verify"
)

func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func key(t testing.TB) *seal.PrivateKey {
	t.Helper()
	k, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wheel is the subject that all honest evidence of the tests shares.
func wheel() attestation.Subject {
	return attestation.Subject{Name: "six-1.17.0-py2.py3-none-any.whl", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}
}

const coverage = `"coverage":{"complete":true,"losses":{}}`

// cleanRun is a command-run predicate in which nothing happened.
const cleanRun = `{"cmd":["python"],"exitcode":0,"processes":[{"program":"/usr/bin/python3","processid":1,"openedfiles":{"/usr/lib/os.py":{}},"network":{}}],` + coverage + `}`

// evidence describes the collection of one step.
type evidence struct {
	name     string
	run      string            // command-run predicate; empty means cleanRun
	more     map[string]string // further predicates by type; "" removes a type
	subjects []attestation.Subject
	start    time.Time
}

// types are the attestations of honest evidence besides command-run.
func types(step string) []string {
	if step == "pip-import" {
		return []string{attestation.TypeEnvironment, attestation.TypeOmnitrail}
	}
	return []string{
		attestation.TypePipInstall, attestation.TypeOmnitrail, attestation.TypeSecretScan, attestation.TypeSBOM, attestation.TypeSLSA,
		attestation.TypeEnvironment, attestation.TypeMaterial, attestation.TypeProduct,
	}
}

func (e evidence) payload(t testing.TB) []byte {
	t.Helper()
	if e.run == "" {
		e.run = cleanRun
	}
	if e.subjects == nil {
		e.subjects = []attestation.Subject{wheel()}
	}
	if e.start.IsZero() {
		e.start = now().Add(-time.Hour)
	}
	predicates := map[string]string{attestation.TypeCommandRun: e.run}
	for _, uri := range types(e.name) {
		predicates[uri] = "{}"
	}
	if _, ok := predicates[attestation.TypePipInstall]; ok {
		predicates[attestation.TypePipInstall] = `{"packages":[{"name":"six","version":"1.17.0"}]}`
	}
	for uri, p := range e.more {
		if predicates[uri] = p; p == "" {
			delete(predicates, uri)
		}
	}
	c := attestation.Collection{Name: e.name}
	var uris []string
	for uri := range predicates {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	for _, uri := range uris {
		c.Attestations = append(c.Attestations, attestation.CollectionAttestation{
			Type: uri, Attestation: json.RawMessage(predicates[uri]), StartTime: e.start, EndTime: e.start.Add(time.Minute),
		})
	}
	predicate := must[[]byte](t)(json.Marshal(c))
	return must[[]byte](t)(json.Marshal(attestation.Statement{
		Type: attestation.StatementType, Subject: e.subjects, PredicateType: attestation.CollectionType, Predicate: predicate,
	}))
}

func (e evidence) sign(t testing.TB, k *seal.PrivateKey) verify.Document {
	t.Helper()
	env := must[attestation.Envelope](t)(attestation.Sign(context.Background(), attestation.PayloadType, e.payload(t), k))
	return verify.Document{Name: e.name + ".json", Data: must[[]byte](t)(env.Marshal())}
}

// shorten is a policy source of the two steps with the given modules.
func source(t testing.TB, install, imported []any) []byte {
	t.Helper()
	fn := []any{map[string]any{"type": "publickey", "publickeyid": "..."}}
	att := func(uri string, modules []any) any { return map[string]any{"type": uri, "regopolicies": modules} }
	return must[[]byte](t)(json.Marshal(map[string]any{"steps": map[string]any{
		"pip-install": map[string]any{"functionaries": fn, "attestations": []any{
			att("command-run/v0.1", install), att("omnitrail/v0.1", nil), att("sbom/v0.1", nil)}},
		"pip-import": map[string]any{"functionaries": fn, "attestationsFrom": []string{"pip-install"}, "attestations": []any{
			att("command-run/v0.1", imported), att("omnitrail/v0.1", nil)}},
	}}))
}

func inline(name, text string) any { return map[string]any{"name": name, "module": []byte(text)} }

// world is one policy with its keys.
type world struct {
	t      testing.TB
	signer *seal.PrivateKey // of evidence
	owner  *seal.PrivateKey // of the policy
	policy []byte           // compiled, not signed
}

func newWorld(t testing.TB, src []byte) *world {
	t.Helper()
	w := &world{t: t, signer: key(t), owner: key(t)}
	p := must[*policy.Policy](t)(policy.Compile(context.Background(), src, policy.Options{
		Functionaries: []attestation.PublicKey{w.signer.Public()},
		Modules:       os.DirFS(filepath.Join("..", "policy", "testdata", "rules")),
		ReadFile:      func(p string) ([]byte, error) { return os.ReadFile(filepath.Join("..", "policy", "testdata", p)) },
		Now:           now(),
	}))
	w.policy = must[[]byte](t)(p.Marshal())
	return w
}

// edit changes the compiled policy's JSON.
func (w *world) edit(f func(p map[string]any)) *world {
	w.t.Helper()
	var p map[string]any
	if err := json.Unmarshal(w.policy, &p); err != nil {
		w.t.Fatal(err)
	}
	f(p)
	w.policy = must[[]byte](w.t)(json.Marshal(p))
	return w
}

func (w *world) request(docs ...verify.Document) verify.Request {
	w.t.Helper()
	env := must[attestation.Envelope](w.t)(attestation.Sign(context.Background(), attestation.PolicyPayloadType, w.policy, w.owner))
	return verify.Request{
		PolicyEnvelope: must[[]byte](w.t)(env.Marshal()),
		PolicyKeys:     []attestation.Verifier{w.owner.Public()},
		Collections:    docs,
		Now:            now(),
		EvalTimeout:    10 * time.Second,
	}
}

func (w *world) verify(docs ...verify.Document) *policy.Result {
	w.t.Helper()
	return must[*policy.Result](w.t)(verify.Verify(context.Background(), w.request(docs...)))
}

func (w *world) both(install, imported evidence) []verify.Document {
	install.name, imported.name = "pip-install", "pip-import"
	if imported.start.IsZero() {
		imported.start = now().Add(-30 * time.Minute)
	}
	return []verify.Document{install.sign(w.t, w.signer), imported.sign(w.t, w.signer)}
}

func want(t *testing.T, r *policy.Result, verdict policy.Verdict, code int, text string) {
	t.Helper()
	all := string(must[[]byte](t)(json.MarshalIndent(r, "", " ")))
	if r.Verdict != verdict || r.ExitCode() != code {
		t.Errorf("verdict %s, exit %d, want %s, %d\n%s", r.Verdict, r.ExitCode(), verdict, code, all)
	}
	var details []string
	for _, c := range r.Checks {
		details = append(details, c.Detail)
	}
	for _, f := range r.Findings {
		details = append(details, fmt.Sprintf("%s:%s: %s", f.Severity, f.Rule, f.Message))
	}
	if !strings.Contains(strings.Join(details, "\n"), text) {
		t.Errorf("nothing says %q:\n%s", text, all)
	}
}

func TestHonestEvidencePasses(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	r := w.verify(w.both(evidence{}, evidence{})...)
	want(t, r, policy.Pass, 0, "")
	if d := cmp.Diff([]policy.Package{{Name: "six", Version: "1.17.0", Files: []policy.File{{Filename: wheel().Name, SHA256: wheel().Digest["sha256"]}}}}, r.Packages); d != "" {
		t.Error(d)
	}
	if len(r.Steps) != 2 || r.Steps[0].Name != "pip-install" || r.Steps[1].Name != "pip-import" {
		t.Errorf("steps %+v, want install before import", r.Steps)
	}
	if string(r.Coverage["pip-install"]) != `{"complete":true,"losses":{}}` {
		t.Errorf("coverage %s", r.Coverage["pip-install"])
	}
	for _, name := range []policy.CheckName{policy.CheckEnvelope, policy.CheckSignature, policy.CheckFunctionary, policy.CheckExpiry, policy.CheckTimestamps,
		policy.CheckStepName, policy.CheckAttestationTypes, policy.CheckBinding, policy.CheckModules, policy.CheckSeverity} {
		if !slices.ContainsFunc(r.Checks, func(c policy.Check) bool { return c.Name == name && c.Status == policy.StatusPass }) {
			t.Errorf("check %q is not in the result", name)
		}
	}
	// The same input gives the same bytes.
	req := w.request(w.both(evidence{}, evidence{})...)
	first := must[*policy.Result](t)(verify.Verify(context.Background(), req))
	second := must[*policy.Result](t)(verify.Verify(context.Background(), req))
	if d := cmp.Diff(first, second); d != "" {
		t.Errorf("not deterministic:\n%s", d)
	}
}

// TestSpecificationModuleVerbatim pins what the specification's own text says of
// a clean import: the mutation rule compares nothing.
func TestSpecificationModuleVerbatim(t *testing.T) {
	w := newWorld(t, source(t, nil, []any{"import_behavior.rego"}))
	r := w.verify(w.both(evidence{}, evidence{})...)
	want(t, r, policy.Fail, 1, "")
	if d := cmp.Diff([]policy.Finding{{
		Severity: policy.High, Rule: "IMPORT_FILE_MUTATION", Module: "import_behavior", Step: "pip-import",
		Message: "Files changed during import — imports should be read-only",
	}}, r.Findings); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// And of one that steals a key: its ids are found.
	bad := `{"processes":[{"program":"/usr/bin/python3","openedfiles":{"/home/user/.ssh/id_rsa":{}},"network":{"connections":[{"family":"AF_INET","address":"127.0.0.1","port":4444}]}}],` + coverage + `}`
	r = w.verify(w.both(evidence{}, evidence{run: bad})...)
	want(t, r, policy.Fail, 1, "CRITICAL:IMPORT_CRED_ACCESS")
	want(t, r, policy.Fail, 1, "CRITICAL:IMPORT_NEW_CONNECTION: Import connected to 127.0.0.1:4444")
}

// witnessModule is in the manner of go-witness: any package, Rego v0, predicate
// fields at the top level.
const witnessModule = `package commandrun.exitcode

deny[msg] {
	input.exitcode != 0
	msg := sprintf("exit code %d", [input.exitcode])
}

deny[msg] {
	input.cmd[0] == "curl"
	msg := "no downloads"
}
`

// rookeryModule reads the evidence where rookery puts it.
const rookeryModule = `package rookery.install

import rego.v1

deny contains msg if {
	some p in input.attestation.processes
	p.program == "/bin/sh"
	msg := "shell started"
}

deny contains "install is not visible" if not input.steps["pip-install"]["https://witness.dev/attestations/command-run/v0.1"].cmd

deny contains "vex: affected" if input.external.vex.status == "affected"
`

func TestForeignModules(t *testing.T) {
	bad := `{"cmd":["curl"],"exitcode":3,"processes":[{"program":"/bin/sh"}],` + coverage + `}`
	t.Run("go-witness", func(t *testing.T) {
		w := newWorld(t, source(t, []any{inline("exitcode", witnessModule)}, nil))
		want(t, w.verify(w.both(evidence{}, evidence{})...), policy.Pass, 0, "")
		r := w.verify(w.both(evidence{run: bad}, evidence{})...)
		want(t, r, policy.Fail, 1, "HIGH:exitcode: exit code 3")
		want(t, r, policy.Fail, 1, "HIGH:exitcode: no downloads")
	})
	t.Run("rookery", func(t *testing.T) {
		w := newWorld(t, source(t, nil, []any{inline("rookery", rookeryModule)}))
		want(t, w.verify(w.both(evidence{}, evidence{})...), policy.Pass, 0, "")
		want(t, w.verify(w.both(evidence{}, evidence{run: bad})...), policy.Fail, 1, "HIGH:rookery: shell started")
		w.edit(func(p map[string]any) {
			p["external"] = map[string]any{"vex": map[string]any{"type": "https://openvex.dev/ns/v0.2.0",
				"functionaries": []any{map[string]any{"type": "publickey", "publickeyid": w.signer.KeyID()}}, "required": true}}
		})
		want(t, w.verify(w.both(evidence{}, evidence{})...), policy.Incomplete, 3, `external attestation "vex"`)
		payload := `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://openvex.dev/ns/v0.2.0","predicate":{"status":"affected"}}`
		env := must[attestation.Envelope](t)(attestation.Sign(context.Background(), attestation.PayloadType, []byte(payload), w.signer))
		docs := append(w.both(evidence{}, evidence{}), verify.Document{Name: "vex.json", Data: must[[]byte](t)(env.Marshal())})
		want(t, w.verify(docs...), policy.Fail, 1, "HIGH:rookery: vex: affected")
	})
}

// tampered decodes a document's envelope, changes it and encodes it again.
func tampered(t *testing.T, d verify.Document, f func(e *attestation.Envelope)) verify.Document {
	t.Helper()
	e := must[attestation.Envelope](t)(attestation.ParseEnvelope(d.Data))
	f(&e)
	return verify.Document{Name: d.Name, Data: must[[]byte](t)(e.Marshal())}
}

func TestTampering(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	stranger := key(t)
	docs := w.both(evidence{}, evidence{})
	install := docs[0]
	tests := map[string]struct {
		docs    []verify.Document
		verdict policy.Verdict
		code    int
		text    string
	}{
		"payload byte": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) {
			e.Payload = bytes.Replace(e.Payload, []byte("os.py"), []byte("os.pz"), 1)
		}), docs[1]}, policy.Untrusted, 4, "pip-install.json: no valid signature by a known key"},
		"payload no longer JSON": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) { e.Payload[0] = 'x' }), docs[1]},
			policy.Untrusted, 4, "pip-install.json: no valid signature"},
		"subject byte": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) {
			e.Payload = bytes.Replace(e.Payload, []byte("abab"), []byte("acab"), 1)
		}), docs[1]}, policy.Untrusted, 4, "no valid signature"},
		"signature byte": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) { e.Signatures[0].Sig[3] ^= 1 }), docs[1]},
			policy.Untrusted, 4, "the signature does not match the signed bytes"},
		"payload type": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) { e.PayloadType = "application/json" }), docs[1]},
			policy.Untrusted, 4, "no valid signature"},
		"no signature": {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) { e.Signatures = nil }), docs[1]},
			policy.Untrusted, 4, "it is not signed"},
		"key id only":   {[]verify.Document{tampered(t, install, func(e *attestation.Envelope) { e.Signatures[0].KeyID = "00" }), docs[1]}, policy.Pass, 0, ""},
		"stranger":      {[]verify.Document{evidence{name: "pip-install"}.sign(t, stranger), docs[1]}, policy.Untrusted, 4, "no valid signature by a known key: signed by key " + stranger.KeyID()[:16]},
		"duplicated":    {[]verify.Document{install, docs[1], {Name: "copy.json", Data: install.Data}}, policy.Pass, 0, "copy.json is the same evidence as pip-install.json"},
		"step missing":  {[]verify.Document{install}, policy.Incomplete, 3, `there is no evidence of step "pip-import"`},
		"first missing": {[]verify.Document{docs[1]}, policy.Incomplete, 3, `there is no accepted evidence of step "pip-install", which it reads`},
		"other step":    {[]verify.Document{install, docs[1], evidence{name: "deploy"}.sign(t, w.signer)}, policy.Pass, 0, `step "deploy", which the policy does not have`},
		"none":          {nil, policy.Incomplete, 3, "there is no evidence"},
		"stranger beside good": {[]verify.Document{evidence{name: "pip-install"}.sign(t, stranger), install, docs[1]},
			policy.Pass, 0, "not used"},
		"of another run": {[]verify.Document{install, evidence{name: "pip-import", start: now().Add(-time.Minute),
			subjects: []attestation.Subject{{Name: "x", Digest: map[string]string{"sha256": strings.Repeat("cd", 32)}}}}.sign(t, w.signer)},
			policy.Fail, 1, "shares no subject"},
		"empty file binds nothing": {[]verify.Document{
			evidence{name: "pip-install", subjects: []attestation.Subject{empty()}}.sign(t, w.signer),
			evidence{name: "pip-import", subjects: []attestation.Subject{empty()}}.sign(t, w.signer),
		}, policy.Fail, 1, "shares no subject"},
		"from the future":   {w.both(evidence{}, evidence{start: now().Add(time.Hour)}), policy.Untrusted, 4, "in the future"},
		"before its source": {w.both(evidence{}, evidence{start: now().Add(-3 * time.Hour)}), policy.Untrusted, 4, `before the step "pip-install"`},
		"type missing":      {w.both(evidence{more: map[string]string{attestation.TypeSBOM: ""}}, evidence{}), policy.Fail, 1, "attestation sbom is missing"},
		"type of aflock": {w.both(evidence{more: map[string]string{attestation.TypeSBOM: "", "https://aflock.ai/attestations/sbom/v0.1": "{}"}},
			evidence{}), policy.Pass, 0, ""},
		"type of another version": {w.both(evidence{more: map[string]string{attestation.TypeCommandRun: "", "https://aflock.ai/attestations/command-run/v0.2": "{}"}},
			evidence{}), policy.Fail, 1, "attestation command-run is missing"},
		"two of one name": {w.both(evidence{more: map[string]string{"https://aflock.ai/attestations/sbom/v0.1": "{}"}}, evidence{}),
			policy.Untrusted, 4, `two attestations called "sbom"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { want(t, w.verify(tt.docs...), tt.verdict, tt.code, tt.text) })
	}
}

func empty() attestation.Subject {
	return attestation.Subject{Name: "__init__.py", Digest: map[string]string{"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}
}

func TestUnreadableInput(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	docs := w.both(evidence{}, evidence{})
	big := make([]byte, attestation.MaxDocument+1)
	tests := map[string]struct {
		change func(r *verify.Request)
		text   string
	}{
		"evidence truncated":   {func(r *verify.Request) { r.Collections[0].Data = docs[0].Data[:len(docs[0].Data)/2] }, `evidence "pip-install.json": read envelope: document ends early`},
		"evidence not JSON":    {func(r *verify.Request) { r.Collections[0].Data = []byte("hello") }, "not JSON"},
		"evidence empty":       {func(r *verify.Request) { r.Collections[0].Data = nil }, "empty document"},
		"evidence no envelope": {func(r *verify.Request) { r.Collections[0].Data = []byte("{}") }, "not a DSSE envelope"},
		"evidence too large":   {func(r *verify.Request) { r.Collections[0].Data = big }, "larger than the limit of 128 MiB"},
		"key twice": {func(r *verify.Request) {
			r.Collections[0].Data = bytes.Replace(docs[0].Data, []byte(`{"payload"`), []byte(`{"payload":"","payload"`), 1)
		}, `"payload" appears twice`},
		"other spelling": {func(r *verify.Request) {
			r.Collections[0].Data = bytes.Replace(docs[0].Data, []byte(`{"payload"`), []byte(`{"Payload":"","payload"`), 1)
		}, `field "Payload"`},
		"policy not JSON": {func(r *verify.Request) { r.PolicyEnvelope = []byte("steps:") }, "policy: read envelope: not JSON"},
		"policy of another type": {func(r *verify.Request) {
			env := must[attestation.Envelope](t)(attestation.Sign(context.Background(), "application/json", w.policy, w.owner))
			r.PolicyEnvelope = must[[]byte](t)(env.Marshal())
		}, "payload type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := w.request(slices.Clone(docs)...)
			tt.change(&req)
			r, err := verify.Verify(context.Background(), req)
			var input *verify.InputError
			if r != nil || !errors.As(err, &input) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("result %v, error %v, want an InputError with %q", r, err, tt.text)
			}
		})
	}
	for name, edit := range map[string]func(p map[string]any){
		"cycle": func(p map[string]any) {
			p["steps"].(map[string]any)["pip-install"].(map[string]any)["attestationsFrom"] = []string{"pip-import"}
		},
		"unknown step": func(p map[string]any) {
			p["steps"].(map[string]any)["pip-install"].(map[string]any)["attestationsFrom"] = []string{"gone"}
		},
		"no expires": func(p map[string]any) { delete(p, "expires") },
	} {
		t.Run("policy with "+name, func(t *testing.T) {
			w := newWorld(t, policy.Builtin()).edit(edit)
			_, err := verify.Verify(context.Background(), w.request(docs...))
			var input *verify.InputError
			if !errors.As(err, &input) {
				t.Errorf("error %v, want an InputError", err)
			}
		})
	}
}

func TestPolicyTrust(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	docs := w.both(evidence{}, evidence{})
	run := func(change func(r *verify.Request)) *policy.Result {
		req := w.request(docs...)
		change(&req)
		return must[*policy.Result](t)(verify.Verify(context.Background(), req))
	}
	t.Run("other key", func(t *testing.T) {
		r := run(func(r *verify.Request) { r.PolicyKeys = []attestation.Verifier{key(t).Public()} })
		want(t, r, policy.Untrusted, 4, "policy: no valid signature by a known key")
	})
	t.Run("not signed", func(t *testing.T) {
		want(t, run(func(r *verify.Request) { r.PolicyEnvelope = w.policy }), policy.Untrusted, 4, "the policy is not signed")
	})
	t.Run("expired", func(t *testing.T) {
		want(t, run(func(r *verify.Request) { r.Now = now().Add(policy.Year + time.Hour) }), policy.Untrusted, 4, "the policy expired on 2027-11-23")
	})
	t.Run("no key", func(t *testing.T) {
		want(t, run(func(r *verify.Request) { r.PolicyKeys = nil }), policy.Untrusted, 4, "no public key was given")
	})
	t.Run("embedded key", func(t *testing.T) {
		r := run(func(r *verify.Request) { r.EmbeddedKeys, r.PolicyKeys = r.PolicyKeys, nil })
		want(t, r, policy.Untrusted, 4, "proves only that it agrees with itself")
		if r.Steps[1].Verdict != policy.Pass || r.Policy.KeyID != "" {
			t.Errorf("the steps are judged all the same: %+v", r.Steps)
		}
	})
	t.Run("embedded key trusted", func(t *testing.T) {
		r := run(func(r *verify.Request) { r.EmbeddedKeys, r.PolicyKeys, r.TrustEmbedded = r.PolicyKeys, nil, true })
		want(t, r, policy.Pass, 0, "as asked for")
	})
	t.Run("artifact", func(t *testing.T) {
		want(t, run(func(r *verify.Request) { r.Artifacts = []attestation.Subject{wheel()} }), policy.Pass, 0, "")
		other := attestation.Subject{Name: "x.whl", Digest: map[string]string{"sha256": strings.Repeat("00", 32)}}
		want(t, run(func(r *verify.Request) { r.Artifacts = []attestation.Subject{other} }), policy.Fail, 1, `artifact "x.whl"`)
	})
	t.Run("compressed", func(t *testing.T) {
		r := run(func(r *verify.Request) {
			r.PolicyEnvelope = must[[]byte](t)(attestation.Compress(r.PolicyEnvelope))
			r.Collections = []verify.Document{{Name: "a", Data: must[[]byte](t)(attestation.Compress(docs[0].Data))}, docs[1]}
		})
		want(t, r, policy.Pass, 0, "")
	})
	t.Run("bundle", func(t *testing.T) {
		b := must[attestation.SigstoreBundle](t)(attestation.Bundle(must[attestation.Envelope](t)(attestation.ParseEnvelope(docs[0].Data)), 0))
		r := run(func(r *verify.Request) {
			r.Collections = []verify.Document{{Name: "a.sigstore.json", Data: must[[]byte](t)(b.Marshal())}, docs[1]}
		})
		want(t, r, policy.Pass, 0, "")
	})
}

// TestSignerOfAnotherStep: a functionary of one step may not sign the other.
func TestSignerOfAnotherStep(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	other := key(t)
	w.edit(func(p map[string]any) {
		p["publickeys"].(map[string]any)[other.KeyID()] = map[string]any{"keyid": other.KeyID(), "key": other.Public().PEM()}
		p["steps"].(map[string]any)["pip-install"].(map[string]any)["functionaries"] = []any{map[string]any{"type": "publickey", "publickeyid": other.KeyID()}}
	})
	r := w.verify(w.both(evidence{}, evidence{})...)
	want(t, r, policy.Untrusted, 4, `which is not a functionary of step "pip-install"`)
	if got := r.Steps[1].NotEvaluated; len(got) != 1 || !strings.Contains(got[0].Reason, "pip-install") {
		t.Errorf("not evaluated %+v", got)
	}
}

// TestCopyWithAnotherSigner: a copy that the wrong functionary signed does not
// hide the one that the right one signed.
func TestCopyWithAnotherSigner(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	other := key(t)
	w.edit(func(p map[string]any) {
		p["publickeys"].(map[string]any)[other.KeyID()] = map[string]any{"keyid": other.KeyID(), "key": other.Public().PEM()}
	})
	docs := w.both(evidence{}, evidence{})
	copied := evidence{name: "pip-install"}.sign(t, other)
	want(t, w.verify(copied, docs[0], docs[1]), policy.Pass, 0, "is the same evidence")
}

func TestModulesThatDoNotAnswer(t *testing.T) {
	loop := `package x
import rego.v1
deny contains "x" if { some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b + c == 0 }`
	good := inline("good", "package y\nimport rego.v1\ndeny contains \"LOW:SEEN: the others still answer\"")
	for name, tt := range map[string]struct{ module, text string }{
		"loops":            {loop, `module "bad": stopped at the time limit of 200ms`},
		"number":           {"package x\nimport rego.v1\ndeny := 7", `module "bad": the answer is a number`},
		"boolean":          {"package x\nimport rego.v1\ndeny := false", `module "bad": the answer is a boolean`},
		"undefined":        {"package x\nimport rego.v1\ndeny := [\"x\"] if input.never", `module "bad": deny is undefined`},
		"http.send":        {"package x\nimport rego.v1\ndeny contains \"x\" if http.send({})", "http.send is not available"},
		"does not compile": {"package x\nimport rego.v1\ndeny contains y if true", `module "bad"`},
		"does not parse":   {"package x deny {", `parse module "bad"`},
		"no deny":          {"package x\nallow := true", "declares no deny"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, source(t, []any{good}, nil)).edit(func(p map[string]any) {
				// Not through Compile, which refuses some of these earlier.
				a := p["steps"].(map[string]any)["pip-install"].(map[string]any)["attestations"].([]any)[0].(map[string]any)
				a["regopolicies"] = append(a["regopolicies"].([]any), inline("bad", tt.module))
			})
			req := w.request(w.both(evidence{}, evidence{})...)
			req.EvalTimeout = 200 * time.Millisecond
			r := must[*policy.Result](t)(verify.Verify(context.Background(), req))
			want(t, r, policy.Incomplete, 3, tt.text)
			want(t, r, policy.Incomplete, 3, "LOW:SEEN")
			want(t, r, policy.Incomplete, 3, `step "pip-install", which it reads, did not pass (incomplete)`)
		})
	}
}

func TestCoverageAndNotEvaluated(t *testing.T) {
	module := inline("m", `package m
import rego.v1
deny contains "HIGH:NEVER: x" if input.never
not_evaluated contains "BYTES: the capture counts no bytes" if not input.coverage.bytes`)
	src := source(t, []any{module}, []any{module})
	run := func(cov string) evidence { return evidence{run: `{"processes":[]` + cov + `}`} }
	w := newWorld(t, src)
	for name, tt := range map[string]struct {
		coverage string
		verdict  policy.Verdict
		text     string
	}{
		"complete":     {`,"coverage":{"complete":true}`, policy.Pass, ""},
		"not complete": {`,"coverage":{"complete":false,"limits":[{"name":"events"}]}`, policy.Incomplete, `reached its limit "events"`},
		"loss":         {`,"coverage":{"complete":true,"losses":{"open":3}}`, policy.Incomplete, "lost 3 events of class open"},
		"not said":     {`,"coverage":{}`, policy.Incomplete, "the capture is not complete"},
		"no coverage":  {``, policy.Incomplete, "does not say what it could observe"},
		"nonsense":     {`,"coverage":{"complete":"yes"}`, policy.Incomplete, "read coverage"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.verify(w.both(run(tt.coverage), evidence{})...)
			code := 0
			if tt.verdict != policy.Pass {
				code = 3
			}
			want(t, r, tt.verdict, code, tt.text)
			if d := cmp.Diff([]policy.NotEvaluated{{Rule: "BYTES", Module: "m", Reason: "the capture counts no bytes"}}, r.Steps[0].NotEvaluated); d != "" {
				t.Error(d)
			}
		})
	}
	t.Run("required", func(t *testing.T) {
		w := newWorld(t, src).edit(func(p map[string]any) { p["requireEvaluated"] = []string{"BYTES"} })
		want(t, w.verify(w.both(evidence{}, evidence{})...), policy.Incomplete, 3, "rule BYTES, which the policy requires, was not evaluated")
	})
}

func TestFailedAttestorIsExplained(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	outcome := func(list string) evidence {
		return evidence{more: map[string]string{attestation.TypeSBOM: "", attestation.TypeOutcome: `{"outcomes":[` + list + `]}`}}
	}
	r := w.verify(w.both(outcome(`{"attestor":"sbom","status":"failed","error":"disk full"}`), evidence{})...)
	want(t, r, policy.Incomplete, 3, "attestation sbom is failed: disk full")
	r = w.verify(w.both(outcome(`{"attestor":"sbom","status":"skipped","unmet":"an installation"}`), evidence{})...)
	want(t, r, policy.Incomplete, 3, "it would have needed an installation")
	r = w.verify(w.both(outcome(`{"attestor":"sbom","status":"ok"}`), evidence{})...)
	want(t, r, policy.Fail, 1, "attestation sbom is missing")
}

func TestSourceThatFailsStillFeedsItsReader(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	bad := `{"processes":[{"program":"p","openedfiles":{"/home/user/.ssh/id_rsa":{}},"network":{"connections":[{"family":"AF_INET","address":"192.0.2.1","port":443}]}}],` + coverage + `}`
	worse := strings.Replace(bad, "192.0.2.1", "192.0.2.2", 1)
	r := w.verify(w.both(evidence{run: bad}, evidence{run: worse})...)
	want(t, r, policy.Fail, 1, "CRITICAL:CRED_READ: /home/user/.ssh/id_rsa")
	want(t, r, policy.Fail, 1, "CRITICAL:IMPORT_NEW_CONNECTION: connected to 192.0.2.2:443")
	want(t, r, policy.Fail, 1, `step "pip-install", which it reads, did not pass (fail)`)
	for i := 1; i < len(r.Findings); i++ {
		if r.Findings[i].Severity > r.Findings[i-1].Severity {
			t.Errorf("findings are not sorted by severity: %+v", r.Findings)
		}
	}
}

func TestSeverityAndExceptions(t *testing.T) {
	module := inline("m", `package m
import rego.v1
deny contains "MEDIUM:SOFT: something"
deny contains msg if { some p in input.processes; some f, _ in p.openedfiles; msg := sprintf("HIGH:READ: opened %s", [f]) }`)
	src := source(t, []any{module}, nil)
	docs := func(w *world) []verify.Document { return w.both(evidence{}, evidence{}) }
	exception := func(path, expires string) func(p map[string]any) {
		return func(p map[string]any) {
			p["exceptions"] = []any{map[string]any{"rule": "READ", "reason": "known", "path": path, "expires": expires}}
		}
	}
	w := newWorld(t, src)
	want(t, w.verify(docs(w)...), policy.Fail, 1, "1 HIGH finding")

	w = newWorld(t, src).edit(exception("/usr/lib/*.py", "2027-01-01T00:00:00Z"))
	r := w.verify(docs(w)...)
	want(t, r, policy.Pass, 0, "MEDIUM:SOFT")
	if r.Findings[0].Exception != "known" || r.Exceptions[0].Status != "used" || r.Exceptions[0].Findings != 1 {
		t.Errorf("%+v %+v", r.Findings, r.Exceptions)
	}
	w = newWorld(t, src).edit(exception("/usr/lib/*.py", "2026-01-01T00:00:00Z"))
	if r = w.verify(docs(w)...); r.Verdict != policy.Fail || r.Exceptions[0].Status != "expired" {
		t.Errorf("%s %+v", r.Verdict, r.Exceptions)
	}
	w = newWorld(t, src).edit(exception("/other", "2027-01-01T00:00:00Z"))
	if r = w.verify(docs(w)...); r.Verdict != policy.Fail || r.Exceptions[0].Status != "unused" {
		t.Errorf("%s %+v", r.Verdict, r.Exceptions)
	}
	w = newWorld(t, src).edit(func(p map[string]any) { p["failOn"] = "CRITICAL" })
	want(t, w.verify(docs(w)...), policy.Pass, 0, "HIGH:READ")
	w = newWorld(t, src).edit(func(p map[string]any) { p["failOn"] = "MEDIUM" })
	want(t, w.verify(docs(w)...), policy.Fail, 1, "1 HIGH, 1 MEDIUM findings")
}

// TestInput is the contract of the module's input, path by path.
func TestInput(t *testing.T) {
	expect := map[string]string{
		"own field":              `input.processes[0].program == "/usr/bin/python3"`,
		"attestation":            `input.attestation.processes[0].program == "/usr/bin/python3"`,
		"step name":              `input.step.name == "pip-import"`,
		"step collection":        `count(input.step.collection) == 64`,
		"step functionary":       `input.step.functionary.type == "publickey"`,
		"own short name":         `input["command-run"].processes[0].program == "/usr/bin/python3"`,
		"another short name":     `input.omnitrail.trail == "import"`,
		"source, short":          `input.steps["pip-install"].omnitrail.trail == "install"`,
		"source, stored URI":     `input.steps["pip-install"]["https://aflock.ai/attestations/omnitrail/v0.1"].trail == "install"`,
		"coverage":               `input.coverage.complete`,
		"source's coverage":      `input.steps["pip-install"].coverage.complete`,
		"external is there":      `input.external == {}`,
		"big numbers":            `input.big == 12345678901234567890123`,
		"field named steps":      `input.attestation.steps == "own"`,
		"field named like type":  `not is_string(input.omnitrail)`,
		"field of absent type":   `not input.sbom`,
		"absent type, reachable": `input.attestation.sbom == "forged"`,
		"unsigned is not there":  `not input.steps.forged`,
	}
	run := strings.Replace(cleanRun, `{"cmd"`, `{"big":12345678901234567890123,"steps":"own","omnitrail":"forged","sbom":"forged","external":{"a":1},"cmd"`, 1)
	for name, rule := range expect {
		t.Run(name, func(t *testing.T) {
			module := "package m\nimport rego.v1\nholds if { " + rule + " }\ndeny contains \"HIGH:NO: it does not hold\" if not holds"
			w := newWorld(t, source(t, nil, []any{inline("m", module)}))
			r := w.verify(w.both(
				evidence{more: map[string]string{attestation.TypeOmnitrail: "", "https://aflock.ai/attestations/omnitrail/v0.1": `{"trail":"install"}`}},
				evidence{run: run, more: map[string]string{attestation.TypeOmnitrail: `{"trail":"import"}`}},
			)...)
			want(t, r, policy.Pass, 0, "")
		})
	}
}

func TestArtifactsFrom(t *testing.T) {
	w := newWorld(t, policy.Builtin()).edit(func(p map[string]any) {
		p["steps"].(map[string]any)["pip-import"].(map[string]any)["artifactsFrom"] = []string{"pip-install"}
	})
	product := evidence{more: map[string]string{attestation.TypeProduct: `{"/v/a.py":{"mime_type":"text/plain","digest":{"sha256":"11"}}}`}}
	same := evidence{more: map[string]string{attestation.TypeMaterial: `{"/v/a.py":{"sha256":"11"},"/v/new.py":{"sha256":"33"}}`}}
	other := evidence{more: map[string]string{attestation.TypeMaterial: `{"/v/a.py":{"sha256":"22"}}`}}
	want(t, w.verify(w.both(product, same)...), policy.Pass, 0, "")
	want(t, w.verify(w.both(product, other)...), policy.Fail, 1, `material "/v/a.py" is not what step "pip-install" left`)
}

func TestCancelled(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := verify.Verify(ctx, w.request(w.both(evidence{}, evidence{})...)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// BenchmarkVerify verifies two steps with about 4 MB of evidence each.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, policy.Builtin())
	var files, trail strings.Builder
	for i := range 12000 {
		if i > 0 {
			files.WriteByte(',')
			trail.WriteByte(',')
		}
		fmt.Fprintf(&files, `"/home/user/venv/lib/python3.11/site-packages/pkg/module_%d.py":{"sha256":"%064x"}`, i, i)
		fmt.Fprintf(&trail, `"/home/user/venv/lib/python3.11/site-packages/pkg/module_%d.py":{"type":"file","sha256":"%064x","sha1":"%040x","posix":{"size":%d}}`, i, i, i, i)
	}
	e := evidence{
		run:  `{"processes":[{"program":"/usr/bin/python3","openedfiles":{` + files.String() + `},"network":{}}],` + coverage + `}`,
		more: map[string]string{attestation.TypeOmnitrail: `{"Envelope":{"mapping":{` + trail.String() + `}}}`},
	}
	req := w.request(w.both(e, e)...)
	b.SetBytes(int64(len(req.Collections[0].Data) + len(req.Collections[1].Data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := verify.Verify(context.Background(), req)
		if err != nil || r.Verdict != policy.Pass {
			b.Fatalf("%+v %v", r, err)
		}
	}
}

// TestPackageExceptions: an exception for a package holds in a run that installed
// it, at both steps, and in no other run; alone it waives nothing that names no
// package.
func TestPackageExceptions(t *testing.T) {
	module := inline("m", `package m
import rego.v1
deny contains msg if { some p in input.processes; some f, _ in p.openedfiles; msg := sprintf("HIGH:READ: the process \"/usr/bin/python3\" opened \"%s\"", [f]) }`)
	src := source(t, []any{module}, []any{module})
	tests := map[string]struct {
		fields  map[string]any
		verdict policy.Verdict
		code    int
		waived  int
	}{
		"of the run":     {map[string]any{"package": "Six", "value": "/usr/lib/*.py"}, policy.Pass, 0, 2},
		"of another run": {map[string]any{"package": "requests", "value": "/usr/lib/*.py"}, policy.Fail, 1, 0},
		"alone":          {map[string]any{"package": "six"}, policy.Fail, 1, 0},
		"other value":    {map[string]any{"package": "six", "value": "/etc/*"}, policy.Fail, 1, 0},
		"command":        {map[string]any{"command": "/usr/bin/python*"}, policy.Pass, 0, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.fields["rule"], tt.fields["reason"], tt.fields["expires"] = "READ", "known", "2027-01-01T00:00:00Z"
			w := newWorld(t, src).edit(func(p map[string]any) { p["exceptions"] = []any{tt.fields} })
			r := w.verify(w.both(evidence{}, evidence{})...)
			want(t, r, tt.verdict, tt.code, "HIGH:READ")
			if r.Exceptions[0].Findings != tt.waived {
				t.Errorf("%+v", r.Exceptions)
			}
		})
	}
}
