package pypi

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on one zip archive. What is beyond them is a defect, and is not read.
const (
	maxZipMembers   = 200_000
	maxZipDirectory = 128 << 20 // 128 MiB: the central directory
	maxZipTail      = 22 + 1<<16 - 1
	maxZipDefects   = 1_000
)

// ZipDir is the structure of a zip archive (PKWARE APPNOTE 6.3.10), read without
// trusting any of it: what the central directory says, what the local headers
// say, and where they differ. Readers of zip archives take one or the other, so
// an archive in which they differ has two contents.
type ZipDir struct {
	// Members are in the order of the central directory.
	Members []ZipMember
	// Defects are the deviations that make readers see different contents, in the
	// order found; DefectsCut is true when there were more.
	Defects    []Defect
	DefectsCut bool

	r      io.ReaderAt
	prefix int64 // bytes before the archive proper
}

// Defect is one thing that is wrong with a distribution file.
type Defect struct {
	// Kind is a class of defects: see the Defect constants.
	Kind string `json:"kind"`
	// Member is the archive path it concerns, cut at 300 bytes; empty for the archive.
	Member string `json:"member,omitempty"`
	What   string `json:"what"`
}

// Kinds of defects of an archive.
const (
	// DefectArchive is a container that readers understand differently, or not.
	DefectArchive = "archive"
	// DefectLocalHeader is a local header that differs from the central directory.
	DefectLocalHeader = "local-header"
	// DefectDuplicate is a path that occurs twice, or as a file and a directory.
	DefectDuplicate = "duplicate"
	// DefectFolded are paths that are one where a file system folds case or normalises
	// Unicode.
	DefectFolded = "folded"
	// DefectName is a path that leaves the archive's root or cannot be a file name.
	DefectName = "name"
	// DefectType is a member that is neither file nor directory.
	DefectType = "type"
	// DefectSize is a size, ratio or number that no honest wheel has.
	DefectSize = "size"
)

// ZipMember is one entry of the central directory.
type ZipMember struct {
	Name         string // as written, bytes
	Method       uint16
	Flags        uint16
	CRC          uint32
	Compressed   uint64
	Uncompressed uint64
	Mode         fs.FileMode // of the Unix attributes; 0 when there are none

	header int64 // offset of the local header
	data   int64 // offset of the content; 0 when the local header cannot be read
	end    int64 // offset behind content
}

// Dir reports whether the member is a directory.
func (m *ZipMember) Dir() bool { return strings.HasSuffix(m.Name, "/") }

func (z *ZipDir) defect(kind, member, format string, args ...any) {
	if len(z.Defects) >= maxZipDefects {
		z.DefectsCut = true
		return
	}
	z.Defects = append(z.Defects, Defect{kind, cutName(member), fmt.Sprintf(format, args...)})
}

func cutName(s string) string {
	const limit = 300
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// ReadZip reads the structure of the archive in the size bytes of r. An error
// means that there is no central directory to be read; what is wrong in a
// readable one is in Defects.
func ReadZip(r io.ReaderAt, size int64) (*ZipDir, error) {
	z := &ZipDir{r: r}
	end, err := z.end(size)
	if err != nil {
		return nil, fmt.Errorf("read zip archive: %w", err)
	}
	if err := z.directory(end); err != nil {
		return nil, fmt.Errorf("read zip archive: %w", err)
	}
	for i := range z.Members {
		z.local(&z.Members[i], end.start)
	}
	z.ranges(end.start)
	return z, nil
}

// zipEnd is what the end record says.
type zipEnd struct {
	count uint64
	size  uint64
	start int64 // real offset of the central directory
}

// end finds the end record: the last one whose comment reaches the end of the
// file, else the last one, since readers take that too and call the bytes behind
// it a comment. The directory lies right before it (or before the records of ZIP64).
func (z *ZipDir) end(size int64) (zipEnd, error) {
	tail := make([]byte, min(size, maxZipTail))
	if _, err := z.r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return zipEnd{}, err
	}
	at := -1
	for i := len(tail) - 22; i >= 0; i-- {
		if string(tail[i:i+4]) == "PK\x05\x06" && int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-22 {
			at = i
			break
		}
	}
	if at < 0 {
		if at = bytes.LastIndex(tail, []byte("PK\x05\x06")); at < 0 || len(tail)-at < 22 {
			return zipEnd{}, errors.New("no end of the central directory")
		}
		stated := int(binary.LittleEndian.Uint16(tail[at+20:]))
		z.defect(DefectArchive, "", "%d bytes follow the end record, which tells of a comment of %d", len(tail)-at-22, stated)
	}
	record := tail[at:]
	if comment := record[22:]; bytes.Contains(comment, []byte("PK\x05\x06")) {
		z.defect(DefectArchive, "", "the comment holds another end record: readers that search differently find another directory")
	} else if len(comment) > 0 {
		z.defect(DefectArchive, "", "a comment of %d bytes follows the archive", len(comment))
	}
	if disk := binary.LittleEndian.Uint32(record[4:]); disk != 0 && disk != 1<<32-1 {
		z.defect(DefectArchive, "", "the end record tells of several disks")
	}
	e := zipEnd{
		count: uint64(binary.LittleEndian.Uint16(record[10:])), size: uint64(binary.LittleEndian.Uint32(record[12:])),
	}
	offset := uint64(binary.LittleEndian.Uint32(record[16:]))
	below := size - int64(len(record)) // where the directory ends
	saturated := e.count == 1<<16-1 || e.size == 1<<32-1 || offset == 1<<32-1
	below, err := z.end64(below, saturated, &e, &offset)
	if err != nil {
		return zipEnd{}, err
	}
	if e.size > uint64(below) {
		return zipEnd{}, fmt.Errorf("a directory of %d bytes in a file of %d", e.size, size)
	}
	e.start = below - int64(e.size)
	if offset > uint64(e.start) {
		return zipEnd{}, fmt.Errorf("the directory is said to start at %d, and ends before that", offset)
	}
	if z.prefix = e.start - int64(offset); z.prefix != 0 {
		z.defect(DefectArchive, "", "%d bytes that belong to no member precede the archive", z.prefix)
	}
	return e, nil
}

