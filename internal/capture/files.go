package capture

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

func (s *Supervisor) onOpen(e *event) {
	s.open(e, unix.AT_FDCWD, e.args[0], e.args[1], 0)
}

func (s *Supervisor) onOpenat(e *event) {
	s.open(e, int32(e.args[0]), e.args[1], e.args[2], 0)
}

func (s *Supervisor) onCreat(e *event) {
	s.open(e, unix.AT_FDCWD, e.args[0], unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, 0)
}

func (s *Supervisor) onOpenat2(e *event) {
	how, ok := s.words(e, e.args[2], 3) // struct open_how: flags, mode, resolve
	if ok {
		s.open(e, int32(e.args[0]), e.args[1], how[0], how[2])
	}
}

// open records an open with the result that the file system foretells.
func (s *Supervisor) open(e *event, dirfd int32, address, flags, how uint64) {
	name, ok := s.text(e, address, maxPath)
	if !ok {
		return
	}
	follow := flags&unix.O_NOFOLLOW == 0 && flags&(unix.O_CREAT|unix.O_EXCL) != unix.O_CREAT|unix.O_EXCL
	l := s.resolveHow(e, dirfd, name, follow, how)
	defer l.close()
	errno, created := foretell(l, flags)
	s.recordOpen(e, l, flags, errno, created)
}

// foretell is the errno of an open, and whether it makes the file.
func foretell(l location, flags uint64) (errno unix.Errno, created bool) {
	switch {
	case l.slash && flags&unix.O_CREAT != 0:
		return unix.EISDIR, false
	case l.errno == 0:
		return foretellOpen(l, flags), false
	case l.errno != unix.ENOENT || flags&unix.O_CREAT == 0 || l.parent <= 0:
		return l.errno, false
	}
	if onProc, _ := procfs(l.parent); onProc {
		return unix.ENOENT, false
	}
	errno = access(l.parent, unix.W_OK|unix.X_OK)
	return errno, errno == 0
}

// foretellOpen is the errno of an open of an object that exists, as open(2) has it.
func foretellOpen(l location, flags uint64) unix.Errno {
	kind := l.stat.Mode & unix.S_IFMT
	writes := flags&unix.O_ACCMODE != unix.O_RDONLY
	switch {
	case flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL:
		return unix.EEXIST
	case flags&unix.O_DIRECTORY != 0 && kind != unix.S_IFDIR:
		return unix.ENOTDIR
	case flags&unix.O_PATH != 0:
		return 0
	case kind == unix.S_IFLNK:
		return unix.ELOOP
	case flags&unix.O_TMPFILE == unix.O_TMPFILE:
		return access(l.fd, unix.W_OK|unix.X_OK)
	case kind == unix.S_IFDIR && (writes || flags&(unix.O_CREAT|unix.O_TRUNC) != 0):
		return unix.EISDIR
	case kind == unix.S_IFSOCK:
		return unix.ENXIO
	}
	mode := map[uint64]uint32{unix.O_RDONLY: unix.R_OK, unix.O_WRONLY: unix.W_OK}[flags&unix.O_ACCMODE]
	if mode == 0 {
		mode = unix.R_OK | unix.W_OK
	}
	if flags&unix.O_TRUNC != 0 {
		mode |= unix.W_OK
	}
	return access(l.fd, mode)
}

func (s *Supervisor) recordOpen(e *event, l location, flags uint64, errno unix.Errno, created bool) {
	p := e.p
	mode := openMode(l, flags)
	s.addOpen(e, evidence.Open{
		Path: l.path, Flags: flagText(flags), Mode: mode, Errno: errnoName(errno), Truth: evidence.TruthEntry, Timestamp: e.at,
	})
	if errno != 0 {
		if _, seen := p.opened[l.path]; !seen && s.options.Watched(l.path) {
			p.opened[l.path] = nil
		}
		return
	}
	if mode == "read" || mode == "readwrite" {
		if _, seen := p.opened[l.path]; !created {
			p.opened[l.path] = s.digests.of(l)
		} else if !seen {
			p.opened[l.path] = &digest{reason: "created"}
		}
	}
	if (mode == "write" || mode == "readwrite") && flags&unix.O_TMPFILE != unix.O_TMPFILE {
		s.addWrite(e, l.path, created)
	}
}

func (s *Supervisor) addOpen(e *event, o evidence.Open) {
	key := openKey{o.Path, o.Flags, o.Errno}
	if i, seen := e.p.opens[key]; seen {
		o := &e.p.record.FileOps.Opens[i]
		o.Count = max(o.Count, 1) + 1
		return
	}
	s.records++
	e.p.opens[key] = len(e.p.record.FileOps.Opens)
	e.p.record.FileOps.Opens = append(e.p.record.FileOps.Opens, o)
}

