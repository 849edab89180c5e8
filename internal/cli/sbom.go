package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/store"
)

// sbomFormats are what a bill of materials can be written as.
func sbomFormats() []string {
	var names []string
	for _, f := range sbom.Formats() {
		names = append(names, string(f))
	}
	return names
}

func isSBOM(o output) bool { return slices.Contains(sbomFormats(), o.format) }

// attestedSBOM reads the attested document from the evidence when an output is made
// of it; nil when there is none.
func attestedSBOM(outputs []output, evidence string) ([]byte, error) {
	if !slices.ContainsFunc(outputs, isSBOM) {
		return nil, nil
	}
	document, err := store.ReadFile(filepath.Join(evidence, store.SBOMFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--sbom: %w", err)
	}
	return document, nil
}
