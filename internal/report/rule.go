package report

import "pip-witness/policy"

// Rule is what the annotations of a rule say of it.
type Rule struct {
	ID       string
	Module   string // short name, for example "import_behavior"
	Title    string
	Severity policy.Severity
	// Description says what the rule sees, Solution what to do about a finding,
	// FalsePositives what looks the same without being bad; empty when the
	// annotations do not say.
	Description    string
	Solution       string
	FalsePositives string
	// Attack is a technique of MITRE ATT&CK, for example "T1552.004"; empty for none.
	Attack string
}

// Tool is the program that reports, and what it knows of rules.
type Tool struct {
	Version string
	// Rules are by id. A policy may name others.
	Rules map[string]Rule
}
