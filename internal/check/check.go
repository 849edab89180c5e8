// Package check is the main job: install what is asked for and import it, each
// step traced in a throw-away sandbox, each step's evidence signed, both
// verified against one signed policy.
package check

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/catalogue"
	"pip-witness/internal/capture"
	"pip-witness/internal/egress"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/pypi"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/walk"
	"pip-witness/rules"
)

// Names of the steps.
const (
	StepInstall = "pip-install"
	StepImport  = "pip-import"
)

// Networks that a sandbox can have.
const (
	NetworkIndex = "index"       // the index gateway and nothing else
	NetworkNone  = "none"        // nothing at all
	NetworkHost  = "host-unsafe" // the host's own network
)

// Ways to confine a check.
const (
	SandboxNamespaces = "namespaces"
	SandboxOff        = "off-unsafe" // not at all: packages act on the user's own machine
)

// maxReport bounds the installer's report, in bytes.
const maxReport = 64 << 20 // 64 MiB

// Request is one check.
type Request struct {
	// Requirements are names with specifiers, URLs, and paths of wheels, sdists and
	// directories; RequirementFiles are pip's -r files.
	Requirements     []string
	RequirementFiles []string
	// Flags are pip's own options.
	Flags interpreter.Flags
	// Python is the user's interpreter; empty is python3.
	Python string
	// Network is NetworkIndex, NetworkNone or NetworkHost.
	Network string
	// AllowedHosts are hosts that connections of the installer's own processes are
	// passed on to, besides those that requirements name.
	AllowedHosts []egress.Host
	// Sandbox is SandboxNamespaces or SandboxOff; empty is the first. Without a
	// sandbox the network is always the host's.
	Sandbox string
	// ImportEnvironments are the environments of the import step, in order.
	ImportEnvironments []string
	// Timeout bounds each command; Linger how long other processes and threads may
	// go on after it.
	Timeout time.Duration
	Linger  time.Duration
	// CacheDir keeps downloaded files by digest, and digests of the host's large
	// files; empty keeps nothing.
	CacheDir string
	// Keep leaves the throw-away directory in place; its path is in Observation.
	Keep bool
	// Builder names this program, "pip-witness 0.1.0".
	Builder string
	// Environ and WorkDir are the user's.
	Environ []string
	WorkDir string
	// Private are files, by absolute path, that nothing inside may read: keys.
	Private []string
	// Progress is told what goes on; nil is quiet.
	Progress func(Progress)
	// Offline keeps the supervisor from requests of its own, beyond those that the
	// installer makes: attestations of the index are then judged from the cache.
	Offline bool
	// TrustedRoot is what attestations of the index are verified against, in
	// Sigstore's JSON form; nil is the one that is shipped.
	TrustedRoot []byte
	// Popular are normalised names of projects that others may imitate; nil is the
	// list that is shipped.
	Popular []string
	// Vulnerabilities is what installed packages are looked up in.
	Vulnerabilities attest.Vulnerabilities
}

// Progress is one line of what goes on.
type Progress struct {
	Stage string // "install", "import", "attest", "verify"
	Text  string
	Calls int // system calls seen so far
}

// Observation is what both steps left: statements to be signed.
type Observation struct {
	Steps []StepEvidence
	// Problems say in words why a step did not end well; empty when all did.
	Problems []string
	Timings  map[string]float64 // seconds, by stage
	// Directory is the throw-away directory when it was kept.
	Directory string
}

// StepEvidence is the unsigned evidence of one step.
type StepEvidence struct {
	Name       string
	Collection *step.Collection
	Command    evidence.CommandRun
}

// run is one check under way.
type run struct {
	Request
	python    *interpreter.Interpreter
	config    interpreter.Config
	inputs    *inputs
	world     *world
	gateway   *egress.Gateway
	digests   *capture.Digests
	hashes    *walk.DigestCache
	watcher   *evidence.Watcher
	observed  *Observation
	before    *evidence.Tree // before the install
	installed *evidence.Tree // after it, which is before the import
	install   *evidence.Installation
	layers    []sandbox.Layer // what the install left outside HOME
	port      int             // of the index gateway
}

