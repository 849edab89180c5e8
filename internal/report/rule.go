package report

import "pip-witness/policy"

// Tool is the program that reports, and what it knows of rules.
type Tool struct {
	Version string
	// Rules are by id. A policy may name others.
	Rules map[string]policy.Rule
}
