package sbom

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"pip-witness/internal/attest"
	"pip-witness/internal/licence"
	"pip-witness/internal/pypi"
)

// Limits on what licences are read from.
const (
	// maxLicenceName is the length up to which a licence field is a name; longer
	// ones are the text itself, whose first line is taken.
	maxLicenceName = 200
	// maxLicenceFiles bounds the licence files read of one distribution.
	maxLicenceFiles = 16
	// maxClassifiers bounds the licence classifiers of one distribution.
	maxClassifiers = 32
)

// Properties about licences. A choice is one way to comply: identifiers of the
// SPDX list, joined by " AND "; a component that has none has no licence that a
// policy can judge.
const (
	choiceProperty = "pip-witness:licence-choice"
	sourceProperty = "pip-witness:source"
	// unclearProperty is there when declarations disagree or are not of the list.
	unclearProperty = "pip-witness:licence-unclear"
)

// declaration is one place that says something of the licence.
type declaration struct {
	source     string // "License-Expression", "License", "Classifier", "file NAME"
	expression licence.Expression
	known      bool   // expression is one
	name       string // what is written, where it is not an expression
}

// text is the expression, or the name where there is none.
func (d declaration) text() string {
	if d.known {
		return d.expression.String()
	}
	return d.name
}

// licensing is what is known of the licence of one distribution.
type licensing struct {
	declared, concluded []declaration
	evidence            []declaration
	unclear             string // in words; empty when all agree
}

// licensingOf reads the declarations in the order in which they can be trusted
// to be exact: SPDX expression, licence field, classifiers. Texts of licence
// files are evidence; they are the conclusion only where no declaration is exact
// and they agree.
func licensingOf(m pypi.Metadata, files []declaration) licensing {
	var l licensing
	expression := expressionField(m.LicenseExpression)
	field := licenceField(m.License)
	classified := classifierFields(m.Classifiers)
	l.evidence = slices.Concat(expression, field, classified, files)
	exact := func(d declaration) bool { return d.known }
	switch {
	case slices.ContainsFunc(expression, exact):
		l.declared = expression
	case slices.ContainsFunc(field, exact):
		l.declared = field
		for _, c := range classified {
			if c.known && !slices.Contains(field[0].expression.Terms(), c.text()) {
				l.declared = append(l.declared, c)
				l.unclear = "the declarations differ: " + field[0].text() + ", " + c.text()
			}
		}
	default:
		// Names of a family among classifiers say more than a field without a known name.
		l.declared = firstOf(expression, classified, field)
	}
	if len(expression) > 0 && !expression[0].known {
		l.unclear = "License-Expression is not one of the SPDX list"
	}
	if !slices.ContainsFunc(l.declared, exact) && len(files) > 0 && agree(files) {
		l.concluded = files[:1]
	}
	return l
}

// firstOf returns the first that is not empty.
func firstOf(lists ...[]declaration) []declaration {
	for _, l := range lists {
		if len(l) > 0 {
			return l
		}
	}
	return nil
}

func agree(all []declaration) bool {
	return !slices.ContainsFunc(all, func(d declaration) bool { return d.text() != all[0].text() })
}

func expressionField(text string) []declaration {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	d := declaration{source: "License-Expression", name: clip(text)}
	if e, err := licence.Parse(text); err == nil {
		d.expression, d.known = e, true
	}
	return []declaration{d}
}

// licenceField reads the older field: a name, or the text itself.
func licenceField(text string) []declaration {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "UNKNOWN") || strings.EqualFold(text, "NONE") {
		return nil
	}
	d := declaration{source: "License"}
	if id, ok := licence.FromText(text); ok {
		d.expression, d.known = single(id), true
		return []declaration{d}
	}
	name, _, more := strings.Cut(text, "\n")
	if name = strings.TrimSpace(name); !more && len(name) <= maxLicenceName {
		d.expression, d.known = licence.FromName(name)
	}
	d.name = clip(name)
	return []declaration{d}
}

func classifierFields(classifiers []string) []declaration {
	var out []declaration
	for _, c := range classifiers {
		id, name := licence.FromClassifier(c)
		if name == "" || slices.ContainsFunc(out, func(d declaration) bool { return d.name == clip(name) }) {
			continue
		}
		d := declaration{source: "Classifier", name: clip(name)}
		if id != "" {
			d.expression, d.known = single(id), true
		}
		out = append(out, d)
	}
	return out
}

