package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/internal/report"
	"pip-witness/internal/store"
	"pip-witness/policy"
	"pip-witness/rules"
)

// shippedRoot stands before the names of shipped files.
const shippedRoot = "rules"

func newPolicyLint(s streams) *cobra.Command {
	var format string
	var strict bool
	c := &cobra.Command{
		Use:   "lint [FILE|DIR…]",
		Short: "Look for mistakes in policies and in rule modules",
		Long: `Compile policies (sources, compiled or signed ones) and Rego modules against the
types of the evidence: a misspelt field, and a step or an attestation that does
not exist, are errors. So are complaints of strict mode in a folder of rules with
its own lib/, and with --strict everywhere; else they are warnings. Exceptions for
rules that no module has are warnings. Without FILE the shipped rules are looked at.

Exit codes: 0 no error, 1 an error was found, 2 a file that cannot be read.`,
		Example: `  pip-witness policy lint policy.src.json
  pip-witness policy lint --strict own.rego`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			found, err := lintAll(c.Context(), args, strict)
			if err != nil {
				return err
			}
			return showComplaints(s, found, format)
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "complaints of strict mode are errors")
	c.Flags().StringVarP(&format, "format", "o", "text", "text or json")
	return c
}

func lintAll(ctx context.Context, args []string, strict bool) ([]policy.Complaint, error) {
	l := policy.Linter{Modules: rules.FS, Root: shippedRoot, Strict: strict}
	if len(args) == 0 {
		return l.Shipped(ctx)
	}
	all := []policy.Complaint{}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, badInput(err)
		}
		var found []policy.Complaint
		if info.IsDir() {
			found, err = lintFolder(ctx, l, arg)
		} else {
			found, err = lintFile(ctx, l, arg)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// lintFolder looks at a folder of rules with its own library as at the shipped one,
// and at every module of another folder by itself.
func lintFolder(ctx context.Context, l policy.Linter, dir string) ([]policy.Complaint, error) {
	if info, err := os.Stat(filepath.Join(dir, "lib")); err == nil && info.IsDir() {
		l.Modules, l.Root = os.DirFS(dir), dir
		found, err := l.Shipped(ctx)
		if err != nil {
			return nil, badInput(err)
		}
		return found, nil
	}
	var all []policy.Complaint
	files := 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".rego" || strings.HasSuffix(file, "_test.rego") {
			return err
		}
		files++
		found, err := lintFile(ctx, l, file)
		all = append(all, found...)
		return err
	})
	if err == nil && files == 0 {
		err = usage("name a folder with .rego files, or a policy", "%q has no module (.rego)", dir)
	}
	return all, err
}

func lintFile(ctx context.Context, l policy.Linter, file string) ([]policy.Complaint, error) {
	data, err := store.ReadFile(file)
	if err != nil {
		return nil, badInput(err)
	}
	if filepath.Ext(file) == ".rego" {
		return l.Module(ctx, file, data)
	}
	if envelope, err := attestation.ParseEnvelope(data); err == nil {
		data = envelope.Payload
	}
	return l.Source(ctx, file, data, readerBeside(file))
}

// readerBeside reads the modules that a policy names by path.
func readerBeside(file string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		return store.ReadFile(path)
	}
}

func showComplaints(s streams, found []policy.Complaint, format string) error {
	var err error
	if format == "json" {
		err = emitJSON(s, append([]policy.Complaint{}, found...))
	} else {
		err = emit(s, "", []byte(complaintText(found)))
	}
	if slices.ContainsFunc(found, func(c policy.Complaint) bool { return c.Level == policy.LevelError }) {
		return errors.Join(err, exit(policy.ExitFail))
	}
	return err
}

func complaintText(found []policy.Complaint) string {
	var text strings.Builder
	line := printer(&text)
	for _, c := range found {
		place := c.File
		if c.Line > 0 {
			place = fmt.Sprintf("%s:%d", c.File, c.Line)
		}
		line("%s: %s: %s", report.Printable(place), c.Level, report.Printable(strings.ReplaceAll(c.Text, "\n", " ")))
	}
	return text.String()
}
