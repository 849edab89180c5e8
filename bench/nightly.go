package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/check"
	"pip-witness/internal/store"
)

// entry is one part of the nightly run.
type entry struct {
	name string
	run  func(context.Context) (note string, err error)
}

// outcome is what became of one entry.
type outcome struct {
	OK       bool    `json:"ok"`
	Note     string  `json:"note,omitempty"`
	Seconds  float64 `json:"seconds"`
	Finished string  `json:"finished"` // RFC 3339, UTC
}

// journal is the state file: what was finished with one binary.
type journal struct {
	Binary string             `json:"binary"` // SHA-256 of the measured binary
	Done   map[string]outcome `json:"done"`

	path string
}

// nightly runs everything that takes long, one entry after the other. An entry
// that ended well with the same binary is not run again, so the same command
// continues after an interruption and repeats what failed.
func nightly(ctx context.Context, s settings, stdout io.Writer) error {
	if s.runs == 0 {
		s.runs = nightlyRuns
	}
	if err := os.MkdirAll(s.results, 0o755); err != nil {
		return fmt.Errorf("make the directory of results: %w", err)
	}
	done, err := s.build(ctx)
	if err != nil {
		return err
	}
	defer done()
	state, err := openJournal(filepath.Join(s.results, "state.json"), s.binary, s.fresh)
	if err != nil {
		return err
	}
	entries, err := s.entries()
	if err != nil {
		return err
	}
	if err := state.work(ctx, s, entries); err != nil {
		return err
	}
	return state.summary(stdout, entries)
}

// entries lists the parts of the nightly run, in order.
func (s settings) entries() ([]entry, error) {
	all := []entry{
		{"fetch", func(ctx context.Context) (string, error) {
			if s.fetched() {
				return "there already", nil
			}
			return "", fetch(ctx, s)
		}},
		{"test", s.test},
	}
	for _, one := range suites() {
		all = append(all, entry{"bench-" + one.name, func(ctx context.Context) (string, error) { return "", s.bench(ctx, one) }})
	}
	text, err := os.ReadFile(s.list)
	if err != nil {
		return nil, fmt.Errorf("read the list of packages: %w", err)
	}
	for _, p := range parsePackages(text) {
		all = append(all, entry{"check-" + p.name, func(ctx context.Context) (string, error) { return s.judge(ctx, p) }})
	}
	return slices.DeleteFunc(all, func(e entry) bool { return !s.only.MatchString(e.name) }), nil
}

// test runs every test, also those that install real packages.
func (s settings) test(ctx context.Context) (string, error) {
	log, err := os.Create(filepath.Join(s.results, "test.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-p", "1", "-timeout", "90m", "pip-witness/...")
	command.Env = append(os.Environ(), "PIP_WITNESS_E2E=1")
	command.Stdout, command.Stderr = log, log
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("go test: %w; see %s", err, log.Name())
	}
	return "", nil
}

// bench measures one suite and keeps its table and its JSON lines.
func (s settings) bench(ctx context.Context, one suite) error {
	s.json = filepath.Join(s.results, one.name+".jsonl")
	table, err := os.Create(filepath.Join(s.results, one.name+".md"))
	if err != nil {
		return err
	}
	return errors.Join(measure(ctx, s, []suite{one}, table), table.Close())
}

// listed is one package of the list.
type listed struct {
	name      string
	arguments []string
}

// parsePackages reads the list: one package a line, as arguments of check;
// "name: arguments" gives it another name. An argument that begins with
// "{wheels}/" is a pattern of files in the directory of wheels. Empty lines and
// lines that begin with # are comments.
func parsePackages(text []byte) []listed {
	var all []listed
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, arguments, ok := strings.Cut(line, ": ")
		if !ok {
			name, arguments = line, line
		}
		all = append(all, listed{strings.TrimSpace(name), strings.Fields(arguments)})
	}
	return all
}

// judge checks one package of the index with the user's own configuration: good
// is the verdict pass with no finding that denies, every module imported.
func (s settings) judge(ctx context.Context, p listed) (string, error) {
	args := []string{"check", "--python", s.python, "--quiet", "--format", "json"}
	for _, a := range p.arguments {
		pattern, ok := strings.CutPrefix(a, "{wheels}/")
		if !ok {
			args = append(args, a)
			continue
		}
		found, err := filepath.Glob(filepath.Join(s.wheels, pattern))
		if err != nil || len(found) == 0 {
			return "", fmt.Errorf("no file %q in the directory of wheels: %w", pattern, errors.Join(err, os.ErrNotExist))
		}
		args = append(args, found[0])
	}
	kept := filepath.Join(s.results, "evidence", p.name)
	if err := errors.Join(os.RemoveAll(kept), os.MkdirAll(filepath.Dir(kept), 0o755)); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, s.binary, append(args, "--evidence", kept)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output() // any exit code: the verdict says it
	if len(out) == 0 {
		return "", fmt.Errorf("check: %w: %s", err, tail(said.Bytes(), 600))
	}
	if err := os.WriteFile(filepath.Join(s.results, "check-"+p.name+".json"), out, 0o644); err != nil {
		return "", err
	}
	v, err := readVerdict(out)
	if err != nil {
		return "", err
	}
	note, err := v.accept()
	if err != nil {
		return note, err
	}
	imported, err := readImports(filepath.Join(kept, store.StepFile(check.StepImport)))
	return note + ", " + imported, err
}

