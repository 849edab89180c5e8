package pipinstall

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadSource(t *testing.T) {
	for name, test := range map[string]struct {
		src  string
		want string // calls, then imports after "|"
	}{
		"comment and string":    {"# os.system('x')\ns = 'subprocess.run()'\n\"\"\"exec(1)\"\"\"\n", "|"},
		"alias":                 {"import subprocess as sp, os\nsp.run(['x'])\nos.system('y')", "2 subprocess.run, 3 os.system | 1 subprocess, 1 os"},
		"from":                  {"from os import (system as s,\n  popen)\ns('x'); popen('y')", "3 os.system, 3 os.popen | 1 os, 1 os.system, 1 os.popen"},
		"relative":              {"from . import os\nfrom .a import b\nb()", "3 b |"},
		"method is not builtin": {"re.compile('x'); df.eval('y')\ndef eval(x): pass", "1 re.compile, 1 df.eval |"},
		"dynamic":               {"__import__('o' 's').system('x')\nimportlib.import_module(name)", "1 os.system, 2 importlib.import_module | 1 os"},
		"escape":                {`__import__("\x6f\163").popen("x")`, "1 os.popen | 1 os"},
		"f-string":              {`print(f"a {exec('x')!r:>{w(1)}} {{no()}} {d['k']}")`, "1 print, 1 exec, 1 w |"},
		"nested f-string":       {`f"{f'{eval(1)}'}" + rf"\{exec(2)}"`, "1 eval, 1 exec |"},
		"multi-line":            {"x(\n  # c\n  'a' \\\n  'b',\n  y())\nz()", "1 x, 5 y, 6 z |"},
		"deferred":              {"def f():\n  a()\n  if x:\n    b()\nc()\nclass D:\n  e()\n  async def g(self): h()\n", "2 a*, 4 b*, 5 c, 7 e, 8 h* |"},
		"one line":              {"try: import socket\nexcept: pass", "| 1 socket"},
		"builtins":              {"import builtins\nbuiltins.exec('x')\n__builtins__.eval('y')", "2 exec, 3 eval | 1 builtins"},
		"broken":                {"x = 'unterminated\ny()\n)))(((", "2 y |"},
		"other letters":         {"\u1d49\u02e3ec('x')", "1 exec |"},
		"name import":           {"important = 1\nx.import_module()", "2 x.import_module |"},
	} {
		t.Run(name, func(t *testing.T) {
			f := readSource([]byte(test.src))
			render := func(list []observation) string {
				var parts []string
				for _, o := range list {
					mark := ""
					if o.deferred {
						mark = "*"
					}
					parts = append(parts, fmt.Sprintf("%d %s%s", o.line, o.what, mark))
				}
				return strings.Join(parts, ", ")
			}
			got := strings.TrimSpace(render(f.calls)+" | "+render(f.imports)) + ""
			if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(test.want, " ", "") {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestHooksAndFiles(t *testing.T) {
	f := readSource([]byte("import sys, atexit\nsys.meta_path.insert(0, x)\natexit.register(g)\nopen('a')\nopen('b', 'wb')\nopen('c', mode=\"a\")\nP('x').write_text('y')\nos.remove('z')\nk='~/.aws/credentials'\ncmdclass = {}\n"))
	var got []string
	for _, o := range append(f.hooks, f.files...) {
		got = append(got, fmt.Sprintf("%d %s", o.line, o.what))
	}
	want := []string{"2 sys.meta_path", "3 atexit.register", `5 open mode "wb"`, `6 open mode "a"`, "7 .write_text", "8 os.remove", `9 path "~/.aws/credentials"`}
	if diff := cmp.Diff(want, got); diff != "" || !f.command {
		t.Errorf("cmdclass %v (-want +got):\n%s", f.command, diff)
	}
}

func TestEncodedLength(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"base64": {strings.Repeat("aGVsbG8gd29ybGQgMTIz", 20), true}, "hex": {strings.Repeat("deadbeef01", 30), true},
		"prose": {strings.Repeat("the quick brown fox 1 ", 20), false}, "ruler": {strings.Repeat("=", 300), false}, "digits": {strings.Repeat("1234567890", 30), false},
		"short": {"aGVsbG8=", false}, "letters": {strings.Repeat("abcdefghij", 30), false},
	} {
		if got := encodedLength(test.text) >= minEncoded; got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestLexerAgainstPython compares names and strings with Python's own tokenizer
// over its standard library.
func TestLexerAgainstPython(t *testing.T) {
	out, err := exec.Command("python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").Output()
	if err != nil {
		t.Skipf("needs python3: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.py"))
	if err != nil || len(files) == 0 {
		t.Skipf("the standard library has no source files: %v", err)
	}
	for i, file := range files {
		if i%4 != 0 {
			continue
		}
		// Call sites by the interpreter's own grammar: plain names and dotted names.
		want, err := exec.Command("python3", "-c", `
import ast,sys
t=ast.parse(open(sys.argv[1],"rb").read())
def dotted(n):
    if isinstance(n,ast.Name): return n.id
    if isinstance(n,ast.Attribute):
        b=dotted(n.value); return b and b+"."+n.attr
out=[]
for n in ast.walk(t):
    if isinstance(n,ast.Call):
        d=dotted(n.func)
        if d in("exec","eval","compile","open","__import__"): out.append((n.lineno,d))
print("\n".join("%d %s"%x for x in sorted(out)))`, file).Output()
		if err != nil {
			continue // not source of this version
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		r := newSourceReader()
		for l := newLexer(src); ; {
			s, ok := l.next()
			if !ok {
				break
			}
			if len(s.tokens) > 0 {
				r.alias = map[string]string{} // as written: the oracle resolves nothing
				r.statement(s)
			}
		}
		for _, o := range r.facts.calls {
			switch o.what {
			case "exec", "eval", "compile", "open", "__import__":
				got = append(got, fmt.Sprintf("%d %s", o.line, o.what))
			}
		}
		if diff := cmp.Diff(strings.Fields(string(want)), strings.Fields(strings.Join(got, "\n"))); diff != "" {
			t.Errorf("%s (-ast +lexer):\n%s", file, diff)
		}
	}
}

func FuzzReadSource(f *testing.F) {
	f.Add([]byte("import os as o\nf'{o.system(\"x\"):{y}}'\n"))
	f.Add([]byte("def f(): exec('''a\n''')\n\\\r\nfrom a import (b as c)\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		lines := strings.Count(string(src), "\n") + 1
		facts := readSource(src)
		for _, o := range facts.calls {
			if o.line < 1 || o.line > lines {
				t.Errorf("line %d of %d", o.line, lines)
			}
		}
	})
}
