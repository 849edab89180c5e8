package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/spf13/cobra"

	"pip-witness/attestation"
	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/osv"
	"pip-witness/internal/store"
	"pip-witness/internal/vex"
)

// databaseVariable is the environment variable that tells osv-scanner, and so this
// program, where the databases are.
const databaseVariable = "OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY"

// Times that a fetch may take.
const (
	answerTimeout = time.Minute      // until a server answers
	fetchTimeout  = 30 * time.Minute // until everything is there
)

func newDB(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "db",
		Short: "Keep the database of known vulnerabilities",
		Long: `Keep the local OSV database that check looks installed packages up in: one zip
of PyPI advisories, where osv-scanner's offline mode has it. It is below --osv-db
DIR, else $` + databaseVariable + `, else the user's cache
directory, as osv-scalibr/PyPI/all.zip or osv-scanner/PyPI/all.zip.`,
		Example: `  pip-witness db update ./all.zip
  pip-witness db status
  pip-witness db vex evidence/pip-install.json -o vex.json`,
		Args: cobra.ArbitraryArgs,
		RunE: noCommand,
	}
	c.AddCommand(newDBUpdate(s), newDBStatus(s), newDBVEX(s))
	return c
}

// databaseDir is the directory that databases are below; empty when the user has no
// such place.
func databaseDir(flag string) string {
	if dir := cmp.Or(flag, os.Getenv(databaseVariable)); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return dir
}

// indexDir is where indexes of databases are kept; empty keeps none.
func indexDir() string {
	dir := cacheDir()
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "osv")
}

// vulnerabilities finds the database and reads the documents of --vex. A database
// that was named has to be there; what is wrong inside it is for the evidence.
func (f checkFlags) vulnerabilities() (attest.Vulnerabilities, error) {
	v := attest.Vulnerabilities{Database: osv.Find(databaseDir(f.osvDB)), Cache: indexDir()}
	if f.osvDB != "" && v.Database == "" {
		return v, usage("`pip-witness db update FILE --osv-db DIR` puts one there", "--osv-db %q: there is no database", f.osvDB)
	}
	for _, path := range f.vex {
		data, err := store.ReadFile(path)
		if err != nil {
			return v, badInput(fmt.Errorf("--vex: %w", err))
		}
		name := filepath.Base(path)
		if _, err := vex.Parse(name, data); err != nil {
			return v, badInput(fmt.Errorf("--vex: %w", err))
		}
		v.VEX = append(v.VEX, attest.Document{Name: name, Content: data})
	}
	return v, nil
}

func newDBUpdate(s streams) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "update FILE|URL",
		Short: "Replace the database by a zip of advisories",
		Long: `Replace the database by a zip of PyPI advisories in OSV's format, from a file or
an http or https URL. It is read whole first: one that is cut off or damaged
leaves the old database in place.`,
		Example: "  pip-witness db update ./all.zip",
		Args:    exactly(1, "name a file or a URL"),
		RunE: func(c *cobra.Command, args []string) error {
			where := databaseDir(dir)
			if where == "" {
				return usage("give --osv-db DIR", "no directory for the database: the user has no cache directory")
			}
			slow := &exitError{code: exitUndecided, err: fmt.Errorf("it is not there after %s", fetchTimeout), hint: "fetch the file another way and name it"}
			ctx, cancel := context.WithTimeoutCause(c.Context(), fetchTimeout, slow)
			defer cancel()
			source, size, err := openSource(ctx, args[0])
			if err != nil {
				return err
			}
			defer source.Close()
			path := osv.ArchivePath(where)
			facts, err := osv.Update(ctx, source, size, path, indexDir())
			if errors.Is(err, osv.ErrDamaged) {
				return &exitError{code: exitUsage, err: fmt.Errorf("%w; the database that was there stays", err), hint: "fetch the file again, whole"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "%s: %d advisories, the newest of %s\n", path, facts.Advisories, cmp.Or(facts.Newest, "an unknown time"))
			if facts.Unreadable > 0 {
				fmt.Fprintf(s.err, "%d advisories cannot be read and are left out; see `pip-witness db status`\n", facts.Unreadable)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "osv-db", "", "`DIR` that the database is below")
	return c
}

// openSource opens a file or asks for a URL. size is -1 when it is not known.
func openSource(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	u, err := url.Parse(name)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, badInput(fmt.Errorf("open the new database: %w", err))
		}
		return f, -1, nil
	}
	shown := evidence.RedactURL(name)
	cannot := func(err error) error {
		return &exitError{code: exitUndecided, err: fmt.Errorf("fetch %q: %w", shown, err), hint: "check the URL and the network, or fetch the file another way and name it"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, 0, usage("check the URL", "fetch %q: not a URL", shown)
	}
	request.Header.Set("User-Agent", "pip-witness "+Version)
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: answerTimeout, TLSHandshakeTimeout: answerTimeout}
	response, err := (&http.Client{Transport: transport, CheckRedirect: stayEncrypted}).Do(request)
	if err != nil {
		var of *url.Error // its text has the URL, with what may be a token in it
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, 0, cannot(err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, 0, errors.Join(cannot(fmt.Errorf("the server answered %s", response.Status)), response.Body.Close())
	}
	return fetched{response.Body, cannot}, response.ContentLength, nil
}

