package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

// Steps that a scenario acts in.
const (
	stepInstall = "install"
	stepImport  = "import"
)

// Kinds of the distribution file that a scenario is built as.
const (
	kindWheel = "wheel"
	kindSdist = "sdist"
)

// Limits of a scenario file; they are this project's own files.
const (
	maxScenario   = 4 << 20 // 4 MiB
	minDifficulty = 1
	maxDifficulty = 5
)

// header is the YAML at the head of a scenario file. scenarios/README.md explains
// every key.
type header struct {
	Title      string `yaml:"title"`
	Family     string `yaml:"family"`
	Step       string `yaml:"step"`
	Channel    string `yaml:"channel"`
	Kind       string `yaml:"kind"`
	Difficulty int    `yaml:"difficulty"`
	Incident   string `yaml:"incident"`
	Evasion    string `yaml:"evasion"`
	// Expect are the modules and rules that must report something.
	Expect struct {
		Modules []string `yaml:"modules"`
		Rules   []string `yaml:"rules"`
		// Beyond are further ones, each with the reason why the evidence of a run
		// cannot show it; everything else of the scenario must be caught.
		Beyond map[string]string `yaml:"beyond"`
	} `yaml:"expect"`
	// Quiet are modules and rules that must not report a CRITICAL or HIGH finding;
	// Ordinary is set when nothing at all may.
	Quiet    []string `yaml:"quiet"`
	Ordinary bool     `yaml:"ordinary"`
	// Unreachable says why a run of the scenario cannot show the behaviour; empty
	// for all that must be caught.
	Unreachable string `yaml:"unreachable"`

	Distribution string            `yaml:"dist"`
	Version      string            `yaml:"version"`
	Module       string            `yaml:"module"`
	Names        map[string]string `yaml:"names"`
	// Channels are the channels among which a mutation chooses for payload.py.
	Channels []string `yaml:"channels"`

	packaging `yaml:",inline"`
	// Others are further distributions, by the name that their files have behind
	// "@" in this scenario.
	Others map[string]other `yaml:"others"`
	// Indexes are package indexes on loopback.
	Indexes map[string][]release `yaml:"indexes"`
	// Install are the requirements to check; empty is the built file. Check are
	// further arguments of check.
	Install []string `yaml:"install"`
	Check   []string `yaml:"check"`
	// Online lets pip use the index of the user's own configuration.
	Online bool `yaml:"online"`
	// Needs are programs that the machine must have.
	Needs []string `yaml:"needs"`
}

// packaging is what a distribution's metadata says.
type packaging struct {
	Tag      string            `yaml:"tag"`
	Requires []string          `yaml:"requires"`
	Metadata []string          `yaml:"metadata"`
	Scripts  map[string]string `yaml:"scripts"`
	// Unrecorded and Misrecorded are files of the wheel that RECORD leaves out, or
	// has with a digest of other content.
	Unrecorded  []string `yaml:"unrecorded"`
	Misrecorded []string `yaml:"misrecorded"`
}

// other is a further distribution of a scenario.
type other struct {
	Dist      string `yaml:"dist"`
	Version   string `yaml:"version"`
	Kind      string `yaml:"kind"`
	packaging `yaml:",inline"`
}

// release is a file that an index lists.
type release struct {
	// Dist is a name of Others; empty is the scenario's own distribution.
	Dist string `yaml:"dist"`
	// Age is how long before the run it was uploaded; empty says nothing about it.
	Age string `yaml:"age"`
	// Yanked is the reason of its withdrawal.
	Yanked string `yaml:"yanked"`
	// Wrong makes the index announce the digest of other content.
	Wrong bool `yaml:"wrong-digest"`
	// Listed releases are on the page only; nothing answers for the file.
	Listed bool `yaml:"listed-only"`
	// Attested is the publish attestation that the index offers; nil is none.
	Attested *attested `yaml:"attested"`
}

// attested is a publish attestation (PEP 740), signed by an authority of the run.
type attested struct {
	Repository  string `yaml:"repository"`
	Workflow    string `yaml:"workflow"`
	Environment string `yaml:"environment"`
	Ref         string `yaml:"ref"`
	// Of is a name of Others whose file it is really about; empty is this file.
	Of string `yaml:"of"`
	// Broken changes the signature afterwards.
	Broken bool `yaml:"broken"`
}

// scenario is a scenario file as it was read, its placeholders still in it.
type scenario struct {
	ID string
	header
	files  []txtar.File
	digest string // of the file, for resuming
}

// lookalike tells a benign scenario from an attack.
func (s scenario) lookalike() bool { return s.Ordinary || len(s.Quiet) > 0 }

// readScenarios reads every scenario of a directory, in order of their names.
func readScenarios(dir string) ([]scenario, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no scenario in %q: %w", dir, os.ErrNotExist)
	}
	var all []scenario
	var bad []error
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a scenario: %w", err)
		}
		s, err := parseScenario(strings.TrimSuffix(filepath.Base(name), ".txtar"), text)
		if err != nil {
			bad = append(bad, fmt.Errorf("read scenario %q: %w", name, err))
			continue
		}
		all = append(all, s)
	}
	return all, errors.Join(bad...)
}

