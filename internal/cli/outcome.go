package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/pypi"
	"pip-witness/internal/report"
	"pip-witness/policy"
)

// standardOutput is what stands for it in place of a file.
const standardOutput = "-"

// output is one -o, or one --sbom.
type output struct{ format, file string }

// outputFormats are what an outcome can be written as.
func outputFormats() []string { return []string{"text", "json", "sarif", "markdown"} }

// parseOutputs reads -o FORMAT=FILE and --sbom FORMAT=FILE and refuses, before any
// work is done for them, files that cannot be written and two outputs for one place.
func parseOutputs(c *cobra.Command, outcomes, sboms []string) ([]output, error) {
	var outputs []output
	for _, v := range outcomes {
		out, err := parseOutput("-o", "json=verdict.json", v, outputFormats(), outputs)
		if err != nil {
			return nil, err
		}
		if out.file == standardOutput && c.Flags().Changed("format") {
			return nil, usage("leave out --format, or name a file", "-o %q: standard output holds what --format asks for", v)
		}
		outputs = append(outputs, out)
	}
	for _, v := range sboms {
		out, err := parseOutput("--sbom", "spdx-2.3=requests.spdx.json", v, sbomFormats(), outputs)
		if err != nil {
			return nil, err
		}
		if out.file == standardOutput {
			return nil, usage("name a file", "--sbom %q: standard output holds the outcome", v)
		}
		outputs = append(outputs, out)
	}
	return outputs, nil
}

// parseOutput reads one FORMAT=FILE of a flag, besides the earlier outputs.
func parseOutput(flag, example, value string, formats []string, earlier []output) (output, error) {
	format, file, ok := strings.Cut(value, "=")
	switch {
	case !ok || file == "":
		return output{}, usage("write for example "+flag+" "+example, "%s %q: want FORMAT=FILE", flag, value)
	case !slices.Contains(formats, format):
		return output{}, usage("choose one of them", "%s %q: format %q, want %s", flag, value, format, strings.Join(formats, ", "))
	}
	for _, e := range earlier {
		if sameFile(e.file, file) {
			return output{}, usage("name another file", "%s %q: %s=%s is written there already", flag, value, e.format, e.file)
		}
	}
	if file != standardOutput {
		if err := checkOutput(flag, file); err != nil {
			return output{}, err
		}
		if err := writable(flag, file); err != nil {
			return output{}, err
		}
	}
	return output{format, file}, nil
}

// sameFile says that two names are of one file, whether it exists or not. Two
// outputs may go to one device.
func sameFile(a, b string) bool {
	if a == standardOutput || b == standardOutput {
		return a == b
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB) && infoA.Mode().IsRegular()
	}
	return resolved(a) == resolved(b)
}

// resolved is a path with the links of its directory followed.
func resolved(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, filepath.Base(path))
}

// finish prints an outcome, writes the further outputs and ends with its exit
// code. Outputs that cannot be written keep none of the others from being
// written, and end with exit code 5 whatever the verdict is; a pass is then not
// printed, because it is printed with exit code 0 only. Bills of materials are made
// of the attested document; without one they are left out, which is said.
func finish(s streams, o report.Outcome, format string, verbose bool, outputs []output, document []byte) error {
	if document == nil && slices.ContainsFunc(outputs, isSBOM) {
		outputs = slices.DeleteFunc(slices.Clone(outputs), isSBOM)
		o.Problems = append(slices.Clone(o.Problems), "--sbom: nothing was written, because there is no attested document")
	}
	r := renderer{outcome: o, document: document, rules: shippedRules(), style: report.Style{Verbose: verbose}}
	var failed []error
	for _, out := range outputs {
		if out.file == standardOutput {
			format = out.format
			continue
		}
		text, err := r.render(out.format, false)
		if err == nil {
			err = writeOutput(out.file, []byte(text))
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 || o.Verdict != policy.Pass {
		text, err := r.render(format, colored(s.out))
		if err == nil {
			err = emit(s, "", []byte(text))
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return unwritten(o, errors.Join(failed...))
	}
	return exit(o.ExitCode())
}

// unwritten is the error of outputs that could not be written; the evidence was.
func unwritten(o report.Outcome, err error) error {
	hint := advice(err)
	if o.Evidence != "" {
		hint = strings.TrimPrefix(hint+"; ", "; ") + "the evidence is in " + o.Evidence + ": `pip-witness verify -o FORMAT=FILE` writes the outputs again"
	}
	return &exitError{code: exitInternal, err: err, hint: hint}
}

// renderer writes one outcome in several formats.
type renderer struct {
	outcome  report.Outcome
	document []byte
	style    report.Style
	rules    func() map[string]policy.Rule
}

func (r renderer) render(format string, color bool) (string, error) {
	if isSBOM(output{format: format}) {
		data, err := sbom.Convert(r.document, sbom.Format(format))
		return string(data), err
	}
	var text strings.Builder
	var err error
	switch format {
	case "json":
		err = report.JSON(&text, r.outcome)
	case "sarif":
		err = report.SARIF(&text, r.outcome, report.Tool{Version: Version, Rules: r.rules()})
	case "markdown":
		err = report.Markdown(&text, r.outcome, report.Tool{Version: Version, Rules: r.rules()})
	default:
		style := r.style
		style.Color = color
		style.Solution = func(_, rule string) string { return r.rules()[rule].Solution }
		err = report.Text(&text, r.outcome, style)
	}
	if err != nil {
		return "", fmt.Errorf("render %s: %w", format, err)
	}
	return text.String(), nil
}

// requirementPlaces are the lines that ask for packages, for reports. The files
// were read before; one that cannot be read any more has no lines.
func requirementPlaces(requirements, constraints []string) []report.Place {
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	var places, limits []report.Place
	read := func(path string, constraint bool) {
		set, err := pypi.ReadRequirements(path, dir, constraint, os.LookupEnv)
		if err != nil {
			return
		}
		for _, line := range set.Requirements {
			places = append(places, placeOf(line, dir))
		}
		for _, line := range set.Constraints {
			limits = append(limits, placeOf(line, dir))
		}
	}
	for _, path := range requirements {
		read(path, false)
	}
	for _, path := range constraints {
		read(path, true)
	}
	if len(places) == 0 { // what a constraint limits is asked for elsewhere
		return nil
	}
	return append(places, limits...)
}

func placeOf(line pypi.RequirementLine, dir string) report.Place {
	p := report.Place{Line: line.Line, Package: line.Argument.Name}
	if rel, err := filepath.Rel(dir, line.File); err == nil && filepath.IsLocal(rel) {
		p.URI = (&url.URL{Path: filepath.ToSlash(rel)}).EscapedPath()
		if first, _, _ := strings.Cut(p.URI, "/"); strings.Contains(first, ":") { // it would be a scheme
			p.URI = "./" + p.URI
		}
	} else {
		p.URI = (&url.URL{Scheme: "file", Path: line.File}).String()
	}
	return p
}
