package attestation_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/internal/testca"
)

func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// office is a root, an intermediate, a time-stamp authority and a signer.
type office struct {
	t         testing.TB
	root, sub *testca.CA
	tsaRoot   *testca.CA
	public    ed25519.PublicKey
	private   ed25519.PrivateKey
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, root: ok[*testca.CA](t)(testca.New("root")), tsaRoot: ok[*testca.CA](t)(testca.New("time"))}
	o.sub = ok[*testca.CA](t)(o.root.Sub("sub"))
	var err error
	if o.public, o.private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return o
}

func authority(t testing.TB, id string, root *testca.CA, intermediates ...*testca.CA) attestation.Authority {
	t.Helper()
	var more [][]byte
	for _, i := range intermediates {
		more = append(more, i.PEM())
	}
	return ok[attestation.Authority](t)(attestation.ParseAuthority(id, root.PEM(), more))
}

func (o *office) trust(now time.Time) attestation.Trust {
	return attestation.Trust{
		Roots:                []attestation.Authority{authority(o.t, "ca", o.root)},
		TimestampAuthorities: []attestation.Authority{authority(o.t, "tsa", o.tsaRoot)}, Now: now,
	}
}

// envelope is signed with a certificate of the intermediate.
func (o *office) envelope(templates ...testca.Template) attestation.Envelope {
	leaf := ok[*x509.Certificate](o.t)(o.sub.Issue("builder", o.public, templates...))
	e := attestation.Envelope{Payload: []byte("{}"), PayloadType: attestation.PayloadType}
	sig := ed25519.Sign(o.private, attestation.PAE(e.PayloadType, e.Payload))
	e.Signatures = []attestation.Signature{{KeyID: "x", Sig: sig, Certificate: testca.PEM(leaf), Intermediates: [][]byte{o.sub.PEM()}}}
	return e
}

// stamped adds a time stamp of the signature.
func (o *office) stamped(e attestation.Envelope, at time.Time, templates ...testca.Template) attestation.Envelope {
	tsa := ok[*testca.TSA](o.t)(o.tsaRoot.NewTSA(at, templates...))
	token := ok[[]byte](o.t)(tsa.Token(e.Signatures[0].Sig, true))
	e.Signatures[0].Timestamps = append(e.Signatures[0].Timestamps, attestation.Timestamp{Type: "tsp", Data: token})
	return e
}

