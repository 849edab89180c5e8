package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/internal/report"
	"pip-witness/internal/suite"
	"pip-witness/policy"
	"pip-witness/rules"
)

func newPolicyTest(s streams) *cobra.Command {
	var format string
	var verbose bool
	var least float64
	o := suite.Options{Shipped: rules.FS}
	c := &cobra.Command{
		Use:   "test DIR",
		Short: "Run the Rego tests of a folder, with coverage",
		Long: `Run the rules whose names begin with test_ of all .rego files below DIR, and say
which lines of the others they reach. What the modules import of the shipped
library, modules and indicators is there, unless the folder has its own.

Exit codes: 0 all pass, 1 a test failed or --coverage was not reached, 2 no test,
or a file that cannot be used.`,
		Example: "  pip-witness policy test policies/ --coverage 100",
		Args:    exactly(1, "name the folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			if _, err := regexp.Compile(o.Run); err != nil {
				return usage("write for example --run test_denies", "--run: %w", err)
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return badInput(err)
			}
			if !info.IsDir() {
				return usage("name the folder that it lies in", "%q is no folder", args[0])
			}
			o.Files = os.DirFS(args[0])
			r, err := suite.Run(c.Context(), o)
			if err != nil {
				return badInput(err)
			}
			return showSuite(s, r, args[0], format, verbose, least)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Run, "run", "", "only tests whose name matches this `REGEXP`")
	flags.Float64Var(&least, "coverage", 0, "`PERCENT` of the lines that the tests have to reach")
	flags.DurationVar(&o.Timeout, "timeout", 30*time.Second, "time limit of one test")
	flags.BoolVarP(&verbose, "verbose", "v", false, "name the tests that pass, too")
	flags.StringVarP(&format, "format", "o", "text", "text or json")
	return c
}

// showSuite prints a run and ends with its exit code.
func showSuite(s streams, r suite.Report, dir, format string, verbose bool, least float64) error {
	code := policy.ExitPass
	if r.Failed() > 0 || r.Share() < least {
		code = policy.ExitFail
	}
	if format == "json" {
		err := emitJSON(s, struct {
			suite.Report
			Share float64 `json:"share"`
		}{r, r.Share()})
		if err != nil {
			return err
		}
		return exit(code)
	}
	if err := emit(s, "", []byte(suiteText(r, dir, verbose, least))); err != nil {
		return err
	}
	return exit(code)
}

func suiteText(r suite.Report, dir string, verbose bool, least float64) string {
	var text strings.Builder
	line := printer(&text)
	skipped := 0
	for _, t := range r.Tests {
		if t.Status == "skip" {
			skipped++
		}
		if t.Status == "pass" && !verbose {
			continue
		}
		line("%-5s  %s:%d  %s", strings.ToUpper(t.Status), report.Printable(filepath.Join(dir, t.File)), t.Line, report.Printable(t.Name))
		if t.Detail != "" && t.Status != "pass" {
			for detail := range strings.SplitSeq(t.Detail, "\n") {
				line("       %s", report.Printable(detail))
			}
		}
	}
	for _, f := range r.Files {
		if f.Missed > 0 {
			line("not reached  %s: lines %s", report.Printable(filepath.Join(dir, f.File)), strings.Join(f.Ranges, ", "))
		}
	}
	line("%d tests, %d failed, %d skipped, %.1f %% of the lines reached", len(r.Tests), r.Failed(), skipped, r.Share())
	if r.Share() < least {
		line("the tests have to reach %.1f %%", least)
	}
	return text.String()
}
