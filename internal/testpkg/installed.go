package testpkg

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// LargeInstall are the projects of an install of pandas, numpy, scipy and
// matplotlib, by the names of their wheels: what benchmarks of attestors measure.
func LargeInstall() []string {
	return []string{
		"numpy", "scipy", "pandas", "matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver", "packaging",
		"pillow", "pyparsing", "python_dateutil", "tzdata",
	}
}

// Wheels returns the path of a wheel of each project among those that
// `go run ./bench fetch` keeps for benchmarks. Nothing is fetched.
func Wheels(projects []string) ([]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the wheels of benchmarks: %w", err)
	}
	var wheels []string
	for _, name := range projects {
		found, err := filepath.Glob(filepath.Join(cache, "pip-witness", "bench", name+"-*.whl"))
		if err != nil {
			return nil, fmt.Errorf("find a wheel of %q: %w", name, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no wheel of %q: `go run ./bench fetch` gets it", name)
		}
		wheels = append(wheels, slices.Max(found))
	}
	return wheels, nil
}

// Unpack writes the files of wheels into the site directory dir, as an installer
// does with those that have no data directories.
func Unpack(dir string, wheels []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack wheels: %w", err)
	}
	defer root.Close()
	for _, wheel := range wheels {
		if err := unpack(root, wheel); err != nil {
			return fmt.Errorf("unpack %q: %w", filepath.Base(wheel), err)
		}
	}
	return nil
}

func unpack(root *os.Root, wheel string) (err error) {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, entry := range archive.File {
		if entry.FileInfo().IsDir() {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(entry.Name)), 0o755); err != nil {
			return err
		}
		if err := writeEntry(root, entry); err != nil {
			return fmt.Errorf("entry %q: %w", entry.Name, err)
		}
	}
	return nil
}

func writeEntry(root *os.Root, entry *zip.File) (err error) {
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(filepath.FromSlash(entry.Name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