func (s *Supervisor) addWrite(e *event, path string, created bool) {
	if _, seen := e.p.written[path]; seen {
		return
	}
	s.records++
	e.p.written[path] = nil
	e.p.record.FileOps.Writes = append(e.p.record.FileOps.Writes, evidence.Write{Path: path, Created: created, Timestamp: e.at})
}

// hashWritten starts the digests of what a process wrote, as it is now.
func (s *Supervisor) hashWritten(p *process, open func(string) (int, error)) {
	for path := range p.written {
		fd, err := open(path)
		if err != nil {
			delete(p.written, path) // removed or renamed since
			continue
		}
		l := location{path: path, fd: fd}
		if err := unix.Fstat(fd, &l.stat); err == nil {
			p.written[path] = s.digests.of(l)
		}
		l.close()
	}
}

func openMode(l location, flags uint64) string {
	switch {
	case flags&unix.O_PATH != 0:
		return "path"
	case flags&unix.O_TMPFILE == unix.O_TMPFILE:
		return "write"
	case flags&unix.O_DIRECTORY != 0, l.fd >= 0 && l.stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return "directory"
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_WRONLY:
		return "write"
	case unix.O_RDWR:
		return "readwrite"
	}
	if flags&unix.O_TRUNC != 0 {
		return "write"
	}
	return "read"
}

// flagNames are the open flags in the order of fcntl.h; a combined flag comes
// before its parts. O_LARGEFILE is not an attribute of the request and left out.
var flagNames = [...]struct {
	bits uint64
	name string
}{
	{unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_TRUNC, "O_TRUNC"},
	{unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_SYNC, "O_SYNC"}, {unix.O_DSYNC, "O_DSYNC"},
	{unix.O_TMPFILE, "O_TMPFILE"}, {unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_NOFOLLOW, "O_NOFOLLOW"},
	{unix.O_CLOEXEC, "O_CLOEXEC"}, {unix.O_DIRECT, "O_DIRECT"}, {unix.O_NOATIME, "O_NOATIME"}, {unix.O_PATH, "O_PATH"},
}

func flagText(flags uint64) string {
	names := []string{[...]string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}[flags&unix.O_ACCMODE]}
	rest := flags
	for _, f := range flagNames {
		if f.bits != 0 && rest&f.bits == f.bits {
			names = append(names, f.name)
			rest &^= f.bits
		}
	}
	return strings.Join(names, "|")
}

func errnoName(errno unix.Errno) string {
	if errno == 0 {
		return ""
	}
	return unix.ErrnoName(errno)
}

// entry resolves the name of a directory entry that is about to be made, moved
// or removed, without following it, and says why that would fail. want tells
// whether the entry has to exist.
func (s *Supervisor) entry(e *event, dirfd int32, address uint64, want bool) (location, unix.Errno, bool) {
	name, ok := s.text(e, address, maxPath)
	if !ok {
		return nowhere("", 0), 0, false
	}
	l := s.resolve(e, dirfd, name, false)
	errno := l.errno
	switch {
	case errno == 0 && !want:
		errno = unix.EEXIST
	case errno == 0:
		errno = s.accessParent(e, dirfd, name)
	case errno == unix.ENOENT && !want && l.parent > 0:
		errno = access(l.parent, unix.W_OK|unix.X_OK)
	}
	return l, errno, true
}

func (s *Supervisor) onUnlink(e *event) { s.remove(e, unix.AT_FDCWD, e.args[0]) }

func (s *Supervisor) onUnlinkat(e *event) { s.remove(e, int32(e.args[0]), e.args[1]) }

func (s *Supervisor) remove(e *event, dirfd int32, address uint64) {
	l, errno, ok := s.entry(e, dirfd, address, true)
	if !ok {
		return
	}
	defer l.close()
	directory := e.name == "rmdir" || e.name == "unlinkat" && e.args[2]&unix.AT_REMOVEDIR != 0
	if errno == 0 {
		switch isDir := l.stat.Mode&unix.S_IFMT == unix.S_IFDIR; {
		case directory && !isDir:
			errno = unix.ENOTDIR
		case !directory && isDir:
			errno = unix.EISDIR
		}
	}
	s.records++
	ops := &e.p.record.FileOps
	ops.Deletes = append(ops.Deletes, evidence.Delete{Path: l.path, Errno: errnoName(errno), Timestamp: e.at})
}

func (s *Supervisor) onRename(e *event) {
	s.rename(e, unix.AT_FDCWD, e.args[0], unix.AT_FDCWD, e.args[1], 0)
}

func (s *Supervisor) onRenameat(e *event) {
	flags := uint64(0)
	if e.name == "renameat2" {
		flags = e.args[4]
	}
	s.rename(e, int32(e.args[0]), e.args[1], int32(e.args[2]), e.args[3], flags)
}

