package interpreter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pip-witness/evidence"
)

// URL is a URL or a path that may hold credentials. Printed or marshalled it
// shows them redacted; only [URL.Reveal] gives them.
type URL string

// String returns the URL without credentials.
func (u URL) String() string { return evidence.RedactURL(string(u)) }

// GoString is String, so that %#v does not show credentials either.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// MarshalText returns the URL without credentials.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Reveal returns the URL as configured, with credentials. It is meant for the
// connection to the index and for nothing that enters the sandbox or a record.
func (u URL) Reveal() string { return string(u) }

// Secret says whether the URL holds something that String leaves out.
func (u URL) Secret() bool { return u.String() != string(u) }

// Config is the effective configuration of `pip install`: configuration files,
// PIP_* variables and, after [Config.With], the user's own options, with pip's
// precedence. Paths are as configured, relative ones to the user's directory.
type Config struct {
	// DefaultIndex is the index that pip would use unconfigured.
	DefaultIndex URL
	// IndexURL and ExtraIndexURLs are the indexes in order, whatever NoIndex
	// says; see [Config.Indexes].
	IndexURL       URL
	ExtraIndexURLs []URL
	// FindLinks are URLs and paths of files and directories.
	FindLinks []URL
	NoIndex   bool
	// TrustedHosts are "host" or "host:port": no valid certificate is needed.
	TrustedHosts []string
	// Cert is a bundle file or directory that replaces the default certificate
	// authorities, ClientCert a PEM file with certificate and key. Empty: unset.
	Cert       string
	ClientCert string
	// Proxy is used for every request; empty means the proxy variables decide.
	Proxy URL
	// Timeout bounds connecting and each wait for data, not a whole request.
	Timeout time.Duration
	// Retries is how often a request is repeated after the first time.
	Retries         int
	KeyringProvider string
	// Constraints, BuildConstraints and Requirements are files, paths or URLs.
	Constraints      []string
	BuildConstraints []string
	Requirements     []string
	RequireHashes    bool
	// NoBinary and OnlyBinary are project names, ":all:" or ":none:".
	NoBinary             []string
	OnlyBinary           []string
	Pre                  bool
	PreferBinary         bool
	NoDeps               bool
	NoBuildIsolation     bool
	UsePEP517            *bool // nil: pip decides for each project
	IgnoreRequiresPython bool
	UseFeatures          []string
	// ConfigSettings are KEY=VALUE settings for build backends.
	ConfigSettings []string
	// Files are the configuration files that pip read and that exist. They may
	// hold credentials: the sandbox must not show them.
	Files []string
	// Unapplied are the options, sorted, that the user's configuration sets and
	// that have no field here (target, user, prefix …): they say where pip puts
	// things and how it talks, which the sandbox decides.
	Unapplied []string
}

// Flags are the options that the user gives to pip-witness under pip's names. A
// zero field means that the option was not given.
type Flags struct {
	IndexURL             string
	ExtraIndexURLs       []string
	FindLinks            []string
	NoIndex              bool
	TrustedHosts         []string
	Cert                 string
	ClientCert           string
	Proxy                string
	Constraints          []string
	Requirements         []string
	RequireHashes        bool
	NoBinary             []string
	OnlyBinary           []string
	Pre                  bool
	PreferBinary         bool
	NoDeps               bool
	NoBuildIsolation     bool
	IgnoreRequiresPython bool
}

