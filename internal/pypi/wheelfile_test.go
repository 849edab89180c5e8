package pypi

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rawMember is one member of an archive that a test writes; name and content of
// the directory and the local header are the same until a test patches them.
type rawMember struct {
	name, content string
	mode          fs.FileMode
	stored        bool
}

const testInfo = "demo-1.0.dist-info/"

// demoWheel are the members of an honest wheel with further ones.
func demoWheel(more ...rawMember) []rawMember {
	members := append([]rawMember{
		{name: "demo/__init__.py", content: "ANSWER = 42\n"},
		{name: testInfo + "METADATA", content: "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"},
		{name: testInfo + "WHEEL", content: "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}, more...)
	var record strings.Builder
	for _, m := range members {
		sum := sha256.Sum256([]byte(m.content))
		fmt.Fprintf(&record, "\"%s\",sha256=%s,%d\n", strings.ReplaceAll(m.name, `"`, `""`), base64.RawURLEncoding.EncodeToString(sum[:]), len(m.content))
	}
	record.WriteString(testInfo + "RECORD,,\n")
	return append(members, rawMember{name: testInfo + "RECORD", content: record.String()})
}

func pack(t testing.TB, members []rawMember) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.stored {
			h.Method = zip.Store
		}
		h.SetMode(m.mode | 0o644)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inspect returns the defects as "kind member: what".
func inspect(t testing.TB, filename string, data []byte) []string {
	t.Helper()
	w, err := InspectWheel(filename, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	var out []string
	for _, d := range w.Defects {
		out = append(out, fmt.Sprintf("%s %s: %s", d.Kind, d.Member, d.What))
	}
	return out
}

// swap replaces the member of that name in the list.
func swap(members []rawMember, name, content string) []rawMember {
	out := slices.Clone(members)
	for i := range out {
		if out[i].name == name {
			out[i].content = content
		}
	}
	return out
}

func TestInspectWheelMembers(t *testing.T) {
	const filename = "demo-1.0-py3-none-any.whl"
	for name, test := range map[string]struct {
		members []rawMember
		want    string // in one of the defects; empty for none at all
	}{
		"honest":            {demoWheel(rawMember{name: `demo/a,b "c".txt`, content: "x"}), ""},
		"directory":         {append(demoWheel(), rawMember{name: "demo/sub/"}), ""},
		"escapes":           {demoWheel(rawMember{name: "../../evil.py"}), "name ../../evil.py: its path leaves the root"},
		"absolute":          {demoWheel(rawMember{name: "/etc/cron.d/x"}), "name /etc/cron.d/x: its path is absolute"},
		"backslash":         {demoWheel(rawMember{name: `demo\..\..\x.py`}), "a backslash in its path"},
		"drive":             {demoWheel(rawMember{name: "c:x.py"}), "names a drive"},
		"control":           {demoWheel(rawMember{name: "demo/a\x00.py"}), "a control character"},
		"empty part":        {demoWheel(rawMember{name: "demo//a.py"}), "a part of its path is empty"},
		"duplicate":         {demoWheel(rawMember{name: "demo/__init__.py", content: "evil"}), "duplicate demo/__init__.py: it occurs more than once"},
		"case":              {demoWheel(rawMember{name: "Demo/__init__.py"}), "folded Demo/__init__.py: the same file as \"demo/__init__.py\""},
		"normalised":        {demoWheel(rawMember{name: "demo/\u00e9.py"}, rawMember{name: "demo/e\u0301.py"}), "where case or normalisation is not kept"},
		"file and dir":      {append(demoWheel(), rawMember{name: "demo/__init__.py/"}), "it is a file and a directory"},
		"file and implied":  {demoWheel(rawMember{name: "demo/__init__.py/x.py"}), "duplicate demo/__init__.py: it is a file and a directory"},
		"symlink":           {demoWheel(rawMember{name: "demo/link", content: "/etc/passwd", mode: fs.ModeSymlink}), "type demo/link: it is a symbolic link"},
		"bomb":              {demoWheel(rawMember{name: "demo/zeros", content: strings.Repeat("\x00", bombSize+1)}), "size demo/zeros: "},
		"not listed":        {append(demoWheel(), rawMember{name: "demo/extra.py"}), "unrecorded demo/extra.py: RECORD does not list it"},
		"listed, not there": {swap(demoWheel(), testInfo+"RECORD", "gone.py,,\n"), "it lists \"gone.py\", which is not in the archive"},
		"listed outside":    {swap(demoWheel(), testInfo+"RECORD", "../../x,,\n/etc/x,,\n"), "it lists \"/etc/x\": its path is absolute"},
		"size":              {swap(demoWheel(), testInfo+"RECORD", "demo/__init__.py,,1\n"), "record demo/__init__.py: 12 bytes, RECORD says 1"},
		"no digest":         {swap(demoWheel(), testInfo+"RECORD", "demo/__init__.py,,\n"), "RECORD gives no digest of it"},
		"broken record":     {swap(demoWheel(), testInfo+"RECORD", "a,b\n"), "2 fields, want 3"},
		"listed twice":      {swap(demoWheel(), testInfo+"RECORD", "demo/__init__.py,,\ndemo/./__init__.py,,\n"), "more than once"},
		"other name":        {swap(demoWheel(), testInfo+"METADATA", "Name: requests\nVersion: 1.0\n"), "the name is \"requests\", the file's \"demo\""},
		"other version":     {swap(demoWheel(), testInfo+"METADATA", "Name: demo\nVersion: 2.0\n"), "the version is \"2.0\", the file's \"1.0\""},
		"no metadata":       {swap(demoWheel(), testInfo+"METADATA", ""), "want both"},
		"broken UTF-8":      {swap(demoWheel(), testInfo+"METADATA", "Name: d\xff\nVersion: 1.0\n"), "the name is"},
		"tags":              {swap(demoWheel(), testInfo+"WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n"), "tags demo-1.0.dist-info/WHEEL: its tags"},
		"format":            {swap(demoWheel(), testInfo+"WHEEL", "Wheel-Version: 2.0\nTag: py3-none-any\n"), "format version \"2.0\""},
		"two infos":         {demoWheel(rawMember{name: "other-1.0.dist-info/METADATA"}), "2 .dist-info directories"},
		"scheme":            {demoWheel(rawMember{name: "demo-1.0.data/evil/x"}), "data demo-1.0.data/evil/x: \"evil\" is no scheme"},
		"other data":        {demoWheel(rawMember{name: "other-1.0.data/scripts/x"}), "the data directory is not that of demo 1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := inspect(t, filename, pack(t, test.members))
			if test.want == "" && len(got) > 0 {
				t.Errorf("defects %q, want none", got)
			}
			if test.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, test.want) }) {
				t.Errorf("defects %q, want one with %q", got, test.want)
			}
		})
	}
	if got := inspect(t, "other-1.0-py3-none-any.whl", pack(t, demoWheel())); len(got) != 2 {
		t.Errorf("under another file name: %q", got)
	}
	if got := inspect(t, "demo-1.0-cp311-cp311-linux_x86_64.whl", pack(t, demoWheel())); len(got) != 2 {
		t.Errorf("under another tag: %q", got)
	}
}

