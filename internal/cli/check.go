package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/check"
	"pip-witness/internal/egress"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/provenance"
	"pip-witness/internal/report"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/internal/typosquat"
	"pip-witness/policy"
	"pip-witness/verify"
)

// checkFlags are the flags of `check` that are not pip's.
type checkFlags struct {
	python       string
	policy       string
	publicKeys   []string
	evidence     string
	format       string
	outputs      []string
	network      string
	allowHosts   []string
	sandbox      string
	importEnv    string
	requirements []string
	timeout      time.Duration
	linger       time.Duration
	keep         bool
	compress     bool
	quiet        bool
	verbose      bool
	pip          interpreter.Flags
	offline      bool
	trustedRoot  string
	popular      string
	osvDB        string
	vex          []string
	keyFlags
	sboms      []string
	indicators string
}

func newCheck(s streams) *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check REQUIREMENT… | -r FILE | PATH.whl | PATH.tar.gz",
		Short: "Install and import packages in a sandbox and judge what they did",
		Long: `Install and import packages in a throw-away environment and sandbox, every
system call that matters recorded, and judge the signed record by a policy.

Exit codes: 0 pass, 1 denied by policy, 2 bad input, 3 could not be decided,
4 not trusted, 5 internal error, 130 interrupted. Flags about keys: ` + "`run --help`" + `.`,
		Example: `  pip-witness check requests
  pip-witness check 'flask>=3' ./dist/mine-1.0-py3-none-any.whl --key key.pem --evidence evidence/`,
		RunE: func(c *cobra.Command, args []string) error { return runCheck(c, s, f, args) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.requirements, "requirement", "r", nil, "check what the requirements `FILE` lists; repeatable")
	flags.StringVar(&f.python, "python", interpreter.DefaultPython, "interpreter `PATH` to install for and import with")
	flags.StringVar(&f.policy, "policy", "", "signed policy `FILE` to judge by (default: the built-in one)")
	flags.StringArrayVar(&f.publicKeys, "public-key", nil, "public key `FILE` that is trusted to sign the policy")
	f.keyFlags.register(flags, "private key `FILE` to sign with (default: made for this run)")
	f.keyFlags.hide(flags) // one screen of help
	flags.StringVar(&f.evidence, "evidence", "", "new `DIR` for the evidence (default: below the state directory)")
	flags.StringVar(&f.format, "format", "text", "print `text` or json")
	flags.StringArrayVarP(&f.outputs, "output", "o", nil, "also write text, json, sarif or markdown: `FORMAT=FILE`")
	flags.StringVar(&f.network, "network", check.NetworkIndex, "for the installer: `index`, none or host-unsafe")
	flags.StringArrayVar(&f.allowHosts, "allow-host", nil, "let the installer itself reach `HOST[:PORT]` too; repeatable")
	flags.StringVar(&f.sandbox, "sandbox", check.SandboxNamespaces, "by `namespaces`; off-unsafe: not at all")
	flags.StringVar(&f.importEnv, "import-env", "both", "import as on a plain machine, ci or `both`")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "time `LIMIT` for the install and for each import")
	flags.DurationVar(&f.linger, "linger", 30*time.Second, "how `LONG` what outlives the import is watched")
	flags.BoolVar(&f.keep, "keep", false, "keep the throw-away environment")
	flags.BoolVar(&f.compress, "compress", false, "store the evidence compressed (zstd)")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also show findings below MEDIUM and every attestation")
	flags.BoolVar(&f.offline, "offline", false, "ask for nothing that the installer does not ask for itself")
	flags.StringVar(&f.trustedRoot, "trusted-root", "", "Sigstore trusted root `FILE` for attestations of the index")
	flags.StringVar(&f.popular, "popular", "", "`FILE` of popular names that others are compared with")
	flags.StringVar(&f.osvDB, "osv-db", "", "`DIR` of an OSV database (default: see db --help)")
	flags.StringArrayVar(&f.vex, "vex", nil, "OpenVEX `FILE` about vulnerabilities; repeatable")
	flags.StringArrayVar(&f.sboms, "sbom", nil, "write components as cyclonedx-1.6, -1.7 or spdx-2.3: `FORMAT=FILE`")
	flags.StringVar(&f.indicators, "indicators", "", "further indicators, a YAML `FILE`, for the built-in policy")
	pipFlags(c, &f.pip)
	return c
}