func TestAcceptCertificates(t *testing.T) {
	o := newOffice(t)
	now := time.Now().UTC().Truncate(time.Second)
	past := testca.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))
	within := now.Add(-90 * time.Minute)
	other := newOffice(t)
	tests := map[string]struct {
		envelope attestation.Envelope
		trust    func(*attestation.Trust)
		want     string // of the error; empty is accepted
		stamp    time.Time
		doubt    string
	}{
		"valid now":                       {envelope: o.envelope()},
		"time stamp, valid then and now":  {envelope: o.stamped(o.envelope(), now.Add(-time.Hour)), stamp: now.Add(-time.Hour)},
		"time stamp, expired since":       {envelope: o.stamped(o.envelope(past), within), stamp: within},
		"expired, no time stamp":          {envelope: o.envelope(past), want: "no trusted time stamp): root \"ca\": x509: certificate has expired"},
		"expired before its time stamp":   {envelope: o.stamped(o.envelope(past), now), want: "the time of its time stamp): root \"ca\": x509: certificate has expired"},
		"not valid yet at its time stamp": {envelope: o.stamped(o.envelope(past), now.Add(-3*time.Hour)), want: "certificate has expired or is not yet valid"},
		"time stamp by a stranger, expired": {envelope: o.stamped(o.envelope(past), within),
			trust: func(t *attestation.Trust) { t.TimestampAuthorities[0].Root = other.tsaRoot.Certificate }, want: "time-stamp authority \"tsa\": x509: certificate signed by unknown authority"},
		"time stamp by a stranger, valid": {envelope: o.stamped(o.envelope(), within),
			trust: func(t *attestation.Trust) { t.TimestampAuthorities[0].Root = other.tsaRoot.Certificate }, doubt: "unknown authority"},
		"time stamp of another kind": {envelope: func() attestation.Envelope {
			e := o.envelope()
			e.Signatures[0].Timestamps = []attestation.Timestamp{{Type: "roughtime"}}
			return e
		}(), doubt: `time stamp of type "roughtime"`},
		"other root":           {envelope: other.envelope(), want: "unknown authority"},
		"no roots":             {envelope: o.envelope(), trust: func(t *attestation.Trust) { t.Roots = nil }, want: "no valid signature by a known key"},
		"intermediate missing": {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Intermediates = nil }), want: "unknown authority"},
		"intermediate by the policy": {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Intermediates = nil }),
			trust: func(trust *attestation.Trust) { trust.Roots[0] = authority(t, "ca", o.root, o.sub) }},
		"intermediate behind the certificate": {envelope: edited(o.envelope(), func(s *attestation.Signature) {
			s.Certificate, s.Intermediates = append(s.Certificate, s.Intermediates[0]...), nil
		})},
		"of another key":                {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Certificate = other.envelope().Signatures[0].Certificate }), want: "its key: the signature does not match"},
		"signature changed":             {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Sig[5] ^= 1 }), want: "its key: the signature does not match"},
		"certificate no PEM":            {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Certificate = []byte("x") }), want: "not a PEM file"},
		"certificate broken":            {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Certificate = attestation.EncodeCertificate([]byte("x")) }), want: "parse certificate"},
		"intermediate broken":           {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Intermediates = [][]byte{[]byte("x")} }), want: "intermediate: not a PEM file"},
		"many intermediates":            {envelope: edited(o.envelope(), func(s *attestation.Signature) { s.Intermediates = make([][]byte, 17) }), want: "more than 16 intermediates"},
		"for servers":                   {envelope: o.envelope(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), want: "incompatible key usage"},
		"without extended usage":        {envelope: o.envelope(func(c *x509.Certificate) { c.ExtKeyUsage = nil })},
		"not for signatures":            {envelope: o.envelope(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), want: "does not have digital signatures"},
		"of an authority":               {envelope: o.envelope(func(c *x509.Certificate) { c.IsCA = true }), want: "it is the certificate of an authority"},
		"critical extension, not known": {envelope: o.envelope(func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, critical()) }), want: "unhandled critical extension"},
		"unsigned":                      {envelope: attestation.Envelope{}, want: "it is not signed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trust := o.trust(now)
			if tt.trust != nil {
				tt.trust(&trust)
			}
			got, err := tt.envelope.Accept(trust)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				if !errors.Is(err, attestation.ErrNoValidSignature) && !errors.Is(err, attestation.ErrUnsigned) {
					t.Errorf("error %v matches no sentinel", err)
				}
				return
			}
			if err != nil || len(got) != 1 || got[0].Certificate == nil {
				t.Fatalf("%+v, %v", got, err)
			}
			if diff := cmp.Diff([]string{"ca"}, got[0].Roots); diff != "" || !got[0].Stamp.Time.Equal(tt.stamp) {
				t.Errorf("roots (-want +got):\n%s stamp %v, want %v", diff, got[0].Stamp, tt.stamp)
			}
			if doubts := strings.Join(got[0].Doubts, "\n"); !strings.Contains(doubts, tt.doubt) || tt.doubt == "" && doubts != "" {
				t.Errorf("doubts %q, want %q", doubts, tt.doubt)
			}
			// A Sigstore bundle says the same, but has no place for intermediates.
			trust.Roots[0].Intermediates = append(trust.Roots[0].Intermediates, o.sub.Certificate)
			bundle := ok[attestation.SigstoreBundle](t)(attestation.Bundle(tt.envelope, 0))
			back := ok[attestation.Envelope](t)(attestation.ParseEnvelope(ok[[]byte](t)(bundle.Marshal())))
			again, err := back.Accept(trust)
			if err != nil || len(again) != 1 || !again[0].Certificate.Equal(got[0].Certificate) || !again[0].Stamp.Time.Equal(tt.stamp) {
				t.Errorf("as a bundle: %+v, %v", again, err)
			}
		})
	}
}

func edited(e attestation.Envelope, change func(*attestation.Signature)) attestation.Envelope {
	change(&e.Signatures[0])
	return e
}

