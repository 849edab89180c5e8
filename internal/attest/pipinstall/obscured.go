package pipinstall

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kinds of obfuscation. Those above the line have no honest use that is known;
// those below it have.
const (
	execDecoded       = "exec-decoded"       // exec, eval or compile of what a decoder returned
	hiddenCode        = "hidden-code"        // code far to the right of what is shown
	compatibilityName = "compatibility-name" // an identifier in characters that Python takes for others
	lookalikeName     = "lookalike-name"     // an identifier that looks like another
	escapedName       = "escaped-name"       // the name of a module or attribute, written as numbers
	computedName      = "computed-name"      // the name of a module or attribute, put together from pieces

	dynamicBuiltin = "dynamic-builtin" // exec, os.system and the like fetched by their name
	decoderChain   = "decoder-chain"   // a decoder over what another decoder returned
	marshalCode    = "marshal"         // byte code from data
	denseLiteral   = "dense-literal"   // a long literal that looks compressed
	longLine       = "long-line"
)

// Bounds from which literals and lines are told of.
const (
	minDense    = 500    // bytes of a literal
	minLongLine = 20_000 // bytes of a line
)

// obscuredCall looks at calls that decode, or run what they are given.
func (r *sourceReader) obscuredCall(full string, t []token, open, line int, where place) {
	note := func(kind, format string, args ...any) {
		r.add(&r.facts.obscured, observation{line: line, kind: kind, what: fmt.Sprintf(format, args...), place: where})
	}
	runs := full == "exec" || full == "eval" || full == "compile" || full == "execfile"
	decodes := isDecoder(full)
	if full == "marshal.loads" || full == "marshal.load" || full == "types.CodeType" {
		note(marshalCode, "%s", full)
	}
	if !runs && !decodes || !isOp(t, open, "(") {
		return
	}
	what := r.decodes(r.argument(t, open))
	switch {
	case what != "" && runs:
		note(execDecoded, "%s of %s", full, what)
	case isDecoder(what):
		note(decoderChain, "%s of %s", full, what)
	}
}

// argument returns the tokens between an opening bracket and its closing one, as
// far as is looked.
func (r *sourceReader) argument(t []token, open int) []token {
	if r.budget <= 0 {
		r.facts.cut = true
		return nil
	}
	depth := 0
	end := open
	for limit := min(len(t), open+maxArgument); end < limit; end++ {
		if t[end].kind == tokenOp {
			if depth += bracket(t[end].text); depth == 0 {
				break
			}
		}
	}
	r.budget -= end - open
	return t[min(open+1, end):end]
}

// decodes returns the decoder that occurs in an expression, a name that holds
// what one returned, or a literal that is encoded; "" for none.
func (r *sourceReader) decodes(t []token) string {
	for i := 0; i < len(t); i++ {
		switch {
		case t[i].kind == tokenString && (t[i].escaped && len(t[i].text) >= 4 || encodedLength(t[i].text) >= minEncoded):
			return "an encoded literal"
		case t[i].kind != tokenName:
		case i > 0 && isOp(t, i-1, "."):
			if t[i].text == "fromhex" {
				return "bytes.fromhex"
			}
		default:
			name, next := dotted(t, i)
			full := r.resolve(name)
			if isDecoder(full) && isOp(t, next, "(") {
				return full
			}
			if full == "chr" && (isOp(t, next, "(") || isOp(t, i-1, "(")) { // called, or given to map
				return "chr"
			}
			if isImportCall(full) && isOp(t, next, "(") {
				if v := text(t, next+1); v.ok && isOp(t, v.next, ")") && isOp(t, v.next+1, ".") {
					if attr, _ := dotted(t, v.next+2); isDecoder(v.value + "." + attr) {
						return v.value + "." + attr
					}
				}
			}
			if r.decoded[name] {
				return fmt.Sprintf("decoded %q", clip(name))
			}
			i = max(i, next-1)
		}
	}
	return ""
}

// isDecoder reports whether a callee turns text or bytes into other bytes.
func isDecoder(full string) bool {
	switch full {
	case "zlib.decompress", "bz2.decompress", "lzma.decompress", "gzip.decompress", "codecs.decode", "bytes.fromhex", "bytearray.fromhex",
		"binascii.unhexlify", "binascii.a2b_base64", "binascii.a2b_hex", "binascii.a2b_uu", "marshal.loads":
		return true
	}
	module, last, _ := strings.Cut(full, ".")
	return module == "base64" && strings.HasSuffix(last, "decode")
}

// textValue is a string that an expression of literals gives.
type textValue struct {
	value    string
	next     int  // the token behind it
	computed bool // put together, reversed, from numbers
	escaped  bool
	ok       bool
}

// text reads literals from token i: joined, added, reversed, and chr(N).
func text(t []token, i int) textValue {
	v := textValue{next: i}
	for limit := min(len(t), i+maxLookahead); v.next < limit; {
		start := v.next
		piece := ""
		for v.next < limit && t[v.next].kind == tokenString {
			piece += t[v.next].text
			v.escaped = v.escaped || t[v.next].escaped
			v.next++
		}
		if v.next == start && isName(t, start, "chr") && isOp(t, start+1, "(") && isOp(t, start+3, ")") {
			var n rune
			if _, err := fmt.Sscanf(t[start+2].text, "%v", &n); err != nil {
				return v
			}
			piece, v.computed = string(n), true
			v.next += 4
		}
		if v.next == start {
			return textValue{next: i}
		}
		if isOp(t, v.next, "[") && isOp(t, v.next+1, ":") && isOp(t, v.next+2, ":") && isOp(t, v.next+3, "-") && isOp(t, v.next+5, "]") {
			runes := []rune(piece)
			slices.Reverse(runes)
			piece, v.computed = string(runes), true
			v.next += 6
		}
		if isOp(t, v.next, ".") || isOp(t, v.next, "%") {
			return textValue{next: i} // of which something is made
		}
		v.value, v.ok = v.value+piece, true
		if !isOp(t, v.next, "+") {
			return v
		}
		v.computed = true
		v.next++
	}
	return v
}

