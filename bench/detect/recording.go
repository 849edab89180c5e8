package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"pip-witness/attestation"
	"pip-witness/internal/check"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/policy"
	"pip-witness/verify"
)

// recording is the evidence of a live run of a scenario: what modules judge, as it
// was signed. It is never written by hand.
type recording struct {
	// ID is the scenario that ran. What is expected of it is in its file.
	ID string `json:"id"`
	// Steps are the statements, by step, with the attestations that modules judge.
	Steps map[string]attestation.Statement `json:"steps"`
}

// judgedTypes are the attestations that a recording keeps: others are not judged by
// the modules about behaviour and metadata.
func judgedTypes() []string { return []string{"command-run", "pip-install"} }

// Limits of the archive of recordings; it is this project's own file.
const (
	maxRecordings  = 512 << 20 // 512 MiB, decompressed
	recordWindow   = 32 << 20  // 32 MiB: recordings resemble each other
	maxRecordBytes = 64 << 20  // 64 MiB, of one recording
)

// readRecordings reads the archive: zstd of one recording a line. An absent
// archive is empty.
func readRecordings(path string) (map[string]recording, error) {
	all := map[string]recording{}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the recordings: %w", err)
	}
	decoder, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderMaxWindow(recordWindow), zstd.WithDecoderMaxMemory(maxRecordings))
	if err != nil {
		return nil, fmt.Errorf("read the recordings %q: %w", path, err)
	}
	defer decoder.Close()
	lines := bufio.NewScanner(io.LimitReader(decoder, maxRecordings))
	lines.Buffer(nil, maxRecordBytes)
	for lines.Scan() {
		var r recording
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read the recordings %q: %w", path, err)
		}
		all[r.ID] = r
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the recordings %q: %w", path, err)
	}
	return all, nil
}

// writeRecordings writes the archive, sorted.
func writeRecordings(path string, all map[string]recording) error {
	var packed bytes.Buffer
	encoder, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(recordWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("write the recordings: %w", err)
	}
	lines := json.NewEncoder(encoder)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if err := lines.Encode(all[id]); err != nil {
			return fmt.Errorf("write the recording of %s: %w", id, err)
		}
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("write the recordings: %w", err)
	}
	return store.WriteFile(path, packed.Bytes(), 0o644)
}

// takeRecording reads what modules judge of an evidence directory.
func takeRecording(id, directory string) (recording, error) {
	r := recording{ID: id, Steps: map[string]attestation.Statement{}}
	for _, step := range []string{check.StepInstall, check.StepImport} {
		data, err := store.ReadFile(filepath.Join(directory, store.StepFile(step)))
		if errors.Is(err, os.ErrNotExist) && step == check.StepImport {
			continue // the install failed
		}
		if err != nil {
			return r, err
		}
		envelope, err := attestation.ParseEnvelope(data)
		if err != nil {
			return r, fmt.Errorf("read step %q: %w", step, err)
		}
		statement, err := attestation.ParseStatement(envelope.Payload)
		if err != nil {
			return r, fmt.Errorf("read step %q: %w", step, err)
		}
		collection, err := attestation.ParseCollection(statement)
		if err != nil {
			return r, fmt.Errorf("read step %q: %w", step, err)
		}
		collection.Attestations = slices.DeleteFunc(collection.Attestations, func(a attestation.CollectionAttestation) bool {
			return !slices.Contains(judgedTypes(), attestation.ShortName(a.Type))
		})
		predicate, err := json.Marshal(collection)
		if err != nil {
			return r, fmt.Errorf("keep step %q: %w", step, err)
		}
		statement.Predicate = neutralised(predicate)
		r.Steps[step] = statement
	}
	return r, nil
}

// indexHosts is the list of the index's hosts in the evidence.
func indexHosts() *regexp.Regexp { return regexp.MustCompile(`"indexHosts":\[("[^\]]*)\]`) }

// neutralised has no name of a version manager that the machine's user happens to
// have, whose directory is in the list of mounts, nor of the index that pip would
// have asked.
func neutralised(predicate []byte) []byte {
	text := strings.NewReplacer(".pyenv", ".tools", ".cargo", ".tools", ".rustup", ".tools").Replace(string(predicate))
	for _, found := range indexHosts().FindAllStringSubmatch(text, -1) {
		for host := range strings.SplitSeq(found[1], ",") {
			text = strings.ReplaceAll(text, strings.Trim(host, `"`), "index.example")
		}
	}
	return []byte(text)
}

