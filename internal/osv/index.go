package osv

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// indexFormat names the format of an index file; another text is another format,
// and the index is made anew.
const indexFormat = "pip-witness OSV index 1"

// Facts are what is known of a database as a whole.
type Facts struct {
	// Digest is the SHA-256 of the archive in hexadecimal, Size its length in bytes.
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Newest is the latest time at which an advisory in it was changed, RFC 3339:
	// how new the content is, whenever the file was fetched. Empty without advisories.
	Newest string `json:"newest"`
	// Advisories counts those that are looked up: of Python packages, not withdrawn.
	Advisories int `json:"advisories"`
	// Malicious counts those of them that say the package itself is an attack.
	Malicious int `json:"malicious"`
	// Withdrawn counts advisories that were taken back, Other those of other
	// ecosystems, Unreadable those that could not be read; none is looked up.
	Withdrawn  int `json:"withdrawn"`
	Other      int `json:"other"`
	Unreadable int `json:"unreadable"`
	// Problems name unreadable advisories and say why, the first twenty.
	Problems []string `json:"problems"`
}

// place is where an advisory lies in the archive.
type place struct {
	offset, packed int64 // of its packed bytes
	size           int64 // unpacked
	crc            uint32
	stored         bool // not packed
}

// header is the first line of an index file.
type header struct {
	Format string `json:"format"`
	Facts
	// Body is the SHA-256 of all that follows the line.
	Body string `json:"body"`
}

// index says where the advisories of a project are. Its file is a line of JSON and
// one line a project, in order: the name, and for each advisory
// "offset,packed,size,crc" with a final ",s" where it is stored unpacked. A look-up
// searches the bytes as they are, so that what is not asked for is not parsed.
type index struct {
	facts Facts
	body  []byte
}

// marshal writes an index file.
func marshalIndex(facts Facts, places map[string][]place) ([]byte, error) {
	var body bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(places)) {
		body.WriteString(name)
		for _, p := range places[name] {
			fmt.Fprintf(&body, " %d,%d,%d,%d", p.offset, p.packed, p.size, p.crc)
			if p.stored {
				body.WriteString(",s")
			}
		}
		body.WriteByte('\n')
	}
	sum := sha256.Sum256(body.Bytes())
	line, err := json.Marshal(header{Format: indexFormat, Facts: facts, Body: hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, fmt.Errorf("marshal index: %w", err)
	}
	return slices.Concat(line, []byte{'\n'}, body.Bytes()), nil
}

// parseIndex reads an index file of the archive with this digest and size.
func parseIndex(data []byte, digest string, size int64) (index, error) {
	line, body, ok := bytes.Cut(data, []byte{'\n'})
	if !ok {
		return index{}, errors.New("read index: no first line")
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return index{}, fmt.Errorf("read index: %w", err)
	}
	sum := sha256.Sum256(body)
	switch {
	case h.Format != indexFormat:
		return index{}, fmt.Errorf("read index: format %.40q, want %q", h.Format, indexFormat)
	case h.Digest != digest || h.Size != size:
		return index{}, errors.New("read index: it is of another archive")
	case h.Body != hex.EncodeToString(sum[:]):
		return index{}, errors.New("read index: it is damaged")
	}
	return index{h.Facts, body}, nil
}

// find returns where the advisories of a normalised name are.
func (x index) find(name string) ([]place, error) {
	low, high := 0, len(x.body)
	for low < high {
		start := low
		middle := low + (high-low)/2
		if i := bytes.LastIndexByte(x.body[low:middle], '\n'); i >= 0 {
			start = low + i + 1
		}
		line, _, _ := bytes.Cut(x.body[start:], []byte{'\n'})
		key, rest, _ := bytes.Cut(line, []byte{' '})
		switch strings.Compare(name, string(key)) {
		case 0:
			return x.places(string(rest))
		case -1:
			high = start
		default:
			low = start + len(line) + 1
		}
	}
	return nil, nil
}

func (x index) places(text string) ([]place, error) {
	var out []place
	for item := range strings.SplitSeq(text, " ") {
		p, err := parsePlace(item)
		if err == nil && (p.offset > x.facts.Size || p.packed > x.facts.Size-p.offset) {
			err = errors.New("it is beyond the end of the archive")
		}
		if err != nil {
			return nil, fmt.Errorf("read index: place %.80q: %w", item, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePlace(text string) (place, error) {
	fields := strings.Split(text, ",")
	stored := len(fields) == 5 && fields[4] == "s"
	if len(fields) != 4 && !stored {
		return place{}, fmt.Errorf("%d fields, want 4", len(fields))
	}
	var numbers [4]int64
	for i := range numbers {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil || n < 0 {
			return place{}, fmt.Errorf("%.20q is no number of bytes", fields[i])
		}
		numbers[i] = n
	}
	if numbers[2] > maxRecord || numbers[3] > 1<<32-1 {
		return place{}, errors.New("a number is too large")
	}
	return place{numbers[0], numbers[1], numbers[2], uint32(numbers[3]), stored}, nil
}
