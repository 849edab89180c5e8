package capture

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// location is a path as the kernel will see it.
type location struct {
	path   string     // absolute, in the caller's mount namespace; symlinks resolved as far as they exist
	fd     int        // O_PATH descriptor of the object, -1 when there is none
	parent int        // O_PATH descriptor of the directory where only the last name is missing, 0 when unset
	errno  unix.Errno // why there is no object
	stat   unix.Stat_t
	// slash tells that the name ended in one: it means a directory.
	slash bool
	// byNumber tells that the call named an open descriptor and no path.
	byNumber bool
}

func nowhere(name string, errno unix.Errno) location {
	return location{path: name, fd: -1, errno: errno}
}

func (l location) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	if l.parent > 0 {
		unix.Close(l.parent)
	}
}

// look says how a name is to be looked up.
type look struct {
	follow bool   // also the last component when it is a symlink
	how    uint64 // resolve flags of openat2
	parent bool   // of what is not there the directory is wanted
}

// resolve finds what a path argument names. With follow unset the last
// component is not followed when it is a symlink.
func (s *Supervisor) resolve(e *event, dirfd int32, name string, follow bool) location {
	return s.resolveAs(e, dirfd, name, look{follow: follow})
}

func (s *Supervisor) resolveAs(e *event, dirfd int32, name string, look look) location {
	if name == "" {
		return nowhere("", unix.ENOENT)
	}
	root, above, err := s.rootOf(e)
	if err != nil {
		return s.unresolved(e, name)
	}
	w := walk{look: look, root: root, above: above, at: root, inside: e.p.inside, thread: e.thread(), confined: s.depth > 0}
	if name[0] != '/' || look.how&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) != 0 {
		start, err := s.directory(e, dirfd)
		if err != nil {
			return nowhere(name, unix.EBADF)
		}
		defer unix.Close(start)
		if w.at = start; look.how&unix.RESOLVE_IN_ROOT != 0 {
			w.root, w.above = start, descriptorPath(start)+"/"
		}
	}
	l := w.find(name)
	if l.errno == unix.EMFILE || l.errno == unix.ENFILE || l.errno == unix.EIO {
		l.close()
		return s.unresolved(e, name)
	}
	return l
}

// unresolved is the location of a name that the supervisor itself could not
// follow: that is a loss, unless the caller has ended.
func (s *Supervisor) unresolved(e *event, name string) location {
	if s.stillThere(e) {
		s.lose("path:" + e.name)
	}
	return nowhere(name, unix.EIO)
}

// directory is a descriptor of where a relative path starts.
func (s *Supervisor) directory(e *event, dirfd int32) (int, error) {
	name := "cwd"
	if dirfd != unix.AT_FDCWD {
		name = "fd/" + strconv.Itoa(int(dirfd))
	}
	fd, err := unix.Open(procPath(e.thread(), name), unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) && dirfd != unix.AT_FDCWD {
		// The list of descriptors of a process that made itself undumpable belongs to
		// root. To take one is a question of rights over the process alone.
		own, errno := s.duplicate(e, dirfd)
		if errno != 0 {
			return -1, errno
		}
		return own, nil
	}
	return fd, err
}

// descriptor is the path, or the pseudo path, of an open descriptor.
func (s *Supervisor) descriptor(e *event, fd int32) (string, error) {
	return os.Readlink(procPath(e.thread(), "fd/"+strconv.Itoa(int(fd))))
}

// rootOf is an O_PATH descriptor of the caller's root directory, kept until the
// process may have another one, and that directory's path with a slash at its
// end. Threads may have roots of their own: then none is kept.
func (s *Supervisor) rootOf(e *event) (int, string, error) {
	if e.p.root >= 0 && !e.p.space.shared {
		return e.p.root, e.p.above, nil
	}
	fd, err := unix.Open(procPath(e.thread(), "root"), unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, "", err
	}
	if s.kept >= maxKept {
		s.closeKept()
	}
	if e.p.root >= 0 {
		unix.Close(e.p.root)
		s.kept--
	}
	s.kept++
	e.p.root, e.p.above = fd, strings.TrimSuffix(descriptorPath(fd), "/")+"/"
	return fd, e.p.above, nil
}

// maxLinks bounds how many symlinks one path may go through, as in the kernel.
const maxLinks = 40

// walk follows one path as the kernel does for the caller, which the kernel
// cannot do for the supervisor: /proc/self is another process there, and magic
// links cannot be followed below a given root.
type walk struct {
	look
	root   int    // where absolute names and links start, and ".." stops
	above  string // path of the root with a slash at its end
	at     int    // where the name starts; not closed
	inside int    // what /proc/self means
	thread int    // the calling thread, outside
	// confined tells that process 1 is the sandbox's init.
	confined bool
}

