// Package report renders the outcome of a check or of a verification. Nothing
// in it decides anything; rendering the same outcome twice gives the same bytes.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"pip-witness/policy"
)

// Outcome is what is rendered.
type Outcome struct {
	*policy.Result
	// Timings are seconds by stage; empty for a verification.
	Timings map[string]float64 `json:"timings,omitempty"`
	// Evidence is the directory with the evidence; empty when it was not written.
	Evidence string `json:"evidence,omitempty"`
	// Problems say in words what went wrong besides findings.
	Problems []string `json:"problems,omitempty"`
	// Requested is what the user asked for, for the first line.
	Requested []string `json:"-"`
	// Advice is what to do about an outcome that is not about the package; empty
	// is none.
	Advice string `json:"-"`
	// Next is the command to type next; empty is none.
	Next string `json:"-"`
	// Places are the lines of the requirements files, then those of the constraints
	// files, in their order; empty when none was given.
	Places []Place `json:"-"`
	// Ephemeral tells that the key was made for this run and is gone.
	Ephemeral bool `json:"ephemeralKey,omitempty"`
}

// JSON writes the outcome as one indented object.
func JSON(w io.Writer, o Outcome) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(o)
}

// Printable escapes what a terminal would obey or show as something else:
// control characters, and format characters such as bidirectional overrides. A
// package chooses much of the text that ends up in a report.
func Printable(text string) string {
	harmless := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(text[i:], string(unicode.ReplacementChar)):
			fmt.Fprintf(&b, `\x%02x`, text[i]) // a byte that is no UTF-8
		case harmless(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}