// Observe runs both steps. It returns an *InputError, an interpreter.Error, a
// sandbox.UnavailableError or the context's cause when it could not start; what
// goes wrong later is in the observation.
func Observe(ctx context.Context, r Request) (_ *Observation, err error) {
	c := &run{Request: r, observed: &Observation{Timings: map[string]float64{}}}
	started := time.Now()
	if c.python, err = interpreter.Discover(ctx, r.Python); err != nil {
		return nil, err
	}
	if c.inputs, err = readInputs(r, c.python); err != nil {
		return nil, err
	}
	if r.Sandbox == SandboxOff {
		if len(c.inputs.sets) > 0 {
			return nil, inputError("name the requirements themselves", "requirements and constraints files need the sandbox: there they are shown with the gateway in place of their indexes")
		}
		if r.Network == NetworkNone {
			return nil, inputError("leave out --network none", "nothing can keep a package from the network without a sandbox")
		}
		c.Network = NetworkHost
		c.observed.Problems = append(c.observed.Problems, "there was no sandbox: the packages acted on this machine, with your files and your network")
	}
	if err := removeStale(os.TempDir(), started); err != nil {
		c.tell("install", err.Error(), 0) // this run does not depend on it, and the next one tries again
	}
	if c.world, err = newWorld(c.python, r.Sandbox != SandboxOff); err != nil {
		return nil, err
	}
	if err := c.world.plantDecoys(); err != nil {
		return nil, errors.Join(err, c.world.remove())
	}
	if r.Keep {
		c.observed.Directory = c.world.dir
		if err := keepDirectory(c.world.dir); err != nil {
			return nil, err
		}
	} else {
		defer func() { err = errors.Join(err, c.world.remove()) }()
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, keepDigests(c.digests, c.CacheDir)) }()
	c.observed.Timings["prepare"] = time.Since(started).Seconds()
	if err := c.both(ctx); err != nil {
		return nil, err
	}
	c.observed.Timings["observe"] = time.Since(started).Seconds()
	return c.observed, nil
}

func (c *run) prepare() error {
	c.config = c.python.Config.With(c.inputs.flags)
	c.digests = openDigests(c.CacheDir)
	c.hashes = &walk.DigestCache{}
	table, err := rules.FS.ReadFile("indicators/credential_paths.yaml")
	if err != nil {
		return fmt.Errorf("read the table of credential paths: %w", err)
	}
	exclude := append([]string{c.world.prefix}, c.world.basePrefixes()...)
	homes := []string{c.world.home}
	if home, err := os.UserHomeDir(); err == nil && !c.world.box {
		homes = append(homes, home)
	}
	if c.watcher, err = evidence.NewWatcher(table, homes, exclude); err != nil {
		return err
	}
	if err := c.openGateway(); err != nil {
		return err
	}
	return c.inputs.place(c.world, c.gateway)
}

func (c *run) tell(stage, text string, calls int) {
	if c.Progress != nil {
		c.Progress(Progress{Stage: stage, Text: text, Calls: calls})
	}
}

// both runs the two steps; the attestors of the first work beside the second.
func (c *run) both(ctx context.Context) error {
	started := time.Now()
	recording, err := c.installStep(ctx)
	if err != nil {
		return err
	}
	c.observed.Timings["install"] = time.Since(started).Seconds()
	modules, without := c.modules()
	failed := recording.Command.ExitCode != 0 || recording.TimedOut || recording.Stopped
	c.explainInstall(recording)

	type attested struct {
		collection *step.Collection
		err        error
	}
	done := make(chan attested, 1)
	attestNow := func() {
		began := time.Now()
		collection, err := c.attestInstall(ctx, recording)
		c.observed.Timings["attest"] = time.Since(began).Seconds()
		done <- attested{collection, err}
	}
	if c.world.box {
		go attestNow()
	} else {
		attestNow() // the import changes the same tree
	}
	var imported *StepEvidence
	var importErr error
	var importTime float64
	if !failed {
		began := time.Now()
		imported, importErr = c.importStep(ctx, modules, without)
		importTime = time.Since(began).Seconds()
	}
	first := <-done
	if err := errors.Join(first.err, importErr); err != nil {
		return err
	}
	c.observed.Steps = append(c.observed.Steps, StepEvidence{StepInstall, first.collection, recording.Command})
	if imported != nil {
		c.observed.Timings["import"] = importTime
		c.observed.Steps = append(c.observed.Steps, *imported)
	}
	return nil
}

