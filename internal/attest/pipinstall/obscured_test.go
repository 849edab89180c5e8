package pipinstall

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestObscured has a fixture for every kind of obfuscation, and what is close to
// it and honest.
func TestObscured(t *testing.T) {
	encoded := "'" + strings.Repeat("aGVsbG8gd29ybGQgMTIz", 20) + "'"
	for name, test := range map[string]struct {
		src  string
		want string // "line kind: what" joined by "; "
	}{
		"exec of decoded":       {"import base64\nexec(base64.b64decode(x))", "2 exec-decoded: exec of base64.b64decode"},
		"through aliases":       {"from base64 import b64decode as d\ne = exec\ne(d(x))", "3 exec-decoded: exec of base64.b64decode"},
		"through a name":        {"import zlib\na = zlib.decompress(b)\nc = a\neval(c)", "4 exec-decoded: eval of decoded \"c\""},
		"of a compile":          {"exec(compile(__import__('marshal').loads(x), 'a', 'exec'))", "1 exec-decoded: exec of marshal.loads; 1 exec-decoded: compile of marshal.loads; 1 marshal: marshal.loads"},
		"of a literal":          {"exec(f(" + encoded + "))", "1 exec-decoded: exec of an encoded literal"},
		"of escapes":            {`exec("\x69\x6d\x70\x6f\x72\x74 os")`, "1 exec-decoded: exec of an encoded literal"},
		"of fromhex":            {"exec(bytes.fromhex(x).decode())", "1 exec-decoded: exec of bytes.fromhex"},
		"of characters":         {"exec(''.join(map(chr, x)))\nexec(''.join(chr(i) for i in x))", "1 exec-decoded: exec of chr; 2 exec-decoded: exec of chr"},
		"honest exec":           {"exec(compile(open(f).read(), f, 'exec'), g)\nre.compile(base64.b64decode(x))", ""},
		"chain":                 {"import zlib, base64\nzlib.decompress(base64.b64decode(x))", "2 decoder-chain: zlib.decompress of base64.b64decode"},
		"marshal":               {"import marshal\ndef f(): marshal.loads(x)", "2 marshal: marshal.loads"},
		"behind blanks":         {"x = 1;" + strings.Repeat(" ", 200) + "evil()", "1 hidden-code: code behind 200 blanks"},
		"behind blanks, inline": {"import a" + strings.Repeat(" ", 200) + ";evil()", "1 hidden-code: code behind 200 blanks"},
		"a wide table":          {"x = [1," + strings.Repeat(" ", 200) + "2]\ny = 1" + strings.Repeat(" ", 200) + "# comment\n" + strings.Repeat(" ", 300) + "\n", ""},
		"other letters":         {"\u1d49\u02e3ec('x')", `1 compatibility-name: "exec" is spelled "\u1d49\u02e3ec"`},
		"look-alike":            {"\u0430dmin = 1", `1 lookalike-name: "\u0430dmin" mixes Latin and Cyrillic letters`},
		"honest letters":        {"\u03b8 = d\u03b8 = 1\nимя = 2", ""},
		"escaped import":        {`__import__("\x6f\x73").system("x")`, `1 escaped-name: __import__ of "os"`},
		"computed import":       {"__import__('o' + 's')\n__import__('so'[::-1])\n__import__(chr(111)+chr(115))", `1 computed-name: __import__ of "os"; 2 computed-name: __import__ of "os"; 3 computed-name: __import__ of "os"`},
		"getattr":               {"getattr(__import__('os'), 'system')('x')\ngetattr(__builtins__, 'exec')('y')", `1 computed-name: getattr of "os.system"; 2 dynamic-builtin: getattr of "exec"`},
		"computed getattr":      {"import os\ngetattr(os, 'sys' + 'tem')('x')", `2 computed-name: getattr of "os.system"`},
		"escaped getattr":       {`getattr(x, "\x61\x62c")`, `1 escaped-name: getattr of "x.abc"`},
		"compatible":            {"from six import moves\ngetattr(moves.builtins, 'exec')", `2 dynamic-builtin: getattr of "exec"`},
		"honest getattr":        {"import os\ngetattr(os, 'O_BINARY', 0)\ngetattr(self, 'run')()\ngetattr(cls, 'eval', None)", ""},
		"honest import":         {"importlib.import_module('a.b.' + '.'.join(x))\nimportlib.import_module('a.' 'b')\n__import__('%s' % x)", ""},
		"tables":                {"__builtins__['eval']('x')\nimport os\nos.__dict__['sys' 'tem']('y')", `1 dynamic-builtin: "eval" from a table; 3 dynamic-builtin: "os.system" from a table`},
		"dense":                 {"x = '" + dense(600) + "'", "1 dense-literal: literal of 600 bytes with 6.4 bits each"},
		"long line":             {"x = [" + strings.Repeat("1, ", 8000) + "]", "1 long-line: line of 24006 bytes"},
		"prose":                 {"x = '" + strings.Repeat("the quick brown fox jumps over it. ", 40) + "'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range readSource([]byte(test.src)).obscured {
				got = append(got, fmt.Sprintf("%d %s: %s", o.line, o.kind, o.what))
			}
			slices.Sort(got)
			want := strings.Split(test.want, "; ")
			slices.Sort(want)
			if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// dense is text that looks like compressed data in some base of 91 characters.
func dense(n int) string {
	var b strings.Builder
	for i, x := 0, uint32(1); i < n; i++ {
		x = x*1664525 + 1013904223
		c := byte(33 + x>>16%91)
		if c == '\'' || c == '\\' {
			c = '!'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// TestAtImport says which calls run when a file is imported.
func TestAtImport(t *testing.T) {
	for name, test := range map[string]struct {
		src  string
		want string // the calls of os.system that run: "line" or "line via function"
	}{
		"module level":        {"import os\nos.system('a')", "2"},
		"function":            {"import os\ndef f():\n  os.system('a')", ""},
		"class body":          {"import os\nclass A:\n  x = os.system('a')\n  def f(self): os.system('b')", "3"},
		"decorator":           {"import os\n@os.system\ndef f(): pass\n@d(os.system('a'))\ndef g(): pass", "2 4"},
		"default":             {"import os\ndef f(a=os.system('x')): os.system('b')\n", "2"},
		"main":                {"import os\nif __name__ == '__main__':\n  os.system('a')\nelse:\n  os.system('b')", "5"},
		"type checking":       {"import os\nfrom typing import TYPE_CHECKING as T\nif T:\n  os.system('a')\nif T: os.system('b')", ""},
		"own type checking":   {"import os\nTYPE_CHECKING = True\nif TYPE_CHECKING:\n  os.system('a')", "4"},
		"plain type checking": {"import os\nTYPE_CHECKING = False\nif TYPE_CHECKING:\n  os.system('a')", ""},
		"not main":            {"import os\nif __name__ == '__main__' or 1:\n  os.system('a')\nif not __name__ == '__main__':\n  os.system('b')", "3 5"},
		"and main":            {"import os, sys\nif sys.platform != 'win32' and __name__ == '__main__':\n  os.system('a')\nif x and True:\n  os.system('b')", "5"},
		"lambda":              {"import os\nf = lambda: os.system('a')\nx = [lambda: os.system('b'), os.system('c')]", "3"},
		"lambda called":       {"import os\n(lambda: os.system('a'))()", "2"},
		"lambda by name":      {"import os\nf = lambda: os.system('a')\nf()", "2 via f"},
		"lambda default":      {"import os\nf = lambda x=os.system('a'): 0", "2"},
		"called":              {"import os\ndef f():\n  os.system('a')\nf()", "3 via f"},
		"called by called":    {"import os\ndef f():\n  os.system('a')\ndef g(): f()\ndef h(): g()\nh()", "3 via h"},
		"not called":          {"import os\ndef f():\n  os.system('a')\ndef g(): f()", ""},
		"constructor":         {"import os\nclass A:\n  def __init__(self): self.go()\n  def go(self):\n    os.system('a')\nA()", "5 via A.__init__"},
		"method":              {"import os\nclass A:\n  def go(self):\n    os.system('a')\nA().go()", "4 via A.go"},
		"method of an object": {"import os\nclass A:\n  def go(self):\n    os.system('a')\na = A()\na.go()", "4 via A.go"},
		"thread":              {"import os, threading\ndef f():\n  os.system('a')\nthreading.Thread(target=f).start()", "3 via f"},
		"nested":              {"import os\ndef f():\n  def g():\n    os.system('a')\n  g()\nf()", "4 via f"},
		"semicolons":          {"import os\nclass A:\n  def f(self):\n    a(); os.system('a')\n  b(); os.system('b')", "5"},
		"semicolon in one":    {"import os\ndef f(): a(); os.system('a')\nos.system('b')", "3"},
		"assigned":            {"import os\ns = os.system\ns('a')", "3"},
		"assigned module":     {"m = __import__('os')\nm.system('a')\ng = getattr(m, 'system')\ng('b')", "2 4"},
		"getattr":             {"import os\ngetattr(os, 'sys' + 'tem')('a')", "2"},
		"sys.modules":         {"import sys\nsys.modules['os'].system('a')", "2"},
		"dictionary":          {"import os\nos.__dict__['system']('a')", "2"},
		"comment and string":  {"# os.system('a')\n'os.system(1)'\n\"\"\"\nos.system('b')\n\"\"\"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range readSource([]byte(test.src)).calls {
				if o.what != "os.system" || o.deferred {
					continue
				}
				if got = append(got, fmt.Sprint(o.line)); o.through != "" {
					got[len(got)-1] += " via " + o.through
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, strings.Join(slices.Compact(got), " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostileSource reads files that are made to take long.
func TestHostileSource(t *testing.T) {
	const n = 100_000
	for name, src := range map[string]string{
		"nested exec":    strings.Repeat("exec(", n),
		"nested lambda":  strings.Repeat("lambda:", n),
		"lambdas":        strings.Repeat("[lambda x: (", n),
		"getattr":        strings.Repeat("getattr(a,'b',", n),
		"imports":        strings.Repeat("__import__('a'", n),
		"methods":        "class A:\n" + strings.Repeat(" def a(self): self.a()\n", n/10) + "A()\n" + strings.Repeat("x.a()\n", n/10),
		"functions":      functions(5_000),
		"dots":           strings.Repeat("a.", n) + "b()",
		"blocks":         blocks(1_000),
		"f-strings":      strings.Repeat("f'{", n),
		"additions":      "__import__(" + strings.Repeat("'a'+", n) + "'b')",
		"assignments":    strings.Repeat("a = b.c\n", n),
		"one assignment": "a = " + strings.Repeat("f(", n),
	} {
		t.Run(name, func(t *testing.T) {
			f := readSource([]byte(src))
			if len(f.calls) > maxObservations || len(f.obscured) > maxObservations {
				t.Errorf("%d calls, %d oddities", len(f.calls), len(f.obscured))
			}
		})
	}
}

// functions are functions of which each calls all that follow, as far as is counted.
func functions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "def f%d():\n f%d(); f%d(); f%d()\n", i, i+1, (i*7)%n, (i*13)%n)
	}
	b.WriteString("f0()\n")
	return b.String()
}

func blocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "def f():\n")
	}
	return b.String()
}
