// Package elffile reads ELF files that nobody vouches for. debug/elf makes no
// promise about these: it unpacks the names of the sections when they are marked
// as packed, however much that gives, reads as much as a header claims, and may
// panic where tables contradict each other.
package elffile

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxNames bounds the names of the sections, in bytes: a file has some tens of
// sections.
const maxNames = 16 << 20 // 16 MiB

// Read opens an ELF file and gives it to the function, which returns before the
// file is of no use any more. Its error is that of the file or of the function; a
// panic in debug/elf is one too.
func Read(r io.ReaderAt, use func(*elf.File) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its tables contradict each other: %v", p)
		}
	}()
	if err := checkNames(r); err != nil {
		return err
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return err
	}
	return use(f)
}

// checkNames refuses a table of section names that debug/elf would read without
// bound when it opens the file. What else is wrong is left for it to say.
func checkNames(r io.ReaderAt) error {
	var header [64]byte
	n, err := r.ReadAt(header[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(header[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var table, entry, count, names uint64
	var section [64]byte
	wide := elf.Class(header[elf.EI_CLASS]) == elf.ELFCLASS64
	switch {
	case wide && n == 64:
		table, entry = order.Uint64(header[0x28:]), uint64(order.Uint16(header[0x3a:]))
		count, names = uint64(order.Uint16(header[0x3c:])), uint64(order.Uint16(header[0x3e:]))
	case !wide && n >= 52:
		table, entry = uint64(order.Uint32(header[0x20:])), uint64(order.Uint16(header[0x2e:]))
		count, names = uint64(order.Uint16(header[0x30:])), uint64(order.Uint16(header[0x32:]))
	default:
		return nil // too short for a header
	}
	if table == 0 {
		return nil
	}
	if count == 0 {
		return errors.New("the number of sections is not in the header, as if there were more than 65,279")
	}
	if names == 0 || names >= count || table > 1<<62 {
		return nil // no names, or refused
	}
	if n, err = r.ReadAt(section[:], int64(table+names*entry)); n < 40 { // that of a 32-bit file
		return fmt.Errorf("read the section of names: %w", err)
	}
	flags, size := uint64(order.Uint32(section[8:])), uint64(order.Uint32(section[20:]))
	if wide {
		flags, size = order.Uint64(section[8:]), order.Uint64(section[32:])
	}
	if flags&uint64(elf.SHF_COMPRESSED) != 0 || size > maxNames {
		return tooMuch("names of sections", size, maxNames)
	}
	return nil
}

// Whole makes sure that the sections of one type, and those that they name as their
// strings, can be read whole: none is packed, and none has more than limit bytes.
func Whole(f *elf.File, t elf.SectionType, limit uint64) error {
	for _, s := range f.Sections {
		if s.Type != t {
			continue
		}
		sections := []*elf.Section{s}
		if int(s.Link) < len(f.Sections) {
			sections = append(sections, f.Sections[s.Link])
		}
		for _, s := range sections {
			if s.Size > limit || s.FileSize > limit || s.Flags&elf.SHF_COMPRESSED != 0 {
				return tooMuch(fmt.Sprintf("section %q", s.Name), s.Size, limit)
			}
		}
	}
	return nil
}

func tooMuch(what string, size, limit uint64) error {
	return fmt.Errorf("%s of %d bytes, want at most %d and not compressed", what, size, limit)
}
