package pipinstall

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"pip-witness/internal/elffile"
)

// Limits on one ELF file.
const (
	maxELFSections = 4_096
	maxELFTable    = 64 << 20  // 64 MiB: symbols, their names, the dynamic section
	maxELFSymbols  = 1_000_000 // dynamic symbols
	maxELFList     = 1_000     // entries of each list
	maxELFPadding  = 4 << 10   // 4 KiB: bytes that nothing names, at the end
	maxELFSample   = 1 << 20   // 1 MiB: of a section, for its entropy
)

// NativeLibrary is what the headers and tables of one ELF file show; nothing of
// it is loaded. Lists are sorted.
type NativeLibrary struct {
	// Path is absolute; Package the normalised name of the distribution whose
	// RECORD lists it, empty for none.
	Path    string `json:"path"`
	Package string `json:"package,omitempty"`
	Size    int64  `json:"size"`              // bytes
	Kind    string `json:"kind,omitempty"`    // shared, executable, relocatable, core
	Machine string `json:"machine,omitempty"` // x86_64, aarch64, …
	// Program is true for what can be started: an executable, also one that is linked
	// as a shared object. It is false for a library that can be started as well.
	Program bool `json:"program,omitempty"`
	// SOName, Needed and RunPath are from the dynamic section; RunPath holds
	// DT_RPATH too.
	SOName  string   `json:"soname,omitempty"`
	Needed  []string `json:"needed,omitempty"`
	RunPath []string `json:"runPath,omitempty"`
	// Imports are the imported functions that start processes, use the network,
	// load code, or look into other processes.
	Imports []string `json:"imports,omitempty"`
	// Init is the number of functions that run when it is loaded; -1 when that
	// cannot be told.
	Init int `json:"init"`
	// Findings are what honest libraries rarely have: see the kinds.
	Findings []NativeFinding `json:"findings,omitempty"`
	// Error is why it could not be read, or not to its end.
	Error string `json:"error,omitempty"`
}

// NativeFinding is an oddity of an ELF file; kinds: writable-code (a segment that
// is written and executed), executable-stack, no-sections, packed,
// dense-section (looks compressed or encrypted), odd-section (code or data that
// is loaded, under a name that no linker gives), overlay (bytes behind all that
// the headers name), run-path (libraries are looked for in a place that is not the
// library's own), entry-outside (execution starts in no segment of code).
type NativeFinding struct {
	Kind string `json:"kind"`
	What string `json:"what"`
}

// readELF describes an ELF file. Whatever its tables say, it reads no more than
// the limits.
func readELF(r io.ReaderAt, size int64) NativeLibrary {
	out := NativeLibrary{Size: size, Init: -1}
	err := elffile.Read(r, func(f *elf.File) error {
		e := &elfReader{f: f, size: size, out: &out}
		out.Machine = strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_"))
		out.Kind = elfKind(f.Type)
		if len(f.Sections) > maxELFSections {
			return fmt.Errorf("%d sections, want at most %d", len(f.Sections), maxELFSections)
		}
		e.segments(r)
		e.sections(r)
		err := e.dynamic()
		out.Program = err == nil && startable(f, out.SOName)
		err = errors.Join(err, e.symbols())
		e.packed(r)
		return err
	})
	if err != nil {
		out.Error = clip(err.Error())
	}
	slices.SortFunc(out.Findings, func(a, b NativeFinding) int { return strings.Compare(a.Kind+a.What, b.Kind+b.What) })
	out.Findings = slices.Compact(out.Findings)
	if len(out.Findings) > maxELFList {
		out.Error, out.Findings = fmt.Sprintf("%d findings: %d are listed", len(out.Findings), maxELFList), out.Findings[:maxELFList]
	}
	return out
}

type elfReader struct {
	f    *elf.File
	size int64
	out  *NativeLibrary
}

func (e *elfReader) find(kind, format string, args ...any) {
	if len(e.out.Findings) <= 4*maxELFList { // cut, with a word, at the end
		e.out.Findings = append(e.out.Findings, NativeFinding{kind, clip(fmt.Sprintf(format, args...))})
	}
}

// startable tells programs from libraries: position-independent ones are both of the
// same type, and differ by an interpreter or by the flag that linkers give them.
func startable(f *elf.File, soname string) bool {
	if f.Type == elf.ET_EXEC {
		return true
	}
	if f.Type != elf.ET_DYN || soname != "" {
		return false
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return true
	}
	flags, err := f.DynValue(elf.DT_FLAGS_1)
	return err == nil && slices.ContainsFunc(flags, func(v uint64) bool { return v&uint64(elf.DF_1_PIE) != 0 })
}

func elfKind(t elf.Type) string {
	switch t {
	case elf.ET_DYN:
		return "shared"
	case elf.ET_EXEC:
		return "executable"
	case elf.ET_REL:
		return "relocatable"
	case elf.ET_CORE:
		return "core"
	}
	return ""
}

