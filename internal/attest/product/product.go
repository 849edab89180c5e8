// Package product attests what a step made: the regular files below the
// trail's roots that were created or whose content was changed.
package product

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/product/v0.1"

// Predicate maps the absolute path inside the sandbox of each product to what it
// is. Deleted files, and files of which only mode or owner changed, are no
// products; neither are directories and symbolic links.
type Predicate map[string]Product

// Product is one file.
type Product struct {
	// MIMEType is told from the extension, otherwise from the first 512 bytes
	// (the WHATWG sniffing algorithm). "application/octet-stream" is also what
	// an unreadable file has.
	MIMEType string `json:"mime_type"`
	// Digest is empty when the file could not be read.
	Digest evidence.DigestSet `json:"digest"`
}

// Attestor returns the catalogue entry. Its predicate is a [Predicate]; the
// error is [attest.ErrNoTree] where a tree is missing.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "product", Type: Type, Run: run}
}

func run(ctx context.Context, in *attest.Input) (any, error) {
	if in.Before == nil || in.After == nil {
		return nil, attest.ErrNoTree
	}
	out := Predicate{}
	for _, p := range evidence.ChangedFiles(in.Before, in.After) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		digest := in.After.Files[p].Digests
		if digest == nil {
			digest = evidence.DigestSet{}
		}
		out[p] = Product{MIMEType: mimeType(in.Layout, in.After, p), Digest: digest}
	}
	return out, nil
}

const unknown = "application/octet-stream"

func mimeType(layout attest.Layout, tree *evidence.Tree, p string) string {
	if t := byExtension(p); t != "" {
		return t
	}
	// The key of a name that is not UTF-8 is not the name of the file.
	if _, encoded := slices.BinarySearch(tree.Encoded, p); encoded {
		return unknown
	}
	f, err := walk.Open(layout, p)
	if err != nil {
		return unknown
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return unknown
	}
	return http.DetectContentType(head[:n])
}

// byExtension knows the kinds of files that installations consist of. The
// system's own table is not used: it differs between machines.
func byExtension(p string) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".py", ".pyi", ".pyw":
		return "text/x-python"
	case ".pyc", ".pyo":
		return "application/x-python-code"
	case ".pyx", ".pxd", ".pxi":
		return "text/x-cython"
	case ".so":
		return "application/x-sharedlib"
	case ".c", ".h":
		return "text/x-c"
	case ".cpp", ".cc", ".hpp", ".cxx":
		return "text/x-c++"
	case ".rs":
		return "text/x-rust"
	case ".js", ".mjs":
		return "text/javascript"
	case ".json":
		return "application/json"
	case ".toml":
		return "application/toml"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".xml":
		return "application/xml"
	case ".html", ".htm":
		return "text/html"
	case ".css":
		return "text/css"
	case ".csv":
		return "text/csv"
	case ".md":
		return "text/markdown"
	case ".rst":
		return "text/x-rst"
	case ".txt", ".pth", ".cfg", ".ini":
		return "text/plain"
	case ".sh", ".bash":
		return "text/x-shellscript"
	case ".whl", ".zip", ".egg":
		return "application/zip"
	case ".svg":
		return "image/svg+xml"
	default:
		return ""
	}
}