// TestInspectWheelBytes breaks an honest archive at the level of bytes.
func TestInspectWheelBytes(t *testing.T) {
	honest := pack(t, demoWheel(rawMember{name: "demo/data", content: "payload of a stored member", stored: true}))
	local := bytes.Index(honest, []byte("demo/__init__.py")) - 30
	central := bytes.Index(honest, []byte("PK\x01\x02"))
	end := bytes.LastIndex(honest, []byte("PK\x05\x06"))
	patch := func(at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], value); return b }
	}
	for name, test := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"honest":           {func(b []byte) []byte { return b }, ""},
		"local name":       {patch(local+30, []byte("demo/__evil__.py")...), "its local header names it \"demo/__evil__.py\""},
		"local method":     {patch(local+8, 0), "local-header demo/__init__.py: compression method 0 there, 8 in the directory"},
		"local checksum":   {patch(local+14, 1, 2, 3, 4), "checksum 04030201 there"},
		"local size":       {patch(local+22, 99), "99 bytes packed to 0 there"},
		"local encrypted":  {patch(local+6, 9), "encrypted in one of the two"},
		"no local header":  {patch(local, 'X'), "there is no local header"},
		"offset outside":   {patch(central+42, 0xff, 0xff, 0xff, 0x7f), "outside the archive"},
		"content outside":  {patch(central+20, 0xff, 0xff, 0xff, 0x7f), "reach beyond the members"},
		"encrypted":        {patch(central+8, 9), "it is encrypted"},
		"method":           {patch(central+10, 14), "compression method 14"},
		"directory entry":  {patch(central, 'X'), "error: read zip archive: member 0"},
		"count":            {patch(end+10, 99), "counts 99 members"},
		"directory size":   {patch(end+12, 0xff, 0xff, 0xff), "error: read zip archive: a directory of"},
		"directory offset": {patch(end+16, 0xff, 0xff, 0xff), "error: read zip archive: the directory is said to start"},
		"disks":            {patch(end+4, 1), "several disks"},
		"cut":              {func(b []byte) []byte { return b[:len(b)-5] }, "error: read zip archive: no end"},
		"empty":            {func([]byte) []byte { return nil }, "error: read zip archive: no end"},
		"prefix":           {func(b []byte) []byte { return append([]byte("#!/bin/sh\n"), b...) }, "10 bytes that belong to no member precede the archive"},
		"comment": {func(b []byte) []byte {
			binary.LittleEndian.PutUint16(b[end+20:], 3)
			return append(b, "abc"...)
		}, "a comment of 3 bytes"},
		"trailing": {func(b []byte) []byte { return append(b, "trailing"...) }, "8 bytes follow the end record, which tells of a comment of 0"},
		"long comment": {func(b []byte) []byte {
			binary.LittleEndian.PutUint16(b[end+20:], 30)
			return append(b, "abc"...)
		}, "3 bytes follow the end record, which tells of a comment of 30"},
		"second end": {func(b []byte) []byte {
			binary.LittleEndian.PutUint16(b[end+20:], 10)
			return append(b, "PK\x05\x06abcdef"...)
		}, "another end record"},
		"overlap": {func(b []byte) []byte {
			second := central + bytes.Index(b[central+4:], []byte("PK\x01\x02")) + 4
			copy(b[second+42:], b[central+42:central+46])
			return b
		}, "its bytes are also those of another member"},
		"gap": {func(b []byte) []byte {
			out := slices.Concat(b[:central], make([]byte, 100), b[central:])
			binary.LittleEndian.PutUint32(out[end+100+16:], uint32(central+100))
			return out
		}, "bytes that belong to no member precede it"},
	} {
		t.Run(name, func(t *testing.T) {
			got := inspect(t, "demo-1.0-py3-none-any.whl", test.change(slices.Clone(honest)))
			if test.want == "" && len(got) > 0 {
				t.Errorf("defects %q, want none", got)
			}
			if test.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, test.want) }) {
				t.Errorf("defects %q, want one with %q", got, test.want)
			}
		})
	}
}

