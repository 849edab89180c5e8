package licence

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"mit":                          "MIT",
		"Mit or apache-2.0":            "MIT OR Apache-2.0",
		"MIT OR (Apache-2.0 OR Zlib)":  "MIT OR Apache-2.0 OR Zlib",
		"MIT AND (Apache-2.0 OR Zlib)": "MIT AND (Apache-2.0 OR Zlib)",
		"(MIT AND Apache-2.0) OR Zlib": "MIT AND Apache-2.0 OR Zlib",
		"((MIT))":                      "MIT",
		"gpl-2.0-only with classpath-EXCEPTION-2.0": "GPL-2.0-only WITH Classpath-exception-2.0",
		"licenseref-Mine.1":                         "LicenseRef-Mine.1",
		"EPL-1.0+":                                  "EPL-1.0+",
		"GPL-2.0+":                                  "GPL-2.0+",
		" MIT\tAND\nISC ":                           "MIT AND ISC",
	} {
		e, err := Parse(in)
		if err != nil || e.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, e, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "at the end", "MIT OR": "at the end", "MIT MIT": "want AND, OR or the end", "()": "no licence", "(MIT": "want ')'", "MIT)": `before ")"`,
		"BSD": `"BSD" is no licence`, "MIT WITH": "want an exception", "MIT WITH MIT": "no exception", "(MIT) WITH Classpath-exception-2.0": `before "WITH"`,
		"LicenseRef-": "no licence", "LicenseRef-a_b": "no licence reference", "MIT/X11": "no licence", "AND": "no licence",
		strings.Repeat("(", 40) + "MIT": "nested parentheses", strings.Repeat("MIT OR ", 1000) + "MIT": "at most",
	} {
		if e, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %q, %v; want an error with %q", in, e, err, want)
		}
	}
}

func TestAlternatives(t *testing.T) {
	for in, want := range map[string][][]string{
		"MIT":                        {{"MIT"}},
		"MIT OR Zlib":                {{"MIT"}, {"Zlib"}},
		"Zlib AND MIT AND MIT":       {{"MIT", "Zlib"}},
		"(MIT OR Zlib) AND ISC":      {{"ISC", "MIT"}, {"ISC", "Zlib"}},
		"MIT AND ISC OR ISC AND MIT": {{"ISC", "MIT"}},
	} {
		e, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Alternatives()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", in, err, diff)
		}
	}
	e, err := Parse(strings.TrimSuffix(strings.Repeat("(MIT OR Zlib OR ISC) AND (MIT OR X11) AND ", 12), " AND "))
	if err != nil {
		t.Fatal(err)
	}
	if ways, err := e.Alternatives(); err == nil && len(ways) > maxAlternatives || err != nil && !errors.Is(err, ErrTooComplex) {
		t.Errorf("%d alternatives, %v", len(ways), err)
	}
	var wide []string
	ids := identifiers()
	for i := range 14 {
		wide = append(wide, "("+ids[2*i]+" OR "+ids[2*i+1]+")")
	}
	if e, err = Parse(strings.Join(wide, " AND ")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Alternatives(); !errors.Is(err, ErrTooComplex) {
		t.Errorf("16,384 alternatives: %v", err)
	}
	if got := e.Terms(); len(got) != 28 {
		t.Errorf("%d terms, want 28", len(got))
	}
}

