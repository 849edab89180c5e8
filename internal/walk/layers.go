package walk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Layer is a directory inside that is an overlay: Upper, a host directory, has what
// was changed of Lower, as the kernel's overlayfs keeps it with the option
// userxattr. Lower are host directories, the topmost first; without any the
// directory was empty.
type Layer struct {
	Inside string
	Upper  string
	Lower  []string
}

// Changed returns the states, before and after, of every entry that the upper
// directory says something about: what is in it, and what it hides of the lower
// ones. Entries that it leaves alone are in neither tree, so their difference
// (evidence.DiffTrees) is that of the whole directory. Beyond max entries it stops
// and lists "/" in Unread of after.
//
// A character device in Upper stands for an entry that is gone: no other device
// can be made there. A directory with the attribute user.overlay.opaque hides all
// that lower ones have of it (Documentation/filesystems/overlayfs.rst).
func Changed(ctx context.Context, l Layer, limit int, cache *DigestCache) (before, after *evidence.Tree, err error) {
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: l.Inside, Outside: l.Upper}}}
	if after, err = Tree(ctx, layout, []string{l.Inside}, cache); err != nil {
		return nil, nil, err
	}
	c := &comparison{
		layer: l, limit: limit, before: &evidence.Tree{Roots: after.Roots, Files: map[string]evidence.FileState{}}, after: after,
		digest: newDigester(readSize),
	}
	defer c.close()
	if err := c.open(); err != nil {
		return nil, nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(after.Files)) {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("compare %q: %w", l.Inside, err)
		}
		c.entry(ctx, key)
	}
	return c.before, c.after, nil
}

// comparison is one call of Changed.
type comparison struct {
	layer         Layer
	upper         int
	lower         []int // descriptors
	limit         int
	full          bool
	before, after *evidence.Tree
	digest        *digester
}

func (c *comparison) open() error {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	var err error
	if c.upper, err = unix.Open(c.layer.Upper, flags, 0); err != nil {
		return fmt.Errorf("open layer %q: %w", c.layer.Upper, err)
	}
	for _, dir := range c.layer.Lower {
		fd, err := unix.Open(dir, flags, 0)
		if err != nil {
			return fmt.Errorf("open layer %q: %w", dir, err)
		}
		c.lower = append(c.lower, fd)
	}
	return nil
}

func (c *comparison) close() {
	for _, fd := range append(c.lower, c.upper) {
		unix.Close(fd)
	}
}

// entry compares one entry of the upper directory with what the lower ones have in
// its place.
func (c *comparison) entry(ctx context.Context, key string) {
	now, rel := c.after.Files[key], strings.TrimPrefix(strings.TrimPrefix(key, c.layer.Inside), "/")
	if slices.Contains(c.after.Encoded, key) {
		// Its name on disk is not its key; below the host's directories such names are
		// not looked for, so it counts as new.
		return
	}
	old, dir, ok := c.state(rel)
	gone := now.Kind == evidence.KindDevice
	if gone {
		delete(c.after.Files, key)
	}
	if !ok {
		return
	}
	if old.Kind == evidence.KindFile && now.Kind == evidence.KindFile && old.Size == now.Size {
		old.Digests = c.content(ctx, dir, rel)
	}
	if old.Kind == evidence.KindSymlink {
		old.Target = c.target(dir, rel)
	}
	c.add(key, old)
	hides := gone || now.Kind != evidence.KindDirectory || opaque(c.upper, rel)
	if old.Kind == evidence.KindDirectory && hides {
		c.hidden(rel)
	}
}

func (c *comparison) add(key string, state evidence.FileState) bool {
	if len(c.before.Files) >= c.limit {
		if !c.full {
			c.full = true
			c.after.Unread = append(c.after.Unread, evidence.UnreadPath{Path: "/", Reason: fmt.Sprintf("not complete: more than %d entries were changed", c.limit)})
		}
		return false
	}
	c.before.Files[key] = state
	return true
}

