package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"pip-witness/attestation"
)

// Names of files in an evidence directory.
const (
	SBOMFile        = "sbom.cdx.json"
	SLSAFile        = "slsa.json"
	ProvenanceFile  = "provenance.json" // the content of slsa.json, signed as a statement of its own
	SummaryDir      = "vsa"             // verification summaries, one for each distribution file
	PolicyFile      = "policy.json"
	PolicyKeyFile   = "policy.pub"
	FunctionaryFile = "functionary.pub"
	RecordingDir    = "recording"
)

// Directory is an evidence directory: one signed collection per step with its
// Sigstore bundle, exported documents, the signed policy and public keys.
type Directory struct {
	path string
	// compress writes envelopes and bundles as zstd frames; every reader of
	// this program takes either.
	compress bool
}

// Create makes the directory when it does not exist.
func Create(path string, compress bool) (Directory, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return Directory{}, fmt.Errorf("create evidence directory %q: %w", path, err)
	}
	return Directory{path: path, compress: compress}, nil
}

// Path is the directory's path as given.
func (d Directory) Path() string { return d.path }

// StepFile is the name of the envelope of a step.
func StepFile(step string) string { return safeName(step) + ".json" }

// safeName makes a step name, which a policy chooses, one path element.
func safeName(step string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, step)
	if strings.Trim(name, ".") == "" {
		return "_" + name
	}
	return name
}

// WriteCollection writes the signed collection of a step and, for its first
// signature, the Sigstore bundle. It returns the path of the envelope.
func (d Directory) WriteCollection(step string, e attestation.Envelope) (string, error) {
	if err := d.WriteEnvelope(StepFile(step), e); err != nil {
		return "", fmt.Errorf("write collection of step %q: %w", step, err)
	}
	return filepath.Join(d.path, StepFile(step)), nil
}

// WriteEnvelope writes a signed envelope under name, which ends with ".json",
// and beside it, for its first signature, the Sigstore bundle.
func (d Directory) WriteEnvelope(name string, e attestation.Envelope) error {
	b, err := attestation.Bundle(e, 0)
	if err != nil {
		return err
	}
	bundle, err := b.Marshal()
	if err != nil {
		return err
	}
	envelope, err := e.Marshal()
	if err != nil {
		return err
	}
	return errors.Join(d.WriteSigned(strings.TrimSuffix(name, ".json")+".sigstore.json", bundle), d.WriteSigned(name, envelope))
}

// SummaryFile is the name of the verification summary of a distribution file.
func SummaryFile(distribution string) string { return safeName(distribution) + ".json" }

// WriteSigned writes a signed document that is marshalled already, compressed
// where the directory is.
func (d Directory) WriteSigned(name string, data []byte) error {
	if d.compress {
		var err error
		if data, err = attestation.Compress(data); err != nil {
			return err
		}
	}
	return d.Write(name, data)
}

// Write writes a plain file under name, e.g. a public key.
func (d Directory) Write(name string, data []byte) error {
	return WriteFile(filepath.Join(d.path, name), data, 0o644)
}

// Export writes the predicate of the first attestation with this short name
// ("sbom", "slsa") of a collection as a file of its own, the bytes as signed. A
// collection that has none writes nothing and returns false.
func (d Directory) Export(c attestation.Collection, short, name string) (bool, error) {
	predicate := c.Predicate(short)
	if predicate == nil {
		return false, nil
	}
	return true, d.Write(name, predicate)
}

// ReadFile reads one document from a file, plain or zstd, bounded by
// [attestation.MaxDocument].
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("read %q: it is a directory, want a file", path)
	}
	if info.Size() > attestation.MaxDocument {
		return nil, fmt.Errorf("read %q: %d MiB: document is %w of %d MiB", path, info.Size()>>20, attestation.ErrTooLarge, attestation.MaxDocument>>20)
	}
	data, err := attestation.ReadDocument(f)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return data, nil
}
