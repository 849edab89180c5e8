package verify_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/testca"
	"pip-witness/policy"
	"pip-witness/verify"
)

// certified is a policy whose functionary is a certificate, and who signs by it.
type certified struct {
	*world
	root, sub *testca.CA
	tsa       *testca.TSA
	// stamped adds a time stamp to each signature.
	stamped bool
	leaf    []testca.Template
}

// identity is what the certificate of the tests is about.
func identity(c *x509.Certificate) {
	c.Subject.Organization = []string{"Example", "Builds"}
	c.DNSNames = []string{"builder.example"}
	c.EmailAddresses = []string{"builder@example.org"}
	c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/builder"}}
}

func constraint() map[string]any {
	return map[string]any{
		"commonname": "builder", "dnsnames": []string{"builder.example"}, "emails": []string{"builder@example.org"},
		"organizations": []string{"Builds", "Example"}, "uris": []string{"spiffe://example/builder"}, "roots": []string{"ca"},
	}
}

func newCertified(t *testing.T, change func(c map[string]any)) *certified {
	t.Helper()
	c := &certified{world: newWorld(t, policy.Builtin()), root: must[*testca.CA](t)(testca.New("root", validThen)), leaf: []testca.Template{validThen, identity}}
	c.sub = must[*testca.CA](t)(c.root.Sub("sub", validThen))
	tsaRoot := must[*testca.CA](t)(testca.New("time", validThen))
	c.tsa = must[*testca.TSA](t)(tsaRoot.NewTSA(now().Add(-20*time.Minute), validThen))
	constraint := constraint()
	if change != nil {
		change(constraint)
	}
	c.edit(func(p map[string]any) {
		p["roots"] = map[string]any{"ca": map[string]any{"certificate": c.root.PEM(), "intermediates": [][]byte{}}}
		p["timestampauthorities"] = map[string]any{"tsa": map[string]any{"certificate": tsaRoot.PEM(), "intermediates": [][]byte{}}}
		for _, step := range p["steps"].(map[string]any) {
			step.(map[string]any)["functionaries"] = []any{map[string]any{"type": "root", "certConstraint": constraint}}
		}
	})
	return c
}

// validThen is valid around the time of the tests.
func validThen(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = now().Add(-24*time.Hour), now().Add(24*time.Hour)
}

func (c *certified) documents() []verify.Document {
	c.t.Helper()
	leaf := must[*x509.Certificate](c.t)(c.sub.Issue("builder", publicKey(c.t, c.signer), c.leaf...))
	signer := &seal.Endorsed{Key: c.signer, Certificate: testca.PEM(leaf), Intermediates: [][]byte{c.sub.PEM()}}
	if c.stamped {
		signer.Stamp = func(_ context.Context, sig []byte) ([]byte, error) { return c.tsa.Token(sig, true) }
	}
	var docs []verify.Document
	for _, e := range []evidence{{name: "pip-install"}, {name: "pip-import", start: now().Add(-30 * time.Minute)}} {
		envelope := must[attestation.Envelope](c.t)(attestation.Sign(c.t.(*testing.T).Context(), attestation.PayloadType, e.payload(c.t), signer))
		docs = append(docs, verify.Document{Name: e.name + ".json", Data: must[[]byte](c.t)(envelope.Marshal())})
	}
	return docs
}

// publicKey is the key in the form of crypto/x509.
func publicKey(t testing.TB, k *seal.PrivateKey) any {
	t.Helper()
	return must[any](t)(parsePublic(k.Public().PEM()))
}

