package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"pip-witness/internal/report"
	"pip-witness/policy"
)

// exceptionTopic is what explains exceptions in place of a rule.
const exceptionTopic = "EXCEPTIONS"

// ruleWord is a rule id within a finding's line, with or without its severity.
var ruleWord = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*`)

func newExplain(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "explain RULE_ID|FINDING",
		Short: "Say what a rule sees, what it may be, what to do, and how to waive it",
		Long: `Show the page of a rule: what it sees, which evidence it needs, attacks of this
kind, what looks the same without being bad, what to do about a finding, and how
a policy waives one. A whole finding can be given, as reports print it.
"explain EXCEPTIONS" says how exceptions are written.`,
		Example: `  pip-witness explain NET_RAW_IP
  pip-witness explain 'HIGH:NET_RAW_IP: a process contacted …'`,
		Args: atLeast(1, "name a rule, or give a finding"),
		RunE: func(_ *cobra.Command, args []string) error {
			var text strings.Builder
			if err := explain(&text, strings.Join(args, " "), report.Style{Color: colored(s.out)}); err != nil {
				return err
			}
			return emit(s, "", []byte(text.String()))
		},
	}
}

func explain(text *strings.Builder, asked string, style report.Style) error {
	if strings.EqualFold(strings.TrimSpace(asked), exceptionTopic) {
		return report.ExceptionText(text, style)
	}
	pages, bound, err := shippedPages(policy.Builtin())
	if err != nil {
		return err
	}
	known := map[string]policy.Page{}
	var ids []string
	for _, p := range pages {
		for _, r := range p.Rules {
			known[r.ID] = p
			ids = append(ids, r.ID)
		}
	}
	id := ruleIn(asked, known)
	page, ok := known[id]
	if !ok {
		return unknownName("rule", id, ids)
	}
	for _, r := range page.Rules {
		if r.ID == id {
			return report.RuleText(text, r, page, bound[page.Name], style)
		}
	}
	return nil
}

// ruleIn is the first word of a finding that is a rule, else its first word that is
// no severity: that is what was meant for one.
func ruleIn(asked string, known map[string]policy.Page) string {
	first := ""
	for _, word := range ruleWord.FindAllString(asked, -1) {
		id := strings.ReplaceAll(strings.ToUpper(word), "-", "_")
		if _, ok := known[id]; ok {
			return id
		}
		if _, err := policy.ParseSeverity(id); err != nil && first == "" {
			first = word
		}
	}
	if first == "" {
		return strings.TrimSpace(asked)
	}
	return first
}
