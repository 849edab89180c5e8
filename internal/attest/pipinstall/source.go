package pipinstall

import (
	"fmt"
	"slices"
	"strings"
)

// observation is one fact about a Python source file.
type observation struct {
	line int
	// kind is a class of facts where a list has several: see the constants.
	kind string
	// what is a resolved dotted name ("subprocess.run") or a description.
	what string
	place
}

// place is where in a file something stands.
type place struct {
	// deferred is true inside a function or lambda body, and where the interpreter
	// does not come when it imports the file (if TYPE_CHECKING, if __name__ ==
	// "__main__").
	deferred bool
	// in is the outermost function, "name" or "Class.name", of what is deferred; it
	// is empty at the level of the module and where no call leads.
	in string
	// through is the function by whose call, at the level of the module, it runs at
	// import nevertheless; deferred is false then.
	through string
}

// sourceFacts is what static reading of one Python file shows. Names are
// resolved through the file's own import statements and plain assignments;
// nothing is evaluated.
type sourceFacts struct {
	imports  []observation // absolute module names
	calls    []observation // resolved callee of each call
	hooks    []observation // interpreter hooks touched: sys.meta_path, …
	files    []observation // file writes, removals, and sensitive paths in strings
	encoded  []observation // long string literals that look encoded
	obscured []observation // what hides what the file does, by kind
	command  bool          // the name "cmdclass" is used
	cut      bool          // a limit left something out
}

// maxObservations bounds each list of one file, maxLookahead the tokens of one
// call that are looked at, maxArgument those of a call that runs its argument.
const (
	maxObservations = 10_000
	maxLookahead    = 200
	maxArgument     = 2_000
	maxArguments    = 2_000_000 // over all calls of a file
)

// readSource analyses one Python source file.
func readSource(src []byte) sourceFacts {
	r := newSourceReader()
	l := newLexer(src)
	for {
		s, ok := l.next()
		if !ok {
			break
		}
		if len(s.tokens) > 0 {
			r.statement(s)
		}
	}
	r.longLine(l.src)
	for _, n := range l.notes {
		r.add(&r.facts.obscured, n)
	}
	r.facts.cut = r.facts.cut || len(l.notes) == maxNotes || r.graph.calls > maxCalls
	r.reach()
	return r.facts
}

// sourceReader collects facts statement by statement.
type sourceReader struct {
	facts   sourceFacts
	alias   map[string]string // local name → dotted name
	decoded map[string]bool   // names that hold what a decoder returned
	blocks  []block           // open blocks that matter
	graph   callGraph
	// checking is false once the file gives TYPE_CHECKING a value of its own.
	checking bool
	budget   int // tokens of arguments that will still be looked at
}

func newSourceReader() *sourceReader {
	return &sourceReader{alias: map[string]string{}, decoded: map[string]bool{}, graph: newCallGraph(), checking: true, budget: maxArguments}
}

// block is an open block: statements indented deeper belong to it.
type block struct {
	indent int
	kind   blockKind
	name   string
	class  string // the outermost class around it, or itself, with a dot
	place  place  // of the statements in it
}

type blockKind int

const (
	blockFunction blockKind = iota
	blockClass
	blockGuard // does not run at import
)

func (r *sourceReader) add(list *[]observation, o observation) {
	if len(*list) >= maxObservations {
		r.facts.cut = true
		return
	}
	*list = append(*list, o)
}

// here is the place of a statement in the blocks that are open.
func (r *sourceReader) here() place {
	if len(r.blocks) == 0 {
		return place{}
	}
	return r.blocks[len(r.blocks)-1].place
}

// open opens the block that a statement starts, if it matters.
func (r *sourceReader) open(t []token, indent int) (opened bool) {
	at := 0
	if isName(t, 0, "async") {
		at = 1
	}
	b := block{indent: indent}
	switch {
	case isName(t, at, "def") && at+1 < len(t):
		b.kind, b.name = blockFunction, t[at+1].text
	case isName(t, 0, "class") && len(t) > 1:
		b.kind, b.name = blockClass, t[1].text
	case isName(t, 0, "if") && r.guards(t):
		b.kind = blockGuard
	default:
		return false
	}
	b.place = r.here()
	if len(r.blocks) > 0 {
		b.class = r.blocks[len(r.blocks)-1].class
	}
	switch {
	case b.place.deferred: // what is in it stays what it is in
	case b.kind == blockGuard:
		b.place = place{deferred: true}
	case b.kind == blockFunction:
		b.place = place{deferred: true, in: b.class + b.name}
		r.graph.define(b.place.in, b)
	case b.class == "":
		b.class = b.name + "."
	}
	r.blocks = append(r.blocks, b)
	return b.kind != blockClass
}

