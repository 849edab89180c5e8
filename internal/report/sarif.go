package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"pip-witness/policy"
)

// SARIF 2.1.0 (OASIS, 2020), as far as it is used. Names are the schema's.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool              sarifTool         `json:"tool"`
	AutomationDetails sarifAutomation   `json:"automationDetails"`
	Invocations       []sarifInvocation `json:"invocations"`
	Results           []sarifResult     `json:"results"`
	ColumnKind        string            `json:"columnKind"`
	Properties        map[string]any    `json:"properties"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name            string      `json:"name"`
	Version         string      `json:"version,omitempty"`
	SemanticVersion string      `json:"semanticVersion,omitempty"`
	Rules           []sarifRule `json:"rules"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifRule struct {
	ID                   string             `json:"id"`
	Name                 string             `json:"name,omitempty"`
	ShortDescription     sarifText          `json:"shortDescription"`
	FullDescription      sarifText          `json:"fullDescription"`
	Help                 sarifText          `json:"help"`
	HelpURI              string             `json:"helpUri,omitempty"`
	DefaultConfiguration sarifConfiguration `json:"defaultConfiguration"`
	Properties           map[string]any     `json:"properties"`
}

type sarifConfiguration struct {
	Level string `json:"level"`
}

type sarifAutomation struct {
	ID string `json:"id"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool                `json:"executionSuccessful"`
	ExitCode            int                 `json:"exitCode"`
	Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Level               string             `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations"`
	RelatedLocations    []sarifLocation    `json:"relatedLocations,omitempty"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	Properties          map[string]any     `json:"properties"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name               string `json:"name"`
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

const (
	sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"
	// fingerprintName carries the version of the way in which it is made.
	fingerprintName = "pipWitnessFinding/v1"
	// maxRelated bounds the further lines of one result; what is cut is counted
	// in its properties.
	maxRelated = 50
	// maxResults bounds the findings of one rule in one step: readers refuse runs with
	// some ten thousand results. What is cut is counted in a notification.
	maxResults = 1000
	// maxAutomation bounds the id of a run, in characters.
	maxAutomation = 120
)

// SARIF writes the outcome as one run of SARIF 2.1.0. A verdict that is no pass
// and rests on no finding is a result of its own: readers take a run without
// results for a clean one.
func SARIF(w io.Writer, o Outcome, t Tool) error {
	findings := o.Findings
	if denying, _, _ := split(o); o.Verdict != policy.Pass && len(denying) == 0 {
		findings = append([]policy.Finding{verdictFinding(o)}, findings...)
	}
	rules := sarifRules(findings, t)
	run := sarifRun{
		Tool:              sarifTool{Driver: sarifDriver{Name: "pip-witness", Version: t.Version, SemanticVersion: t.Version, Rules: rules}},
		AutomationDetails: sarifAutomation{ID: automation(o)},
		Invocations: []sarifInvocation{{
			ExecutionSuccessful: o.Verdict == policy.Pass || o.Verdict == policy.Fail, ExitCode: o.ExitCode(), Notifications: notifications(o),
		}},
		Results: []sarifResult{}, ColumnKind: "unicodeCodePoints",
		Properties: map[string]any{"verdict": o.Verdict, "policySha256": o.Policy.SHA256, "failOn": o.Policy.FailOn},
	}
	findings, cut := cutResults(findings)
	run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, cut...)
	for _, f := range findings {
		index, _ := slices.BinarySearchFunc(rules, f.Rule, func(r sarifRule, id string) int { return strings.Compare(r.ID, Printable(id)) })
		run.Results = append(run.Results, sarifFinding(o, f, index))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// cutResults are the findings that become results, and what is said of the others.
func cutResults(findings []policy.Finding) ([]policy.Finding, []sarifNotification) {
	var kept []policy.Finding
	var cut []sarifNotification
	for _, group := range byRule(findings) {
		kept = append(kept, group[:min(len(group), maxResults)]...)
		if n := len(group) - maxResults; n > 0 {
			text := fmt.Sprintf("step %q: %s of rule %s are not among the results; the JSON output has them", group[0].Step, plural(n, "more finding"), group[0].Rule)
			cut = append(cut, sarifNotification{Level: "warning", Message: sarifText{Text: Printable(text)}})
		}
	}
	return kept, cut
}

// verdictFinding says in the words of a finding why the outcome is no pass.
func verdictFinding(o Outcome) policy.Finding {
	return policy.Finding{Severity: policy.High, Rule: "VERDICT_" + strings.ToUpper(string(o.Verdict)), Module: "verdict", Message: explanation(o)}
}

// sarifRules are the rules of the findings, sorted by id.
func sarifRules(findings []policy.Finding, t Tool) []sarifRule {
	rules := map[string]sarifRule{}
	for _, f := range findings {
		id := Printable(f.Rule)
		if _, ok := rules[id]; !ok {
			known, ok := t.Rules[f.Rule]
			if !ok {
				known = policy.Rule{ID: f.Rule, Module: f.Module, Title: "A rule of the policy's own", Severity: f.Severity}
				if f.Module == "verdict" {
					known.Title = "The verdict is no pass"
				}
			}
			rules[id] = sarifRuleOf(known)
		}
	}
	sorted := make([]sarifRule, 0, len(rules))
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		sorted = append(sorted, rules[id])
	}
	return sorted
}

// sarifRuleOf is a rule with its documentation. Its help address is that of the
// first technique: the page of the rule itself is part of the help.
func sarifRuleOf(r policy.Rule) sarifRule {
	title := Printable(r.Title)
	help := title + "."
	if r.Solution != "" {
		help += "\n\nWhat to do: " + r.Solution
	}
	if r.FalsePositives != "" {
		help += "\n\nWhat looks the same: " + r.FalsePositives
	}
	description := r.Description
	if description == "" {
		description = title + "."
	}
	tags := []string{"security", "supply-chain", Printable(r.Module)}
	uri := ""
	for _, t := range r.Attack {
		tags = append(tags, "external/attack/"+strings.ToLower(t))
		uri = cmp.Or(uri, policy.TechniqueURL(t))
	}
	return sarifRule{
		ID: Printable(r.ID), Name: pascal(r.ID), ShortDescription: sarifText{Text: title}, FullDescription: sarifText{Text: description},
		Help: sarifText{Text: help, Markdown: helpMarkdown(r)}, HelpURI: uri, DefaultConfiguration: sarifConfiguration{Level: level(r.Severity)},
		Properties: map[string]any{"tags": tags, "precision": "high", "security-severity": score(r.Severity)},
	}
}

// helpMarkdown is the rule's page, empty for a rule without annotations.
func helpMarkdown(r policy.Rule) string {
	if r.Description == "" {
		return ""
	}
	return ruleSection(r)
}

// pascal is a rule id as SARIF wants names: IMPORT_IMDS is ImportImds.
func pascal(id string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(strings.ToLower(Printable(id)), "_") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

func level(s policy.Severity) string {
	switch s {
	case policy.Critical, policy.High:
		return "error"
	case policy.Medium:
		return "warning"
	}
	return "note"
}

// score is a severity on the scale of CVSS, in the middle of the range that
// carries its name there (CVSS v3.1, section 5).
func score(s policy.Severity) string {
	switch s {
	case policy.Critical:
		return "9.5"
	case policy.High:
		return "8.0"
	case policy.Medium:
		return "5.5"
	case policy.Low:
		return "2.0"
	}
	return "0.0"
}

func sarifFinding(o Outcome, f policy.Finding, ruleIndex int) sarifResult {
	pkg := packageOf(o, f)
	locations, related, cut := sarifLocations(o, pkg)
	r := sarifResult{
		RuleID: Printable(f.Rule), RuleIndex: ruleIndex, Level: level(f.Severity), Message: sarifText{Text: Printable(f.Message)},
		Locations: locations, RelatedLocations: related,
		PartialFingerprints: map[string]string{fingerprintName: fingerprint(f, pkg)},
		Properties:          map[string]any{"severity": f.Severity, "step": Printable(f.Step), "module": Printable(f.Module)},
	}
	if cut > 0 {
		r.Properties["relatedLocationsOmitted"] = cut
	}
	if f.Exception != "" {
		r.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: Printable(f.Exception)}}
	}
	return r
}

