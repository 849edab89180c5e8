package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// provenanceAccept asks for a provenance object (PEP 740 and the index's
// documentation of its integrity API).
const provenanceAccept = "application/vnd.pypi.integrity.v1+json, application/json;q=0.1"

// provenanceWait bounds one provenance object, repetitions included.
const provenanceWait = 30 * time.Second

var (
	errProvenanceIndex = errors.New("no index of that name was asked")
	errProvenanceURL   = errors.New("its location is not a URL")
)

// Provenance asks an index, named as in its listings, for the provenance object at
// a URL that it gave. It is a request of the supervisor's own, made the way the
// installer's are; it works until the run ends, also after Close. The URL has to
// be on the index's own host: it comes from a page, and a page must not choose
// whom this machine contacts. Errors are without credentials.
func (g *Gateway) Provenance(ctx context.Context, index, location string) ([]byte, error) {
	var from *source
	for _, s := range g.sources {
		if s.name == index && !s.local {
			from = s
		}
	}
	if from == nil {
		return nil, fmt.Errorf("fetch provenance from %q: %w", index, errProvenanceIndex)
	}
	at, err := url.Parse(location)
	if err != nil || at.Host == "" {
		return nil, fmt.Errorf("fetch provenance: %w", errProvenanceURL)
	}
	if originOf(at) != originOf(from.url) || at.Scheme != from.url.Scheme {
		return nil, fmt.Errorf("fetch provenance %q: %q is not the host of the index", plainURL(at), at.Host)
	}
	at.User = nil // the page's word; the user's own credentials for the place are found by it
	if f := g.upstream.insecure(at); f != nil {
		return nil, fmt.Errorf("fetch provenance %q: %s: %w", plainURL(at), f.kind, f)
	}
	ctx, cancel := context.WithTimeout(ctx, provenanceWait)
	defer cancel()
	answer, f := g.upstream.get(context.WithValue(ctx, pageKey{}, true), http.MethodGet, at, provenanceAccept)
	if f != nil {
		return nil, fmt.Errorf("fetch provenance %q: %s: %w", plainURL(at), f.kind, f)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxProvenanceSize+1))
	switch {
	case err != nil:
		f := g.upstream.failure(err)
		return nil, fmt.Errorf("fetch provenance %q: %s: %w", plainURL(at), f.kind, f)
	case len(body) > maxProvenanceSize:
		return nil, fmt.Errorf("fetch provenance %q: larger than %d bytes", plainURL(at), maxProvenanceSize)
	}
	return body, nil
}