// guards reports whether an if statement keeps its block from the import: one of
// the conditions that must all hold does not when the file is imported.
func (r *sourceReader) guards(t []token) bool {
	var b strings.Builder
	guarded := false
	for _, k := range t[1:min(len(t), maxLookahead)] {
		switch {
		case k.kind == tokenOp && k.text == ":":
			return guarded || r.neverAtImport(b.String())
		case k.kind == tokenName && k.text == "and":
			guarded = guarded || r.neverAtImport(b.String())
			b.Reset()
		case k.kind == tokenName && (k.text == "or" || k.text == "not" || k.text == "if" || k.text == "lambda"), k.kind == tokenOp && bracket(k.text) != 0:
			return false // no plain conjunction
		case k.kind == tokenString:
			b.WriteString("'" + k.text + "'")
		default:
			b.WriteString(k.text)
		}
	}
	return false
}

// neverAtImport reports whether a condition, its tokens joined, is false when the
// file is imported.
func (r *sourceReader) neverAtImport(condition string) bool {
	switch condition {
	case "False", "0", "__name__=='__main__'", "'__main__'==__name__":
		return true
	}
	return r.checking && (condition == "TYPE_CHECKING" || r.resolve(condition) == "typing.TYPE_CHECKING")
}

func (r *sourceReader) statement(s statement) {
	for len(r.blocks) > 0 && !s.joined && s.indent <= r.blocks[len(r.blocks)-1].indent {
		r.blocks = r.blocks[:len(r.blocks)-1]
	}
	t := s.tokens
	outer := r.here()
	opens := r.open(t, s.indent)
	inner := r.here()
	r.assignment(t)
	at := outer
	depth := 0
	var lambda lambdaRange
	for i := 0; i < len(t); i++ {
		where := at
		if i > lambda.colon && i < lambda.end && !at.deferred {
			where = place{deferred: true, in: lambda.name}
		}
		switch {
		case t[i].kind == tokenString:
			r.literal(t[i], where)
		case t[i].kind == tokenOp:
			if depth += bracket(t[i].text); opens && depth == 0 && t[i].text == ":" {
				at = inner // a body on the same line
			}
		case t[i].kind != tokenName:
		case i > 0 && t[i-1].kind == tokenOp && t[i-1].text == ".":
			r.method(t, i, where)
		case t[i].text == "import" && startsClause(t, i):
			i += r.imports(t[i+1:], where)
		case t[i].text == "from" && startsClause(t, i):
			i += r.fromImport(t[i+1:], where)
		case i > 0 && (isName(t, i-1, "def") || isName(t, i-1, "class")):
		case t[i].text == "lambda":
			if i >= lambda.end {
				lambda = r.lambda(t, i)
			}
		default:
			i = r.chain(t, i, where)
		}
	}
}

// method handles a name behind a dot that follows something without a name:
// Path("x").write_text("y").
func (r *sourceReader) method(t []token, i int, where place) {
	r.fileCall("."+t[i].text, t, i+1, t[i].line, where)
	if isOp(t, i+1, "(") {
		r.graph.call(where, "."+t[i].text)
	}
}

// lambdaRange is the body of a lambda: the tokens between colon and end.
type lambdaRange struct {
	colon, end int
	name       string // what it is assigned to
}

// lambda finds the body of the lambda at token i. It is empty for one that is
// called where it stands.
func (r *sourceReader) lambda(t []token, i int) lambdaRange {
	out := lambdaRange{colon: -1}
	if i == 2 && isOp(t, 1, "=") {
		out.name = t[0].text
		r.graph.define(out.name, block{kind: blockFunction})
	}
	depth := 0
	limit := min(len(t), i+maxArgument)
	for out.end = i + 1; out.end < limit; out.end++ {
		k := t[out.end]
		if k.kind != tokenOp {
			continue
		}
		depth += bracket(k.text)
		switch {
		case depth == 0 && k.text == ":" && out.colon < 0:
			out.colon = out.end
		case depth < 0 && isOp(t, out.end+1, "("):
			return lambdaRange{colon: out.end, end: out.end}
		case depth < 0, depth == 0 && k.text == "," && out.colon >= 0:
			return out
		}
	}
	return out
}

