package pypi

import (
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Limits on what an honest wheel holds. Deflate packs at most 1032 to 1, so a
// ratio alone says little about a small file of zeros.
const (
	maxWheelMembers = 100_000
	maxWheelBytes   = 32 << 30  // 32 GiB unpacked
	bombSize        = 128 << 20 // 128 MiB: below it a ratio is nobody's problem
	bombRatio       = 200       // unpacked to packed
)

// Further kinds of defects, of wheels.
const (
	// DefectMetadata is a wheel whose file name, dist-info directory, METADATA and
	// WHEEL do not agree, or that lacks one of them.
	DefectMetadata = "metadata"
	// DefectInfo is a wheel that has not exactly one dist-info directory.
	DefectInfo = "info"
	// DefectRecord is a RECORD that cannot be read, lists what is not there, twice, or
	// with another size.
	DefectRecord = "record"
	// DefectUnrecorded is a member that RECORD does not list, or without a digest.
	DefectUnrecorded = "unrecorded"
	// DefectTags is a WHEEL file that tells of another compatibility than the name.
	DefectTags = "tags"
	// DefectData is a member of the data directory that no scheme installs.
	DefectData = "data"
)

// WheelFile is what a wheel is made of (binary distribution format), read from
// the file itself.
type WheelFile struct {
	// Name and Version are those of the file name; Metadata of the METADATA in it,
	// zero when that cannot be read.
	Name     string
	Version  string
	Metadata Metadata
	// Info is the name of the .dist-info directory, empty when there is not one.
	Info string
	// Wheel is nil when WHEEL cannot be read.
	Wheel *WheelInfo
	// Record is the RECORD in it; EntryPoints those of entry_points.txt.
	Record      []RecordEntry
	EntryPoints []EntryPoint
	// Members is their number, Unpacked their size in bytes as the directory says.
	Members  int
	Unpacked uint64
	// Data are the members of the data directory as "scheme/path", in order.
	Data []string
	// Defects are what is wrong, in the order found; DefectsCut is true when there
	// were more of them than are listed.
	Defects    []Defect
	DefectsCut bool
}

// InspectWheel reads the structure and the metadata of the wheel in the size
// bytes of r. An error means that it is no wheel file name or no archive.
func InspectWheel(filename string, r io.ReaderAt, size int64) (*WheelFile, error) {
	name, err := ParseWheelName(filename)
	if err != nil {
		return nil, err
	}
	z, err := ReadZip(r, size)
	if err != nil {
		return nil, err
	}
	w := &wheelReader{zip: z, name: name, members: map[string]*ZipMember{}}
	w.out.Name, w.out.Version, w.out.Members = name.Name, name.Version.String(), len(z.Members)
	w.sizes(size)
	w.duplicates()
	w.info()
	if w.out.Info != "" {
		w.metadata()
		w.wheel()
		w.record()
		w.entryPoints()
	}
	w.data()
	w.out.Defects, w.out.DefectsCut = z.Defects, z.DefectsCut
	return &w.out, nil
}

// wheelReader fills one WheelFile.
type wheelReader struct {
	zip     *ZipDir
	name    WheelName
	members map[string]*ZipMember // files by path
	out     WheelFile
}

// sizes looks for what unpacks to more than a machine has.
func (w *wheelReader) sizes(size int64) {
	z := w.zip
	for i := range z.Members {
		m := &z.Members[i]
		w.out.Unpacked += min(m.Uncompressed, 1<<62-w.out.Unpacked)
		if m.Uncompressed > bombSize && m.Uncompressed/bombRatio > m.Compressed {
			z.defect(DefectSize, m.Name, "%d bytes unpack to %d", m.Compressed, m.Uncompressed)
		}
	}
	if len(z.Members) > maxWheelMembers {
		z.defect(DefectSize, "", "%d members", len(z.Members))
	}
	if w.out.Unpacked > maxWheelBytes || w.out.Unpacked > bombSize && w.out.Unpacked/bombRatio > uint64(size) {
		z.defect(DefectSize, "", "%d bytes unpack to %d", size, w.out.Unpacked)
	}
}

// duplicates looks for members that end in one file.
func (w *wheelReader) duplicates() {
	folded := map[string]string{}
	directories := map[string]bool{}
	for i := range w.zip.Members {
		m := &w.zip.Members[i]
		if m.Dir() {
			directories[path.Clean(m.Name)] = true
			continue
		}
		clean := path.Clean(m.Name)
		if w.members[clean] != nil {
			w.zip.defect(DefectDuplicate, m.Name, "it occurs more than once")
			continue
		}
		w.members[clean] = m
		key := strings.ToLower(norm.NFC.String(clean))
		if other, ok := folded[key]; ok {
			w.zip.defect(DefectFolded, m.Name, "the same file as %q where case or normalisation is not kept", cutName(other))
		}
		folded[key] = m.Name
	}
	for name := range w.members {
		for dir := path.Dir(name); dir != "." && dir != "/" && !directories[dir]; dir = path.Dir(dir) {
			directories[dir] = true // a directory that no member names
		}
	}
	for _, m := range w.zip.Members {
		if clean := path.Clean(m.Name); !m.Dir() && directories[clean] {
			w.zip.defect(DefectDuplicate, m.Name, "it is a file and a directory")
		}
	}
}

// info finds the one dist-info directory and compares its name.
func (w *wheelReader) info() {
	var found []string
	for name := range w.members {
		top, _, below := strings.Cut(name, "/")
		if below && strings.HasSuffix(top, ".dist-info") && !slices.Contains(found, top) {
			if found = append(found, top); len(found) > 10 {
				break
			}
		}
	}
	slices.Sort(found)
	own := func(info string) bool {
		name, version, _ := strings.Cut(strings.TrimSuffix(info, ".dist-info"), "-")
		return Normalize(name) == w.name.Name && sameVersion(version, w.name.Version.String())
	}
	if len(found) != 1 {
		w.zip.defect(DefectInfo, "", "%d .dist-info directories, want 1", len(found))
		if at := slices.IndexFunc(found, own); at >= 0 {
			w.out.Info = found[at]
		}
		return
	}
	w.out.Info = found[0]
	if !own(found[0]) {
		w.zip.defect(DefectMetadata, found[0], "the directory is not that of %s %s", w.name.Name, w.name.Version)
	}
}

// file reads a file of the dist-info directory; a missing one is ok when need is false.
func (w *wheelReader) file(base string, limit int64, need bool) ([]byte, bool) {
	name := w.out.Info + "/" + base
	m := w.members[name]
	if m == nil {
		if need {
			w.zip.defect(DefectMetadata, name, "there is none")
		}
		return nil, false
	}
	data, err := w.zip.Read(m, limit)
	if err != nil {
		w.zip.defect(DefectMetadata, name, "%v", err)
		return nil, false
	}
	return data, true
}

func (w *wheelReader) metadata() {
	data, ok := w.file("METADATA", maxMetadataSize, true)
	if !ok {
		return
	}
	m, err := ParseMetadata(data)
	if err != nil {
		w.zip.defect(DefectMetadata, w.out.Info+"/METADATA", "%v", err)
		return
	}
	w.out.Metadata = m
	if Normalize(m.Name) != w.name.Name {
		w.zip.defect(DefectMetadata, w.out.Info+"/METADATA", "the name is %q, the file's %q", cutName(m.Name), w.name.Name)
	}
	if !sameVersion(m.Version, w.name.Version.String()) {
		w.zip.defect(DefectMetadata, w.out.Info+"/METADATA", "the version is %q, the file's %q", cutName(m.Version), w.name.Version)
	}
}

func (w *wheelReader) wheel() {
	data, ok := w.file("WHEEL", maxMetadataSize, true)
	if !ok {
		return
	}
	info, err := ParseWheel(data)
	if err != nil {
		w.zip.defect(DefectMetadata, w.out.Info+"/WHEEL", "%v", err)
		return
	}
	w.out.Wheel = &info
	if major, _, _ := strings.Cut(info.WheelVersion, "."); major != "1" {
		w.zip.defect(DefectTags, w.out.Info+"/WHEEL", "format version %q, want 1", cutName(info.WheelVersion))
	}
	if info.RootIsPurelib && !slices.Contains(w.name.Platforms, "any") {
		w.zip.defect(DefectTags, w.out.Info+"/WHEEL", "Root-Is-Purelib, and the file's platform is %q", strings.Join(w.name.Platforms, "."))
	}
	var tags []string
	for _, p := range w.name.Pythons {
		for _, a := range w.name.ABIs {
			for _, f := range w.name.Platforms {
				tags = append(tags, p+"-"+a+"-"+f)
			}
		}
	}
	have := slices.Clone(info.Tags)
	slices.Sort(tags)
	slices.Sort(have)
	if !slices.Equal(slices.Compact(tags), slices.Compact(have)) {
		w.zip.defect(DefectTags, w.out.Info+"/WHEEL", "its tags %q are not those of the file name", cutName(strings.Join(have, " ")))
	}
}

// record compares RECORD and members, by name and size; what their digests
// should be is compared with the files that were installed.
func (w *wheelReader) record() {
	name := w.out.Info + "/RECORD"
	data, ok := w.file("RECORD", maxRecordSize, true)
	if !ok {
		return
	}
	entries, err := ParseRecord(data)
	if err != nil {
		w.zip.defect(DefectRecord, name, "%v", err)
	}
	w.out.Record = entries
	listed := map[string]bool{}
	for _, e := range entries {
		clean := path.Clean(e.Path)
		if bad := EscapesRoot(e.Path); bad != "" {
			w.zip.defect(DefectRecord, name, "it lists %q: %s", cutName(e.Path), bad)
		}
		if listed[clean] {
			w.zip.defect(DefectRecord, name, "it lists %q more than once", cutName(e.Path))
		}
		listed[clean] = true
		m := w.members[clean]
		switch {
		case m == nil:
			w.zip.defect(DefectRecord, name, "it lists %q, which is not in the archive", cutName(e.Path))
		case e.Size >= 0 && uint64(e.Size) != m.Uncompressed:
			w.zip.defect(DefectRecord, m.Name, "%d bytes, RECORD says %d", m.Uncompressed, e.Size)
		case e.Digest == "" && !unhashedMember(clean, w.out.Info):
			w.zip.defect(DefectUnrecorded, m.Name, "RECORD gives no digest of it")
		}
	}
	for i := range w.zip.Members {
		m := &w.zip.Members[i]
		if clean := path.Clean(m.Name); !m.Dir() && !listed[clean] && !unhashedMember(clean, w.out.Info) {
			w.zip.defect(DefectUnrecorded, m.Name, "RECORD does not list it")
		}
	}
}

// unhashedMember reports whether RECORD need not list a file or give its digest:
// itself and its signatures.
func unhashedMember(name, info string) bool {
	return name == info+"/RECORD" || name == info+"/RECORD.jws" || name == info+"/RECORD.p7s"
}

func (w *wheelReader) entryPoints() {
	data, ok := w.file("entry_points.txt", maxMetadataSize, false)
	if !ok {
		return
	}
	var err error
	if w.out.EntryPoints, err = ParseEntryPoints(data); err != nil {
		w.zip.defect(DefectMetadata, w.out.Info+"/entry_points.txt", "%v", err)
	}
}

// data lists what the data directory installs, and where it cannot.
func (w *wheelReader) data() {
	for i := range w.zip.Members {
		m := &w.zip.Members[i]
		top, rest, _ := strings.Cut(m.Name, "/")
		if m.Dir() || !strings.HasSuffix(top, ".data") {
			continue
		}
		name, version, versioned := strings.Cut(strings.TrimSuffix(top, ".data"), "-")
		if !versioned {
			continue // a directory of the package's own
		}
		scheme, _, _ := strings.Cut(rest, "/")
		switch {
		case Normalize(name) != w.name.Name || !sameVersion(version, w.name.Version.String()):
			w.zip.defect(DefectData, m.Name, "the data directory is not that of %s %s", w.name.Name, w.name.Version)
		case !slices.Contains([]string{"purelib", "platlib", "headers", "scripts", "data"}, scheme):
			w.zip.defect(DefectData, m.Name, "%q is no scheme", cutName(scheme))
		default:
			w.out.Data = append(w.out.Data, rest)
		}
	}
}
