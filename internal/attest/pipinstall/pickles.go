package pipinstall

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"pip-witness/internal/pypi"
)

// Limits on what holds pickles.
const (
	maxZipPickles  = 100       // pickles in one archive
	maxPackedBytes = 1 << 30   // 1 GiB unpacked of one pickle
	maxPackings    = 3         // one within another
	maxArrayHeader = 128 << 10 // 128 KiB: the header of one array
)

// isPickleName reports whether files of this name are pickles by convention.
func isPickleName(p, ext string) bool {
	switch ext {
	case ".pkl", ".pickle", ".pck", ".pcl", ".joblib", ".dill":
		return true
	case ".gz":
		inner := strings.ToLower(path.Ext(strings.TrimSuffix(p, path.Ext(p))))
		return inner == ".pkl" || inner == ".pickle"
	}
	return false
}

// isModelName reports whether files of this name are archives with pickles.
func isModelName(ext string) bool {
	switch ext {
	case ".pt", ".pth", ".ckpt", ".bin", ".npz", ".mar":
		return true
	}
	return false
}

// errNoObjects is for an array of numbers, which holds no pickle.
var errNoObjects = errors.New("an array without objects")

// scanPacked scans a pickle that may be packed (gzip, zlib, bzip2, as joblib
// does) or lie behind the header of an array of objects.
func scanPacked(r io.Reader) (*pickleScan, error) {
	none := &pickleScan{ops: map[string]bool{}}
	b := bufio.NewReader(r)
	for range maxPackings {
		head, _ := b.Peek(6)
		var unpacked io.Reader
		var err error
		switch {
		case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
			unpacked, err = gzip.NewReader(b)
		case len(head) >= 2 && head[0] == 0x78 && (uint(head[0])<<8|uint(head[1]))%31 == 0:
			unpacked, err = zlib.NewReader(b)
		case bytes.HasPrefix(head, []byte("BZh")):
			unpacked = bzip2.NewReader(b)
		case bytes.HasPrefix(head, []byte("\xfd7zXZ")), bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18}), bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), bytes.HasPrefix(head, []byte{0x5d, 0, 0}):
			return none, errors.New("packed with xz, lzma, lz4 or zstd, which is not unpacked here")
		case bytes.HasPrefix(head, []byte("\x93NUMPY")):
			if err := arrayHeader(b); err != nil {
				return none, err
			}
			return scanPickle(b)
		default:
			return scanPickle(b)
		}
		if err != nil {
			return none, fmt.Errorf("unpack: %w", err)
		}
		b = bufio.NewReader(io.LimitReader(unpacked, maxPackedBytes))
	}
	return none, fmt.Errorf("packed more than %d times", maxPackings-1)
}

// arrayHeader skips the header of NumPy's array format, and returns errNoObjects
// when the array holds none.
func arrayHeader(r io.Reader) error {
	var fixed [8]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return fmt.Errorf("read the header of an array: %w", err)
	}
	size := make([]byte, 4)
	if fixed[6] == 1 {
		size = size[:2]
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return fmt.Errorf("read the header of an array: %w", err)
	}
	n := binary.LittleEndian.Uint32(append(size, 0, 0, 0)[:4])
	if n > maxArrayHeader {
		return fmt.Errorf("read the header of an array: %d bytes, want at most %d", n, maxArrayHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("read the header of an array: %w", err)
	}
	// A type description with an object in it has the letter O as a type code.
	for _, quoted := range strings.Split(strings.ReplaceAll(string(text), `"`, "'"), "'") {
		if code := strings.TrimLeft(quoted, "|<>="); code == "O" || strings.HasPrefix(code, "O8") {
			return nil
		}
	}
	return errNoObjects
}

func (w *fileWalk) record(p Pickle) {
	w.add("pickleFiles", &w.out.PickleFiles, p.Path)
	if len(w.out.PickleAnalysis) < maxListed {
		p.DangerousOps, p.GlobalRefs = list(p.DangerousOps), list(p.GlobalRefs)
		w.out.PickleAnalysis = append(w.out.PickleAnalysis, p)
	}
}

func pickleFacts(name string, size int64, s *pickleScan, err error) Pickle {
	p := Pickle{
		Path: name, Size: size, HasReduce: s.ops["REDUCE"], HasGlobal: s.ops["GLOBAL"], HasInst: s.ops["INST"],
		HasStack: s.ops["STACK_GLOBAL"], DangerousGlobals: s.dangerousGlobals(), DangerousOps: s.dangerousOps(), GlobalRefs: s.refs, IsSafe: err == nil && s.safe(),
	}
	switch {
	case err != nil:
		p.Error = clip(err.Error())
	case s.broken:
		p.Error = "the stack could not be followed"
	}
	return p
}

