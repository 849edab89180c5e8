package testpkg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Kind is the kind of a distribution file.
type Kind string

// The kinds of distribution files.
const (
	KindWheel Kind = "wheel"
	KindSdist Kind = "sdist"
)

// Archive is a distribution file that can be built: a [Wheel] or an [Sdist].
type Archive interface {
	Filename() string
	Bytes() ([]byte, error)
}

// Package is one distribution of the catalogue.
type Package struct {
	// Name is the project name, unique in the catalogue; Version its version.
	Name, Version string
	Kind          Kind
	// Doc says in a sentence what the package is or does.
	Doc string
	// Modules are its top-level import names, sorted; empty means that it
	// ships none.
	Modules []string
	// Needs are packages of the catalogue that it requires: build them into
	// the same directory and install with --find-links.
	Needs []string
	// Archive is what Build writes.
	Archive Archive
}

// Build writes the distribution file into dir and returns its path.
func (p Package) Build(dir string) (string, error) {
	content, err := p.Archive.Bytes()
	if err != nil {
		return "", fmt.Errorf("build %q: %w", p.Name, err)
	}
	path := filepath.Join(dir, p.Archive.Filename())
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return "", fmt.Errorf("build %q: %w", p.Name, err)
	}
	return path, nil
}

// ErrUnknown is returned by [Find] for a name that is not in the catalogue.
var ErrUnknown = errors.New("no such test package")

// All returns the whole catalogue: honest, faulty, attacks.
func All() []Package {
	all := Honest()
	for _, f := range Faulty() {
		all = append(all, f.Package)
	}
	for _, a := range Attacks() {
		all = append(all, a.Package)
	}
	return append(all, KeyReadAndConnect().Package)
}

// Find returns the package of that name; the error matches [ErrUnknown] when
// the catalogue has none.
func Find(name string) (Package, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Package) bool { return p.Name == name })
	if i < 0 {
		return Package{}, fmt.Errorf("find %q: %w", name, ErrUnknown)
	}
	return all[i], nil
}

// wheelPackage describes a wheel for the catalogue.
func wheelPackage(doc string, w Wheel, modules ...string) Package {
	return Package{Name: w.Name, Version: w.Version, Kind: KindWheel, Doc: doc, Modules: modules, Archive: w}
}

// inTreePackage describes an sdist with a backend of its own for the catalogue.
func inTreePackage(doc string, t InTree, modules ...string) Package {
	return Package{
		Name: t.Wheel.Name, Version: t.Wheel.Version, Kind: KindSdist,
		Doc: doc, Modules: modules, Archive: t,
	}
}
