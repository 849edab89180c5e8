package sbom

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// maxDocument bounds a document that is read again; one of 10,000 distributions
// has some 30 MiB.
const maxDocument = 256 << 20 // 256 MiB

// Format is a format that a document can be written in.
type Format string

// Formats, by the names that users give.
const (
	CycloneDX16 Format = "cyclonedx-1.6" // what is attested
	CycloneDX17 Format = "cyclonedx-1.7"
	SPDX23      Format = "spdx-2.3" // JSON
)

// Formats lists all formats.
func Formats() []Format { return []Format{CycloneDX16, CycloneDX17, SPDX23} }

// ErrFormat is returned for a format that is none of [Formats].
var ErrFormat = errors.New("not a format of software bills of materials")

// Convert writes a CycloneDX document as this package makes them in another
// format. The same document gives the same bytes. What SPDX has no field for, such
// as the completeness of the document, becomes a comment or an annotation; fields
// that this package never writes are left out.
func Convert(document []byte, to Format) ([]byte, error) {
	if len(document) > maxDocument {
		return nil, fmt.Errorf("convert document: %d bytes, want at most %d", len(document), maxDocument)
	}
	var bom cdx.BOM
	decoder := cdx.NewBOMDecoder(bytes.NewReader(document), cdx.BOMFileFormatJSON)
	if err := decoder.Decode(&bom); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("convert document: %w", err)
	}
	if bom.BOMFormat != cdx.BOMFormat {
		return nil, fmt.Errorf("convert document: bomFormat %q, want %q", bom.BOMFormat, cdx.BOMFormat)
	}
	var data []byte
	var err error
	switch to {
	case CycloneDX16:
		data, err = encode(&bom, cdx.SpecVersion1_6)
	case CycloneDX17:
		data, err = encode(&bom, cdx.SpecVersion1_7)
	case SPDX23:
		data, err = encodeSPDX(&bom)
	default:
		return nil, fmt.Errorf("convert document: %q: %w", to, ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}
