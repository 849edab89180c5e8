package pypi

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// RecordEntry is one line of RECORD ("Recording installed projects").
type RecordEntry struct {
	// Path is relative to the directory that holds the .dist-info directory, or
	// absolute, with '/' as separator, as written. It may leave that directory:
	// scripts do.
	Path string
	// Algorithm is the digest's name ("sha256"), Digest lower-case hex. Both are
	// empty where RECORD gives none, as for RECORD itself.
	Algorithm string
	Digest    string
	// Size is in bytes, -1 where RECORD gives none.
	Size int64
}

// Inside returns the cleaned path when the entry lies below the site directory.
func (e RecordEntry) Inside() (string, bool) {
	p := path.Clean(strings.ReplaceAll(e.Path, `\`, "/"))
	if path.IsAbs(p) || p == "." || p == ".." || strings.HasPrefix(p, "../") {
		return "", false
	}
	return p, true
}

// ParseRecord reads a RECORD file. A malformed line is an error that names it.
func ParseRecord(data []byte) ([]RecordEntry, error) {
	if len(data) > maxRecordSize {
		return nil, fmt.Errorf("parse RECORD: %d bytes, want at most %d", len(data), maxRecordSize)
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true // the standard's reader accepts a bare quote in a field
	r.ReuseRecord = true
	var out []RecordEntry
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("parse RECORD: %w", err)
		}
		line, _ := r.FieldPos(0)
		if len(fields) != 3 {
			return out, fmt.Errorf("parse RECORD: line %d: %d fields, want 3", line, len(fields))
		}
		if len(out) >= maxRecordEntries {
			return out, fmt.Errorf("parse RECORD: line %d: more than %d entries", line, maxRecordEntries)
		}
		e, err := recordEntry(fields)
		if err != nil {
			return out, fmt.Errorf("parse RECORD: line %d: %w", line, err)
		}
		out = append(out, e)
	}
}

func recordEntry(fields []string) (RecordEntry, error) {
	e := RecordEntry{Path: strings.Clone(fields[0]), Size: -1}
	if e.Path == "" {
		return e, errors.New("no path")
	}
	if fields[1] != "" {
		algorithm, value, ok := strings.Cut(fields[1], "=")
		digest, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "="))
		if !ok || err != nil {
			return e, fmt.Errorf("digest %q: want algorithm=urlsafe-base64", fields[1])
		}
		e.Algorithm, e.Digest = strings.ToLower(algorithm), hex.EncodeToString(digest)
	}
	if fields[2] != "" {
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || size < 0 {
			return e, fmt.Errorf("size %q: want a number of bytes", fields[2])
		}
		e.Size = size
	}
	return e, nil
}
