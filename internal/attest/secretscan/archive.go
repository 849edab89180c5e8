package secretscan

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/pypi"
)

// Bounds of what is unpacked. What they cut is listed as not scanned.
const (
	maxArchiveDepth   = 2         // archives in archives
	maxArchiveMembers = 10_000    // of one archive
	maxUnpacked       = 128 << 20 // bytes of all archives: 128 MiB
)

// separator stands between an archive and the name of its member in a location,
// as in gitleaks.
const separator = "!"

// unpack calls do with the members of an archive, in order, until it returns false.
type unpack func(r *io.SectionReader, do func(name string, content io.Reader) bool) error

// archive recognises zip, gzip, bzip2 and tar by their first bytes; nil is none.
// Names do not count: a package calls its files as it likes.
func archive(head []byte) unpack {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return unpackZip
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return func(r *io.SectionReader, do func(string, io.Reader) bool) error {
			content, err := gzip.NewReader(r)
			if err != nil {
				return err
			}
			do("", content)
			return nil
		}
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 10 && string(head[4:10]) == "1AY&SY":
		return func(r *io.SectionReader, do func(string, io.Reader) bool) error {
			do("", bzip2.NewReader(r))
			return nil
		}
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return unpackTar
	}
	return nil
}

func unpackZip(r *io.SectionReader, do func(string, io.Reader) bool) error {
	directory, err := pypi.ReadZip(r, r.Size())
	if err != nil {
		return err
	}
	for i := range directory.Members {
		m := &directory.Members[i]
		if m.Dir() {
			continue
		}
		content, err := directory.Open(m)
		if err != nil {
			content = &broken{err}
		}
		if !do(m.Name, content) {
			break
		}
	}
	return nil
}

// broken is a member that cannot be read.
type broken struct{ err error }

func (b *broken) Read([]byte) (int, error) { return 0, b.err }

func unpackTar(r *io.SectionReader, do func(string, io.Reader) bool) error {
	members := tar.NewReader(r)
	for {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg && !do(header.Name, members) {
			return nil
		}
	}
}

// archive scans the members of an archive. A stream that is only compressed is
// one member without a name of its own.
func (w *worker) archive(ctx context.Context, out *scanned, name string, r *io.SectionReader, depth int, open unpack) string {
	if depth >= maxArchiveDepth {
		return fmt.Sprintf("an archive in more than %d archives", maxArchiveDepth)
	}
	members, why := 0, ""
	err := open(r, func(member string, content io.Reader) bool {
		if members++; members > maxArchiveMembers {
			why = fmt.Sprintf("an archive of more than %d members: the rest was not scanned", maxArchiveMembers)
			return false
		}
		location := name + separator + clean(member)
		data, err := w.unpacked(content)
		if err == nil {
			if reason := w.content(ctx, out, location, section(data), depth+1); reason != "" {
				err = errors.New(reason)
			} else {
				out.members.Files++
				out.members.Bytes += int64(len(data))
			}
		}
		if errors.Is(err, errBudget) {
			why = err.Error() + ": the rest was not scanned"
			return false
		}
		if err != nil {
			out.skip(location, err.Error())
		}
		return ctx.Err() == nil && len(out.findings) <= maxFindings
	})
	if err != nil {
		return fmt.Sprintf("an archive that cannot be read: %v", err)
	}
	return why
}

func section(data []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))
}

// maxListed bounds what is listed of one file as not scanned.
const maxListed = 1_000

func (r *scanned) skip(location, reason string) {
	switch n := len(r.notScanned); {
	case n < maxListed:
		r.notScanned = append(r.notScanned, evidence.UnreadPath{Path: location, Reason: reason})
	case n == maxListed:
		archive, _, _ := strings.Cut(location, separator)
		r.notScanned = append(r.notScanned, evidence.UnreadPath{Path: archive, Reason: fmt.Sprintf("more than %d members were not scanned: the rest is not listed", maxListed)})
	}
}

// errBudget ends the unpacking of an archive.
var errBudget = fmt.Errorf("the scan unpacked %d bytes of archives, its limit", maxUnpacked)

// unpacked reads a member. What it unpacks is bounded, whatever the archive says.
func (w *worker) unpacked(content io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(content, maxFileSize+1))
	if w.left -= int64(len(data)); w.left < 0 {
		return nil, errBudget
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("more than %d bytes", maxFileSize)
	}
	return data, nil
}

// clean makes a member's name fit for a location: bounded, and UTF-8.
func clean(member string) string {
	const limit = 300
	if len(member) > limit {
		member = member[:limit] + "…"
	}
	return strings.ToValidUTF8(member, "\uFFFD")
}
