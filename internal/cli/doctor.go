package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
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

// writeDiagnosis tells whether packages can be checked.
func writeDiagnosis(text *strings.Builder, all []diagnosis) bool {
	line, good := printer(text), true
	for _, d := range all {
		switch {
		case d.err == nil:
			line("ok        %-12s %s", d.name, d.detail)
			continue
		case d.optional:
			line("LIMITED   %-12s %v", d.name, d.err)
		default:
			good = false
			line("MISSING   %-12s %v", d.name, d.err)
		}
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

// enoughSpace is what a check of a usual package needs, in bytes: what has to stay
// free, and as much again.
const enoughSpace = 512 << 20 // 512 MiB

type diagnosis struct {
	name, detail string
	err          error
	optional     bool // a check can do without, and says so in its evidence
}

// diagnose tries the real thing: an interpreter that answers, and a command that
// is traced in a sandbox. What the kernel's settings say comes before, because
// they name the cause and a trial only sees the effect.
func diagnose(ctx context.Context, python string) []diagnosis {
	var all []diagnosis
	found, err := interpreter.Discover(ctx, python)
	d := diagnosis{name: "interpreter", err: err}
	if err == nil {
		d.detail = fmt.Sprintf("%s %s, pip %s", found.Executable, found.Version, found.PipVersion)
	}
	facts := sandbox.ReadFacts()
	all = append(append(all, d), fromFacts(facts)...)
	_, err = tryTrace(ctx, false)
	all = append(all, diagnosis{name: "tracer", detail: "seccomp user notification, " + runtime.GOARCH, err: err})
	tried, err := tryTrace(ctx, true)
	all = append(all, diagnosis{name: "sandbox", detail: strings.Join(tried.Namespaces, ", ") + " namespaces", err: err})
	if err == nil {
		all = append(all, layersOf(tried, facts))
	}
	return append(all, space(os.TempDir()))
}

// fromFacts are the diagnoses of settings that forbid the sandbox, or one that they
// do not.
func fromFacts(f sandbox.Facts) []diagnosis {
	problems := f.Problems()
	if len(problems) == 0 {
		return []diagnosis{{name: "kernel", detail: f.Release}}
	}
	var all []diagnosis
	for _, p := range problems {
		all = append(all, diagnosis{name: "kernel", err: p})
	}
	return all
}

// layersOf says whether the directories of the host can be written to inside.
func layersOf(tried evidence.Sandbox, f sandbox.Facts) diagnosis {
	d := diagnosis{name: "layers", detail: "throw-away overlays over the host's directories", optional: true}
	if len(tried.Missing) == 0 {
		return d
	}
	d.err = usage("name a directory on ext4, xfs or btrfs: TMPDIR=/var/tmp pip-witness check …", "%s", strings.Join(tried.Missing, "; "))
	if known := f.Overlay(); known != nil {
		d.err = known
	}
	return d
}

// space says whether there is room for an environment.
func space(dir string) diagnosis {
	d := diagnosis{name: "space"}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		d.err = fmt.Errorf("look at the temporary directory %q: %w", dir, err)
		return d
	}
	free := int64(fs.Bavail) * fs.Bsize
	d.detail = fmt.Sprintf("%d MiB free in %s", free>>20, dir)
	if free < enoughSpace {
		d.err = usage("make room there, or name another directory: TMPDIR=DIR pip-witness check …",
			"%d MiB are free in %s, a check needs %d", free>>20, dir, enoughSpace>>20)
	}
	return d
}

// tryTrace runs a command and returns how it was confined.
func tryTrace(ctx context.Context, namespaces bool) (_ evidence.Sandbox, err error) {
	dir, err := os.MkdirTemp("", "pip-witness-doctor-")
	if err != nil {
		return evidence.Sandbox{}, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, sandbox.RemoveAll(dir)) }()
	root, layers := filepath.Join(dir, "root"), filepath.Join(dir, "layers")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Mkdir(layers, 0o755)); err != nil {
		return evidence.Sandbox{}, fmt.Errorf("make a temporary directory: %w", err)
	}
	digests := capture.NewDigests()
	defer digests.Close()
	recording, err := step.Trace{
		Spec: sandbox.Spec{
			Namespaces: namespaces, RootDir: root, Hostname: "localhost", Hidden: []string{filepath.Dir(dir)}, Layers: &sandbox.Layers{Directory: layers},
		},
		Digests: digests, Timeout: doctorTimeout, Linger: time.Second,
		Commands: []step.Command{{Command: sandbox.Command{Args: []string{"/bin/sh", "-c", "exit 7"}, Dir: "/"}}},
	}.Run(ctx)
	if err != nil {
		return evidence.Sandbox{}, err
	}
	command := recording.Command
	switch {
	case command.ExitCode != 7:
		return command.Coverage.Sandbox, fmt.Errorf("a traced command ended with status %d, want 7: %s", command.ExitCode, command.Stderr)
	case len(command.Processes) == 0 || !command.Coverage.Complete:
		return command.Coverage.Sandbox, fmt.Errorf("a traced command left no complete record: %d processes, losses %v, limits %v",
			len(command.Processes), command.Coverage.Losses, command.Coverage.Limits)
	}
	return command.Coverage.Sandbox, nil
}
