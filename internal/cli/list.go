package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"pip-witness/internal/report"
	"pip-witness/policy"
)

// listedModule is one entry of `policy list -o json`.
type listedModule struct {
	policy.Page
	// Bound are the places at which the policy asks the module; empty for none.
	Bound []policy.Binding `json:"bound"`
}

func newPolicyList(s streams) *cobra.Command {
	var format, source string
	c := &cobra.Command{
		Use:   "list [MODULE…]",
		Short: "List the shipped modules and their rules",
		Long: `List the shipped modules: where the built-in policy, or that of --policy, asks
each of them, its rules with their severity, and the evidence that they need.`,
		Example: `  pip-witness policy list
  pip-witness policy list network_exfiltration
  pip-witness policy list -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			src := policy.Builtin()
			if source != "" {
				var err error
				if src, err = readPolicy(source); err != nil {
					return err
				}
			}
			modules, err := listed(args, src)
			if err != nil {
				return err
			}
			if format == "json" {
				return emitJSON(s, modules)
			}
			return emit(s, "", []byte(listText(modules)))
		},
	}
	c.Flags().StringVarP(&format, "format", "o", "text", "text or json")
	c.Flags().StringVar(&source, "policy", "", "source of a policy, a `FILE` (default: the built-in policy)")
	return c
}

// listed are the named modules, all when none is named.
func listed(names []string, src []byte) ([]listedModule, error) {
	pages, bound, err := shippedPages(src)
	if err != nil {
		return nil, err
	}
	byName := map[string]listedModule{}
	var known []string
	for _, p := range pages {
		if bound[p.Name] == nil {
			bound[p.Name] = []policy.Binding{}
		}
		byName[p.Name] = listedModule{p, bound[p.Name]}
		known = append(known, p.Name)
	}
	if len(names) == 0 {
		names = known
	}
	modules := []listedModule{}
	for _, name := range names {
		m, ok := byName[name]
		if !ok {
			return nil, unknownName("module", name, known)
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// unknownName refuses a name and suggests some that are there.
func unknownName(what, name string, known []string) error {
	hint := "see `pip-witness policy list`"
	if near := policy.Nearest(name, known); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "? All are in `pip-witness policy list`"
	}
	return usage(hint, "there is no %s %q", what, name)
}

func listText(modules []listedModule) string {
	var text strings.Builder
	line := printer(&text)
	for i, m := range modules {
		if i > 0 {
			line("")
		}
		line("%s  %s", m.Name, report.Printable(m.Title))
		switch {
		case len(m.Bound) > 0:
			for _, b := range m.Bound {
				through := ""
				if b.Through != "" {
					through = " through " + b.Through
				}
				line("  asked at step %s about %s%s", b.Step, b.Attestation, through)
			}
		case m.Attestation != "":
			line("  asked only where a policy binds it, to %s", m.Attestation)
		default:
			line("  asked only where a policy binds it")
		}
		for _, r := range m.Rules {
			line("  %-8s %-28s %s", r.Severity, r.ID, report.Printable(r.Title))
			line("           %-28s needs %s", "", report.Printable(r.Needs))
		}
	}
	return text.String()
}
