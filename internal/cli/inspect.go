package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/store"
)

// maxOutputLines is how much is shown of what a command printed, from its end.
const maxOutputLines = 30

func newInspect(s streams) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what an evidence file holds",
		Long: `Show the statement, the attestations, the output and the processes of an
evidence file. Signatures are listed, not checked: use ` + "`verify`" + ` for that.`,
		Example: "  pip-witness inspect evidence/pip-install.json",
		Args:    exactly(1, "name one evidence file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			data, err := store.ReadFile(args[0])
			if err != nil {
				return badInput(fmt.Errorf("read evidence: %w", err))
			}
			if store.IsExport(data) {
				return inspectExport(s, args[0], data, format)
			}
			envelope, err := attestation.ParseEnvelope(data)
			if err != nil {
				return badInput(fmt.Errorf("%q: %w", args[0], err))
			}
			if format == "json" {
				return emit(s, "", append(slices.Clone(envelope.Payload), '\n'))
			}
			return inspect(s, args[0], envelope)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "print `text`, or json for the signed payload as it is")
	return c
}

// inspectExport shows each document of an export.
func inspectExport(s streams, name string, data []byte, format string) error {
	export, err := store.ParseExport(data)
	if err != nil {
		return badInput(fmt.Errorf("%q: %w", name, err))
	}
	if format == "json" {
		return emit(s, "", data)
	}
	for i, d := range export.Documents {
		var text strings.Builder
		if i > 0 {
			text.WriteByte('\n')
		}
		printer(&text)("document      %s", d.Name)
		if err := emit(s, "", []byte(text.String())); err != nil {
			return err
		}
		if err := inspect(s, name+":"+d.Name, d.Envelope); err != nil {
			return err
		}
	}
	return nil
}

func inspect(s streams, name string, envelope attestation.Envelope) error {
	var text strings.Builder
	line := printer(&text)
	line("payload type  %s, %d bytes", envelope.PayloadType, len(envelope.Payload))
	for _, sig := range envelope.Signatures {
		line("signature     by %s (not checked)", sig.KeyID)
		inspectEndorsements(line, sig)
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
		} else {
			var predicate bytes.Buffer
			if err := json.Indent(&predicate, statement.Predicate, "", "  "); err != nil {
				return badInput(fmt.Errorf("%q: predicate: %w", name, err))
			}
			for _, l := range strings.Split(predicate.String(), "\n") {
				line("  %s", l)
			}
		}
	}
	return emit(s, "", []byte(text.String()))
}

// inspectEndorsements shows the certificate and the signed times of a signature.
// Nobody was asked whether to trust them.
func inspectEndorsements(line func(string, ...any), sig attestation.Signature) {
	if len(sig.Certificate) > 0 {
		if chain, err := attestation.ParseCertificates(sig.Certificate); err != nil {
			line("certificate   cannot be read: %v", err)
		} else {
			line("certificate   %s, by %s, until %s (not checked)", chain[0].Subject, chain[0].Issuer, chain[0].NotAfter.UTC().Format(time.RFC3339))
		}
	}
	for _, t := range sig.Timestamps {
		if stamp, err := attestation.ReadTimestamp(t.Data, sig.Sig); err != nil {
			line("time stamp    cannot be read: %v", err)
		} else {
			line("time stamp    %s (authority not checked)", stamp.Time.Format(time.RFC3339))
		}
	}
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
	for _, class := range slices.Sorted(maps.Keys(c.Coverage.Losses)) {
		line("lost %d %s", c.Coverage.Losses[class], class)
	}
	for _, l := range c.Coverage.Limits {
		line("limit reached: %s (%d %s)", l.Name, l.Value, l.Unit)
	}
	inspectOutput(line, "standard output", c.Stdout)
	inspectOutput(line, "standard error", c.Stderr)
	for _, i := range c.Imports {
		if i.OK {
			line("import %s (%s): ok", i.Module, i.Environment)
		} else {
			line("import %s (%s): %s", i.Module, i.Environment, i.Error)
		}
	}
	for _, p := range c.Processes {
		line("\n%d (parent %d, %s) %s", p.ProcessID, p.ParentPID, p.Role, clip(p.Cmdline, 160))
		line("  program %s, read %d files, wrote %d, deleted %d, events %d", p.Program, len(p.OpenedFiles), len(p.FileOps.Writes),
			len(p.FileOps.Deletes), len(p.SyscallEvents))
		for _, n := range p.Network.Connections {
			line("  %s %s %s %d", n.Syscall, n.Family, n.Address, n.Port)
		}
	}
}

// inspectOutput shows the end of what a command printed.
func inspectOutput(line func(string, ...any), name, output string) {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return
	}
	if cut := len(lines) - maxOutputLines; cut > 0 {
		line("%s, without the first %d lines:", name, cut)
		lines = lines[cut:]
	} else {
		line("%s:", name)
	}
	for _, l := range lines {
		line("  | %s", strings.ReplaceAll(l, "\t", "    "))
	}
}

func clip(text string, limit int) string {
	runes := []rune(strings.ReplaceAll(text, "\n", " "))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