// sarifLocations is where a finding is shown, and where else it may belong.
func sarifLocations(o Outcome, pkg *policy.Package) (locations, related []sarifLocation, cut int) {
	var main sarifLocation
	switch {
	case pkg != nil:
		main.Logical = []sarifLogical{logical(*pkg)}
	case len(o.Packages) > 0:
		for _, p := range o.Packages[:min(len(o.Packages), maxRelated)] {
			main.Logical = append(main.Logical, logical(p))
		}
	default:
		name := Printable(strings.Join(o.Requested, " "))
		main.Logical = []sarifLogical{{Name: name, FullyQualifiedName: name, Kind: "package"}}
	}
	places := placesOf(o, pkg)
	if len(places) == 0 {
		return []sarifLocation{main}, nil, 0
	}
	main.Physical = physical(places[0])
	rest := places[1:]
	if cut = len(rest) - maxRelated; cut > 0 {
		rest = rest[:maxRelated]
	}
	for _, p := range rest {
		related = append(related, sarifLocation{Physical: physical(p)})
	}
	return []sarifLocation{main}, related, cut
}

func physical(p Place) *sarifPhysical {
	return &sarifPhysical{Artifact: sarifArtifact{URI: p.URI}, Region: sarifRegion{StartLine: max(p.Line, 1)}}
}

// logical names a package by its package URL.
func logical(p policy.Package) sarifLogical {
	name, version := Printable(p.Name), Printable(p.Version)
	return sarifLogical{Name: name + " " + version, FullyQualifiedName: fmt.Sprintf("pkg:pypi/%s@%s", normalName(name), version), Kind: "package"}
}

// automation tells runs about different things apart and those about the same
// together: what was asked for, and nothing of the run itself.
func automation(o Outcome) string {
	id := []rune("pip-witness/" + Printable(strings.Join(subjects(o), ", ")))
	return string(id[:min(len(id), maxAutomation)]) + "/"
}

// notifications are what a reader has to know of the run besides findings.
func notifications(o Outcome) []sarifNotification {
	var all []sarifNotification
	add := func(level, text string) {
		n := sarifNotification{Level: level, Message: sarifText{Text: Printable(text)}}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	for _, text := range o.Problems {
		add("error", text)
	}
	for _, c := range o.Checks {
		if c.Status == policy.StatusFail && c.Step == "" {
			add("error", fmt.Sprintf("check %q: %s", c.Name, c.Detail))
		}
	}
	for _, s := range o.Steps {
		severity := "warning"
		if s.Verdict != policy.Pass {
			severity = "error"
		}
		for _, reason := range s.Reasons {
			add(severity, fmt.Sprintf("step %q: %s", s.Name, reason))
		}
		for _, n := range s.NotEvaluated {
			add("note", fmt.Sprintf("step %q: rule %s was not judged: %s", s.Name, n.Rule, n.Reason))
		}
	}
	return all
}
