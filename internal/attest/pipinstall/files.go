package pipinstall

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"pip-witness/internal/pypi"
)

// Limits on the walk over the installed files.
const (
	maxWalkFiles = 500_000
	maxPyFile    = 4 << 20  // 4 MiB: one Python source file
	maxPyBytes   = 1 << 30  // 1 GiB: all of them
	maxReaders   = 4        // files read at a time
	maxPthFile   = 16 << 20 // 16 MiB: one .pth file
	maxPthLines  = 10_000
	maxPthText   = 2_000 // bytes kept of one .pth line
	maxLineFacts = 50    // entries kept of one .pth line
	maxListed    = 5_000 // entries of each list
)

// fileWalk reads the files of one site directory.
type fileWalk struct {
	c      *collector
	out    *InstalledFiles
	site   string
	root   *os.Root
	owners map[string]string // path below the site → normalised project
	hashed map[string]bool   // byte code of which RECORD gives a digest
	cut    map[string]bool   // lists that reached maxListed
	python []string          // Python files, in order of the walk
}

func (c *collector) installedFiles(ctx context.Context) error {
	out := &InstalledFiles{
		SuspiciousImports: []string{}, SubprocessInInit: []string{}, NetworkInInit: []string{}, PickleFiles: []string{},
		PickleAnalysis: []Pickle{}, PthFiles: []PthFile{}, StartupModules: []string{}, UnownedFiles: []string{},
		ImportTime: []SourceFact{}, Obfuscation: []SourceFact{}, NativeLibraries: []NativeLibrary{}, ByteCode: []ByteCode{},
	}
	c.predicate.InstalledFileAnalysis = out
	c.notExamined("installedFileAnalysis.pickleFiles", "a pickle of protocol 0 or 1, or a packed one, is found by its name only (.pkl, .joblib and the like)")
	c.notExamined("installedFileAnalysis of byte code", "the code in .pyc files is not read: the .py beside them is, and byteCode lists those that do not depend on one")
	cut := map[string]bool{}
	for _, site := range c.env.Sites {
		root, err := pypi.OpenDir(c.in.Layout, site)
		if err != nil {
			c.notExamined("installedFileAnalysis of "+site, "%v", err)
			continue
		}
		w := &fileWalk{c: c, out: out, site: site, root: root, owners: c.owners(site), hashed: c.shippedByteCode(site), cut: cut}
		if err = w.walk(ctx); err == nil {
			err = w.modules(ctx)
		}
		root.Close()
		if err != nil {
			return err
		}
	}
	slices.Sort(out.UnownedFiles)
	return nil
}

// owners maps the files below a site directory to the project whose RECORD
// lists them.
func (c *collector) owners(site string) map[string]string {
	out := map[string]string{}
	for _, d := range c.env.Distributions {
		for _, e := range d.Record {
			if p, ok := e.Inside(); ok && d.Location == site {
				out[p] = d.Key
			}
		}
	}
	return out
}

func (w *fileWalk) walk(ctx context.Context) error {
	return fs.WalkDir(w.root.FS(), ".", func(p string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.c.notExamined("installedFileAnalysis of "+path.Join(w.site, p), "%v", err)
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		if w.out.TotalFiles++; w.out.TotalFiles > maxWalkFiles {
			w.c.notExamined("installedFileAnalysis of "+w.site, "more than %d files: the rest was not read", maxWalkFiles)
			return fs.SkipAll
		}
		w.file(p, entry)
		return nil
	})
}

// add appends to a list up to its limit and says when it is reached.
func (w *fileWalk) add(name string, list *[]string, entry string) {
	addTo(w, name, list, entry)
}

func addTo[T any](w *fileWalk, name string, list *[]T, entry T) {
	if len(*list) < maxListed {
		*list = append(*list, entry)
		return
	}
	if !w.cut[name] {
		w.cut[name] = true
		w.c.notExamined("installedFileAnalysis."+name, "more than %d entries: the rest is not listed", maxListed)
	}
}

func (w *fileWalk) file(p string, entry fs.DirEntry) {
	full := path.Join(w.site, p)
	ext := strings.ToLower(path.Ext(p))
	top := !strings.Contains(p, "/")
	if w.owners[p] == "" && ext != ".pyc" && !w.generated(p) {
		w.add("unownedFiles", &w.out.UnownedFiles, full)
	}
	if top && (ext == ".pth" || ext == ".start") {
		w.pth(p, full)
		return
	}
	if !entry.Type().IsRegular() {
		return // a symlink's target is read where it lies, if that is in the tree
	}
	if top && (strings.HasPrefix(p, "sitecustomize.") || strings.HasPrefix(p, "usercustomize.")) {
		w.add("startupModules", &w.out.StartupModules, full)
	}
	switch ext {
	case ".py", ".pyw":
		w.python = append(w.python, p)
	case ".pyc":
		w.byteCode(p, full)
	case ".pyi":
	default:
		w.data(p, full, ext)
	}
}