// find tries without any symlink first, which is what most names are.
func (w walk) find(name string) location {
	if w.how != 0 {
		if errno := w.forbidden(name); errno != 0 {
			return nowhere(path.Join(descriptorPath(w.at), name), errno)
		}
		return w.slowly(name)
	}
	if w.at != w.root && slices.Contains(strings.Split(name, "/"), "..") {
		return w.slowly(name)
	}
	fd, errno := w.plain(name, w.follow)
	switch {
	case errno == 0 && plainName(name):
		// Without a symlink and without dots the name says where the object is.
		return foundAt(fd, w.absolute(name), false)
	case errno == 0:
		return found(fd, slashed(name))
	case errno == unix.ENOENT && !w.parent && plainName(name):
		return nowhere(w.absolute(name), errno)
	case errno == unix.ENOENT:
		if l, ok := w.missing(name); ok {
			return l
		}
	case errno == unix.ELOOP && w.at == w.root:
		if l, ok := w.linked(name); ok {
			return l
		}
	}
	return w.slowly(name)
}

// absolute is the path of a plain name.
func (w walk) absolute(name string) string {
	if name[0] == '/' {
		return w.above + name[1:]
	}
	if w.at == w.root {
		return w.above + name
	}
	return strings.TrimSuffix(descriptorPath(w.at), "/") + "/" + name
}

// plainName tells whether a name has no empty component and no dots, so that it
// stands for itself.
func plainName(name string) bool {
	rest := strings.TrimPrefix(name, "/")
	for {
		component, more, found := strings.Cut(rest, "/")
		if component == "" || component == "." || component == ".." {
			return false
		}
		if !found {
			return true
		}
		rest = more
	}
}

// linked lets the kernel follow symlinks. It does not follow magic ones below a
// given root, and what it finds through /proc/self of the wrong process is on
// /proc too.
func (w walk) linked(name string) (location, bool) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	if !w.follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	fd, errno := openPath(w.root, name, how)
	if errno != 0 {
		return location{}, false
	}
	if onProc, _ := procfs(fd); onProc {
		unix.Close(fd)
		return location{}, false
	}
	return found(fd, slashed(name)), true
}

// plain looks a name up that holds no symlink that has to be followed; else it
// says ELOOP.
func (w walk) plain(name string, follow bool) (int, unix.Errno) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	if w.at == w.root {
		how.Resolve |= unix.RESOLVE_IN_ROOT
	}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	return openPath(w.at, name, how)
}

// missing names what does not exist in a directory that does.
func (w walk) missing(name string) (location, bool) {
	dir, last := splitLast(name)
	if last == "" || last == "." || last == ".." {
		return location{}, false
	}
	parent, errno := w.plain(dir, true)
	if errno != 0 {
		return location{}, false
	}
	l := nowhere(path.Join(descriptorPath(parent), last), unix.ENOENT)
	l.parent, l.slash = parent, slashed(name)
	return l, true
}

// slashed tells whether a name ends in a slash that asks for a directory.
func slashed(name string) bool {
	_, last := splitLast(name)
	return strings.HasSuffix(name, "/") && last != "" && last != "." && last != ".."
}

// splitLast cuts a name before its last component.
func splitLast(name string) (dir, last string) {
	dir, last = path.Split(strings.TrimRight(name, "/"))
	if dir == "" {
		dir = "."
	}
	return dir, last
}

// resolveCached is RESOLVE_CACHED (linux/openat2.h, 5.12), which x/sys lacks.
const resolveCached = 0x20

// forbidden asks the kernel what the resolve flags of openat2 forbid.
func (w walk) forbidden(name string) unix.Errno {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: w.how &^ resolveCached}
	if !w.follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	if w.at == w.root && w.how&unix.RESOLVE_IN_ROOT == 0 {
		name = "." + name // absolute, in the caller's root
	}
	fd, errno := openPath(w.at, name, how)
	if errno == 0 {
		unix.Close(fd)
	}
	if errno == unix.EXDEV || errno == unix.ELOOP || errno == unix.EINVAL {
		return errno
	}
	return 0
}

// slowly goes component by component.
func (w walk) slowly(name string) location {
	at, errno := duplicate(w.at)
	if errno != 0 {
		return nowhere(name, errno)
	}
	if name[0] == '/' {
		if at, errno = w.step(at, w.root, "."); errno != 0 {
			return nowhere(name, errno)
		}
	}
	rest := name
	for links := 0; ; {
		var component string
		component, rest = firstOf(rest)
		if component == "" {
			return found(at, slashed(name))
		}
		slash := rest != ""
		last := strings.Trim(rest, "/") == ""
		next, errno := w.enter(at, component)
		if errno == unix.ELOOP && last && !slash && !w.follow {
			next, errno = openPath(at, component, unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW})
		} else if errno == unix.ELOOP && links < maxLinks {
			links++
			var text string
			if next, text, errno = w.link(at, component); errno == 0 && text != "" {
				rest = text + "/" + rest
				if last && !slash {
					rest = text
				}
			}
		}
		if errno != 0 {
			l := nowhere(path.Join(descriptorPath(at), component, rest), errno)
			if last && errno == unix.ENOENT {
				l.parent, l.slash = at, slash
			} else {
				unix.Close(at)
			}
			return l
		}
		unix.Close(at)
		at = next
	}
}

