package pipinstall

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// observation is one fact about a Python source file.
type observation struct {
	line int
	// what is a resolved dotted name ("subprocess.run") or a description.
	what string
	// deferred is true inside a function or lambda body: it does not run when
	// the file is imported.
	deferred bool
}

// sourceFacts is what static reading of one Python file shows. Names are
// resolved through the file's own import statements; nothing is evaluated.
type sourceFacts struct {
	imports []observation // absolute module names
	calls   []observation // resolved callee of each call
	hooks   []observation // interpreter hooks touched: sys.meta_path, …
	files   []observation // file writes, removals, and sensitive paths in strings
	encoded []observation // long string literals that look encoded
	command bool          // the name "cmdclass" is used
}

// maxObservations bounds each list of one file, maxLookahead the tokens of one
// call that are looked at.
const (
	maxObservations = 10_000
	maxLookahead    = 200
)

// readSource analyses one Python source file.
func readSource(src []byte) sourceFacts {
	r := &sourceReader{alias: map[string]string{}}
	l := newLexer(src)
	for {
		s, ok := l.next()
		if !ok {
			return r.facts
		}
		if len(s.tokens) > 0 {
			r.statement(s)
		}
	}
}

// sourceReader collects facts statement by statement.
type sourceReader struct {
	facts  sourceFacts
	alias  map[string]string // local name → dotted name
	blocks []block           // open def blocks
}

// block is an open function body: statements indented deeper belong to it.
type block struct{ indent int }

func (r *sourceReader) add(list *[]observation, o observation) {
	if len(*list) < maxObservations {
		*list = append(*list, o)
	}
}

func (r *sourceReader) statement(s statement) {
	for len(r.blocks) > 0 && s.indent <= r.blocks[len(r.blocks)-1].indent {
		r.blocks = r.blocks[:len(r.blocks)-1]
	}
	t := s.tokens
	deferred := len(r.blocks) > 0
	function := isName(t, 0, "def") || isName(t, 0, "async") && isName(t, 1, "def")
	if function {
		r.blocks = append(r.blocks, block{s.indent})
	}
	depth := 0
	for i := 0; i < len(t); i++ {
		switch {
		case t[i].kind == tokenString:
			r.literal(t[i], deferred)
		case t[i].kind == tokenOp:
			depth += bracket(t[i].text)
			deferred = deferred || function && depth == 0 && t[i].text == ":" // a body on the same line
		case t[i].kind != tokenName:
		case i > 0 && t[i-1].kind == tokenOp && t[i-1].text == ".":
			// A method of something that has no name: Path("x").write_text("y").
			r.fileCall("."+t[i].text, t, i+1, t[i].line, deferred)
		case t[i].text == "import" && startsClause(t, i):
			i += r.imports(t[i+1:], deferred)
		case t[i].text == "from" && startsClause(t, i):
			i += r.fromImport(t[i+1:], deferred)
		case i > 0 && (isName(t, i-1, "def") || isName(t, i-1, "class")):
		default:
			i = r.chain(t, i, deferred)
		}
	}
}

// bracket is 1 for an opening bracket, -1 for a closing one, else 0.
func bracket(op string) int {
	switch op {
	case "(", "[", "{":
		return 1
	case ")", "]", "}":
		return -1
	}
	return 0
}

// startsClause reports whether token i starts a simple statement: the first of
// the line, or behind the colon of "try:", "else:" and the like.
func startsClause(t []token, i int) bool {
	return i == 0 || t[i-1].kind == tokenOp && t[i-1].text == ":"
}

// dotted reads NAME(.NAME)* from i and returns the index behind it. Leading
// dots (a relative import) make the name start with ".".
func dotted(t []token, i int) (string, int) {
	if isPlainName(t, i) {
		return t[i].text, i + 1
	}
	var b strings.Builder
	for i < len(t) && t[i].kind == tokenOp && t[i].text == "." {
		b.WriteByte('.')
		i++
	}
	for i < len(t) && t[i].kind == tokenName {
		b.WriteString(t[i].text)
		if i+2 < len(t) && t[i+1].kind == tokenOp && t[i+1].text == "." && t[i+2].kind == tokenName {
			b.WriteByte('.')
			i += 2
			continue
		}
		return b.String(), i + 1
	}
	return b.String(), i
}

