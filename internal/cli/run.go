package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/internal/attest/catalogue"
	"pip-witness/internal/check"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
)

type runFlags struct {
	step      string
	key       string
	out       string
	attestors []string
	timeout   time.Duration
	linger    time.Duration
}

func newRun(s streams) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --step NAME --key FILE --out FILE [--attestors a,b] -- CMD…",
		Short: "Trace one command, without confinement, and sign what it did",
		Long: `Trace one command as it is, in the user's own environment and without any
sandbox, and write the signed collection of one step. The exit code is the
command's own (128+signal when it was killed).

command-run is always attested; --attestors adds others of the catalogue.`,
		Example: "  pip-witness run --step build --key key.pem --out build.json -- make -j2",
		Args:    atLeast(1, "give the command after --"),
		RunE:    func(c *cobra.Command, args []string) error { return runCommand(c.Context(), s, f, args) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false)
	flags.StringVar(&f.step, "step", "", "name of the step")
	flags.StringVar(&f.key, "key", "", "private key `FILE`")
	flags.StringVar(&f.out, "out", "", "`FILE` for the signed collection; a Sigstore bundle is written beside it")
	flags.StringSliceVar(&f.attestors, "attestors", []string{"environment", "omnitrail", "product"}, "attestors besides command-run")
	flags.DurationVar(&f.timeout, "timeout", 0, "time limit for the command; 0 is none")
	flags.DurationVar(&f.linger, "linger", 30*time.Second, "how long processes that outlive the command are watched")
	return c
}

func runCommand(ctx context.Context, s streams, f runFlags, args []string) error {
	for _, required := range [...][2]string{{"--step", f.step}, {"--key", f.key}, {"--out", f.out}} {
		if required[1] == "" {
			return usage("see `pip-witness run --help`", "%s is required", required[0])
		}
	}
	key, err := seal.LoadPrivateKey(f.key)
	if err != nil {
		return badInput(err)
	}
	attestors, err := catalogue.Select(f.attestors)
	if err != nil {
		return badInput(err)
	}
	workDir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	// The terminal sends Ctrl-C to the command as well, which decides what it means.
	signal.Ignore(os.Interrupt)
	stdin, _ := s.in.(*os.File)
	observed, err := check.ObserveCommand(context.WithoutCancel(ctx), check.CommandRequest{
		Step: f.step, Args: args, Environ: os.Environ(), WorkDir: workDir, Stdin: stdin, Stdout: s.out, Stderr: s.err,
		Attestors: attestors, Timeout: f.timeout, Linger: f.linger, Builder: "pip-witness " + Version,
	})
	if err != nil {
		return err
	}
	if err := writeCollection(ctx, f.out, observed, key); err != nil {
		return err
	}
	summarize(s.err, observed, f.out)
	return exit(observed.Command.ExitCode)
}

func writeCollection(ctx context.Context, path string, observed *check.StepEvidence, key *seal.PrivateKey) error {
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
	if err := store.WriteFile(strings.TrimSuffix(path, ".json")+".sigstore.json", bundled, 0o644); err != nil {
		return err
	}
	return store.WriteFile(path, data, 0o644)
}

func summarize(w io.Writer, observed *check.StepEvidence, out string) {
	c := observed.Command
	state := "complete"
	if !c.Coverage.Complete {
		state = "INCOMPLETE"
	}
	fmt.Fprintf(w, "pip-witness: step %s: %d processes, %d system calls seen, recording %s, signed: %s\n",
		observed.Name, len(c.Processes), c.Coverage.Events, state, out)
	for _, o := range observed.Collection.Outcomes {
		if o.Status != "ok" {
			fmt.Fprintf(w, "pip-witness: attestor %s %s: %s%s\n", o.Attestor, o.Status, o.Error, o.Unmet)
		}
	}
}