// pipFlags are pip's own options under their own names.
func pipFlags(c *cobra.Command, p *interpreter.Flags) {
	flags := c.Flags()
	flags.StringArrayVarP(&p.Constraints, "constraint", "c", nil, "pip: constraints `FILE`; repeatable")
	flags.StringVarP(&p.IndexURL, "index-url", "i", "", "pip: base `URL` of the index")
	flags.StringArrayVar(&p.ExtraIndexURLs, "extra-index-url", nil, "pip: further index `URL`; repeatable")
	flags.StringArrayVarP(&p.FindLinks, "find-links", "f", nil, "pip: `URL` or path with links to archives; repeatable")
	flags.BoolVar(&p.NoIndex, "no-index", false, "pip: use no index")
	flags.StringArrayVar(&p.TrustedHosts, "trusted-host", nil, "pip: `HOST` that needs no valid certificate; repeatable")
	flags.StringVar(&p.Cert, "cert", "", "pip: certificate bundle `FILE`")
	flags.StringVar(&p.ClientCert, "client-cert", "", "pip: client certificate `FILE`")
	flags.StringVar(&p.Proxy, "proxy", "", "pip: proxy `URL`")
	flags.StringArrayVar(&p.NoBinary, "no-binary", nil, "pip: build `NAMES`, :all: or :none: from source")
	flags.StringArrayVar(&p.OnlyBinary, "only-binary", nil, "pip: take wheels only of `NAMES`, :all: or :none:")
	flags.BoolVar(&p.Pre, "pre", false, "pip: include pre-releases")
	flags.BoolVar(&p.PreferBinary, "prefer-binary", false, "pip: prefer older wheels over newer sdists")
	flags.BoolVar(&p.NoDeps, "no-deps", false, "pip: do not install dependencies")
	flags.BoolVar(&p.RequireHashes, "require-hashes", false, "pip: require a hash of every requirement")
	flags.BoolVar(&p.NoBuildIsolation, "no-build-isolation", false, "pip: build without isolation")
	flags.BoolVar(&p.IgnoreRequiresPython, "ignore-requires-python", false, "pip: ignore Requires-Python")
}

func runCheck(c *cobra.Command, s streams, f checkFlags, args []string) error {
	ctx := c.Context()
	started := time.Now()
	if err := f.validate(); err != nil {
		return err
	}
	outputs, err := parseOutputs(c, f.outputs, f.sboms)
	if err != nil {
		return err
	}
	// It reads the key while the rest is looked at.
	signer, err := f.start(ctx, s, f.grant())
	if err != nil {
		return err
	}
	defer signer.Close()
	judgement, err := f.judgement()
	if err != nil {
		return err
	}
	outcome := report.Outcome{Requested: requested(args, f.requirements), Ephemeral: f.key == ""}
	if distrusted, err := distrustedPolicy(ctx, judgement); err != nil {
		return err
	} else if distrusted != nil {
		outcome.Result, outcome.Ephemeral, outcome.Advice = distrusted, false, "nothing was installed; "+policyAdvice(distrusted)
		return finish(s, outcome, f.format, f.verbose, outputs, nil)
	}
	if judgement.Key, err = f.wait(signer); err != nil {
		return err
	}
	missing := unstamped(judgement.Key)
	directory, err := f.directory(args, started)
	if err != nil {
		return err
	}
	judgement.Directory = directory.path
	observation, result, err := observeAndJudge(ctx, s, f, args, judgement)
	if err != nil {
		return errors.Join(err, directory.discard())
	}
	observation.Timings["total"] = time.Since(started).Seconds()
	outcome.Result, outcome.Timings, outcome.Evidence, outcome.Problems = result, observation.Timings, directory.path, observation.Problems
	outcome.Places = requirementPlaces(f.requirements, f.pip.Constraints)
	document, err := attestedSBOM(outputs, directory.path)
	if err != nil {
		return err
	}
	outcome.Next = nextCommand(f, observation, result, directory.path)
	if result.Verdict == policy.Untrusted {
		outcome.Advice = "sign with the --key of a functionary that the policy names; `pip-witness policy show` lists them"
	}
	if err := missing(); err != nil {
		outcome.Problems = append(outcome.Problems, "the evidence is "+err.Error())
		if outcome.Advice == "" {
			outcome.Advice = "run it again for time stamps, or without --timestamp-url"
		}
		if result.Verdict == policy.Pass { // of less than was asked for
			result.Verdict = policy.Incomplete
		}
	}
	if observation.Directory != "" {
		outcome.Problems = append(outcome.Problems, "the throw-away environment was kept: "+observation.Directory)
	}
	return finish(s, outcome, f.format, f.verbose, outputs, document)
}

