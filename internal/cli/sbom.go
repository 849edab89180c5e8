package cli

import (
	"fmt"
	"slices"
	"strings"

	"pip-witness/attestation"
	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/check"
)

// sbomOutput is one value of --sbom.
type sbomOutput struct {
	format sbom.Format
	file   string
}

// parseSBOMs reads FORMAT=FILE.
func parseSBOMs(values []string) ([]sbomOutput, error) {
	names := []string{}
	for _, f := range sbom.Formats() {
		names = append(names, string(f))
	}
	var outputs []sbomOutput
	for _, v := range values {
		format, file, ok := strings.Cut(v, "=")
		if !ok || file == "" || !slices.Contains(names, format) {
			return nil, usage("write for example --sbom spdx-2.3=requests.spdx.json", "--sbom %q: want FORMAT=FILE, FORMAT one of %s", v, strings.Join(names, ", "))
		}
		if err := checkOutput("--sbom", file); err != nil {
			return nil, err
		}
		outputs = append(outputs, sbomOutput{sbom.Format(format), file})
	}
	return outputs, nil
}

// writeSBOMs writes what was attested in the formats that were asked for. A step
// without the attestation is said in words: its outcome is in the evidence.
func writeSBOMs(outputs []sbomOutput, o *check.Observation) (problem string, err error) {
	if len(outputs) == 0 {
		return "", nil
	}
	document, err := attested(o, sbom.Type)
	if err != nil {
		return "", err
	}
	if document == nil {
		return "--sbom: nothing was written, because the attestor has left no document", nil
	}
	for _, out := range outputs {
		data, err := sbom.Convert(document, out.format)
		if err != nil {
			return "", fmt.Errorf("--sbom %q: %w", out.file, err)
		}
		if err := writeOutput(out.file, data); err != nil {
			return "", fmt.Errorf("--sbom: %w", err)
		}
	}
	return "", nil
}

// attested returns the predicate of a type, as it is signed; nil when no step has it.
func attested(o *check.Observation, kind string) ([]byte, error) {
	for _, s := range o.Steps {
		statement, err := attestation.ParseStatement(s.Collection.Payload)
		if err != nil {
			return nil, fmt.Errorf("read step %q: %w", s.Name, err)
		}
		collection, err := attestation.ParseCollection(statement)
		if err != nil {
			return nil, fmt.Errorf("read step %q: %w", s.Name, err)
		}
		for _, a := range collection.Attestations {
			if a.Type == kind {
				return a.Attestation, nil
			}
		}
	}
	return nil, nil
}
