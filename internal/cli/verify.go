package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/internal/check"
	"pip-witness/internal/report"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/policy"
	"pip-witness/verify"
)

type verifyFlags struct {
	policy        string
	publicKeys    []string
	artifacts     []string
	format        string
	outputs       []string
	trustEmbedded bool
	timeout       time.Duration
	verbose       bool
	vsa           string
	keyFlags
}

func newVerify(s streams) *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify --policy FILE --public-key FILE EVIDENCE…",
		Short: "Judge stored evidence again",
		Long: `Judge evidence by a signed policy. EVIDENCE are collections (DSSE envelopes or
Sigstore bundles) or exports, plain or zstd, or directories that ` + "`check`" + ` wrote.
Nothing is executed and nothing is fetched. --vsa writes a signed verification summary
(SLSA VSA v1) of each distribution file, whatever the verdict is.

Without --public-key the key that lies beside the evidence is used: that proves
only that the evidence agrees with itself, so the verdict is untrusted unless
--trust-embedded says otherwise.`,
		Example: `  pip-witness verify --policy policy.json --public-key policy.pub evidence/
  pip-witness verify --public-key policy.pub --vsa vsa/ --key key.pem evidence/`,
		Args: atLeast(1, "name evidence files or a directory"),
		RunE: func(c *cobra.Command, args []string) error { return runVerify(c, s, f, args) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.policy, "policy", "", "signed policy `FILE` (default: policy.json of the evidence directory)")
	flags.StringArrayVar(&f.publicKeys, "public-key", nil, "public key `FILE` that is trusted to sign the policy; repeatable")
	flags.StringArrayVar(&f.artifacts, "artifact", nil, "distribution `FILE` that the evidence has to be about; repeatable")
	flags.StringVar(&f.format, "format", "text", "print `text` or json")
	flags.StringArrayVarP(&f.outputs, "output", "o", nil, "also write text, json, sarif or markdown: `FORMAT=FILE`")
	flags.BoolVar(&f.trustEmbedded, "trust-embedded", false, "trust the key that lies beside the evidence")
	flags.DurationVar(&f.timeout, "eval-timeout", 30*time.Second, "time `LIMIT` for each rule module")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also show findings below MEDIUM and every attestation")
	flags.StringVar(&f.vsa, "vsa", "", "write signed verification summaries into `DIR`; needs --key")
	f.keyFlags.register(flags, "private key `FILE` to sign the summaries with")
	return c
}

func runVerify(c *cobra.Command, s streams, f verifyFlags, args []string) error {
	if err := oneOf("format", f.format, "text", "json"); err != nil {
		return err
	}
	if f.timeout <= 0 {
		return usage("give a duration such as 30s", "--eval-timeout has to be more than 0")
	}
	if (f.vsa == "") != (f.key == "") {
		return usage("give both: --vsa DIR --key FILE", "--vsa and --key belong together")
	}
	if err := f.validate(); err != nil {
		return err
	}
	outputs, err := parseOutputs(c, f.outputs, nil)
	if err != nil {
		return err
	}
	request := verify.Request{TrustEmbedded: f.trustEmbedded, Now: time.Now().UTC(), EvalTimeout: f.timeout}
	if request.PolicyKeys, err = loadPublicKeys(f.publicKeys); err != nil {
		return err
	}
	for _, path := range args {
		if err := addEvidence(&request, path, f.policy == ""); err != nil {
			return err
		}
	}
	if f.policy != "" {
		if request.PolicyEnvelope, err = readPolicy(f.policy); err != nil {
			return err
		}
	}
	if request.PolicyEnvelope == nil {
		return usage("give --policy FILE", "there is no %s beside the evidence", store.PolicyFile)
	}
	for _, path := range f.artifacts {
		subject, err := artifact(path)
		if err != nil {
			return badInput(err)
		}
		request.Artifacts = append(request.Artifacts, subject)
	}
	result, err := verify.Verify(c.Context(), request)
	if err != nil {
		return err
	}
	if f.vsa != "" {
		if err := f.summarize(c.Context(), s, result, request.Now); err != nil {
			return err
		}
	}
	return finish(s, f.outcome(result, args), f.format, f.verbose, outputs, nil)
}

// summarize writes the verification summaries. The key is read by a process that
// signs exactly so many messages, after the evidence, which is hostile, was read.
func (f verifyFlags) summarize(ctx context.Context, s streams, result *policy.Result, at time.Time) error {
	about := verify.SummaryContext{Version: Version, PolicyURI: policyURI(store.PolicyFile), TimeVerified: at}
	if f.policy != "" {
		about.PolicyURI = policyURI(f.policy)
	}
	summaries, err := verify.Summaries(result, about)
	if err != nil {
		return err
	}
	if len(summaries) == 0 {
		fmt.Fprintf(s.err, "pip-witness: no summary was written: no accepted evidence names a distribution file\n")
		return nil
	}
	starting, err := f.start(ctx, s, seal.Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: len(summaries)})
	if err != nil {
		return err
	}
	defer starting.Close()
	signer, err := f.wait(starting)
	if err != nil {
		return err
	}
	return check.WriteSummaries(ctx, summaries, f.vsa, false, signer)
}

