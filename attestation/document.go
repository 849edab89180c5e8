package attestation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// MaxDocument is the largest document (envelope, bundle, policy) that is read,
// in bytes after decompression. The evidence of a large installation is some
// 20 MB; evaluation needs about ten times the size of what is read.
const MaxDocument = 128 << 20 // 128 MiB

// maxDepth is the deepest nesting of a JSON document. Evidence needs about 12
// levels; a dependency tree some more.
const maxDepth = 512

// ErrTooLarge is wrapped by errors about documents larger than [MaxDocument].
var ErrTooLarge = errors.New("larger than the limit")

// zstdMagic starts every zstd frame (RFC 8878, 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// ReadDocument reads one document from r, plain or compressed with zstd, at
// most [MaxDocument] bytes of content.
func ReadDocument(r io.Reader) ([]byte, error) {
	data, err := readBounded(r)
	if err != nil {
		return nil, err
	}
	return Decompress(data)
}

// Decompress returns data as it is, or its content when it is a zstd frame.
func Decompress(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, zstdMagic) {
		if len(data) > MaxDocument {
			return nil, tooLarge()
		}
		return data, nil
	}
	d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open zstd frame: %w", err)
	}
	defer d.Close()
	out, err := readBounded(d)
	if err != nil {
		return nil, fmt.Errorf("decompress zstd: %w", err)
	}
	return out, nil
}

// compressWindow is how far back the compressor looks. An export repeats the
// digests of an installation in the evidence of the import, some 15 MB later.
const compressWindow = 32 << 20 // 32 MiB

// Compress returns data as one zstd frame.
func Compress(data []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(compressWindow))
	if err != nil {
		return nil, fmt.Errorf("open zstd writer: %w", err)
	}
	return w.EncodeAll(data, nil), nil
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxDocument {
		return nil, tooLarge()
	}
	return data, nil
}

func tooLarge() error { return fmt.Errorf("document is %w of %d MiB", ErrTooLarge, MaxDocument>>20) }

// CheckJSON reports why data is not exactly one unambiguous JSON document: a
// syntax error, anything after the document, text that is not UTF-8, an object
// with the same key twice, or nesting that is too deep. Decoders differ in what
// they make of such documents, so a signature over one would mean two things.
func CheckJSON(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("empty document, want JSON")
	}
	if !utf8.Valid(data) {
		return errors.New("document is not UTF-8 text")
	}
	if !json.Valid(data) {
		return syntaxError(data)
	}
	s := keyScanner{data: data}
	return s.scan()
}

// syntaxError explains why json.Valid refused data, with the place.
func syntaxError(data []byte) error {
	var v json.RawMessage
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&v); err != nil {
		var syntax *json.SyntaxError
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fmt.Errorf("document ends early, after %d bytes: it is truncated", len(data))
		}
		if errors.As(err, &syntax) {
			return fmt.Errorf("not JSON: byte %d: %w", syntax.Offset, err)
		}
		return fmt.Errorf("not JSON: %w", err)
	}
	return fmt.Errorf("data after the JSON document, at byte %d", d.InputOffset())
}

// keyScanner finds repeated keys in a document that is known to be valid JSON.
type keyScanner struct {
	data  []byte
	stack []keySet
}

// keySet are the keys seen so far in one open object; nil marks an array. Small
// objects, which are nearly all, are searched linearly.
type keySet struct {
	array bool
	few   []string
	many  map[string]struct{}
}

func (k *keySet) add(key string) bool {
	if k.many != nil {
		_, seen := k.many[key]
		k.many[key] = struct{}{}
		return !seen
	}
	for _, f := range k.few {
		if f == key {
			return false
		}
	}
	k.few = append(k.few, key)
	if len(k.few) > 16 {
		k.many = make(map[string]struct{}, 64)
		for _, f := range k.few {
			k.many[f] = struct{}{}
		}
	}
	return true
}