func observeAndJudge(ctx context.Context, s streams, f checkFlags, args []string, j check.Judgement) (*check.Observation, *policy.Result, error) {
	workDir, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("find the current directory: %w", err)
	}
	allowed, err := f.allowed()
	if err != nil {
		return nil, nil, err
	}
	root, popular, err := f.indexData()
	if err != nil {
		return nil, nil, err
	}
	vulnerabilities, err := f.vulnerabilities()
	if err != nil {
		return nil, nil, err
	}
	// The built-in policy is compiled beside the installation.
	compiled := make(chan error, 1)
	j.Programs = &policy.Programs{}
	go func() {
		if j.Policy != nil {
			compiled <- nil
			return
		}
		var err error
		j.Policy, err = check.BuiltinPolicy(ctx, j.Key, j.Indicators, j.Programs)
		j.PolicyKeys = []attestation.Verifier{j.Key.Public()}
		compiled <- err
	}()
	private, err := f.private()
	if err != nil {
		return nil, nil, err
	}
	progress := newProgress(s.err, f.quiet)
	observation, err := check.Observe(ctx, check.Request{
		Requirements: args, RequirementFiles: f.requirements, Flags: f.pip, Python: f.python, Network: f.network, AllowedHosts: allowed,
		Sandbox:            f.sandbox,
		ImportEnvironments: environments(f.importEnv), Timeout: f.timeout, Linger: f.linger, CacheDir: cacheDir(), Keep: f.keep,
		Builder: "pip-witness " + Version, Environ: os.Environ(), WorkDir: workDir, Private: private, Progress: progress.show,
		Offline: f.offline, TrustedRoot: root, Popular: popular,
		Vulnerabilities: vulnerabilities,
	})
	progress.end()
	if err := errors.Join(err, <-compiled); err != nil {
		return nil, nil, err
	}
	result, err := check.Judge(ctx, observation, j)
	return observation, result, err
}

// indexData are the files of --trusted-root and --popular, nil where none is given:
// a bad one fails before anything runs.
func (f checkFlags) indexData() (root []byte, popular []string, err error) {
	if f.trustedRoot != "" {
		if root, err = store.ReadFile(f.trustedRoot); err == nil {
			_, err = provenance.NewRoot(root)
		}
		if err != nil {
			return nil, nil, badInput(fmt.Errorf("--trusted-root %q: %w", f.trustedRoot, err))
		}
	}
	if f.popular != "" {
		raw, err := store.ReadFile(f.popular)
		if err == nil {
			popular, err = typosquat.Parse(raw)
		}
		if err != nil {
			return nil, nil, badInput(fmt.Errorf("--popular %q: %w", f.popular, err))
		}
	}
	return root, popular, nil
}

// allowed are the hosts of --allow-host.
func (f checkFlags) allowed() ([]egress.Host, error) {
	var hosts []egress.Host
	for _, text := range f.allowHosts {
		h, err := egress.ParseHost(text)
		if err != nil {
			return nil, usage("write for example --allow-host files.example or --allow-host 192.0.2.7:8443", "--allow-host: %w", err)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// cacheDir is where downloaded files and digests of the host's files are kept from
// run to run; empty when the user has no such place.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "pip-witness")
}

func (f checkFlags) validate() error {
	if err := oneOf("format", f.format, "text", "json"); err != nil {
		return err
	}
	if err := oneOf("network", f.network, check.NetworkIndex, check.NetworkNone, check.NetworkHost); err != nil {
		return err
	}
	if err := oneOf("sandbox", f.sandbox, check.SandboxNamespaces, check.SandboxOff); err != nil {
		return err
	}
	if err := oneOf("import-env", f.importEnv, "plain", "ci", "both"); err != nil {
		return err
	}
	if err := f.keyFlags.validate(); err != nil {
		return err
	}
	if f.timeout <= 0 || f.linger < 0 {
		return usage("give a duration such as 5m", "--timeout has to be more than 0, --linger at least 0")
	}
	if f.policy == "" && len(f.publicKeys) > 0 {
		return usage("add --policy FILE", "--public-key is for a --policy; the built-in policy is signed for each run")
	}
	return nil
}

// oneOf refuses a value that a flag does not know.
func oneOf(flag, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return usage("choose one of them", "--%s %q: want %s", flag, value, strings.Join(allowed, ", "))
	}
	return nil
}

func environments(name string) []string {
	if name == "both" {
		return []string{"plain", "ci"}
	}
	return []string{name}
}

// grant is what a check signs: a statement a step, the provenance, the summaries
// of their subjects, and the built-in policy.
func (f checkFlags) grant() seal.Grant {
	g := seal.Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: 3, Summaries: true}
	if f.policy == "" {
		g.PayloadTypes = append(g.PayloadTypes, attestation.PolicyPayloadType)
		g.Signatures++
	}
	return g
}