// hidden adds everything that the lower directories have below rel.
func (c *comparison) hidden(rel string) {
	names := map[string]bool{}
	for _, dir := range c.lower {
		found, more := look(dir, rel)
		if found != nil && found.Kind == evidence.KindDirectory {
			c.names(dir, rel, names)
		}
		if !more {
			break
		}
	}
	for name := range names {
		child := path.Join(rel, name)
		state, _, ok := c.state(child)
		if !ok {
			continue
		}
		key := path.Join(c.layer.Inside, child)
		if _, known := c.before.Files[key]; !known && !c.add(key, state) {
			return
		}
		if state.Kind == evidence.KindDirectory {
			c.hidden(child)
		}
	}
}

func (c *comparison) names(layer int, rel string, names map[string]bool) {
	dir, err := openBeneath(layer, rel)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	list, err := readNames(dir)
	if err != nil {
		c.after.Unread = append(c.after.Unread, evidence.UnreadPath{Path: path.Join(c.layer.Inside, rel), Reason: err.Error()})
	}
	for _, name := range list {
		names[name] = true
	}
}

// state is what the lower directories together show at rel, and the one that has
// it.
func (c *comparison) state(rel string) (state evidence.FileState, dir int, ok bool) {
	for _, dir := range c.lower {
		found, more := look(dir, rel)
		if found != nil {
			return *found, dir, true
		}
		if !more {
			return evidence.FileState{}, 0, false
		}
	}
	return evidence.FileState{}, 0, false
}

// content digests a file of a lower directory, without which two files of the same
// size cannot be told apart; nil when it cannot be read.
func (c *comparison) content(ctx context.Context, layer int, rel string) evidence.DigestSet {
	parent, err := openBeneath(layer, path.Dir(rel))
	if err != nil {
		return nil
	}
	defer unix.Close(parent)
	f, state, err := openRegular(parent, path.Base(rel))
	if err != nil {
		return nil
	}
	defer f.Close()
	digests, err := c.digest.digest(ctx, f, state.Size)
	if err != nil {
		return nil
	}
	return digests
}

func (c *comparison) target(layer int, rel string) string {
	parent, err := openBeneath(layer, path.Dir(rel))
	if err != nil {
		return ""
	}
	defer unix.Close(parent)
	text, err := readLink(parent, path.Base(rel))
	if err != nil {
		return ""
	}
	return text
}

// look finds rel in one layer; nil is not there. more tells that layers below count
// too: for an entry that is not there, and for a directory that is not opaque.
func look(layer int, rel string) (found *evidence.FileState, more bool) {
	if rel == "" {
		state, err := statFD(layer)
		if err != nil {
			return nil, true
		}
		return &state, !opaque(layer, "")
	}
	components := strings.Split(rel, "/")
	more = true
	for i, name := range components {
		dir := strings.Join(components[:i], "/")
		more = more && !opaque(layer, dir)
		state, gone, err := lookAt(layer, dir, name)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, more
		case err != nil || gone:
			return nil, false
		case i == len(components)-1:
			directory := state.Kind == evidence.KindDirectory
			return &state, more && directory && !opaque(layer, rel)
		case state.Kind != evidence.KindDirectory:
			return nil, false // it hides what lies below
		}
	}
	return nil, more
}

// lookAt is the state of one entry; gone tells that it stands for one that is no
// more.
func lookAt(layer int, dir, name string) (state evidence.FileState, gone bool, err error) {
	parent, err := openBeneath(layer, dir)
	if err != nil {
		return evidence.FileState{}, false, err
	}
	defer unix.Close(parent)
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return evidence.FileState{}, false, err
	}
	return stateOf(&st), st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0, nil
}

// opaque tells whether a directory hides what lower layers have of it.
func opaque(layer int, rel string) bool {
	dir, err := openBeneath(layer, rel)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	value := make([]byte, 1)
	// An O_PATH descriptor takes no fgetxattr.
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", dir), "user.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}
