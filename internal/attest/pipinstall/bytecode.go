package pipinstall

import (
	"encoding/binary"
	"io"
	"path"
	"strings"

	"pip-witness/internal/pypi"
)

// shippedByteCode are the compiled files below a site directory that came with
// their distribution: installers record what they compile without a digest.
func (c *collector) shippedByteCode(site string) map[string]bool {
	out := map[string]bool{}
	for _, d := range c.env.Distributions {
		for _, e := range d.Record {
			if p, ok := e.Inside(); ok && d.Location == site && e.Digest != "" && strings.HasSuffix(p, ".pyc") {
				out[p] = true
			}
		}
	}
	return out
}

// byteCode looks at where a compiled file lies and at its header (PEP 552): magic
// number, flags, and then time and size, or a hash, of the source.
func (w *fileWalk) byteCode(p, full string) {
	out := ByteCode{Path: full, Package: w.owners[p]}
	if w.hashed[p] {
		out.Why = append(out.Why, "shipped")
	}
	if _, err := w.root.Stat(sourceOfByteCode(p)); err != nil {
		out.Why = append(out.Why, "no-source")
	}
	var header [8]byte
	f, err := pypi.OpenFile(w.root, p)
	if err == nil {
		_, err = io.ReadFull(f, header[:])
		f.Close()
	}
	const hashed, checked = 1, 2 // bits of the flags
	switch flags := binary.LittleEndian.Uint32(header[4:]); {
	case err != nil:
		out.Why = append(out.Why, "unreadable")
	case flags&hashed != 0 && flags&checked == 0:
		out.Why = append(out.Why, "unchecked")
	}
	if len(out.Why) > 0 {
		addTo(w, "byteCode", &w.out.ByteCode, out)
	}
}

// sourceOfByteCode is the source that a compiled file belongs to (PEP 3147):
// a/__pycache__/b.cpython-311.opt-1.pyc to a/b.py, and a/b.pyc to a/b.py.
func sourceOfByteCode(p string) string {
	dir, base := path.Split(p)
	name := strings.TrimSuffix(base, ".pyc")
	if parent, ok := strings.CutSuffix(dir, "__pycache__/"); ok {
		name, _, _ = strings.Cut(name, ".")
		dir = parent
	}
	return dir + name + ".py"
}