// archive examines the pickles in a zip file, as model files are: those that the
// name or the first bytes give away, and arrays of objects.
func (w *fileWalk) archive(f io.ReaderAt, full string, size int64) {
	z, err := pypi.ReadZip(f, size)
	if err != nil {
		w.record(Pickle{Path: full, Size: size, Error: clip(err.Error())})
		return
	}
	count := 0
	for i := range z.Members {
		m := &z.Members[i]
		name := full + "!" + clip(m.Name)
		ext := strings.ToLower(path.Ext(m.Name))
		r, err := z.Open(m)
		if err != nil {
			if isPickleName(m.Name, ext) || ext == ".npy" {
				w.record(Pickle{Path: name, Error: clip(err.Error())})
			}
			continue
		}
		b := bufio.NewReader(io.LimitReader(r, maxPackedBytes))
		head, _ := b.Peek(6)
		pickle := len(head) >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
		switch {
		case m.Dir():
			continue
		case bytes.HasPrefix(head, []byte("PK\x03\x04")):
			w.c.notExamined("installedFileAnalysis.pickleAnalysis of "+name, "an archive within an archive")
			continue
		case !pickle && !isPickleName(m.Name, ext) && !bytes.HasPrefix(head, []byte("\x93NUMPY")):
			continue
		}
		scan, err := scanPacked(b)
		if errors.Is(err, errNoObjects) || pickle && !isPickleName(m.Name, ext) && err != nil && len(scan.ops) == 0 {
			continue
		}
		if count++; count > maxZipPickles {
			w.c.notExamined("installedFileAnalysis.pickleAnalysis of "+full, "more than %d pickles in it", maxZipPickles)
			return
		}
		w.record(pickleFacts(name, int64(min(m.Uncompressed, 1<<62)), scan, err))
	}
}

// dangerousGlobal reports whether a global runs code or commands, reaches files,
// the network or other modules when a pickle calls it.
func dangerousGlobal(ref string) bool {
	switch ref {
	case "builtins.exec", "builtins.eval", "builtins.compile", "builtins.__import__", "builtins.getattr", "builtins.setattr", "builtins.open", "builtins.globals",
		"builtins.breakpoint", "builtins.apply", "builtins.vars", "builtins.delattr", "builtins.execfile", "builtins.file", "io.open", "io.FileIO", "_io.open", "_io.FileIO",
		"codecs.open", "types.CodeType", "types.FunctionType", "operator.attrgetter", "operator.methodcaller", "_operator.attrgetter", "_operator.methodcaller",
		"functools.partial", "functools.reduce", "pydoc.pipepager", "pydoc.locate", "pydoc.safeimport", "cProfile.run", "cProfile.runctx", "profile.run", "profile.Profile", "timeit.timeit", "timeit.repeat", "timeit.main",
		"trace.Trace", "doctest.debug_script", "torch.load", "torch.hub.load", "torch.jit.load", "joblib.load", "numpy.load", "numpy.testing._private.utils.runstring",
		"pandas.read_pickle", "pandas.io.pickle.read_pickle", "pandas.eval", "sys.modules", "sys.path", "sys.meta_path", "sys.settrace", "sys.setprofile",
		"test.support.script_helper.assert_python_ok", "logging.config.listen", "idlelib.pyshell.ModifiedInterpreter.runcode", "unittest.mock._importer", "lib2to3.pgen2.grammar.Grammar.loads",
		"distutils.file_util.write_file", "setuptools._distutils.file_util.write_file", "_osx_support._find_build_tool", "_aix_support._read_cmd_output", "torch.utils.collect_env.run", "torch._dynamo.guards.GuardBuilder.get":
		return true
	}
	module, name, _ := strings.Cut(ref, ".")
	// From protocol 4 on a name may have dots, and so lead through any module to
	// what that has imported.
	for part := range strings.SplitSeq(name, ".") {
		switch part {
		case "sys", "_sys", "os", "_os", "subprocess", "system", "popen", "exec", "eval", "__import__", "__globals__", "__builtins__", "__subclasses__",
			"__getattribute__", "__dict__", "modules":
			return true
		}
	}
	switch module {
	case "os", "posix", "nt", "ntpath", "posixpath", "subprocess", "_posixsubprocess", "pty", "commands", "popen2", "runpy", "importlib", "imp", "_imp", "zipimport", "pkgutil", "ctypes", "_ctypes",
		"socket", "_socket", "ssl", "urllib", "urllib2", "urllib3", "requests", "httpx", "aiohttp", "http", "httplib", "ftplib", "smtplib", "telnetlib", "xmlrpc", "socketserver",
		"shutil", "tempfile", "pathlib", "marshal", "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "code", "codeop", "pdb", "bdb", "webbrowser", "signal", "multiprocessing",
		"asyncio", "threading", "_thread", "pip", "ensurepip", "venv", "site", "gc", "inspect", "linecache", "fileinput", "mmap", "fcntl", "antigravity", "sqlite3", "_xxsubinterpreters", "_interpreters", "_testcapi", "winreg", "_winapi":
		return true
	}
	return ref == "?.?"
}