// TestInspectWheelHuge reads wheels whose METADATA is of a gigabyte: packed, so
// that the file is small, and announced only.
func TestInspectWheelHuge(t *testing.T) {
	data := pack(t, swap(demoWheel(), testInfo+"METADATA", "Name: demo\nVersion: 1.0\n\n"+strings.Repeat(" ", maxMetadataSize)))
	want := fmt.Sprintf("want at most %d", maxMetadataSize)
	if got := inspect(t, "demo-1.0-py3-none-any.whl", data); !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
		t.Errorf("defects %q, want one with %q", got, want)
	}
	members := make([]rawMember, 70_000) // needs the ZIP64 end record
	for i := range members {
		members[i] = rawMember{name: fmt.Sprintf("demo/%d", i)}
	}
	w, err := InspectWheel("demo-1.0-py3-none-any.whl", bytes.NewReader(pack(t, members)), int64(len(pack(t, members))))
	if err != nil || w.Members != len(members) {
		t.Errorf("%d members, %v, want %d", w.Members, err, len(members))
	}
}

// TestReadZipAgainstPython compares members with what Python's zipfile lists, of
// a wheel that the installer itself carries.
func TestReadZipAgainstPython(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "python3", "-c", "import ensurepip; print(ensurepip.__path__[0])").Output()
	if err != nil {
		t.Skipf("needs python3 with ensurepip: %v", err)
	}
	wheels, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "_bundled", "*.whl"))
	if err != nil || len(wheels) == 0 {
		t.Skip("needs the wheels of ensurepip, which this Python does not carry")
	}
	for _, name := range wheels {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		z, err := ReadZip(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for i, m := range z.Members {
			data, err := z.Read(&z.Members[i], 64<<20)
			if err != nil && !m.Dir() {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%s %x\n", m.Name, sha256.Sum256(data))
		}
		want, err := exec.CommandContext(t.Context(), "python3", "-c", `
import zipfile, hashlib, sys
z = zipfile.ZipFile(sys.argv[1])
for i in z.infolist(): print(i.filename, hashlib.sha256(z.read(i)).hexdigest())`, name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-zipfile +ours):\n%s", name, diff)
		}
		if got := inspectFile(t, filepath.Base(name), f, info.Size()); len(got) > 0 {
			t.Errorf("defects of an honest wheel: %q", got)
		}
	}
}

func inspectFile(t *testing.T, name string, r io.ReaderAt, size int64) []Defect {
	t.Helper()
	w, err := InspectWheel(name, r, size)
	if err != nil {
		t.Fatal(err)
	}
	return w.Defects
}

func TestFoldedMetadata(t *testing.T) {
	// Two million continuation lines: joined one at a time this would take hours.
	data := []byte("Name: demo\nVersion: 1\nSummary: a\n" + strings.Repeat(" \n", maxMetadataSize/2-40))
	m, err := ParseMetadata(data)
	if err != nil || m.Summary != "a" {
		t.Errorf("%q, %v", m.Summary, err)
	}
}

func FuzzInspectWheel(f *testing.F) {
	f.Add(pack(f, demoWheel()))
	f.Add(pack(f, demoWheel(rawMember{name: "demo-1.0.data/scripts/x", stored: true}, rawMember{name: "../x"})))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := InspectWheel("demo-1.0-py3-none-any.whl", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if w != nil || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v, %v", w, err)
			}
			return
		}
		if len(w.Defects) > maxZipDefects || w.Members > len(data)/46 {
			t.Errorf("%d defects, %d members of %d bytes", len(w.Defects), w.Members, len(data))
		}
	})
}