// explainInstall says in words what became of an install that did not succeed.
func (c *run) explainInstall(recording *step.Recording) {
	command := recording.Command
	say := func(format string, args ...any) {
		c.observed.Problems = append(c.observed.Problems, fmt.Sprintf(format, args...))
	}
	switch {
	case recording.TimedOut:
		say("the installer was ended after %s (--timeout)", c.Timeout)
	case recording.Stopped:
		say("the installer was stopped at a limit of the recording")
	case command.ExitCode != 0:
		for _, p := range c.gateway.Problems() {
			say("index %s: %s: %s", p.URL, p.Kind, p.Message)
		}
		say("the installer ended with status %d: %s", command.ExitCode, lastError(command.Stderr))
	}
	if n := c.gateway.Dropped(); n > 0 {
		say("%d records of the index gateway were dropped", n)
	}
}

// lastError is the installer's own explanation: its ERROR lines, or where it ended
// with an exception that exception.
func lastError(stderr string) string {
	var lines []string
	last := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "ERROR: "); ok && text != "Exception:" {
			lines = append(lines, text)
		}
		if line != "" {
			last = line
		}
	}
	switch {
	case len(lines) > 0:
		return strings.Join(lines[max(0, len(lines)-3):], "; ")
	case last != "":
		return last
	}
	return "it printed no error"
}

func (c *run) installStep(ctx context.Context) (*step.Recording, error) {
	c.tell("install", "creating a throw-away environment", 0)
	spec, err := c.installSpec()
	if err != nil {
		return nil, err
	}
	args, err := c.installCommand()
	if err != nil {
		return nil, err
	}
	environ := c.world.environment(c.Environ)
	trace := step.Trace{
		Spec: spec, Timeout: c.Timeout, Linger: c.Linger, Watched: c.watched, Digests: c.digests,
		Secrets: c.secrets(), Rewrite: c.gateway.RealText, Limits: limits(c.world.dir),
		Progress: func(calls int) { c.tell("install", "pip install, traced", calls) },
		Serve:    func(l net.Listener) error { return c.gateway.Serve(ctx, l) },
		Prepare: []sandbox.Command{{
			Args: []string{c.python.Executable, "-I", "-m", "venv", "--without-pip", c.world.prefix}, Env: environ, Dir: c.world.work,
		}},
		Before: func(int) (err error) {
			c.before, err = c.walk(ctx)
			return err
		},
		Commands: []step.Command{{Command: sandbox.Command{Args: args, Env: slices.Concat(c.world.watchedEnvironment(c.Environ), c.gateway.Environ(), c.gateway.GitEnviron()), Dir: c.workDir()}}},
		After: func(int) (err error) {
			c.installed, err = c.walk(ctx)
			return err
		},
	}
	facts := c.world.sandboxFacts(evidence.Sandbox{}, c.Network, c.gateway.Addr(), spec.Binds, nil)
	sinkhole := c.sink(&trace)
	if err := c.relay(&trace, sinkhole, facts); err != nil {
		return nil, err
	}
	recording, err := trace.Run(ctx)
	if err != nil {
		return nil, err
	}
	c.gateway.Close()
	command := &recording.Command
	addEgress(command, sinkhole, c.gateway.Flows())
	c.layers = recording.Layers
	command.Coverage.Sandbox = c.world.sandboxFacts(command.Coverage.Sandbox, c.Network, c.gateway.Addr(), spec.Binds, c.layers)
	command.Coverage.Sandbox.IndexHosts = c.indexHosts()
	if sinkhole != nil && sinkhole.Relay != nil {
		for _, h := range sinkhole.Relay.Hosts() {
			command.Coverage.Sandbox.AllowedHosts = append(command.Coverage.Sandbox.AllowedHosts, h.String())
		}
	}
	layers := c.changed(c.layers, sandbox.Layer{Path: c.world.temp, Upper: c.world.host(dirTemp), Mode: temporaryMode})
	if err := addChanges(ctx, recording, c.before, c.installed, layers, c.hashes); err != nil {
		return nil, err
	}
	evidence.AssignRoles(command, evidence.StepInstall)
	return recording, c.describe()
}

