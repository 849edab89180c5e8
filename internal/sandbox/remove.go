package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// RemoveAll deletes a directory with everything below it, whatever a package made
// of it: directories without any permission, names that are no text, and trees
// deeper than a path may be long or a process may have descriptors, on which
// os.RemoveAll gives up. It follows no symlink and needs two descriptors.
func RemoveAll(dir string) error {
	root, err := openDirectory(unix.AT_FDCWD, dir)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %q: %w", dir, err)
	}
	r := &remover{current: root}
	defer func() { r.current.Close() }()
	if err := r.work(); err != nil {
		return fmt.Errorf("remove %q: %d directories below it: %w", dir, len(r.above), err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// remover is in one directory at a time and knows the way back by name.
type remover struct {
	current *os.File
	above   []ancestor
}

// ancestor is a directory on the way: its identity, and the name in it of the
// next one.
type ancestor struct {
	device, inode uint64
	next          string
}

func (r *remover) work() error {
	for {
		below, err := r.empty()
		switch {
		case err != nil:
			return err
		case below != "":
			err = r.enter(below)
		case len(r.above) == 0:
			return nil
		default:
			err = r.leave()
		}
		if err != nil {
			return err
		}
	}
}

// empty removes entries until it finds a directory that is not empty, and returns
// the name of that; "" says that nothing is left.
func (r *remover) empty() (string, error) {
	const batch = 256 // names held at once
	for {
		// Removing entries while listing may skip some, so every batch starts anew.
		if _, err := r.current.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		names, err := r.current.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, name := range names {
			full, err := r.drop(name)
			if err != nil || full {
				return name, err
			}
		}
	}
}

// drop removes one entry unless it is a directory that is not empty.
func (r *remover) drop(name string) (full bool, err error) {
	fd := int(r.current.Fd())
	if err = unix.Unlinkat(fd, name, 0); errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return true, nil
	}
	return false, &fs.PathError{Op: "remove", Path: name, Err: err}
}

func (r *remover) enter(name string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(r.current.Fd()), &stat); err != nil {
		return err
	}
	below, err := openDirectory(int(r.current.Fd()), name)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	r.current.Close()
	r.current = below
	r.above = append(r.above, ancestor{stat.Dev, stat.Ino, name})
	return nil
}

// leave goes back to the parent and removes the directory it comes from. The
// parent has to be the one it came through: nobody should be alive who could move
// directories, but removing from the wrong one is worse than giving up.
func (r *remover) leave() error {
	last := r.above[len(r.above)-1]
	parent, err := openDirectory(int(r.current.Fd()), "..")
	if err != nil {
		return err
	}
	r.current.Close()
	r.current = parent
	var stat unix.Stat_t
	if err := unix.Fstat(int(parent.Fd()), &stat); err != nil {
		return err
	}
	if stat.Dev != last.device || stat.Ino != last.inode {
		return errors.New("a directory was moved meanwhile")
	}
	r.above = r.above[:len(r.above)-1]
	err = unix.Unlinkat(int(parent.Fd()), last.next, unix.AT_REMOVEDIR)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) { // not empty: again
		return &fs.PathError{Op: "remove", Path: last.next, Err: err}
	}
	return nil
}

// openDirectory opens a directory with the permission to list and change it,
// which it takes first where it is missing.
func openDirectory(at int, name string) (*os.File, error) {
	const flags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// O_PATH needs no permission of the directory itself; fchmod does not take such
	// a descriptor, its name in /proc does.
	handle, err := unix.Openat(at, name, unix.O_PATH|flags, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(handle)
	var stat unix.Stat_t
	if err := unix.Fstat(handle, &stat); err != nil {
		return nil, err
	}
	if stat.Mode&0o700 != 0o700 && int(stat.Uid) == os.Geteuid() {
		if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", handle), 0o700); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Openat(handle, ".", unix.O_RDONLY|flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