func (s *keyScanner) scan() error {
	for i := 0; i < len(s.data); i++ {
		switch c := s.data[i]; c {
		case '{', '[':
			if len(s.stack) == maxDepth {
				return fmt.Errorf("nesting deeper than %d at byte %d", maxDepth, i)
			}
			s.stack = append(s.stack, keySet{array: c == '['})
		case '}', ']':
			s.stack = s.stack[:len(s.stack)-1]
		case '"':
			end := stringEnd(s.data, i)
			if err := s.text(i, end); err != nil {
				return err
			}
			i = end - 1
		}
	}
	return nil
}

// text looks at the string data[start:end]; one followed by a colon is a key.
func (s *keyScanner) text(start, end int) error {
	if len(s.stack) == 0 || s.stack[len(s.stack)-1].array || !colonFollows(s.data, end) {
		return nil
	}
	raw := s.data[start:end]
	key := string(raw[1 : len(raw)-1])
	if bytes.IndexByte(raw, '\\') >= 0 {
		if err := json.Unmarshal(raw, &key); err != nil {
			return fmt.Errorf("key at byte %d: %w", start, err)
		}
	}
	if !s.stack[len(s.stack)-1].add(key) {
		return fmt.Errorf("key %q appears twice in one object, the second time at byte %d", key, start)
	}
	return nil
}

// stringEnd returns the index after the closing quote of the string at start.
func stringEnd(data []byte, start int) int {
	for i := start + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

func colonFollows(data []byte, i int) bool {
	for ; i < len(data); i++ {
		switch data[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return data[i] == ':'
		}
	}
	return false
}

// fields splits one JSON object, already known to be valid, into its members by
// exact key; the values are parts of data, not copies. encoding/json alone would
// take "PAYLOAD" for "payload": a known name in another spelling is refused, a
// name that is not known is ignored.
func fields(data []byte, known ...string) (map[string]json.RawMessage, error) {
	parts, err := split(data, '{')
	if err != nil {
		return nil, err
	}
	m := make(map[string]json.RawMessage, len(parts))
	for _, part := range parts {
		end := stringEnd(part, 0)
		var key string
		if err := json.Unmarshal(part[:end], &key); err != nil {
			return nil, fmt.Errorf("key of an object: %w", err)
		}
		_, value, ok := bytes.Cut(part[end:], []byte(":"))
		if !ok {
			return nil, fmt.Errorf("key %q has no value", key)
		}
		for _, k := range known {
			if key != k && strings.EqualFold(key, k) {
				return nil, fmt.Errorf("field %q: want %q", key, k)
			}
		}
		m[key] = bytes.TrimSpace(value)
	}
	return m, nil
}

// split cuts a valid JSON object or array, as open says, at its commas.
func split(data []byte, open byte) ([]json.RawMessage, error) {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != open {
		want := "an object"
		if open == '[' {
			want = "an array"
		}
		return nil, fmt.Errorf("%s, want %s", kind(data), want)
	}
	var parts []json.RawMessage
	depth, start := 0, 1
	last := len(data) - 1
	for i := 1; i < last; i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, bytes.TrimSpace(data[start:i]))
				start = i + 1
			}
		}
	}
	if rest := bytes.TrimSpace(data[start:last]); len(rest) > 0 {
		parts = append(parts, rest)
	}
	return parts, nil
}

// kind names the type of a JSON value by its first byte.
func kind(data []byte) string {
	if len(data) == 0 {
		return "nothing"
	}
	switch data[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// list splits the array m[name]; absent and null are empty.
func list(m map[string]json.RawMessage, name string) ([]json.RawMessage, error) {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	parts, err := split(raw, '[')
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", name, err)
	}
	return parts, nil
}

// field decodes m[name] into v when it is there.
func field(m map[string]json.RawMessage, name string, v any) error {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("field %q: %w", name, err)
	}
	return nil
}