// changed are the directories of which the changes are listed: the layers of a box
// and its temporary directory. Without a sandbox nobody can tell.
func (c *run) changed(layers []sandbox.Layer, temporary sandbox.Layer) []sandbox.Layer {
	if !c.world.box {
		return nil
	}
	return append(slices.Clone(layers), temporary)
}

// Limits on what a step may use.
const (
	maxMemory   = 8 << 30   // 8 GiB of resident memory, all processes together
	minFreeDisk = 256 << 20 // 256 MiB stay free where the run's directory is
	maxDisk     = 32 << 30  // 32 GiB in the run's directory
	maxFiles    = 2_000_000 // entries in it
)

func limits(dir string) step.Limits {
	return step.Limits{Memory: maxMemory, FreeDisk: minFreeDisk, Disk: maxDisk, Files: maxFiles, Directory: dir}
}

// temporaryMode is that of a fresh temporary directory.
const temporaryMode = 0o1777

// walk takes the trail of the install step's world.
func (c *run) walk(ctx context.Context) (*evidence.Tree, error) {
	return walk.Tree(ctx, c.world.layout(), []string{c.world.home}, c.hashes)
}

func (c *run) watched(path string) bool {
	_, ok := c.watcher.Match(path)
	return ok
}

// gatewayPort is the port of the index gateway: in a network namespace of one's
// own every port is free.
const gatewayPort = 3141

func (c *run) openGateway() (err error) {
	c.port = gatewayPort
	if c.Network == NetworkHost {
		if c.port, err = freePort(); err != nil {
			return err
		}
	}
	config := c.egressConfig()
	if config.Allowed, err = c.inputs.hosts(c.AllowedHosts); err != nil {
		return err
	}
	if c.Network != NetworkNone {
		for _, u := range c.config.Indexes() {
			config.Indexes = append(config.Indexes, u.Reveal())
		}
		for _, u := range c.config.FindLinks {
			config.FindLinks = append(config.FindLinks, u.Reveal())
		}
	}
	c.gateway, err = egress.New(config)
	return err
}

// indexHosts are the hosts of the indexes that the installer knows, asked in this run or
// not: pip's own default, and those of the user.
func (c *run) indexHosts() []string {
	var hosts []string
	for _, u := range append([]interpreter.URL{c.config.DefaultIndex, c.config.IndexURL}, c.config.ExtraIndexURLs...) {
		if parsed, err := url.Parse(u.Reveal()); err == nil && parsed.Hostname() != "" {
			hosts = append(hosts, strings.ToLower(parsed.Hostname()))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// egressConfig is the user's way to the outside, without places.
func (c *run) egressConfig() egress.Config {
	return egress.Config{
		Addr: fmt.Sprintf("127.0.0.1:%d", c.port), TrustedHosts: c.config.TrustedHosts, Cert: c.config.Cert, ClientCert: c.config.ClientCert,
		ExtraBundle: c.python.PipBundle, Proxy: c.config.Proxy.Reveal(), Timeout: c.config.Timeout, Retries: c.config.Retries,
		Environ: c.Environ, WorkDir: c.WorkDir, CacheDir: c.filesDir(), UserAgent: c.Builder,
	}
}

// freePort is a port on the host's loopback that nobody listens on at the moment.
func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a port for the gateway: %w", err)
	}
	defer l.Close()
	address, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a port for the gateway: %w", err)
	}
	return int(address.Port()), nil
}

// filesDir keeps downloaded files; empty keeps none.
func (c *run) filesDir() string {
	if c.CacheDir == "" {
		return ""
	}
	return filepath.Join(c.CacheDir, "files")
}