// single is the expression of an identifier of the list.
func single(id string) licence.Expression {
	e, _ := licence.Parse(id)
	return e
}

// licenceFiles reads the licence files of a distribution whose texts are known.
// What is left out because of a bound is said in problem.
func licenceFiles(layout attest.Layout, d pypi.Distribution) (found []declaration, problem string) {
	root, err := pypi.OpenDir(layout, d.Location)
	if err != nil {
		return nil, ""
	}
	defer root.Close()
	names := licenceFileNames(d)
	if len(names) > maxLicenceFiles {
		problem = fmt.Sprintf("%s: %d of %d licence files were looked at", d.Key, maxLicenceFiles, len(names))
		names = names[:maxLicenceFiles]
	}
	for _, name := range names {
		text, err := pypi.ReadFile(root, name, licence.MaxText)
		if err != nil {
			continue // missing or long: it is no text that is known
		}
		if id, ok := licence.FromText(string(text)); ok {
			found = append(found, declaration{source: "file " + name, expression: single(id), known: true})
		}
	}
	return found, problem
}

// licenceFileNames are the files in the metadata directory, or beside the licence
// files that PEP 639 puts into it, that RECORD lists and that are named as such;
// sorted.
func licenceFileNames(d pypi.Distribution) []string {
	var names []string
	for _, e := range d.Record {
		name, inside := e.Inside()
		if !inside || !strings.HasPrefix(name, d.InfoDir+"/") {
			continue
		}
		base := strings.ToUpper(path.Base(name))
		if slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "UNLICENSE"}, func(p string) bool { return strings.HasPrefix(base, p) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// licences is what CycloneDX has for it: one expression, or any number of
// identifiers and names, not both.
func (l licensing) licences() *cdx.Licenses {
	if len(l.declared) == 1 && l.declared[0].known && l.declared[0].expression.Single() == "" {
		ack := cdx.LicenseAcknowledgementDeclared
		return &cdx.Licenses{{Expression: l.declared[0].text(), Acknowledgement: &ack}}
	}
	var out cdx.Licenses
	for _, d := range l.declared {
		out = append(out, cdx.LicenseChoice{License: entry(d, cdx.LicenseAcknowledgementDeclared)})
	}
	for _, d := range l.concluded {
		out = append(out, cdx.LicenseChoice{License: entry(d, cdx.LicenseAcknowledgementConcluded)})
	}
	return pointer(out)
}

func entry(d declaration, ack cdx.LicenseAcknowledgement) *cdx.License {
	if id := d.expression.Single(); d.known && id != "" {
		return &cdx.License{ID: id, Acknowledgement: ack}
	}
	return &cdx.License{Name: d.text(), Acknowledgement: ack}
}

// found is the evidence: each place with what it says.
func (l licensing) found() *cdx.Licenses {
	var out cdx.Licenses
	for _, d := range l.evidence {
		e := entry(d, "")
		e.Properties = &[]cdx.Property{{Name: sourceProperty, Value: d.source}}
		out = append(out, cdx.LicenseChoice{License: e})
	}
	return pointer(out)
}

// properties are the choices that a policy judges: what is concluded, else what
// is declared, all of it together. One declaration without identifier makes the
// whole unknown.
func (l licensing) properties() []cdx.Property {
	var out []cdx.Property
	all := firstOf(l.concluded, l.declared)
	unknown := func(d declaration) bool { return !d.known }
	unclear := l.unclear
	if len(all) > 0 && !slices.ContainsFunc(all, unknown) {
		texts := []string{}
		for _, d := range all {
			texts = append(texts, "("+d.text()+")")
		}
		ways, err := alternatives(strings.Join(texts, " AND "))
		for _, way := range ways {
			out = append(out, cdx.Property{Name: choiceProperty, Value: strings.Join(way, " AND ")})
		}
		if err != nil {
			unclear = err.Error()
		}
	}
	if unclear != "" {
		out = append(out, cdx.Property{Name: unclearProperty, Value: unclear})
	}
	return out
}

func alternatives(text string) ([][]string, error) {
	e, err := licence.Parse(text)
	if err != nil {
		return nil, err
	}
	ways, err := e.Alternatives()
	if errors.Is(err, licence.ErrTooComplex) {
		return nil, fmt.Errorf("the licence expression has %w", err)
	}
	return ways, err
}

// clip shortens a name from outside to what a reader shows.
func clip(s string) string {
	if len(s) > maxLicenceName {
		s = s[:maxLicenceName]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
