package attest

import (
	"path"
	"strings"
)

// Host returns the path outside the sandbox that shows the content of the
// absolute sandbox path p. Symlinks below a mount are not followed: a caller
// that opens the result must not follow one that leaves the mount.
func (l Layout) Host(p string) string {
	p = path.Clean(p)
	for _, m := range l.Mounts {
		if p == m.Inside {
			return m.Outside
		}
		if rest, ok := strings.CutPrefix(p, m.Inside+"/"); ok {
			return path.Join(m.Outside, rest)
		}
	}
	return p
}