// secrets are literal values that must not show in any output.
func (c *run) secrets() []string {
	var secrets []string
	for _, u := range slices.Concat(c.config.Indexes(), c.config.FindLinks, []interpreter.URL{c.config.Proxy}) {
		if parsed, err := url.Parse(u.Reveal()); err == nil {
			if password, ok := parsed.User.Password(); ok && password != "" {
				secrets = append(secrets, password)
			}
		}
	}
	return append(secrets, c.inputs.secrets()...)
}

func (c *run) installSpec() (sandbox.Spec, error) {
	if !c.world.box {
		return sandbox.Spec{HostNetwork: true, GatewayPort: c.port}, nil
	}
	spec := sandbox.Spec{
		Namespaces: true, HostNetwork: c.Network == NetworkHost, GatewayPort: c.port, Everywhere: true,
		RootDir: c.world.host(dirRoot), Hidden: c.world.hidden(), Hostname: "localhost", Overlays: c.inputs.overlays,
		Layers: c.world.layers(StepInstall, nil),
		Binds: []sandbox.Bind{
			{Source: c.world.host(dirHome), Target: c.world.home, Writable: true},
			{Source: c.world.host(dirTemp), Target: tempDir, Writable: true},
		},
	}
	if c.workDir() != c.world.work {
		spec.Hidden = append(spec.Hidden, c.workDir())
	}
	if err := c.addBinds(&spec); err != nil {
		return spec, err
	}
	spec.Binds = append(spec.Binds, c.inputs.binds...)
	return spec, nil
}

// addBinds adds what both steps see read-only.
func (c *run) addBinds(spec *sandbox.Spec) error {
	tools, err := c.world.toolchainBinds(c.Environ)
	if err != nil {
		return err
	}
	resolver, err := c.world.resolverBind()
	if err != nil {
		return err
	}
	hidden, err := c.hiddenFiles()
	if err != nil {
		return err
	}
	private, err := c.world.privateBinds(c.Private, "")
	spec.Binds = slices.Concat(spec.Binds, tools, c.world.interpreterBinds(), hidden, []sandbox.Bind{resolver}, private)
	return err
}

// workDir is where the installer starts: where the user stands when a
// requirements file may name paths relative to that.
func (c *run) workDir() string {
	if len(c.inputs.sets) > 0 && c.WorkDir != "" && !within(c.python.Prefix, c.WorkDir) && c.WorkDir != "/" {
		return c.WorkDir
	}
	return c.world.work
}

// installCommand is pip's command line inside.
func (c *run) installCommand() ([]string, error) {
	args := append(c.python.PipCommand(),
		"--python", c.world.prefix+"/bin/python", "--disable-pip-version-check", "--no-input", "--no-cache-dir",
		"install", "--progress-bar", "off", "--report", c.world.temp+"/"+reportFile)
	args = append(args, c.config.SelectionOptions()...)
	requirements, err := c.inputs.installArguments(c.gateway)
	if err != nil {
		return nil, err
	}
	return append(args, requirements...), nil
}

