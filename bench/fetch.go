package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// fetch downloads what the benchmarks install, with pip and the user's own
// configuration of it. Nothing else here uses the network, except the nightly
// run's checks of packages.
func fetch(ctx context.Context, s settings) error {
	if err := os.MkdirAll(s.wheels, 0o755); err != nil {
		return fmt.Errorf("make the directory of wheels: %w", err)
	}
	for _, args := range [][]string{
		{"--only-binary", ":all:", "requests", "pandas", "numpy", "scipy", "matplotlib", "setuptools", "wheel"},
		// An sdist's metadata may be made by its own code, so nothing but this one,
		// which builds with setuptools and has its metadata in place.
		{"--no-deps", "--no-binary", "markupsafe", "markupsafe"},
	} {
		command := exec.CommandContext(ctx, s.python, append([]string{"-m", "pip", "download", "--disable-pip-version-check", "--dest", s.wheels}, args...)...)
		command.Stdout, command.Stderr = s.talk, s.talk
		if err := command.Run(); err != nil {
			return fmt.Errorf("run %q: %w", command.Args, err)
		}
	}
	return nil
}

// fetched tells whether the directory of wheels has what the benchmarks need.
func (s settings) fetched() bool {
	for _, pattern := range []string{"requests-*.whl", "pandas-*.whl", "numpy-*.whl", "scipy-*.whl", "matplotlib-*.whl", "setuptools-*.whl", "markupsafe-*.tar.gz"} {
		if found, err := filepath.Glob(filepath.Join(s.wheels, pattern)); err != nil || len(found) == 0 {
			return false
		}
	}
	return true
}