// assignment follows plain assignments: a name for a function (run = os.system),
// for a module (m = __import__("os")), for what a decoder returns.
func (r *sourceReader) assignment(t []token) {
	if len(t) < 3 || t[0].kind != tokenName || !isOp(t, 1, "=") || isOp(t, 2, "=") {
		return
	}
	name := t[0].text
	if name == "TYPE_CHECKING" && !isName(t, 2, "False") {
		r.checking = false
	}
	if target, next := dotted(t, 2); next == len(t) && t[2].kind == tokenName {
		if full := r.resolve(target); isProcessCall(full) || isSuspiciousCall(full) || networkKind(full) != "" || full == "getattr" || r.alias[strings.SplitN(target, ".", 2)[0]] != "" {
			r.alias[name] = full
		}
		r.decoded[name] = r.decoded[target]
		return
	}
	if full := r.resolve(t[2].text); isImportCall(full) || t[2].text == "importlib" {
		if module, ok := r.importedBy(t, 2); ok {
			r.alias[name] = module
		}
	}
	if g, ok := r.getattr(t, 2); ok && g.next == len(t) {
		r.alias[name] = g.target
	}
	if r.decodes(t[2:min(len(t), 2+maxArgument)]) != "" {
		r.decoded[name] = true
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
	length := b.Len()
	for j := i; j < len(t) && (t[j].kind == tokenName || t[j].text == "."); j++ {
		length += len(t[j].text)
	}
	b.Grow(length) // nearly all names of the file come this way
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
	return i >= 0 && i < len(t) && t[i].kind == tokenName && t[i].text == text
}

func isOp(t []token, i int, text string) bool {
	return i >= 0 && i < len(t) && t[i].kind == tokenOp && t[i].text == text
}

// imports reads "a.b as c, d" and returns the number of tokens read.
func (r *sourceReader) imports(t []token, where place) int {
	for i := 0; i < len(t); i++ {
		name, next := dotted(t, i)
		if name == "" {
			return i
		}
		r.add(&r.facts.imports, observation{line: t[i].line, what: name, place: where})
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
func (r *sourceReader) fromImport(t []token, where place) int {
	module, i := dotted(t, 0)
	if !isName(t, i, "import") || strings.HasPrefix(module, ".") {
		return i
	}
	r.add(&r.facts.imports, observation{line: t[0].line, what: module, place: where})
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
		r.add(&r.facts.imports, observation{line: t[0].line, what: module + "." + name, place: where})
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
func (r *sourceReader) chain(t []token, i int, where place) int {
	name, next := dotted(t, i)
	full := r.resolve(name)
	line := t[i].line
	if full == "cmdclass" || strings.HasSuffix(full, ".cmdclass") {
		r.facts.command = true
	}
	if hook := hookOf(full); hook != "" {
		r.add(&r.facts.hooks, observation{line: line, what: hook, place: where})
	}
	if isOp(t, next, "[") {
		full, next = r.subscript(t, full, next, where)
	}
	decorator := i == 1 && isOp(t, 0, "@")
	if !isOp(t, next, "(") {
		if decorator {
			r.called(full, name, t, next, line, where)
		}
		if isName(t, i-2, "target") && isOp(t, i-1, "=") {
			r.graph.call(where, name) // Thread(target=f)
		}
		return next - 1
	}
	at := next
	switch {
	case isImportCall(full):
		full, at = r.dynamicImport(t, i, next, full, where)
	case full == "getattr":
		if g, ok := r.getattr(t, i); ok {
			r.attribute(g, line, where)
			if isOp(t, g.next, "(") {
				full, at = g.target, g.next
			}
		}
	}
	r.called(full, name, t, at, line, where)
	return next - 1
}

// called records one call; open is its opening bracket.
func (r *sourceReader) called(full, name string, t []token, open, line int, where place) {
	r.add(&r.facts.calls, observation{line: line, what: full, place: where})
	r.graph.call(where, name)
	r.fileCall(full, t, open, line, where)
	r.obscuredCall(full, t, open, line, where)
}

// isImportCall reports whether a callee imports the module that it is given.
func isImportCall(full string) bool {
	return full == "__import__" || full == "importlib.import_module" || full == "importlib.__import__"
}

// importedBy returns the module of __import__("os") at token i when nothing
// follows it.
func (r *sourceReader) importedBy(t []token, i int) (string, bool) {
	name, open := dotted(t, i)
	if !isImportCall(r.resolve(name)) || !isOp(t, open, "(") {
		return "", false
	}
	v := text(t, open+1)
	return v.value, v.ok && isOp(t, v.next, ")") && v.next+1 == len(t)
}

// dynamicImport handles __import__("os").system(…): with a literal name the
// callee is known. It returns the callee and its opening bracket.
func (r *sourceReader) dynamicImport(t []token, i, open int, full string, where place) (string, int) {
	v := text(t, open+1)
	if !v.ok || !isOp(t, v.next, ")") && !isOp(t, v.next, ",") {
		return full, open
	}
	r.add(&r.facts.imports, observation{line: t[open].line, what: v.value, place: where})
	r.hiddenName(full, v, t[i].line, where)
	end := v.next
	for limit := min(len(t), end+maxLookahead); end < limit && !isOp(t, end, ")"); end++ {
	}
	if isOp(t, end, ")") && isOp(t, end+1, ".") {
		attr, behind := dotted(t, end+2)
		return v.value + "." + attr, behind
	}
	return full, open
}

// fileCall records calls that change files.
func (r *sourceReader) fileCall(full string, t []token, open, line int, where place) {
	if open >= len(t) || t[open].kind != tokenOp || t[open].text != "(" {
		return
	}
	last := full[strings.LastIndexByte(full, '.')+1:]
	switch {
	case full == "open" || full == "io.open" || full == "os.open":
		if mode := writeMode(t, open); mode != "" {
			r.add(&r.facts.files, observation{line: line, what: full + " mode " + mode, place: where})
		}
	case strings.HasPrefix(full, "shutil.") && last != "which",
		last == "write_text", last == "write_bytes":
		r.add(&r.facts.files, observation{line: line, what: full, place: where})
	case strings.HasPrefix(full, "os."):
		switch last {
		case "remove", "unlink", "rename", "replace", "chmod", "chown", "symlink", "link", "truncate", "rmdir", "removedirs":
			r.add(&r.facts.files, observation{line: line, what: full, place: where})
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

// minEncoded is the length from which a literal counts as an encoded payload.
const minEncoded = 200

// literal looks at a string: encoded payloads and sensitive paths.
func (r *sourceReader) literal(t token, where place) {
	if n := encodedLength(t.text); n >= minEncoded {
		r.add(&r.facts.encoded, observation{line: t.line, what: fmt.Sprintf("encoded literal of %d characters", n), place: where})
	}
	if e := entropyOf(t.text); e > 0 {
		r.add(&r.facts.obscured, observation{line: t.line, kind: denseLiteral, what: fmt.Sprintf("literal of %d bytes with %.1f bits each", len(t.text), e), place: where})
	}
	if p := sensitivePath(t.text); p != "" {
		r.add(&r.facts.files, observation{line: t.line, what: "path " + p, place: where})
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

// networkKind is "network" for a callee that contacts another machine, "socket"
// for one that makes a socket, which honest modules do to ask the system what it
// can; "" for others.
func networkKind(name string) string {
	switch name {
	case "socket.socket", "socket.socketpair":
		return "socket"
	case "socket.create_connection", "socket.create_server", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex",
		"urllib.request.urlopen", "urllib.request.urlretrieve", "urllib.urlopen", "urllib.urlretrieve", "urllib2.urlopen",
		"http.client.HTTPConnection", "http.client.HTTPSConnection", "httplib.HTTPConnection", "httplib.HTTPSConnection",
		"urllib3.PoolManager", "urllib3.request", "aiohttp.ClientSession", "aiohttp.request", "ftplib.FTP", "ftplib.FTP_TLS",
		"smtplib.SMTP", "smtplib.SMTP_SSL", "telnetlib.Telnet", "paramiko.SSHClient", "websocket.create_connection",
		"websockets.connect", "xmlrpc.client.ServerProxy", "asyncio.open_connection":
		return "network"
	}
	module, last, _ := strings.Cut(name, ".")
	if module == "requests" || module == "httpx" {
		switch last {
		case "get", "post", "put", "patch", "delete", "head", "options", "request", "Session", "session", "Client", "stream":
			return "network"
		}
	}
	return ""
}
