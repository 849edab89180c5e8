package walk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// errClash means that two names of a directory have the same key.
var errClash = errors.New("its percent-encoded name is the name of another entry")

// list reads the names of the directory dir and queues its entries.
func (w *walker) list(dir int, u unit) {
	names, err := readNames(dir)
	if err != nil { // names read until then are looked at all the same
		w.unread(u.inside, err)
	}
	entries, clashes := encodeNames(names)
	for _, n := range clashes {
		w.unread(path.Join(u.inside, n.key), errClash)
	}
	entries = slices.DeleteFunc(entries, func(n entryName) bool {
		return w.points[path.Join(u.inside, n.key)]
	})
	var units []unit
	for chunk := range slices.Chunk(entries, unitNames) {
		part := u
		part.names = chunk
		units = append(units, part)
	}
	w.push(units...)
}

// readNames returns the names in a directory, at most maxEntries of them.
func readNames(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	var names []string
	for {
		some, err := f.Readdirnames(4096)
		names = append(names, some...)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		if len(names) > maxEntries {
			return names, fmt.Errorf("more than %d entries", maxEntries)
		}
	}
}