func TestCertificateFunctionaries(t *testing.T) {
	list := func(values ...string) []string { return values }
	tests := map[string]struct {
		constraint func(map[string]any)
		setUp      func(*certified)
		verdict    policy.Verdict
		want       string
	}{
		"exactly": {verdict: policy.Pass, want: "the times are the signer's own: the signature has no time stamp"},
		"anything, any root": {constraint: func(c map[string]any) {
			c["commonname"], c["dnsnames"], c["emails"], c["organizations"], c["uris"], c["roots"] = "*", list("*"), list("*"), list("*"), list("*"), list("*")
		}, verdict: policy.Pass},
		"other common name":  {constraint: func(c map[string]any) { c["commonname"] = "other" }, verdict: policy.Untrusted, want: `its common name are ["builder"], want ["other"]`},
		"no common name":     {constraint: func(c map[string]any) { c["commonname"] = "" }, verdict: policy.Untrusted, want: `its common name are ["builder"], want []`},
		"DNS name missing":   {constraint: func(c map[string]any) { c["dnsnames"] = list("builder.example", "second.example") }, verdict: policy.Untrusted, want: "its DNS names are"},
		"DNS names, none":    {constraint: func(c map[string]any) { c["dnsnames"] = list() }, verdict: policy.Untrusted, want: `its DNS names are ["builder.example"], want []`},
		"an email extra":     {constraint: func(c map[string]any) { c["emails"] = nil }, verdict: policy.Untrusted, want: "its email addresses are"},
		"organization extra": {constraint: func(c map[string]any) { c["organizations"] = list("Example") }, verdict: policy.Untrusted, want: "its organizations are"},
		"other URI":          {constraint: func(c map[string]any) { c["uris"] = list("spiffe://example/other") }, verdict: policy.Untrusted, want: "its URIs are"},
		"certificate expired, no time stamp": {setUp: func(c *certified) {
			c.leaf = append(c.leaf, testca.Valid(now().Add(-time.Hour), now().Add(-10*time.Minute)))
		}, verdict: policy.Untrusted, want: "certificate has expired"},
		"certificate expired since, time stamp": {setUp: func(c *certified) {
			c.leaf = append(c.leaf, testca.Valid(now().Add(-time.Hour), now().Add(-10*time.Minute)))
			c.stamped = true
		}, verdict: policy.Pass, want: `says time-stamp authority "tsa"`},
		"time stamp by a stranger": {setUp: func(c *certified) {
			c.tsa = must[*testca.TSA](t)(must[*testca.CA](t)(testca.New("stranger", validThen)).NewTSA(now(), validThen))
			c.stamped = true
		}, verdict: policy.Pass, want: "the times are the signer's own: verify time stamp"},
		"ends after its time stamp": {setUp: func(c *certified) {
			c.tsa.Time, c.stamped = now().Add(-2*time.Hour), true
		}, verdict: policy.Untrusted, want: "after its signature was time-stamped"},
		"other root": {setUp: func(c *certified) {
			c.root = must[*testca.CA](t)(testca.New("root", validThen))
			c.sub = must[*testca.CA](t)(c.root.Sub("sub", validThen))
		}, verdict: policy.Untrusted, want: "unknown authority"},
		"other root, no known key": {setUp: func(c *certified) {
			c.root = must[*testca.CA](t)(testca.New("root", validThen))
			c.sub = must[*testca.CA](t)(c.root.Sub("sub", validThen))
			c.edit(func(p map[string]any) { p["publickeys"] = map[string]any{} })
		}, verdict: policy.Untrusted, want: "no valid signature by a known key: certificate of signature 0"},
		"policy expired, no time stamps": {setUp: func(c *certified) {
			c.edit(func(p map[string]any) { p["expires"] = now().Add(-10 * time.Minute).Format(time.RFC3339) })
		}, verdict: policy.Untrusted, want: "the policy expired"},
		"policy expired since, time stamps": {setUp: func(c *certified) {
			c.stamped = true
			c.edit(func(p map[string]any) { p["expires"] = now().Add(-10 * time.Minute).Format(time.RFC3339) })
		}, verdict: policy.Pass, want: "all evidence was time-stamped before"},
		"policy expired before the time stamps": {setUp: func(c *certified) {
			c.stamped = true
			c.edit(func(p map[string]any) { p["expires"] = now().Add(-30 * time.Minute).Format(time.RFC3339) })
		}, verdict: policy.Untrusted, want: "the policy expired"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCertified(t, tt.constraint)
			if tt.setUp != nil {
				tt.setUp(c)
			}
			r := c.verify(c.documents()...)
			code := map[policy.Verdict]int{policy.Pass: 0, policy.Untrusted: 4}[tt.verdict]
			want(t, r, tt.verdict, code, tt.want)
			if tt.verdict == policy.Pass && (r.Steps[0].Certificate == "" || (r.Steps[0].SignedAt != "") != strings.Contains(tt.want, "authority \"tsa\"") && !strings.Contains(tt.want, "all evidence")) {
				t.Errorf("step %+v", r.Steps[0])
			}
		})
	}
}

// TestOneStampedCollectionIsNotEnough: the policy is in force for all or for none.
func TestOneStampedCollectionIsNotEnough(t *testing.T) {
	c := newCertified(t, nil)
	c.edit(func(p map[string]any) { p["expires"] = now().Add(-10 * time.Minute).Format(time.RFC3339) })
	plain := c.documents()
	c.stamped = true
	stamped := c.documents()
	want(t, c.verify(stamped[0], plain[1]), policy.Untrusted, 4, "the policy expired")
	want(t, c.verify(), policy.Untrusted, 4, "the policy expired")
	want(t, c.verify(stamped...), policy.Pass, 0, "")
}

func TestCertificatePoliciesAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(p map[string]any)
		want string
	}{
		"root is no certificate": {func(p map[string]any) { p["roots"] = map[string]any{"ca": map[string]any{"certificate": []byte("x")}} }, `roots: authority "ca": not a PEM file`},
		"time-stamp authority is none": {func(p map[string]any) {
			p["timestampauthorities"] = map[string]any{"t": map[string]any{"certificate": []byte("x")}}
		}, `timestampauthorities: authority "t"`},
		"constraint of an unknown root": {func(p map[string]any) { p["roots"] = map[string]any{} }, `root "ca" is not among the roots`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCertified(t, nil)
			c.edit(tt.edit)
			_, err := verify.Verify(t.Context(), c.request())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func parsePublic(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	return x509.ParsePKIXPublicKey(block.Bytes)
}