// readImports says of the evidence of an import step how many modules there were;
// the error names those that did not import.
func readImports(path string) (string, error) {
	data, err := store.ReadFile(path)
	if err != nil {
		return "", err
	}
	envelope, err := attestation.ParseEnvelope(data)
	if err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	statement, err := attestation.ParseStatement(envelope.Payload)
	if err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	var command evidence.CommandRun
	for _, a := range collection.Attestations {
		if attestation.ShortName(a.Type) != "command-run" {
			continue
		}
		if err := json.Unmarshal(a.Attestation, &command); err != nil {
			return "", fmt.Errorf("read %q: %w", path, err)
		}
	}
	var failed []string
	for _, i := range command.Imports {
		if !i.OK {
			failed = append(failed, fmt.Sprintf("import %s (%s): %s", i.Module, i.Environment, i.Error))
		}
	}
	note := fmt.Sprintf("%d of %d imports", len(command.Imports)-len(failed), len(command.Imports))
	if len(failed) > 0 || len(command.Imports) == 0 {
		return note, fmt.Errorf("%s: %s", note, strings.Join(failed, "; "))
	}
	return note, nil
}

// accept is nil when the verdict is pass and nothing denies.
func (v verdict) accept() (string, error) {
	var denying []string
	for _, f := range v.Findings {
		if f.Severity == "CRITICAL" || f.Severity == "HIGH" {
			denying = append(denying, f.Rule)
		}
	}
	note := fmt.Sprintf("verdict %s, %d findings, %d CRITICAL or HIGH", v.Verdict, len(v.Findings), len(denying))
	if v.Verdict != "pass" || len(denying) > 0 {
		return note, fmt.Errorf("%s %s", note, strings.Join(denying, " "))
	}
	return note, nil
}

// openJournal reads the state file. What another binary did is forgotten.
func openJournal(path, binary string, fresh bool) (*journal, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	sum := sha256.Sum256(program)
	empty := &journal{Binary: hex.EncodeToString(sum[:]), Done: map[string]outcome{}, path: path}
	if fresh {
		return empty, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	found := &journal{path: path}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, fmt.Errorf("read the state %q, -fresh starts anew: %w", path, err)
	}
	if found.Binary != empty.Binary || found.Done == nil {
		return empty, nil
	}
	return found, nil
}

// work runs what is not done. A failed entry does not keep the others from
// running; an interruption does, and is no outcome.
func (j *journal) work(ctx context.Context, s settings, entries []entry) error {
	for i, e := range entries {
		if j.Done[e.name].OK {
			s.say("nightly %d of %d: %s was finished before", i+1, len(entries), e.name)
			continue
		}
		s.say("nightly %d of %d: %s", i+1, len(entries), e.name)
		started := time.Now()
		note, err := e.run(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted in %s; the same command continues there", e.name)
		}
		o := outcome{OK: err == nil, Note: note, Seconds: time.Since(started).Seconds(), Finished: time.Now().UTC().Format(time.RFC3339)}
		if err != nil {
			o.Note = err.Error()
		}
		j.Done[e.name] = o
		if err := j.save(); err != nil {
			return err
		}
	}
	return nil
}

// save replaces the state file as a whole.
func (j *journal) save() error {
	text, err := json.MarshalIndent(j, "", "\t")
	if err != nil {
		return err
	}
	next := j.path + ".next"
	if err := errors.Join(os.WriteFile(next, text, 0o644), os.Rename(next, j.path)); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return nil
}

// summary prints a line for each entry; any that failed is an error.
func (j *journal) summary(w io.Writer, entries []entry) error {
	rows := [][]string{{"entry", "", "s", "note"}}
	var failed []string
	for _, e := range entries {
		o := j.Done[e.name]
		word := "ok"
		if !o.OK {
			word = "FAILED"
			failed = append(failed, e.name)
		}
		note, _, _ := strings.Cut(o.Note, "\n")
		rows = append(rows, []string{e.name, word, fmt.Sprintf("%.0f", o.Seconds), note})
	}
	table(w, rows)
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(slices.Compact(failed), ", "))
	}
	return nil
}