// judgement reads the policy and the public keys before anything runs, so that a
// bad one fails at once.
func (f checkFlags) judgement() (check.Judgement, error) {
	j := check.Judgement{Compress: f.compress, Version: Version, PolicyURI: policyURI(f.policy)}
	if f.policy == "" {
		j.PolicyURI = check.BuiltinPolicyURI
		if f.indicators == "" {
			return j, nil
		}
		var err error
		j.Indicators, err = loadIndicators(f.indicators)
		return j, err
	}
	if f.indicators != "" {
		return j, usage("compile them into it: pip-witness policy compile SRC --indicators FILE, then sign it",
			"--indicators is for the built-in policy; --policy %q is signed with its own", f.policy)
	}
	if len(f.publicKeys) == 0 {
		return j, usage("add --public-key FILE, the key of whoever signed the policy", "--policy %q needs --public-key", f.policy)
	}
	if f.key == "" {
		return j, usage("add --key FILE; a key made for this run is none that a policy names", "--policy %q needs --key", f.policy)
	}
	var err error
	if j.Policy, err = readPolicy(f.policy); err != nil {
		return j, err
	}
	j.PolicyKeys, err = loadPublicKeys(f.publicKeys)
	return j, err
}

// policyURI names a policy file in verification summaries, without its directory:
// that is nobody else's business.
func policyURI(path string) string { return "file:" + url.PathEscape(filepath.Base(path)) }

func readPolicy(path string) ([]byte, error) {
	data, err := store.ReadFile(path)
	if err != nil {
		return nil, badInput(fmt.Errorf("read policy: %w", err))
	}
	return data, nil
}

// distrustedPolicy verifies the policy before anything runs: nil is a good one.
// There is no evidence yet, so the verdict on the steps means nothing.
func distrustedPolicy(ctx context.Context, j check.Judgement) (*policy.Result, error) {
	if j.Policy == nil {
		return nil, nil
	}
	result, err := verify.Verify(ctx, verify.Request{PolicyEnvelope: j.Policy, PolicyKeys: j.PolicyKeys, Now: time.Now().UTC()})
	if err != nil || result.Verdict != policy.Untrusted {
		return nil, err
	}
	return result, nil
}

// policyAdvice says what to do about a policy that is not trusted.
func policyAdvice(r *policy.Result) string {
	if slices.ContainsFunc(r.Checks, failed(policy.CheckExpiry)) {
		return "compile the policy again with a later --expires, and sign it"
	}
	return "give a policy that is signed, with the --public-key of whoever signed it"
}

// directory is where the evidence goes; it exists when there is no error.
func (f checkFlags) directory(args []string, started time.Time) (evidenceDirectory, error) {
	if f.evidence != "" {
		return openEvidence(f.evidence)
	}
	path, err := defaultEvidence(args, f.requirements, started)
	return evidenceDirectory{path: path, made: true}, err
}

func loadPublicKeys(paths []string) ([]attestation.Verifier, error) {
	var keys []attestation.Verifier
	for _, path := range paths {
		key, err := seal.LoadPublicKey(path)
		if err != nil {
			return nil, badInput(err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// badInput marks an error as one of what was given.
func badInput(err error) error { return &exitError{code: exitUsage, err: err} }

// defaultEvidence is a new directory below the user's state directory.
func defaultEvidence(args, files []string, started time.Time) (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usage("give --evidence DIR", "no directory for the evidence: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	parent := filepath.Join(state, "pip-witness")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("make the evidence directory: %w", err)
	}
	name := "check"
	if len(args) > 0 {
		name = filepath.Base(args[0])
	} else if len(files) > 0 {
		name = filepath.Base(files[0])
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return -1
	}, name)
	dir, err := os.MkdirTemp(parent, started.UTC().Format("20060102-150405")+"-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make the evidence directory: %w", err)
	}
	return dir, nil
}

func requested(args, files []string) []string {
	var all []string
	for _, a := range args {
		all = append(all, evidence.RedactURL(a))
	}
	for _, f := range files {
		all = append(all, "-r "+f)
	}
	return all
}

// nextCommand looks at what the failed step printed, or else verifies the same
// evidence again.
func nextCommand(f checkFlags, o *check.Observation, r *policy.Result, dir string) string {
	if r.Verdict == policy.Incomplete && len(o.Problems) > 0 {
		return "pip-witness inspect " + filepath.Join(dir, store.StepFile(o.Steps[len(o.Steps)-1].Name))
	}
	switch {
	case f.policy != "":
		keys := strings.Join(f.publicKeys, " --public-key ")
		return fmt.Sprintf("pip-witness verify --policy %s --public-key %s %s", f.policy, keys, dir)
	case f.key == "":
		return "pip-witness verify --trust-embedded " + dir
	}
	return fmt.Sprintf("pip-witness verify --public-key %s %s", filepath.Join(dir, store.PolicyKeyFile), dir)
}