// TestVerifyTimestamp has every way in which a token can be wrong.
func TestVerifyTimestamp(t *testing.T) {
	message := []byte("the signature")
	at := time.Now().UTC().Truncate(time.Second)
	root := ok[*testca.CA](t)(testca.New("time"))
	other := ok[*testca.CA](t)(testca.New("other"))
	noCA := ok[*testca.CA](t)(root.Sub("not an authority", func(c *x509.Certificate) { c.IsCA = false }))
	sub := ok[*testca.CA](t)(root.Sub("sub"))
	token := func(ca *testca.CA, certificate bool, templates ...testca.Template) []byte {
		return ok[[]byte](t)(ok[*testca.TSA](t)(ca.NewTSA(at, templates...)).Token(message, certificate))
	}
	changed := func(change func(*timestamp.Timestamp)) []byte {
		tsa := ok[*testca.TSA](t)(root.NewTSA(at))
		tsa.Change = change
		return ok[[]byte](t)(tsa.Token(message, true))
	}
	good := token(root, true)
	bare := ok[*testca.TSA](t)(root.NewTSA(at))
	noUsage := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	tests := map[string]struct {
		token []byte
		want  string
		trust attestation.Authority
	}{
		"good":                           {token: good},
		"without its certificate, given": {token: ok[[]byte](t)(bare.Token(message, false)), trust: attestation.Authority{ID: "tsa", Root: root.Certificate, Intermediates: []*x509.Certificate{bare.Certificate}}},
		"without its certificate":        {token: ok[[]byte](t)(bare.Token(message, false)), want: "neither in the token nor given"},
		"of another message":             {token: changed(func(s *timestamp.Timestamp) { s.HashedMessage = bytes.Repeat([]byte{1}, 32) }), want: "it is of another message"},
		"other root":                     {token: token(other, true), want: "unknown authority"},
		"intermediate missing":           {token: token(sub, true), want: "unknown authority"},
		"intermediate given":             {token: token(sub, true), trust: authority(t, "tsa", root, sub)},
		"CA flag missing":                {token: token(noCA, true), trust: authority(t, "tsa", root, noCA), want: "parent certificate cannot sign this kind of certificate"},
		"expired at its own time":        {token: token(root, true, testca.Valid(at.Add(-2*time.Hour), at.Add(-time.Hour))), want: "certificate has expired"},
		"usage not critical":             {token: token(root, true, noUsage, testca.TimestampUsage(false)), want: "not for time stamps alone"},
		"another usage too":              {token: token(root, true, noUsage, testca.TimestampUsage(true, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3})), want: "not for time stamps alone"},
		"no usage":                       {token: token(root, true, noUsage), want: "not for time stamps alone"},
		"empty":                          {token: nil, want: "content info"},
		"garbage":                        {token: []byte("hello"), want: "content info"},
		"cut":                            {token: good[:len(good)-9], want: "content info"},
		"more behind":                    {token: append(bytes.Clone(good), 0), want: "data behind its end"},
		"large":                          {token: make([]byte, 1<<17), want: "at most 65536 are read"},
		"a whole response":               {token: ok[[]byte](t)(attestation.TimestampResponse(good)), want: "content info"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.trust.ID == "" {
				tt.trust = authority(t, "tsa", root)
			}
			stamp, err := attestation.VerifyTimestamp(tt.token, message, []attestation.Authority{tt.trust})
			if tt.want == "" && (err != nil || !stamp.Time.Equal(at) || stamp.Authority != "tsa") {
				t.Errorf("%+v, %v", stamp, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := attestation.VerifyTimestamp(good, message, nil); err == nil || !strings.Contains(err.Error(), "no time-stamp authority is trusted") {
		t.Errorf("error %v", err)
	}
	// No byte can be changed: what is not signed is not accepted in another form, but
	// for the certificates that nobody needs and the version of the container.
	trust := []attestation.Authority{authority(t, "tsa", root)}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if stamp, err := attestation.VerifyTimestamp(bad, message, trust); err == nil && !stamp.Time.Equal(at) {
			t.Errorf("byte %d changed: another time is accepted: %+v", i, stamp)
		}
	}
}

func TestTimestampResponse(t *testing.T) {
	message := []byte("m")
	tsa := ok[*testca.TSA](t)(ok[*testca.CA](t)(testca.New("time")).NewTSA(time.Now()))
	token := ok[[]byte](t)(tsa.Token(message, true))
	wrapped := ok[[]byte](t)(attestation.TimestampResponse(token))
	back := ok[[]byte](t)(attestation.ParseTimestampResponse(wrapped))
	if !bytes.Equal(back, token) {
		t.Error("the token changed")
	}
	// The other reader of the same bytes.
	if other, err := timestamp.ParseResponse(wrapped); err != nil || !bytes.Equal(other.RawToken, token) {
		t.Errorf("the library: %v", err)
	}
	refused := "\x30\x10\x30\x0e\x02\x01\x02\x30\x09\x0c\x07no time"
	for name, tt := range map[string][2]string{
		"refused": {refused, `refused, status 2: ["no time"]`}, "garbage": {"x", "read time-stamp response"}, "empty": {"", "read time-stamp response"},
		"no token": {"\x30\x05\x30\x03\x02\x01\x00", "it has no token"},
	} {
		if _, err := attestation.ParseTimestampResponse([]byte(tt[0])); err == nil || !strings.Contains(err.Error(), tt[1]) {
			t.Errorf("%s: error %v, want %q", name, err, tt[1])
		}
	}
}

// TestTimestampsOfOpenSSL compares with another implementation, both ways.
func TestTimestampsOfOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl")
	}
	dir := t.TempDir()
	message := []byte("the signature")
	root := ok[*testca.CA](t)(testca.New("time"))
	tsa := ok[*testca.TSA](t)(root.NewTSA(time.Now()))
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) {
		t.Helper()
		command := exec.Command(openssl, args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
	}
	response := ok[[]byte](t)(attestation.TimestampResponse(ok[[]byte](t)(tsa.Token(message, true))))
	run("ts", "-verify", "-data", write("message", message), "-in", write("response", response), "-CAfile", write("root.pem", root.PEM()))

	// And a token that openssl makes, with an RSA key.
	write("tsa.cnf", []byte("[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=openssl tsa\n[ext]\nbasicConstraints=critical,CA:TRUE\n"+
		"extendedKeyUsage=critical,timeStamping\n[tsa]\ndefault_tsa=one\n[one]\nserial=serial\nsigner_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256,sha512\n"+
		"accuracy=secs:1,millisecs:500\nordering=yes\ntsa_name=yes\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n"))
	write("serial", []byte("01\n"))
	run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.pem", "-days", "30", "-config", "tsa.cnf")
	for _, hash := range []string{"-sha256", "-sha512"} {
		run("ts", "-query", "-data", "message", hash, "-cert", "-out", "query")
		run("ts", "-reply", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-config", "tsa.cnf", "-section", "one", "-out", "reply")
		token := ok[[]byte](t)(attestation.ParseTimestampResponse(ok[[]byte](t)(os.ReadFile(filepath.Join(dir, "reply")))))
		trusted := ok[attestation.Authority](t)(attestation.ParseAuthority("openssl", ok[[]byte](t)(os.ReadFile(filepath.Join(dir, "tsa.pem"))), nil))
		stamp, err := attestation.VerifyTimestamp(token, message, []attestation.Authority{trusted})
		if err != nil || time.Since(stamp.Time).Abs() > time.Minute || stamp.Nonce == nil {
			t.Errorf("%s: %+v, %v", hash, stamp, err)
		}
		if _, err := attestation.VerifyTimestamp(token, []byte("another"), []attestation.Authority{trusted}); err == nil {
			t.Errorf("%s: accepted for another message", hash)
		}
	}
}

func FuzzVerifyTimestamp(f *testing.F) {
	root := ok[*testca.CA](f)(testca.New("time"))
	tsa := ok[*testca.TSA](f)(root.NewTSA(time.Now()))
	token := ok[[]byte](f)(tsa.Token([]byte("m"), true))
	f.Add(token)
	f.Add(ok[[]byte](f)(attestation.TimestampResponse(token)))
	trust := []attestation.Authority{authority(f, "tsa", root)}
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := attestation.VerifyTimestamp(data, []byte("m"), trust); err == nil && s.Time.IsZero() {
			t.Error("a time stamp without a time")
		}
		if token, err := attestation.ParseTimestampResponse(data); err == nil && len(token) == 0 {
			t.Error("a response without a token")
		}
	})
}

// critical is an extension that nobody knows.
func critical() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
}
