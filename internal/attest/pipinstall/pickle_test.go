package pipinstall

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScanPickle(t *testing.T) {
	for name, test := range map[string]struct {
		data string
		refs []string
		safe bool
		err  string
	}{
		"reduce":        {"cos\nsystem\n(S'id'\ntR.", []string{"os.system"}, false, ""},
		"inst":          {"(S'x'\nios\nsystem\n.", []string{"os.system"}, false, ""},
		"stack global":  {"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", []string{"posix.system"}, false, ""},
		"through memo":  {"\x80\x04\x8c\x02os\x940\x8c\x06system\x940h\x00h\x01\x93.", []string{"os.system"}, false, ""},
		"computed name": {"\x80\x04K\x01K\x02\x93.", []string{"?.?"}, false, ""},
		"plain":         {"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.", nil, true, ""},
		"harmless":      {"\x80\x02ccollections\nOrderedDict\n)R.", []string{"collections.OrderedDict"}, true, ""},
		"second one":    {"\x80\x02N.\x80\x02cos\nsystem\n.", []string{"os.system"}, false, ""},
		"trailing":      {"\x80\x02N.garbage", nil, false, "no pickle follows"},
		"cut":           {"\x80\x04\x8c\x05po", nil, false, "cut off"},
		"no stop":       {"\x80\x02N", nil, false, "without STOP"},
		"bad opcode":    {"\x80\x02\xff.", nil, false, "no opcode"},
		"huge string":   {"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", nil, false, "string of"},
		"extension":     {"\x80\x02\x82\x01.", []string{"copyreg.extension.1"}, false, ""},
		"underflow":     {"\x80\x02R.", nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := scanPickle(strings.NewReader(test.data))
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.refs, s.refs); diff != "" {
				t.Errorf("globals (-want +got):\n%s", diff)
			}
			if got := err == nil && s.safe(); got != test.safe {
				t.Errorf("safe %v, want %v", got, test.safe)
			}
		})
	}
}

