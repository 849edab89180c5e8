package pipinstall

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tokenKind is the kind of a Python token, as far as the analysis cares.
type tokenKind int

const (
	tokenName tokenKind = iota
	tokenString
	tokenNumber
	tokenOp
)

// token is one Python token. The text of a string is its value with escapes
// resolved, without prefix and quotes; an f-string gives its literal parts, and
// the expressions in it follow as tokens.
type token struct {
	kind tokenKind
	text string
	line int
	// escaped is true for a string in which letters or digits are written as
	// numbers (\x65, \145, \u0065), which nobody needs to do.
	escaped bool
}

// statement is one logical line of Python, or the part of it between two
// semicolons. Indent is the column of its first token, tabs counted as eight.
// Its tokens are valid until the next statement is read.
type statement struct {
	tokens []token
	indent int
	line   int
	// joined is true behind a semicolon: it belongs to the same blocks as what
	// stands before that.
	joined bool
}

// maxStatementTokens bounds one logical line. Longer ones (tables of data) are
// cut into pieces, which loses nothing but the context at the cut.
const maxStatementTokens = 100_000

// hiddenColumns is the width of a gap from which code counts as hidden: editors
// and diffs show less than that.
const hiddenColumns = 150

// maxNotes bounds what is noted of one file.
const maxNotes = 1_000

// maxStringDepth bounds f-strings within f-strings.
const maxStringDepth = 8

// lexer splits Python source into statements. It knows strings of every
// prefix, comments, line joining and brackets; it does not check grammar, and
// accepts every input: what it cannot read becomes operators.
type lexer struct {
	src   string
	pos   int
	line  int
	depth int // open brackets
	out   []token
	// semicolon is true when the last statement ended with one.
	semicolon bool
	escapes   int // letters and digits written as numbers so far
	// notes are oddities of the text, with the kind of obfuscation in what.
	notes []observation
}

func newLexer(src []byte) *lexer {
	text := strings.TrimPrefix(string(src), "\ufeff")
	return &lexer{src: text, line: 1}
}

// next returns the next statement; ok is false at the end.
func (l *lexer) next() (statement, bool) {
	joined := l.semicolon
	l.semicolon = false
	line := l.line
	indent := l.blank()
	if l.pos >= len(l.src) {
		return statement{}, false
	}
	joined = joined && l.line == line
	if indent >= hiddenColumns {
		l.note(l.line, hiddenCode, "code behind %d blanks", indent)
	}
	l.out = l.out[:0]
	start := l.line
	for l.pos < len(l.src) && len(l.out) < maxStatementTokens {
		c := l.src[l.pos]
		switch {
		case c == '\n':
			l.pos++
			l.line++
			if l.depth == 0 {
				return statement{l.out, indent, start, joined}, true
			}
		case c == ';' && l.depth == 0:
			l.pos++
			l.semicolon = true
			return statement{l.out, indent, start, joined}, true
		default:
			l.token(0)
		}
	}
	return statement{l.out, indent, start, joined}, true
}

// note records an oddity of the text.
func (l *lexer) note(line int, kind, format string, args ...any) {
	if len(l.notes) < maxNotes {
		l.notes = append(l.notes, observation{line: line, kind: kind, what: fmt.Sprintf(format, args...)})
	}
}

// blank skips empty lines and measures the indentation of the next statement.
func (l *lexer) blank() int {
	indent := 0
	for l.pos < len(l.src) {
		switch l.src[l.pos] {
		case ' ':
			indent++
		case '\t':
			indent += 8 - indent%8
		case '\f', '\r':
		case '\n':
			l.line++
			indent = 0
		case '#':
			l.comment()
			continue
		default:
			return indent
		}
		l.pos++
	}
	return indent
}

func (l *lexer) comment() {
	if n := strings.IndexByte(l.src[l.pos:], '\n'); n >= 0 {
		l.pos += n
	} else {
		l.pos = len(l.src)
	}
}

// token reads one token other than a newline outside brackets.
func (l *lexer) token(nested int) {
	c := l.src[l.pos]
	switch {
	case c == ' ' || c == '\t' || c == '\r' || c == '\f':
		l.gap()
	case c == '\n':
		l.line++
		l.pos++
	case c == '#':
		l.comment()
	case c == '\\' && l.pos+1 < len(l.src) && (l.src[l.pos+1] == '\n' || l.src[l.pos+1] == '\r'):
		l.pos++
		if l.src[l.pos] == '\r' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '\n' {
			l.pos++
		}
		if l.src[l.pos] == '\n' {
			l.line++
		}
		l.pos++
	case c == '"' || c == '\'':
		l.str("", nested)
	case isNameStart(c):
		l.name(nested)
	case c >= '0' && c <= '9':
		l.number()
	default:
		l.op()
	}
}

// gap skips blanks within a line, and notes a wide one with code behind it.
// Within brackets columns of data are aligned like that.
func (l *lexer) gap() {
	start := l.pos
	for l.pos < len(l.src) && (l.src[l.pos] == ' ' || l.src[l.pos] == '\t' || l.src[l.pos] == '\r' || l.src[l.pos] == '\f') {
		l.pos++
	}
	if n := l.pos - start; n >= hiddenColumns && l.depth == 0 && l.pos < len(l.src) && !strings.ContainsRune("\n#\\", rune(l.src[l.pos])) {
		l.note(l.line, hiddenCode, "code behind %d blanks", n)
	}
}

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func isNamePart(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' }

func (l *lexer) name(nested int) {
	start := l.pos
	for l.pos < len(l.src) && isNamePart(l.src[l.pos]) {
		l.pos++
	}
	text := l.src[start:l.pos]
	if l.pos < len(l.src) && (l.src[l.pos] == '"' || l.src[l.pos] == '\'') && isStringPrefix(text) {
		l.str(strings.ToLower(text), nested)
		return
	}
	if strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		text = l.normalise(text)
	}
	l.out = append(l.out, token{kind: tokenName, text: text, line: l.line})
}