// segments looks at what is mapped, and at what lies behind all of it.
func (e *elfReader) segments(r io.ReaderAt) {
	var end uint64
	entry := e.f.Entry == 0
	for _, p := range e.f.Progs {
		if p.Off < uint64(e.size) && p.Filesz <= uint64(e.size)-p.Off {
			end = max(end, p.Off+p.Filesz)
		}
		switch p.Type {
		case elf.PT_LOAD:
			if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
				e.find("writable-code", "a segment of %d bytes at %#x", p.Memsz, p.Vaddr)
			}
			if p.Flags&elf.PF_X != 0 && e.f.Entry >= p.Vaddr && e.f.Entry-p.Vaddr < p.Memsz {
				entry = true
			}
		case elf.PT_GNU_STACK:
			if p.Flags&elf.PF_X != 0 {
				e.find("executable-stack", "PT_GNU_STACK is executable")
			}
		}
	}
	if !entry && len(e.f.Progs) > 0 && e.f.Type == elf.ET_EXEC {
		e.find("entry-outside", "execution starts at %#x", e.f.Entry)
	}
	for _, s := range e.f.Sections {
		if s.Type != elf.SHT_NOBITS && s.Offset < uint64(e.size) && s.FileSize <= uint64(e.size)-s.Offset {
			end = max(end, s.Offset+s.FileSize)
		}
	}
	end = max(end, e.sectionTable(r))
	if rest := uint64(e.size) - min(end, uint64(e.size)); rest > maxELFPadding {
		e.find("overlay", "%d bytes behind all that the headers name", rest)
	}
}

// sectionTable returns where the table of sections ends, which debug/elf does not
// tell.
func (e *elfReader) sectionTable(r io.ReaderAt) uint64 {
	header := make([]byte, 64)
	if n, _ := r.ReadAt(header, 0); n < 52 {
		return 0
	}
	if e.f.Class == elf.ELFCLASS32 {
		return uint64(e.f.ByteOrder.Uint32(header[0x20:])) + uint64(e.f.ByteOrder.Uint16(header[0x2e:]))*uint64(len(e.f.Sections))
	}
	start := e.f.ByteOrder.Uint64(header[0x28:])
	return min(start, 1<<62) + uint64(e.f.ByteOrder.Uint16(header[0x3a:]))*uint64(len(e.f.Sections))
}

// sections looks at names, content and the initialisers.
func (e *elfReader) sections(r io.ReaderAt) {
	if len(e.f.Sections) == 0 {
		if e.f.Type != elf.ET_CORE {
			e.find("no-sections", "there is no table of sections")
		}
		return
	}
	e.out.Init = 0
	word := uint64(8)
	if e.f.Class == elf.ELFCLASS32 {
		word = 4
	}
	sample := make([]byte, 0, maxELFSample)
	for _, s := range e.f.Sections {
		if s.Type == elf.SHT_INIT_ARRAY || s.Type == elf.SHT_PREINIT_ARRAY {
			e.out.Init += int(min(s.FileSize/word, 1<<30))
		}
		if s.Flags&elf.SHF_ALLOC == 0 || s.Type != elf.SHT_PROGBITS || s.FileSize == 0 {
			continue
		}
		if s.Flags&elf.SHF_WRITE != 0 && s.Flags&elf.SHF_EXECINSTR != 0 {
			e.find("writable-code", "section %q", clip(s.Name))
		}
		if !knownSection(s.Name) {
			e.find("odd-section", "section %q of %d bytes is loaded", clip(s.Name), s.FileSize)
		}
		if s.Offset >= uint64(e.size) {
			continue
		}
		n := int(min(s.FileSize, maxELFSample, uint64(e.size)-s.Offset))
		read, _ := r.ReadAt(sample[:n], int64(s.Offset))
		if bits := bytesEntropy(sample[:read]); read >= 4096 && bits > denseBits(s) {
			e.find("dense-section", "section %q has %.2f bits a byte", clip(s.Name), bits)
		}
	}
}

// denseBits is the entropy from which a section looks compressed: code stays
// below 7, tables of constants (in cryptographic and numerical libraries) reach
// further.
func denseBits(s *elf.Section) float64 {
	if s.Flags&elf.SHF_EXECINSTR != 0 {
		return 7.3
	}
	return 7.95
}

func bytesEntropy(b []byte) float64 {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	return entropy(&count, len(b))
}

