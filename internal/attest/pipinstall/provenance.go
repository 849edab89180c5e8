package pipinstall

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"time"

	"pip-witness/evidence"
	"pip-witness/internal/history"
	"pip-witness/internal/provenance"
	"pip-witness/internal/pypi"
)

// statusOffered is of an earlier release whose object nobody asked for.
const statusOffered = "offered"

// readRoot reads the trusted root when an index sent anything to verify.
func (c *collector) readRoot() error {
	if c.in.Install == nil || len(c.in.Install.Provenances) == 0 {
		return nil
	}
	raw := c.in.TrustedRoot
	if raw == nil {
		raw = provenance.ShippedRoot()
	}
	var err error
	if c.root, err = provenance.NewRoot(raw); err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	c.predicate.TrustedRoot = &TrustedRoot{Shipped: c.in.TrustedRoot == nil, SHA256: hex.EncodeToString(sum[:])}
	return nil
}

// indexFacts records what the index says of a package's file, and what its
// attestations are worth.
func (c *collector) indexFacts(d pypi.Distribution, o pypi.Origin) {
	if o.Download == nil || o.Index == "" {
		return
	}
	p := PEP740{Package: d.Key, Version: d.Version, Filename: o.Filename, Status: string(provenance.NotOffered)}
	if o.Download.Provenance != "" {
		p.HasAttestation, p.AttestationURL = true, pypi.WithoutCredentials(o.Download.Provenance)
		j := c.judge(o.Filename, o.Digests["sha256"], o.Download.Provenance)
		p.Status, p.Reason, p.Attestations = string(j.outcome), j.reason, j.attestations
		if j.outcome == provenance.NotEvaluated {
			c.notExamined("pep740Verification of "+d.Key, "%s", j.reason)
		}
		if j.outcome == provenance.Verified {
			p.PublisherKind, p.Repository, p.Workflow = j.signed.Identity.Kind, j.signed.Identity.Repository, j.signed.Identity.Workflow
			p.SignerIdentity, p.Environment = j.signed.Identity.Subject, j.signed.Publisher.Environment
		}
		p.Earlier = c.compareEarlier(d, o, &j)
	} else {
		p.Earlier = c.compareEarlier(d, o, nil)
	}
	c.predicate.PEP740Verification = append(c.predicate.PEP740Verification, p)
	listing := c.listing(d.Key, o.Index)
	if listing == nil {
		c.notExamined("indexHistory of "+d.Key, "the index's page of the project is not known")
		return
	}
	if listing.Cut > 0 {
		c.notExamined("indexHistory of "+d.Key, "%d files and versions of the index's page were not kept", listing.Cut)
	}
	c.predicate.IndexHistory = append(c.predicate.IndexHistory, history.Of(*listing, d.Version, c.in.Started))
}

// listing is the page of a project on the index that its file came from.
func (c *collector) listing(project, index string) *evidence.IndexProject {
	for i := range c.in.Install.Projects {
		if p := &c.in.Install.Projects[i]; p.Name == project && p.Index == index {
			return p
		}
	}
	return nil
}

// judgement is what became of all attestations of one file.
type judgement struct {
	outcome      provenance.Outcome
	reason       string
	attestations []Attestation
	// signed is the first verified attestation; nil when there is none.
	signed *provenance.Result
}

// judge verifies what an index sent for a file.
func (c *collector) judge(filename, digest, location string) judgement {
	for _, p := range c.in.Install.Provenances {
		if p.Filename != filename || p.SHA256 != digest || p.URL != location {
			continue
		}
		if p.Body == nil {
			return judgement{outcome: provenance.NotEvaluated, reason: p.Unavailable}
		}
		return judged(c.root.VerifyObject(p.Body, provenance.Distribution{Filename: filename, SHA256: digest}))
	}
	return judgement{outcome: provenance.NotEvaluated, reason: "it was not asked for"}
}

