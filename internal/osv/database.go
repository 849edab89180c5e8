package osv

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pip-witness/internal/store"
)

// ErrDamaged is matched by errors of an archive that is none, is cut off or is
// beyond a bound.
var ErrDamaged = errors.New("damaged database")

// Names that osv-scanner gives to its cache, the newer one first, and the archive
// of Python advisories below it.
const (
	CacheName    = "osv-scalibr"
	OldCacheName = "osv-scanner"
	archiveName  = "all.zip"
)

// ArchivePath is where the archive is written below a directory: in the place
// that is there already, else in the newer layout's.
func ArchivePath(dir string) string {
	if path := Find(dir); path != "" {
		return path
	}
	return filepath.Join(dir, CacheName, Ecosystem, archiveName)
}

// Find returns the archive below a directory, "" when there is none: in the layout
// of osv-scanner's cache under either name, or of that cache itself. Where there
// are several it is the one that was written last.
func Find(dir string) string {
	found, at := "", time.Time{}
	for _, name := range []string{CacheName, OldCacheName, ""} {
		path := filepath.Join(dir, name, Ecosystem, archiveName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && (found == "" || info.ModTime().After(at)) {
			found, at = path, info.ModTime()
		}
	}
	return found
}

// Database is an open archive with its index.
type Database struct {
	file  *os.File
	index index
	// Written is when the archive was written.
	Written time.Time
}

// Close closes the archive.
func (d *Database) Close() error { return d.file.Close() }

// Facts says what the database holds.
func (d *Database) Facts() Facts { return d.index.facts }

// Open opens an archive. Its index is taken from the directory cache, or made by
// reading every advisory, and kept there; where cache is empty or cannot be
// written to, the index is made each time. An error of the archive itself matches
// [ErrDamaged].
func Open(ctx context.Context, path, cache string) (*Database, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	d := &Database{file: file}
	if err := d.read(ctx, cache); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), file.Close())
	}
	return d, nil
}

func (d *Database) read(ctx context.Context, cache string) error {
	info, err := d.file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: not a regular file", ErrDamaged)
	case info.Size() > maxZip:
		return fmt.Errorf("%w: %d MiB, want at most %d", ErrDamaged, info.Size()>>20, maxZip>>20)
	}
	d.Written = info.ModTime()
	digest, err := digestOf(ctx, io.NewSectionReader(d.file, 0, info.Size()))
	if err != nil {
		return err
	}
	if cache != "" {
		data, err := readIndexFile(indexPath(cache, digest))
		if err == nil {
			d.index, err = parseIndex(data, digest, info.Size())
		}
		if err == nil {
			return nil // a missing, old or damaged index is made anew
		}
	}
	data, err := build(ctx, d.file, info.Size(), digest)
	if err != nil {
		return err
	}
	if d.index, err = parseIndex(data, digest, info.Size()); err != nil {
		return err
	}
	if cache != "" {
		keepIndex(cache, digest, data)
	}
	return nil
}

// digestOf reads in pieces, so that an interrupted run ends.
func digestOf(ctx context.Context, r io.Reader) (string, error) {
	hash := sha256.New()
	buffer := make([]byte, 1<<20) // 1 MiB
	for {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := r.Read(buffer)
		hash.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(hash.Sum(nil)), nil
		} else if err != nil {
			return "", err
		}
	}
}

// indexPath is the file of an archive's index. The digest is its key, so an index
// is never taken for that of another archive.
func indexPath(cache, digest string) string { return filepath.Join(cache, digest+".index") }

func readIndexFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIndex {
		return nil, errors.New("no index file")
	}
	return os.ReadFile(path)
}

// keepIndex writes an index and removes those of archives that were used before
// the last two. That it could not be kept costs time and nothing else.
func keepIndex(cache, digest string, data []byte) {
	if os.MkdirAll(cache, 0o700) != nil || store.WriteFile(indexPath(cache, digest), data, 0o600) != nil {
		return
	}
	paths, err := filepath.Glob(indexPath(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(cache), "*"))
	if err != nil {
		return
	}
	written := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(paths, func(a, b string) int { return written(b).Compare(written(a)) })
	const kept = 3
	for _, path := range paths[min(len(paths), kept):] {
		if os.Remove(path) != nil {
			return
		}
	}
}

// build reads every advisory of an archive and makes its index.
func build(ctx context.Context, file io.ReaderAt, size int64, digest string) ([]byte, error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(archive.File) > maxEntries {
		return nil, fmt.Errorf("%w: %d entries, want at most %d", ErrDamaged, len(archive.File), maxEntries)
	}
	b := builder{file: file, size: size, facts: Facts{Digest: digest, Size: size, Problems: []string{}}, places: map[string][]place{}}
	for _, entry := range archive.File {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if strings.HasSuffix(entry.Name, "/") {
			continue
		}
		if err := b.add(entry); err != nil {
			return nil, err
		}
	}
	return marshalIndex(b.facts, b.places)
}

type builder struct {
	file   io.ReaderAt
	size   int64
	facts  Facts
	places map[string][]place
	total  int64 // bytes unpacked so far
	reader unpacker
}

