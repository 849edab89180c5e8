package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/walk"
	"pip-witness/rules"
)

// CommandRequest is any one command to be witnessed.
type CommandRequest struct {
	// Sandbox runs it in the sandbox of a check, without a network; otherwise it runs
	// as it is, unconfined.
	Sandbox   bool
	Step      string
	Args      []string
	Environ   []string
	WorkDir   string
	Stdin     *os.File
	Stdout    io.Writer
	Stderr    io.Writer
	Attestors []attest.Attestor
	Timeout   time.Duration
	Linger    time.Duration
	Builder   string
	// Private are files that the command in a sandbox may not read, as in Request.
	Private []string
	// CacheDir is as in Request.
	CacheDir string
}

// ObserveCommand runs and records the command, and attests what it did. The
// trail is taken over the working directory.
func ObserveCommand(ctx context.Context, r CommandRequest) (_ *StepEvidence, err error) {
	table, err := rules.FS.ReadFile("indicators/credential_paths.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the table of credential paths: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	watcher, err := evidence.NewWatcher(table, []string{home}, nil)
	if err != nil {
		return nil, err
	}
	digests := openDigests(r.CacheDir)
	defer func() { err = errors.Join(err, keepDigests(digests, r.CacheDir)) }()
	if r.Sandbox {
		return r.confined(ctx, home, watcher, digests)
	}
	hashes := &walk.DigestCache{}
	layout := attest.Layout{Home: home, Prefix: r.WorkDir}
	var before, after *evidence.Tree
	trace := step.Trace{
		Timeout: r.Timeout, Linger: r.Linger, Digests: digests,
		Watched: func(path string) bool {
			_, ok := watcher.Match(path)
			return ok
		},
		Before: func(int) (err error) {
			before, err = walk.Tree(ctx, layout, []string{r.WorkDir}, hashes)
			return err
		},
		Commands: []step.Command{{
			Command: sandbox.Command{Args: r.Args, Env: r.Environ, Dir: r.WorkDir, Stdin: r.Stdin}, Stdout: r.Stdout, Stderr: r.Stderr,
		}},
		After: func(int) (err error) {
			after, err = walk.Tree(ctx, layout, []string{r.WorkDir}, hashes)
			return err
		},
	}
	recording, err := trace.Run(ctx)
	if err != nil {
		return nil, err
	}
	command := &recording.Command
	command.Coverage.Sandbox = evidence.Sandbox{Kind: "none", Network: "host", Home: home, WorkDir: r.WorkDir, Missing: []string{"any confinement"}}
	command.Changes = changes(before, after)
	evidence.AssignRoles(command, evidence.StepCommand)
	in := &attest.Input{
		Step: r.Step, Command: *command, Started: recording.Started, Finished: recording.Finished,
		Before: before, After: after, Layout: layout, Builder: r.Builder, Environ: r.Environ,
	}
	collection, err := step.Attest(ctx, in, r.Attestors, commandSubjects(command, after))
	if err != nil {
		return nil, err
	}
	return &StepEvidence{r.Step, collection, *command}, nil
}

// commandSubjects are the products of a command, the files that it created or
// modified, and without any the recording itself.
func commandSubjects(command *evidence.CommandRun, after *evidence.Tree) []attestation.Subject {
	var subjects []attestation.Subject
	for _, c := range command.Changes {
		digest := after.Files[c.Path].Digests["sha256"]
		if digest != "" && (c.Change == "created" || c.Change == "modified") {
			subjects = append(subjects, attestation.Subject{Name: c.Path, Digest: map[string]string{"sha256": digest}})
		}
	}
	if len(subjects) == 0 {
		return recordingSubject(command)
	}
	return subjects
}

// changes are the differences of two trees; none is an empty list, as absence
// would mean that nobody looked.
func changes(before, after *evidence.Tree) []evidence.TreeChange {
	return append([]evidence.TreeChange{}, evidence.DiffTrees(before, after)...)
}