// firstOf cuts the first component off.
func firstOf(name string) (component, rest string) {
	name = strings.TrimLeft(name, "/")
	if i := strings.IndexByte(name, '/'); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// enter opens one component; a symlink is ELOOP.
func (w walk) enter(at int, component string) (int, unix.Errno) {
	if component == ".." && sameObject(at, w.root) {
		component = "."
	}
	return openPath(at, component, unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
}

// step replaces one descriptor by another.
func (w walk) step(old, from int, component string) (int, unix.Errno) {
	next, errno := w.enter(from, component)
	unix.Close(old)
	return next, errno
}

// procRootInode is the inode number of the root of every procfs (PROC_ROOT_INO).
const procRootInode = 1

// link follows one symlink: to where it starts and the text to go on with, or
// for a magic link of /proc, which is no text, to the object itself.
func (w walk) link(at int, component string) (next int, text string, errno unix.Errno) {
	if onProc, top := procfs(at); onProc && !top {
		if pid := aboutProcess(descriptorPath(at)); pid == initPID && w.confined && pid != w.inside {
			return -1, "", unix.EACCES // init may trace all, and nobody it
		}
		errno = withoutRights(func() (err error) {
			next, err = unix.Openat2(at, component, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
			return err
		})
		return next, "", errno
	} else if onProc && component == "self" {
		text = strconv.Itoa(w.inside)
	} else if onProc && component == "thread-self" {
		text = strconv.Itoa(w.inside) + "/task/" + threadInside(w.thread)
	} else {
		buf := make([]byte, maxPath)
		n, err := unix.Readlinkat(at, component, buf)
		if err != nil {
			return -1, "", errnoOf(err)
		}
		text = string(buf[:n])
	}
	from := at
	if strings.HasPrefix(text, "/") {
		from = w.root
	}
	next, errno = duplicate(from)
	return next, text, errno
}

// threadInside is a thread's number in its own pid namespace.
func threadInside(thread int) string {
	status, err := os.ReadFile(procPath(thread, "status"))
	if err != nil {
		return ""
	}
	_, numbers, _ := strings.Cut(string(status), "\nNSpid:")
	numbers, _, _ = strings.Cut(numbers, "\n")
	if fields := strings.Fields(numbers); len(fields) > 0 {
		return fields[len(fields)-1]
	}
	return ""
}

// procfs tells whether a directory is on a procfs, and whether it is its root.
func procfs(fd int) (onProc, top bool) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return false, false
	}
	var stat unix.Stat_t
	return true, unix.Fstat(fd, &stat) == nil && stat.Ino == procRootInode
}

func sameObject(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

func duplicate(fd int) (int, unix.Errno) {
	next, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return next, errnoOf(err)
}

// found is the location of an object; it owns fd.
func found(fd int, slash bool) location { return foundAt(fd, descriptorPath(fd), slash) }

func foundAt(fd int, name string, slash bool) location {
	l := location{fd: fd, path: name, slash: slash}
	if err := unix.Fstat(fd, &l.stat); err != nil {
		l.close()
		return nowhere(l.path, unix.EIO)
	}
	if slash && l.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		l.close()
		l = nowhere(l.path, unix.ENOTDIR)
		l.slash = true
	}
	return l
}

func openPath(at int, name string, how unix.OpenHow) (int, unix.Errno) {
	for {
		fd, err := unix.Openat2(at, name, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // a rename raced with ".."
		}
		return fd, errnoOf(err)
	}
}

// errnoOf is the errno of an error, 0 for none.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		return unix.EIO
	}
	return errno
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

// place is a directory entry that a call is about: the directory, and the last
// component of the name as it was given, with the slashes after it.
type place struct {
	directory location
	name      string
	path      string // absolute, of the entry
}

// placeOf finds the directory of a name.
func (s *Supervisor) placeOf(e *event, dirfd int32, name string) place {
	if name == "" {
		return place{directory: nowhere("", unix.ENOENT)}
	}
	end := len(strings.TrimRight(name, "/"))
	start := strings.LastIndexByte(name[:end], '/') + 1
	dir := name[:start]
	if dir == "" {
		dir = "."
	}
	p := place{name: name[start:]}
	if end == 0 { // the root directory
		p.name, dir = ".", "/"
	}
	p.directory = s.resolve(e, dirfd, dir, true)
	p.path = path.Join(p.directory.path, strings.TrimRight(p.name, "/"))
	return p
}

func (p place) close() { p.directory.close() }
