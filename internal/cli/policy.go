package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/internal/timestamp"
	"pip-witness/policy"
	"pip-witness/rules"
)

func newPolicy(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Make, check, sign and show policies and their rules",
		Example: `  pip-witness policy init -o policy.src.json
  pip-witness policy compile policy.src.json --functionary key.pub -o policy.compiled.json
  pip-witness policy sign policy.compiled.json --key key.pem -o policy.json
  pip-witness policy lint policy.src.json`,
		Args: cobra.ArbitraryArgs,
		RunE: noCommand,
	}
	c.AddCommand(newPolicyInit(s), newPolicyCompile(s), newPolicySign(s), newPolicyShow(s), newPolicyList(s), newPolicyLint(s), newPolicyTest(s))
	return c
}

// emit writes to the file, or to standard output when none is named.
func emit(s streams, path string, data []byte) error {
	if path != "" {
		return writeOutput(path, data)
	}
	if _, err := s.out.Write(data); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// emitJSON writes a value to standard output, indented.
func emitJSON(s streams, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return emit(s, "", append(data, '\n'))
}

func newPolicyInit(s streams) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "init [-o FILE]",
		Short:   "Write the source of the built-in policy, to be changed",
		Example: "  pip-witness policy init -o policy.src.json",
		Args:    exactly(0, "it takes flags only"),
		RunE: func(*cobra.Command, []string) error {
			if err := newFile("-o", out); err != nil {
				return err
			}
			return emit(s, out, policy.Builtin())
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write (default: standard output)")
	return c
}

func newPolicyCompile(s streams) *cobra.Command {
	var out, expires, indicators string
	var functionaries, roots, authorities []string
	c := &cobra.Command{
		Use:   "compile SRC --functionary KEY.pub…",
		Short: "Resolve a policy's types, modules and keys into one self-contained document",
		Long: `Resolve short attestation types, link each rule module with its library and
indicator data, and put the functionaries' keys where the source says "...".`,
		Example: "  pip-witness policy compile policy.src.json --functionary key.pub -o policy.compiled.json",
		Args:    exactly(1, "name the source file"),
		RunE: func(c *cobra.Command, args []string) error {
			options := policy.Options{Modules: rules.FS, Now: time.Now().UTC()}
			if err := checkOptional("-o", out); err != nil {
				return err
			}
			src, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if options.Functionaries, err = loadFunctionaries(functionaries); err != nil {
				return err
			}
			if options.Roots, err = loadRoots("--root", roots); err != nil {
				return err
			}
			if options.TimestampAuthorities, err = loadRoots("--tsa", authorities); err != nil {
				return err
			}
			if options.Expires, err = parseDate(expires); err != nil {
				return err
			}
			if indicators != "" {
				if options.Indicators, err = loadIndicators(indicators); err != nil {
					return err
				}
			}
			options.ReadFile = readerBeside(args[0])
			compiled, err := policy.Compile(c.Context(), src, options)
			if err != nil {
				return badInput(err)
			}
			data, err := compiled.Marshal()
			if err != nil {
				return err
			}
			return emit(s, out, data)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&functionaries, "functionary", nil, "public key `FILE` of who may sign evidence; repeatable")
	flags.StringArrayVar(&roots, "root", nil, "authority of certificates, `ID=FILE`, its root first; repeatable")
	flags.StringArrayVar(&authorities, "tsa", nil, "authority of time stamps, `ID=FILE`, in that way; repeatable")
	flags.StringVar(&expires, "expires", "", "last `DATE` of validity, 2027-12-31 (default: the source's, else one year)")
	flags.StringVar(&indicators, "indicators", "", "further indicators, a YAML `FILE`")
	flags.StringVarP(&out, "output", "o", "", "`FILE` to write (default: standard output)")
	return c
}

func loadFunctionaries(paths []string) ([]attestation.PublicKey, error) {
	var keys []attestation.PublicKey
	for _, path := range paths {
		key, err := seal.LoadPublicKey(path)
		if err != nil {
			return nil, badInput(err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// loadRoots reads the authorities of ID=FILE.
func loadRoots(flag string, values []string) (map[string]policy.Root, error) {
	roots := map[string]policy.Root{}
	for _, v := range values {
		id, path, ok := strings.Cut(v, "=")
		if !ok || id == "" || path == "" {
			return nil, usage("write for example "+flag+" ca=ca.pem", "%s %q: want ID=FILE", flag, v)
		}
		data, err := store.ReadFile(path)
		if err != nil {
			return nil, badInput(fmt.Errorf("%s: %w", flag, err))
		}
		certificates, err := attestation.ParseCertificates(data)
		if err != nil {
			return nil, badInput(fmt.Errorf("%s %q: %w", flag, path, err))
		}
		root := policy.Root{Certificate: attestation.EncodeCertificate(certificates[0].Raw)}
		for _, c := range certificates[1:] {
			root.Intermediates = append(root.Intermediates, attestation.EncodeCertificate(c.Raw))
		}
		roots[id] = root
	}
	return roots, nil
}

func loadIndicators(path string) (map[string]any, error) {
	data, err := store.ReadFile(path)
	if err != nil {
		return nil, badInput(fmt.Errorf("read indicators: %w", err))
	}
	indicators, err := policy.ParseIndicators(data, rules.FS)
	if err != nil {
		return nil, badInput(fmt.Errorf("%q: %w", path, err))
	}
	return indicators, nil
}

// parseDate reads a date (the end of that day) or a time; empty is zero.
func parseDate(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.Add(24*time.Hour - time.Second), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usage("write for example 2027-12-31", "--expires %q is no date", text)
	}
	return at.UTC(), nil
}

func newPolicySign(s streams) *cobra.Command {
	var out string
	var f keyFlags
	c := &cobra.Command{
		Use:     "sign FILE --key K",
		Short:   "Sign a compiled policy",
		Example: "  pip-witness policy sign policy.compiled.json --key key.pem -o policy.json",
		Args:    exactly(1, "name the compiled policy"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOptional("-o", out); err != nil {
				return err
			}
			if f.key == "" {
				return usage("make one with `pip-witness keygen --out key.pem`", "--key is required")
			}
			if err := f.validate(); err != nil {
				return err
			}
			starting, err := f.start(c.Context(), s, seal.Grant{PayloadTypes: []string{attestation.PolicyPayloadType}, Signatures: 1})
			if err != nil {
				return err
			}
			defer starting.Close()
			signer, err := f.wait(starting)
			if err != nil {
				return err
			}
			compiled, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			envelope, err := policy.Sign(c.Context(), compiled, signer)
			if err != nil {
				return signingError(err)
			}
			data, err := envelope.Marshal()
			if err != nil {
				return err
			}
			return emit(s, out, data)
		},
	}
	f.register(c.Flags(), "private key `FILE`")
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write (default: standard output)")
	return c
}

// signingError is bad input, but for an authority that gave no time stamp.
func signingError(err error) error {
	var authority *timestamp.Error
	if errors.As(err, &authority) {
		return err
	}
	return badInput(err)
}

func newPolicyShow(s streams) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "show FILE",
		Short:   "Show what a policy asks for, signed or compiled",
		Example: "  pip-witness policy show policy.json",
		Args:    exactly(1, "name the policy"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			data, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			payload, signers := data, []string(nil)
			if envelope, err := attestation.ParseEnvelope(data); err == nil {
				payload = envelope.Payload
				for _, sig := range envelope.Signatures {
					signers = append(signers, sig.KeyID)
				}
			}
			p, err := policy.Parse(payload)
			if err != nil {
				return badInput(fmt.Errorf("%q: %w", args[0], err))
			}
			if format == "json" {
				compiled, err := p.Marshal()
				if err != nil {
					return err
				}
				return emit(s, "", compiled)
			}
			return showPolicy(s, p, signers)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, or json for the compiled document")
	return c
}

// functionaryText is a key's id, or what a certificate has to be.
func functionaryText(f policy.Functionary) string {
	c := f.CertConstraint
	if c == nil {
		return f.PublicKeyID
	}
	return fmt.Sprintf("%s: common name %q, DNS names %q, email addresses %q, organizations %q, URIs %q",
		strings.Join(c.Roots, ", "), c.CommonName, c.DNSNames, c.Emails, c.Organizations, c.URIs)
}

func showPolicy(s streams, p *policy.Policy, signers []string) error {
	var text strings.Builder
	line := printer(&text)
	if len(signers) == 0 {
		line("not signed")
	}
	for _, id := range signers {
		line("signed by (not checked)  %s", id)
	}
	line("expires                  %s", p.Expires.UTC().Format(time.RFC3339))
	line("fails on                 %s and above", p.Threshold())
	order, err := p.Order()
	if err != nil {
		return badInput(err)
	}
	for _, name := range order {
		step := p.Steps[name]
		line("\nstep %s", name)
		for _, f := range step.Functionaries {
			line("  functionary  %s %s", f.Type, functionaryText(f))
		}
		if len(step.AttestationsFrom) > 0 {
			line("  reads        %s", strings.Join(step.AttestationsFrom, ", "))
		}
		for _, a := range step.Attestations {
			line("  attestation  %s", a.Type)
			for _, m := range a.RegoPolicies {
				line("    module     %s", m.Name)
			}
		}
	}
	for _, e := range p.Exceptions {
		line("\nexception %s until %s: %s", e.Rule, e.Expires.UTC().Format(time.DateOnly), e.Reason)
		for _, field := range [...]struct{ name, value string }{
			{"package", e.Package}, {"path", e.Path}, {"host", e.Host}, {"command", e.Command}, {"value", e.Value},
		} {
			if field.value != "" {
				line("  only         %s %s", field.name, field.value)
			}
		}
	}
	return emit(s, "", []byte(text.String()))
}
