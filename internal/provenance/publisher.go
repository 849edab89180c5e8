package provenance

import (
	"fmt"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// Identity is who signed, as the certificate states it.
type Identity struct {
	// Kind is GitHub, GitLab or Google; empty for any other issuer.
	Kind string
	// Issuer is the OpenID Connect issuer, Subject the certificate's subject
	// alternative name: a URI or an email address.
	Issuer, Subject string
	// Repository is owner/name, Workflow the file of the workflow as the index names
	// it; empty where the certificate states none.
	Repository, Workflow string
	// RepositoryID and OwnerID are the forge's own numbers of repository and owner,
	// which stay when these are renamed; empty where the certificate states none.
	RepositoryID, OwnerID string
	// Ref and Commit are of the source, Run is the URL of the run.
	Ref, Commit, Run string
}

// forge is a kind of publisher whose certificates name a repository and a
// workflow. The build config URI of Fulcio is base, repository, between, the
// workflow, "@" and a ref or a commit.
type forge struct{ kind, issuer, base, between string }

// forges are those that are compared. A publisher of a self-managed instance has
// another issuer and is none of them.
func forges() []forge {
	return []forge{
		{"GitHub", "https://token.actions.githubusercontent.com", "https://github.com/", "/.github/workflows/"},
		{"GitLab", "https://gitlab.com", "https://gitlab.com/", "//"},
	}
}

// Google's publishers are service accounts: the subject is an email address.
const (
	kindGoogle   = "Google"
	googleIssuer = "https://accounts.google.com"
)

// identityOf reads a certificate that was verified.
func identityOf(c *certificate.Summary) Identity {
	id := Identity{
		Issuer: cut(c.Issuer), Subject: cut(c.SubjectAlternativeName), Ref: cut(c.SourceRepositoryRef),
		Commit: cut(c.SourceRepositoryDigest), Run: cut(c.RunInvocationURI),
		RepositoryID: cut(c.SourceRepositoryIdentifier), OwnerID: cut(c.SourceRepositoryOwnerIdentifier),
	}
	if c.Issuer == googleIssuer {
		id.Kind = kindGoogle
	}
	for _, f := range forges() {
		if c.Issuer != f.issuer {
			continue
		}
		id.Kind = f.kind
		repository, ok := strings.CutPrefix(c.SourceRepositoryURI, f.base)
		if !ok || repository == "" {
			continue
		}
		id.Repository = cut(repository)
		file, ok := strings.CutPrefix(c.BuildConfigURI, f.base+repository+f.between)
		if !ok {
			continue
		}
		// A ref may hold an "@" and a file's name as well: what follows the file is
		// known, so the end is compared, not searched.
		for _, at := range []string{c.SourceRepositoryRef, c.SourceRepositoryDigest} {
			if name, ok := strings.CutSuffix(file, "@"+at); ok && at != "" {
				id.Workflow = cut(name)
				break
			}
		}
	}
	return id
}

// unknownPublisherError is a publisher of a kind that this version cannot compare.
type unknownPublisherError struct{ kind string }

func (e *unknownPublisherError) Error() string {
	return fmt.Sprintf("publishers of the kind %q are not known to this version", e.kind)
}

// compare tells whether the publisher that the index names is who signed.
func (p Publisher) compare(id Identity) error {
	differs := func(what, named, signed string) error {
		return fmt.Errorf("the index names the %s %q, the certificate %q", what, cut(named), signed)
	}
	workflow := p.Workflow
	switch p.Kind {
	case kindGoogle:
		switch {
		case id.Issuer != googleIssuer:
			return differs("issuer", googleIssuer, id.Issuer)
		case p.Email == "" || id.Subject != p.Email:
			return differs("email", p.Email, id.Subject)
		}
		return nil
	case "GitLab":
		workflow = p.WorkflowPath
	case "GitHub":
	default:
		return &unknownPublisherError{cut(p.Kind)}
	}
	switch {
	case id.Kind != p.Kind:
		return differs("kind", p.Kind, id.Kind)
	case p.Repository == "" || id.Repository != p.Repository:
		return differs("repository", p.Repository, id.Repository)
	case workflow == "" || id.Workflow != workflow:
		return differs("workflow", workflow, id.Workflow)
	}
	return nil
}

// bounded is a publisher as a result holds it.
func (p Publisher) bounded() Publisher {
	return Publisher{
		Kind: cut(p.Kind), Repository: cut(p.Repository), Workflow: cut(p.Workflow), WorkflowPath: cut(p.WorkflowPath),
		Environment: cut(p.Environment), Email: cut(p.Email),
	}
}

// String is what the index says of a publisher, in one line.
func (p Publisher) String() string {
	var words []string
	for _, w := range []string{p.Kind, p.Repository, p.Workflow, p.WorkflowPath, p.Email} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
