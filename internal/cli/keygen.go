package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pip-witness/internal/seal"
)

func newKeygen(s streams) *cobra.Command {
	var out, kind, format string
	var password passwordFlags
	c := &cobra.Command{
		Use:   "keygen --out key.pem",
		Short: "Make a key pair to sign evidence and policies with",
		Long: `Make a key pair: the private key (PKCS#8 PEM, mode 0600) in the named file, the
public key (PKIX PEM) beside it with the ending .pub. Existing files are never
overwritten. The key id is printed. With a password the private key is encrypted:
as PKCS#8, which OpenSSL reads, or in the format of cosign.`,
		Example: `  pip-witness keygen --out key.pem
  pip-witness keygen --out key.pem --password-file password.txt`,
		Args: exactly(0, "it takes flags only"),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return usage("for example --out key.pem", "--out is required")
			}
			if err := oneOf("type", kind, seal.Ed25519, seal.ECDSAP256); err != nil {
				return err
			}
			if err := oneOf("format", format, seal.FormatPKCS8, seal.FormatCosign); err != nil {
				return err
			}
			if err := password.validate(); err != nil {
				return err
			}
			if format == seal.FormatCosign && !password.given() {
				return usage("add --password-env NAME or --password-file FILE", "--format cosign is always encrypted")
			}
			if filepath.Ext(out) == ".pub" {
				return usage("for example --out key.pem", "--out %q: the ending .pub is the public key's", out)
			}
			public := strings.TrimSuffix(out, filepath.Ext(out)) + ".pub"
			for _, path := range []string{out, public} {
				if err := newFile("--out", path); err != nil {
					return err
				}
			}
			key, err := seal.GenerateKey(kind)
			if err != nil {
				return err
			}
			if !password.given() {
				err = key.Write(out, public)
			} else if secret, readErr := password.read(); readErr != nil {
				err = readErr
			} else {
				err = key.WriteEncrypted(out, public, format, secret)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "private key %s, public key %s\n", out, public)
			return emit(s, "", []byte(key.KeyID()+"\n"))
		},
	}
	c.Flags().StringVar(&out, "out", "", "`FILE` for the private key")
	c.Flags().StringVar(&kind, "type", seal.Ed25519, "`ed25519` or ecdsa-p256")
	c.Flags().StringVar(&format, "format", seal.FormatPKCS8, "of an encrypted key: `pkcs8` or cosign")
	password.register(c.Flags())
	return c
}
