package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/internal/capture"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
)

func newDoctor(s streams) *cobra.Command {
	var python string
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Say whether this machine can check packages, and what to change if not",
		Example: "  pip-witness doctor",
		Args:    exactly(0, "it takes flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			failed := false
			for _, d := range diagnose(c.Context(), python) {
				mark := "ok    "
				if d.err != nil {
					mark, failed = "MISSING", true
				}
				fmt.Fprintf(s.out, "%-8s %-12s %s\n", mark, d.name, d.detail)
				if d.err != nil {
					fmt.Fprintf(s.out, "         %v\n", d.err)
					if _, hint := classify(d.err); hint != "" {
						fmt.Fprintf(s.out, "         → %s\n", hint)
					}
				}
			}
			if failed {
				return exit(exitUndecided)
			}
			return nil
		},
	}
	c.Flags().StringVar(&python, "python", interpreter.DefaultPython, "the interpreter to look at")
	return c
}

// doctorTimeout bounds one trial.
const doctorTimeout = 20 * time.Second

type diagnosis struct {
	name, detail string
	err          error
}

// diagnose tries the real thing: an interpreter that answers, and a command that
// is traced in a sandbox.
func diagnose(ctx context.Context, python string) []diagnosis {
	var all []diagnosis
	found, err := interpreter.Discover(ctx, python)
	d := diagnosis{name: "interpreter", err: err}
	if err == nil {
		d.detail = fmt.Sprintf("%s %s, pip %s", found.Executable, found.Version, found.PipVersion)
	}
	all = append(all, d)
	for _, namespaces := range []bool{false, true} {
		d := diagnosis{name: "tracer", detail: "seccomp user notification, " + runtime.GOARCH}
		if namespaces {
			d = diagnosis{name: "sandbox", detail: "user, mount, pid, network, ipc and uts namespaces"}
		}
		d.err = tryTrace(ctx, namespaces)
		all = append(all, d)
	}
	return all
}

func tryTrace(ctx context.Context, namespaces bool) (err error) {
	dir, err := os.MkdirTemp("", "pip-witness-doctor-")
	if err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	digests := capture.NewDigests()
	defer digests.Close()
	recording, err := step.Trace{
		Spec: sandbox.Spec{Namespaces: namespaces, RootDir: dir, Hostname: "localhost"}, Digests: digests, Timeout: doctorTimeout,
		Commands: []step.Command{{Command: sandbox.Command{Args: []string{"/bin/sh", "-c", "exit 7"}, Dir: "/"}}},
	}.Run(ctx)
	switch {
	case err != nil:
		return err
	case recording.Command.ExitCode != 7:
		return fmt.Errorf("a traced command ended with status %d, want 7: %s", recording.Command.ExitCode, recording.Command.Stderr)
	case len(recording.Command.Processes) == 0 || !recording.Command.Coverage.Complete:
		return errors.New("a traced command left no complete record")
	}
	return nil
}
