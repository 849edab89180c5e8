package vex

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// document writes a document of these statements, each without its braces.
func document(statements ...string) string {
	for i, s := range statements {
		statements[i] = "{" + s + "}"
	}
	return `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"A. Nalyst","timestamp":"2024-01-01T00:00:00Z","version":1,"statements":[` +
		strings.Join(statements, ",") + `]}`
}

// say writes a statement on CVE-1.
func say(status, product string, more ...string) string {
	return fmt.Sprintf(`"vulnerability":{"name":"CVE-1","aliases":["GHSA-1"]},"products":[%s],"status":%q%s`, product, status, strings.Join(append([]string{""}, more...), ","))
}

func purl(text string) string { return fmt.Sprintf(`{"@id":%q}`, text) }

const why = `"justification":"vulnerable_code_not_present"`

// TestFind asks documents about CVE-1 in Demo_Pkg 1.0, where "app 2" is installed too.
func TestFind(t *testing.T) {
	demo, app := purl("pkg:pypi/demo-pkg@1.0"), Package{"App", "2"}
	at := func(day int) string { return fmt.Sprintf(`"timestamp":"2024-01-%02dT00:00:00Z"`, day) }
	for name, test := range map[string]struct {
		documents []string
		want      Status // empty: no opinion
	}{
		"same version":              {[]string{document(say("not_affected", demo, why))}, NotAffected},
		"another spelling":          {[]string{document(say("fixed", purl("pkg:pypi/Demo_Pkg@1.0.0")))}, Fixed},
		"every version":             {[]string{document(say("fixed", purl("pkg:pypi/demo-pkg")))}, Fixed},
		"another version":           {[]string{document(say("fixed", purl("pkg:pypi/demo-pkg@1.1")))}, ""},
		"another package":           {[]string{document(say("fixed", purl("pkg:pypi/demo")))}, ""},
		"another ecosystem":         {[]string{document(say("fixed", purl("pkg:npm/demo-pkg@1.0")))}, ""},
		"one file of the version":   {[]string{document(say("fixed", purl("pkg:pypi/demo-pkg@1.0?file_name=a.whl")))}, ""},
		"identifier, not id":        {[]string{document(say("fixed", `{"@id":"https://x.example","identifiers":{"purl":"pkg:pypi/demo-pkg@1.0"}}`))}, Fixed},
		"by alias":                  {[]string{document(strings.Replace(say("fixed", demo), "CVE-1", "CVE-2", 1))}, Fixed},
		"another vulnerability":     {[]string{document(`"vulnerability":{"name":"CVE-2"},"status":"fixed","products":[` + demo + `]`)}, ""},
		"texts, as drafts have":     {[]string{document(`"vulnerability":"cve-1","status":"fixed","products":["pkg:pypi/demo-pkg@1.0"]`)}, Fixed},
		"part of what is installed": {[]string{document(say("fixed", `{"@id":"pkg:pypi/app@2","subcomponents":[`+demo+`]}`))}, Fixed},
		"part of what is not":       {[]string{document(say("fixed", `{"@id":"pkg:pypi/app@3","subcomponents":[`+demo+`]}`))}, ""},
		"the whole, not the part":   {[]string{document(say("fixed", `{"@id":"pkg:pypi/demo-pkg@1.0","subcomponents":[{"@id":"pkg:pypi/other"}]}`))}, ""},
		"part of another ecosystem": {[]string{document(say("fixed", `{"@id":"pkg:pypi/demo-pkg@1.0","subcomponents":[{"@id":"pkg:npm/x"}]}`))}, ""},
		"last in one document":      {[]string{document(say("fixed", demo, at(3)), say("affected", demo, at(2)))}, Fixed},
		"last of two documents":     {[]string{document(say("affected", demo, at(9))), document(say("not_affected", demo, why, at(10)))}, NotAffected},
		"same time":                 {[]string{document(say("affected", demo)), document(say("not_affected", demo, why))}, Affected},
		"last update counts":        {[]string{document(say("affected", demo, at(5)), say("fixed", demo, at(2), `"last_updated":"2024-02-01T00:00:00Z"`))}, Fixed},
		"time of another zone":      {[]string{document(say("affected", demo, `"timestamp":"2024-01-05T01:00:00+02:00"`), say("fixed", demo, `"timestamp":"2024-01-04T23:30:00Z"`))}, Fixed},
	} {
		t.Run(name, func(t *testing.T) {
			var documents []Document
			for _, text := range test.documents {
				d, err := Parse("vex.json", []byte(text))
				if err != nil || len(d.Problems) > 0 {
					t.Fatalf("%v, %q", err, d.Problems)
				}
				documents = append(documents, d)
			}
			p := Package{"Demo_Pkg", "1.0"}
			got, found := Find(documents, []string{"PYSEC-1", "GHSA-1", "CVE-1"}, p, []Package{p, app})
			if found != (test.want != "") || got.Status != test.want {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}
}

func TestContradiction(t *testing.T) {
	demo := purl("pkg:pypi/demo-pkg@1.0")
	d, err := Parse("vex.json", []byte(document(say("not_affected", demo, why), say("affected", demo), say("affected", demo))))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"VEX vex.json contradicts itself: CVE-1, on demo-pkg 1.0, is not_affected and affected; the less favourable counts",
		"VEX vex.json contradicts itself: GHSA-1, on demo-pkg 1.0, is not_affected and affected; the less favourable counts",
	}
	if diff := cmp.Diff(want, d.Problems); diff != "" {
		t.Error(diff)
	}
	if got, _ := Find([]Document{d}, []string{"CVE-1"}, Package{"demo-pkg", "1.0"}, nil); got.Status != Affected {
		t.Errorf("%+v", got)
	}
}

func TestLeftOut(t *testing.T) {
	demo := purl("pkg:pypi/demo-pkg")
	for text, want := range map[string]string{
		say("not_affected", demo):                                       "needs a justification",
		say("harmless", demo):                                           `status "harmless"`,
		say("not_affected", demo, `"justification":"trust"`):            `justification "trust"`,
		`"vulnerability":{},"status":"fixed","products":[` + demo + `]`: "names no vulnerability",
		`"vulnerability":"CVE-1","status":"fixed"`:                      "names no product",
	} {
		d, err := Parse("v", []byte(document(text)))
		if err != nil || d.Statements() != 0 || len(d.Problems) != 1 || !strings.Contains(d.Problems[0], want) {
			t.Errorf("%s: %v, %q, want %q", text, err, d.Problems, want)
		}
	}
	for name, text := range map[string]string{
		"no JSON": "x", "another document": `{"bomFormat":"CycloneDX"}`, "wrong type": `{"@context":"https://openvex.dev/ns","statements":{}}`,
		"wrong type inside": document(`"products":[7]`), "too large": strings.Repeat(" ", MaxSize+1),
	} {
		if _, err := Parse("v", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), `read VEX document "v": `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrite reads what is written, and wants the same opinions.
func TestWrite(t *testing.T) {
	const at = "2024-05-01T00:00:00.000000000Z"
	findings := []Finding{
		{Name: "CVE-1", Aliases: []string{"GHSA-1"}, PURL: "pkg:pypi/demo@1", Opinion: Opinion{Status: NotAffected, Justification: "component_not_present", Text: "left out", Updated: at}},
		{Name: "CVE-2", PURL: "pkg:pypi/demo@1", Opinion: Opinion{Status: Affected, Updated: at}},
		{Name: "CVE-3", PURL: "pkg:pypi/demo@1"},
		{Name: "CVE-4", PURL: "pkg:pypi/demo@1", Opinion: Opinion{Status: Fixed, Text: "by a patch", Updated: at}},
	}
	data, err := Write(findings, "pip-witness 1", at)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Write(findings, "pip-witness 1", at); err != nil || string(again) != string(data) {
		t.Errorf("another document the second time, %v", err)
	}
	d, err := Parse("out", data)
	if err != nil || len(d.Problems) > 0 || d.Statements() != len(findings) || !strings.HasPrefix(d.ID, "urn:uuid:") {
		t.Fatalf("%v %+v", err, d)
	}
	for i, want := range []Status{NotAffected, Affected, UnderInvestigation, Fixed} {
		if got, _ := Find([]Document{d}, []string{findings[i].Name}, Package{"demo", "1"}, nil); got.Status != want || got.Updated != at {
			t.Errorf("%s: %+v, want %s", findings[i].Name, got, want)
		}
	}
	var raw struct{ Statements []map[string]any }
	if err := json.Unmarshal(data, &raw); err != nil || raw.Statements[1]["action_statement"] == nil {
		t.Errorf("affected without an action: %v, %s", err, data)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document(say("affected", purl("pkg:pypi/demo@1")), say("not_affected", purl("pkg:pypi/demo"), why))))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("v", data)
		if err != nil {
			return
		}
		got, found := Find([]Document{d}, []string{"CVE-1"}, Package{"demo", "1"}, []Package{{"app", "2"}})
		if found && caution(got.Status) < 0 {
			t.Errorf("%+v", got)
		}
		for _, s := range d.statements {
			if len(s.Text) > maxText+len("…")*2 || s.Updated == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