// parseScenario reads one scenario file.
func parseScenario(id string, text []byte) (scenario, error) {
	if len(text) > maxScenario {
		return scenario{}, fmt.Errorf("%d bytes, want at most %d", len(text), maxScenario)
	}
	archive := txtar.Parse(text)
	s := scenario{ID: id, files: archive.Files, digest: digest(text)}
	decoder := yaml.NewDecoder(bytes.NewReader(archive.Comment))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s.header); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("read its header: %w", err)
	}
	s.Family = cmp.Or(s.Family, strings.ToLower(strings.SplitN(id, "-", 2)[0]))
	s.Version = cmp.Or(s.Version, "1.0")
	s.Distribution = cmp.Or(s.Distribution, "acme-"+strings.ToLower(id))
	return s, s.validate()
}

// validate finds what would make a run of the scenario mean something else than
// its header says.
func (s scenario) validate() error {
	oneOf := func(key, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return fmt.Errorf("%s %q: want %s", key, value, strings.Join(allowed, " or "))
	}
	errs := []error{oneOf("step", s.Step, stepInstall, stepImport), oneOf("kind", s.Kind, kindWheel, kindSdist)}
	if s.Title == "" {
		errs = append(errs, errors.New("title is empty"))
	}
	if s.Difficulty < minDifficulty || s.Difficulty > maxDifficulty {
		errs = append(errs, fmt.Errorf("difficulty %d: want %d to %d", s.Difficulty, minDifficulty, maxDifficulty))
	}
	if !s.lookalike() && len(s.Expect.Rules) == 0 {
		errs = append(errs, errors.New("expect.rules is empty, and it is no look-alike: say quiet or ordinary"))
	}
	for name, reason := range s.Expect.Beyond {
		if reason == "" || slices.Contains(s.Expect.Rules, name) || slices.Contains(s.Expect.Modules, name) {
			errs = append(errs, fmt.Errorf("expect.beyond %q: want a reason, and no other expectation of it", name))
		}
	}
	seen := map[string]bool{}
	for _, f := range s.files {
		if seen[f.Name] {
			errs = append(errs, fmt.Errorf("file %q is there twice", f.Name))
		}
		seen[f.Name] = true
		if name, ok := strings.CutPrefix(f.Name, "@"); ok {
			place, _, _ := strings.Cut(name, "/")
			if _, known := s.Others[place]; !known && !slices.Contains([]string{placeDistInfo, placeData, placeWork, placeIndex, placeGit}, place) {
				errs = append(errs, fmt.Errorf("file %q: no such place, and others has no %q", f.Name, place))
			}
		}
	}
	channels := append([]string{s.Channel}, s.Channels...)
	if seen[payloadFile] {
		for _, c := range channels {
			errs = append(errs, oneOf("channel", c, payloadChannels(s.Kind)...))
		}
	}
	return errors.Join(errs...)
}

// Places that the files of a scenario go to, behind "@".
const (
	placeDistInfo = "dist-info" // the wheel's .dist-info directory
	placeData     = "data"      // the wheel's .data directory
	placeWork     = "work"      // the directory that check is started in
	placeIndex    = "index"     // "@index/NAME/PATH": a file of an index
	placeGit      = "git"       // "@git/NAME/PATH": a file of a git repository
)

// project is a scenario with its placeholders filled in.
type project struct {
	scenario
	module  string
	channel string
	hook    string                       // name of the module that payload.py becomes
	own     map[string]string            // files of the distribution itself
	others  map[string]map[string]string // files of the further ones
	work    map[string]string
	index   map[string]map[string]string // static files, by index
	git     map[string]map[string]string // files of git repositories
}

// expand fills in the placeholders. What names the indexes is added by the caller,
// who serves them.
func (s scenario) expand(n names, extra map[string]any) (project, error) {
	s.Names = nil
	p := project{
		scenario: s, module: n.module(), channel: n.channel(s), hook: n.name("hook"), own: map[string]string{}, others: map[string]map[string]string{},
		work: map[string]string{}, index: map[string]map[string]string{}, git: map[string]map[string]string{},
	}
	p.Distribution = n.dist()
	e := expander{functions: n.functions(extra)}
	e.header(&p.header)
	for _, f := range s.files {
		name, content := e.text(f.Name), e.text(string(f.Data))
		place, inside, _ := strings.Cut(strings.TrimPrefix(name, "@"), "/")
		switch {
		case !strings.HasPrefix(name, "@"):
			p.own[name] = content
		case place == placeDistInfo || place == placeData:
			p.own[name] = content // the builder knows the directory's name
		case place == placeWork:
			p.work[inside] = content
		case place == placeIndex:
			put(p.index, inside, content)
		case place == placeGit:
			put(p.git, inside, content)
		default:
			put(p.others, place+"/"+inside, content)
		}
	}
	if e.err != nil {
		return p, fmt.Errorf("fill in the placeholders of %s: %w", s.ID, e.err)
	}
	return p, p.place()
}

// put adds a file to the tree that its first directory names.
func put(trees map[string]map[string]string, name, content string) {
	tree, inside, _ := strings.Cut(name, "/")
	if trees[tree] == nil {
		trees[tree] = map[string]string{}
	}
	trees[tree][path.Clean(inside)] = content
}
