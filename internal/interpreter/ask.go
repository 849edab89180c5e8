package interpreter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// probeMarker precedes the answer: a sitecustomize may print before it.
const probeMarker = "pip-witness-probe:"

// answer is what probe.py prints. An interpreter older than 3.8 gives Version
// and Executable alone.
type answer struct {
	Executable     string            `json:"executable"`
	Real           string            `json:"real"`
	Prefix         string            `json:"prefix"`
	Environment    string            `json:"environment"`
	Version        string            `json:"version"`
	Implementation string            `json:"implementation"`
	Platform       string            `json:"platform"`
	Markers        map[string]string `json:"markers"`
	Venv           bool              `json:"venv"`
	Ensurepip      bool              `json:"ensurepip"`
	Home           string            `json:"home"`
	Paths          []string          `json:"paths"`
	Certificates   []string          `json:"certificates"`
	Sites          []string          `json:"sites"`
	Pip            pipAnswer         `json:"pip"`
	Files          []string          `json:"files"`
	Config         configAnswer      `json:"config"`
}

type pipAnswer struct {
	Missing string   `json:"missing"`
	Version string   `json:"version"`
	Package string   `json:"package"`
	Paths   []string `json:"paths"`
	Bundle  string   `json:"bundle"`
}

// configAnswer has one of its fields: the values, the text with which pip
// refused its configuration, or why pip could not be asked in this way.
type configAnswer struct {
	Values  *configValues `json:"values"`
	Refused string        `json:"refused"`
	Failed  string        `json:"failed"`
}

// ask runs the probe and reads its answer.
func ask(ctx context.Context, python, path string, flags, environ []string) (*answer, error) {
	args := append(append([]string{}, flags...), "-c", probe)
	stdout, stderr, err := run(ctx, path, args, environ)
	if err != nil {
		return nil, askError(ctx, python, err, stderr)
	}
	return parseAnswer(python, stdout)
}

// parseAnswer reads the probe's last line.
func parseAnswer(python string, stdout []byte) (*answer, error) {
	at := bytes.LastIndex(stdout, []byte("\n"+probeMarker))
	if at < 0 {
		return nil, &Error{Python: python, Err: fmt.Errorf("%w: it printed %q", ErrNoAnswer, tail(stdout, 200))}
	}
	a := new(answer)
	if err := json.Unmarshal(stdout[at+1+len(probeMarker):], a); err != nil {
		return nil, &Error{Python: python, Err: fmt.Errorf("%w: decode it: %w", ErrNoAnswer, err)}
	}
	if a.Version == "" {
		return nil, &Error{Python: python, Err: fmt.Errorf("%w: it gave no version", ErrNoAnswer)}
	}
	return a, nil
}

// askError says why the probe did not end well.
func askError(ctx context.Context, python string, err error, stderr []byte) error {
	if ctx.Err() != nil {
		return &Error{Python: python, Err: fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())}
	}
	said := strings.TrimSpace(string(tail(stderr, 400)))
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return noPython(python, err)
	}
	switch {
	case exit.ExitCode() == 127: // a shim that finds no version behind it
		return noPython(python, errors.New(said))
	case exit.ExitCode() == 2 && bytes.Contains(stderr, []byte("nknown option")):
		return &Error{Python: python, Err: &usageError{fmt.Errorf("%w: %s", ErrNoAnswer, said)}}
	}
	return &Error{Python: python, Err: fmt.Errorf("%w: %w: %s", ErrNoAnswer, err, said)}
}

// run starts a program of the user's with bounded output and time, and ends its
// whole process group when the context does.
func run(ctx context.Context, path string, args, environ []string) (stdout, stderr []byte, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = environ
	out, said := &bounded{limit: maxProbeOutput}, &bounded{limit: maxProbeError}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	return out.Bytes(), said.Bytes(), err
}

// bounded keeps the last bytes that were written to it, at most twice limit.
type bounded struct {
	bytes.Buffer
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > 2*b.limit {
		b.Next(max(0, b.Len()+len(p)-b.limit))
	}
	if len(p) > b.limit {
		b.Buffer.Write(p[len(p)-b.limit:])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// tail returns at most n last bytes.
func tail(b []byte, n int) []byte {
	return b[max(0, len(b)-n):]
}
