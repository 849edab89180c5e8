// Command detect measures detection: how many of the scenarios of attacks are
// caught, how many honest packages are denied, and what a check costs. README.md
// of the scenarios documents their format; docs/detection.md has the results.
//
// Every scenario runs in pip-witness's own sandbox and does something harmless
// there. What a run finished is kept in a file of results, so the same command
// continues after an interruption.
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
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// settings are the flags, and what follows from them.
type settings struct {
	runner
	catalogue
	journal      *journal
	scenarios    string
	packages     string
	recordings   string
	notRun       string
	results      string
	only         []string
	jobs         int
	seed         uint64
	fresh        bool
	keep         bool
	all          bool
	binaryDigest string
	talk         io.Writer // progress
}

// verb is one thing that this program does.
type verb struct {
	name, what string
	run        func(settings, context.Context, *report) error
}

func verbs() []verb {
	return []verb{
		{suiteAttacks, "run the scenarios of attacks and of benign look-alikes", settings.runAttacks},
		{suiteHonest, "check the honest packages of the list, from the index", settings.runHonest},
		{suiteMutation, "run the attacks under other names: -seed", settings.runMutation},
		{"all", "all of it, then the table; the same command continues after an interruption", settings.runAll},
		{"record", "keep the evidence of scenarios for the tests: -only, else those that are kept", settings.runRecord},
		{"table", "print what was measured, from the results", settings.runTable},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "detect: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s := settings{talk: stderr}
	flags := flag.NewFlagSet("detect", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "only these scenarios or packages: `ID,FAMILY,…`")
	flags.StringVar(&s.scenarios, "scenarios", "bench/detect/scenarios", "`DIR` with the scenarios")
	flags.StringVar(&s.packages, "packages", "bench/detect/honest.txt", "`FILE` with the honest packages")
	flags.StringVar(&s.recordings, "recordings", "bench/detect/testdata/recordings.jsonl.zst", "`FILE` of recordings")
	flags.StringVar(&s.notRun, "not-run", "bench/detect/not-run.yaml", "`FILE` with the scenarios that are not run")
	flags.StringVar(&s.results, "results", "bench/results/detect", "`DIR` for the results")
	flags.StringVar(&s.wheels, "wheels", "", "`DIR` with setuptools and wheel (default: below the user's cache directory)")
	flags.StringVar(&s.runner.checker.python, "python", "python3", "interpreter `PATH` to install for")
	flags.StringVar(&s.binary, "binary", "", "pip-witness `FILE` to measure (default: built from this tree)")
	flags.IntVar(&s.jobs, "jobs", 1, "run `N` checks at a time")
	flags.Uint64Var(&s.seed, "seed", 1, "`N` that renames hosts, addresses, files, modules and packages: mutation")
	flags.BoolVar(&s.fresh, "fresh", false, "forget what an earlier run finished")
	flags.BoolVar(&s.keep, "keep", false, "keep the evidence of every check in the directory of results")
	flags.BoolVar(&s.all, "all-modules", false, "judge by every module of the tree, also those that the built-in policy does not bind")
	flags.Usage = func() { usage(stderr, flags) }
	// Flags may stand before and after the verb.
	if err := flags.Parse(args); err != nil {
		return err
	}
	name := flags.Arg(0)
	if err := flags.Parse(flags.Args()[min(1, flags.NArg()):]); err != nil {
		return err
	}
	i := slices.IndexFunc(verbs(), func(v verb) bool { return v.name == name })
	if i < 0 || flags.NArg() > 0 {
		flags.Usage()
		return fmt.Errorf("%q: want one of the measurements", strings.TrimSpace(name+" "+strings.Join(flags.Args(), " ")))
	}
	if s.seed == 0 {
		return errors.New("-seed 0: it renames nothing")
	}
	if s.jobs < 1 {
		return fmt.Errorf("-jobs %d: want 1 or more", s.jobs)
	}
	s.only = strings.FieldsFunc(*only, func(r rune) bool { return r == ',' || r == ' ' })
	done, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	r := &report{to: stdout, c: s.catalogue}
	return errors.Join(verbs()[i].run(s, ctx, r), r.err)
}

func usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintln(w, "usage: go run ./bench/detect VERB [FLAGS]")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-9s %s\n", v.name, v.what)
	}
	flags.PrintDefaults()
}