// add puts one entry of the archive into the index. Only an archive that is beyond
// a bound as a whole is an error.
func (b *builder) add(entry *zip.File) error {
	p, err := placeOf(entry, b.size)
	var record Record
	if err == nil {
		if b.total += p.size; b.total > maxTotal {
			return fmt.Errorf("%w: more than %d MiB of advisories", ErrDamaged, maxTotal>>20)
		}
		var data []byte
		if data, err = b.reader.read(b.file, p); err == nil {
			record, err = ParseRecord(data)
		}
	}
	if err != nil {
		b.facts.Unreadable++
		if len(b.facts.Problems) < maxNamed {
			b.facts.Problems = append(b.facts.Problems, fmt.Sprintf("advisory %.100q: %.200s", entry.Name, err.Error()))
		}
		return nil
	}
	names := record.names()
	b.facts.Newest = max(b.facts.Newest, record.Modified)
	switch {
	case record.Withdrawn != "":
		b.facts.Withdrawn++
		return nil
	case len(names) == 0:
		b.facts.Other++
		return nil
	}
	b.facts.Advisories++
	if record.malicious() {
		b.facts.Malicious++
	}
	for _, name := range names {
		b.places[name] = append(b.places[name], p)
	}
	return nil
}

// placeOf finds the bytes of an entry. What its header claims is bounded here and
// compared with the content when that is read.
func placeOf(entry *zip.File, size int64) (place, error) {
	if entry.Method != zip.Store && entry.Method != zip.Deflate {
		return place{}, fmt.Errorf("compression method %d is not known", entry.Method)
	}
	if entry.UncompressedSize64 > maxRecord {
		return place{}, fmt.Errorf("%d bytes, want at most %d", entry.UncompressedSize64, maxRecord)
	}
	offset, err := entry.DataOffset()
	if err != nil {
		return place{}, err
	}
	if offset < 0 || offset > size || entry.CompressedSize64 > uint64(size-offset) {
		return place{}, errors.New("it is beyond the end of the archive")
	}
	return place{offset, int64(entry.CompressedSize64), int64(entry.UncompressedSize64), entry.CRC32, entry.Method == zip.Store}, nil
}

// unpacker reads advisories one after the other, with one set of tables.
type unpacker struct{ inflate io.ReadCloser }

// read returns the content of an advisory: exactly as many bytes as were claimed,
// with the claimed checksum.
func (u *unpacker) read(file io.ReaderAt, p place) ([]byte, error) {
	var from io.Reader = io.NewSectionReader(file, p.offset, p.packed)
	if !p.stored {
		if again, ok := u.inflate.(flate.Resetter); !ok { // there is none yet
			u.inflate = flate.NewReader(from)
		} else if err := again.Reset(from, nil); err != nil {
			return nil, err
		}
		from = u.inflate
	}
	var content bytes.Buffer
	content.Grow(int(min(p.size, 64<<10))) // 64 KiB: the rest as it comes
	n, err := io.Copy(&content, io.LimitReader(from, p.size+1))
	switch {
	case err != nil:
		return nil, err
	case n != p.size:
		return nil, fmt.Errorf("its size is not the %d bytes that its header says", p.size)
	case crc32.ChecksumIEEE(content.Bytes()) != p.crc:
		return nil, errors.New("its checksum is wrong")
	}
	return content.Bytes(), nil
}

// Update replaces the archive at path by what is read from source, once that has
// been read whole and every advisory in it looked at. On any error the archive that
// was there stays, and nothing else is left. size is how many bytes there should
// be, -1 when nobody said. An error of what was read matches [ErrDamaged].
func Update(ctx context.Context, source io.Reader, size int64, path, cache string) (_ Facts, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Facts{}, fmt.Errorf("make the directory of the database: %w", err)
	}
	if err := removeDrafts(dir, time.Now().Add(-staleDraft)); err != nil {
		return Facts{}, fmt.Errorf("remove what an update left: %w", err)
	}
	draft, err := os.CreateTemp(dir, draftPrefix+"*")
	if err != nil {
		return Facts{}, fmt.Errorf("write the database: %w", err)
	}
	defer func() {
		if e := os.Remove(draft.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		err = errors.Join(err, draft.Close())
	}()
	got, err := io.Copy(draft, io.LimitReader(contextReader{ctx, source}, maxZip+1))
	switch {
	case err != nil:
		return Facts{}, fmt.Errorf("fetch the database: %w", err)
	case got > maxZip:
		return Facts{}, fmt.Errorf("fetch the database: %w: more than %d MiB", ErrDamaged, maxZip>>20)
	case size >= 0 && got != size:
		return Facts{}, fmt.Errorf("fetch the database: %w: %d of %d bytes came", ErrDamaged, got, size)
	}
	fresh, err := Open(ctx, draft.Name(), cache)
	if err != nil {
		return Facts{}, err
	}
	facts := fresh.Facts()
	if err := fresh.Close(); err != nil {
		return Facts{}, err
	}
	if facts.Advisories == 0 || facts.Unreadable > facts.Advisories {
		return Facts{}, fmt.Errorf("%w: %d advisories of %s that can be read, %d that cannot", ErrDamaged, facts.Advisories, Ecosystem, facts.Unreadable)
	}
	return facts, publish(draft, path)
}

// draftPrefix is how a file begins that is not the database yet. One that was last
// written to so long ago is of an update that was killed.
const (
	draftPrefix = "." + archiveName + ".tmp"
	staleDraft  = 24 * time.Hour
)

// removeDrafts removes those that nobody wrote to since.
func removeDrafts(dir string, since time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), draftPrefix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(since) {
			continue // another update's, or gone by now
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// publish gives the draft its name, on the disk before anybody can see it.
func publish(draft *os.File, path string) error {
	if err := errors.Join(draft.Chmod(0o644), draft.Sync()); err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// contextReader ends when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
