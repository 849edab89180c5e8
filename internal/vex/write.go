package vex

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// Finding is a vulnerability of an installed package, as it is written.
type Finding struct {
	Name    string
	Aliases []string
	// PURL is the package URL of the distribution.
	PURL string
	// Opinion is what is thought of it; the zero value is that nobody has looked.
	Opinion Opinion
}

// Write makes an OpenVEX document of findings, in their order. What nobody has an
// opinion on is under investigation: that a version is in a range is no proof that
// the product is affected. at is an RFC 3339 time; the document's id is made from
// its content, so that the same findings give the same document.
func Write(findings []Finding, author, at string) ([]byte, error) {
	f := file{Context: "https://openvex.dev/ns/v0.2.0", Author: author, Timestamp: at, Version: 1, Statements: []fileEntry{}}
	for _, v := range findings {
		entry := fileEntry{
			Vulnerability: vulnerability{Name: v.Name, Aliases: v.Aliases},
			Products:      []fileComponent{{ID: v.PURL, Identifiers: map[string]string{"purl": v.PURL}}},
			Status:        v.Opinion.Status, Justification: v.Opinion.Justification, Timestamp: v.Opinion.Updated,
		}
		switch entry.Status {
		case "":
			entry.Status = UnderInvestigation
			entry.StatusNotes = "the installed version is in a range that an advisory names"
		case NotAffected:
			entry.ImpactStatement = v.Opinion.Text
		case Affected:
			// The specification asks for an action with every "affected".
			entry.ActionStatement = v.Opinion.Text
			if entry.ActionStatement == "" {
				entry.ActionStatement = "none is known"
			}
		default:
			entry.StatusNotes = v.Opinion.Text
		}
		f.Statements = append(f.Statements, entry)
	}
	content, err := marshal(f)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a version 8 UUID, RFC 9562
	f.ID = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return marshal(f)
}

func marshal(f file) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("marshal VEX document: %w", err)
	}
	return out.Bytes(), nil
}
