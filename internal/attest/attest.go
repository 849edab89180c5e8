// Package attest is the catalogue of attestors. An attestor is a function from
// what was observed to one predicate; it reads files and recordings, runs no
// program, and never sees a key. Each one is a folder below this one and an
// entry in [List].
package attest

import (
	"context"
	"errors"
	"io"
	"time"

	"pip-witness/evidence"
)

// Input is what every attestor of a step may read. Fields that a step does not
// have are zero.
type Input struct {
	Step     string              // step name, e.g. "pip-install"
	Command  evidence.CommandRun // the finished recording, redacted
	Started  time.Time
	Finished time.Time
	// Install is what is known of the installation; nil for a step that
	// installed nothing.
	Install *evidence.Installation
	// Before and After are the trees under the trail's roots before and after
	// the command. Before is always set.
	Before, After *evidence.Tree
	// Layout maps paths inside the sandbox to files that can be read.
	Layout Layout
	// Builder names the program and its version, e.g. "pip-witness 0.1.0".
	Builder string
	// Environ is the environment that the user's own shell gave to pip-witness.
	Environ []string
	// TrustedRoot is what attestations of an index are verified against, in Sigstore's
	// JSON form; nil is the one that is shipped.
	TrustedRoot []byte
	// Popular are normalised names of projects that others may imitate; nil is the
	// list that is shipped.
	Popular []string
	// Vulnerabilities is what installed packages are looked up in.
	Vulnerabilities Vulnerabilities
	// Distribution opens a distribution file that was downloaded for this step, by
	// its SHA-256 in lower-case hex: what it opens has that digest. It is nil, or
	// returns an error, where the file was not kept. The caller closes it.
	Distribution func(sha256 string) (DistributionFile, error)
}

// Vulnerabilities says where known vulnerabilities and opinions on them are.
type Vulnerabilities struct {
	// Database is the archive of an OSV database, outside; empty when there is none.
	// Cache is a directory, outside, for its index; empty keeps none.
	Database, Cache string
	// VEX are OpenVEX documents of the user's.
	VEX []Document
}

// Document is a file of the user's that was read before anything ran.
type Document struct {
	Name    string // without directories
	Content []byte
}

// DistributionFile is a wheel or an sdist that can be read at any place.
type DistributionFile interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Layout maps paths inside the sandbox to paths outside.
type Layout struct {
	// Prefix, Home are absolute inside the sandbox.
	Prefix string
	Home   string
	// SitePackages are the site directories of Prefix, inside the sandbox.
	SitePackages []string
	// Mounts map a sandbox directory to the host directory that shows its
	// content, longest first; a path below none of them is the same outside.
	Mounts []Mount
}

// Mount is one mapping of Layout.
type Mount struct{ Inside, Outside string }

// SkippedError is returned by an attestor that has nothing to attest because a
// need is unmet.
type SkippedError struct{ Unmet string }

func (e *SkippedError) Error() string { return "skipped: " + e.Unmet }

// ErrNoTree is returned by attestors that need a tree walk that was not made.
var ErrNoTree = errors.New("no tree was recorded for this step")

// Attestor is one entry of the catalogue.
type Attestor struct {
	// Name is the short name: "sbom". Type is the attestation type URI.
	Name string
	Type string
	// Run returns the predicate, a value that marshals to JSON.
	Run func(ctx context.Context, in *Input) (any, error)
}
