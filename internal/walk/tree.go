package walk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Bounds on what an untrusted tree can make a walk do. What they cut is listed
// in [evidence.Tree.Unread].
const (
	maxEntries   = 1 << 20  // entries of a tree
	maxDepth     = 512      // components below a root
	maxFileSize  = 4 << 30  // bytes of one file: 4 GiB
	maxTotalSize = 64 << 30 // bytes read by one walk: 64 GiB
	maxTarget    = 4096     // bytes of a symlink's text, PATH_MAX
	unitNames    = 256      // names handled at a time
	maxWorkers   = 8
)

// Tree walks the directories roots, absolute paths inside the sandbox that
// layout maps to files outside, and returns the state of each entry, the roots
// included. A root inside another one is walked once; a mount of layout below a
// root is walked as part of it. cache may be nil; with one, a regular file whose
// identity it knows is not read again.
//
// What cannot be read is in Unread with its reason, sorted by path, and is no
// error: neither is a root that does not exist. Errors are a root that is not
// absolute and the end of ctx.
func Tree(ctx context.Context, layout attest.Layout, roots []string, cache *DigestCache) (*evidence.Tree, error) {
	clean := make([]string, 0, len(roots))
	for _, r := range roots {
		if !path.IsAbs(r) {
			return nil, fmt.Errorf("walk root %q: not an absolute path", r)
		}
		clean = append(clean, path.Clean(r))
	}
	slices.Sort(clean)
	clean = slices.Compact(clean)

	w := &walker{
		layout: layout, cache: cache, points: make(map[string]bool), linked: make(map[identity]*linkedFile),
		tree: &evidence.Tree{Roots: clean, Files: make(map[string]evidence.FileState)},
	}
	w.wake = sync.NewCond(&w.mu)
	defer w.close()
	for _, start := range starts(layout, clean) {
		w.points[start] = true
	}
	for _, start := range starts(layout, clean) {
		w.root(start)
	}
	w.run(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("walk %q: %w", clean, err)
	}
	w.finish()
	return w.tree, nil
}

// starts are the paths where walks begin: the roots that are in no other root,
// and the mounts below them.
func starts(layout attest.Layout, roots []string) []string {
	var out []string
	for _, r := range roots {
		if !slices.ContainsFunc(out, func(o string) bool { return below(r, o) }) {
			out = append(out, r)
		}
	}
	outer := slices.Clone(out)
	for _, m := range layout.Mounts {
		if slices.ContainsFunc(outer, func(o string) bool { return m.Inside != o && below(m.Inside, o) }) {
			out = append(out, path.Clean(m.Inside))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// below says that p is dir or in it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// unit is one piece of work: the directory rel below the descriptor base, whose
// key in the tree is inside. Without names it is to be listed, with names those
// entries are to be looked at.
type unit struct {
	base        int
	rel, inside string
	depth       int
	start       bool // the one name is where a walk begins; outside it may have another one
	encoded     bool // a component of inside was percent-encoded
	names       []entryName
}

// walker is one walk. The fields below mu belong to it.
type walker struct {
	layout attest.Layout
	cache  *DigestCache
	points map[string]bool // where walks begin: not entered from above
	bases  []int           // descriptors of the starts
	read   atomic.Int64    // bytes

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []unit
	busy    int
	stopped bool
	tree    *evidence.Tree
	full    bool
	linked  map[identity]*linkedFile
}

// linkedFile is a file with several names: it is read under one of them.
type linkedFile struct {
	once  sync.Once
	state evidence.FileState
	err   error
}

func (w *walker) close() {
	for _, fd := range w.bases {
		unix.Close(fd)
	}
}

// root queues the entry inside, where a walk begins.
func (w *walker) root(inside string) {
	host, rel := w.layout.Host(inside), ""
	if !slices.ContainsFunc(w.layout.Mounts, func(m attest.Mount) bool { return path.Clean(m.Inside) == inside }) && inside != "/" {
		host, rel = baseOf(w.layout, inside)
	}
	if rel == "" && host != "/" {
		host, rel = path.Dir(host), path.Base(host)
	}
	fd, err := unix.Open(host, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.unread(inside, err)
		return
	}
	w.bases = append(w.bases, fd)
	if rel == "" { // the root directory: it has no parent to be an entry of
		state, err := statFD(fd)
		if err != nil {
			w.unread(inside, err)
			return
		}
		w.add(inside, state, false)
		w.queue = append(w.queue, unit{base: fd, rel: ".", inside: inside})
		return
	}
	w.queue = append(w.queue, unit{
		base: fd, rel: path.Dir(rel), inside: path.Dir(inside), start: true,
		names: []entryName{{disk: path.Base(rel), key: path.Base(inside)}},
	})
}

// run works until the queue is empty or ctx ends.
func (w *walker) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.stopped = true
		w.mu.Unlock()
		w.wake.Broadcast()
	})()
	var workers sync.WaitGroup
	for range min(max(runtime.GOMAXPROCS(0), 2), maxWorkers) {
		workers.Go(func() {
			d := newDigester(readSize)
			for {
				u, ok := w.next()
				if !ok {
					return
				}
				w.unit(ctx, d, u)
				w.done()
			}
		})
	}
	workers.Wait()
}

func (w *walker) next() (unit, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && w.busy > 0 && !w.stopped {
		w.wake.Wait()
	}
	if len(w.queue) == 0 || w.stopped {
		return unit{}, false
	}
	u := w.queue[len(w.queue)-1]
	w.queue = w.queue[:len(w.queue)-1]
	w.busy++
	return u, true
}

