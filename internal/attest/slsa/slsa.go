// Package slsa attests the installation as SLSA provenance: what was asked,
// every file that went into the environment with digest and true location, and
// by what it was done. The predicate has the keys of the specification and no
// others (https://slsa.dev/spec/v1.0/provenance).
package slsa

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// Type is the predicate type of SLSA provenance, which is the attestation type.
const Type = "https://slsa.dev/provenance/v1"

// Build types: what externalParameters mean. An installation has requirements,
// requirementFiles, options and indexes; any other command has command.
const (
	BuildTypeInstall = "https://pip-witness.dev/build-types/pip-install/v1"
	BuildTypeCommand = "https://pip-witness.dev/build-types/command/v1"
)

// builderID stands for pip-witness run by whoever holds the signing key.
const builderID = "https://pip-witness.dev/builder/v1"

// Provenance is the predicate.
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is the input of the build.
type BuildDefinition struct {
	// BuildType is one of the constants of this package.
	BuildType string `json:"buildType"`
	// ExternalParameters are under the user's control, InternalParameters are not.
	ExternalParameters map[string]any `json:"externalParameters"`
	InternalParameters map[string]any `json:"internalParameters"`
	// ResolvedDependencies are sorted by name, then location.
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// RunDetails is who ran the build, and when.
type RunDetails struct {
	Builder    Builder    `json:"builder"`
	Metadata   Metadata   `json:"metadata"`
	Byproducts []Resource `json:"byproducts"`
}

// Builder is the trusted part that ran the build.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Metadata is of this run. Times are RFC 3339 in UTC, absent when not known.
type Metadata struct {
	// InvocationID is derived from step, times and command: the same evidence
	// gives the same id.
	InvocationID string     `json:"invocationId"`
	StartedOn    *time.Time `json:"startedOn,omitempty"`
	FinishedOn   *time.Time `json:"finishedOn,omitempty"`
}

// Resource is a resource descriptor of in-toto. At least one of URI, Digest and
// Content is there.
type Resource struct {
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
	Digest           map[string]string `json:"digest,omitempty"`
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	Annotations      map[string]any    `json:"annotations,omitempty"`
}

// Attestor returns the catalogue entry. Its predicate is a [Provenance].
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "slsa", Type: Type, Run: run}
}

func run(_ context.Context, in *attest.Input) (any, error) {
	name, version, _ := strings.Cut(in.Builder, " ")
	p := Provenance{
		BuildDefinition: BuildDefinition{
			BuildType:            BuildTypeCommand,
			ExternalParameters:   map[string]any{"command": list(in.Command.Cmd)},
			InternalParameters:   internal(in),
			ResolvedDependencies: []Resource{},
		},
		RunDetails: RunDetails{
			Builder:    Builder{ID: builderID},
			Metadata:   metadata(in),
			Byproducts: []Resource{},
		},
	}
	if version != "" {
		p.RunDetails.Builder.Version = map[string]string{name: version}
	}
	if in.Install == nil {
		return p, nil
	}
	p.BuildDefinition.BuildType = BuildTypeInstall
	p.BuildDefinition.ExternalParameters = external(in.Install)
	deps, err := dependencies(in)
	if err != nil {
		p.BuildDefinition.InternalParameters["installedFilesUnknown"] = err.Error()
	}
	p.BuildDefinition.ResolvedDependencies = deps
	if len(in.Install.Report) > 0 {
		sum := sha256.Sum256(in.Install.Report)
		p.RunDetails.Byproducts = append(p.RunDetails.Byproducts, Resource{
			Name: "installation report", Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}, MediaType: "application/json",
		})
	}
	return p, nil
}

// list makes an absent list an empty one.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func external(in *evidence.Installation) map[string]any {
	return map[string]any{
		"requirements":     list(in.Requirements),
		"requirementFiles": list(in.RequirementFiles),
		"options":          list(in.Options),
		"index":            list(in.Indexes),
	}
}

// internal states the level that the run can honestly claim and what the
// observation rests on.
func internal(in *attest.Input) map[string]any {
	out := map[string]any{
		"slsaBuildLevel": 1,
		"slsaBuildLevelReason": "provenance exists and names every input; it is signed by the machine that ran the installation, " +
			"not by a hosted build platform, so no higher build level is claimed",
		"step":     in.Step,
		"command":  list(in.Command.Cmd),
		"exitCode": in.Command.ExitCode,
		"capture": map[string]any{
			"backend":  in.Command.Coverage.Backend,
			"complete": in.Command.Coverage.Complete,
			"sandbox":  in.Command.Coverage.Sandbox.Kind,
			"network":  in.Command.Coverage.Sandbox.Network,
		},
	}
	if in.Install != nil {
		i := in.Install.Interpreter
		out["python"] = map[string]any{
			"executable": i.Executable, "version": i.Version, "implementation": i.Implement, "platform": i.Platform,
		}
		out["pip"] = i.PipVersion
		out["subjects"] = "the distribution files that were installed, or what was obtained for them; this is the provenance of the " +
			"installation, and says nothing of how the files were built"
	}
	return out
}