// maxRedirects is how often a server may send on.
const maxRedirects = 10

// stayEncrypted follows redirects, except from https to http.
func stayEncrypted(next *http.Request, before []*http.Request) error {
	switch {
	case len(before) >= maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case before[0].URL.Scheme == "https" && next.URL.Scheme != "https":
		return errors.New("the server redirects from https to http")
	}
	return nil
}

// fetched is what a server sends; that it breaks off is no fault of this program.
type fetched struct {
	io.ReadCloser
	cannot func(error) error
}

func (f fetched) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.cannot(err)
	}
	return n, err
}

// databaseStatus is what `db status` prints.
type databaseStatus struct {
	Path string `json:"path"`
	// Written is when the file was written; AgeDays counts full days since the newest
	// advisory in it was changed, -1 when that is not known.
	Written time.Time `json:"written"`
	AgeDays int       `json:"ageDays"`
	osv.Facts
}

func newDBStatus(s streams) *cobra.Command {
	var dir, format string
	c := &cobra.Command{
		Use:     "status",
		Short:   "Say which database there is, how old, and what is in it",
		Example: "  pip-witness db status --format json",
		Args:    exactly(0, "it takes flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			path := osv.Find(databaseDir(dir))
			if path == "" {
				return &exitError{code: exitUndecided, err: errors.New("there is no database of vulnerabilities"), hint: "`pip-witness db update FILE|URL` puts one in place"}
			}
			d, err := osv.Open(c.Context(), path, indexDir())
			if errors.Is(err, osv.ErrDamaged) {
				return &exitError{code: exitUsage, err: fmt.Errorf("%q: %w", path, err), hint: "`pip-witness db update FILE|URL` replaces it"}
			}
			if err != nil {
				return err
			}
			defer d.Close()
			status := databaseStatus{Path: path, Written: d.Written.UTC().Truncate(time.Second), AgeDays: age(d.Facts().Newest, time.Now()), Facts: d.Facts()}
			if format == "json" {
				return emitJSON(s, status)
			}
			return emit(s, "", []byte(status.text()))
		},
	}
	c.Flags().StringVar(&dir, "osv-db", "", "`DIR` that the database is below")
	c.Flags().StringVar(&format, "format", "text", "print `text` or json")
	return c
}

// age is in full days; -1 when the time is none.
func age(newest string, now time.Time) int {
	at, err := time.Parse(time.RFC3339, newest)
	if err != nil {
		return -1
	}
	return max(0, int(now.Sub(at)/(24*time.Hour)))
}

func (d databaseStatus) text() string {
	var text strings.Builder
	line := printer(&text)
	line("path        %s", d.Path)
	line("digest      sha256:%s", d.Digest)
	line("written     %s", d.Written.Format(time.RFC3339))
	if d.AgeDays >= 0 {
		line("newest      %s, %d days ago", d.Newest, d.AgeDays)
	}
	line("advisories  %d, of them %d of malicious packages", d.Advisories, d.Malicious)
	line("left out    %d withdrawn, %d of other ecosystems, %d unreadable", d.Withdrawn, d.Other, d.Unreadable)
	for _, p := range d.Problems {
		line("  %s", p)
	}
	return text.String()
}

