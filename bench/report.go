package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// report is everything that one call measured.
type report struct {
	Machine     machine
	Comparisons []comparison
	Figures     []figure
}

// machine is where and when it was measured.
type machine struct {
	Kind     string   `json:"kind"` // "machine"
	Date     string   `json:"date"` // RFC 3339, UTC
	Cores    int      `json:"cores"`
	Kernel   string   `json:"kernel"`
	Load     string   `json:"load"` // one-minute load average at the start
	Go       string   `json:"go"`
	Packages []string `json:"packages"` // the distribution files of the measured packages
}

// figure is one absolute value.
type figure struct {
	Kind  string  `json:"kind"` // "figure"
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Limit is the gate; 0 is none. State is "pass" or "over" where there is one.
	Limit float64 `json:"limit,omitempty"`
	State string  `json:"state,omitempty"`
}

// add notes a figure; limit 0 is none.
func (r *report) add(name string, value float64, unit string, limit float64) {
	r.Figures = append(r.Figures, figure{Kind: "figure", Name: name, Value: value, Unit: unit, Limit: limit, State: state(value, limit)})
}

func state(value, limit float64) string {
	switch {
	case limit == 0:
		return ""
	case value <= limit:
		return "pass"
	}
	return "over"
}

func describeMachine(s settings) machine {
	m := machine{Kind: "machine", Date: time.Now().UTC().Format(time.RFC3339), Cores: runtime.NumCPU(), Go: runtime.Version()}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(load), " ")
	}
	for _, pattern := range []string{"requests-*", "markupsafe-*.tar.gz", "numpy-*", "pandas-*", "scipy-*", "matplotlib-*", "setuptools-*"} {
		found, err := filepath.Glob(filepath.Join(s.wheels, pattern))
		if err != nil || len(found) == 0 {
			continue
		}
		m.Packages = append(m.Packages, distribution(filepath.Base(found[0])))
	}
	return m
}

// distribution is "name version" of a distribution file's name.
func distribution(file string) string {
	parts := strings.SplitN(strings.TrimSuffix(file, ".tar.gz"), "-", 3)
	return strings.Join(parts[:min(2, len(parts))], " ")
}

// appendLines appends one JSON value a line.
func (r *report) appendLines(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	lines := json.NewEncoder(f)
	err = lines.Encode(r.Machine)
	for _, c := range r.Comparisons {
		err = errors.Join(err, lines.Encode(c))
	}
	for _, v := range r.Figures {
		err = errors.Join(err, lines.Encode(v))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write results %q: %w", name, err)
	}
	return nil
}

// markdown prints the report as tables.
func (r *report) markdown(w io.Writer) error {
	m := r.Machine
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d cores, Linux %s, load %s, %s; %s\n", m.Date, m.Cores, m.Kernel, m.Load, m.Go, strings.Join(m.Packages, ", "))
	if len(r.Comparisons) > 0 {
		rows := [][]string{{"case", "way", "runs", "s", "ratio", "range", "CPU ratio", "goal"}}
		for _, c := range r.Comparisons {
			rows = append(rows, []string{
				c.Case, c.Side, fmt.Sprint(c.Runs), fmt.Sprintf("%.3f", c.Took), fmt.Sprintf("%.2f", c.Ratio),
				fmt.Sprintf("%.2f to %.2f", c.Low, c.High), fmt.Sprintf("%.2f", c.CPURatio), limited(c.Ratio, c.Goal, ""),
			})
		}
		table(&text, rows)
	}
	if len(r.Figures) > 0 {
		rows := [][]string{{"figure", "value", "gate"}}
		for _, v := range r.Figures {
			rows = append(rows, []string{v.Name, number(v.Value) + " " + v.Unit, limited(v.Value, v.Limit, " "+v.Unit)})
		}
		table(&text, rows)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// limited is a limit and whether the value keeps it.
func limited(value, limit float64, unit string) string {
	if limit == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %s%s: %s", number(limit), unit, state(value, limit))
}

// number has as many digits as say something.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// table prints a markdown table; the first row is its head.
func table(to io.Writer, rows [][]string) {
	rule := make([]string, len(rows[0]))
	for i := range rule {
		rule[i] = "---"
	}
	aligned := tabwriter.NewWriter(to, 0, 0, 1, ' ', 0)
	fmt.Fprintln(to)
	for _, row := range slices.Insert(slices.Clone(rows), 1, rule) {
		fmt.Fprintf(aligned, "| %s\t|\n", strings.Join(row, "\t| "))
	}
	aligned.Flush()
}
