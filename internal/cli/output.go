package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/internal/report"
	"pip-witness/internal/store"
)

// checkOutput refuses a file that cannot be written, before any work is done
// for it.
func checkOutput(flag, path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return usage("name a file", "%s %q: it is a directory", flag, path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return badInput(fmt.Errorf("%s: %w", flag, err))
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("make it, or name another file", "%s %q: there is no directory %q", flag, path, dir)
	}
	return nil
}

// writable refuses a file whose place the user may not write to. What cannot be
// told before it is written is an error then.
func writable(flag, path string) error {
	asked := path
	if info, err := os.Lstat(path); err != nil || info.Mode().IsRegular() {
		asked = filepath.Dir(path) // the file is replaced, not written to
	}
	if err := unix.Access(asked, unix.W_OK); err != nil {
		return usage("check the permissions, or name another file", "%s %q: write to %q: %w", flag, path, asked, err)
	}
	return nil
}

// checkOptional is checkOutput for a file that need not be named.
func checkOptional(flag, path string) error {
	if path == "" {
		return nil
	}
	return checkOutput(flag, path)
}

// newFile refuses a file that exists.
func newFile(flag, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return usage("choose another name, or remove it first", "%s %q: it exists already", flag, path)
	}
	return checkOutput(flag, path)
}

// printer returns a function that adds a line, with nothing in it that a
// terminal would obey.
func printer(text *strings.Builder) func(format string, args ...any) {
	return func(format string, args ...any) {
		for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
			text.WriteString(report.Printable(line) + "\n")
		}
	}
}

// writeOutput writes a file whole or not at all. What is no regular file, such
// as /dev/stdout or a pipe, is written to instead of replaced.
func writeOutput(path string, data []byte) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return store.WriteFile(path, data, 0o644)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// evidenceDirectory is where a check leaves its evidence.
type evidenceDirectory struct {
	path string
	made bool // by this run, which removes it when it has nothing to leave
}

// openEvidence makes the directory, or takes one that holds no evidence: what
// two runs left must not end up in one.
func openEvidence(path string) (evidenceDirectory, error) {
	d := evidenceDirectory{path: path}
	if _, err := os.Stat(path); err == nil {
		held, err := filepath.Glob(filepath.Join(escapeGlob(path), "*.json"))
		if err != nil {
			return d, badInput(fmt.Errorf("--evidence %q: %w", path, err))
		}
		if len(held) > 0 {
			return d, usage("name another directory, or remove it first", "--evidence %q: it holds evidence already (%s)", path, filepath.Base(held[0]))
		}
	} else {
		d.made = true
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return d, badInput(fmt.Errorf("--evidence: %w", err))
	}
	return d, nil
}

// discard removes the directory when this run made it.
func (d evidenceDirectory) discard() error {
	if !d.made {
		return nil
	}
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("remove the evidence directory: %w", err)
	}
	return nil
}

// escapeGlob quotes what filepath.Glob would take for a pattern.
func escapeGlob(path string) string {
	var quoted []byte
	for i := range len(path) {
		if c := path[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, path[i])
	}
	return string(quoted)
}
