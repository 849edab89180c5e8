package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
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
			var text strings.Builder
			good := writeDiagnosis(&text, diagnose(c.Context(), python))
			if err := emit(s, "", []byte(text.String())); err != nil {
				return err
			}
			if !good {
				return exit(exitUndecided)
			}
			return nil
		},
	}
	c.Flags().StringVar(&python, "python", interpreter.DefaultPython, "interpreter `PATH` to look at")
	return c
}

// writeDiagnosis tells whether all is well.
func writeDiagnosis(text *strings.Builder, all []diagnosis) bool {
	line, good := printer(text), true
	for _, d := range all {
		if d.err == nil {
			line("ok        %-12s %s", d.name, d.detail)
			continue
		}
		good = false
		line("MISSING   %-12s %v", d.name, d.err)
		if _, hint := classify(d.err); hint != "" {
			line("          %-12s → %s", "", hint)
		}
	}
	if good {
		line("this machine can check packages")
	} else {
		line("this machine cannot check packages until what is missing is there")
	}
	return good
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
		Spec: sandbox.Spec{Namespaces: namespaces, RootDir: dir, Hostname: "localhost"}, Digests: digests, Timeout: doctorTimeout, Linger: time.Second,
		Commands: []step.Command{{Command: sandbox.Command{Args: []string{"/bin/sh", "-c", "exit 7"}, Dir: "/"}}},
	}.Run(ctx)
	switch {
	case err != nil:
		return err
	case recording.Command.ExitCode != 7:
		return fmt.Errorf("a traced command ended with status %d, want 7: %s", recording.Command.ExitCode, recording.Command.Stderr)
	case len(recording.Command.Processes) == 0 || !recording.Command.Coverage.Complete:
		return fmt.Errorf("a traced command left no complete record: %d processes, losses %v, limits %v",
			len(recording.Command.Processes), recording.Command.Coverage.Losses, recording.Command.Coverage.Limits)
	}
	return nil
}
