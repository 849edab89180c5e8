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
// at most some 125 kB, and of an archive in an archive the bytes of the inner one.
const workers = 2

// fragmentSize is how much gitleaks reads at a time, before it looks for an empty
// line to end a fragment at.
const fragmentSize = 100_000 // bytes

// scanned is the result of one file and of what is in it.
type scanned struct {
	findings []Finding
	skipped  string // why it was not scanned, or not to its end
	// members counts what was scanned in an archive, notScanned says what was not.
	members    Count
	notScanned []evidence.UnreadPath
}

// scan scans files, and adds what is found in their order. Of files that are the
// same to every rule one is read.
func (p *Predicate) scan(ctx context.Context, s *scanner, layout attest.Layout, tree *evidence.Tree, files []string) error {
	first := s.repetitions(tree, files)
	results := make([]scanned, len(files))
	spare := make([]bool, len(files)) // archives, for later
	next := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			w := newWorker(s, 0)
			for i := range next {
				results[i], spare[i] = w.file(ctx, layout, files[i])
			}
		})
	}
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		if first[i] == i {
			next <- i
		}
	}
	close(next)
	wait.Wait()
	// Archives share a bound, so they are scanned one after the other: what is cut
	// is the same each time.
	last := newWorker(s, maxUnpacked)
	for i := range files {
		if spare[i] && ctx.Err() == nil {
			results[i], _ = last.file(ctx, layout, files[i])
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, file := range files {
		p.add(results[first[i]].at(files[first[i]], file), file, tree.Files[file].Size)
	}
	return nil
}

// repetitions returns for each file the first one that has the same content and
// that no rule can tell from it by its path.
func (s *scanner) repetitions(tree *evidence.Tree, files []string) []int {
	seen := make(map[string][]int) // by digest
	first := make([]int, len(files))
	for i, file := range files {
		first[i] = i
		digest := tree.Files[file].Digests["sha256"]
		if digest == "" {
			continue
		}
		same := func(j int) bool { return s.pathClass(files[j]) == s.pathClass(file) }
		if at := slices.IndexFunc(seen[digest], same); at >= 0 {
			first[i] = seen[digest][at]
			continue
		}
		seen[digest] = append(seen[digest], i)
	}
	return first
}

// pathClass says which of the expressions that rules have for paths match one.
func (s *scanner) pathClass(file string) string {
	var class []byte
	for i, re := range s.paths {
		if re.MatchString(file) {
			class = append(class, byte(i), byte(i>>8))
		}
	}
	return string(class)
}

// at is the result for a file of the same content.
func (r scanned) at(from, to string) scanned {
	if from == to {
		return r
	}
	r.findings = slices.Clone(r.findings)
	for i := range r.findings {
		r.findings[i].Location = to + strings.TrimPrefix(r.findings[i].Location, from)
	}
	r.notScanned = slices.Clone(r.notScanned)
	for i := range r.notScanned {
		r.notScanned[i].Path = to + strings.TrimPrefix(r.notScanned[i].Path, from)
	}
	return r
}

// add adds the result of one file.
func (p *Predicate) add(r scanned, file string, size int64) {
	if r.skipped != "" {
		p.skip(file, r.skipped)
	} else {
		p.Scanned.Files++
		p.Scanned.Bytes += size
	}
	p.InArchives.Files += r.members.Files
	p.InArchives.Bytes += r.members.Bytes
	p.NotScanned = append(p.NotScanned, r.notScanned...)
	if room := maxFindings - len(p.Findings); len(r.findings) > room {
		p.skip(file, fmt.Sprintf("%d more findings, the limit is %d", len(r.findings)-room, maxFindings))
		r.findings = r.findings[:room]
	}
	p.Findings = append(p.Findings, r.findings...)
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

// worker scans one file at a time.
type worker struct {
	scanner *scanner
	classes map[string]Class
	buffer  []byte
	unpack  bool
	left    int64 // bytes that may yet be unpacked
}

// newWorker returns one that unpacks archives of so many bytes; with 0 it leaves
// them to another.
func newWorker(s *scanner, unpacked int64) *worker {
	return &worker{scanner: s, classes: s.classes(), buffer: make([]byte, fragmentSize), unpack: unpacked > 0, left: unpacked}
}

// file scans one installed file, or says that it is an archive for another worker.
func (w *worker) file(ctx context.Context, layout attest.Layout, file string) (out scanned, spare bool) {
	f, err := walk.Open(layout, file)
	if err != nil {
		return scanned{skipped: err.Error()}, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return scanned{skipped: err.Error()}, false
	}
	content := io.NewSectionReader(f, 0, min(info.Size(), maxFileSize))
	out.skipped = w.content(ctx, &out, file, content, 0)
	return out, out.skipped == reasonArchive
}

// reasonArchive stands for an archive that is left to another worker.
const reasonArchive = "an archive, to be scanned later"

// content scans what is under a name at a depth of archives, and says why it was
// not scanned, or not to its end.
func (w *worker) content(ctx context.Context, out *scanned, name string, r *io.SectionReader, depth int) string {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Sprintf("read: %v", err)
	}
	if kind := media(head[:n]); kind != "" {
		return "binary: " + kind
	}
	if open := archive(head[:n]); open != nil {
		if !w.unpack {
			return reasonArchive
		}
		return w.archive(ctx, out, name, r, depth, open)
	}
	return w.text(ctx, out, name, r, n == 0)
}

// text scans a file in gitleaks' own fragments.
func (w *worker) text(ctx context.Context, out *scanned, name string, r io.Reader, empty bool) string {
	fragments := 0
	// The path is withheld: by it gitleaks would leave out what only is named
	// like an archive. It is set again for the rules that ask for it.
	source := sources.File{Content: r, Buffer: w.buffer}
	err := source.Fragments(ctx, func(fragment sources.Fragment, err error) error {
		if err != nil {
			return err
		}
		fragments++
		fragment.FilePath = name
		all := w.scanner.find(fragment)
		secrets := make([]string, len(all))
		for i, found := range all {
			secrets[i] = found.Secret
		}
		for _, found := range all {
			out.findings = append(out.findings, newFinding(found, secrets, w.classes[found.RuleID], name))
		}
		if len(out.findings) > maxFindings {
			return errFull
		}
		return nil
	})
	switch {
	case err != nil:
		return err.Error()
	case fragments == 0 && !empty:
		return "binary: an archive or a program, by its first bytes"
	}
	return ""
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