// end64 reads the ZIP64 end record where there is one, and returns where the
// directory ends.
func (z *ZipDir) end64(below int64, saturated bool, e *zipEnd, offset *uint64) (int64, error) {
	var locator [20]byte
	if below < 20 {
		return below, nil
	}
	if _, err := z.r.ReadAt(locator[:], below-20); err != nil {
		return 0, err
	}
	if string(locator[:4]) != "PK\x06\x07" {
		return below, nil // without one, a saturated value is a value
	}
	var record [56]byte
	at := below - 20 - 56
	if at < 0 {
		return 0, errors.New("a ZIP64 locator without a record")
	}
	if _, err := z.r.ReadAt(record[:], at); err != nil {
		return 0, err
	}
	if string(record[:4]) != "PK\x06\x06" || binary.LittleEndian.Uint64(record[4:]) != 44 {
		return 0, errors.New("the ZIP64 end record is not where the locator stands")
	}
	if named := binary.LittleEndian.Uint64(locator[8:]); named != uint64(at) {
		z.defect(DefectArchive, "", "the ZIP64 locator names offset %d, the record is at %d", named, at)
	}
	count, size, start := binary.LittleEndian.Uint64(record[32:]), binary.LittleEndian.Uint64(record[40:]), binary.LittleEndian.Uint64(record[48:])
	if differs := count != e.count && e.count != 1<<16-1 || size != e.size && e.size != 1<<32-1 || start != *offset && *offset != 1<<32-1; differs || !saturated {
		z.defect(DefectArchive, "", "a ZIP64 end record that is not needed, or differs from the plain one")
	}
	e.count, e.size, *offset = count, size, start
	return at, nil
}

// directory reads the central directory.
func (z *ZipDir) directory(e zipEnd) error {
	if e.size > maxZipDirectory {
		return fmt.Errorf("a directory of %d bytes, want at most %d", e.size, maxZipDirectory)
	}
	data := make([]byte, e.size)
	if _, err := z.r.ReadAt(data, e.start); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for len(data) > 0 {
		if len(data) < 46 || string(data[:4]) != "PK\x01\x02" {
			return fmt.Errorf("member %d: no directory entry where one is expected", len(z.Members))
		}
		nameLen, extraLen, commentLen := int(binary.LittleEndian.Uint16(data[28:])), int(binary.LittleEndian.Uint16(data[30:])), int(binary.LittleEndian.Uint16(data[32:]))
		if len(data) < 46+nameLen+extraLen+commentLen {
			return fmt.Errorf("member %d: its directory entry is cut off", len(z.Members))
		}
		if len(z.Members) >= maxZipMembers {
			z.defect(DefectSize, "", "more than %d members: the rest was not read", maxZipMembers)
			return nil
		}
		m := z.entry(data[:46], string(data[46:46+nameLen]), data[46+nameLen:46+nameLen+extraLen])
		z.Members = append(z.Members, m)
		data = data[46+nameLen+extraLen+commentLen:]
	}
	if uint64(len(z.Members)) != e.count {
		z.defect(DefectArchive, "", "the end record counts %d members, the directory has %d", e.count, len(z.Members))
	}
	return nil
}

