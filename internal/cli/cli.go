// Package cli is the command line: one file per verb. Data goes to standard
// output, everything else to standard error.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pip-witness/attestation"
	"pip-witness/internal/check"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/pypi"
	"pip-witness/internal/report"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/timestamp"
	"pip-witness/policy"
	"pip-witness/verify"
)

// Version is the version of this program.
const Version = "0.1.0"

// Exit codes beside those of a verdict (0, 1, 3, 4).
const (
	exitUsage     = 2   // usage or bad input
	exitUndecided = 3   // could not be decided
	exitInternal  = 5   // internal error, disk full
	exitInterrupt = 130 // Ctrl-C
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// streams are where a command reads and writes, and how it hears of Ctrl-C.
type streams struct {
	in         io.Reader
	out, err   io.Writer
	interrupts *interrupts
}

// exitError carries an exit code through the command tree. Its text is printed
// unless it is empty.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is an error of what was typed.
func usage(hint, format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// exit ends with a code and prints nothing more.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// Main runs the program and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	debug.SetGCPercent(50) // a check holds documents of tens of megabytes; memory is the scarcer good
	ctx, interrupts := interruptible()
	defer interrupts.stop()
	root := newRoot(streams{in, out, errOut, interrupts})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	text := err.Error()
	if text == "" { // a verdict, which was printed
		code, _ := classify(err)
		return code
	}
	if errors.Is(context.Cause(ctx), errInterrupted) { // whatever failed, failed because of that
		complain(errOut, errInterrupted.Error(), "")
		return exitInterrupt
	}
	code, hint := classify(err)
	complain(errOut, text, hint)
	return code
}

// complain prints an error and what to do about it. Some texts have several
// lines: the place in a module, for example.
func complain(w io.Writer, text, hint string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = report.Printable(strings.ReplaceAll(line, "\t", "    "))
	}
	fmt.Fprintf(w, "pip-witness: error: %s\n", strings.Join(lines, "\n"))
	if hint != "" {
		fmt.Fprintf(w, "pip-witness: hint: %s\n", report.Printable(hint))
	}
}

// interrupts end a context at Ctrl-C, a termination or a hang-up.
type interrupts struct {
	signals   chan os.Signal
	cancel    context.CancelCauseFunc
	tolerated atomic.Int32
}

func interruptible() (context.Context, *interrupts) {
	ctx, cancel := context.WithCancelCause(context.Background())
	in := &interrupts{signals: make(chan os.Signal, 1), cancel: cancel}
	signal.Notify(in.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for received := range in.signals {
			if received != os.Interrupt || in.tolerated.Add(-1) < 0 {
				in.cancel(errInterrupted)
			}
		}
	}()
	return ctx, in
}

// tolerate lets the next Ctrl-C pass: the terminal sends it to a command as
// well, which may have its own idea of what it means. It is not ignored with
// signal.Ignore, which the command would inherit.
func (in *interrupts) tolerate() { in.tolerated.Store(1) }

func (in *interrupts) stop() {
	signal.Stop(in.signals)
	close(in.signals)
	in.cancel(nil)
}

// classify maps an error to an exit code and what to do about it.
func classify(err error) (int, string) {
	var (
		exit        *exitError
		input       *check.InputError
		requirement *pypi.InputError
		python      *interpreter.Error
		unavailable *sandbox.UnavailableError
		document    *verify.InputError
		prepare     *step.PrepareError
		authority   *timestamp.Error
	)
	switch {
	case errors.As(err, &exit):
		return exit.code, cmp.Or(exit.hint, advice(err))
	case errors.As(err, &input):
		return exitUsage, input.Hint
	case errors.As(err, &requirement):
		return exitUsage, requirement.Hint
	case errors.As(err, &document):
		return exitUsage, "make or fetch the file again; `pip-witness inspect FILE` says what evidence holds"
	case errors.As(err, &python):
		return exitUndecided, cmp.Or(python.Hint(), "name a Python 3.8 or newer with --python; `pip-witness doctor` says what works here")
	case errors.As(err, &unavailable):
		return exitUndecided, unavailable.Hint
	case errors.As(err, &prepare):
		return exitUndecided, "look at the output above; `python3 -m venv --without-pip DIR` has to work"
	case errors.As(err, &authority):
		return exitUndecided, "run it again, or without --timestamp-url"
	case isOneOf(err, unix.ENOSPC, unix.EDQUOT):
		return exitInternal, advice(err)
	case isOneOf(err, fs.ErrNotExist, fs.ErrExist, unix.ENOTDIR, unix.EISDIR, fs.ErrPermission, unix.EROFS):
		return exitUsage, advice(err)
	}
	return exitInternal, ""
}

// advice is what to do about a cause, whoever reports it.
func advice(err error) string {
	var modules *policy.UnknownModulesError
	switch {
	case errors.As(err, &modules):
		return "name a shipped module, or give the path of a .rego file"
	case errors.Is(err, attestation.ErrTooLarge):
		return "name an evidence file or a policy: those are smaller"
	case isOneOf(err, unix.ENOSPC, unix.EDQUOT):
		return "make room on the disk and run it again"
	case isOneOf(err, fs.ErrNotExist, unix.ENOTDIR, unix.EISDIR):
		return "check the path"
	case isOneOf(err, fs.ErrPermission, unix.EROFS):
		return "check the permissions of the file and of its directory"
	}
	return ""
}

func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "pip-witness",
		Short: "Watch what a Python package does when it is installed and imported, and prove it",
		Long: `pip-witness installs and imports Python packages under its own system-call
tracer in a sandbox, signs what it saw, and judges it by a signed policy.`,
		Example: `  pip-witness check requests
  pip-witness check -r requirements.txt --format json`,
		Version:       Version,
		Args:          cobra.ArbitraryArgs, // RunE refuses them in the program's own words
		RunE:          noCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("see `"+c.CommandPath()+" --help`", "%w", err)
	})
	root.CompletionOptions.DisableDefaultCmd = true
	// A command with subcommands runs only to refuse what is none of them.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetHelpCommand(newHelp())
	root.AddCommand(newCheck(s), newRun(s), newVerify(s), newKeygen(s), newPolicy(s), newInspect(s), newExplain(s), newDoctor(s), newDB(s), newEvidence(s))
	return root
}

// noCommand answers when no verb was recognised.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		c.SetOut(c.ErrOrStderr())
		if err := c.Help(); err != nil {
			return err
		}
		return exit(exitUsage)
	}
	hint := "see `" + c.CommandPath() + " --help`"
	c.SuggestionsMinimumDistance = 2 // edits
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean `" + c.CommandPath() + " " + similar[0] + "`?"
	}
	return usage(hint, "unknown command %q", args[0])
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Say how a command is used",
		RunE: func(c *cobra.Command, args []string) error {
			named, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage("see `pip-witness --help`", "help: no command %q", strings.Join(args, " "))
			}
			named.InitDefaultHelpFlag()
			return named.Help()
		},
	}
}

// atLeast refuses too few arguments in the program's own words.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("see `"+c.CommandPath()+" --help`", "%s: %s", verb(c), what)
		}
		return nil
	}
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("see `"+c.CommandPath()+" --help`", "%s: %s (%d given)", verb(c), what, len(args))
		}
		return nil
	}
}

// verb is the command without the program's name.
func verb(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}