// isPlainName reports whether token i is a name without a dot behind it.
func isPlainName(t []token, i int) bool {
	return i < len(t) && t[i].kind == tokenName && (i+1 >= len(t) || t[i+1].text != ".")
}

func isName(t []token, i int, text string) bool {
	return i < len(t) && t[i].kind == tokenName && t[i].text == text
}

// imports reads "a.b as c, d" and returns the number of tokens read.
func (r *sourceReader) imports(t []token, deferred bool) int {
	for i := 0; i < len(t); i++ {
		name, next := dotted(t, i)
		if name == "" {
			return i
		}
		r.add(&r.facts.imports, observation{t[i].line, name, deferred})
		if i = next; isName(t, i, "as") && i+1 < len(t) {
			r.alias[t[i+1].text] = name
			i += 2
		} else {
			top, _, _ := strings.Cut(name, ".")
			r.alias[top] = top
		}
		if i >= len(t) || t[i].text != "," {
			return i
		}
	}
	return len(t)
}

// fromImport reads "a.b import (c as d, e)" and returns the number of tokens read.
func (r *sourceReader) fromImport(t []token, deferred bool) int {
	module, i := dotted(t, 0)
	if !isName(t, i, "import") || strings.HasPrefix(module, ".") {
		return i
	}
	r.add(&r.facts.imports, observation{t[0].line, module, deferred})
	for i++; i < len(t); i++ {
		if t[i].kind != tokenName {
			if t[i].text == "(" || t[i].text == "," {
				continue
			}
			return i
		}
		name, local := t[i].text, t[i].text
		if isName(t, i+1, "as") && i+2 < len(t) {
			local = t[i+2].text
			i += 2
		}
		// The name may be a module of the package: "from urllib import request".
		r.add(&r.facts.imports, observation{t[0].line, module + "." + name, deferred})
		r.alias[local] = module + "." + name
	}
	return len(t)
}

// resolve replaces the first part of a dotted name by what it was imported as.
func (r *sourceReader) resolve(name string) string {
	first, rest, more := strings.Cut(name, ".")
	target, ok := r.alias[first]
	if first == "__builtins__" || target == "builtins" {
		return rest
	}
	if !ok {
		return name
	}
	if !more {
		return target
	}
	return target + "." + rest
}

// chain reads a dotted name from token i and records the call or the hook it
// stands for; it returns the index of its last token.
func (r *sourceReader) chain(t []token, i int, deferred bool) int {
	name, next := dotted(t, i)
	full := r.resolve(name)
	line := t[i].line
	if full == "cmdclass" || strings.HasSuffix(full, ".cmdclass") {
		r.facts.command = true
	}
	if hook := hookOf(full); hook != "" {
		r.add(&r.facts.hooks, observation{line, hook, deferred})
	}
	if next >= len(t) || t[next].kind != tokenOp || t[next].text != "(" {
		return next - 1
	}
	if full == "__import__" || full == "importlib.import_module" || full == "importlib.__import__" {
		full = r.dynamicImport(t, next, full, deferred)
	}
	r.add(&r.facts.calls, observation{line, full, deferred})
	r.fileCall(full, t, next, line, deferred)
	return next - 1
}

// dynamicImport handles __import__("os").system(…): with a literal name the
// callee is known.
func (r *sourceReader) dynamicImport(t []token, open int, full string, deferred bool) string {
	if open+1 >= len(t) || t[open+1].kind != tokenString {
		return full
	}
	module := ""
	i := open + 1
	for ; i < len(t) && t[i].kind == tokenString; i++ {
		module += t[i].text
	}
	r.add(&r.facts.imports, observation{t[open].line, module, deferred})
	for end := min(len(t), i+maxLookahead); i < end && t[i].text != ")"; i++ {
	}
	if i+2 < len(t) && t[i+1].text == "." {
		attr, _ := dotted(t, i+2)
		return module + "." + attr
	}
	return full
}