// outcome is what `check` would print of the same evidence, without timings.
func (f verifyFlags) outcome(result *policy.Result, args []string) report.Outcome {
	o := report.Outcome{Result: result}
	if len(result.Packages) == 0 {
		o.Requested = args
	}
	if info, err := os.Stat(args[0]); err == nil && info.IsDir() && len(args) == 1 {
		o.Evidence = args[0]
	}
	switch {
	case result.Verdict != policy.Untrusted:
	case len(f.publicKeys) > 0:
		o.Advice = "ask whoever made the evidence or the policy for a good copy, or name another --public-key"
		if slices.ContainsFunc(result.Checks, failed(policy.CheckExpiry)) {
			o.Advice = policyAdvice(result)
		}
	case !f.trustEmbedded:
		o.Advice = "give --public-key FILE, the key of whoever signed the policy; --trust-embedded takes the one beside the evidence"
	}
	return o
}

func failed(name policy.CheckName) func(policy.Check) bool {
	return func(c policy.Check) bool { return c.Name == name && c.Status == policy.StatusFail }
}

// addEvidence adds a file, or the collections of an evidence directory with the
// policy and key that lie there.
func addEvidence(request *verify.Request, path string, wantPolicy bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return badInput(fmt.Errorf("read evidence: %w", err))
	}
	if !info.IsDir() {
		return addFile(request, path, wantPolicy)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return badInput(fmt.Errorf("read evidence: %w", err))
	}
	found := false
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !isCollection(name) {
			continue
		}
		found = true
		if err := addCollection(request, filepath.Join(path, name)); err != nil {
			return err
		}
	}
	if !found {
		return usage("name a directory that `pip-witness check` wrote", "no evidence in %q", path)
	}
	return addEmbedded(request, path, wantPolicy)
}

// isCollection says that a file of an evidence directory is the envelope of a step.
func isCollection(name string) bool {
	switch name {
	case store.SBOMFile, store.SLSAFile, store.ProvenanceFile, store.PolicyFile:
		return false
	}
	return filepath.Ext(name) == ".json" && !strings.HasSuffix(name, ".sigstore.json") && !strings.Contains(name, "/")
}

// addExport adds what an export holds, as addEvidence does with the directory that
// it is of.
func addExport(request *verify.Request, path string, data []byte, wantPolicy bool) error {
	export, err := store.ParseExport(data)
	if err != nil {
		return badInput(fmt.Errorf("%q: %w", path, err))
	}
	for _, d := range export.Documents {
		policy := d.Name == store.PolicyFile && wantPolicy
		if !policy && !isCollection(d.Name) {
			continue
		}
		envelope, err := d.Envelope.Marshal()
		if err != nil {
			return badInput(fmt.Errorf("%q: document %q: %w", path, d.Name, err))
		}
		if policy {
			request.PolicyEnvelope = envelope
			continue
		}
		request.Collections = append(request.Collections, verify.Document{Name: path + ":" + d.Name, Data: envelope})
	}
	if key := export.Key(store.PolicyKeyFile); key != nil {
		public, err := attestation.ParsePublicKey(key)
		if err != nil {
			return badInput(fmt.Errorf("%q: key %q: %w", path, store.PolicyKeyFile, err))
		}
		request.EmbeddedKeys = append(request.EmbeddedKeys, public)
	}
	return nil
}

// addEmbedded takes the policy and its key from an evidence directory.
func addEmbedded(request *verify.Request, dir string, wantPolicy bool) error {
	if name := filepath.Join(dir, store.PolicyFile); wantPolicy {
		data, err := store.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return badInput(fmt.Errorf("read policy: %w", err))
		}
		request.PolicyEnvelope = data
	}
	key := filepath.Join(dir, store.PolicyKeyFile)
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	public, err := seal.LoadPublicKey(key)
	if err != nil {
		return badInput(err)
	}
	request.EmbeddedKeys = append(request.EmbeddedKeys, public)
	return nil
}

// addFile adds a collection, or what an export holds.
func addFile(request *verify.Request, path string, wantPolicy bool) error {
	data, err := store.ReadFile(path)
	if err != nil {
		return badInput(fmt.Errorf("read evidence: %w", err))
	}
	if store.IsExport(data) {
		return addExport(request, path, data, wantPolicy)
	}
	request.Collections = append(request.Collections, verify.Document{Name: path, Data: data})
	return nil
}

func addCollection(request *verify.Request, path string) error {
	data, err := store.ReadFile(path)
	if err != nil {
		return badInput(fmt.Errorf("read evidence: %w", err))
	}
	request.Collections = append(request.Collections, verify.Document{Name: path, Data: data})
	return nil
}

func artifact(path string) (attestation.Subject, error) {
	f, err := os.Open(path)
	if err != nil {
		return attestation.Subject{}, fmt.Errorf("read artifact: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return attestation.Subject{}, fmt.Errorf("read artifact %q: %w", path, err)
	}
	return attestation.Subject{Name: filepath.Base(path), Digest: map[string]string{"sha256": hex.EncodeToString(h.Sum(nil))}}, nil
}
