package secretscan

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect/codec"
)

// canDecode says whether gitleaks' decoder could find anything to decode in a
// text. Like a [gate] it may say yes in vain, never no: it follows the decoder's
// four encodings, but each by itself, where the decoder lets one take text away
// from another.
//
//	percent   from the first to the last %XX of a line, all printable
//	unicode   U+ or \u and four hexadecimal digits
//	hex       32 or more digits that give printable ASCII
//	base64    16 or more characters of either alphabet that do
func canDecode(text string) bool {
	return percentDecodes(text) || unicodeDecodes(text) || runsDecode(text)
}

// decodeLines decodes a text as gitleaks' decoder does, which searches all of it
// with a slow expression, and returns the decoded text with the spans of the lines
// in it that are not what they were. No encoding goes over the end of a line but
// "U+1234" with a line end behind it: a text with that is decoded as a whole.
func decodeLines(text string) (string, []span) {
	if strings.Contains(text, "U+") {
		decoded, segments := codec.NewDecoder().Decode(text, nil)
		if len(segments) == 0 {
			return text, nil
		}
		return decoded, []span{{0, len(decoded)}}
	}
	var out strings.Builder
	var changed []span
	kept := 0 // of text, up to here
	for at := 0; at < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if line := text[at:end]; canDecode(line) {
			if decoded, segments := codec.NewDecoder().Decode(line, nil); len(segments) > 0 {
				out.WriteString(text[kept:at])
				changed = append(changed, span{out.Len(), out.Len() + len(decoded)})
				out.WriteString(decoded)
				kept = end
			}
		}
		at = end
	}
	if changed == nil {
		return text, nil
	}
	out.WriteString(text[kept:])
	return out.String(), changed
}

// runsDecode looks for a run of the base64 alphabets that decodes. It is seldom
// there, so the text is read in steps: a run of minRun characters has one in each.
func runsDecode(text string) bool {
	const minRun = 16
	for i := 0; i+minRun <= len(text); {
		if !inBase64(text[i+minRun-1]) {
			i += minRun
			continue
		}
		from, to := i+minRun-1, i+minRun
		for from > i && inBase64(text[from-1]) {
			from--
		}
		for to < len(text) && inBase64(text[to]) {
			to++
		}
		if to-from >= minRun && runDecodes(text[from:to], text[to:]) {
			return true
		}
		i = to + 1
	}
	return false
}

// unicodeDecodes says that "U+1234" or "\u1234" is in the text.
func unicodeDecodes(text string) bool {
	for i := 0; ; i++ {
		next := strings.IndexByte(text[i:], '\\')
		if next < 0 {
			break
		}
		if i += next; unicodeAt(text, i) {
			return true
		}
	}
	for i := 0; ; i++ {
		next := strings.Index(text[i:], "U+")
		if next < 0 {
			return false
		}
		if i += next + 1; unicodeAt(text, i) {
			return true
		}
	}
}

// percentDecodes says that some line has a percent-encoded character, and none
// that is not printable.
func percentDecodes(text string) bool {
	for strings.IndexByte(text, '%') >= 0 {
		line := text
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		some, all := false, true
		for i := strings.IndexByte(line, '%'); i >= 0 && i+2 < len(line) && all; i++ {
			if line[i] == '%' && isHex(line[i+1]) && isHex(line[i+2]) {
				value, err := hex.DecodeString(line[i+1 : i+3])
				some, all = true, err == nil && printable(value)
				i += 2
			}
		}
		if some && all {
			return true
		}
	}
	return false
}

// unicodeAt says that at the plus of "U+1234" or the backslash of "\u1234".
func unicodeAt(text string, i int) bool {
	digits := i + 1
	if text[i] == '\\' {
		if digits >= len(text) || text[digits] != 'u' && text[digits] != 'U' {
			return false
		}
		digits++
	} else if i == 0 || text[i-1] != 'U' {
		return false
	}
	if digits+4 > len(text) {
		return false
	}
	for _, c := range []byte(text[digits : digits+4]) {
		if !isHex(c) {
			return false
		}
	}
	return true
}

// runDecodes looks at one maximal run of the base64 alphabets and what follows
// it. Hexadecimal digits at its beginning, 32 or more, are one text, the rest
// another.
func runDecodes(run, after string) bool {
	for {
		digits := 0
		for digits < len(run) && isHex(run[digits]) {
			digits++
		}
		if digits < 32 {
			break
		}
		if decoded, err := hex.DecodeString(run[:digits]); err == nil && printable(decoded) {
			return true
		}
		run = run[digits:]
	}
	if len(run) < 16 {
		return false
	}
	padding := 0
	for padding < 2 && padding < len(after) && after[padding] == '=' {
		padding++
	}
	for _, try := range []struct {
		encoding *base64.Encoding
		text     string
	}{{base64.StdEncoding, run + after[:padding]}, {base64.RawURLEncoding, run + after[:padding]}} {
		decoded, err := try.encoding.DecodeString(try.text)
		if err == nil && printable(decoded) {
			return true
		}
	}
	return false
}

func printable(decoded []byte) bool {
	for _, c := range decoded {
		if c <= 8 || c >= 0x7f {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// inBase64 looks into a set of 128 bits: '+', '-', '/', the digits, the letters
// and '_'.
func inBase64(c byte) bool {
	const low, high uint64 = 0x03ff_a800_0000_0000, 0x07ff_fffe_87ff_fffe
	if c < 64 {
		return low>>c&1 == 1
	}
	return c < 128 && high>>(c-64)&1 == 1
}
