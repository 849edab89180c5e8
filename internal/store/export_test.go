package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
)

func signature() []attestation.Signature {
	return []attestation.Signature{{KeyID: "k", Sig: []byte{1, 2}, Timestamps: []attestation.Timestamp{{Type: "tsp", Data: []byte{3}}}}}
}

// TestExportKeepsBytes: whatever a payload is, it is the same bytes when it was
// exported and read again.
func TestExportKeepsBytes(t *testing.T) {
	var want Export
	for i, payload := range []string{
		`{"a":"<b>&\u003c","n":1.0}`, ` {"blank":"before"}`, `{ "blanks" : [ 1 ,2 ] }`, "not JSON \xff", `{"a":1,"a":2}`, `[]`, `"text"`, "{}\n",
	} {
		want.Documents = append(want.Documents, ExportedDocument{
			Name: string(rune('a'+i)) + ".json", Envelope: attestation.Envelope{Payload: []byte(payload), PayloadType: "text/x", Signatures: signature()},
		})
	}
	want.Keys = []ExportedKey{{"policy.pub", "PEM\n"}}
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !IsExport(data) {
		t.Errorf("not recognised: %s", data)
	}
	got, err := ParseExport(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("read again (-want +got):\n%s", d)
	}
	if got.Key("policy.pub") == nil || got.Key("other") != nil {
		t.Error("keys are not found by name")
	}
}

func TestReadDirectory(t *testing.T) {
	dir := t.TempDir()
	d, err := Create(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDirectory(dir); err == nil || !strings.Contains(err.Error(), "no evidence") {
		t.Errorf("an empty directory: %v", err)
	}
	envelope := attestation.Envelope{Payload: []byte(`{"x":1}`), PayloadType: "t", Signatures: []attestation.Signature{{KeyID: "k", Sig: []byte{1}}}}
	if err := d.WriteEnvelope("step.json", envelope); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"policy.pub": "P", SBOMFile: "{}", SLSAFile: "{}", "note.txt": "n", RecordingDir + "/x.json": "{"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Export{Documents: []ExportedDocument{{"step.json", envelope}}, Keys: []ExportedKey{{"policy.pub", "P"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParseExportRefuses(t *testing.T) {
	const head = `{"mediaType":"` + ExportType + `","documents":[`
	for name, text := range map[string]string{
		"another type":     `{"mediaType":"x","documents":[],"keys":[]}`,
		"both payloads":    head + `{"name":"a","payloadType":"t","signatures":[],"statement":1,"payload":"YQ=="}],"keys":[]}`,
		"no payload":       head + `{"name":"a","payloadType":"t","signatures":[]}],"keys":[]}`,
		"unknown field":    head + `],"keys":[],"more":1}`,
		"the same key":     head + `],"keys":[],"keys":[]}`,
		"cut":              head,
		"bad base64":       head + `{"name":"a","payloadType":"t","signatures":[],"payload":"*"}],"keys":[]}`,
		"many time stamps": head + `{"name":"a","payloadType":"t","signatures":[{"keyid":"","sig":"YQ==","timestamps":[` + strings.Repeat(`{"type":"t","data":""},`, 20) + `{"type":"t","data":""}]}],"statement":1}],"keys":[]}`,
	} {
		if _, err := ParseExport([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzParseExport: what can be read is written and read again the same.
func FuzzParseExport(f *testing.F) {
	f.Add([]byte(`{"mediaType":"` + ExportType + `","documents":[{"name":"a","payloadType":"t","signatures":[{"keyid":"","sig":"YQ=="}],"statement":{"a":1}}],"keys":[{"name":"k","pem":"p"}]}`))
	f.Add([]byte(`{"mediaType":"` + ExportType + `","documents":[],"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := ParseExport(data)
		if err != nil {
			return
		}
		again, err := first.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseExport(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		for i, d := range first.Documents {
			if !bytes.Equal(d.Envelope.Payload, second.Documents[i].Envelope.Payload) {
				t.Errorf("%q became %q", d.Envelope.Payload, second.Documents[i].Envelope.Payload)
			}
		}
	})
}