// knownSection reports whether compilers and linkers give a loaded section of
// program data this name.
func knownSection(name string) bool {
	for _, known := range []string{
		".text", ".rodata", ".data", ".tdata", ".init", ".fini", ".plt", ".got", ".eh_frame", ".gcc_except_table", ".interp", ".ctors", ".dtors",
		".jcr", ".tm_clone_table", ".lrodata", ".ldata", ".ltext", ".comment", ".note", ".iplt", ".sdata", ".bss", ".gnu", ".nv", ".lbss",
		".go", ".gopclntab", ".gosymtab", ".itablink", ".typelink", ".noptrdata", ".debug", ".stapsdt", ".hip", "__libc", "__patchable_function_entries",
		".opd", ".toc", ".relro_padding", ".lita", ".dynamic", "linkme", ".fatbin", ".mmap", ".xdata", ".pdata", ".ARM", "protodesc_cold",
		"google_malloc", "malloc_hook", "pb_defaults", "__lcxx_override", ".init_array", ".fini_array", ".preinit_array", ".unwind", ".rustc", "set_", "upb_", "linkarr_", "flags_help_cold",
	} {
		if rest, ok := strings.CutPrefix(name, known); ok && (rest == "" || rest[0] == '.' || rest[0] == '_' || strings.HasSuffix(known, "_") || strings.HasPrefix(known, ".nv") || known == ".gcc_except_table" || known == ".rodata") {
			return true
		}
	}
	return false
}

func (e *elfReader) dynamic() error {
	if err := elffile.Whole(e.f, elf.SHT_DYNAMIC, maxELFTable); err != nil {
		return err
	}
	var problem error
	get := func(tag elf.DynTag) []string {
		list, err := e.f.DynString(tag)
		problem = errors.Join(problem, err)
		for i := range list {
			list[i] = clip(list[i])
		}
		slices.Sort(list)
		if list = slices.Compact(list); len(list) > maxELFList {
			problem = errors.Join(problem, fmt.Errorf("%d entries of %v: %d are listed", len(list), tag, maxELFList))
			list = list[:maxELFList]
		}
		return list
	}
	e.out.Needed = get(elf.DT_NEEDED)
	if name := get(elf.DT_SONAME); len(name) > 0 {
		e.out.SOName = name[0]
	}
	for _, paths := range slices.Concat(get(elf.DT_RUNPATH), get(elf.DT_RPATH)) {
		for p := range strings.SplitSeq(paths, ":") {
			if len(e.out.RunPath) >= maxELFList {
				return fmt.Errorf("more than %d run paths", maxELFList)
			}
			e.out.RunPath = append(e.out.RunPath, p)
			if !strings.HasPrefix(p, "$ORIGIN") && !strings.HasPrefix(p, "${ORIGIN}") {
				e.find("run-path", "libraries are looked for in %q", p)
			}
		}
	}
	slices.Sort(e.out.RunPath)
	e.out.RunPath = slices.Compact(e.out.RunPath)
	return problem
}

// symbols collects the imported functions of interest.
func (e *elfReader) symbols() error {
	if err := elffile.Whole(e.f, elf.SHT_DYNSYM, maxELFTable); err != nil {
		return err
	}
	for _, t := range []elf.SectionType{elf.SHT_GNU_VERNEED, elf.SHT_GNU_VERSYM, elf.SHT_GNU_VERDEF} {
		if err := elffile.Whole(e.f, t, maxELFTable); err != nil { // which are read with the symbols
			return err
		}
	}
	if s := e.f.SectionByType(elf.SHT_DYNSYM); s != nil && s.Entsize > 0 && s.Size/s.Entsize > maxELFSymbols {
		return fmt.Errorf("%d dynamic symbols, want at most %d", s.Size/s.Entsize, maxELFSymbols)
	}
	list, err := e.f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	for _, s := range list {
		if s.Section == elf.SHN_UNDEF && interestingImport(s.Name) {
			e.out.Imports = append(e.out.Imports, s.Name)
		}
	}
	slices.Sort(e.out.Imports)
	e.out.Imports = slices.Compact(e.out.Imports)
	return nil
}

// interestingImport reports whether a library function reaches beyond the
// process and its files.
func interestingImport(name string) bool {
	switch name {
	case "system", "popen", "execl", "execlp", "execle", "execv", "execve", "execveat", "execvp", "execvpe", "fexecve", "fork", "vfork", "clone", "posix_spawn",
		"posix_spawnp", "daemon", "connect", "bind", "listen", "accept", "accept4", "socket", "sendto", "sendmsg", "recvfrom", "getaddrinfo", "gethostbyname",
		"res_query", "dlopen", "dlmopen", "ptrace", "process_vm_readv", "process_vm_writev", "memfd_create", "mprotect", "syscall", "setuid", "setgid",
		"setresuid", "prctl", "personality", "unshare", "setns", "mount", "chroot", "init_module", "finit_module", "bpf", "perf_event_open", "keyctl":
		return true
	}
	return strings.HasPrefix(name, "curl_easy_") && name != "curl_easy_strerror"
}

// packed looks for the marks of the packers.
func (e *elfReader) packed(r io.ReaderAt) {
	head := make([]byte, 1024)
	n, _ := r.ReadAt(head, 0)
	tail := make([]byte, 256)
	m, _ := r.ReadAt(tail, max(0, e.size-int64(len(tail))))
	for _, mark := range []string{"UPX!", "$Info: This file is packed"} {
		if strings.Contains(string(head[:n]), mark) || strings.Contains(string(tail[:m]), mark) {
			e.find("packed", "it has the mark of UPX")
			return
		}
	}
}
