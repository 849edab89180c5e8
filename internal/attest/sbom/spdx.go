package sbom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"pip-witness/internal/licence"
)

// noAssertion is SPDX for "not known"; an empty field would mean the same and is
// not allowed everywhere.
const noAssertion = "NOASSERTION"

// documentID is the identifier of the document itself.
const documentID = "SPDXRef-DOCUMENT"

// spdxDocument is an SPDX 2.3 document (ISO/IEC 5962 with the changes of 2.3, JSON
// schema spdx-schema.json). Fields that are never used are left out.
type spdxDocument struct {
	SPDXID            string             `json:"SPDXID"`
	SPDXVersion       string             `json:"spdxVersion"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Name              string             `json:"name"`
	DataLicense       string             `json:"dataLicense"`
	Comment           string             `json:"comment,omitempty"`
	DocumentNamespace string             `json:"documentNamespace"`
	Packages          []spdxPackage      `json:"packages"`
	Relationships     []spdxRelationship `json:"relationships"`
	Extracted         []spdxExtracted    `json:"hasExtractedLicensingInfos,omitempty"`
}

type spdxCreation struct {
	Created            string   `json:"created"`
	Creators           []string `json:"creators"`
	LicenseListVersion string   `json:"licenseListVersion"`
}

type spdxPackage struct {
	SPDXID           string         `json:"SPDXID"`
	Name             string         `json:"name"`
	VersionInfo      string         `json:"versionInfo,omitempty"`
	PackageFileName  string         `json:"packageFileName,omitempty"`
	Supplier         string         `json:"supplier"`
	Originator       string         `json:"originator,omitempty"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	Checksums        []spdxChecksum `json:"checksums,omitempty"`
	Homepage         string         `json:"homepage,omitempty"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	CopyrightText    string         `json:"copyrightText"`
	Summary          string         `json:"summary,omitempty"`
	Comment          string         `json:"comment,omitempty"`
	ExternalRefs     []spdxExternal `json:"externalRefs,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxExternal struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
	Comment  string `json:"comment,omitempty"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

type spdxExtracted struct {
	LicenseID string `json:"licenseId"`
	Text      string `json:"extractedText"`
	Name      string `json:"name"`
}

// spdxWriter makes one document.
type spdxWriter struct {
	doc   spdxDocument
	ids   map[string]string // bom-ref → SPDXID
	used  map[string]bool   // identifiers
	next  map[string]int    // identifier → how often it was made another one
	refs  map[string]string // LicenseRef → the name that it stands for
	names map[string]string // the other way
}

func encodeSPDX(bom *cdx.BOM) ([]byte, error) {
	if bom.Metadata == nil || bom.Metadata.Component == nil {
		return nil, errors.New("write SPDX: the document does not say what it is about")
	}
	created, err := time.Parse(time.RFC3339Nano, bom.Metadata.Timestamp)
	if err != nil {
		return nil, fmt.Errorf("write SPDX: the document's time, which SPDX needs: %w", err)
	}
	w := &spdxWriter{ids: map[string]string{}, used: map[string]bool{documentID: true}, next: map[string]int{}, refs: map[string]string{}, names: map[string]string{}}
	root := *bom.Metadata.Component
	w.doc = spdxDocument{
		SPDXID: documentID, SPDXVersion: "SPDX-2.3", Name: cmp.Or(root.Name, "environment"), DataLicense: "CC0-1.0",
		CreationInfo:      spdxCreation{Created: created.UTC().Format("2006-01-02T15:04:05Z"), Creators: spdxCreators(bom.Metadata.Tools), LicenseListVersion: licence.ListVersion},
		DocumentNamespace: "https://pip-witness.dev/spdx/" + strings.TrimPrefix(bom.SerialNumber, "urn:uuid:"),
		Comment:           spdxComment(bom), Packages: []spdxPackage{}, Relationships: []spdxRelationship{},
	}
	w.add(root, "")
	w.relate(documentID, "DESCRIBES", w.ids[root.BOMRef])
	if bom.Components != nil {
		for _, c := range *bom.Components {
			w.add(c, w.ids[root.BOMRef])
		}
	}
	w.dependencies(bom.Dependencies)
	w.vulnerabilities(bom.Vulnerabilities)
	for _, id := range slices.Sorted(maps.Keys(w.refs)) {
		w.doc.Extracted = append(w.doc.Extracted, spdxExtracted{LicenseID: id, Name: w.refs[id],
			Text: "The metadata of the package names its licence so: " + w.refs[id]})
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(w.doc); err != nil {
		return nil, fmt.Errorf("write SPDX: %w", err)
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

func spdxCreators(tools *cdx.ToolsChoice) []string {
	creators := []string{}
	if tools != nil && tools.Components != nil {
		for _, t := range *tools.Components {
			creators = append(creators, "Tool: "+strings.TrimSuffix(oneLine(t.Name)+"-"+oneLine(t.Version), "-"))
		}
	}
	if len(creators) == 0 {
		creators = append(creators, "Tool: pip-witness")
	}
	return creators
}

// spdxComment says what the document knows of itself: properties and how complete
// it is.
func spdxComment(bom *cdx.BOM) string {
	var lines []string
	if bom.SerialNumber != "" {
		lines = append(lines, "made from the CycloneDX document "+bom.SerialNumber)
	}
	if p := bom.Metadata.Properties; p != nil {
		for _, p := range *p {
			lines = append(lines, p.Name+": "+oneLine(p.Value))
		}
	}
	if bom.Compositions != nil {
		for _, c := range *bom.Compositions {
			for what, refs := range map[string]*[]cdx.BOMReference{"components": c.Assemblies, "dependencies": c.Dependencies} {
				if refs == nil || c.Aggregate == cdx.CompositionAggregateComplete {
					continue
				}
				for _, ref := range *refs {
					lines = append(lines, fmt.Sprintf("%s of %s: %s", what, ref, c.Aggregate))
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// oneLine keeps a value to one line of a comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

var notID = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// id gives a component its identifier: letters, digits, points and hyphens only.
func (w *spdxWriter) id(c cdx.Component) string {
	base := "SPDXRef-Package-" + strings.Trim(notID.ReplaceAllString(clip(c.Name+"-"+c.Version), "-"), "-")
	return w.unused(base, func(id string) bool { return w.used[id] })
}

// unused makes an identifier another one where it is taken. It counts up from
// where it was for this one, so that many equal names cost no more than others.
func (w *spdxWriter) unused(base string, taken func(string) bool) string {
	id := base
	for taken(id) {
		w.next[base]++
		id = fmt.Sprintf("%s-%d", base, w.next[base]+1)
	}
	w.used[id] = true
	return id
}

// add writes a component and what is nested in it.
func (w *spdxWriter) add(c cdx.Component, within string) {
	id := w.id(c)
	if _, again := w.ids[c.BOMRef]; !again {
		w.ids[c.BOMRef] = id
	}
	p := spdxPackage{
		SPDXID: id, Name: cmp.Or(c.Name, noAssertion), VersionInfo: c.Version, PackageFileName: property(c, "pip-witness:filename"),
		Supplier: noAssertion, DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: noAssertion,
		CopyrightText: noAssertion, Summary: c.Description, Purpose: "LIBRARY",
	}
	if c.Type == cdx.ComponentTypeApplication {
		p.Purpose = "APPLICATION"
	}
	if c.Supplier != nil && c.Supplier.Contact != nil && len(*c.Supplier.Contact) > 0 {
		p.Supplier = person((*c.Supplier.Contact)[0])
	}
	if c.Authors != nil && len(*c.Authors) > 0 {
		p.Originator = person((*c.Authors)[0])
	}
	if c.Hashes != nil {
		for _, h := range *c.Hashes {
			p.Checksums = append(p.Checksums, spdxChecksum{strings.ReplaceAll(string(h.Algorithm), "-", ""), h.Value})
		}
	}
	w.references(&p, c)
	p.LicenseDeclared = w.licence(c.Licenses, cdx.LicenseAcknowledgementDeclared)
	p.LicenseConcluded = w.licence(c.Licenses, cdx.LicenseAcknowledgementConcluded)
	if c.Properties != nil {
		var lines []string
		for _, property := range *c.Properties {
			lines = append(lines, property.Name+": "+oneLine(property.Value))
		}
		p.Comment = strings.Join(lines, "\n")
	}
	w.doc.Packages = append(w.doc.Packages, p)
	if within != "" {
		w.relate(within, "CONTAINS", id)
	}
	if c.Components != nil {
		for _, inner := range *c.Components {
			w.add(inner, id)
		}
	}
}

// references writes the package URL, the home page and where the file came from.
func (w *spdxWriter) references(p *spdxPackage, c cdx.Component) {
	if c.PackageURL != "" {
		p.ExternalRefs = append(p.ExternalRefs, spdxExternal{Category: "PACKAGE-MANAGER", Type: "purl", Locator: c.PackageURL})
	}
	if c.ExternalReferences == nil {
		return
	}
	for _, r := range *c.ExternalReferences {
		switch {
		case r.Type == cdx.ERTypeWebsite && p.Homepage == "":
			p.Homepage = r.URL
		case r.Type == cdx.ERTypeDistribution && r.Hashes != nil && p.DownloadLocation == noAssertion:
			p.DownloadLocation = r.URL
		case !strings.ContainsAny(r.URL, " \t\n"):
			p.ExternalRefs = append(p.ExternalRefs, spdxExternal{Category: "OTHER", Type: string(r.Type), Locator: r.URL, Comment: r.Comment})
		}
	}
}

// person is "Person: NAME (MAIL)".
func person(c cdx.OrganizationalContact) string {
	name := strings.NewReplacer("(", "[", ")", "]").Replace(oneLine(c.Name))
	mail := oneLine(c.Email)
	switch {
	case name == "" && mail == "":
		return noAssertion
	case mail == "":
		return "Person: " + name
	}
	return fmt.Sprintf("Person: %s (%s)", cmp.Or(name, mail), mail)
}

// licence writes the licences of one kind as an expression. A name that is none of
// the list becomes a reference, whose text says no more than the name.
func (w *spdxWriter) licence(all *cdx.Licenses, kind cdx.LicenseAcknowledgement) string {
	if all == nil {
		return noAssertion
	}
	var parts []string
	for _, c := range *all {
		switch {
		case c.License == nil && c.Acknowledgement != nil && *c.Acknowledgement == kind:
			if e, err := licence.Parse(c.Expression); err == nil {
				parts = append(parts, w.defined(e))
			}
		case c.License == nil || c.License.Acknowledgement != kind:
		case c.License.ID != "":
			if id, ok := licence.ID(c.License.ID); ok {
				parts = append(parts, id)
			}
		default:
			parts = append(parts, w.reference(c.License.Name))
		}
	}
	switch {
	case len(parts) == 0:
		return noAssertion
	case len(parts) == 1:
		return parts[0]
	}
	for i, p := range parts {
		if strings.Contains(p, " OR ") {
			parts[i] = "(" + p + ")"
		}
	}
	return strings.Join(parts, " AND ")
}

// defined writes an expression and says what its references stand for: the
// document has to.
func (w *spdxWriter) defined(e licence.Expression) string {
	for _, term := range e.Terms() {
		if strings.HasPrefix(term, "LicenseRef-") {
			id, _, _ := strings.Cut(term, " ")
			w.refs[id] = id
		}
	}
	return e.String()
}

// reference is the LicenseRef of a name, another one for each name.
func (w *spdxWriter) reference(name string) string {
	base := "LicenseRef-" + cmp.Or(strings.Trim(notID.ReplaceAllString(clip(name), "-"), "-"), "unnamed")
	if id := w.names[name]; id != "" {
		return id
	}
	id := w.unused(base, func(id string) bool { return w.refs[id] != "" })
	w.refs[id], w.names[name] = name, id
	return id
}

func (w *spdxWriter) dependencies(all *[]cdx.Dependency) {
	if all == nil {
		return
	}
	for _, d := range *all {
		if d.Dependencies == nil || w.ids[d.Ref] == "" {
			continue
		}
		for _, on := range *d.Dependencies {
			if w.ids[on] != "" {
				w.relate(w.ids[d.Ref], "DEPENDS_ON", w.ids[on])
			}
		}
	}
}

// vulnerabilities become security references of the packages that they affect.
// SPDX 2.3 has no place for the analysis of one but a comment.
func (w *spdxWriter) vulnerabilities(all *[]cdx.Vulnerability) {
	if all == nil {
		return
	}
	at := map[string]int{}
	for i, p := range w.doc.Packages {
		at[p.SPDXID] = i
	}
	for _, v := range *all {
		if v.Affects == nil || v.Source == nil || v.Source.URL == "" || strings.ContainsAny(v.Source.URL, " \t\n") {
			continue
		}
		r := spdxExternal{Category: "SECURITY", Type: "advisory", Locator: v.Source.URL, Comment: v.ID}
		if v.Analysis != nil && v.Analysis.State != "" {
			r.Comment += ", " + string(v.Analysis.State)
		}
		for _, a := range *v.Affects {
			if i, ok := at[w.ids[a.Ref]]; ok && w.ids[a.Ref] != "" {
				w.doc.Packages[i].ExternalRefs = append(w.doc.Packages[i].ExternalRefs, r)
			}
		}
	}
}

func (w *spdxWriter) relate(from, kind, to string) {
	w.doc.Relationships = append(w.doc.Relationships, spdxRelationship{from, kind, to})
}

// property returns the first property of a name, "" when there is none.
func property(c cdx.Component, name string) string {
	if c.Properties != nil {
		for _, p := range *c.Properties {
			if p.Name == name {
				return p.Value
			}
		}
	}
	return ""
}