// judged joins results: one that is invalid spoils the file, whatever the others
// say, since nobody knows which one an installer would look at.
func judged(results []provenance.Result) judgement {
	j := judgement{outcome: provenance.NotEvaluated}
	for i, r := range results {
		if r.Outcome == provenance.Verified && j.signed == nil {
			j.signed = &results[i]
		}
		switch {
		case j.outcome == provenance.Invalid:
		case r.Outcome == provenance.Invalid:
			j.outcome, j.reason = r.Outcome, r.Reason
		case r.Outcome == provenance.Verified:
			j.outcome, j.reason = r.Outcome, ""
		case j.outcome == provenance.NotEvaluated && j.reason == "":
			j.reason = r.Reason
		}
		a := Attestation{
			Status: string(r.Outcome), Reason: r.Reason, PredicateType: r.Type, Publisher: r.Publisher.String(),
			Issuer: r.Identity.Issuer, Identity: r.Identity.Subject, Repository: r.Identity.Repository, Workflow: r.Identity.Workflow,
			Ref: r.Identity.Ref, Commit: r.Identity.Commit, Run: r.Identity.Run, Failed: string(r.Failed),
		}
		if !r.Time.IsZero() {
			a.LoggedAt = r.Time.Format(time.RFC3339)
		}
		j.attestations = append(j.attestations, a)
	}
	return j
}

// compareEarlier compares a file with those of earlier releases; own is nil when
// the index offers no attestation for it.
func (c *collector) compareEarlier(d pypi.Distribution, o pypi.Origin, own *judgement) *Earlier {
	listing := c.listing(d.Key, o.Index)
	if listing == nil {
		return nil
	}
	e := &Earlier{Releases: []EarlierRelease{}}
	compared := false
	for _, f := range history.Earlier(*listing, d.Version, o.Filename) {
		_, version, _, _ := pypi.FileIdentity(f.Filename)
		r := EarlierRelease{Version: version.String(), Filename: f.Filename, UploadTime: f.UploadTime, Status: string(provenance.NotOffered), Size: max(0, f.Size)}
		switch {
		case f.Provenance == "":
		case own == nil:
			r.Status, e.AttestationMissing = statusOffered, true
		default:
			j := c.judge(f.Filename, f.Digests["sha256"], f.Provenance)
			r.Status, r.Reason = string(j.outcome), j.reason
			if j.outcome != provenance.Verified {
				break
			}
			id := j.signed.Identity
			r.PublisherKind, r.Repository, r.Workflow = id.Kind, id.Repository, id.Workflow
			if own.outcome == provenance.Verified && !compared {
				compared = true
				e.PublisherChanged, e.OwnerChanged, e.Changes = changes(id, own.signed.Identity)
			}
		}
		e.Releases = append(e.Releases, r)
	}
	return e
}

// changes tells what differs between who signed an earlier release and this one.
// A workflow is often renamed: that alone is no other publisher, nor is another
// name of the same repository, which its number tells. The subject of a
// forge's certificate has the ref in it, so it is compared for accounts only.
func changes(before, now provenance.Identity) (publisher, owner bool, what []string) {
	differ := func(name, a, b string) bool {
		if a != b {
			what = append(what, fmt.Sprintf("%s: %q, before %q", name, b, a))
		}
		return a != b
	}
	same := func(a, b string) bool { return a != "" && a == b }
	issuer := differ("issuer", before.Issuer, now.Issuer)
	repository := differ("repository", before.Repository, now.Repository) && (issuer || !same(before.RepositoryID, now.RepositoryID))
	account := before.Repository == "" && now.Repository == "" && differ("identity", before.Subject, now.Subject)
	differ("workflow", before.Workflow, now.Workflow)
	owned := func(id provenance.Identity) string { return path.Dir(id.Repository) }
	owner = issuer || account || repository && owned(before) != owned(now) && !same(before.OwnerID, now.OwnerID)
	return issuer || repository || account, owner, what
}