// describe gathers what is known of the installation from outside the sandbox.
func (c *run) describe() error {
	in := &evidence.Installation{
		LocalFiles: c.inputs.local, Options: evidence.RedactArgs(c.config.SelectionOptions()), Indexes: c.gateway.Indexes(),
		Downloads: c.gateway.Downloads(), Interpreter: c.python.Interpreter,
	}
	in.Interpreter.SitePackages = c.world.sites
	c.sources(in)
	for _, a := range c.inputs.all() {
		in.Requirements = append(in.Requirements, evidence.RedactURL(a.Text))
	}
	for _, s := range c.inputs.sets {
		in.RequirementFiles = append(in.RequirementFiles, filepath.Base(s.path))
	}
	f, err := os.OpenFile(c.world.host(dirTemp, reportFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == nil {
		defer f.Close()
		if in.Report, err = io.ReadAll(io.LimitReader(f, maxReport)); err != nil {
			return fmt.Errorf("read the installer's report: %w", err)
		}
	}
	c.install = in
	return nil
}

// sources adds where the installer was told to look, and what it did not get there.
func (c *run) sources(in *evidence.Installation) {
	in.DefaultIndex, in.NoIndex = c.config.DefaultIndex.String(), c.config.NoIndex
	in.FindLinks, in.TrustedHosts = c.gateway.FindLinks(), c.config.TrustedHosts
	const most = 100 // an index can be made to refuse without end
	for _, p := range c.gateway.Problems() {
		if len(in.Problems) < most && (p.Kind != egress.NotFound || p.Filename != "") {
			in.Problems = append(in.Problems, evidence.IndexProblem{
				Kind: string(p.Kind), Index: p.Index, URL: p.URL, Project: p.Project, Filename: p.Filename, Message: p.Message,
			})
		}
	}
}

// modules are the modules to import, from the requested distributions, and the
// names of those that have none.
func (c *run) modules() (modules, without []string) {
	environment, err := pypi.Installed(c.world.layout())
	if err != nil {
		return nil, nil // the pip-install attestor records the same error
	}
	report, _ := pypi.ParseReport(c.install.Report) // without a report REQUESTED files decide
	for _, d := range environment.Distributions {
		if !pypi.OriginOf(d, c.install, &report).Requested {
			continue
		}
		names := pypi.ImportNames(d)
		if len(names) == 0 {
			without = append(without, d.Name)
		}
		modules = append(modules, names...)
	}
	slices.Sort(without)
	return modules, without
}

func (c *run) attestInstall(ctx context.Context, recording *step.Recording) (*step.Collection, error) {
	if err := c.lookUp(ctx); err != nil {
		return nil, err
	}
	c.tell("attest", "hashing, scanning and describing what was installed", 0)
	in := &attest.Input{
		Step: StepInstall, Command: recording.Command, Started: recording.Started, Finished: recording.Finished,
		Install: c.install, Before: c.before, After: c.installed, Layout: c.world.layout(), Builder: c.Builder, Environ: c.Environ,
		TrustedRoot: c.TrustedRoot, Popular: c.Popular,
		Vulnerabilities: c.Vulnerabilities,
		Distribution:    func(sha256 string) (attest.DistributionFile, error) { return c.gateway.Distribution(sha256) },
	}
	return step.Attest(ctx, in, catalogue.Install(), c.subjects(recording.Command))
}

// subjects are the distribution files that were installed; when nothing was,
// the recording itself.
func (c *run) subjects(command evidence.CommandRun) []attestation.Subject {
	var subjects []attestation.Subject
	add := func(name, digest string) {
		same := func(s attestation.Subject) bool { return s.Digest["sha256"] == digest }
		if digest != "" && !slices.ContainsFunc(subjects, same) {
			subjects = append(subjects, attestation.Subject{Name: name, Digest: map[string]string{"sha256": digest}})
		}
	}
	environment, err := pypi.Installed(c.world.layout())
	if err == nil {
		report, _ := pypi.ParseReport(c.install.Report)
		for _, d := range environment.Distributions {
			o := pypi.OriginOf(d, c.install, &report)
			add(o.Filename, o.Digests["sha256"])
			if o.VCS == "git" && o.Commit != "" {
				subjects = append(subjects, attestation.Subject{Name: o.VCS + "+" + o.URL, Digest: map[string]string{"gitCommit": o.Commit}})
			}
		}
	}
	if len(subjects) == 0 { // nothing was installed: what was obtained
		for _, d := range c.install.Downloads {
			if !d.Metadata {
				add(d.Filename, d.Digests["sha256"])
			}
		}
		for _, l := range c.inputs.local {
			add(l.Path, l.Digests["sha256"])
		}
	}
	if len(subjects) == 0 {
		return recordingSubject(&command)
	}
	slices.SortFunc(subjects, func(a, b attestation.Subject) int { return cmp.Compare(a.Name, b.Name) })
	return subjects
}

// recordingSubject stands for a step that left no artifact.
func recordingSubject(command *evidence.CommandRun) []attestation.Subject {
	raw, err := json.Marshal(command)
	if err != nil {
		return nil // reported by the attestor that marshals the same value
	}
	sum := sha256.Sum256(raw)
	return []attestation.Subject{{Name: "recording", Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}}
}