func (s *Supervisor) rename(e *event, fromFD int32, from uint64, toFD int32, to uint64, flags uint64) {
	source, errno, ok := s.entry(e, fromFD, from, true)
	defer source.close()
	if !ok {
		return
	}
	target, blocked, ok := s.entry(e, toFD, to, flags&unix.RENAME_EXCHANGE != 0)
	defer target.close()
	if !ok {
		return
	}
	if blocked == unix.EEXIST && flags&unix.RENAME_NOREPLACE == 0 {
		blocked = 0 // the target is replaced
	}
	isDir := func(l location) bool { return l.stat.Mode&unix.S_IFMT == unix.S_IFDIR }
	switch {
	case errno != 0:
	case acrossMounts(source, target):
		errno = unix.EXDEV
	case blocked != 0:
		errno = blocked
	case target.fd < 0 || flags&unix.RENAME_EXCHANGE != 0:
	case isDir(source) && !isDir(target):
		errno = unix.ENOTDIR
	case !isDir(source) && isDir(target):
		errno = unix.EISDIR
	}
	s.records++
	ops := &e.p.record.FileOps
	ops.Renames = append(ops.Renames, evidence.Rename{OldPath: source.path, NewPath: target.path, Errno: errnoName(errno), Timestamp: e.at})
	if errno == 0 && source.stat.Mode&unix.S_IFMT == unix.S_IFREG {
		e.p.written[target.path] = nil
	}
}

func (s *Supervisor) onLink(e *event) {
	s.link(e, unix.AT_FDCWD, e.args[0], unix.AT_FDCWD, e.args[1], false)
}

func (s *Supervisor) onLinkat(e *event) {
	s.link(e, int32(e.args[0]), e.args[1], int32(e.args[2]), e.args[3], e.args[4]&unix.AT_SYMLINK_FOLLOW != 0)
}

func (s *Supervisor) link(e *event, fromFD int32, from uint64, toFD int32, to uint64, follow bool) {
	name, ok := s.text(e, from, maxPath)
	if !ok {
		return
	}
	source := s.resolve(e, fromFD, name, follow)
	defer source.close()
	target, errno, ok := s.entry(e, toFD, to, false)
	defer target.close()
	if !ok {
		return
	}
	switch {
	case source.errno != 0:
		errno = source.errno
	case errno == 0 && acrossMounts(source, target):
		errno = unix.EXDEV
	case errno == 0 && source.stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		errno = unix.EPERM
	}
	s.addLink(e, evidence.Link{Target: source.path, Path: target.path, Errno: errnoName(errno), Timestamp: e.at})
}

func (s *Supervisor) onSymlink(e *event) { s.symlink(e, unix.AT_FDCWD, e.args[0], e.args[1]) }

func (s *Supervisor) onSymlinkat(e *event) {
	s.symlink(e, int32(e.args[1]), e.args[0], e.args[2])
}

func (s *Supervisor) symlink(e *event, dirfd int32, text, at uint64) {
	target, ok := s.text(e, text, maxPath)
	if !ok {
		return
	}
	l, errno, ok := s.entry(e, dirfd, at, false)
	defer l.close()
	if !ok {
		return
	}
	if errno == 0 && target == "" {
		errno = unix.ENOENT
	}
	s.addLink(e, evidence.Link{Target: target, Path: l.path, Symbolic: true, Errno: errnoName(errno), Timestamp: e.at})
}

func (s *Supervisor) addLink(e *event, l evidence.Link) {
	s.records++
	e.p.record.FileOps.Links = append(e.p.record.FileOps.Links, l)
}

func (s *Supervisor) onChmod(e *event) { s.chmod(e, unix.AT_FDCWD, e.args[0], e.args[1], 0) }

func (s *Supervisor) onFchmodat(e *event) {
	flags := uint64(0)
	if e.name == "fchmodat2" {
		flags = e.args[3]
	}
	s.chmod(e, int32(e.args[0]), e.args[1], e.args[2], flags)
}

func (s *Supervisor) chmod(e *event, dirfd int32, address, mode, flags uint64) {
	l, ok := s.object(e, dirfd, address, flags)
	defer l.close()
	if ok {
		s.addMode(e, l.path, mode, foretellAttributes(l))
	}
}