func (w *walker) done() {
	w.mu.Lock()
	w.busy--
	w.mu.Unlock()
	w.wake.Broadcast()
}

func (w *walker) push(units ...unit) {
	w.mu.Lock()
	w.queue = append(w.queue, units...)
	w.mu.Unlock()
	w.wake.Broadcast()
}

// unit does one piece of work.
func (w *walker) unit(ctx context.Context, d *digester, u unit) {
	dir, err := openBeneath(u.base, u.rel)
	if err != nil {
		w.unreadUnit(u, err)
		return
	}
	defer unix.Close(dir)
	if u.names == nil {
		w.list(dir, u)
		return
	}
	for _, n := range u.names {
		if ctx.Err() != nil {
			return
		}
		w.entry(ctx, d, dir, u, n)
	}
}

// unreadUnit lists what a unit would have looked at.
func (w *walker) unreadUnit(u unit, err error) {
	if u.names == nil {
		w.unread(u.inside, err)
	}
	for _, n := range u.names {
		w.unread(path.Join(u.inside, n.key), err)
	}
}

// entry looks at one entry of the directory dir.
func (w *walker) entry(ctx context.Context, d *digester, dir int, u unit, n entryName) {
	key := path.Join(u.inside, n.key)
	state, err := statAt(dir, n.disk)
	if err != nil {
		w.unread(key, err)
		return
	}
	switch state.Kind {
	case evidence.KindSymlink:
		if state.Target, err = readLink(dir, n.disk); err != nil {
			w.unread(key, err)
		}
	case evidence.KindFile:
		if state, err = w.file(ctx, d, dir, n.disk, state); err != nil {
			w.unread(key, err)
		}
	}
	encoded := u.encoded || n.disk != n.key && !u.start
	if !w.add(key, state, encoded) || state.Kind != evidence.KindDirectory {
		return
	}
	if u.depth+1 > maxDepth {
		w.unread(key, fmt.Errorf("more than %d directories deep", maxDepth))
		return
	}
	w.push(unit{base: u.base, rel: path.Join(u.rel, n.disk), inside: key, depth: u.depth + 1, encoded: encoded})
}

// file returns the state of a regular file with its digests: from the cache,
// from another name of the same file, or by reading it.
func (w *walker) file(ctx context.Context, d *digester, dir int, name string, state evidence.FileState) (evidence.FileState, error) {
	id := identityOf(state)
	if digests, ok := w.cache.get(id); ok {
		state.Digests = digests
		return state, nil
	}
	if state.Links < 2 {
		return w.hash(ctx, d, dir, name, state)
	}
	w.mu.Lock()
	l := w.linked[id]
	if l == nil {
		l = &linkedFile{}
		w.linked[id] = l
	}
	w.mu.Unlock()
	l.once.Do(func() { l.state, l.err = w.hash(ctx, d, dir, name, state) })
	return l.state, l.err
}

// hash reads a file, once more if it changed meanwhile. The state it returns is
// that of the reading; on an error it has no digests.
func (w *walker) hash(ctx context.Context, d *digester, dir int, name string, state evidence.FileState) (evidence.FileState, error) {
	var err error
	for range 2 {
		var read evidence.FileState
		if read, err = w.hashOnce(ctx, d, dir, name); err == nil {
			return read, nil
		}
		if !errors.Is(err, errChanged) {
			break
		}
	}
	return state, err
}

func (w *walker) hashOnce(ctx context.Context, d *digester, dir int, name string) (evidence.FileState, error) {
	f, before, err := openRegular(dir, name)
	if errors.Is(err, ErrNotRegular) {
		return before, errChanged
	}
	if err != nil {
		return before, err
	}
	defer f.Close()
	if before.Size > maxFileSize {
		return before, fmt.Errorf("not read: %d bytes, more than %d", before.Size, int64(maxFileSize))
	}
	if w.read.Add(before.Size) > maxTotalSize {
		return before, fmt.Errorf("not read: the walk reached its limit of %d bytes", int64(maxTotalSize))
	}
	began := time.Now()
	digests, err := d.digest(ctx, f, before.Size)
	if err != nil {
		return before, err
	}
	after, err := statFD(int(f.Fd()))
	if err != nil {
		return before, err
	}
	if identityOf(before) != identityOf(after) {
		return before, errChanged
	}
	before.Digests = digests
	w.cache.put(identityOf(before), digests, began)
	return before, nil
}

func readLink(dir int, name string) (string, error) {
	buffer := make([]byte, maxTarget)
	n, err := unix.Readlinkat(dir, name, buffer)
	if err != nil {
		return "", err
	}
	return encodeName(string(buffer[:n])), nil
}

// add puts an entry into the tree, unless the tree is full.
func (w *walker) add(key string, state evidence.FileState, encoded bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tree.Files) >= maxEntries {
		w.full = true
		return false
	}
	w.tree.Files[key] = state
	if encoded {
		w.tree.Encoded = append(w.tree.Encoded, key)
	}
	return true
}

// unread lists a path that could not be read. The list has a bound of its own,
// the same as the tree's.
func (w *walker) unread(key string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tree.Unread) < maxEntries {
		w.tree.Unread = append(w.tree.Unread, evidence.UnreadPath{Path: key, Reason: err.Error()})
	}
}

// finish orders the lists of the tree.
func (w *walker) finish() {
	if w.full {
		w.unread("/", fmt.Errorf("not complete: more than %d entries", maxEntries))
	}
	slices.Sort(w.tree.Encoded)
	slices.SortFunc(w.tree.Unread, func(a, b evidence.UnreadPath) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
}
