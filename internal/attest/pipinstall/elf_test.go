package pipinstall

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// library compiles C code into a shared library and returns its bytes.
func library(t *testing.T, source string, flags ...string) []byte {
	t.Helper()
	return compiled(t, source, append([]string{"-shared", "-fPIC"}, flags...)...)
}

func compiled(t *testing.T, source string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skipf("needs a C compiler: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "cc", append([]string{"-o", out, in}, flags...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("needs a C compiler that takes %q: %v: %s", flags, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func kinds(l NativeLibrary) string {
	var out []string
	for _, f := range l.Findings {
		out = append(out, f.Kind)
	}
	return strings.Join(slices.Compact(out), " ")
}

// TestReadELF has a library for every finding.
func TestReadELF(t *testing.T) {
	plain := library(t, "#include <math.h>\ndouble answer(double x) { return sin(x); }\n", "-lm", "-Wl,-soname,libplain.so.1", "-Wl,--no-as-needed")
	noise := dense(60_000)
	section := func(name, flags, content string) string {
		return `__asm__(".section ` + name + `,\"` + flags + `\",@progbits\n.incbin \"` + content + `\"\n.text\n");`
	}
	file := filepath.Join(t.TempDir(), "noise")
	random := make([]byte, 60_000)
	for i := range random {
		random[i] = noise[i] ^ noise[(i*7+13)%len(noise)]<<1 ^ byte(i*i>>7)
	}
	if err := os.WriteFile(file, random, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		want string // kinds of findings
	}{
		"plain":            {plain, ""},
		"executable stack": {library(t, "int f(void) { return 1; }", "-Wl,-z,execstack"), "executable-stack"},
		"writable code":    {library(t, section(".writable", "awx", file)), "writable-code"},
		"odd section":      {library(t, section(".mine", "a", file)), "odd-section"},
		"dense code":       {library(t, section(".text.packed", "ax", file)), "dense-section"},
		"run path":         {library(t, "int f(void) { return 1; }", "-Wl,-rpath,/tmp/x:$ORIGIN/libs"), "run-path"},
		"overlay":          {slices.Concat(plain, random), "overlay"},
		"packed":           {slices.Concat(plain, []byte("UPX!")), "packed"},
		"no sections":      {withoutSections(plain), "no-sections"},
	} {
		t.Run(name, func(t *testing.T) {
			got := readELF(bytes.NewReader(test.data), int64(len(test.data)))
			if !strings.Contains(" "+kinds(got)+" ", " "+test.want+" ") || test.want == "" && kinds(got) != "" || got.Error != "" {
				t.Errorf("findings %+v, error %q, want %q", got.Findings, got.Error, test.want)
			}
		})
	}
	got := readELF(bytes.NewReader(plain), int64(len(plain)))
	if got.SOName != "libplain.so.1" || !slices.Contains(got.Needed, "libm.so.6") || got.Kind != "shared" || got.Init < 0 {
		t.Errorf("%+v", got)
	}
	loud := library(t, `#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <sys/ptrace.h>
__attribute__((constructor)) static void a(void) { system("true"); }
__attribute__((constructor)) static void b(void) { connect(1, 0, 0); }
void c(void) { execve("x", 0, 0); ptrace(0, 0, 0, 0); }
`)
	got = readELF(bytes.NewReader(loud), int64(len(loud)))
	if diff := cmp.Diff([]string{"connect", "execve", "ptrace", "system"}, got.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if quiet := readELF(bytes.NewReader(plain), int64(len(plain))); got.Init != quiet.Init+2 {
		t.Errorf("%d initialisers, %d without the two", got.Init, quiet.Init)
	}
}

// withoutSections removes the table of sections from the header, as packers do.
func withoutSections(data []byte) []byte {
	out := slices.Clone(data)
	clear(out[0x28:0x30]) // e_shoff
	clear(out[0x3a:0x40]) // e_shentsize, e_shnum, e_shstrndx
	return out
}

// tinyELF is a header with the sections given and nothing else.
func tinyELF(sections ...elf.Section64) []byte {
	var b bytes.Buffer
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64,
		Shoff: 64, Shnum: uint16(len(sections) + 1),
	}
	for _, v := range []any{h, elf.Section64{Type: uint32(elf.SHT_STRTAB)}, sections} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	return b.Bytes()
}

// TestStartable tells programs, also position-independent ones, from libraries.
func TestStartable(t *testing.T) {
	program := "int main(void) { return 0; }\n"
	for name, test := range map[string]struct {
		data []byte
		want bool
	}{
		"library":          {library(t, "int f(void) { return 1; }"), false},
		"named library":    {library(t, program, "-Wl,-soname,libx.so"), false},
		"pie":              {compiled(t, program, "-pie", "-fPIE"), true},
		"static":           {compiled(t, program, "-static", "-nostdlib", "-Wl,-e,main"), true},
		"position at last": {compiled(t, program, "-no-pie"), true},
	} {
		if got := readELF(bytes.NewReader(test.data), int64(len(test.data))); got.Program != test.want {
			t.Errorf("%s: program %v, kind %q, %s", name, got.Program, got.Kind, got.Error)
		}
	}
}

// TestHostileELF reads headers that ask for too much.
func TestHostileELF(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":      nil,
		"magic only": []byte(elf.ELFMAG),
		"huge table": tinyELF(elf.Section64{Type: uint32(elf.SHT_DYNSYM), Off: 0, Size: 1 << 50, Entsize: 24}),
		"packed table": tinyELF(elf.Section64{Type: uint32(elf.SHT_DYNSYM), Flags: uint64(elf.SHF_COMPRESSED), Off: 0, Size: 256, Entsize: 24},
			elf.Section64{Type: uint32(elf.SHT_STRTAB), Size: 64}),
		"huge strings": tinyELF(elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Size: 64, Link: 2}, elf.Section64{Type: uint32(elf.SHT_STRTAB), Size: 1 << 40}),
	} {
		if got := readELF(bytes.NewReader(data), int64(len(data))); got.Error == "" {
			t.Errorf("%s: no error: %+v", name, got)
		}
	}
}

func FuzzReadELF(f *testing.F) {
	f.Add(tinyELF(elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Size: 64, Link: 2}, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: 1, Size: 40}))
	f.Add(tinyELF(elf.Section64{Type: uint32(elf.SHT_INIT_ARRAY), Size: 64}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := readELF(bytes.NewReader(data), int64(len(data)))
		if len(got.Findings) > maxELFList || len(got.Needed) > maxELFList || len(got.Imports) > len(data) {
			t.Errorf("%d findings, %d needed, %d imports", len(got.Findings), len(got.Needed), len(got.Imports))
		}
	})
}