func (z *ZipDir) entry(fixed []byte, name string, extra []byte) ZipMember {
	m := ZipMember{
		Name: name, Flags: binary.LittleEndian.Uint16(fixed[8:]), Method: binary.LittleEndian.Uint16(fixed[10:]),
		CRC:        binary.LittleEndian.Uint32(fixed[16:]),
		Compressed: uint64(binary.LittleEndian.Uint32(fixed[20:])), Uncompressed: uint64(binary.LittleEndian.Uint32(fixed[24:])),
	}
	offset := uint64(binary.LittleEndian.Uint32(fixed[42:]))
	if host := fixed[5]; host == 3 || host == 19 { // Unix, Darwin
		m.Mode = unixMode(binary.LittleEndian.Uint32(fixed[38:]) >> 16)
	}
	z.extra(name, extra, &m.Uncompressed, &m.Compressed, &offset)
	m.header = int64(min(offset, 1<<62)) + z.prefix
	z.nameDefects(&m)
	switch {
	case m.Flags&1 != 0:
		z.defect(DefectType, name, "it is encrypted")
	case m.Method != 0 && m.Method != 8:
		z.defect(DefectType, name, "compression method %d is not one of wheels", m.Method)
	case m.Mode&fs.ModeType&^fs.ModeDir != 0:
		z.defect(DefectType, name, "it is %s", typeName(m.Mode))
	}
	return m
}

// extra walks the extra fields: sizes of ZIP64 in the order of the saturated
// values, and names that only some readers use.
func (z *ZipDir) extra(name string, extra []byte, values ...*uint64) {
	seen := false
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if len(extra) < 4+n {
			break
		}
		field := extra[4 : 4+n]
		extra = extra[4+n:]
		switch id {
		case 1: // ZIP64
			if seen {
				z.defect(DefectArchive, name, "two ZIP64 fields")
				continue
			}
			seen = true
			for _, v := range values {
				if *v == 1<<32-1 && len(field) >= 8 {
					*v = binary.LittleEndian.Uint64(field)
					field = field[8:]
				}
			}
		case 0x7075: // Info-ZIP Unicode path
			if len(field) > 5 && string(field[5:]) != name {
				z.defect(DefectName, name, "some readers take another name for it: %q", cutName(string(field[5:])))
			}
		}
	}
	if len(extra) > 0 {
		z.defect(DefectArchive, name, "its extra field is cut off")
	}
}

func unixMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & 0o170000 {
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o040000:
		mode |= fs.ModeDir
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o020000, 0o060000:
		mode |= fs.ModeDevice
	case 0o140000:
		mode |= fs.ModeSocket
	}
	return mode
}

func typeName(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	}
	return "a socket"
}

// nameDefects looks at what a path would do on the file system.
func (z *ZipDir) nameDefects(m *ZipMember) {
	name := m.Name
	if !utf8.ValidString(name) {
		z.defect(DefectName, name, "its name is not UTF-8")
	} else if m.Flags&(1<<11) == 0 && strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		z.defect(DefectName, name, "its name is not ASCII and not marked as UTF-8: readers decode it differently")
	}
	if bad := EscapesRoot(name); bad != "" {
		z.defect(DefectName, name, "%s", bad)
	}
}

