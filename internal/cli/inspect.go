package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/store"
)

func newInspect(s streams) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what an evidence file holds",
		Long: `Show the statement, the attestations and the processes of an evidence file.
Signatures are listed, not checked: use ` + "`verify`" + ` for that.`,
		Example: "  pip-witness inspect evidence/pip-install.json",
		Args:    exactly(1, "name one evidence file"),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := store.ReadFile(args[0])
			if err != nil {
				return badInput(err)
			}
			envelope, err := attestation.ParseEnvelope(data)
			if err != nil {
				return badInput(fmt.Errorf("%q: %w", args[0], err))
			}
			if format == "json" {
				_, err := s.out.Write(append(slices.Clone(envelope.Payload), '\n'))
				return err
			}
			return inspect(s, args[0], envelope)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, or json for the signed payload as it is")
	return c
}

func inspect(s streams, name string, envelope attestation.Envelope) error {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("payload type  %s, %d bytes", envelope.PayloadType, len(envelope.Payload))
	for _, sig := range envelope.Signatures {
		line("signature     by %s (not checked)", sig.KeyID)
	}
	if envelope.PayloadType == attestation.PayloadType {
		statement, err := attestation.ParseStatement(envelope.Payload)
		if err != nil {
			return badInput(fmt.Errorf("%q: %w", name, err))
		}
		for _, subject := range statement.Subject {
			line("subject       %s sha256:%s", subject.Name, subject.Digest["sha256"])
		}
		line("predicate     %s", statement.PredicateType)
		if attestation.IsCollection(statement.PredicateType) {
			if err := inspectCollection(line, name, statement); err != nil {
				return err
			}
		}
	}
	_, err := s.out.Write([]byte(text.String()))
	return err
}

func inspectCollection(line func(string, ...any), name string, statement attestation.Statement) error {
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		return badInput(fmt.Errorf("%q: %w", name, err))
	}
	line("step          %s", collection.Name)
	for _, a := range collection.Attestations {
		line("attestation   %s  %d bytes, %s", a.Type, len(a.Attestation), a.EndTime.Sub(a.StartTime).Round(time.Millisecond))
	}
	for _, a := range collection.Attestations {
		if attestation.ShortName(a.Type) != "command-run" {
			continue
		}
		var command evidence.CommandRun
		if err := json.Unmarshal(a.Attestation, &command); err != nil {
			return badInput(fmt.Errorf("%q: command-run: %w", name, err))
		}
		inspectCommand(line, command)
	}
	return nil
}

func inspectCommand(line func(string, ...any), c evidence.CommandRun) {
	line("\n$ %s\nexit %d, %d system calls, complete: %t", strings.Join(c.Cmd, " "), c.ExitCode, c.Coverage.Events, c.Coverage.Complete)
	for _, p := range c.Processes {
		line("\n%d (parent %d, %s) %s", p.ProcessID, p.ParentPID, p.Role, clip(p.Cmdline, 160))
		line("  program %s, read %d files, wrote %d, deleted %d, events %d", p.Program, len(p.OpenedFiles), len(p.FileOps.Writes),
			len(p.FileOps.Deletes), len(p.SyscallEvents))
		for _, n := range p.Network.Connections {
			line("  %s %s %s %d", n.Syscall, n.Family, n.Address, n.Port)
		}
	}
}

func clip(text string, limit int) string {
	runes := []rune(strings.ReplaceAll(text, "\n", " "))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
