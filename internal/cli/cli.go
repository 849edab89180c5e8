// Package cli is the command line: one file per verb. Data goes to standard
// output, everything else to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pip-witness/internal/check"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/pypi"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
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

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
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
	ctx, stop := interruptible()
	defer stop()
	root := newRoot(streams{in, out, errOut})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, hint := classify(err)
	if text := err.Error(); text != "" {
		fmt.Fprintf(errOut, "pip-witness: error: %s\n", text)
		if hint != "" {
			fmt.Fprintf(errOut, "pip-witness: hint: %s\n", hint)
		}
	}
	return code
}

// interruptible is a context that the first Ctrl-C or termination ends.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		if _, ok := <-signals; ok {
			cancel(errInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
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
		modules     *policy.UnknownModulesError
		prepare     *step.PrepareError
	)
	switch {
	case errors.Is(err, errInterrupted):
		return exitInterrupt, ""
	case errors.As(err, &exit):
		return exit.code, exit.hint
	case errors.As(err, &input):
		return exitUsage, input.Hint
	case errors.As(err, &requirement):
		return exitUsage, requirement.Hint
	case errors.As(err, &document):
		return exitUsage, ""
	case errors.As(err, &modules):
		return exitUsage, "name a shipped module, or give the path of a .rego file"
	case errors.As(err, &python):
		return exitUndecided, python.Hint()
	case errors.As(err, &unavailable):
		return exitUndecided, unavailable.Hint
	case errors.As(err, &prepare):
		return exitUndecided, "look at the output above; `python3 -m venv --without-pip DIR` has to work"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return exitInternal, "make room on the disk and run it again"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
		return exitUsage, ""
	case errors.Is(err, fs.ErrPermission):
		return exitUsage, "check the permissions of the file"
	}
	return exitInternal, ""
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
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("see `"+c.CommandPath()+" --help`", "%w", err)
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newCheck(s), newRun(s), newVerify(s), newKeygen(s), newPolicy(s), newInspect(s), newDoctor(s))
	return root
}

// anyArgs refuses too few arguments in the program's own words.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("see `"+c.CommandPath()+" --help`", "%s: %s", c.CommandPath(), what)
		}
		return nil
	}
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("see `"+c.CommandPath()+" --help`", "%s: %d arguments, want %d: %s", c.CommandPath(), len(args), n, what)
		}
		return nil
	}
}