func identifiers() []string {
	var ids []string
	for _, id := range spdx().licences {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func TestFromName(t *testing.T) {
	for in, want := range map[string]string{
		"Apache License, Version 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "Apache-2.0": "Apache-2.0", "Apache Software License 2.0": "Apache-2.0",
		"The MIT License (MIT)": "MIT", "MIT License": "MIT", "mit": "MIT", "BSD 3-Clause License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause",
		"New BSD License": "BSD-3-Clause", "BSD-3-Clause": "BSD-3-Clause", "GPLv3+": "GPL-3.0-or-later", "GNU GPL v3": "GPL-3.0-only", "MPL 2.0": "MPL-2.0",
		"Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "ISC license": "ISC", "MIT OR Apache-2.0": "MIT OR Apache-2.0", "LGPLv3": "LGPL-3.0-only",
		"BSD": "", "Apache": "", "GPL": "", "Dual License": "", "LGPL with exceptions": "", "UNKNOWN": "", "MIT/X11": "", "": "", "License": "",
	} {
		e, ok := FromName(in)
		if e.String() != want || ok != (want != "") {
			t.Errorf("FromName(%q) = %q, %v; want %q", in, e, ok, want)
		}
	}
	for name, id := range commonNames() {
		if got, ok := ID(id); !ok || got != id || Deprecated(id) {
			t.Errorf("%q stands for %q, which is not in the list or deprecated", name, id)
		}
		if plain(name) != name {
			t.Errorf("name %q can never be met: plain makes it %q", name, plain(name))
		}
	}
}

func TestFromClassifier(t *testing.T) {
	for in, want := range map[string][2]string{
		"License :: OSI Approved :: MIT License":                          {"MIT", "MIT License"},
		"License :: OSI Approved :: BSD License":                          {"", "BSD License"},
		"License :: OSI Approved :: Apache Software License":              {"", "Apache Software License"},
		"License :: CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": {"CC0-1.0", "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication"},
		"License :: OSI Approved":                                         {},
		"Topic :: License :: OSI Approved :: MIT License":                 {},
	} {
		if id, name := FromClassifier(in); id != want[0] || name != want[1] {
			t.Errorf("FromClassifier(%q) = %q, %q; want %q", in, id, name, want)
		}
	}
	for name, id := range classifiers() {
		if got, ok := ID(id); !ok || got != id {
			t.Errorf("classifier %q stands for %q, which is not in the list", name, id)
		}
	}
}

// zeroClause is the text of 0BSD, which a reader should not take for ISC's.
const zeroClause = `Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY
AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
`

func TestFromText(t *testing.T) {
	text := "BSD Zero Clause License\n\nCopyright somebody.\n\n" + zeroClause
	if id, ok := FromText(text); !ok || id != "0BSD" {
		t.Errorf("%q, %v", id, ok)
	}
	if _, ok := FromText(strings.ReplaceAll(text, "\n", "\r\n    ")); !ok {
		t.Error("layout matters")
	}
	for name, changed := range map[string]string{
		"a word more":           text + "Not for evil.\n",
		"a word less":           strings.Replace(text, "hereby ", "", 1),
		"condition in a notice": strings.Replace(text, "somebody.", "somebody."+strings.Repeat(" No use without a fee.", 20), 1),
		"too long":              text + strings.Repeat(" ", MaxText),
		"empty":                 "",
	} {
		if id, ok := FromText(changed); ok {
			t.Errorf("%s: %q", name, id)
		}
	}
	for digest, id := range texts() {
		if got, ok := ID(id); !ok || got != id || len(digest) != 64 {
			t.Errorf("text %q of %q: not in the list", digest, id)
		}
	}
}

func TestList(t *testing.T) {
	l := spdx()
	if len(l.licences) < 600 || len(l.exceptions) < 70 || !l.deprecated["GPL-2.0+"] || l.deprecated["MIT"] {
		t.Errorf("%d licences, %d exceptions", len(l.licences), len(l.exceptions))
	}
	if !strings.Contains(strings.SplitN(idsText, "\n", 2)[0], " "+ListVersion+".") {
		t.Errorf("ids.txt is not of version %s", ListVersion)
	}
}

// TestExpressionsAgainstPackaging compares with the reader that installers and
// build back ends use.
func TestExpressionsAgainstPackaging(t *testing.T) {
	python := os.Getenv("PIP_WITNESS_ORACLE_PYTHON")
	if python == "" {
		t.Skip("needs PIP_WITNESS_ORACLE_PYTHON, an interpreter with packaging 24.2 or newer")
	}
	cases := []string{
		"MIT", "mit or apache-2.0", "MIT AND (Apache-2.0 OR Zlib)", "(MIT)", "((MIT) OR ISC)", "MIT OR", "OR MIT", "MIT MIT", "()", "(", ")", "MIT WITH", "WITH MIT",
		"GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-or-later with gcc-exception-3.1 and mit", "(MIT) WITH Classpath-exception-2.0", "MIT WITH (Classpath-exception-2.0)",
		"LicenseRef-Mine", "licenseref-MINE.2 OR MIT", "LicenseRef-a_b", "LicenseRef-", "LicenseRef-x+", "EPL-1.0+", "GPL-2.0+", "GPL-2.0", "BSD", "Apache 2.0", "MIT/X11", "MIT+ AND ISC+",
		"MIT and", "MIT ( ISC )", "MIT OR (ISC", "MIT OR ISC)", "MIT,ISC", "MIT WITH Classpath-exception-2.0 WITH Classpath-exception-2.0", "MIT++", "+", "not MIT",
	}
	ids := identifiers()
	for i := range ids {
		cases = append(cases, strings.ToUpper(ids[i])+" or "+ids[(i*7+3)%len(ids)]+" AND ("+ids[(i*5+1)%len(ids)]+" OR "+ids[(i*3)%len(ids)]+"+)")
	}
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "-c", `
import json,sys
from packaging.licenses import canonicalize_license_expression as c
def f(s):
    try: return c(s)
    except Exception: return None
print(json.dumps([f(s) for s in json.load(sys.stdin)]))`)
	command.Stdin, command.Stderr = strings.NewReader(string(input)), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []*string
	if err := json.Unmarshal(output, &want); err != nil {
		t.Fatal(err)
	}
	for i, in := range cases {
		got, err := Parse(in)
		if (err == nil) != (want[i] != nil) {
			t.Errorf("Parse(%q): %q, %v; packaging %v", in, got, err, want[i])
			continue
		}
		// packaging keeps parentheses that change nothing.
		if again, _ := Parse(deref(want[i])); err == nil && again.String() != got.String() {
			t.Errorf("Parse(%q) = %q, packaging %q", in, got, *want[i])
		}
		if err == nil && !strings.ContainsAny(in, "()") && got.String() != *want[i] {
			t.Errorf("Parse(%q) = %q, packaging %q", in, got, *want[i])
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"MIT", "(MIT OR ISC) AND Zlib+", "GPL-2.0-only WITH Classpath-exception-2.0", "LicenseRef-x", "((("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		FromName(s)
		FromText(s)
		e, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q is written as %q, read as %q: %v", s, e, again, err)
		}
		ways, err := e.Alternatives()
		if err != nil {
			return
		}
		if len(ways) == 0 || len(ways) > maxAlternatives {
			t.Fatalf("%q: %d alternatives", s, len(ways))
		}
		for _, way := range ways {
			for _, term := range way {
				if !slices.Contains(e.Terms(), term) {
					t.Fatalf("%q: term %q", s, term)
				}
			}
		}
	})
}