// normalise does to an identifier what the interpreter does: exec in other
// letters is exec. Names that look like others are noted.
func (l *lexer) normalise(raw string) string {
	text := norm.NFKC.String(raw)
	ascii := strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	latin := strings.ContainsFunc(text, func(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) })
	cyrillic := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) })
	switch {
	case ascii:
		l.note(l.line, compatibilityName, "%q is spelled %s", clip(text), strconv.QuoteToASCII(clip(raw)))
	case latin && cyrillic:
		l.note(l.line, lookalikeName, "%s mixes Latin and Cyrillic letters", strconv.QuoteToASCII(clip(text)))
	}
	return text
}

func isStringPrefix(s string) bool {
	switch strings.ToLower(s) {
	case "r", "b", "u", "f", "t", "br", "rb", "fr", "rf", "tr", "rt":
		return true
	}
	return false
}

func (l *lexer) number() {
	start := l.pos
	for l.pos < len(l.src) && (isNamePart(l.src[l.pos]) || l.src[l.pos] == '.') {
		l.pos++
	}
	l.out = append(l.out, token{kind: tokenNumber, text: l.src[start:l.pos], line: l.line})
}

func (l *lexer) op() {
	c := l.src[l.pos]
	switch c {
	case '(', '[', '{':
		l.depth++
	case ')', ']', '}':
		l.depth = max(0, l.depth-1)
	}
	l.out = append(l.out, token{kind: tokenOp, text: l.src[l.pos : l.pos+1], line: l.line})
	l.pos++
}

// str reads a string literal; the position is at its opening quote.
func (l *lexer) str(prefix string, nested int) {
	quote := l.src[l.pos : l.pos+1]
	if strings.HasPrefix(l.src[l.pos:], quote+quote+quote) {
		quote += quote + quote
	}
	l.pos += len(quote)
	raw := strings.Contains(prefix, "r")
	formatted := strings.ContainsAny(prefix, "ft") && nested < maxStringDepth
	at := len(l.out)
	l.out = append(l.out, token{kind: tokenString, line: l.line})
	before := l.escapes
	text := l.text(quote, raw, formatted, nested) // which may add tokens
	l.out[at].text, l.out[at].escaped = text, l.escapes > before
}

// text reads up to the closing quote, or to '}' when quote is "}", the format
// part of an f-string expression. A single-quoted string ends at a newline: the
// source is broken there, and the next line starts afresh.
func (l *lexer) text(quote string, raw, formatted bool, nested int) string {
	var b strings.Builder
	start := l.pos
	flush := func() { b.WriteString(l.src[start:l.pos]) }
	end := func() string {
		if b.Len() == 0 {
			return l.src[start:l.pos]
		}
		flush()
		return b.String()
	}
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if c != quote[0] && c != '\n' && c != '\\' && c != '{' {
			l.pos++ // most of a string
			continue
		}
		switch {
		case strings.HasPrefix(l.src[l.pos:], quote):
			value := end()
			if quote != "}" {
				l.pos += len(quote)
			}
			return value
		case c == '\n':
			if len(quote) == 1 && quote != "}" {
				return end()
			}
			l.line++
			l.pos++
		case formatted && strings.HasPrefix(l.src[l.pos:], `\{`):
			l.pos++ // no escape: the brace starts an expression
		case formatted && !raw && strings.HasPrefix(l.src[l.pos:], `\N{`):
			l.pos += len(`\N{`) // a character by name, up to a brace that is text
		case c == '\\' && l.pos+1 < len(l.src):
			flush()
			b.WriteString(l.escape(raw))
			start = l.pos
		case formatted && strings.HasPrefix(l.src[l.pos:], "{{"):
			l.pos += 2
		case formatted && c == '{':
			flush()
			l.expression(raw, nested+1)
			start = l.pos
		default:
			l.pos++
		}
	}
	return end()
}

// expression reads {…} of an f-string, its tokens included.
func (l *lexer) expression(raw bool, nested int) {
	outer := l.depth
	l.depth = 0
	l.pos++
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if l.depth == 0 && c == ':' && nested < maxStringDepth {
			l.pos++
			l.text("}", raw, true, nested)
			continue
		}
		if l.depth == 0 && c == '}' {
			l.pos++
			break
		}
		l.token(nested)
	}
	l.depth = outer
}

// escape reads a backslash and what belongs to it.
func (l *lexer) escape(raw bool) string {
	c := l.src[l.pos+1]
	if c == '\n' {
		l.line++
	}
	start := l.pos
	l.pos += 2
	if raw {
		return l.src[start:l.pos]
	}
	digits := func(n, base int) string {
		end := l.pos
		for end < len(l.src) && end-l.pos < n && isDigit(l.src[end], base) {
			end++
		}
		v, err := strconv.ParseUint(l.src[l.pos:end], base, 32)
		if err != nil {
			return l.src[start:l.pos]
		}
		l.pos = end
		if r := rune(v); r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			l.escapes++
		}
		return string(rune(v))
	}
	switch c {
	case '\n':
		return ""
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case '\\', '\'', '"':
		return string(c)
	case 'x':
		return digits(2, 16)
	case 'u':
		return digits(4, 16)
	case 'U':
		return digits(8, 16)
	}
	if isDigit(c, 8) {
		l.pos--
		return digits(3, 8)
	}
	return l.src[start:l.pos]
}

func isDigit(c byte, base int) bool {
	switch {
	case base == 8:
		return c >= '0' && c <= '7'
	case base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
		return true
	}
	return c >= '0' && c <= '9'
}