// foretellAttributes is the errno of a change of mode or owner: only the owner may
// change them, and nobody on a read-only mount.
func foretellAttributes(l location) unix.Errno {
	if l.errno != 0 {
		return l.errno
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(l.fd, &fs); err == nil && fs.Flags&unix.ST_RDONLY != 0 {
		return unix.EROFS
	}
	if int(l.stat.Uid) != os.Geteuid() {
		return unix.EPERM
	}
	return 0
}

// object resolves a path argument whose target has to exist; an empty path with
// AT_EMPTY_PATH means the descriptor.
func (s *Supervisor) object(e *event, dirfd int32, address, flags uint64) (location, bool) {
	name, ok := s.text(e, address, maxPath)
	if !ok {
		return nowhere("", 0), false
	}
	if name == "" && flags&unix.AT_EMPTY_PATH != 0 {
		l := s.described(e, dirfd)
		l.byNumber = true
		return l, true
	}
	return s.resolve(e, dirfd, name, flags&unix.AT_SYMLINK_NOFOLLOW == 0), true
}

// described is the location of an open descriptor.
func (s *Supervisor) described(e *event, number int32) location {
	fd, err := s.directory(e, number)
	if err != nil {
		return nowhere("", unix.EBADF)
	}
	return found(fd, false)
}

func (s *Supervisor) onFchmod(e *event) {
	l := s.described(e, int32(e.args[0]))
	defer l.close()
	s.addMode(e, l.path, e.args[1], foretellAttributes(l))
}

func (s *Supervisor) addMode(e *event, path string, mode uint64, errno unix.Errno) {
	s.records++
	ops := &e.p.record.FileOps
	ops.PermChanges = append(ops.PermChanges, evidence.PermChange{
		Path: path, Mode: fmt.Sprintf("%04o", mode&0o7777), SetExec: mode&0o111 != 0, Errno: errnoName(errno), Timestamp: e.at,
	})
}

func (s *Supervisor) onChown(e *event) {
	flags := uint64(0)
	if e.name == "lchown" {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	s.chown(e, unix.AT_FDCWD, e.args[0], e.args[1], e.args[2], flags)
}

func (s *Supervisor) onFchownat(e *event) {
	s.chown(e, int32(e.args[0]), e.args[1], e.args[2], e.args[3], e.args[4])
}

func (s *Supervisor) chown(e *event, dirfd int32, address, uid, gid, flags uint64) {
	l, ok := s.object(e, dirfd, address, flags)
	defer l.close()
	if ok {
		s.addOwner(e, l, uid, gid)
	}
}

func (s *Supervisor) onFchown(e *event) {
	l := s.described(e, int32(e.args[0]))
	defer l.close()
	s.addOwner(e, l, e.args[1], e.args[2])
}

func (s *Supervisor) addOwner(e *event, l location, uid, gid uint64) {
	errno := foretellAttributes(l)
	if errno == 0 && int32(uid) != -1 && uint32(uid) != l.stat.Uid {
		errno = unix.EPERM // needs CAP_CHOWN, which no traced process has
	}
	s.records++
	owner := strconv.Itoa(int(int32(uid))) + ":" + strconv.Itoa(int(int32(gid)))
	ops := &e.p.record.FileOps
	ops.PermChanges = append(ops.PermChanges, evidence.PermChange{Path: l.path, Mode: owner, Errno: errnoName(errno), Timestamp: e.at})
}

func (s *Supervisor) onTruncate(e *event) {
	l, ok := s.object(e, unix.AT_FDCWD, e.args[0], 0)
	defer l.close()
	if ok && l.errno == 0 && access(l.fd, unix.W_OK) == 0 {
		s.addWrite(e, l.path, false)
	}
}

func (s *Supervisor) onMkdir(e *event) { s.makeEntry(e, unix.AT_FDCWD, e.args[0], "directory", 0) }

func (s *Supervisor) onMkdirat(e *event) {
	s.makeEntry(e, int32(e.args[0]), e.args[1], "directory", 0)
}

func (s *Supervisor) onMknod(e *event) {
	s.makeEntry(e, unix.AT_FDCWD, e.args[0], nodeKind(e.args[1]), e.args[2])
}

func (s *Supervisor) onMknodat(e *event) {
	s.makeEntry(e, int32(e.args[0]), e.args[1], nodeKind(e.args[2]), e.args[3])
}

func nodeKind(mode uint64) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	}
	return "file"
}

func (s *Supervisor) makeEntry(e *event, dirfd int32, address uint64, kind string, device uint64) {
	l, errno, ok := s.entry(e, dirfd, address, false)
	defer l.close()
	if !ok {
		return
	}
	if errno == 0 && (kind == "block" || kind == "char" && uint32(device) != 0) { // char 0:0 is an overlay's whiteout
		errno = unix.EPERM // needs CAP_MKNOD, which no traced process has
	}
	s.records++
	ops := &e.p.record.FileOps
	ops.Dirs = append(ops.Dirs, evidence.Dir{Path: l.path, Kind: kind, Errno: errnoName(errno), Timestamp: e.at})
}