func metadata(in *attest.Input) Metadata {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %q", in.Step, in.Started.UnixNano(), in.Finished.UnixNano(), in.Command.Cmd)
	m := Metadata{InvocationID: hex.EncodeToString(h.Sum(nil))}
	if !in.Started.IsZero() {
		t := in.Started.UTC()
		m.StartedOn = &t
	}
	if !in.Finished.IsZero() {
		t := in.Finished.UTC()
		m.FinishedOn = &t
	}
	return m
}

// dependencies are the files that were served, the files that the user gave,
// the checkouts, the interpreter and the installer. With an error they are all
// there, but which of them were installed is not known.
func dependencies(in *attest.Input) ([]Resource, error) {
	roles, checkouts, err := installed(in)
	unused := "build requirement or not installed"
	if err != nil {
		unused = "not known"
	}
	out := checkouts
	for _, d := range in.Install.Downloads {
		if d.Metadata {
			continue
		}
		r := Resource{Name: d.Filename, URI: purl(d.Filename), Digest: sha(d.Digests), DownloadLocation: pypi.WithoutCredentials(d.URL),
			Annotations: map[string]any{"role": cmp.Or(roles[d.Digests["sha256"]], unused)}}
		if d.Index != "" {
			r.Annotations["index"] = d.Index
		}
		if d.UploadTime != "" {
			r.Annotations["uploadTime"] = d.UploadTime
		}
		if r.URI == "" {
			r.URI = r.DownloadLocation
		}
		out = append(out, r)
	}
	for _, f := range in.Install.LocalFiles {
		role := "installed"
		if f.Kind == "requirements" || f.Kind == "constraints" {
			role = f.Kind
		}
		out = append(out, Resource{Name: path.Base(f.Path), URI: fileURI(f.Path), Digest: sha(f.Digests),
			Annotations: map[string]any{"role": role, "kind": f.Kind}})
	}
	out = append(out, tools(in.Install.Interpreter)...)
	slices.SortStableFunc(out, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.URI, b.URI), cmp.Compare(a.DownloadLocation, b.DownloadLocation), cmp.Compare(a.Digest["sha256"], b.Digest["sha256"]))
	})
	return slices.CompactFunc(out, func(a, b Resource) bool {
		return a.Name == b.Name && a.DownloadLocation == b.DownloadLocation && a.Digest["sha256"] == b.Digest["sha256"] && a.URI == b.URI
	}), err
}

// installed tells by digest which files ended up in the environment, and gives
// the checkouts. The error says why that cannot be told.
func installed(in *attest.Input) (roles map[string]string, checkouts []Resource, err error) {
	roles = map[string]string{}
	env, err := pypi.Installed(in.Layout)
	if err != nil {
		return roles, nil, err
	}
	var report *pypi.Report
	if len(in.Install.Report) > 0 {
		r, err := pypi.ParseReport(in.Install.Report)
		if err != nil {
			return roles, nil, err
		}
		report = &r
	}
	for _, d := range env.Distributions {
		o := pypi.OriginOf(d, in.Install, report)
		switch {
		case o.Kind == pypi.OriginVCS:
			r := Resource{Name: d.Name, URI: o.VCS + "+" + o.URL + "@" + o.Commit, Annotations: map[string]any{"role": "installed"}}
			if o.VCS == "git" && len(o.Commit) == 40 {
				r.Digest = map[string]string{"gitCommit": o.Commit}
			}
			checkouts = append(checkouts, r)
		case o.Download != nil:
			roles[o.Digests["sha256"]] = "installed"
		}
	}
	return roles, checkouts, nil
}

func tools(i evidence.Interpreter) []Resource {
	var out []Resource
	if i.Executable != "" {
		out = append(out, Resource{Name: "python", URI: fileURI(i.Executable), Digest: sha(i.Digest),
			Annotations: map[string]any{"role": "interpreter", "version": i.Version}})
	}
	if i.PipVersion != "" {
		out = append(out, Resource{Name: "pip", URI: packageurl.NewPackageURL(packageurl.TypePyPi, "", "pip", i.PipVersion, nil, "").ToString(),
			Annotations: map[string]any{"role": "installer"}})
	}
	return out
}

// sha keeps the digests whose name and form a resource descriptor knows.
func sha(d evidence.DigestSet) map[string]string {
	if d["sha256"] == "" {
		return nil
	}
	return map[string]string{"sha256": d["sha256"]}
}

// purl is the package URL that a distribution file name stands for, "" when it
// is none.
func purl(filename string) string {
	name, version, _, ok := pypi.FileIdentity(filename)
	if !ok {
		return ""
	}
	return packageurl.NewPackageURL(packageurl.TypePyPi, "", name, version.String(), nil, "").ToString()
}

// fileURI is a file URI; a relative path stays relative, as the user gave it.
func fileURI(p string) string {
	escaped := (&url.URL{Path: p}).EscapedPath()
	if path.IsAbs(p) {
		return "file://" + escaped
	}
	return "file:" + escaped
}
