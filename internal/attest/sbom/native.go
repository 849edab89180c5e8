package sbom

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"pip-witness/internal/elffile"
	"pip-witness/internal/pypi"
)

// Limits on shared libraries, which packages make as they like.
const (
	maxLibraries    = 2_000    // of one distribution
	maxLibrarySize  = 4 << 30  // 4 GiB: one file; CUDA's reach some 1 GiB
	maxDynamic      = 16 << 20 // 16 MiB: table of dynamic entries or of their strings
	maxSONAME       = 255      // bytes: no file could have a longer name
	maxSectionCount = 10_000   // sections of one file
)

// library is one shared library that a distribution brings along.
type library struct {
	path    string // below the site directory
	soname  string
	name    string // the stem, without what auditwheel adds
	version string // of the file name, "" where it says none
	digest  string // SHA-256 in hex
	needed  []string
}

var (
	// sharedObject are names of ELF shared objects, with their interface version.
	sharedObject = regexp.MustCompile(`\.so(\.[0-9]+(\.[0-9]+)*)?$`)
	// extensionModule are those that Python imports: parts of the distribution
	// itself, not libraries that it brings along.
	extensionModule = regexp.MustCompile(`\.(cpython-[0-9a-z_]+[a-z0-9_-]*|abi3|pypy[0-9a-z_-]+)\.so$`)
	// grafted is what auditwheel puts into the names of libraries that it copies:
	// the first eight digits of their SHA-256, once a repair.
	grafted = regexp.MustCompile(`(-[0-9a-f]{8})+$`)
	// releaseVersion is a version with a point: a single number is only that of an
	// interface.
	releaseVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)+$`)
	// namedVersion is a version in the stem: libfoo-1.2.3.so.
	namedVersion = regexp.MustCompile(`-([0-9]+(\.[0-9]+)+)$`)
)

// libraryName takes a SONAME or file name apart.
func libraryName(name string) (stem, version string) {
	at := strings.LastIndex(name, ".so")
	if at < 0 {
		return name, ""
	}
	stem, version = grafted.ReplaceAllString(name[:at], ""), strings.TrimPrefix(name[at+len(".so"):], ".")
	if m := namedVersion.FindStringSubmatch(stem); m != nil && version == "" {
		return strings.TrimSuffix(stem, m[0]), m[1]
	}
	if !releaseVersion.MatchString(version) {
		version = ""
	}
	return stem, version
}

// native is what is known of the machine code of a distribution.
type native struct {
	libraries []library
	code      bool // there is any
}

// nativeOf reads the shared libraries that RECORD lists, sorted by path. What
// could not be read, or is beyond a bound, is said in the gaps.
func (b *builder) nativeOf(d pypi.Distribution) native {
	var n native
	var names []string
	for _, e := range d.Record {
		name, inside := e.Inside()
		if !inside || !sharedObject.MatchString(name) {
			continue
		}
		n.code = true
		base := path.Base(name)
		if !extensionModule.MatchString(base) && (strings.HasPrefix(base, "lib") || strings.HasSuffix(path.Dir(name), ".libs")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxLibraries {
		b.gap("%s: %d of %d shared libraries were looked at", d.Key, maxLibraries, len(names))
		names = names[:maxLibraries]
	}
	if len(names) == 0 {
		return n
	}
	root, err := pypi.OpenDir(b.in.Layout, d.Location)
	if err != nil {
		b.gap("%s: shared libraries: %v", d.Key, err)
		return n
	}
	defer root.Close()
	for _, name := range names {
		l, err := b.library(root, d.Location, name)
		switch {
		case err != nil:
			b.gap("%s: shared library %v", d.Key, err)
		case l.soname != "":
			n.libraries = append(n.libraries, l)
		}
	}
	return n
}

// library reads one file. A file without SONAME has a library without one.
func (b *builder) library(root *os.Root, site, name string) (library, error) {
	l := library{path: name}
	f, err := pypi.OpenFile(root, name)
	if err != nil {
		return l, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return l, fmt.Errorf("read %q: %w", name, err)
	}
	if info.Size() > maxLibrarySize {
		return l, fmt.Errorf("read %q: %d bytes, want at most %d", name, info.Size(), int64(maxLibrarySize))
	}
	if l.soname, l.needed, err = dynamicNames(f); err != nil {
		return l, fmt.Errorf("read %q: %w", name, err)
	}
	if l.soname == "" {
		return l, nil
	}
	// The SONAME says what it is, the file name which one.
	l.name, l.version = libraryName(path.Base(name))
	if _, version := libraryName(l.soname); l.version == "" {
		l.version = version
	}
	l.digest, err = b.fileDigest(f, path.Join(site, name))
	return l, err
}

// fileDigest takes the digest from the walk, where there was one.
func (b *builder) fileDigest(f *os.File, inside string) (string, error) {
	if b.in.After != nil {
		if digest := b.in.After.Files[inside].Digests["sha256"]; digest != "" {
			return digest, nil
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxLibrarySize)); err != nil {
		return "", fmt.Errorf("read %q: %w", inside, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// dynamicNames reads DT_SONAME and DT_NEEDED of an ELF file. What has no dynamic
// section has neither.
func dynamicNames(r io.ReaderAt) (soname string, needed []string, err error) {
	err = elffile.Read(r, func(f *elf.File) error {
		if len(f.Sections) > maxSectionCount {
			return fmt.Errorf("%d sections, want at most %d", len(f.Sections), maxSectionCount)
		}
		if err := elffile.Whole(f, elf.SHT_DYNAMIC, maxDynamic); err != nil {
			return err
		}
		names, err := f.DynString(elf.DT_SONAME)
		if err != nil || len(names) == 0 {
			return err
		}
		if len(names[0]) > maxSONAME {
			return fmt.Errorf("SONAME of %d bytes, want at most %d", len(names[0]), maxSONAME)
		}
		if needed, err = f.DynString(elf.DT_NEEDED); err != nil {
			return err
		}
		soname = strings.ToValidUTF8(names[0], "\uFFFD")
		return nil
	})
	return soname, needed, err
}

// ref is the bom-ref of a library below that of its distribution.
func (l library) ref(distribution string) string { return distribution + "#" + l.path }

// nested are the libraries of a distribution as its components.
func (n native) nested(distribution, site string) *[]cdx.Component {
	var out []cdx.Component
	for _, l := range n.libraries {
		properties := []cdx.Property{{Name: "pip-witness:soname", Value: l.soname}}
		if l.version != "" {
			properties = append(properties, cdx.Property{Name: "pip-witness:version-source", Value: "file name"})
		}
		out = append(out, cdx.Component{
			BOMRef: l.ref(distribution), Type: cdx.ComponentTypeLibrary, Name: l.name, Version: l.version, Scope: cdx.ScopeRequired,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: l.digest}}, Properties: &properties,
			Evidence: &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{{Location: path.Join(site, l.path)}}},
		})
	}
	return pointer(out)
}

// dependencies are the libraries of one distribution that need one another. What
// they need of the system is not in the document.
func (n native) dependencies(distribution string) []cdx.Dependency {
	byName := map[string]string{}
	for _, l := range n.libraries {
		byName[l.soname], byName[path.Base(l.path)] = l.ref(distribution), l.ref(distribution)
	}
	var out []cdx.Dependency
	for _, l := range n.libraries {
		var on []string
		for _, name := range l.needed {
			if ref := byName[name]; ref != "" && ref != l.ref(distribution) {
				on = append(on, ref)
			}
		}
		slices.Sort(on)
		out = append(out, dependency(l.ref(distribution), slices.Compact(on)))
	}
	return out
}
