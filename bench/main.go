// Command bench measures the built pip-witness against the same commands without
// it: start-up, verification and memory (gates), the slow-down of a traced
// command, the cost of a whole check, and the size of the evidence. README.md
// has the commands; docs/performance.md has the results.
//
// Times are never asserted: a gate that is missed is printed as such, and the
// exit code is 1 only when something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/internal/sandbox"
)

// defaultRuns is how often each side of a comparison runs; nightlyRuns is the
// same in the nightly run.
const (
	defaultRuns = 7
	nightlyRuns = 9
)

// settings are the flags, made absolute.
type settings struct {
	runs    int
	wheels  string // directory with the wheels and sdists
	python  string // the interpreter itself, no shim in front of it
	binary  string // the pip-witness to measure
	json    string // file for JSON lines; empty is none
	results string // directory of the nightly run
	list    string // file with the packages of the nightly run
	only    *regexp.Regexp
	fresh   bool
	talk    io.Writer // progress
}

// suite is one group of measurements.
type suite struct {
	name    string
	what    string
	measure func(context.Context, settings, *report) error
}

func suites() []suite {
	return []suite{
		{"gates", "start-up, verification, peak memory, size of the evidence", measureGates},
		{"empty", "an empty command: under the tracer, and in the sandbox", measureEmpty},
		{"capture", "install and import commands under the tracer, strace for reference", measureCapture},
		{"check", "the whole check against the same install and both imports", measureCheck},
	}
}

func main() {
	sandbox.Main() // this binary is its own sandbox's init
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{talk: stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.runs, "n", 0, "run each side `N` times (default 7, nightly 9)")
	flags.StringVar(&s.wheels, "wheels", "", "`DIR` with wheels and sdists (default: below the user's cache directory)")
	flags.StringVar(&s.python, "python", "python3", "interpreter `PATH` to install for")
	flags.StringVar(&s.binary, "binary", "", "pip-witness `FILE` to measure (default: built from this tree)")
	flags.StringVar(&s.json, "json", "", "append JSON lines to `FILE`")
	flags.StringVar(&s.results, "results", "bench/results", "`DIR` of the nightly run")
	flags.StringVar(&s.list, "packages", "bench/packages.txt", "`FILE` with the packages of the nightly run")
	flags.BoolVar(&s.fresh, "fresh", false, "nightly: forget what an earlier run finished")
	only := flags.String("only", "", "only the cases, or entries of the nightly run, that match this regular `EXPRESSION`")
	flags.Usage = func() { usage(stderr, flags) }
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("read -only %q: %w", *only, err)
	}
	if err := s.locate(ctx); err != nil {
		return err
	}
	switch name := flags.Arg(0); {
	case flags.NArg() == 0:
		flags.Usage()
		return errors.New("which measurement?")
	case name == "fetch" && flags.NArg() == 1:
		return fetch(ctx, s)
	case name == "nightly" && flags.NArg() == 1:
		return nightly(ctx, s, stdout)
	}
	selected, err := choose(flags.Args())
	if err != nil {
		return err
	}
	return measure(ctx, s, selected, stdout)
}

func usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintln(w, "usage: go run ./bench [FLAGS] fetch | all | nightly | SUITE…")
	for _, s := range suites() {
		fmt.Fprintf(w, "  %-8s %s\n", s.name, s.what)
	}
	flags.PrintDefaults()
}

// choose finds suites by name; "all" is every one.
func choose(names []string) ([]suite, error) {
	var selected []suite
	for _, name := range names {
		if name == "all" {
			return suites(), nil
		}
		i := slices.IndexFunc(suites(), func(s suite) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%q is no measurement; see go run ./bench -help", name)
		}
		selected = append(selected, suites()[i])
	}
	return selected, nil
}

// locate fills in what the flags left to defaults.
func (s *settings) locate(ctx context.Context) error {
	if s.wheels == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a directory for the wheels, give -wheels: %w", err)
		}
		s.wheels = filepath.Join(cache, "pip-witness", "bench")
	}
	// A version manager's shim would add its own start-up to the plain side only.
	out, err := exec.CommandContext(ctx, s.python, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return fmt.Errorf("run -python %q: %w", s.python, err)
	}
	s.python = strings.TrimSpace(string(out))
	for _, p := range []*string{&s.wheels, &s.json, &s.results, &s.list, &s.binary} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	return nil
}

// measure runs suites and prints what they found, also when one of them failed.
func measure(ctx context.Context, s settings, selected []suite, stdout io.Writer) (err error) {
	if s.runs == 0 {
		s.runs = defaultRuns
	}
	if s.runs < 1 {
		return fmt.Errorf("-n %d: want 1 or more", s.runs)
	}
	done, err := s.build(ctx)
	if err != nil {
		return err
	}
	defer done()
	r := &report{Machine: describeMachine(s)}
	var failures []error
	for _, one := range selected {
		if err := one.measure(ctx, s, r); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", one.name, err))
		}
	}
	if s.json != "" {
		failures = append(failures, r.appendLines(s.json))
	}
	return errors.Join(append(failures, r.markdown(stdout))...)
}

// build builds the binary unless one is given; the returned function removes it.
func (s *settings) build(ctx context.Context) (func(), error) {
	if s.binary != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "bench-binary-")
	if err != nil {
		return nil, fmt.Errorf("build pip-witness: %w", err)
	}
	s.binary = filepath.Join(dir, "pip-witness")
	command := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "pip-witness")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("build pip-witness: %w: %s", err, out), os.RemoveAll(dir))
	}
	return func() { os.RemoveAll(dir) }, nil
}

// say tells what goes on.
func (s settings) say(format string, args ...any) {
	fmt.Fprintf(s.talk, "bench: "+format+"\n", args...)
}