func newDBVEX(s streams) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "vex FILE",
		Short: "Write the vulnerabilities of a check as an OpenVEX document, to be filled in",
		Long: `Write an OpenVEX document with a statement for each vulnerability and package of
a CycloneDX document, or of the sbom in a step's evidence. What was given with
--vex stays; all else is under_investigation. Edit it, and give it to the next
check with --vex.`,
		Example: "  pip-witness db vex evidence/pip-install.json -o vex.json",
		Args:    exactly(1, "name one evidence file or CycloneDX document"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOptional("-o", out); err != nil {
				return err
			}
			data, err := store.ReadFile(args[0])
			if err != nil {
				return badInput(err)
			}
			document, err := exportVEX(data)
			if err != nil {
				return badInput(fmt.Errorf("%q: %w", args[0], err))
			}
			return emit(s, out, document)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write (default: standard output)")
	return c
}

// exportVEX writes the vulnerabilities of a CycloneDX document, plain or in a signed
// collection. The signature is not checked: what is written is not signed either.
func exportVEX(data []byte) ([]byte, error) {
	if envelope, err := attestation.ParseEnvelope(data); err == nil {
		if data, err = sbomOf(envelope); err != nil {
			return nil, err
		}
	}
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil || bom.BOMFormat != cdx.BOMFormat {
		return nil, errors.New("neither evidence nor a CycloneDX document")
	}
	if bom.Metadata == nil || bom.Metadata.Timestamp == "" {
		return nil, errors.New("the document has no time")
	}
	packages := map[string]string{} // bom-ref → package URL
	if bom.Components != nil {
		for _, c := range *bom.Components {
			packages[c.BOMRef] = c.PackageURL
		}
	}
	findings := []vex.Finding{}
	if bom.Vulnerabilities != nil {
		for _, v := range *bom.Vulnerabilities {
			findings = append(findings, findingsOf(v, packages)...)
		}
	}
	return vex.Write(findings, "pip-witness "+Version, bom.Metadata.Timestamp)
}

// sbomOf is the predicate of the sbom in a collection.
func sbomOf(envelope attestation.Envelope) ([]byte, error) {
	statement, err := attestation.ParseStatement(envelope.Payload)
	if err != nil {
		return nil, err
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		return nil, err
	}
	predicate := collection.Predicate("sbom")
	if predicate == nil {
		return nil, fmt.Errorf("step %q has no sbom", collection.Name)
	}
	return predicate, nil
}

// findingsOf are the packages that a vulnerability affects, each with what was
// thought of it.
func findingsOf(v cdx.Vulnerability, packages map[string]string) []vex.Finding {
	var aliases []string
	if v.References != nil {
		for _, r := range *v.References {
			aliases = append(aliases, r.ID)
		}
	}
	opinion := vex.Opinion{}
	if a := v.Analysis; a != nil {
		opinion = vex.Opinion{Text: a.Detail, Updated: cmp.Or(a.LastUpdated, a.FirstIssued)}
		switch a.State {
		case cdx.IASNotAffected, cdx.IASFalsePositive:
			opinion.Status = vex.NotAffected
		case cdx.IASResolved, cdx.IASResolvedWithPedigree:
			opinion.Status = vex.Fixed
		case cdx.IASExploitable:
			opinion.Status = vex.Affected
		case cdx.IASInTriage:
			opinion.Status = vex.UnderInvestigation
		}
		if opinion.Status == vex.NotAffected && opinion.Text == "" {
			opinion.Text = "no reason was given"
		}
	}
	var out []vex.Finding
	if v.Affects != nil {
		for _, a := range *v.Affects {
			if purl := packages[a.Ref]; purl != "" {
				out = append(out, vex.Finding{Name: v.ID, Aliases: aliases, PURL: purl, Opinion: opinion})
			}
		}
	}
	return out
}