// judge judges recordings by a policy of every module of the tree.
type judge struct {
	key    *seal.PrivateKey
	policy []byte
}

func newJudge(ctx context.Context, c catalogue) (judge, error) {
	key, err := seal.Ephemeral()
	if err != nil {
		return judge{}, err
	}
	source, err := c.bindAll(policy.Builtin())
	if err != nil {
		return judge{}, err
	}
	if source, err = onlyJudged(source); err != nil {
		return judge{}, err
	}
	signed, err := signedPolicy(ctx, source, key)
	return judge{key, signed}, err
}

// onlyJudged leaves out of a policy what recordings do not have.
func onlyJudged(source []byte) ([]byte, error) {
	var p policySource
	if err := json.Unmarshal(source, &p); err != nil {
		return nil, fmt.Errorf("read a policy: %w", err)
	}
	for step := range p.Steps {
		p.Steps[step]["attestations"] = slices.DeleteFunc(p.attestations(step), func(one any) bool {
			a, _ := one.(map[string]any)
			name, _, _ := strings.Cut(fmt.Sprint(a["type"]), "/")
			return !slices.Contains(judgedTypes(), name)
		})
	}
	return json.Marshal(p)
}

// findings are what the modules say of a recording.
func (j judge) findings(ctx context.Context, r recording) ([]finding, error) {
	request := verify.Request{PolicyEnvelope: j.policy, PolicyKeys: []attestation.Verifier{j.key.Public()}, Now: time.Now().UTC(), EvalTimeout: 5 * time.Minute}
	for step, statement := range r.Steps {
		payload, err := json.Marshal(statement)
		if err != nil {
			return nil, fmt.Errorf("judge the recording of %s: %w", r.ID, err)
		}
		envelope, err := attestation.Sign(ctx, attestation.PayloadType, payload, j.key)
		if err != nil {
			return nil, fmt.Errorf("judge the recording of %s: %w", r.ID, err)
		}
		data, err := envelope.Marshal()
		if err != nil {
			return nil, fmt.Errorf("judge the recording of %s: %w", r.ID, err)
		}
		request.Collections = append(request.Collections, verify.Document{Name: step, Data: data})
	}
	result, err := verify.Verify(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("judge the recording of %s: %w", r.ID, err)
	}
	if result.Verdict == policy.Untrusted {
		return nil, fmt.Errorf("judge the recording of %s: it is not trusted: %+v", r.ID, result.Checks)
	}
	var all []finding
	for _, f := range result.Findings {
		all = append(all, finding{f.Severity.String(), f.Rule, f.Module, f.Step, f.Message, f.Exception})
	}
	return all, nil
}

// runRecord runs scenarios and keeps their evidence in the archive: those of
// -only, or all that the archive has.
func (s settings) runRecord(ctx context.Context, stdout *report) error {
	all, err := readRecordings(s.recordings)
	if err != nil {
		return err
	}
	scenarios, err := readScenarios(s.scenarios)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "detect-record-")
	if err != nil {
		return err
	}
	s.evidence, s.neutral = dir, true
	var errs []error
	for _, one := range scenarios {
		if _, has := all[one.ID]; len(s.only) == 0 && !has || !s.selects(one.ID, one.Family) {
			continue
		}
		seen, err := s.runner.run(ctx, one, 0)
		if err == nil {
			l := s.compare(line{Suite: suiteAttacks, Name: one.ID}, one, seen)
			fmt.Fprintf(s.talk, "detect: record %s\n", l.describe())
			if !l.OK {
				err = errors.New("not as its head expects; nothing is recorded")
			}
		}
		if err == nil {
			all[one.ID], err = takeRecording(one.ID, filepath.Join(dir, one.ID))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("record %s: %w", one.ID, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	errs = append(errs, os.RemoveAll(dir), writeRecordings(s.recordings, all)) // also after an interruption: what is there is whole
	stdout.line("%d recordings in %s", len(all), s.recordings)
	return errors.Join(errs...)
}
