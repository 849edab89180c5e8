package elffile_test

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"pip-witness/internal/elffile"
)

// write makes a 64-bit file of a header, an empty section, the sections given and
// the content, which begins where the table ends.
func write(t testing.TB, names uint16, content []byte, sections ...elf.Section64) []byte {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64,
		Shoff: 64, Shnum: uint16(len(sections) + 1), Shstrndx: names,
	}
	for _, v := range []any{h, elf.Section64{}, sections, content} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

const tableEnd = 64 + 2*64 // of a file with one section

// bomb is a packed section of the given unpacked size, of zeros.
func bomb(t testing.TB, size uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: size, Addralign: 1}); err != nil {
		t.Fatal(err)
	}
	z := zlib.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, int64(size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestNames opens files whose names of sections are more than they seem. That
// debug/elf unpacks them by itself is what this package is for.
func TestNames(t *testing.T) {
	packed := bomb(t, 64<<20)
	table := elf.Section64{Type: uint32(elf.SHT_STRTAB), Flags: uint64(elf.SHF_COMPRESSED), Off: tableEnd, Size: uint64(len(packed))}
	file := write(t, 1, packed, table)
	if _, err := elf.NewFile(bytes.NewReader(file)); err != nil {
		t.Fatalf("debug/elf refuses packed names by itself now: %v", err)
	}
	extended := bytes.Clone(file)
	clear(extended[0x3c:0x3e]) // e_shnum
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"packed":    {file, "and not compressed"},
		"huge":      {write(t, 1, nil, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: tableEnd, Size: 1 << 40}), "want at most 16777216"},
		"uncounted": {extended, "number of sections is not in the header"},
		"cut off":   {file[:100], "EOF"},
		"no ELF":    {[]byte("PK\x03\x04"), "EOF"},
	} {
		err := elffile.Read(bytes.NewReader(test.data), func(*elf.File) error { return nil })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestWhole(t *testing.T) {
	for name, section := range map[string]elf.Section64{
		"large":  {Type: uint32(elf.SHT_DYNSYM), Off: tableEnd, Size: 65},
		"packed": {Type: uint32(elf.SHT_DYNSYM), Flags: uint64(elf.SHF_COMPRESSED), Off: 0, Size: 64},
	} {
		err := elffile.Read(bytes.NewReader(write(t, 0, make([]byte, 100), section)), func(f *elf.File) error { return elffile.Whole(f, elf.SHT_DYNSYM, 64) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	err := elffile.Read(bytes.NewReader(write(t, 0, nil, elf.Section64{})), func(f *elf.File) error {
		_ = f.Sections[len(f.Sections)] // beyond the end
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "contradict") {
		t.Errorf("%v", err)
	}
}

// TestRealFile reads what a compiler made.
func TestRealFile(t *testing.T) {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Skipf("needs a program to read: %v", err)
	}
	defer exe.Close()
	sections := 0
	if err := elffile.Read(exe, func(f *elf.File) error { sections = len(f.Sections); return nil }); err != nil || sections == 0 {
		t.Errorf("%d sections, %v", sections, err)
	}
}

// FuzzRead holds that what debug/elf opens by itself, with bounded names, is opened.
func FuzzRead(f *testing.F) {
	f.Add(write(f, 1, []byte("\x00.text\x00"), elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: tableEnd, Size: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		called := false
		err := elffile.Read(bytes.NewReader(data), func(*elf.File) error { called = true; return nil })
		if called != (err == nil) {
			t.Errorf("called %t, %v", called, err)
		}
	})
}
