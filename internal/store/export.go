package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"pip-witness/attestation"
)

// ExportType is the media type of an export, and how one is recognised.
const ExportType = "application/vnd.pip-witness.evidence.v1+json"

// Export is what an evidence directory says, as one document: its signed envelopes
// and its public keys. A payload that is compact JSON stands in it as it was
// signed, not as base64: so it can be read, and it compresses far better. What
// follows from the envelopes (Sigstore bundles, sbom.cdx.json, slsa.json) is not
// in it.
type Export struct {
	Documents []ExportedDocument
	Keys      []ExportedKey
}

// ExportedDocument is one envelope; Name is its path below the directory, with
// slashes.
type ExportedDocument struct {
	Name     string
	Envelope attestation.Envelope
}

// ExportedKey is one public key, PEM.
type ExportedKey struct {
	Name string `json:"name"`
	PEM  string `json:"pem"`
}

// Bounds of an export.
const (
	maxExported    = 4096    // documents
	maxExportedKey = 1 << 20 // bytes: 1 MiB
)

// exportFile is an export as it is written.
type exportFile struct {
	MediaType string           `json:"mediaType"`
	Documents []exportEnvelope `json:"documents"`
	Keys      []ExportedKey    `json:"keys"`
}

// exportEnvelope holds the payload in one of two ways.
type exportEnvelope struct {
	Name        string                  `json:"name"`
	PayloadType string                  `json:"payloadType"`
	Signatures  []attestation.Signature `json:"signatures"`
	// Statement is the payload itself, byte for byte; Payload is it in base64.
	Statement json.RawMessage `json:"statement,omitempty"`
	Payload   []byte          `json:"payload,omitempty"`
}

// ReadDirectory reads what is to be exported from an evidence directory.
func ReadDirectory(dir string) (Export, error) {
	var out Export
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case entry.IsDir() && rel == RecordingDir:
			return fs.SkipDir
		case !entry.Type().IsRegular(), strings.HasSuffix(rel, ".sigstore.json"), rel == SBOMFile, rel == SLSAFile:
			return nil
		case filepath.Ext(rel) == ".pub":
			pem, err := ReadFile(name)
			if err != nil {
				return err
			}
			out.Keys = append(out.Keys, ExportedKey{rel, string(pem)})
		case filepath.Ext(rel) == ".json":
			data, err := ReadFile(name)
			if err != nil {
				return err
			}
			envelope, err := attestation.ParseEnvelope(data)
			if err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
			out.Documents = append(out.Documents, ExportedDocument{rel, envelope})
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("read evidence directory %q: %w", dir, err)
	}
	if len(out.Documents) == 0 {
		return out, fmt.Errorf("read evidence directory %q: no evidence is in it", dir)
	}
	return out, nil
}

// Marshal returns the export as one JSON document.
func (e Export) Marshal() ([]byte, error) {
	var out bytes.Buffer
	field := func(value any) error {
		encoded, err := json.Marshal(value)
		out.Write(encoded)
		return err
	}
	out.WriteString(`{"mediaType":"` + ExportType + `","documents":[`)
	for i, d := range e.Documents {
		if i > 0 {
			out.WriteByte(',')
		}
		// The payload is written by hand: an encoder would change bytes of it.
		head := exportEnvelope{Name: d.Name, PayloadType: d.Envelope.PayloadType, Signatures: d.Envelope.Signatures}
		plain := isCompact(d.Envelope.Payload)
		if !plain {
			head.Payload = d.Envelope.Payload
		}
		out.WriteByte('\n')
		if err := field(head); err != nil {
			return nil, fmt.Errorf("export %q: %w", d.Name, err)
		}
		if plain {
			out.Truncate(out.Len() - 1)
			out.WriteString(`,"statement":`)
			out.Write(d.Envelope.Payload)
			out.WriteByte('}')
		}
	}
	out.WriteString("],\n\"keys\":")
	keys := e.Keys
	if keys == nil {
		keys = []ExportedKey{}
	}
	if err := field(keys); err != nil {
		return nil, fmt.Errorf("export keys: %w", err)
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}

// isCompact says that a payload is one unambiguous JSON document without blanks
// around it, so that it is the same bytes when it was read from within another one.
func isCompact(payload []byte) bool {
	return len(payload) > 0 && bytes.Equal(bytes.TrimSpace(payload), payload) && attestation.CheckJSON(payload) == nil
}

// IsExport says that data, plain JSON, is an export and not an envelope.
func IsExport(data []byte) bool {
	const start = `{"mediaType":"` + ExportType + `"`
	return bytes.HasPrefix(data, []byte(start))
}

// ParseExport reads an export, plain JSON. It refuses ambiguous JSON, as
// [attestation.ParseEnvelope] does. No signature is checked.
func ParseExport(data []byte) (Export, error) {
	var out Export
	if len(data) > attestation.MaxDocument {
		return out, fmt.Errorf("read export: it is %w", attestation.ErrTooLarge)
	}
	if err := attestation.CheckJSON(data); err != nil {
		return out, fmt.Errorf("read export: %w", err)
	}
	var file exportFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return out, fmt.Errorf("read export: %w", err)
	}
	if file.MediaType != ExportType {
		return out, fmt.Errorf("read export: its type is %q, want %q", file.MediaType, ExportType)
	}
	if len(file.Documents) > maxExported || len(file.Keys) > maxExported {
		return out, fmt.Errorf("read export: more than %d documents", maxExported)
	}
	for _, one := range file.Documents {
		envelope, err := one.envelope()
		if err != nil {
			return out, fmt.Errorf("read export: document %q: %w", one.Name, err)
		}
		out.Documents = append(out.Documents, ExportedDocument{one.Name, envelope})
	}
	for _, key := range file.Keys {
		if len(key.PEM) > maxExportedKey {
			return out, fmt.Errorf("read export: key %q: more than %d bytes", key.Name, maxExportedKey)
		}
	}
	out.Keys = file.Keys
	return out, nil
}

// envelope puts one together, by the same reader as any other: it has the bounds
// of signatures and time stamps.
func (e exportEnvelope) envelope() (attestation.Envelope, error) {
	var none attestation.Envelope
	if (len(e.Statement) > 0) == (len(e.Payload) > 0) {
		return none, errors.New("it has to have a statement or a payload, and not both")
	}
	payload := e.Payload
	if len(e.Statement) > 0 {
		payload = slices.Clone(e.Statement)
	}
	data, err := attestation.Envelope{Payload: []byte{}, PayloadType: e.PayloadType, Signatures: e.Signatures}.Marshal()
	if err != nil {
		return none, err
	}
	out, err := attestation.ParseEnvelope(data)
	out.Payload = payload
	return out, err
}

// Key returns the key with this name, nil when there is none.
func (e Export) Key(name string) []byte {
	for _, k := range e.Keys {
		if k.Name == name {
			return []byte(k.PEM)
		}
	}
	return nil
}

// Find returns the document with this name, nil when there is none.
func (e Export) Find(name string) *attestation.Envelope {
	for i := range e.Documents {
		if e.Documents[i].Name == name {
			return &e.Documents[i].Envelope
		}
	}
	return nil
}

// WriteDocument writes a document, compressed with zstd if asked, and returns how
// many bytes it has there.
func WriteDocument(path string, data []byte, compress bool) (int, error) {
	if compress {
		var err error
		if data, err = attestation.Compress(data); err != nil {
			return 0, err
		}
	}
	if err := WriteNewFile(path, data, 0o644); err != nil {
		return 0, fmt.Errorf("write %q: %w", path, err)
	}
	return len(data), nil
}
