package cli

import (
	"bytes"
	"strings"
	"testing"

	"pip-witness/internal/check"
)

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	if p := newProgress(&out, false); p.enabled {
		t.Error("progress on what is no terminal")
	}
	p := &progress{w: &out, enabled: true}
	p.show(check.Progress{Stage: "import", Text: "import \x1b[2Jevil " + strings.Repeat("x", 200), Calls: 7})
	got := out.String()
	if !strings.HasPrefix(got, "\r\x1b[K") || strings.Count(got, "\x1b") != 1 {
		t.Errorf("%q has escapes that the program did not write", got)
	}
	if !strings.HasSuffix(got, "…") {
		t.Errorf("%q is not cut", got)
	}
	out.Reset()
	p.show(check.Progress{Stage: "import", Text: "import \x1b[2Jevil " + strings.Repeat("x", 200), Calls: 8})
	if out.Len() > 0 {
		t.Error("the same line is written again at once")
	}
	p.end()
	if got := out.String(); got != "\r\x1b[K" {
		t.Errorf("the end writes %q", got)
	}
}

func TestColored(t *testing.T) {
	var out bytes.Buffer
	for _, c := range []struct {
		name, noColor, force string
		want                 bool
	}{
		{"no terminal", "", "", false},
		{"forced", "", "1", true},
		{"forced off", "", "0", false},
		{"NO_COLOR wins", "1", "1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", c.noColor)
			t.Setenv("CLICOLOR_FORCE", c.force)
			if got := colored(&out); got != c.want {
				t.Errorf("colored is %t, want %t", got, c.want)
			}
		})
	}
}