// hiddenName notes a name whose spelling hides it.
func (r *sourceReader) hiddenName(by string, v textValue, line int, where place) {
	kind := ""
	switch {
	case v.escaped:
		kind = escapedName
	case v.computed:
		kind = computedName
	default:
		return
	}
	r.add(&r.facts.obscured, observation{line: line, kind: kind, what: fmt.Sprintf("%s of %q", by, clip(v.value)), place: where})
}

// attribute is what getattr(os, "system") stands for.
type attribute struct {
	object, target string
	name           textValue
	imported       bool // the object is an __import__ on the spot
	next           int  // the token behind it
}

// getattr reads getattr(os, "system") at token i, also over __import__("os").
func (r *sourceReader) getattr(t []token, i int) (g attribute, ok bool) {
	name, open := dotted(t, i)
	if r.resolve(name) != "getattr" || !isOp(t, open, "(") {
		return g, false
	}
	object, at := dotted(t, open+1)
	if object == "" || object[0] == '.' {
		return g, false
	}
	g.object = r.resolve(object)
	if isImportCall(g.object) && isOp(t, at, "(") {
		v := text(t, at+1)
		if !v.ok || !isOp(t, v.next, ")") {
			return g, false
		}
		g.object, at, g.imported = v.value, v.next+1, true
	}
	if !isOp(t, at, ",") {
		return g, false
	}
	if g.name = text(t, at+1); !g.name.ok || !isOp(t, g.name.next, ")") && !isOp(t, g.name.next, ",") {
		return g, false
	}
	end := g.name.next
	for limit := min(len(t), end+maxLookahead); end < limit && !isOp(t, end, ")"); end++ {
	}
	g.next = end + 1
	if g.target = g.object + "." + g.name.value; g.builtins() {
		g.target = g.name.value
	}
	return g, isOp(t, end, ")")
}

// builtins reports whether the object is the module of the builtins.
func (g *attribute) builtins() bool {
	return g.object == "" || g.object == "builtins" || g.object == "__builtins__" || strings.HasSuffix(g.object, ".builtins")
}

// attribute notes a getattr that hides what it fetches.
func (r *sourceReader) attribute(g attribute, line int, where place) {
	matters := isProcessCall(g.target) || isDecoder(g.target) || g.builtins() && runsCode(g.name.value)
	switch {
	case g.name.escaped || g.name.computed && (matters || g.imported):
		r.hiddenName("getattr", textValue{value: g.target, escaped: g.name.escaped, computed: g.name.computed}, line, where)
	case matters && g.imported:
		r.add(&r.facts.obscured, observation{line: line, kind: computedName, what: fmt.Sprintf("getattr of %q", clip(g.target)), place: where})
	case matters:
		r.add(&r.facts.obscured, observation{line: line, kind: dynamicBuiltin, what: fmt.Sprintf("getattr of %q", clip(g.target)), place: where})
	}
}

// runsCode reports whether a builtin runs or loads code.
func runsCode(name string) bool {
	return name == "exec" || name == "eval" || name == "compile" || name == "__import__"
}

// subscript follows X.__dict__["name"], __builtins__["name"], vars-like tables
// and sys.modules["name"].attr from the bracket at token open.
func (r *sourceReader) subscript(t []token, full string, open int, where place) (string, int) {
	v := text(t, open+1)
	if !v.ok || !isOp(t, v.next, "]") {
		return full, open
	}
	object, table := strings.CutSuffix(full, ".__dict__")
	switch {
	case full == "" || full == "__dict__" || full == "__builtins__": // of builtins: see resolve
		full = v.value
	case table:
		full = object + "." + v.value
	case full == "sys.modules":
		if !isOp(t, v.next+1, ".") {
			return v.value, v.next + 1
		}
		attr, next := dotted(t, v.next+2)
		return v.value + "." + attr, next
	default:
		return full, open
	}
	r.hiddenName("a table", v, t[open].line, where)
	if !v.escaped && !v.computed && (runsCode(full) || isProcessCall(full)) {
		r.add(&r.facts.obscured, observation{line: t[open].line, kind: dynamicBuiltin, what: fmt.Sprintf("%q from a table", full), place: where})
	}
	return full, v.next + 1
}

// entropyOf returns the bits a byte of a long literal that looks like compressed
// or encrypted data, 0 for others.
func entropyOf(s string) float64 {
	if len(s) < minDense {
		return 0
	}
	var count [256]int
	for i := range len(s) {
		count[s[i]]++
	}
	if count[' ']*20 > len(s) { // prose
		return 0
	}
	e := entropy(&count, len(s))
	if e < 5.7 { // base64 of random bytes has 6, of text some 5.3; hex 4; code below 5
		return 0
	}
	return e
}

// entropy is Shannon's, in bits a byte.
func entropy(count *[256]int, n int) float64 {
	e := 0.0
	for _, c := range count {
		if c > 0 {
			p := float64(c) / float64(n)
			e -= p * math.Log2(p)
		}
	}
	return e
}

// longLine notes the first line that nobody wrote.
func (r *sourceReader) longLine(src string) {
	n := 0
	for line := range strings.Lines(src) {
		if n++; len(line) >= minLongLine {
			r.add(&r.facts.obscured, observation{line: n, kind: longLine, what: fmt.Sprintf("line of %d bytes", len(line))})
			return
		}
	}
}