// With returns the configuration with the user's options applied as pip applies
// them: a single value replaces, a list is appended to the configured one, a
// switch can only be set.
func (c Config) With(f Flags) Config {
	replace := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	if f.IndexURL != "" {
		c.IndexURL = URL(f.IndexURL)
	}
	if f.Proxy != "" {
		c.Proxy = URL(f.Proxy)
	}
	replace(&c.Cert, f.Cert)
	replace(&c.ClientCert, f.ClientCert)
	c.ExtraIndexURLs = slices.Concat(c.ExtraIndexURLs, urls(f.ExtraIndexURLs))
	c.FindLinks = slices.Concat(c.FindLinks, urls(f.FindLinks))
	c.TrustedHosts = slices.Concat(c.TrustedHosts, f.TrustedHosts)
	c.Constraints = slices.Concat(c.Constraints, f.Constraints)
	c.Requirements = slices.Concat(c.Requirements, f.Requirements)
	c.NoBinary = slices.Concat(c.NoBinary, f.NoBinary)
	c.OnlyBinary = slices.Concat(c.OnlyBinary, f.OnlyBinary)
	c.NoIndex = c.NoIndex || f.NoIndex
	c.RequireHashes = c.RequireHashes || f.RequireHashes
	c.Pre = c.Pre || f.Pre
	c.PreferBinary = c.PreferBinary || f.PreferBinary
	c.NoDeps = c.NoDeps || f.NoDeps
	c.NoBuildIsolation = c.NoBuildIsolation || f.NoBuildIsolation
	c.IgnoreRequiresPython = c.IgnoreRequiresPython || f.IgnoreRequiresPython
	return c
}

// Indexes are the indexes that pip asks, in order; none with NoIndex.
func (c Config) Indexes() []URL {
	if c.NoIndex {
		return nil
	}
	all := []URL{c.IndexURL}
	if c.IndexURL == "" {
		all = []URL{c.DefaultIndex}
	}
	return append(all, c.ExtraIndexURLs...)
}

// HasCredentials says whether an index, a find-links location or the proxy is
// configured with credentials.
func (c Config) HasCredentials() bool {
	all := slices.Concat(c.Indexes(), c.FindLinks, []URL{c.Proxy})
	return slices.ContainsFunc(all, URL.Secret)
}

// SelectionOptions are the options of `pip install` that carry this
// configuration into the sandbox, without indexes, find-links, certificates and
// proxies (those are the gateway's) and without files (Constraints,
// BuildConstraints, Requirements), whose place in there the caller knows.
func (c Config) SelectionOptions() []string {
	var options []string
	flag := func(set bool, name string) {
		if set {
			options = append(options, name)
		}
	}
	each := func(name string, values []string) {
		for _, v := range values {
			options = append(options, name, v)
		}
	}
	each("--no-binary", c.NoBinary)
	each("--only-binary", c.OnlyBinary)
	flag(c.Pre, "--pre")
	flag(c.PreferBinary, "--prefer-binary")
	flag(c.RequireHashes, "--require-hashes")
	flag(c.NoDeps, "--no-deps")
	flag(c.NoBuildIsolation, "--no-build-isolation")
	flag(c.UsePEP517 != nil && *c.UsePEP517, "--use-pep517")
	flag(c.UsePEP517 != nil && !*c.UsePEP517, "--no-use-pep517")
	flag(c.IgnoreRequiresPython, "--ignore-requires-python")
	each("--use-feature", c.UseFeatures)
	each("--config-settings", c.ConfigSettings)
	return options
}

func urls(values []string) []URL {
	out := make([]URL, len(values))
	for i, v := range values {
		out[i] = URL(v)
	}
	return out
}

// configValues is what the probe reads from pip's own option parser.
type configValues struct {
	DefaultIndex         string   `json:"defaultIndex"`
	IndexURL             string   `json:"indexURL"`
	ExtraIndexURLs       []string `json:"extraIndexURLs"`
	FindLinks            []string `json:"findLinks"`
	NoIndex              bool     `json:"noIndex"`
	TrustedHosts         []string `json:"trustedHosts"`
	Cert                 string   `json:"cert"`
	ClientCert           string   `json:"clientCert"`
	Proxy                string   `json:"proxy"`
	Timeout              float64  `json:"timeout"` // seconds
	Retries              int      `json:"retries"`
	KeyringProvider      string   `json:"keyringProvider"`
	Constraints          []string `json:"constraints"`
	BuildConstraints     []string `json:"buildConstraints"`
	Requirements         []string `json:"requirements"`
	RequireHashes        bool     `json:"requireHashes"`
	NoBinary             []string `json:"noBinary"`
	OnlyBinary           []string `json:"onlyBinary"`
	Pre                  bool     `json:"pre"`
	PreferBinary         bool     `json:"preferBinary"`
	NoDeps               bool     `json:"noDeps"`
	NoBuildIsolation     bool     `json:"noBuildIsolation"`
	UsePEP517            *bool    `json:"usePEP517"`
	IgnoreRequiresPython bool     `json:"ignoreRequiresPython"`
	UseFeatures          []string `json:"useFeatures"`
	ConfigSettings       []string `json:"configSettings"`
	Set                  []string `json:"set"`
}