// EscapesRoot says why an archive path may end elsewhere than below the
// directory it is unpacked to, on any platform; it is empty for a path that stays.
func EscapesRoot(name string) string {
	switch {
	case name == "":
		return "it has no name"
	case strings.HasPrefix(name, "/"):
		return "its path is absolute"
	case strings.Contains(name, `\`):
		return "a backslash in its path is a separator on some platforms"
	case len(name) > 1 && name[1] == ':':
		return "its path names a drive"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "a control character in its path"
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		switch part {
		case "..":
			return "its path leaves the root"
		case "", ".":
			return "a part of its path is empty"
		}
	}
	return ""
}

// local compares a member's local header with its directory entry.
func (z *ZipDir) local(m *ZipMember, limit int64) {
	buffer := make([]byte, 30+len(m.Name))
	if m.header < z.prefix || m.header > limit-int64(len(buffer)) {
		z.defect(DefectLocalHeader, m.Name, "its local header would lie outside the archive")
		return
	}
	if _, err := z.r.ReadAt(buffer, m.header); err != nil && !errors.Is(err, io.EOF) || string(buffer[:4]) != "PK\x03\x04" {
		z.defect(DefectLocalHeader, m.Name, "there is no local header where the directory says")
		return
	}
	nameLen, extraLen := int64(binary.LittleEndian.Uint16(buffer[26:])), int64(binary.LittleEndian.Uint16(buffer[28:]))
	m.data = m.header + 30 + nameLen + extraLen
	if m.Compressed > uint64(limit) || m.data > limit-int64(m.Compressed) {
		z.defect(DefectLocalHeader, m.Name, "its content would reach beyond the members")
		m.data = 0
		return
	}
	m.end = m.data + int64(m.Compressed)
	if nameLen != int64(len(m.Name)) || string(buffer[30:]) != m.Name {
		other := make([]byte, nameLen)
		if _, err := z.r.ReadAt(other, m.header+30); err == nil {
			z.defect(DefectLocalHeader, m.Name, "its local header names it %q", cutName(string(other)))
		}
	}
	extra := make([]byte, extraLen)
	if _, err := z.r.ReadAt(extra, m.header+30+nameLen); err != nil {
		z.defect(DefectLocalHeader, m.Name, "its local header is cut off")
		return
	}
	z.compareLocal(m, buffer, extra)
}

func (z *ZipDir) compareLocal(m *ZipMember, fixed, extra []byte) {
	flags, method := binary.LittleEndian.Uint16(fixed[6:]), binary.LittleEndian.Uint16(fixed[8:])
	crc := binary.LittleEndian.Uint32(fixed[14:])
	compressed, uncompressed := uint64(binary.LittleEndian.Uint32(fixed[18:])), uint64(binary.LittleEndian.Uint32(fixed[22:]))
	z.extra(m.Name, extra, &uncompressed, &compressed)
	if method != m.Method {
		z.defect(DefectLocalHeader, m.Name, "compression method %d there, %d in the directory", method, m.Method)
	}
	if (flags^m.Flags)&1 != 0 {
		z.defect(DefectLocalHeader, m.Name, "encrypted in one of the two")
	}
	// With bit 3 the values follow the content, and zero stands here.
	later := flags&8 != 0
	if crc != m.CRC && !(later && crc == 0) {
		z.defect(DefectLocalHeader, m.Name, "checksum %08x there, %08x in the directory", crc, m.CRC)
	}
	if compressed != m.Compressed && !(later && (compressed == 0 || compressed == 1<<32-1)) ||
		uncompressed != m.Uncompressed && !(later && (uncompressed == 0 || uncompressed == 1<<32-1)) {
		z.defect(DefectLocalHeader, m.Name, "%d bytes packed to %d there, %d to %d in the directory", uncompressed, compressed, m.Uncompressed, m.Compressed)
	}
}

// ranges looks for members that share bytes, as the densest zip bombs do, and
// for bytes between members, where some readers find members that others do not.
func (z *ZipDir) ranges(limit int64) {
	type span struct {
		start, end int64
		later      bool // a descriptor may follow
		name       string
	}
	var spans []span
	for i := range z.Members {
		if m := &z.Members[i]; m.data > 0 {
			spans = append(spans, span{m.header, m.end, m.Flags&8 != 0, m.Name})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	const maxDescriptor = 24 // signature, checksum and two sizes of eight bytes
	at, descriptor := z.prefix, int64(0)
	for _, s := range append(spans, span{start: limit, end: limit}) {
		switch {
		case s.start < at:
			z.defect(DefectSize, s.name, "its bytes are also those of another member")
		case s.start-at > descriptor:
			z.defect(DefectArchive, s.name, "%d bytes that belong to no member precede it", s.start-at)
		}
		if at = max(at, s.end); s.later {
			descriptor = maxDescriptor
		} else {
			descriptor = 0
		}
	}
}

// Read returns the content of a member, which must not be longer than limit
// bytes nor than the directory says.
func (z *ZipDir) Read(m *ZipMember, limit int64) ([]byte, error) {
	if m.Uncompressed > uint64(limit) {
		return nil, fmt.Errorf("read %q: %d bytes, want at most %d", cutName(m.Name), m.Uncompressed, limit)
	}
	r, err := z.Open(m)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(m.Uncompressed)+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", cutName(m.Name), err)
	}
	if uint64(len(data)) != m.Uncompressed {
		return nil, fmt.Errorf("read %q: it has not the %d bytes that the directory says", cutName(m.Name), m.Uncompressed)
	}
	return data, nil
}

// Open returns a reader of the content of a member; it may yield more bytes
// than the directory says.
func (z *ZipDir) Open(m *ZipMember) (io.Reader, error) {
	packed := io.NewSectionReader(z.r, m.data, int64(m.Compressed))
	switch {
	case m.data == 0:
		return nil, fmt.Errorf("read %q: its local header is broken", cutName(m.Name))
	case m.Flags&1 != 0:
		return nil, fmt.Errorf("read %q: it is encrypted", cutName(m.Name))
	case m.Method == 0:
		return packed, nil
	case m.Method == 8:
		return flate.NewReader(packed), nil
	}
	return nil, fmt.Errorf("read %q: compression method %d", cutName(m.Name), m.Method)
}
