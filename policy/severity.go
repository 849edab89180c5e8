package policy

import (
	"fmt"
	"strings"
)

// Severity orders findings; see the table in the rule documentation. The zero
// value means that none was said.
type Severity int

// Severities, ascending.
const (
	Info Severity = iota + 1
	Low
	Medium
	High
	Critical
)

// severityNames are the names as messages and policies spell them.
func severityNames() []string { return []string{"INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"} }

// String is the upper-case name, empty for the zero value.
func (s Severity) String() string {
	if s < Info || s > Critical {
		return ""
	}
	return severityNames()[s-1]
}

// ParseSeverity reads an upper-case name.
func ParseSeverity(name string) (Severity, error) {
	for i, n := range severityNames() {
		if n == name {
			return Severity(i + 1), nil
		}
	}
	return 0, fmt.Errorf("unknown severity %q: want %s", name, strings.Join(severityNames(), ", "))
}

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Severity) UnmarshalText(text []byte) error {
	v, err := ParseSeverity(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}
