package osv

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pip-witness/internal/pypi"
)

// Ecosystem is the name of the Python package index in the OSV schema.
const Ecosystem = "PyPI"

// Record is one advisory, as far as it is used.
type Record struct {
	ID string `json:"id"`
	// Modified, Published and Withdrawn are RFC 3339 times; empty when there is none.
	Modified  string     `json:"modified"`
	Published string     `json:"published"`
	Withdrawn string     `json:"withdrawn"`
	Aliases   []string   `json:"aliases"`
	Summary   string     `json:"summary"`
	Details   string     `json:"details"`
	Severity  []Severity `json:"severity"`
	Affected  []Affected `json:"affected"`
	// DatabaseSpecific is whatever the advisory's source adds.
	DatabaseSpecific json.RawMessage `json:"database_specific"`
}

// Severity is a vector of CVSS under its name in the schema: CVSS_V2, CVSS_V3, CVSS_V4.
type Severity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// Affected is one package of an advisory: it is affected in the versions that
// are listed and in those of any range.
type Affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges   []Range    `json:"ranges"`
	Versions []string   `json:"versions"`
	Severity []Severity `json:"severity"`
}

// Range is a list of events, in any order. Type is ECOSYSTEM, SEMVER or GIT.
type Range struct {
	Type   string  `json:"type"`
	Events []Event `json:"events"`
}

// Event has one field set: the version that something happened at.
type Event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
	Limit        string `json:"limit"`
}

// ParseRecord reads one advisory. Unknown fields are ignored; a known one of the
// wrong type refuses the advisory.
func ParseRecord(data []byte) (Record, error) {
	var r Record
	if len(data) > maxRecord {
		return r, fmt.Errorf("%d bytes, want at most %d", len(data), maxRecord)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return r, fmt.Errorf("field %q is of type %s", wrong.Field, wrong.Value)
		}
		return r, fmt.Errorf("not a JSON document: %w", err)
	}
	if !validID(r.ID) {
		return r, fmt.Errorf("id %.40q is none", r.ID)
	}
	if len(r.Aliases) > maxAliases {
		return r, fmt.Errorf("%d aliases, want at most %d", len(r.Aliases), maxAliases)
	}
	for _, a := range r.Affected {
		for _, x := range a.Ranges {
			if len(x.Events) > maxEvents {
				return r, fmt.Errorf("a range of %d events, want at most %d", len(x.Events), maxEvents)
			}
		}
	}
	r.Aliases = slices.DeleteFunc(r.Aliases, func(alias string) bool { return !validID(alias) || alias == r.ID })
	r.Modified, r.Published = instant(r.Modified), instant(r.Published)
	return r, nil
}

// validID accepts what can stand in a line of text: printable ASCII, no space.
func validID(id string) bool {
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

// instant returns a time in UTC as RFC 3339 has it, "" when it is none.
func instant(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// malicious reports whether the advisory, or one that it is another name of, says
// that the package itself is an attack (ossf/malicious-packages).
func (r Record) malicious() bool {
	return slices.ContainsFunc(append([]string{r.ID}, r.Aliases...), IsMalicious)
}

// IsMalicious reports whether an id is one of a malicious package.
func IsMalicious(id string) bool { return strings.HasPrefix(id, "MAL-") }

// names are the normalised names of the Python packages that the record is about,
// each once.
func (r Record) names() []string {
	var names []string
	for _, a := range r.Affected {
		if a.python() {
			names = append(names, pypi.Normalize(a.Package.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// python reports whether the entry names a project of the Python package index.
func (a Affected) python() bool {
	ecosystem, _, _ := strings.Cut(a.Package.Ecosystem, ":")
	return ecosystem == Ecosystem && pypi.ValidName(a.Package.Name)
}

// short is the summary, or where there is none the first line of the details.
func (r Record) short() string {
	text := strings.TrimSpace(r.Summary)
	if text == "" {
		text, _, _ = strings.Cut(strings.TrimSpace(r.Details), "\n")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// brief is the record without what takes room: its details become a summary, and
// what it affects was evaluated already.
func (r Record) brief() Record {
	r.Summary, r.Details, r.Affected = r.short(), "", nil
	return r
}

// specific is what sources of advisories put into database_specific.
type specific struct {
	// severity is LOW, MODERATE, HIGH or CRITICAL (GitHub's advisories).
	severity string
	cwes     []int
}

// readSpecific takes what it knows; everything there is up to the source, so what
// is of another type is no error.
func readSpecific(data json.RawMessage) specific {
	var fields map[string]json.RawMessage
	var s specific
	if json.Unmarshal(data, &fields) != nil {
		return s
	}
	var ids []string
	if json.Unmarshal(fields["severity"], &s.severity) != nil {
		s.severity = ""
	}
	if json.Unmarshal(fields["cwe_ids"], &ids) != nil {
		ids = nil
	}
	for _, id := range ids {
		number, ok := strings.CutPrefix(id, "CWE-")
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
			s.cwes = append(s.cwes, n)
		}
	}
	return s
}

// rank orders the ids under which one vulnerability is known: the first one is
// that by which it is called.
func rank(a, b string) int {
	order := func(id string) int {
		return slices.IndexFunc([]string{"MAL-", "CVE-", "GHSA-", "PYSEC-", ""}, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a, b))
}
