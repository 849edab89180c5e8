package pipinstall

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// Limits on one source distribution.
const (
	maxSdistBytes   = 1 << 30 // 1 GiB unpacked
	maxSdistMembers = 200_000
	maxBuildFile    = 4 << 20  // 4 MiB: setup.py, pyproject.toml and the like
	maxBuildBytes   = 64 << 20 // 64 MiB: all of them
	maxSourceFile   = 64 << 20 // 64 MiB: a source file that is compared
)

// sources examines the build of everything that was built here and whose source
// is at hand; the rest is said not to be.
func (c *collector) sources(ctx context.Context) error {
	for i, d := range c.env.Distributions {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := c.origins[i]
		if o.Kind != pypi.OriginSdist && o.Kind != pypi.OriginDirectory && o.Kind != pypi.OriginVCS {
			continue
		}
		p := &c.predicate.Packages[i]
		if err := c.source(ctx, d, o, p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if c.sawSetupPy(d.Key) {
				yes := true
				p.HasSetupPy = &yes
			}
			c.notExamined("setupPyAnalysis and pyprojectAnalysis of "+d.Key, "%v", err)
		}
	}
	return nil
}

// source examines the source of one distribution.
func (c *collector) source(ctx context.Context, d pypi.Distribution, o pypi.Origin, p *Package) error {
	visit, done, err := c.sourceOf(o)
	if err != nil {
		return err
	}
	defer done()
	b := &build{c: c, key: d.Key, files: map[string][]byte{}}
	if err := visit(ctx, b.collect); err != nil {
		return err
	}
	b.read()
	sum := sourceDigests{byPath: map[string]string{}, digests: map[string]bool{}}
	err = visit(ctx, func(name string, size int64, r io.Reader) error {
		if !strings.HasSuffix(name, ".py") {
			return nil
		}
		if size > maxSourceFile {
			c.notExamined("packages[].sourceComparison of "+d.Key, "%q has %d bytes", clip(name), size)
			return nil
		}
		h := sha256.New()
		if b.wants(name, size) {
			content, err := limitedRead(r, name)
			if err != nil {
				return err
			}
			b.hook(name, content)
			h.Write(content)
		} else if _, err := io.Copy(h, r); err != nil {
			return fmt.Errorf("read %q: %w", name, err)
		}
		sum.add(name, hex.EncodeToString(h.Sum(nil)))
		return nil
	})
	if err != nil {
		return err
	}
	b.write(p)
	if o.Kind == pypi.OriginSdist {
		p.SourceComparison = c.compareSource(d, sum)
	}
	return nil
}

// visitor calls a function for every regular file of a source tree, by its path
// below the top directory.
type visitor func(ctx context.Context, file func(name string, size int64, r io.Reader) error) error

// sourceOf opens the source of a distribution: a directory, the user's own sdist,
// or the one that the gateway kept.
func (c *collector) sourceOf(o pypi.Origin) (visit visitor, done func(), err error) {
	if o.Local != nil && o.Local.Kind == "directory" {
		root, err := openGiven(o.Local.SandboxPath)
		if err != nil {
			return nil, nil, fmt.Errorf("open the directory: %w", err)
		}
		return func(ctx context.Context, file func(string, int64, io.Reader) error) error {
				return visitDirectory(ctx, root, file)
			},
			func() { root.Close() }, nil
	}
	f, size, err := c.distributionFile(o)
	if err != nil {
		return nil, nil, err
	}
	done = func() { f.Close() }
	switch {
	case strings.HasSuffix(o.Filename, ".zip"):
		return func(ctx context.Context, file func(string, int64, io.Reader) error) error {
			return visitZip(ctx, f, size, file)
		}, done, nil
	case strings.HasSuffix(o.Filename, ".tar.gz"), strings.HasSuffix(o.Filename, ".tgz"):
		return func(ctx context.Context, file func(string, int64, io.Reader) error) error {
			return visitTar(ctx, f, file)
		}, done, nil
	}
	done()
	return nil, nil, fmt.Errorf("archives like %q are not read", o.Filename)
}