// fileCall records calls that change files.
func (r *sourceReader) fileCall(full string, t []token, open, line int, deferred bool) {
	if open >= len(t) || t[open].kind != tokenOp || t[open].text != "(" {
		return
	}
	last := full[strings.LastIndexByte(full, '.')+1:]
	switch {
	case full == "open" || full == "io.open" || full == "os.open":
		if mode := writeMode(t, open); mode != "" {
			r.add(&r.facts.files, observation{line, full + " mode " + mode, deferred})
		}
	case strings.HasPrefix(full, "shutil.") && last != "which",
		last == "write_text", last == "write_bytes":
		r.add(&r.facts.files, observation{line, full, deferred})
	case strings.HasPrefix(full, "os."):
		switch last {
		case "remove", "unlink", "rename", "replace", "chmod", "chown", "symlink", "link", "truncate", "rmdir", "removedirs":
			r.add(&r.facts.files, observation{line, full, deferred})
		}
	}
}

// writeMode returns the mode literal of an open call that writes, "" otherwise.
func writeMode(t []token, open int) string {
	depth := 0
	for i := open; i < min(len(t), open+maxLookahead); i++ {
		if t[i].kind == tokenOp {
			if depth += bracket(t[i].text); depth == 0 {
				return ""
			}
		}
		// A mode stands behind a comma or "mode=", and is made of these letters.
		if depth == 1 && t[i].kind == tokenString && i > open+1 && (t[i-1].text == "," || t[i-1].text == "=") &&
			len(t[i].text) <= 4 && strings.ContainsAny(t[i].text, "wax+") && strings.Trim(t[i].text, "rwaxbt+") == "" {
			return fmt.Sprintf("%q", t[i].text)
		}
	}
	return ""
}

// hooks are the places through which code changes how the interpreter imports,
// exits, decodes or traces.
func hooks() []string {
	return []string{
		"sys.meta_path", "sys.path_hooks", "sys.settrace", "sys.setprofile", "sys.addaudithook",
		"atexit.register", "codecs.register", "threading.settrace", "site.addsitedir",
	}
}

// hookOf returns the hook that a resolved name is, or is a part of, else "".
func hookOf(name string) string {
	switch first, _, _ := strings.Cut(name, "."); first {
	case "sys", "atexit", "codecs", "threading", "site":
	default:
		return ""
	}
	for _, hook := range hooks() {
		if name == hook || strings.HasPrefix(name, hook+".") {
			return hook
		}
	}
	return ""
}

// mentionsHook reports whether a source can name a hook at all: the last part
// of its name, or text in which an identifier may be spelled with compatibility
// characters, must occur in it. It saves reading most files token by token.
func mentionsHook(src []byte) bool {
	for _, hook := range hooks() {
		module, last, _ := strings.Cut(hook, ".")
		if bytes.Contains(src, []byte(last)) && bytes.Contains(src, []byte(module)) {
			return true
		}
	}
	return bytes.ContainsFunc(src, func(r rune) bool { return r >= utf8.RuneSelf })
}

// minEncoded is the length from which a literal counts as an encoded payload.
const minEncoded = 200

// literal looks at a string: encoded payloads and sensitive paths.
func (r *sourceReader) literal(t token, deferred bool) {
	if n := encodedLength(t.text); n >= minEncoded {
		r.add(&r.facts.encoded, observation{t.line, fmt.Sprintf("encoded literal of %d characters", n), deferred})
	}
	if p := sensitivePath(t.text); p != "" {
		r.add(&r.facts.files, observation{t.line, "path " + p, deferred})
	}
}

