package provenance_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/provenance"
	"pip-witness/internal/provenance/sigstoretest"
)

// realData is where the real attestations of the project's shared data lie, seen
// from this package. Two of them are in testdata, so that the test also runs alone.
const realData = "../../../shared/data/pep740"

func publicRoot(t testing.TB) *provenance.Root {
	t.Helper()
	root, err := provenance.NewRoot(provenance.ShippedRoot())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func read(t testing.TB, elements ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func parse(t testing.TB, raw []byte) provenance.Attestation {
	t.Helper()
	a, err := provenance.ParseAttestation(raw)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// gitlab is the pair in testdata.
func gitlab(t testing.TB) (distribution provenance.Distribution, raw []byte) {
	t.Helper()
	const name = "gitlab_oidc_project-0.0.3.tar.gz"
	return provenance.Distribution{Filename: name, SHA256: digest(read(t, "testdata", name))}, read(t, "testdata", name+".publish.attestation")
}

func TestRealAttestation(t *testing.T) {
	d, raw := gitlab(t)
	a := parse(t, raw)
	root := publicRoot(t)
	publisher := &provenance.Publisher{Kind: "GitLab", Repository: "facutuesca/gitlab-oidc-project", WorkflowPath: ".gitlab-ci.yml"}
	got := root.Verify(a, d, publisher)
	want := provenance.Result{
		Outcome: provenance.Verified, Type: provenance.TypePublish, Publisher: *publisher,
		Time: time.Date(2024, 11, 19, 17, 37, 0, 0, time.UTC),
	}
	want.Identity = got.Identity
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if id := got.Identity; id.Kind != "GitLab" || id.Repository != publisher.Repository || id.Workflow != ".gitlab-ci.yml" {
		t.Errorf("identity %+v", id)
	}
	started := time.Now()
	const rounds = 5
	for range rounds {
		root.Verify(a, d, publisher)
	}
	if each := time.Since(started) / rounds; each > 500*time.Millisecond { // 50 ms on an idle machine; this one is shared
		t.Errorf("%v each", each)
	} else {
		t.Logf("%v each", each)
	}
	for name, other := range map[string]provenance.Publisher{
		"kind":        {Kind: "GitHub", Repository: publisher.Repository, Workflow: ".gitlab-ci.yml"},
		"google":      {Kind: "Google", Email: "a@example.com"},
		"repository":  {Kind: "GitLab", Repository: "facutuesca/gitlab-oidc-projecu", WorkflowPath: ".gitlab-ci.yml"},
		"prefix":      {Kind: "GitLab", Repository: "facutuesca", WorkflowPath: ".gitlab-ci.yml"},
		"workflow":    {Kind: "GitLab", Repository: publisher.Repository, WorkflowPath: ".gitlab-cj.yml"},
		"no workflow": {Kind: "GitLab", Repository: publisher.Repository},
		"nothing":     {Kind: "GitLab"},
	} {
		if got := root.Verify(a, d, &other); got.Outcome != provenance.Invalid || !strings.Contains(got.Reason, "the index names") {
			t.Errorf("%s: %s %q", name, got.Outcome, got.Reason)
		}
	}
	for i := range publisher.Repository {
		changed := []byte(publisher.Repository)
		changed[i] ^= 1
		other := *publisher
		other.Repository = string(changed)
		if got := root.Verify(a, d, &other); got.Outcome != provenance.Invalid {
			t.Errorf("repository %q: %s", other.Repository, got.Outcome)
		}
	}
	if got := root.Verify(a, d, &provenance.Publisher{Kind: "Elsewhere"}); got.Outcome != provenance.NotEvaluated {
		t.Errorf("a publisher of an unknown kind: %s %q", got.Outcome, got.Reason)
	}
}

// TestRealObject verifies an object with a publisher as an index serves it.
func TestRealObject(t *testing.T) {
	raw := read(t, "testdata", "pypi_attestations-0.0.19.tar.gz.provenance")
	d := provenance.Distribution{
		Filename: "pypi_attestations-0.0.19.tar.gz", SHA256: "9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3",
	}
	results := publicRoot(t).VerifyObject(raw, d)
	if len(results) != 1 || results[0].Outcome != provenance.Verified || results[0].Identity.Repository != "trailofbits/pypi-attestations" ||
		results[0].Identity.Workflow != "release.yml" {
		t.Fatalf("%+v", results)
	}
	other := bytes.ReplaceAll(raw, []byte(`"trailofbits/pypi-attestations"`), []byte(`"trailofbits/other"`))
	if results := publicRoot(t).VerifyObject(other, d); results[0].Outcome != provenance.Invalid {
		t.Errorf("another repository: %+v", results)
	}
}

// TestRealData verifies all of the shared data.
func TestRealData(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(realData, "*.attestation"))
	if err != nil || len(files) == 0 {
		t.Skipf("needs the shared data at %q (glob error: %v)", realData, err)
	}
	root := publicRoot(t)
	for _, file := range files {
		name := filepath.Base(file)
		name = name[:strings.Index(name, ".tar.gz")+len(".tar.gz")]
		d := provenance.Distribution{Filename: name, SHA256: digest(read(t, realData, name))}
		got := root.Verify(parse(t, read(t, file)), d, nil)
		if got.Outcome != provenance.Verified {
			t.Errorf("%s: %s %q", filepath.Base(file), got.Outcome, got.Reason)
		}
		t.Logf("%s: %s, %+v", filepath.Base(file), got.Type, got.Identity)
	}
}

// TestOneByte changes one byte of each part of a real attestation: the file, the
// statement, the certificate, the signature, the log entry.
func TestOneByte(t *testing.T) {
	d, raw := gitlab(t)
	root := publicRoot(t)
	refused := func(what string, a provenance.Attestation, d provenance.Distribution) {
		t.Helper()
		if got := root.Verify(a, d, nil); got.Outcome != provenance.Invalid || got.Reason == "" {
			t.Errorf("%s: %s %q", what, got.Outcome, got.Reason)
		}
	}
	file := read(t, "testdata", d.Filename)
	for i := 0; i < len(file); i += 97 {
		file[i] ^= 1
		refused(fmt.Sprintf("byte %d of the file", i), parse(t, raw), provenance.Distribution{Filename: d.Filename, SHA256: digest(file)})
		file[i] ^= 1
	}
	step := 7 // some hundred positions; all of the small parts
	if testing.Short() {
		step = 31
	}
	for name, part := range map[string]struct {
		of   func(a *provenance.Attestation) []byte
		step int
	}{
		"statement":   {func(a *provenance.Attestation) []byte { return a.Envelope.Statement }, 1},
		"signature":   {func(a *provenance.Attestation) []byte { return a.Envelope.Signature }, 1},
		"certificate": {func(a *provenance.Attestation) []byte { return a.Material.Certificate }, step},
	} {
		for i := 0; i < len(part.of(new(parse(t, raw)))); i += part.step {
			a := parse(t, raw)
			part.of(&a)[i] ^= 1
			refused(fmt.Sprintf("byte %d of the %s", i, name), a, d)
		}
	}
	oneByteOfEntry(t, raw, d, refused)
	if got := root.Verify(parse(t, raw), provenance.Distribution{Filename: "gitlab_oidc_project-0.0.4.tar.gz", SHA256: d.SHA256}, nil); got.Outcome != provenance.Invalid {
		t.Errorf("another name of the file: %s", got.Outcome)
	}
}

// oneByteOfEntry changes every value of the log's entry.
func oneByteOfEntry(t *testing.T, raw []byte, d provenance.Distribution, refused func(string, provenance.Attestation, provenance.Distribution)) {
	t.Helper()
	var entry struct {
		Body    []byte `json:"canonicalizedBody"`
		Promise struct {
			Signed []byte `json:"signedEntryTimestamp"`
		} `json:"inclusionPromise"`
		Proof struct {
			Root   []byte   `json:"rootHash"`
			Hashes [][]byte `json:"hashes"`
		} `json:"inclusionProof"`
		Time string `json:"integratedTime"`
	}
	original := parse(t, raw).Material.Entries[0]
	if err := json.Unmarshal(original, &entry); err != nil {
		t.Fatal(err)
	}
	replace := func(what string, old, changed string) {
		t.Helper()
		text := strings.Replace(string(original), old, changed, 1)
		if text == string(original) {
			t.Fatalf("%s is not in the entry", what)
		}
		a := parse(t, raw)
		a.Material.Entries = []json.RawMessage{json.RawMessage(text)}
		refused(what, a, d)
	}
	replace("the time in the log", `"`+entry.Time+`"`, `"`+entry.Time[:len(entry.Time)-1]+`9"`)
	for name, part := range map[string][]byte{
		"promise": entry.Promise.Signed, "root hash": entry.Proof.Root, "hash": entry.Proof.Hashes[0], "body": entry.Body,
	} {
		for i := 0; i < len(part); i += 1 + len(part)/40 {
			changed := bytes.Clone(part)
			changed[i] ^= 1
			replace(fmt.Sprintf("byte %d of the %s", i, name), base64.StdEncoding.EncodeToString(part), base64.StdEncoding.EncodeToString(changed))
		}
	}
}

func TestSyntheticOutcomes(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sigstore, err := sigstoretest.New(at)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := sigstoretest.New(at)
	if err != nil {
		t.Fatal(err)
	}
	root := func(s *sigstoretest.Sigstore, until time.Time) *provenance.Root {
		t.Helper()
		raw, err := s.Root(until)
		if err != nil {
			t.Fatal(err)
		}
		r, err := provenance.NewRoot(raw)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const wheel, sum = "example_sdk-1.4-py3-none-any.whl", "9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3"
	github := map[string]any{"kind": "GitHub", "repository": "example/sdk", "workflow": "release.yml", "environment": "index"}
	signer := sigstoretest.GitHub("example/sdk", "release.yml")
	byCommit := signer
	byCommit.Config = "https://github.com/example/sdk/.github/workflows/release.yml@" + byCommit.Commit
	moved := signer
	moved.Config = "https://github.com/example/other/.github/workflows/release.yml@" + moved.Ref
	account := sigstoretest.Signer{Issuer: "https://accounts.google.com", Subject: "release@example.com"}
	for name, test := range map[string]struct {
		name, sum, kind string
		signer          sigstoretest.Signer
		publisher       map[string]any
		root            *provenance.Root
		want            provenance.Outcome
		reason          string
		failed          provenance.Check
	}{
		"verified":           {signer: signer, want: provenance.Verified},
		"workflow by commit": {signer: byCommit, want: provenance.Verified},
		"another spelling":   {name: "Example.SDK-1.4.0-py3-none-any.whl", signer: signer, want: provenance.Verified},
		"SLSA":               {kind: provenance.TypeSLSA, signer: signer, want: provenance.Verified},
		"GitLab": {
			signer: sigstoretest.GitLab("example/group/sdk", "ci/release.yml"), want: provenance.Verified,
			publisher: map[string]any{"kind": "GitLab", "repository": "example/group/sdk", "workflow_filepath": "ci/release.yml"},
		},
		"Google":                {signer: account, publisher: map[string]any{"kind": "Google", "email": "release@example.com"}, want: provenance.Verified},
		"another account":       {signer: account, publisher: map[string]any{"kind": "Google", "email": "release@example.org"}, want: provenance.Invalid, reason: "email", failed: provenance.CheckPublisher},
		"another file":          {name: "example_sdk-1.5-py3-none-any.whl", signer: signer, want: provenance.Invalid, reason: "is about", failed: provenance.CheckName},
		"another digest":        {sum: strings.Repeat("0", 64), signer: signer, want: provenance.Invalid, reason: "digest", failed: provenance.CheckDigest},
		"another platform":      {name: "example_sdk-1.4-py3-none-linux_x86_64.whl", signer: signer, want: provenance.Invalid, reason: "is about", failed: provenance.CheckName},
		"another type":          {kind: "https://example.com/type", signer: signer, want: provenance.Invalid, reason: "predicate type", failed: provenance.CheckStatement},
		"another publisher":     {signer: sigstoretest.GitHub("evil/sdk", "release.yml"), want: provenance.Invalid, reason: "repository", failed: provenance.CheckPublisher},
		"another workflow":      {signer: sigstoretest.GitHub("example/sdk", "test.yml"), want: provenance.Invalid, reason: "workflow", failed: provenance.CheckPublisher},
		"workflow of a fork":    {signer: moved, want: provenance.Invalid, reason: "workflow", failed: provenance.CheckPublisher},
		"another issuer":        {signer: sigstoretest.Signer{Issuer: "https://issuer.example", Subject: signer.Subject, Repository: signer.Repository, Config: signer.Config, Ref: signer.Ref}, want: provenance.Invalid, reason: "kind", failed: provenance.CheckPublisher},
		"expired root":          {signer: signer, root: root(sigstore, at.Add(-time.Minute)), want: provenance.Invalid, failed: provenance.CheckSignature},
		"root that ended later": {signer: signer, root: root(sigstore, at.Add(time.Hour)), want: provenance.Verified},
		"another root":          {signer: signer, root: root(elsewhere, time.Time{}), want: provenance.Invalid, failed: provenance.CheckSignature},
		"public root":           {signer: signer, root: publicRoot(t), want: provenance.Invalid, failed: provenance.CheckSignature},
	} {
		t.Run(name, func(t *testing.T) {
			if test.name == "" {
				test.name = wheel
			}
			if test.sum == "" {
				test.sum = sum
			}
			if test.kind == "" {
				test.kind = provenance.TypePublish
			}
			if test.publisher == nil {
				test.publisher = github
			}
			if test.root == nil {
				test.root = root(sigstore, time.Time{})
			}
			raw := object(t, sigstore, test.name, test.sum, test.kind, test.signer, test.publisher)
			results := test.root.VerifyObject(raw, provenance.Distribution{Filename: wheel, SHA256: sum})
			if len(results) != 1 || results[0].Outcome != test.want || results[0].Failed != test.failed || !strings.Contains(results[0].Reason, test.reason) {
				t.Fatalf("%+v", results)
			}
			if r := results[0]; r.Outcome == provenance.Verified && (!r.Time.Equal(at) || r.Type != test.kind || r.Reason != "" || r.Identity.Kind != test.publisher["kind"]) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// object is a provenance object with one attestation.
func object(t testing.TB, s *sigstoretest.Sigstore, name, sum, kind string, signer sigstoretest.Signer, publisher map[string]any) []byte {
	t.Helper()
	statement, err := sigstoretest.Statement(name, sum, kind)
	if err != nil {
		t.Fatal(err)
	}
	attestation, err := s.Attest(statement, signer)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sigstoretest.Object(publisher, attestation)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestObjects(t *testing.T) {
	_, raw := gitlab(t)
	list := func(n int) string {
		return `{"version":1,"attestation_bundles":[{"publisher":{"kind":"GitLab"},"attestations":[` + strings.Repeat(string(raw)+",", n-1) + string(raw) + `]}]}`
	}
	for name, test := range map[string]struct {
		raw, want string
		cut       int
	}{
		"empty":          {"", "read provenance: unexpected end", 0},
		"truncated":      {list(1)[:2000], "read provenance: unexpected end", 0},
		"another":        {`{"version":2,"attestation_bundles":[]}`, "version 1", 0},
		"none":           {`{"version":1,"attestation_bundles":[]}`, "no attestation", 0},
		"HTML":           {"<html>", "read provenance", 0},
		"no certificate": {`{"version":1,"attestation_bundles":[{"attestations":[{"version":1}]}]}`, "missing", 0},
		"old version":    {`{"version":1,"attestation_bundles":[{"attestations":[{"version":0}]}]}`, "version 0, want 1", 0},
		"large":          {strings.Repeat(" ", provenance.MaxSize+1), "larger than", 0},
		"many":           {list(20), "", 4},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := provenance.ParseObject([]byte(test.raw))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if o.Cut != test.cut {
				t.Errorf("cut %d, want %d", o.Cut, test.cut)
			}
		})
	}
	for _, bad := range []string{"", "{}", `{"mediaType":"x"}`, strings.Repeat(" ", provenance.MaxRootSize+1)} {
		if _, err := provenance.NewRoot([]byte(bad)); err == nil {
			t.Errorf("root %.20q was taken", bad)
		}
	}
}

// FuzzVerifyObject looks for panics, and for any object that verifies for a file
// that it is not about.
func FuzzVerifyObject(f *testing.F) {
	raw := read(f, "testdata", "pypi_attestations-0.0.19.tar.gz.provenance")
	f.Add(raw)
	f.Add([]byte(`{"version":1,"attestation_bundles":[{"publisher":{"kind":"GitHub"},"attestations":[{"version":1}]}]}`))
	f.Add([]byte(`{"version":1,"attestation_bundles":[{"publisher":null,"attestations":[{"version":1,"envelope":{"statement":"e30=","signature":"AA=="},"verification_material":{"certificate":"MAA=","transparency_entries":[{"logIndex":"1"}]}}]}]}`))
	root := publicRoot(f)
	d := provenance.Distribution{Filename: "pypi_attestations-0.0.19.tar.gz", SHA256: strings.Repeat("0", 64)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		results := root.VerifyObject(raw, d)
		if len(results) == 0 {
			t.Fatal("no result")
		}
		for _, r := range results {
			if r.Outcome == provenance.Verified || r.Reason == "" {
				t.Errorf("%+v", r)
			}
			if strings.Contains(r.Reason, "broke its reader") {
				t.Errorf("panic: %s", r.Reason)
			}
		}
	})
}
