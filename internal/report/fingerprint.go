package report

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"pip-witness/policy"
)

// passing is what differs between two runs of the same package, and what stands
// for it in a fingerprint.
type passing struct {
	pattern *regexp.Regexp
	stands  string
}

// passings are in the order in which they are replaced.
func passings() []passing {
	return []passing{
		{momentPattern, "TIME"}, {temporaryPattern, "${1}/*"}, {procPattern, "/proc/N"}, {processPattern, "${1} N"},
		{timesPattern, "(N times)"}, {sinkholePattern, "198.18.0.0"}, {randomPattern, "HEX"},
	}
}

// Compiled once and never assigned again.
var (
	// A moment of RFC 3339.
	momentPattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	// The first component below a directory of temporary files is chosen anew each time.
	temporaryPattern = regexp.MustCompile(`(/tmp|/var/tmp|/dev/shm|/run/user/\d+)/[^/\s"']+`)
	procPattern      = regexp.MustCompile(`/proc/\d+`)
	processPattern   = regexp.MustCompile(`\b(pid|process|thread|descriptor|fd) \d+\b`)
	timesPattern     = regexp.MustCompile(`\(\d+ times\)`)
	// The name service of the sandbox gives addresses of this block in the order of questions.
	sinkholePattern = regexp.MustCompile(`\b198\.1[89]\.\d+\.\d+\b`)
	randomPattern   = regexp.MustCompile(`\b[0-9a-f]{16,}\b`)
)

// fingerprint names a finding so that the next run of the same check gives the
// same: by its rule, its package and its message without what passes.
func fingerprint(f policy.Finding, pkg *policy.Package) string {
	text := f.Message
	for _, p := range passings() {
		text = p.pattern.ReplaceAllString(text, p.stands)
	}
	name := ""
	if pkg != nil {
		name = normalName(pkg.Name)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.Step, name, text}, "\x00")))
	return hex.EncodeToString(sum[:])
}
