package pypi

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"pip-witness/internal/attest"
)

// OpenDir opens the sandbox directory dir for reading. Nothing that is reached
// through the result leaves the mount of the layout that shows dir, whatever
// symlinks lie in it. The caller closes it.
func OpenDir(layout attest.Layout, dir string) (*os.Root, error) {
	dir = path.Clean(dir)
	for _, m := range layout.Mounts {
		if dir == m.Inside {
			return os.OpenRoot(m.Outside)
		}
		if rest, ok := strings.CutPrefix(dir, m.Inside+"/"); ok {
			return openBelow(m.Outside, rest)
		}
	}
	if rest, ok := strings.CutPrefix(dir, path.Clean(layout.Prefix)+"/"); ok && layout.Prefix != "" {
		return openBelow(layout.Prefix, rest)
	}
	return os.OpenRoot(dir)
}

func openBelow(base, rel string) (*os.Root, error) {
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenRoot(rel)
}

// ReadFile reads a regular file below root, at most limit bytes: a larger file
// is an error. It never blocks on a FIFO and never follows a symlink out of root.
func ReadFile(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := OpenFile(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// One read where the size is what it says; it may change, and it is bounded.
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = min(info.Size(), limit)
	}
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if int64(data.Len()) > limit {
		return nil, fmt.Errorf("read %q: more than %d bytes", name, limit)
	}
	return data.Bytes(), nil
}

// OpenFile opens a regular file below root for reading.
func OpenFile(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", name, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %q: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("open %q: not a regular file", name)
	}
	return f, nil
}