// selects tells whether -only names the id or its family, in any case; without
// -only everything is selected.
func (s settings) selects(id, family string) bool {
	return len(s.only) == 0 || slices.ContainsFunc(s.only, func(o string) bool {
		return strings.EqualFold(o, id) || strings.EqualFold(o, family)
	})
}

// prepare fills in what the flags left to defaults; the returned function removes
// what it made.
func (s *settings) prepare(ctx context.Context) (func() error, error) {
	var err error
	if s.catalogue, err = readCatalogue(); err != nil {
		return nil, err
	}
	if s.toolchain, err = newToolchain(ctx, s.runner.checker.python); err != nil {
		return nil, err
	}
	s.runner.checker.python = s.toolchain.python
	if err := s.locate(); err != nil {
		return nil, err
	}
	if s.keep {
		s.evidence = filepath.Join(s.results, "evidence")
	}
	dir, err := os.MkdirTemp("", "detect-binary-")
	if err != nil {
		return nil, err
	}
	done := func() error { return os.RemoveAll(dir) }
	if err := errors.Join(s.fetch(ctx), s.buildBinary(ctx, dir)); err != nil {
		return nil, errors.Join(err, done())
	}
	if s.all {
		if err := s.bind(ctx, dir); err != nil {
			return nil, errors.Join(err, done())
		}
	}
	s.journal, err = openJournal(filepath.Join(s.results, "results.jsonl"), s.fresh)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return done, nil
}

// locate makes the paths absolute.
func (s *settings) locate() error {
	if s.wheels == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a directory for the wheels, give -wheels: %w", err)
		}
		s.wheels = filepath.Join(cache, "pip-witness", "detect")
	}
	for _, p := range []*string{&s.wheels, &s.scenarios, &s.packages, &s.recordings, &s.notRun, &s.results, &s.binary} {
		if *p == "" {
			continue
		}
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	return nil
}

// fetch downloads what builds of sdists need, once, with pip and the user's own
// configuration of it.
func (s *settings) fetch(ctx context.Context) error {
	if found, err := filepath.Glob(filepath.Join(s.wheels, "setuptools-*.whl")); err == nil && len(found) > 0 {
		return nil
	}
	if err := os.MkdirAll(s.wheels, 0o755); err != nil {
		return fmt.Errorf("make the directory of wheels: %w", err)
	}
	command := exec.CommandContext(ctx, s.toolchain.python, "-m", "pip", "download", "--disable-pip-version-check", "--quiet",
		"--only-binary", ":all:", "--no-deps", "--dest", s.wheels, "setuptools", "wheel", "packaging")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("run %q: %w: %s", command.Args, err, tail(said, 600))
	}
	return nil
}

// buildBinary builds the binary unless one is given.
func (s *settings) buildBinary(ctx context.Context, dir string) error {
	if s.binary == "" {
		s.binary = filepath.Join(dir, "pip-witness")
		command := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "pip-witness")
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("build pip-witness: %w: %s", err, said)
		}
	}
	program, err := os.ReadFile(s.binary)
	if err != nil {
		return fmt.Errorf("read the binary: %w", err)
	}
	s.binaryDigest = digest(program)
	return nil
}

// unexpected names the results that count and are not as expected.
func unexpected(lines []line) []string {
	var names []string
	for _, l := range lines {
		if !l.OK && l.NotRun == "" && l.Unreachable == "" {
			names = append(names, l.Name)
		}
	}
	return names
}

// asExpected is an error when results are not as expected.
func asExpected(lines []line) error {
	if names := unexpected(lines); len(names) > 0 {
		return fmt.Errorf("%d of %d: %s", len(names), len(lines), strings.Join(names, ", "))
	}
	return nil
}

// runAttacks runs the scenarios and says what was not as expected.
func (s settings) runAttacks(ctx context.Context, stdout *report) error {
	lines, err := s.attacks(ctx, suiteAttacks, 0)
	if err != nil {
		return err
	}
	stdout.perDifficulty(lines)
	stdout.misses(lines, nil)
	return asExpected(lines)
}

// runAll measures everything and prints the table, also when something was not as
// expected.
func (s settings) runAll(ctx context.Context, stdout *report) error {
	scenarios, err := s.attacks(ctx, suiteAttacks, 0)
	if err != nil {
		return err
	}
	renamed, err := s.attacks(ctx, suiteMutation, s.seed)
	if err != nil {
		return err
	}
	packages, err := s.honest(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		s.runTable(ctx, stdout), asExpected(scenarios), asExpected(packages), s.compareSeeds(scenarios, renamed, s.seed).accept(),
	)
}