// sameDigest makes sure that the file at hand is the one that was installed.
func sameDigest(f *os.File, want evidence.DigestSet) error {
	if want["sha256"] == "" {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read the distribution file: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want["sha256"] {
		return fmt.Errorf("the distribution file has sha256 %s now, had %s when it was installed", got, want["sha256"])
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// visitDirectory visits a directory of the user's. What lies in directories that
// builds and version control leave is not source.
func visitDirectory(ctx context.Context, root *os.Root, file func(string, int64, io.Reader) error) error {
	n := 0
	return fs.WalkDir(root.FS(), ".", func(p string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch path.Base(p) {
			case ".git", ".hg", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", "build", "dist":
				return fs.SkipDir
			}
			return nil
		}
		if n++; n > maxSdistMembers {
			return fmt.Errorf("read the directory: more than %d files", maxSdistMembers)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		f, err := pypi.OpenFile(root, p)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("read %q: %w", p, err)
		}
		return file(p, info.Size(), io.LimitReader(f, maxSourceFile))
	})
}

func visitTar(ctx context.Context, f attest.DistributionFile, file func(string, int64, io.Reader) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the sdist: %w", err)
	}
	gz, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read the sdist: %w", err)
	}
	limited := &io.LimitedReader{R: gz, N: maxSdistBytes}
	tr := tar.NewReader(limited)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && n >= maxSdistMembers {
			err = fmt.Errorf("more than %d members", maxSdistMembers)
		}
		if err != nil && limited.N <= 0 {
			err = fmt.Errorf("more than %d bytes", maxSdistBytes)
		}
		if err != nil {
			return fmt.Errorf("read the sdist: %w", err)
		}
		if name, ok := belowTop(h.Name); ok && h.Typeflag == tar.TypeReg {
			if err := file(name, h.Size, tr); err != nil {
				return err
			}
		}
	}
}

func visitZip(ctx context.Context, f io.ReaderAt, size int64, file func(string, int64, io.Reader) error) error {
	z, err := pypi.ReadZip(f, size)
	if err != nil {
		return fmt.Errorf("read the sdist: %w", err)
	}
	var total uint64
	for i := range z.Members {
		m := &z.Members[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		name, ok := belowTop(m.Name)
		if !ok || m.Dir() || m.Mode&fs.ModeType != 0 {
			continue
		}
		r, err := z.Open(m)
		if err != nil {
			return fmt.Errorf("read the sdist: %w", err)
		}
		if total += min(m.Uncompressed, maxSdistBytes+1); total > maxSdistBytes {
			return fmt.Errorf("read the sdist: more than %d bytes", maxSdistBytes)
		}
		if err := file(name, int64(m.Uncompressed), io.LimitReader(r, int64(m.Uncompressed))); err != nil {
			return err
		}
	}
	return nil
}

// belowTop returns the path of a member of an sdist below its top directory.
func belowTop(member string) (string, bool) {
	top, rest, ok := strings.Cut(strings.TrimPrefix(path.Clean(strings.TrimPrefix(member, "./")), "/"), "/")
	return rest, ok && top != ".." && rest != ""
}

func limitedRead(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBuildFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if len(data) > maxBuildFile {
		return nil, fmt.Errorf("read %q: more than %d bytes", name, maxBuildFile)
	}
	return data, nil
}

// sawSetupPy reports whether any process opened the setup.py of a project in
// one of the directories in which the installer unpacks sdists
// ("…/pip-install-xxxx/<name>_<32 hex digits>/setup.py").
func (c *collector) sawSetupPy(key string) bool {
	for _, p := range c.in.Command.Processes {
		for file := range p.OpenedFiles {
			dir, base := path.Split(file)
			if base != "setup.py" || !strings.Contains(dir, "/pip-install-") {
				continue
			}
			unpacked := path.Base(dir)
			if i := strings.LastIndexByte(unpacked, '_'); i > 0 && len(unpacked)-i == 33 && pypi.Normalize(unpacked[:i]) == key {
				return true
			}
		}
	}
	return false
}

// SourceComparison compares the Python files that were installed with those of the
// sdist they were built from. Paths are absolute and sorted.
type SourceComparison struct {
	// Same is the number of files with the content of a file of the sdist.
	Same int `json:"same"`
	// Changed have the place of a file of the sdist and another content; Added have
	// neither: the build made them.
	Changed []string `json:"changed"`
	Added   []string `json:"added"`
}

// sourceDigests are the digests of the Python files of an sdist.
type sourceDigests struct {
	byPath  map[string]string
	digests map[string]bool
}

func (s *sourceDigests) add(name, digest string) {
	s.byPath[name] = digest
	s.digests[digest] = true
}

func (c *collector) compareSource(d pypi.Distribution, sum sourceDigests) *SourceComparison {
	if c.in.After == nil {
		return nil // said in recordChecks
	}
	out := &SourceComparison{Changed: []string{}, Added: []string{}}
	for _, e := range d.Record {
		p, ok := e.Inside()
		if !ok || !strings.HasSuffix(p, ".py") {
			continue
		}
		full := path.Join(d.Location, p)
		digest := c.in.After.Files[follow(c.in.After, full)].Digests["sha256"]
		switch {
		case digest == "": // missing or unread: see RecordCheck
		case sum.digests[digest]:
			out.Same++
		case sum.byPath[p] != "" || sum.byPath["src/"+p] != "" || sum.byPath["lib/"+p] != "":
			out.Changed = append(out.Changed, full)
		default:
			out.Added = append(out.Added, full)
		}
	}
	out.Changed = cut(c, "packages[].sourceComparison.changed of "+d.Key, out.Changed)
	out.Added = cut(c, "packages[].sourceComparison.added of "+d.Key, out.Added)
	return out
}
