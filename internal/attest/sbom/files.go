package sbom

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"pip-witness/internal/pypi"
)

// Properties about what is installed, beside the digest of the distribution file.
const (
	// filesProperty is the number of files that RECORD has a digest for.
	filesProperty = "pip-witness:installed-files"
	// filesDigestProperty is over them as they were found after the step: SHA-256
	// of lines "digest, two spaces, path", sorted, as sha256sum writes them. Byte
	// code, which differs from run to run, has no digest in RECORD.
	filesDigestProperty = "pip-witness:installed-files-digest"
	// filesMissingProperty is the number of them that were not there.
	filesMissingProperty = "pip-witness:installed-files-missing"
)

// installedFiles is one digest of all files that a distribution installed; nothing
// without RECORD or without a walk.
func (b *builder) installedFiles(d pypi.Distribution) []cdx.Property {
	if b.in.After == nil {
		return nil
	}
	var lines []string
	missing := 0
	for _, e := range d.Record {
		if e.Digest == "" {
			continue
		}
		name := e.Path
		if !path.IsAbs(name) {
			name = path.Join(d.Location, name)
		}
		if digest := b.in.After.Files[name].Digests["sha256"]; digest != "" {
			lines = append(lines, digest+"  "+e.Path+"\n")
		} else {
			missing++
		}
	}
	if len(lines) == 0 && missing == 0 {
		return nil
	}
	slices.Sort(lines)
	out := []cdx.Property{
		{Name: filesProperty, Value: fmt.Sprint(len(lines))},
		{Name: filesDigestProperty, Value: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(lines, ""))))},
	}
	if missing > 0 {
		out = append(out, cdx.Property{Name: filesMissingProperty, Value: fmt.Sprint(missing)})
	}
	return out
}
