package secretscan

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
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
	if percentDecodes(text) {
		return true
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case (c == '\\' || c == '+') && unicodeAt(text, i):
			return true
		case !inBase64(c):
			i++
			continue
		}
		end := i + 1
		for end < len(text) && inBase64(text[end]) {
			if text[end] == '+' && unicodeAt(text, end) {
				return true
			}
			end++
		}
		if end-i >= 16 && runDecodes(text[i:end], text[end:]) {
			return true
		}
		i = end
	}
	return false
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

func inBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '/' || c == '+' || c == '-'
}
