package capture

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// location is a path as the kernel will see it.
type location struct {
	path  string     // absolute, in the caller's root; symlinks resolved as far as they exist
	fd    int        // O_PATH descriptor of the object, -1 when there is none
	errno unix.Errno // why there is none
	stat  unix.Stat_t
}

func (l location) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
}

// maxMagic bounds how many /proc magic links one path may go through.
const maxMagic = 8

// resolve finds what a path argument names. With follow unset the last
// component is not followed when it is a symlink.
func (s *Supervisor) resolve(e *event, dirfd int32, name string, follow bool) location {
	if name == "" {
		return location{fd: -1, errno: unix.ENOENT}
	}
	full := name
	if !strings.HasPrefix(name, "/") {
		dir, err := s.directory(e, dirfd)
		if err != nil {
			return location{path: name, fd: -1, errno: unix.EBADF}
		}
		full = dir + "/" + name
	}
	root, err := s.rootOf(e)
	if err != nil {
		return location{path: path.Clean(full), fd: -1, errno: unix.EIO}
	}
	full = ownNames(full, e.p.inside)
	for range maxMagic {
		target, ok := magic(root, full, follow)
		if !ok {
			break
		}
		full = target
	}
	fd, errno := lookUp(root, full, follow)
	if errno != 0 {
		return location{path: s.parentPath(root, full, follow), fd: -1, errno: errno}
	}
	l := location{fd: fd, path: descriptorPath(fd)}
	if err := unix.Fstat(fd, &l.stat); err != nil {
		l.close()
		return location{path: path.Clean(full), fd: -1, errno: unix.EIO}
	}
	return l
}

// directory is the path that a relative path starts from.
func (s *Supervisor) directory(e *event, dirfd int32) (string, error) {
	if dirfd == unix.AT_FDCWD {
		return os.Readlink("/proc/" + strconv.Itoa(e.thread()) + "/cwd")
	}
	return s.descriptor(e, dirfd)
}

// descriptor is the path, or the pseudo path, of an open descriptor.
func (s *Supervisor) descriptor(e *event, fd int32) (string, error) {
	return os.Readlink("/proc/" + strconv.Itoa(e.thread()) + "/fd/" + strconv.Itoa(int(fd)))
}

// rootOf is an O_PATH descriptor of the caller's root directory, kept until the
// process may have another one.
func (s *Supervisor) rootOf(e *event) (int, error) {
	if e.p.root >= 0 {
		return e.p.root, nil
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(e.thread())+"/root", unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	e.p.root = fd
	return fd, nil
}

// lookUp resolves name below root as if root were the root directory: absolute
// links and ".." stay inside.
func lookUp(root int, name string, follow bool) (int, unix.Errno) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Openat2(root, name, &how)
		var errno unix.Errno
		switch {
		case err == nil:
			return fd, 0
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue // a rename raced with ".."
		case errors.As(err, &errno):
			return -1, errno
		}
		return -1, unix.EIO
	}
}

// maxLinks bounds how many symlinks one path may go through, as in the kernel.
const maxLinks = 40

// parentPath names an object that does not exist: by its resolved parent, or
// where that does not exist either, by the deepest directory that does. Dangling
// symlinks are followed to where they point, because that is what the caller
// asked for.
func (s *Supervisor) parentPath(root int, full string, follow bool) string {
	for range maxLinks {
		dir, last := path.Split(strings.TrimRight(full, "/"))
		if last == "" || last == "." || last == ".." {
			return path.Clean(full)
		}
		fd, errno := lookUp(root, dir, true)
		if errno != 0 {
			if dir = path.Clean(dir); dir == "/" {
				return path.Clean(full)
			}
			return path.Join(s.parentPath(root, dir, true), last)
		}
		name := path.Join(descriptorPath(fd), last)
		target := make([]byte, maxPath)
		n, err := unix.Readlinkat(fd, last, target)
		unix.Close(fd)
		if err != nil || n <= 0 || !follow {
			return name
		}
		if full = string(target[:n]); !path.IsAbs(full) {
			full = path.Join(path.Dir(name), full)
		}
	}
	return path.Clean(full)
}

// descriptorPath is the path of one of the supervisor's own descriptors; for an
// object of another mount namespace the kernel gives its path there.
func descriptorPath(fd int) string {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return ""
	}
	return name
}

// ownNames replaces the names of /proc and /dev that mean the caller itself:
// the supervisor, which resolves for it, is another process.
func ownNames(name string, pid int) string {
	if !strings.HasPrefix(name, "/proc/") && !strings.HasPrefix(name, "/dev/") && name != "/etc/mtab" {
		return name
	}
	self := "/proc/" + strconv.Itoa(pid)
	for _, r := range [...][2]string{
		{"/proc/self", self}, {"/proc/thread-self", self}, {"/proc/mounts", self + "/mounts"},
		{"/etc/mtab", self + "/mounts"}, {"/proc/net", self + "/net"}, {"/dev/fd", self + "/fd"},
		{"/dev/stdin", self + "/fd/0"}, {"/dev/stdout", self + "/fd/1"}, {"/dev/stderr", self + "/fd/2"},
	} {
		if rest, ok := strings.CutPrefix(name, r[0]); ok && (rest == "" || rest[0] == '/') {
			return r[1] + rest
		}
	}
	return name
}

// magic follows the first magic link (cwd, root, exe, fd/N) of a /proc path.
func magic(root int, name string, follow bool) (string, bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 4 || parts[1] != "proc" {
		return "", false
	}
	if _, err := strconv.Atoi(parts[2]); err != nil {
		return "", false
	}
	at := 3
	if len(parts) > 5 && parts[3] == "task" {
		at = 5
	}
	switch parts[at] {
	case "cwd", "root", "exe":
	case "fd":
		if at++; at >= len(parts) {
			return "", false
		}
	default:
		return "", false
	}
	if at == len(parts)-1 && !follow {
		return "", false
	}
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(root, strings.Join(parts[1:at+1], "/"), buf)
	if err != nil || n == 0 || buf[0] != '/' {
		return "", false // gone, or a pipe, socket or anonymous object
	}
	return path.Join(append([]string{string(buf[:n])}, parts[at+1:]...)...), true
}

// access asks whether the object may be used so, with the effective rights of
// the calling thread, which are those of a traced process.
func access(fd int, mode uint32) unix.Errno {
	err := unix.Faccessat2(fd, "", mode, unix.AT_EMPTY_PATH|unix.AT_EACCESS)
	var errno unix.Errno
	if err != nil && errors.As(err, &errno) {
		return errno
	}
	return 0
}

// accessParent asks whether entries of the directory of the absolute path may be
// made or removed.
func (s *Supervisor) accessParent(e *event, name string) unix.Errno {
	root, err := s.rootOf(e)
	if err != nil {
		return unix.EIO
	}
	fd, errno := lookUp(root, path.Dir(name), true)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	return access(fd, unix.W_OK|unix.X_OK)
}
