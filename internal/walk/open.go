package walk

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// ErrNotRegular is returned by [Open] for anything but a regular file.
var ErrNotRegular = errors.New("not a regular file")

// Open opens the regular file at the absolute path inside the sandbox, for
// reading. No component below the mount of layout that shows it is followed
// when it is a symbolic link (errors.Is(err, unix.ELOOP) or unix.ENOTDIR then);
// for a path below no mount that is so below layout's Prefix or Home, and below
// its own directory otherwise.
func Open(layout attest.Layout, inside string) (*os.File, error) {
	inside = path.Clean(inside)
	if !path.IsAbs(inside) || inside == "/" {
		return nil, fmt.Errorf("open %q: not an absolute path of a file", inside)
	}
	base, rel := baseOf(layout, inside)
	dir, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: directory %q: %w", inside, base, err)
	}
	defer unix.Close(dir)
	parent, err := openBeneath(dir, path.Dir(rel))
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", inside, err)
	}
	defer unix.Close(parent)
	f, _, err := openRegular(parent, path.Base(rel))
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", inside, err)
	}
	return f, nil
}

// baseOf splits an absolute sandbox path into a host directory that may be
// trusted and a relative path below it that may not.
func baseOf(layout attest.Layout, inside string) (base, rel string) {
	for _, m := range layout.Mounts {
		if rest, ok := strings.CutPrefix(inside, m.Inside+"/"); ok {
			return m.Outside, rest
		}
	}
	for _, trusted := range []string{layout.Prefix, layout.Home} {
		if rest, ok := strings.CutPrefix(inside, trusted+"/"); ok && trusted != "" {
			return trusted, rest
		}
	}
	return path.Dir(inside), path.Base(inside)
}

// openBeneath returns an O_PATH descriptor of the directory rel below dir,
// which it reaches one component at a time without following symbolic links.
// (openat2 does the same in one call, but some containers refuse it, and it is
// limited to paths of 4096 bytes.)
func openBeneath(dir int, rel string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if rel == "." || rel == "" {
		return fd, nil
	}
	for name := range strings.SplitSeq(rel, "/") {
		if name == ".." {
			unix.Close(fd)
			return -1, fmt.Errorf("directory %q: leaves its root", rel)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			return -1, fmt.Errorf("directory %q: %w", rel, err)
		}
		fd = next
	}
	return fd, nil
}

// openRegular opens the entry name of the directory dir for reading if lstat
// says that it is a regular file, and returns the state of what was opened.
func openRegular(dir int, name string) (*os.File, evidence.FileState, error) {
	state, err := statAt(dir, name)
	if err != nil {
		return nil, state, err
	}
	if state.Kind != evidence.KindFile {
		return nil, state, ErrNotRegular
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, state, err
	}
	// The entry may have been replaced in between.
	if state, err = statFD(fd); err == nil && state.Kind != evidence.KindFile {
		err = ErrNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return nil, state, err
	}
	return os.NewFile(uintptr(fd), name), state, nil
}

func statAt(dir int, name string) (evidence.FileState, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return evidence.FileState{}, err
	}
	return stateOf(&st), nil
}

func statFD(fd int) (evidence.FileState, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return evidence.FileState{}, err
	}
	return stateOf(&st), nil
}

func stateOf(st *unix.Stat_t) evidence.FileState {
	return evidence.FileState{
		Kind: kindOf(st.Mode), Size: st.Size, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		ModTime:    time.Unix(st.Mtim.Unix()).UTC(),
		ChangeTime: time.Unix(st.Ctim.Unix()).UTC(),
		AccessTime: time.Unix(st.Atim.Unix()).UTC(),
		Dev:        uint64(st.Dev), Inode: st.Ino, Links: uint64(st.Nlink), //nolint:unconvert // Types differ between architectures.
	}
}

func kindOf(mode uint32) evidence.FileKind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return evidence.KindFile
	case unix.S_IFDIR:
		return evidence.KindDirectory
	case unix.S_IFLNK:
		return evidence.KindSymlink
	case unix.S_IFSOCK:
		return evidence.KindSocket
	case unix.S_IFIFO:
		return evidence.KindFIFO
	default:
		return evidence.KindDevice
	}
}