// generated reports whether a file belongs to metadata of the older kind, which
// has no RECORD.
func (w *fileWalk) generated(p string) bool {
	dir, _, _ := strings.Cut(p, "/")
	return strings.HasSuffix(dir, ".egg-info") || strings.HasSuffix(dir, ".egg-link")
}

// data examines a file that is no source: a native library by its first bytes, a
// pickle by its name or first bytes.
func (w *fileWalk) data(p, full, ext string) {
	f, err := pypi.OpenFile(w.root, p)
	if err != nil {
		w.c.notExamined("installedFileAnalysis.pickleFiles: "+full, "%v", err)
		return
	}
	defer f.Close()
	var head [4]byte
	n, _ := f.ReadAt(head[:], 0)
	if n == len(head) && string(head[:]) == elf.ELFMAG {
		w.native(p, full, f)
		return
	}
	magic := n >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
	array := n == len(head) && string(head[:]) == "\x93NUM"
	archive := isModelName(ext) && n == 4 && string(head[:]) == "PK\x03\x04"
	if !isPickleName(p, ext) && !magic && !array && !archive {
		return
	}
	info, err := f.Stat()
	if err != nil {
		w.c.notExamined("installedFileAnalysis.pickleFiles: "+full, "%v", err)
		return
	}
	if archive {
		w.archive(f, full, info.Size())
		return
	}
	scan, err := scanPacked(f)
	if errors.Is(err, errNoObjects) {
		return
	}
	if magic && !isPickleName(p, ext) && err != nil && len(scan.ops) == 0 {
		return // the two bytes were chance: nothing is imported before it breaks
	}
	w.record(pickleFacts(full, info.Size(), scan, err))
}

// native describes an ELF file.
func (w *fileWalk) native(p, full string, f *os.File) {
	info, err := f.Stat()
	if err != nil {
		w.c.notExamined("installedFileAnalysis.nativeLibraries: "+full, "%v", err)
		return
	}
	library := readELF(f, info.Size())
	library.Path, library.Package = full, w.owners[p]
	addTo(w, "nativeLibraries", &w.out.NativeLibraries, library)
}

// pth reads a file that the interpreter's start-up executes or adds to the
// module path (documentation of the site module).
func (w *fileWalk) pth(p, full string) {
	out := PthFile{Path: full, Owner: w.owners[p], ExecutableLines: []PthLine{}}
	defer func() { w.out.PthFiles = append(w.out.PthFiles, out) }()
	data, err := pypi.ReadFile(w.root, p, maxPthFile)
	if err != nil {
		out.Error = err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			out.Error = "a link to nothing"
		}
		return
	}
	sum := sha256.Sum256(data)
	out.Size, out.SHA256 = int64(len(data)), hex.EncodeToString(sum[:])
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		if n++; n > maxPthLines {
			w.c.notExamined("installedFileAnalysis.pthFiles: "+full, "more than %d lines", maxPthLines)
			return
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "import\t") || strings.HasSuffix(p, ".start"):
			out.ExecutableLines = append(out.ExecutableLines, PthLine{Line: n, Text: clip(line), Calls: callsOf(line), Obfuscation: obfuscationOf(line)})
		default:
			out.PathLines = append(out.PathLines, clip(line))
		}
	}
}

func clip(s string) string {
	if len(s) > maxPthText {
		s = s[:maxPthText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// callsOf lists the resolved callees of a line, each once.
func callsOf(line string) []string {
	var out []string
	for _, o := range readSource([]byte(line)).calls {
		if !slices.Contains(out, o.what) {
			out = append(out, o.what)
		}
	}
	return out
}

// obfuscationOf lists what hides what a line does.
func obfuscationOf(line string) []string {
	var out []string
	facts := readSource([]byte(line))
	for _, o := range facts.obscured {
		out = append(out, o.kind+": "+o.what)
	}
	for _, o := range facts.encoded {
		out = append(out, "encoded-literal: "+o.what)
	}
	return cutStrings(out)
}

// cutStrings bounds a list of one line, whose own text is kept beside it.
func cutStrings(list []string) []string { return list[:min(len(list), maxLineFacts)] }