// TestScanPickleAgainstPickletools reads what Python's pickle writes, in every
// protocol, and compares globals and opcodes with Python's own disassembler.
func TestScanPickleAgainstPickletools(t *testing.T) {
	out, err := exec.Command("python3", "-c", `
import pickle, pickletools, json, base64, collections, datetime, decimal, io, os, array
class C: pass
class N:
    def __reduce__(self): return (os.system, ("true",))
class X:
    def __reduce_ex__(self, p): return (print, (self.__class__.__name__,), {"a": 1}, iter([1,2]), iter([(1,2)]))
o = C(); o.a = o
values = [None, True, 1, -2, 2**70, 1.5, "a\n\u00e4", b"bytes"*100, bytearray(b"x"), [1,[2]], (1,2,3,4), (), {1:2}, {1,2}, frozenset([3]), o, N(), X(),
  collections.OrderedDict(a=1), datetime.datetime(2020,1,1), decimal.Decimal("1"), array.array("i",[1,2]), "long"*3000, list(range(3000)), {str(i): i for i in range(300)}, Ellipsis, complex(1,2), range(3), C]
res = []
for v in values:
    for p in range(6):
        d = pickle.dumps(v, p); refs = []; ops = set(); strs = []; memo = {}
        for op, arg, pos in pickletools.genops(d):
            ops.add(op.name)
            if op.name in ("GLOBAL", "INST"): refs.append(arg.replace(" ", "."))
            if op.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"): strs.append(arg)
            if op.name == "MEMOIZE": memo[len(memo)] = strs[-1] if strs else None
            if op.name in ("BINGET", "LONG_BINGET") and p >= 4: strs.append(memo.get(arg))
            if op.name == "STACK_GLOBAL": refs.append("%s.%s" % (strs[-2], strs[-1]))
        keep = {"REDUCE", "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
        res.append(dict(Data=base64.b64encode(d).decode(), Refs=list(dict.fromkeys(refs)), Ops=sorted(ops & keep)))
print(json.dumps(res))`).Output()
	if err != nil {
		t.Skipf("needs python3: %v", err)
	}
	var cases []struct {
		Data      string
		Refs, Ops []string
	}
	if err := json.Unmarshal(out, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		data, err := base64.StdEncoding.DecodeString(c.Data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scanPickle(bytes.NewReader(data))
		if err != nil || s.broken {
			t.Errorf("%.60q: %v, broken %v", data, err, s.broken)
		}
		ops := s.dangerousOps()
		slices.Sort(ops)
		if !slices.Equal(s.refs, c.Refs) || !slices.Equal(ops, c.Ops) {
			t.Errorf("%.60q: globals %q, opcodes %q; pickletools %q, %q", data, s.refs, ops, c.Refs, c.Ops)
		}
	}
}

// TestScanPacked lets Python write pickles in what holds them, and wants the
// dangerous global found in each.
func TestScanPacked(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("python3", "-c", `
import pickle, gzip, zlib, bz2, lzma, zipfile, os, sys, struct
class N:
    def __reduce__(self): return (os.system, ("true",))
bad, good = pickle.dumps(N(), 4), pickle.dumps([1, 2], 4)
def array(descr, data): 
    h = repr({"descr": descr, "fortran_order": False, "shape": (1,)}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(h)) + h + data
put = lambda n, b: open(os.path.join(sys.argv[1], n), "wb").write(b)
put("plain.pkl", bad); put("old.pickle", pickle.dumps(N(), 0)); put("a.pkl.gz", gzip.compress(bad)); put("z.joblib", zlib.compress(bad)); put("b.joblib", bz2.compress(bad)); put("x.joblib", lzma.compress(bad))
put("twice.joblib", gzip.compress(zlib.compress(bad))); put("data.dat", bad); put("objects.npy", array("|O", bad)); put("fields.npy", array([("a", "<i4"), ("b", "|O")], bad)); put("numbers.npy", array("<f8", b"x" * 8))
for n, inner in (("m.pt", {"m/data.pkl": bad, "m/data/0": b"PK\x03\x04zip", "m/version": b"3"}), ("a.npz", {"o.npy": array("|O", bad), "n.npy": array("<f8", b"x" * 8)}), ("odd.bin", {"hidden.txt": bad}), ("good.pt", {"m/data.pkl": good})):
    with zipfile.ZipFile(os.path.join(sys.argv[1], n), "w", zipfile.ZIP_DEFLATED) as z:
        for k, v in inner.items(): z.writestr(k, v)`, dir).CombinedOutput()
	if err != nil {
		t.Skipf("needs python3: %v: %s", err, out)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := &fileWalk{c: &collector{}, out: &InstalledFiles{}, site: "/s", root: root, owners: map[string]string{}, hashed: map[string]bool{}, cut: map[string]bool{}}
	if err := w.walk(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range w.out.PickleAnalysis {
		got[strings.TrimPrefix(p.Path, "/s/")] = strings.Join(p.DangerousGlobals, " ") + p.Error
		if p.IsSafe != (p.Path == "/s/good.pt!m/data.pkl") {
			t.Errorf("%s: safe %v", p.Path, p.IsSafe)
		}
	}
	const system = "posix.system"
	want := map[string]string{
		"plain.pkl": system, "old.pickle": system, "a.pkl.gz": system, "z.joblib": system, "b.joblib": system, "twice.joblib": system,
		"x.joblib": "packed with xz, lzma, lz4 or zstd, which is not unpacked here", "data.dat": system, "objects.npy": system, "fields.npy": system,
		"m.pt!m/data.pkl": system, "a.npz!o.npy": system, "odd.bin!hidden.txt": system, "good.pt!m/data.pkl": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.c.predicate.NotExamined) != 1 {
		t.Errorf("not examined %+v, want the archive within an archive", w.c.predicate.NotExamined)
	}
}

func TestDangerousGlobal(t *testing.T) {
	for ref, want := range map[string]bool{
		"builtins.eval": true, "builtins.eval.__call__": true, "collections._sys.modules": true, "os.path.join": true, "subprocess.Popen": true, "?.?": true,
		"collections.OrderedDict": false, "numpy.ndarray": false, "builtins.set": false, "mymodule.Class": false, "osx.x": false,
	} {
		if got := dangerousGlobal(ref); got != want {
			t.Errorf("%s: %v", ref, got)
		}
	}
}

func TestHostilePickle(t *testing.T) {
	for name, data := range map[string]string{
		"many strings":   strings.Repeat("\x8c\xff"+strings.Repeat("a", 255), 400_000) + ".",
		"many values":    strings.Repeat("N", maxPickleStack+10),
		"memo":           "N" + strings.Repeat("\x94", maxPickleStack+10),
		"marks":          strings.Repeat("(", 4_000_000),
		"nested lists":   strings.Repeat("(l", 100_000) + ".",
		"one long line":  "c" + strings.Repeat("a", maxPickleLine+10),
		"huge bytes":     "\x8e\xff\xff\xff\xff\x00\x00\x00\x00",
		"negative index": "g-1\n.",
	} {
		s, err := scanPickle(strings.NewReader(data))
		if s.kept > maxPickleText || len(s.stack) > maxPickleStack+1 || len(s.marks) > maxPickleStack+1 {
			t.Errorf("%s: %d bytes, %d values, %d marks, %v", name, s.kept, len(s.stack), len(s.marks), err)
		}
	}
}

func FuzzScanPacked(f *testing.F) {
	f.Add([]byte("\x93NUMPY\x01\x00\x10\x00{'descr': '|O'}\ncos\nsystem\n."))
	f.Add([]byte("x\x9c\x03\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := scanPacked(bytes.NewReader(data)); s == nil {
			t.Errorf("no scan, %v", err)
		}
	})
}

func FuzzScanPickle(f *testing.F) {
	f.Add([]byte("cos\nsystem\n(S'id'\ntR."))
	f.Add([]byte("\x80\x04\x8c\x05posix\x94\x8c\x06system\x93\x8c\x02id\x85R."))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scanPickle(bytes.NewReader(data))
		if s == nil || s.read > int64(len(data)) {
			t.Fatalf("read %d of %d bytes, %v", s.read, len(data), err)
		}
	})
}
