package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pip-witness/evidence"
	"pip-witness/internal/history"
	"pip-witness/internal/provenance"
	"pip-witness/internal/pypi"
	"pip-witness/internal/store"
)

// Limits on what the supervisor asks the indexes for on its own.
const (
	maxLookUps    = 400         // provenance objects of one run
	lookUpWorkers = 8           // requests at a time
	lookUpTime    = time.Minute // for all of them
	maxLookUpSize = 64 << 20    // 64 MiB: all objects together
)

// Why a provenance object was not asked for.
const (
	unavailableOffline = "offline: nothing was asked for, and no earlier run has kept it"
	unavailableLimit   = "the run has asked for as many provenance objects as it may"
	unavailableSize    = "the provenance objects of the run are too large together"
	unavailableDigest  = "the index gives no SHA-256 of the file"
)

// lookUp adds to the record of the installation what the indexes say of the
// installed projects: the pages that the installer got, and the provenance objects
// of the files and of those of earlier releases, which are asked for now, outside.
// It works beside the import. What cannot be had is recorded with the reason.
func (c *run) lookUp(ctx context.Context) error {
	defer c.gateway.Close() // it keeps connections to the indexes
	environment, err := pypi.Installed(c.world.layout())
	if err != nil {
		return nil // the pip-install attestor records the same error
	}
	root, err := provenance.NewRoot(c.trustedRoot())
	if err != nil {
		return err
	}
	began := time.Now()
	report, _ := pypi.ParseReport(c.install.Report) // without a report names decide
	l := &lookUps{run: c, root: root}
	for _, d := range environment.Distributions {
		o := pypi.OriginOf(d, c.install, &report)
		if o.Download == nil || o.Index == "" {
			continue
		}
		l.want(o.Index, evidence.IndexFile{Filename: o.Filename, Digests: o.Digests, Provenance: o.Download.Provenance})
		for _, p := range c.gateway.Listings(d.Key) {
			c.install.Projects = append(c.install.Projects, p)
			if p.Index != o.Index {
				continue // who else offers the project
			}
			for _, f := range history.Earlier(p, d.Version, o.Filename) {
				if o.Download.Provenance != "" { // else there is nothing to compare it with
					l.want(o.Index, f)
				}
			}
		}
	}
	l.run.install.Provenances = l.all(ctx)
	c.observed.Timings["lookup"] = time.Since(began).Seconds()
	return nil
}

// trustedRoot is the user's trusted root, or the one that is shipped.
func (c *run) trustedRoot() []byte {
	if c.TrustedRoot != nil {
		return c.TrustedRoot
	}
	return provenance.ShippedRoot()
}

// lookUps are the provenance objects that a run wants, each once.
type lookUps struct {
	run    *run
	root   *provenance.Root
	wanted []wantedObject
	size   atomic.Int64 // bytes of all objects
}

type wantedObject struct {
	index  string
	object evidence.Provenance
}

func (l *lookUps) want(index string, f evidence.IndexFile) {
	if f.Provenance == "" {
		return
	}
	w := wantedObject{index, evidence.Provenance{Filename: f.Filename, SHA256: f.Digests["sha256"], URL: f.Provenance}}
	if !slices.ContainsFunc(l.wanted, func(k wantedObject) bool {
		return k.index == index && k.object.URL == f.Provenance && k.object.SHA256 == w.object.SHA256
	}) {
		l.wanted = append(l.wanted, w)
	}
}

// all finds the objects, in the order in which they were wanted.
func (l *lookUps) all(ctx context.Context) []evidence.Provenance {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	out := make([]evidence.Provenance, len(l.wanted))
	var wg sync.WaitGroup
	slots := make(chan struct{}, lookUpWorkers)
	asked := 0
	for i, w := range l.wanted {
		out[i] = w.object
		switch {
		case w.object.SHA256 == "":
			out[i].Unavailable = unavailableDigest
			continue
		case l.cached(&out[i]):
			continue
		case l.run.Offline:
			out[i].Unavailable = unavailableOffline
			continue
		case asked >= maxLookUps:
			out[i].Unavailable = unavailableLimit
			continue
		}
		asked++
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			l.fetch(ctx, w.index, &out[i])
		})
	}
	wg.Wait()
	return out
}

func (l *lookUps) fetch(ctx context.Context, index string, p *evidence.Provenance) {
	body, err := l.run.gateway.Provenance(ctx, index, p.URL)
	if err != nil {
		p.Unavailable = evidence.RedactText(err.Error(), l.run.secrets())
		return
	}
	if l.size.Add(int64(len(body))) > maxLookUpSize {
		p.Unavailable = unavailableSize
		return
	}
	p.Body = body
	if l.verifies(p) {
		l.keep(p)
	}
}

// verifies tells whether all of an object is good. Only that is kept for later
// runs, so that what an index answered once by mistake is asked for again.
func (l *lookUps) verifies(p *evidence.Provenance) bool {
	return !slices.ContainsFunc(l.root.VerifyObject(p.Body, provenance.Distribution{Filename: p.Filename, SHA256: p.SHA256}),
		func(r provenance.Result) bool { return r.Outcome != provenance.Verified })
}

// path is where an object is kept; empty when nothing is. The location is part of
// the name: two indexes may name different publishers of one file.
func (l *lookUps) path(p *evidence.Provenance) string {
	if l.run.CacheDir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(p.SHA256 + "\n" + p.Filename + "\n" + p.URL))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(l.run.CacheDir, "provenance", name[:2], name)
}

// cached takes an object from the cache. It is verified like any other, so the
// cache needs no more trust than an index; what is no longer good is removed.
func (l *lookUps) cached(p *evidence.Provenance) bool {
	path := l.path(p)
	if path == "" {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, provenance.MaxSize))
	if err != nil {
		return false
	}
	p.Body, p.Cached = body, true
	if l.verifies(p) {
		return true
	}
	p.Body, p.Cached = nil, false
	os.Remove(path)
	return false
}

// keep writes an object to the cache; that it cannot is never a failure of the run.
func (l *lookUps) keep(p *evidence.Provenance) {
	path := l.path(p)
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	_ = store.WriteFile(path, p.Body, 0o600)
}
