package testpkg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed" // for the text of the build backend
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Sdist is a source distribution to build (.tar.gz, PEP 625 name).
type Sdist struct {
	// Name and Version are as in [Wheel].
	Name, Version string
	// SetupPy and PyProject are the contents of setup.py and pyproject.toml;
	// an empty one is left out.
	SetupPy, PyProject string
	// Files maps paths below the top directory to their content.
	Files map[string]string
	// Requires and Metadata are as in [Wheel], for PKG-INFO.
	Requires, Metadata []string
}

// Filename returns the sdist's file name.
func (s Sdist) Filename() string { return s.stem() + ".tar.gz" }

// Bytes returns the archive. The same Sdist gives the same bytes.
func (s Sdist) Bytes() ([]byte, error) {
	files := maps.Clone(s.Files)
	if files == nil {
		files = map[string]string{}
	}
	files["PKG-INFO"] = coreMetadata(s.Name, s.Version, s.Requires, s.Metadata)
	if s.SetupPy != "" {
		files["setup.py"] = s.SetupPy
	}
	if s.PyProject != "" {
		files["pyproject.toml"] = s.PyProject
	}
	content, err := tarOf(s.stem(), files)
	if err != nil {
		return nil, fmt.Errorf("pack sdist %q: %w", s.Filename(), err)
	}
	return content, nil
}

func (s Sdist) stem() string { return escapeName(s.Name) + "-" + s.Version }

// Extension is an extension module that an in-tree build compiles.
type Extension struct {
	// Module is the dotted import name.
	Module string `json:"module"`
	// Source is the path of its C file below the sdist's top directory.
	Source string `json:"source"`
}

// InTree is an sdist that builds its wheel with a backend of its own, from what
// it carries: the build downloads nothing and needs no setuptools.
type InTree struct {
	// Wheel is what the build makes. Its Tag, Record and DistInfo have no effect.
	Wheel Wheel
	// Hook is Python code that runs at the start of build_wheel, in the sdist's
	// top directory; an empty one does nothing.
	Hook string
	// Sources maps paths below the top directory to C code.
	Sources map[string]string
	// Extensions are compiled from Sources with the interpreter's own compiler
	// and make the wheel one of this platform.
	Extensions []Extension
}

// Filename returns the sdist's file name.
func (t InTree) Filename() string { return t.Wheel.stem() + ".tar.gz" }

// Bytes returns the archive. The same InTree gives the same bytes.
func (t InTree) Bytes() ([]byte, error) {
	plan, err := json.MarshalIndent(map[string]any{
		"stem":         t.Wheel.stem(),
		"metadata":     t.Wheel.metadata(),
		"entry_points": t.Wheel.entryPoints(),
		"extensions":   append([]Extension{}, t.Extensions...),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe sdist %q: %w", t.Filename(), err)
	}
	files := map[string]string{
		"testpkg.json":                string(plan) + "\n",
		"_backend/testpkg_backend.py": backendSource,
	}
	if t.Hook != "" {
		files["_backend/hook.py"] = t.Hook
	}
	maps.Copy(files, t.Sources)
	for name, content := range t.Wheel.Files {
		files["src/"+name] = content
	}
	for name, content := range t.Wheel.Data {
		files["src/"+t.Wheel.stem()+".data/"+name] = content
	}
	return Sdist{
		Name:     t.Wheel.Name,
		Version:  t.Wheel.Version,
		Files:    files,
		Requires: t.Wheel.Requires,
		Metadata: t.Wheel.Metadata,
		PyProject: "[build-system]\nrequires = []\nbuild-backend = \"testpkg_backend\"\n" +
			"backend-path = [\"_backend\"]\n",
	}.Bytes()
}

// backendSource is never assigned; embedding allows variables only.
//
//go:embed backend.py
var backendSource string

func tarOf(top string, files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	archive := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     top + "/" + name,
			Size:     int64(len(files[name])),
			Mode:     0o644,
			ModTime:  packed(),
			Format:   tar.FormatPAX,
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("add %q: %w", name, err)
		}
		if _, err := archive.Write([]byte(files[name])); err != nil {
			return nil, fmt.Errorf("add %q: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
