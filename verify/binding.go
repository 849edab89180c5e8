package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pip-witness/attestation"
	"pip-witness/policy"
)

// emptyDigest is the SHA-256 of nothing; empty files are subjects of everything
// and bind nothing.
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// bindingAlgorithms are digests that identify content. SHA-1 stands only where
// it is a commit's name.
func bindingAlgorithms() []string {
	return []string{"sha256", "sha384", "sha512", "gitoid:sha256", "gitCommit", "gitTree", "dirHash"}
}

// bind chooses the collections that the step reads. It reports what does not
// belong together (a source of other subjects, an artifact that is none of the
// subjects, materials that differ from the artifacts they come from), and apart
// from that the sources that are absent.
func (v *verifier) bind(o *outcome) (problems, absent []string) {
	c := o.collection
	if len(c.subjects) == 0 {
		problems = append(problems, "the collection has no subject")
	}
	for _, a := range v.req.Artifacts {
		if !shareSubject(c.subjects, []attestation.Subject{a}) {
			problems = append(problems, fmt.Sprintf("artifact %q (sha256 %s) is not a subject of step %q", a.Name, a.Digest["sha256"], o.step.Name))
		}
	}
	for _, name := range o.step.Sources() {
		candidates := v.outcomes[name]
		i := slices.IndexFunc(candidates, func(s *outcome) bool { return shareSubject(c.subjects, s.collection.subjects) })
		switch {
		case i >= 0:
			o.sources[name] = candidates[i].collection
		case len(candidates) > 0:
			problems = append(problems, fmt.Sprintf("it shares no subject with the evidence of step %q, which it reads: they are not of one run", name))
		default:
			absent = append(absent, fmt.Sprintf("there is no accepted evidence of step %q, which it reads", name))
		}
	}
	for _, name := range o.step.ArtifactsFrom {
		if s := o.sources[name]; s != nil {
			problems = append(problems, compareArtifacts(c, s, name)...)
		}
	}
	return problems, absent
}

// shareSubject reports whether two subject lists have an artifact in common.
func shareSubject(a, b []attestation.Subject) bool {
	digests := map[string]bool{}
	for _, s := range a {
		for _, alg := range bindingAlgorithms() {
			if d := s.Digest[alg]; d != "" && d != emptyDigest {
				digests[alg+":"+d] = true
			}
		}
	}
	for _, s := range b {
		for _, alg := range bindingAlgorithms() {
			if digests[alg+":"+s.Digest[alg]] {
				return true
			}
		}
	}
	return false
}

// compareArtifacts reports the materials of c that source had in another state.
func compareArtifacts(c, source *collection, name string) []string {
	materials, err := c.artifacts("material")
	if err != nil {
		return []string{err.Error()}
	}
	before, err := source.artifacts("material")
	if err != nil {
		return []string{err.Error()}
	}
	products, err := source.artifacts("product")
	if err != nil {
		return []string{err.Error()}
	}
	maps.Copy(before, products)
	var problems []string
	for _, path := range slices.Sorted(maps.Keys(materials)) {
		if want, ok := before[path]; ok && want != materials[path] {
			problems = append(problems, fmt.Sprintf("material %q is not what step %q left", path, name))
		}
	}
	return problems
}

// artifacts are the SHA-256 digests by path of a material or product predicate.
func (c *collection) artifacts(short string) (map[string]string, error) {
	out := map[string]string{}
	i := c.named(short)
	if i < 0 {
		return out, nil
	}
	var raw map[string]struct {
		SHA256 string            `json:"sha256"`
		Digest map[string]string `json:"digest"`
	}
	if err := json.Unmarshal(c.Attestations[i].Attestation, &raw); err != nil {
		return nil, fmt.Errorf("read %s of %q: %w", short, c.Name, err)
	}
	for path, a := range raw {
		if d := a.SHA256 + a.Digest["sha256"]; d != "" {
			out[path] = d
		}
	}
	return out, nil
}

// packages lists what the pip-install attestation says was installed. Of its
// files those count that are subjects of the collection; without a list of files
// (other writers of the attestation) the subjects with a fitting name.
func packages(c *collection) []policy.Package {
	out := []policy.Package{}
	i := c.named("pip-install")
	if i < 0 {
		return out
	}
	var p struct {
		Packages []struct {
			Name    string        `json:"name"`
			Version string        `json:"version"`
			Files   []policy.File `json:"files"`
		} `json:"packages"`
	}
	if json.Unmarshal(c.Attestations[i].Attestation, &p) != nil {
		return out
	}
	for _, x := range p.Packages {
		pkg := policy.Package{Name: x.Name, Version: x.Version, Files: []policy.File{}}
		for _, s := range c.subjects {
			sum := s.Digest["sha256"]
			at := slices.IndexFunc(x.Files, func(f policy.File) bool { return f.SHA256 == sum })
			switch {
			case sum == "":
			case at >= 0:
				pkg.Files = append(pkg.Files, x.Files[at])
			case len(x.Files) == 0 && policy.IsDistribution(s.Name, x.Name, x.Version):
				pkg.Files = append(pkg.Files, policy.File{Filename: s.Name, SHA256: sum})
			}
		}
		out = append(out, pkg)
	}
	return out
}
