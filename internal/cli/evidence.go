package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/internal/store"
)

func newEvidence(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "evidence",
		Short:   "Put stored evidence into another form",
		Long:    "Put stored evidence into another form. What was signed stays the same bytes.",
		Example: "  pip-witness evidence export evidence/ --to requests.evidence.zst",
		Args:    cobra.ArbitraryArgs,
		RunE:    noCommand,
	}
	c.AddCommand(newEvidenceExport(s))
	return c
}

// Forms of an export.
const (
	exportJSON = "json"
	exportZstd = "zstd"
)

func newEvidenceExport(s streams) *cobra.Command {
	var to, format string
	c := &cobra.Command{
		Use:   "export DIR|FILE --to FILE",
		Short: "Write evidence as one file, compressed or plain",
		Long: `Write an evidence directory as one document (its signed envelopes and public
keys, payloads as they were signed), or one file of it as the same envelope. The
form is zstd, or plain JSON. ` + "`verify`" + ` and ` + "`inspect`" + ` take either. Sigstore bundles,
sbom.cdx.json and slsa.json follow from the envelopes and are left out. An
existing FILE is not replaced.`,
		Example: `  pip-witness evidence export evidence/ --to requests.evidence.zst
  pip-witness evidence export requests.evidence.zst --format json --to requests.json`,
		Args: exactly(1, "name an evidence directory or one file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, exportZstd, exportJSON); err != nil {
				return err
			}
			if to == "" {
				return usage("add --to FILE", "there is no file to write to")
			}
			return exportEvidence(s, args[0], to, format == exportZstd)
		},
	}
	c.Flags().StringVar(&to, "to", "", "new `FILE` to write")
	c.Flags().StringVar(&format, "format", exportZstd, "write `zstd` or json")
	return c
}

func exportEvidence(s streams, from, to string, compress bool) error {
	data, err := exported(from)
	if err != nil {
		return badInput(err)
	}
	n, err := store.WriteDocument(to, data, compress)
	if errors.Is(err, fs.ErrExist) {
		return usage("name a new file, or remove it", "%q exists", to)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "pip-witness: wrote %q: %d bytes, %d of JSON\n", to, n, len(data))
	return nil
}

// exported returns the plain document of a directory or a file.
func exported(from string) ([]byte, error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	if !info.IsDir() {
		data, err := store.ReadFile(from)
		if err != nil || store.IsExport(data) {
			return data, err
		}
		if _, err := attestation.ParseEnvelope(data); err != nil {
			return nil, fmt.Errorf("%q: %w", from, err)
		}
		return data, nil
	}
	export, err := store.ReadDirectory(from)
	if err != nil {
		return nil, err
	}
	data, err := export.Marshal()
	if err != nil {
		return nil, err
	}
	if _, err := store.ParseExport(data); err != nil {
		return nil, fmt.Errorf("%q: what would be written cannot be read again: %w", from, err)
	}
	return data, nil
}
