// Package store writes evidence: single files that appear whole or not at all,
// and the evidence directory of a check with its fixed names.
package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile writes data to path so that a reader sees either the old content or
// all of the new one, also after a crash or a kill: a file without a name is
// written and synced, then gets its name, then the directory is synced. On an
// error nothing is left behind. An existing file is replaced.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, (*draft).replace)
}

// WriteNewFile is like [WriteFile] but never replaces: when path exists it
// returns an error that matches [fs.ErrExist].
func WriteNewFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, (*draft).link)
}

func write(path string, data []byte, mode fs.FileMode, publish func(d *draft, to string) error) (err error) {
	d, err := newDraft(path)
	if err != nil {
		return fmt.Errorf("write %q: %w", path, cause(err))
	}
	defer func() {
		if err = errors.Join(err, d.discard()); err != nil {
			err = fmt.Errorf("write %q: %w", path, cause(err))
		}
	}()
	if _, err := d.file.Write(data); err != nil {
		return err
	}
	if err := d.file.Chmod(mode); err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	if err := publish(d, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// draft is a file that is not at its place yet. Where the file system can, it has
// no name at all (O_TMPFILE), so that a process that is killed leaves nothing
// half-written; elsewhere it has a hidden one in the same directory.
type draft struct {
	file *os.File
	name string // empty without a name
}

func newDraft(path string) (*draft, error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &draft{file: os.NewFile(uintptr(fd), path)}, nil
	}
	// EOPNOTSUPP, EISDIR or ENOENT where there are no such files, see open(2); what
	// else is wrong shows here as well.
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp*")
	if err != nil {
		return nil, err
	}
	return &draft{file: f, name: f.Name()}, nil
}

// link gives the file a name that is not taken. A hard link, unlike a rename,
// fails when it is.
func (d *draft) link(to string) error {
	if d.name != "" {
		return os.Link(d.name, to)
	}
	from := fmt.Sprintf("/proc/self/fd/%d", d.file.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &fs.PathError{Op: "link", Path: to, Err: err}
	}
	return nil
}

// replace gives the file a name that may be taken.
func (d *draft) replace(to string) error {
	if d.name == "" {
		err := d.link(to)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Only a name can be renamed over another; the file is whole by now.
		d.name = filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".tmp"+rand.Text())
		if err := (&draft{file: d.file}).link(d.name); err != nil {
			return err
		}
	}
	return os.Rename(d.name, to)
}

// discard lets go of the file and takes its provisional name away.
func (d *draft) discard() error {
	err := d.file.Close()
	if d.name == "" {
		return err
	}
	if err2 := os.Remove(d.name); err2 != nil && !errors.Is(err2, fs.ErrNotExist) {
		err = errors.Join(err, err2)
	}
	return err
}

// cause is an error without the name of the temporary file, which says nothing.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
