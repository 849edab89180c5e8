package attestation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
)

func TestPAE(t *testing.T) {
	// The example of the DSSE specification.
	got := string(attestation.PAE("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// foreign lets another implementation of DSSE check our signatures.
type foreign struct{ attestation.PublicKey }

func (f foreign) Verify(_ context.Context, data, sig []byte) error {
	return f.PublicKey.Verify(data, sig)
}
func (f foreign) KeyID() (string, error)   { return f.PublicKey.KeyID(), nil }
func (f foreign) Public() crypto.PublicKey { return nil }

func TestSignAndVerify(t *testing.T) {
	for _, kind := range []string{seal.Ed25519, seal.ECDSAP256} {
		t.Run(kind, func(t *testing.T) {
			k, err := seal.GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			other, err := seal.Ephemeral()
			if err != nil {
				t.Fatal(err)
			}
			payload := []byte(`{"_type": "x",  "odd": "spacing"}`)
			e, err := attestation.Sign(context.Background(), attestation.PayloadType, payload, other, k)
			if err != nil {
				t.Fatal(err)
			}
			data, err := e.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			back, err := attestation.ParseEnvelope(data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(back.Payload, payload) {
				t.Errorf("payload %q, want the bytes that were signed", back.Payload)
			}
			valid, err := back.Verify(k.Public())
			if err != nil || len(valid) != 1 || valid[0].KeyID() != k.KeyID() {
				t.Errorf("valid %v, error %v", valid, err)
			}
			if _, err := back.Verify(key(t).Public()); !errors.Is(err, attestation.ErrNoValidSignature) {
				t.Errorf("error %v", err)
			}
			verifier, err := dsse.NewEnvelopeVerifier(foreign{k.Public()})
			if err != nil {
				t.Fatal(err)
			}
			var env dsse.Envelope
			if err := json.Unmarshal(data, &env); err != nil {
				t.Fatal(err)
			}
			if _, err := verifier.Verify(context.Background(), &env); err != nil {
				t.Errorf("securesystemslib refuses it: %v", err)
			}
			bundle, err := attestation.Bundle(back, 1)
			if err != nil {
				t.Fatal(err)
			}
			text, err := bundle.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"`, `"publicKey":{"hint":"` + k.KeyID() + `"}`, `"tlogEntries":[]`} {
				if !strings.Contains(string(text), want) {
					t.Errorf("bundle has no %s", want)
				}
			}
			inner, err := attestation.ParseEnvelope(text)
			if err != nil || len(inner.Signatures) != 1 {
				t.Errorf("bundle read back: %d signatures, %v", len(inner.Signatures), err)
			}
		})
	}
}

func key(t *testing.T) *seal.PrivateKey {
	t.Helper()
	k, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEveryByteIsCovered(t *testing.T) {
	k := key(t)
	e, err := attestation.Sign(context.Background(), "t", []byte("payload"), k)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Payload {
		c := e
		c.Payload = bytes.Clone(e.Payload)
		c.Payload[i] ^= 1
		if _, err := c.Verify(k.Public()); err == nil {
			t.Errorf("payload byte %d is not covered", i)
		}
	}
	c := e
	c.PayloadType = "u"
	if _, err := c.Verify(k.Public()); err == nil {
		t.Error("the payload type is not covered")
	}
	c = e
	c.Signatures = nil
	if _, err := c.Verify(k.Public()); !errors.Is(err, attestation.ErrUnsigned) {
		t.Errorf("error %v, want ErrUnsigned", err)
	}
}

func TestParseEnvelopeRefuses(t *testing.T) {
	payload := base64.StdEncoding.EncodeToString([]byte("{}??>>"))
	ok := `{"payload":"` + payload + `","payloadType":"t","signatures":[{"keyid":"k","sig":"AA=="}]}`
	if _, err := attestation.ParseEnvelope([]byte(ok)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ data, want string }{
		"empty":             {"", "empty document"},
		"cut off":           {ok[:len(ok)-5], "truncated"},
		"data after":        {ok + "{}", "data after the JSON document"},
		"not an object":     {"[]", "an array, want an object"},
		"null":              {"null", "null, want an object"},
		"no payload":        {`{"payloadType":"t","signatures":[]}`, `field "payload" is missing`},
		"no signatures":     {`{"payload":"","payloadType":"t"}`, `field "signatures" is missing`},
		"key twice":         {strings.Replace(ok, `{"payload"`, `{"payload":"","payload"`, 1), "appears twice"},
		"escaped key twice": {strings.Replace(ok, `{"payload"`, `{"p\u0061yload":"","payload"`, 1), "appears twice"},
		"other spelling":    {strings.Replace(ok, `"payloadType"`, `"PayloadType":"x","payloadType"`, 1), `field "PayloadType"`},
		"URL base64":        {strings.Replace(ok, payload, base64.URLEncoding.EncodeToString([]byte("{}??>>")), 1), "illegal base64"},
		"line break":        {strings.Replace(ok, payload, payload[:4]+`\n`+payload[4:], 1), "base64"},
		"bad signature":     {strings.Replace(ok, "AA==", "AA", 1), `signature 0: field "sig"`},
		"not UTF-8":         {strings.Replace(ok, `"k"`, "\"\xff\"", 1), "not UTF-8"},
		"deep":              {strings.Repeat("[", 600) + strings.Repeat("]", 600), "nesting deeper than 512"},
		"many signatures":   {`{"payload":"","payloadType":"t","signatures":[` + strings.TrimSuffix(strings.Repeat(`{"sig":""},`, 65), ",") + `]}`, "65 signatures"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := attestation.ParseEnvelope([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	big := make([]byte, attestation.MaxDocument+1)
	if _, err := attestation.ParseEnvelope(big); !errors.Is(err, attestation.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	if _, err := attestation.ReadDocument(bytes.NewReader(big)); !errors.Is(err, attestation.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	// The same as a frame of some kilobytes.
	bomb, err := attestation.Compress(big)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attestation.ReadDocument(bytes.NewReader(bomb)); !errors.Is(err, attestation.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	small, err := attestation.Compress([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := attestation.ReadDocument(bytes.NewReader(small)); err != nil || string(out) != "{}" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := attestation.Decompress(small[:len(small)-3]); err == nil {
		t.Error("a frame that was cut off is read")
	}
}

func TestStatement(t *testing.T) {
	const good = `{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"a","digest":{"sha256":"ab"}}],"predicateType":"https://aflock.ai/attestation-collection/v0.1",
	 "predicate":{"name":"s","attestations":[{"type":"t","attestation":{"a" : 1},"starttime":"2026-11-23T11:00:00.000000001Z","endtime":"2026-11-23T11:00:01Z"}]}}`
	s, err := attestation.ParseStatement([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	c, err := attestation.ParseCollection(s)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "s" || len(c.Attestations) != 1 || string(c.Attestations[0].Attestation) != `{"a" : 1}` || c.Attestations[0].StartTime.Nanosecond() != 1 {
		t.Errorf("%+v", c)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"type":            {"Statement/v0.1", "Statement/v9", `type "https://in-toto.io/Statement/v9"`},
		"predicate type":  {"aflock.ai/attestation-collection", "example.com/x", "predicate type"},
		"no name":         {`"name":"s",`, "", "no name"},
		"no predicate":    {`"attestation":{"a" : 1},`, "", `"t" has no predicate`},
		"spelling":        {`"attestation":{`, `"Attestation":{`, `field "Attestation"`},
		"key twice below": {`{"a" : 1}`, `{"a":1,"a":2}`, `"a" appears twice`},
		"time":            {"2026-11-23T11:00:01Z", "yesterday", `field "endtime"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := attestation.ParseStatement([]byte(strings.Replace(good, tt.old, tt.new, 1)))
			if err == nil {
				_, err = attestation.ParseCollection(s)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTypes(t *testing.T) {
	for short, want := range map[string]string{
		"command-run/v0.1": "https://witness.dev/attestations/command-run/v0.1", "pip-install/v0.1": "https://aflock.ai/attestations/pip-install/v0.1",
		"slsa/v1.0": "https://slsa.dev/provenance/v1", "https://a.example/x": "https://a.example/x",
	} {
		if got, err := attestation.ResolveShort(short); err != nil || got != want {
			t.Errorf("%s: %q, %v", short, got, err)
		}
	}
	for _, bad := range []string{"", "command-run", "command-run/v0.2", "sbom/v1", "nothing/v1"} {
		if got, err := attestation.ResolveShort(bad); err == nil {
			t.Errorf("%q resolves to %q", bad, got)
		}
	}
	for uri, want := range map[string]string{
		"https://witness.dev/attestations/command-run/v0.1": "command-run", "https://slsa.dev/provenance/v1": "slsa", "https://slsa.dev/provenance/v1.0": "slsa",
		"https://cyclonedx.org/bom": "sbom", "https://aflock.ai/attestations/material/v0.3": "material", "https://openvex.dev/ns": "ns",
		"https://pip-witness.dev/attestations/outcome/v0.1": "outcome",
	} {
		if got := attestation.ShortName(uri); got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
	type pair struct{ required, stored string }
	for p, want := range map[pair]bool{
		{attestation.TypeSBOM, attestation.TypeSBOM}:                                             true,
		{attestation.TypeSBOM, "https://aflock.ai/attestations/sbom/v0.1"}:                       true,
		{"https://witness.dev/attestations/git/v0.1", "https://aflock.ai/attestations/git/v0.1"}: true,
		{"https://aflock.ai/attestations/sbom/v0.1", attestation.TypeSBOM}:                       false,
		{attestation.TypeCommandRun, "https://aflock.ai/attestations/command-run/v0.2"}:          false,
		{attestation.TypeSLSA, "https://slsa.dev/provenance/v1.0"}:                               true,
		{"https://slsa.dev/provenance/v1.0", attestation.TypeSLSA}:                               true,
		{attestation.TypeSBOM, "https://cyclonedx.org/bom"}:                                      false,
		{attestation.TypeSBOM, "https://evil.example/attestations/sbom/v0.1"}:                    false,
	} {
		if got := attestation.Satisfies(p.required, p.stored); got != want {
			t.Errorf("%s by %s: %v", p.required, p.stored, got)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	k := key(t)
	again, err := attestation.ParsePublicKey(k.Public().PEM())
	if err != nil || again.KeyID() != k.KeyID() {
		t.Errorf("%s, %v", again.KeyID(), err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attestation.NewPublicKey(rsaKey.Public()); err == nil || !strings.Contains(err.Error(), "supported are Ed25519 and ECDSA P-256") {
		t.Errorf("error %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attestation.NewPublicKey(p384.Public()); err == nil || !strings.Contains(err.Error(), "P-384") {
		t.Errorf("error %v", err)
	}
	if err := (attestation.PublicKey{}).Verify(nil, nil); err == nil {
		t.Error("an empty key accepts")
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`{"payload":"e30=","payloadType":"t","signatures":[{"keyid":"k","sig":"AA==","timestamps":[{"type":"tsp","data":"AA=="}]}]}`))
	f.Add([]byte(`{"mediaType":"x","dsseEnvelope":{"payload":"e30=","payloadType":"t","signatures":[]}}`))
	f.Add([]byte(`{"payload":"","payload":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := attestation.ParseEnvelope(data)
		if err != nil {
			return
		}
		out, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := attestation.ParseEnvelope(out)
		if err != nil || !bytes.Equal(back.Payload, e.Payload) || back.PayloadType != e.PayloadType || len(back.Signatures) != len(e.Signatures) {
			t.Errorf("%q reads back as %+v, %v", out, back, err)
		}
	})
}

func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"a":[1,"x:",{"b":"\"","c":null}]},"b":1}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if attestation.CheckJSON(data) == nil && !json.Valid(data) {
			t.Errorf("%q is accepted", data)
		}
	})
}

func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://witness.testifysec.com/attestation-collection/v0.1","predicate":{"name":"s","attestations":[{"type":"t","attestation":{}}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := attestation.ParseStatement(data)
		if err != nil {
			return
		}
		if c, err := attestation.ParseCollection(s); err == nil && c.Name == "" {
			t.Errorf("a collection without a name is accepted: %q", data)
		}
	})
}

// FuzzFields compares the members of an object with what encoding/json finds.
func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"a" : {"b":[1,"},]"]} , "c\"d":"x:\\", "e":-1.5e3,"f":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if attestation.CheckJSON(data) != nil {
			return
		}
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(data, &want)
		got, err := attestation.Fields(data)
		if err != nil {
			if wantErr == nil && want != nil {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if len(got) != len(want) {
			t.Errorf("%q: %d members, want %d", data, len(got), len(want))
		}
		for k, v := range want {
			if !bytes.Equal(v, got[k]) {
				t.Errorf("%q: member %q is %q, want %q", data, k, got[k], v)
			}
		}
	})
}

func TestTableOfTypes(t *testing.T) {
	var d []string
	for _, x := range attestation.Types() {
		d = append(d, x.Short)
	}
	if diff := cmp.Diff([]string{"command-run/v0.1", "environment/v0.1", "material/v0.1", "omnitrail/v0.1", "outcome/v0.1", "pip-install/v0.1",
		"product/v0.1", "sbom/v0.1", "secretscan/v0.1", "slsa/v1.0", "verdict/v1"}, d); diff != "" {
		t.Errorf("table of types:\n%s", diff)
	}
}
