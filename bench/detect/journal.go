package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// line is one line of the results: what became of one scenario or package.
type line struct {
	// Suite is "attacks", "mutation" or "honest".
	Suite string `json:"suite"`
	// Name is the id of a scenario, or the line of the list of packages.
	Name string `json:"name"`
	Seed uint64 `json:"seed,omitempty"`
	// Binary and Input are digests: a result stands for them only.
	Binary string `json:"binary"`
	Input  string `json:"input"`

	Family     string `json:"family,omitempty"`
	Difficulty int    `json:"difficulty,omitempty"`
	Lookalike  bool   `json:"lookalike,omitempty"`
	// NotRun is why the scenario could not run on this machine, Unreachable why a
	// run cannot show the behaviour.
	NotRun      string `json:"notRun,omitempty"`
	Unreachable string `json:"unreachable,omitempty"`

	Verdict  string   `json:"verdict,omitempty"`
	OK       bool     `json:"ok"`
	Expected []string `json:"expected,omitempty"` // modules
	Rules    []string `json:"rules"`
	Modules  []string `json:"modules"`
	// Missing are expected rules and modules that reported nothing; Loud findings
	// that must not be, each as "SEVERITY RULE: message".
	Missing []string `json:"missing,omitempty"`
	Loud    []string `json:"loud,omitempty"`
	// Beyond are expected rules and modules that reported nothing because the
	// evidence cannot show them, with the reason of each.
	Beyond map[string]string `json:"beyond,omitempty"`
	// Denying are the modules with a CRITICAL or HIGH finding that no exception
	// covers; Waived are findings that one does.
	Denying  []string       `json:"denying,omitempty"`
	Waived   []string       `json:"waived,omitempty"`
	Counts   map[string]int `json:"counts,omitempty"` // findings by severity
	Problems []string       `json:"problems,omitempty"`
	Version  string         `json:"version,omitempty"` // of the package that was checked
	cost
}

// journal is the file of results. The last line about something counts.
type journal struct {
	path string
	mu   sync.Mutex
	done map[string]line
}

// maxLine bounds a line of the journal.
const maxLine = 16 << 20 // 16 MiB

func (l line) key() string { return fmt.Sprintf("%s %s %d", l.Suite, l.Name, l.Seed) }

// openJournal reads what is there. A line that was cut off by an interruption is
// left out: what it was about runs again.
func openJournal(path string, fresh bool) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of results: %w", err)
	}
	j := &journal{path: path, done: map[string]line{}}
	if fresh {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("forget the results: %w", err)
		}
		return j, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err == nil && l.Suite != "" {
			j.done[l.key()] = l
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the results %q: %w", path, err)
	}
	return j, nil
}

// finished is the result of an earlier run of the same binary on the same input.
func (j *journal) finished(l line) (line, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	earlier, ok := j.done[l.key()]
	return earlier, ok && earlier.Binary == l.Binary && earlier.Input == l.Input && earlier.NotRun == ""
}

// add appends a result.
func (j *journal) add(l line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done[l.key()] = l
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write a result: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("write a result: %w", err)
	}
	// A line begins with a line end, so one that was cut off spoils only itself.
	_, err = f.Write(append([]byte("\n"), append(text, '\n')...))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write a result to %q: %w", j.path, err)
	}
	return nil
}