// effectiveConfig is the configuration as pip's option parser gives it or, when
// that has moved within pip, as `pip config list` and `pip install --help` do.
func effectiveConfig(ctx context.Context, python string, a *answer, isolated bool, environ []string) (Config, error) {
	values := a.Config.Values
	if a.Config.Refused != "" {
		return Config{}, refused(python, a.Config.Refused)
	}
	if values == nil {
		var err error
		if values, err = askCommands(ctx, python, a, isolated, environ); err != nil {
			return Config{}, err
		}
	}
	config := values.config()
	config.Files = a.Files
	if config.DefaultIndex == "" && config.IndexURL == "" && !config.NoIndex {
		return Config{}, refused(python, "it names no index and has no default one")
	}
	return config, nil
}

func refused(python, said string) error {
	return &Error{
		Python: python,
		Err:    fmt.Errorf("%w: %s", ErrConfiguration, evidence.RedactText(said, nil)),
		Advice: "look at it with: pip config debug",
	}
}

func (v *configValues) config() Config {
	return Config{
		DefaultIndex:         URL(v.DefaultIndex),
		IndexURL:             URL(v.IndexURL),
		ExtraIndexURLs:       urls(v.ExtraIndexURLs),
		FindLinks:            urls(v.FindLinks),
		NoIndex:              v.NoIndex,
		TrustedHosts:         v.TrustedHosts,
		Cert:                 v.Cert,
		ClientCert:           v.ClientCert,
		Proxy:                URL(v.Proxy),
		Timeout:              time.Duration(v.Timeout * float64(time.Second)),
		Retries:              v.Retries,
		KeyringProvider:      v.KeyringProvider,
		Constraints:          v.Constraints,
		BuildConstraints:     v.BuildConstraints,
		Requirements:         v.Requirements,
		RequireHashes:        v.RequireHashes,
		NoBinary:             v.NoBinary,
		OnlyBinary:           v.OnlyBinary,
		Pre:                  v.Pre,
		PreferBinary:         v.PreferBinary,
		NoDeps:               v.NoDeps,
		NoBuildIsolation:     v.NoBuildIsolation,
		UsePEP517:            v.UsePEP517,
		IgnoreRequiresPython: v.IgnoreRequiresPython,
		UseFeatures:          v.UseFeatures,
		ConfigSettings:       v.ConfigSettings,
		Unapplied:            unapplied(v.Set),
	}
}

// unapplied returns the options of names ("section.option") that apply to an
// install and have no field in Config.
func unapplied(names []string) []string {
	carried := []string{
		"index-url", "pypi-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert",
		"proxy", "timeout", "default-timeout", "retries", "keyring-provider", "constraint", "build-constraint", "requirement",
		"require-hashes", "no-binary", "only-binary", "pre", "prefer-binary", "no-deps", "no-dependencies", "no-build-isolation",
		"use-pep517", "no-use-pep517", "ignore-requires-python", "use-feature", "config-settings", "config-setting",
		"disable-pip-version-check", "config-file",
	}
	var left []string
	for _, name := range names {
		section, option, _ := strings.Cut(name, ".")
		if section != "global" && section != "install" && section != ":env:" {
			continue
		}
		if !slices.Contains(carried, option) {
			left = append(left, option)
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}
