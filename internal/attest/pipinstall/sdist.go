package pipinstall

import (
	"archive/tar"
	"archive/zip"
	"bytes"
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
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// Limits on one source distribution.
const (
	maxSdistBytes   = 1 << 30 // 1 GiB unpacked
	maxSdistMembers = 200_000
	maxBuildFile    = 4 << 20 // 4 MiB: setup.py or pyproject.toml
)

// sources examines setup.py and pyproject.toml of everything that was built
// here and whose source is at hand; the rest is said not to be.
func (c *collector) sources(ctx context.Context) error {
	for i, d := range c.env.Distributions {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := c.origins[i]
		if o.Kind != pypi.OriginSdist && o.Kind != pypi.OriginDirectory && o.Kind != pypi.OriginVCS {
			continue
		}
		files, err := c.buildFiles(o)
		p := &c.predicate.Packages[i]
		if err != nil {
			if c.sawSetupPy(d.Key) {
				yes := true
				p.HasSetupPy = &yes
			}
			c.notExamined("setupPyAnalysis and pyprojectAnalysis of "+d.Key, "%v", err)
			continue
		}
		c.analyseBuild(d.Key, p, files)
	}
	return nil
}

// buildFiles returns setup.py and pyproject.toml of a local sdist or directory
// by name; absent ones are absent.
func (c *collector) buildFiles(o pypi.Origin) (map[string][]byte, error) {
	if o.Local != nil && o.Local.Kind == "directory" {
		root, err := pypi.OpenDir(c.in.Layout, o.Local.SandboxPath)
		if err != nil {
			return nil, fmt.Errorf("open the directory: %w", err)
		}
		defer root.Close()
		return directoryFiles(root)
	}
	f, size, err := c.distributionFile(o)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return archiveFiles(f, size, o.Filename)
}

// sameDigest makes sure that the file at hand is the one that was installed.
func sameDigest(f *os.File, want evidence.DigestSet) error {
	if want["sha256"] == "" {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read the sdist: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want["sha256"] {
		return fmt.Errorf("the sdist has sha256 %s now, had %s when it was installed", got, want["sha256"])
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

func directoryFiles(root *os.Root) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range []string{"setup.py", "pyproject.toml"} {
		data, err := pypi.ReadFile(root, name, maxBuildFile)
		switch {
		case err == nil:
			out[name] = data
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return out, nil
}

// archiveFiles reads the two files from the single top directory of an sdist.
func archiveFiles(f attest.DistributionFile, size int64, filename string) (map[string][]byte, error) {
	if strings.HasSuffix(filename, ".zip") {
		return zipFiles(f, size)
	}
	if !strings.HasSuffix(filename, ".tar.gz") && !strings.HasSuffix(filename, ".tgz") {
		return nil, fmt.Errorf("archives like %q are not read", filename)
	}
	gz, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read the sdist: %w", err)
	}
	limited := &io.LimitedReader{R: gz, N: maxSdistBytes}
	tr := tar.NewReader(limited)
	out := map[string][]byte{}
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil && n >= maxSdistMembers {
			err = fmt.Errorf("more than %d members", maxSdistMembers)
		}
		if err != nil && limited.N <= 0 {
			err = fmt.Errorf("more than %d bytes", maxSdistBytes)
		}
		if err != nil {
			return nil, fmt.Errorf("read the sdist: %w", err)
		}
		if name, ok := buildFileName(h.Name); ok && h.Typeflag == tar.TypeReg {
			if out[name], err = limitedRead(tr, h.Name); err != nil {
				return nil, err
			}
		}
	}
}

func zipFiles(f io.ReaderAt, size int64) (map[string][]byte, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("read the sdist: %w", err)
	}
	if len(z.File) > maxSdistMembers {
		return nil, fmt.Errorf("read the sdist: more than %d members", maxSdistMembers)
	}
	out := map[string][]byte{}
	for _, m := range z.File {
		name, ok := buildFileName(m.Name)
		if !ok {
			continue
		}
		r, err := m.Open()
		if err != nil {
			return nil, fmt.Errorf("read the sdist: %w", err)
		}
		out[name], err = limitedRead(r, m.Name)
		r.Close()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// buildFileName reports whether a member is setup.py or pyproject.toml right
// below the top directory.
func buildFileName(member string) (string, bool) {
	dir, name := path.Split(path.Clean(strings.TrimPrefix(member, "./")))
	top := strings.TrimSuffix(dir, "/")
	return name, (name == "setup.py" || name == "pyproject.toml") && top != "" && top != ".." && !strings.Contains(top, "/")
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

func (c *collector) analyseBuild(key string, p *Package, files map[string][]byte) {
	setup, has := files["setup.py"]
	p.HasSetupPy = &has
	command := false
	if has {
		facts := readSource(setup)
		command = facts.command
		c.predicate.SetupPyAnalysis = append(c.predicate.SetupPyAnalysis, setupFacts(key, facts))
	}
	p.HasCmdClass = &command
	if data, ok := files["pyproject.toml"]; ok {
		c.predicate.PyprojectAnalysis = append(c.predicate.PyprojectAnalysis, buildSystem(key, data))
	}
}

func setupFacts(key string, f sourceFacts) SetupPy {
	s := SetupPy{
		Path: "setup.py", Package: key,
		SuspiciousCalls: lines(f.calls, isSuspiciousCall), NetworkImports: lines(f.imports, isNetworkModule),
		FileOperations: lines(f.files, nil), EncodedLines: lines(f.encoded, nil),
	}
	s.EncodedPayloads = len(s.EncodedLines) > 0
	return s
}

// lines renders the observations that pass the filter as "line N: what".
func lines(list []observation, keep func(string) bool) []string {
	out := []string{}
	for _, o := range list {
		if keep == nil || keep(o.what) {
			out = append(out, fmt.Sprintf("line %d: %s%s", o.line, o.what, suffix(o)))
		}
	}
	return slices.Compact(out)
}

func suffix(o observation) string {
	switch {
	case o.deferred:
		return " (in a function)"
	case o.through != "":
		return " (in a function that runs at import: " + clip(o.through) + ")"
	}
	return ""
}

// buildSystem reads the [build-system] table (PEP 518 and 517).
func buildSystem(key string, data []byte) Pyproject {
	p := Pyproject{Package: key, Path: "pyproject.toml", BuildRequires: []string{}}
	var doc struct {
		BuildSystem struct {
			Requires    []string `toml:"requires"`
			Backend     string   `toml:"build-backend"`
			BackendPath []string `toml:"backend-path"`
		} `toml:"build-system"`
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
		p.Error = fmt.Sprintf("parse pyproject.toml: %v", err)
		return p
	}
	p.BuildBackend, p.BackendPath = doc.BuildSystem.Backend, doc.BuildSystem.BackendPath
	p.BuildRequires = list(doc.BuildSystem.Requires)
	p.IsCustomBackend = len(p.BackendPath) > 0 || p.BuildBackend != "" && !knownBackend(p.BuildBackend)
	return p
}

// knownBackend reports whether a build backend is in wide use.
func knownBackend(name string) bool {
	switch module, _, _ := strings.Cut(name, ":"); module {
	case "setuptools.build_meta", "flit_core.buildapi", "flit.buildapi", "flit_scm", "hatchling.build", "hatchling.ouroboros", "pdm.backend",
		"pdm.pep517.api", "poetry.core.masonry.api", "poetry.masonry.api", "poetry_dynamic_versioning.backend", "maturin", "mesonpy",
		"scikit_build_core.build", "scikit_build_core.setuptools.build_meta", "uv_build", "sipbuild.api",
		"jupyter_packaging.build_api", "whey", "enscons.api", "py_build_cmake.build", "setuptools_rust", "trampolim", "expandvars":
		return true
	}
	return false
}
