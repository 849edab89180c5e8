package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pip-witness/attestation"
	"pip-witness/internal/attest/catalogue"
	"pip-witness/internal/check"
	"pip-witness/internal/report"
	"pip-witness/internal/seal"
)

type runFlags struct {
	step      string
	out       string
	attestors []string
	timeout   time.Duration
	linger    time.Duration
	sandbox   bool
	keyFlags
}

func newRun(s streams) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --step NAME --key FILE --out FILE [--attestors a,b] -- CMD…",
		Short: "Trace one command and sign what it did",
		Long: `Trace one command as it is, in the user's own environment and without any
sandbox, and write the signed collection of one step. The exit code is the
command's own (128+signal when it was killed); 3 when it succeeded and the
recording is incomplete. The first Ctrl-C is left to the command, the second
ends it and writes nothing.

With --sandbox nothing that it changes lasts, in the current directory
neither: the changes are listed and signed. HOME holds decoys, and everything
it sends is caught and goes nowhere.

command-run is always attested; --attestors adds others of the catalogue.`,
		Example: "  pip-witness run --step build --key key.pem --out build.json -- make -j2",
		Args:    atLeast(1, "give the command after --"),
		RunE:    func(c *cobra.Command, args []string) error { return runCommand(c.Context(), s, f, args) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false)
	flags.StringVar(&f.step, "step", "", "`NAME` of the step")
	f.keyFlags.register(flags, "private key `FILE`")
	flags.StringVar(&f.out, "out", "", "`FILE` for the signed collection; a Sigstore bundle is written beside it")
	flags.StringSliceVar(&f.attestors, "attestors", []string{"environment", "omnitrail", "product"}, "`NAMES` besides command-run")
	flags.BoolVar(&f.sandbox, "sandbox", false, "run it in the sandbox of `check`, without a network")
	flags.DurationVar(&f.timeout, "timeout", 0, "time `LIMIT` for the command; 0 is none")
	flags.DurationVar(&f.linger, "linger", 30*time.Second, "how `LONG` processes that outlive the command are watched")
	return c
}

func runCommand(ctx context.Context, s streams, f runFlags, args []string) error {
	for _, required := range [...][2]string{{"--step", f.step}, {"--key", f.key}, {"--out", f.out}} {
		if required[1] == "" {
			return usage("see `pip-witness run --help`", "%s is required", required[0])
		}
	}
	if err := checkOutput("--out", f.out); err != nil {
		return err
	}
	if err := f.validate(); err != nil {
		return err
	}
	starting, err := f.start(ctx, s, seal.Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: 1})
	if err != nil {
		return err
	}
	defer starting.Close()
	if _, err := exec.LookPath(args[0]); err != nil {
		return usage("give the program's name or path after --", "run %q: %w", args[0], reason(err))
	}
	attestors, err := catalogue.Select(f.attestors)
	if err != nil {
		return badInput(err)
	}
	workDir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	private, err := f.private()
	if err != nil {
		return err
	}
	key, err := f.wait(starting)
	if err != nil {
		return err
	}
	missing := unstamped(key)
	if !f.sandbox {
		// The command runs as the same user, unconfined: without this it could change
		// the recording in this process's memory, by ptrace(2) or /proc/PID/mem.
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return fmt.Errorf("keep the command out of the recording: %w", err)
		}
	}
	s.interrupts.tolerate()
	stdin, _ := s.in.(*os.File)
	observed, err := check.ObserveCommand(ctx, check.CommandRequest{
		Sandbox: f.sandbox, Step: f.step, Args: args, Environ: os.Environ(), WorkDir: workDir, Stdin: stdin, Stdout: s.out, Stderr: s.err,
		Attestors: attestors, Timeout: f.timeout, Linger: f.linger, Builder: "pip-witness " + Version, CacheDir: cacheDir(),
		Private: private,
	})
	if err != nil {
		return err
	}
	if err := writeCollection(ctx, f.out, observed, key); err != nil {
		return err
	}
	summarize(s.err, observed, f.out)
	if err := missing(); err != nil {
		return fmt.Errorf("%q is %w", f.out, err)
	}
	if observed.Command.ExitCode == 0 && !observed.Command.Coverage.Complete {
		return exit(exitUndecided) // success is claimed of what was seen only
	}
	return exit(observed.Command.ExitCode)
}

// reason is the cause of a failed look-up, without the name again.
func reason(err error) error {
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		return lookup.Err
	}
	return err
}

func writeCollection(ctx context.Context, path string, observed *check.StepEvidence, key seal.Key) error {
	envelope, err := attestation.Sign(ctx, attestation.PayloadType, observed.Collection.Payload, key)
	if err != nil {
		return err
	}
	data, err := envelope.Marshal()
	if err != nil {
		return err
	}
	bundle, err := attestation.Bundle(envelope, 0)
	if err != nil {
		return err
	}
	bundled, err := bundle.Marshal()
	if err != nil {
		return err
	}
	// A device or a pipe takes the envelope; it has no name for a second file.
	if info, err := os.Lstat(path); err != nil || info.Mode().IsRegular() {
		if err := writeOutput(strings.TrimSuffix(path, ".json")+".sigstore.json", bundled); err != nil {
			return err
		}
	}
	return writeOutput(path, data)
}

func summarize(w io.Writer, observed *check.StepEvidence, out string) {
	c := observed.Command
	state := "complete"
	if !c.Coverage.Complete {
		state = "INCOMPLETE"
	}
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "pip-witness: %s\n", report.Printable(fmt.Sprintf(format, args...)))
	}
	line("step %s: exit %d, %d processes, %d system calls seen, recording %s, signed: %s",
		observed.Name, c.ExitCode, len(c.Processes), c.Coverage.Events, state, out)
	for _, class := range slices.Sorted(maps.Keys(c.Coverage.Losses)) {
		line("lost %d %s", c.Coverage.Losses[class], class)
	}
	for _, l := range c.Coverage.Limits {
		line("limit reached: %s (%d %s)", l.Name, l.Value, l.Unit)
	}
	for _, o := range observed.Collection.Outcomes {
		if o.Status != "ok" {
			line("attestor %s %s: %s%s", o.Attestor, o.Status, o.Error, o.Unmet)
		}
	}
}
