package secretscan

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

// workers is how many files are scanned at a time. Each holds one fragment, of
// at most some 125 kB.
const workers = 2

// scanned is the result of one file.
type scanned struct {
	findings []Finding
	skipped  string // why it was not scanned, or not to its end
}

// scan scans files, and adds what is found in their order.
func (p *Predicate) scan(ctx context.Context, s *scanner, layout attest.Layout, tree *evidence.Tree, files []string) error {
	results := make([]scanned, len(files))
	classes := s.classes()
	next := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range next {
				results[i] = scanFile(ctx, s, classes, layout, files[i])
			}
		})
	}
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range results {
		if r.skipped != "" {
			p.skip(files[i], r.skipped)
		} else {
			p.Scanned.Files++
			p.Scanned.Bytes += tree.Files[files[i]].Size
		}
		if room := maxFindings - len(p.Findings); len(r.findings) > room {
			p.skip(files[i], fmt.Sprintf("%d more findings, the limit is %d", len(r.findings)-room, maxFindings))
			r.findings = r.findings[:room]
		}
		p.Findings = append(p.Findings, r.findings...)
	}
	return nil
}

func (s *scanner) classes() map[string]Class {
	out := make(map[string]Class, len(s.rules))
	for _, r := range s.rules {
		out[r.RuleID] = r.class
	}
	return out
}

// errFull stops the scan of a file that has more findings than are kept of all.
var errFull = errors.New("too many findings")

// scanFile scans one file in gitleaks' own fragments.
func scanFile(ctx context.Context, s *scanner, classes map[string]Class, layout attest.Layout, file string) scanned {
	f, err := walk.Open(layout, file)
	if err != nil {
		return scanned{skipped: err.Error()}
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return scanned{skipped: fmt.Sprintf("read: %v", err)}
	}
	if kind := media(head[:n]); kind != "" {
		return scanned{skipped: "binary: " + kind}
	}
	fragments := 0
	var out scanned
	// The path is withheld: by it gitleaks would leave out what only is named
	// like an archive. It is set again for the rules that ask for it.
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return scanned{skipped: fmt.Sprintf("read: %v", err)}
	}
	source := sources.File{Content: io.LimitReader(f, maxFileSize)}
	err = source.Fragments(ctx, func(fragment sources.Fragment, err error) error {
		if err != nil {
			return err
		}
		fragments++
		fragment.FilePath = file
		all := s.find(fragment)
		secrets := make([]string, len(all))
		for i, found := range all {
			secrets[i] = found.Secret
		}
		for _, found := range all {
			out.findings = append(out.findings, newFinding(found, secrets, classes[found.RuleID], file))
		}
		if len(out.findings) > maxFindings {
			return errFull
		}
		return nil
	})
	switch {
	case err != nil:
		out.skipped = err.Error()
	case fragments == 0 && n > 0:
		out.skipped = "binary: an archive or a program, by its first bytes"
	}
	return out
}

// media recognises pictures, sounds, films and fonts: a type by the first bytes,
// and a NUL among them, which no text has. It returns "" for anything else.
func media(head []byte) string {
	kind := http.DetectContentType(head)
	if top, _, _ := strings.Cut(kind, "/"); bytes.IndexByte(head, 0) >= 0 && slices.Contains([]string{"image", "audio", "video", "font"}, top) {
		return kind
	}
	return ""
}

// maxContext is how much of a match before the secret is kept.
const maxContext = 64 // bytes

// newFinding turns what gitleaks found into what may be signed; secrets are all
// those of the fragment, which can stand before this one.
func newFinding(f report.Finding, secrets []string, class Class, file string) Finding {
	sum := sha256.Sum256([]byte(f.Secret))
	out := Finding{
		RuleID: f.RuleID, Description: f.Description, Location: file, StartLine: f.StartLine,
		Secret: evidence.DigestSet{"sha256": hex.EncodeToString(sum[:])},
		Match:  evidence.Redacted, Entropy: f.Entropy, Class: class,
	}
	// Nothing behind the secret is kept: it may be the rest of it.
	if before, _, ok := strings.Cut(f.Match, f.Secret); ok && f.Secret != "" {
		before = strings.ToValidUTF8(before[max(0, len(before)-maxContext):], "")
		out.Match = evidence.RedactText(before, secrets) + evidence.Redacted
	}
	for _, tag := range f.Tags {
		if encoding, ok := strings.CutPrefix(tag, "decoded:"); ok {
			out.EncodingPath = append(out.EncodingPath, encoding)
			out.LocationApproximate = true
		}
	}
	return out
}

// sort orders findings and skipped files, and removes repetitions: rules of
// paths match once per fragment.
func (p *Predicate) sort() {
	slices.SortStableFunc(p.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Location, b.Location), cmp.Compare(a.StartLine, b.StartLine),
			cmp.Compare(a.RuleID, b.RuleID), cmp.Compare(a.Secret["sha256"], b.Secret["sha256"]), slices.Compare(a.EncodingPath, b.EncodingPath))
	})
	p.Findings = slices.CompactFunc(p.Findings, func(a, b Finding) bool {
		return a.Location == b.Location && a.StartLine == b.StartLine && a.RuleID == b.RuleID &&
			a.Secret["sha256"] == b.Secret["sha256"] && slices.Equal(a.EncodingPath, b.EncodingPath)
	})
	slices.SortStableFunc(p.NotScanned, func(a, b evidence.UnreadPath) int { return cmp.Compare(a.Path, b.Path) })
}