// encodedLength returns the length of a literal that consists of base64 or hex
// digits only, white space aside, and varies like encoded data; else 0.
func encodedLength(s string) int {
	n, upper, lower, digit := 0, 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n' || c == '\r' || c == ' ' || c == '\t':
			continue
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= '0' && c <= '9':
			digit++
		case c == '+' || c == '/' || c == '-' || c == '_' || c == '=':
		default:
			return 0
		}
		n++
	}
	// Prose, names and rulers do not mix digits and letters at this rate; long
	// runs of words with spaces are prose.
	letters := upper + lower
	if digit*20 < n || letters*20 < n || strings.Count(s, " ")*20 > n {
		return 0
	}
	return n
}

// sensitivePath returns the part of a short literal that names a place where
// credentials or start-up files live, "" for none.
func sensitivePath(s string) string {
	if len(s) > 300 || strings.ContainsAny(s, "\n") {
		return ""
	}
	for _, p := range []string{
		".ssh/", "id_rsa", "id_ed25519", ".aws/", ".kube/config", ".netrc", ".pypirc", ".npmrc", ".gnupg",
		".docker/config.json", ".config/gcloud", ".azure/", "/etc/passwd", "/etc/shadow", "/etc/cron", ".bashrc",
		".zshrc", ".profile", "LaunchAgents", "systemd/user", "/proc/self/environ", ".git-credentials", "Login Data", "wallet.dat",
	} {
		if strings.Contains(s, p) {
			return fmt.Sprintf("%q", s)
		}
	}
	return ""
}

// isNetworkModule reports whether importing a module serves network access.
func isNetworkModule(name string) bool {
	for _, m := range []string{
		"socket", "ssl", "urllib.request", "urllib2", "urllib3", "requests", "http.client", "httplib", "httpx",
		"aiohttp", "ftplib", "smtplib", "telnetlib", "paramiko", "websocket", "websockets", "xmlrpc.client", "pycurl",
	} {
		if name == m || strings.HasPrefix(name, m+".") {
			return true
		}
	}
	return false
}

// isProcessCall reports whether a callee starts a process.
func isProcessCall(name string) bool {
	module, last := "", name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		module, last = name[:i], name[i+1:]
	}
	switch module {
	case "subprocess":
		return slices.Contains([]string{"run", "call", "check_call", "check_output", "Popen", "getoutput", "getstatusoutput"}, last)
	case "os", "posix":
		return last == "system" || last == "popen" || last == "posix_spawn" || last == "posix_spawnp" || last == "fork" ||
			strings.HasPrefix(last, "exec") || strings.HasPrefix(last, "spawn") || last == "startfile"
	case "pty":
		return last == "spawn" || last == "fork"
	case "asyncio":
		return strings.HasPrefix(last, "create_subprocess_")
	}
	return false
}

// isSuspiciousCall reports whether a callee is one that an honest setup.py
// rarely needs: dynamic code, processes, decoding, network, native memory.
func isSuspiciousCall(name string) bool {
	switch name {
	case "exec", "eval", "compile", "__import__", "execfile", "importlib.import_module", "runpy.run_path", "runpy.run_module",
		"marshal.loads", "marshal.load", "pickle.loads", "pickle.load", "dill.loads", "zlib.decompress", "codecs.decode",
		"lzma.decompress", "bz2.decompress", "gzip.decompress", "bytes.fromhex", "binascii.unhexlify", "binascii.a2b_base64",
		"socket.socket", "socket.create_connection", "urllib.request.urlopen", "urllib.request.urlretrieve",
		"urllib.request.Request", "atexit.register", "types.FunctionType", "types.CodeType":
		return true
	}
	return isProcessCall(name) || strings.HasPrefix(name, "ctypes.") ||
		strings.HasPrefix(name, "base64.") && strings.HasSuffix(name, "decode") ||
		strings.HasPrefix(name, "requests.") || strings.HasPrefix(name, "httpx.")
}
