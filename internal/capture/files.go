package capture

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

func (s *Supervisor) onOpen(e *event) {
	s.open(e, opening{dirfd: unix.AT_FDCWD, address: e.args[0], flags: e.args[1], mode: e.args[2]})
}

func (s *Supervisor) onOpenat(e *event) {
	s.open(e, opening{dirfd: int32(e.args[0]), address: e.args[1], flags: e.args[2], mode: e.args[3]})
}

func (s *Supervisor) onCreat(e *event) {
	s.open(e, opening{dirfd: unix.AT_FDCWD, address: e.args[0], flags: unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC, mode: e.args[1]})
}

func (s *Supervisor) onOpenat2(e *event) {
	how, ok := s.words(e, e.args[2], 3) // struct open_how: flags, mode, resolve
	if ok {
		s.open(e, opening{dirfd: int32(e.args[0]), address: e.args[1], flags: how[0], mode: how[1], how: how[2]})
	}
}

// opening is what an open asks for.
type opening struct {
	dirfd   int32
	address uint64 // of the name
	name    string
	flags   uint64
	mode    uint64 // of a file that is made
	how     uint64 // resolve flags of openat2
}

func (o opening) has(flags uint64) bool { return o.flags&flags == flags }

// lookup is how the kernel looks the name up.
func (o opening) lookup() look {
	return look{
		follow: !o.has(unix.O_NOFOLLOW) && !o.has(unix.O_CREAT|unix.O_EXCL), how: o.how, parent: o.has(unix.O_CREAT),
	}
}

// open records an open: with the result that the file system foretells, or, where
// the name could be changed before the kernel reads it, by making it here.
func (s *Supervisor) open(e *event, o opening) {
	var ok bool
	if o.name, ok = s.text(e, o.address, maxPath); !ok {
		return
	}
	l := s.resolveAs(e, o.dirfd, o.name, o.lookup())
	defer l.close()
	// A descriptor of O_PATH cannot be given to another process; nothing is read or
	// written through it, and a later open by it is recorded by what it is.
	ungiven := o.has(unix.O_PATH) && s.port.injects()
	if !ungiven && s.exposed(e) {
		s.openFor(e, o, l)
		return
	}
	if l.errno == 0 && !o.has(unix.O_PATH) && s.tellsOfInit(e, l) {
		// Init has the user of everybody inside; what tells of it is closed all the same.
		e.make(0, unix.EACCES)
		s.recordOpen(e, l, o.flags, result{errno: unix.EACCES, truth: evidence.TruthKernel})
		return
	}
	errno, created := foretell(l, o.flags)
	s.recordOpen(e, l, o.flags, result{errno: errno, created: created, truth: evidence.TruthEntry})
}

// result is what became of an open.
type result struct {
	errno   unix.Errno
	created bool
	truth   evidence.Truth
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
	var mode uint32 = unix.R_OK | unix.W_OK
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		mode = unix.R_OK
	case unix.O_WRONLY:
		mode = unix.W_OK
	}
	if flags&unix.O_TRUNC != 0 {
		mode |= unix.W_OK
	}
	if mode == unix.R_OK && l.stat.Mode&unix.S_IRUSR != 0 && int(l.stat.Uid) == unix.Geteuid() {
		return 0 // what most opens are: an owner needs no further look
	}
	return access(l.fd, mode)
}

func (s *Supervisor) recordOpen(e *event, l location, flags uint64, r result) {
	p := e.p
	mode := openMode(l, flags)
	s.addOpen(e, openKey{l.path, flags, r.errno}, mode, r.truth)
	if r.errno != 0 {
		if _, seen := p.opened[l.path]; !seen && s.options.Watched(l.path) {
			p.opened[l.path] = nil
		}
		return
	}
	if mode == "read" || mode == "readwrite" {
		if _, seen := p.opened[l.path]; !r.created {
			p.opened[l.path] = s.digests.of(l)
		} else if !seen {
			p.opened[l.path] = &digest{reason: "created"}
		}
	}
	if (mode == "write" || mode == "readwrite") && flags&unix.O_TMPFILE != unix.O_TMPFILE {
		s.addWrite(e, l.path, r.created)
		s.opensMemory(e, l.path)
	}
}

func (s *Supervisor) addOpen(e *event, key openKey, mode string, truth evidence.Truth) {
	if i, seen := e.p.opens[key]; seen {
		o := &e.p.record.FileOps.Opens[i]
		o.Count = max(o.Count, 1) + 1
		if truth == evidence.TruthEntry {
			o.Truth = truth
		}
		return
	}
	s.records++
	e.p.opens[key] = len(e.p.record.FileOps.Opens)
	e.p.record.FileOps.Opens = append(e.p.record.FileOps.Opens, evidence.Open{
		Path: key.path, Flags: flagText(key.flags), Mode: mode, Errno: errnoName(key.errno), Truth: truth, Timestamp: e.at,
	})
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
	case flags&unix.O_DIRECTORY != 0, l.stat.Mode&unix.S_IFMT == unix.S_IFDIR:
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

// Changes of directory entries are made here for the caller, always: it takes no
// more look-ups than foretelling what would become of them, and the result is the
// kernel's. The directory was resolved; the last component is the kernel's own to
// look up, with the slashes that followed it.

// entry reads a name and finds its place; one that cannot be read is answered.
func (s *Supervisor) entry(e *event, dirfd int32, address uint64) (place, bool) {
	name, ok := s.text(e, address, maxPath)
	if !ok {
		return place{directory: nowhere("", 0)}, false
	}
	return s.placeOf(e, dirfd, name), true
}

// ready is the error that keeps a change from being tried; else 0.
func (p place) ready() unix.Errno { return p.directory.errno }

func (s *Supervisor) onUnlink(e *event) { s.remove(e, unix.AT_FDCWD, e.args[0]) }

func (s *Supervisor) onUnlinkat(e *event) { s.remove(e, int32(e.args[0]), e.args[1]) }

func (s *Supervisor) remove(e *event, dirfd int32, address uint64) {
	p, ok := s.entry(e, dirfd, address)
	if !ok {
		return
	}
	defer p.close()
	flags := 0
	switch e.name {
	case "rmdir":
		flags = unix.AT_REMOVEDIR
	case "unlinkat":
		flags = int(int32(e.args[2]))
	}
	errno := p.ready()
	if errno == 0 {
		errno = errnoOf(unix.Unlinkat(p.directory.fd, p.name, flags))
	}
	e.make(0, errno)
	s.records++
	ops := &e.p.record.FileOps
	ops.Deletes = append(ops.Deletes, evidence.Delete{Path: p.path, Errno: errnoName(errno), Timestamp: e.at})
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
	source, ok := s.entry(e, fromFD, from)
	if !ok {
		return
	}
	defer source.close()
	target, ok := s.entry(e, toFD, to)
	if !ok {
		return
	}
	defer target.close()
	errno := cmp.Or(source.ready(), target.ready())
	if errno == 0 {
		errno = errnoOf(unix.Renameat2(source.directory.fd, source.name, target.directory.fd, target.name, uint(uint32(flags))))
	}
	e.make(0, errno)
	s.records++
	ops := &e.p.record.FileOps
	ops.Renames = append(ops.Renames, evidence.Rename{OldPath: source.path, NewPath: target.path, Errno: errnoName(errno), Timestamp: e.at})
	if errno == 0 && target.isRegular() {
		e.p.written[target.path] = nil
	}
}

// isRegular tells whether the entry is a regular file now.
func (p place) isRegular() bool {
	var stat unix.Stat_t
	err := unix.Fstatat(p.directory.fd, p.name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG
}

func (s *Supervisor) onLink(e *event) {
	s.link(e, unix.AT_FDCWD, e.args[0], unix.AT_FDCWD, e.args[1], 0)
}

func (s *Supervisor) onLinkat(e *event) {
	s.link(e, int32(e.args[0]), e.args[1], int32(e.args[2]), e.args[3], e.args[4])
}

func (s *Supervisor) link(e *event, fromFD int32, from uint64, toFD int32, to, flags uint64) {
	follow := unix.AT_SYMLINK_NOFOLLOW
	if flags&unix.AT_SYMLINK_FOLLOW != 0 {
		follow = 0
	}
	source, ok := s.object(e, fromFD, from, uint64(follow)|flags&unix.AT_EMPTY_PATH)
	if !ok {
		return
	}
	defer source.close()
	target, ok := s.entry(e, toFD, to)
	if !ok {
		return
	}
	defer target.close()
	errno := cmp.Or(source.errno, target.ready())
	if errno == 0 {
		// By the name of the descriptor: linkat(2) takes that from everybody.
		errno = errnoOf(unix.Linkat(unix.AT_FDCWD, selfDescriptor(source.fd), target.directory.fd, target.name, unix.AT_SYMLINK_FOLLOW))
	}
	e.make(0, errno)
	s.addLink(e, evidence.Link{Target: source.path, Path: target.path, Errno: errnoName(errno), Timestamp: e.at})
}

// selfDescriptor names an open descriptor of the calling thread's process.
func selfDescriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func (s *Supervisor) onSymlink(e *event) { s.symlink(e, unix.AT_FDCWD, e.args[0], e.args[1]) }

func (s *Supervisor) onSymlinkat(e *event) {
	s.symlink(e, int32(e.args[1]), e.args[0], e.args[2])
}

func (s *Supervisor) symlink(e *event, dirfd int32, text, at uint64) {
	target, ok := s.text(e, text, maxPath)
	if !ok {
		return
	}
	p, ok := s.entry(e, dirfd, at)
	if !ok {
		return
	}
	defer p.close()
	errno := p.ready()
	if errno == 0 {
		errno = errnoOf(unix.Symlinkat(target, p.directory.fd, p.name))
	}
	e.make(0, errno)
	s.addLink(e, evidence.Link{Target: target, Path: p.path, Symbolic: true, Errno: errnoName(errno), Timestamp: e.at})
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
	if !ok {
		return
	}
	errno := foretellAttributes(l)
	if s.exposed(e) {
		if errno = l.errno; errno == 0 {
			errno = errnoOf(unix.Fchmodat(unix.AT_FDCWD, selfDescriptor(l.fd), uint32(mode&0o7777), 0))
		}
		e.make(0, errno)
	}
	s.addMode(e, l.path, mode, errno)
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
	if !ok {
		return
	}
	errno := s.addOwner(e, l, uid, gid)
	if s.exposed(e) {
		if errno == 0 {
			errno = errnoOf(unix.Fchownat(l.fd, "", int(int32(uid)), int(int32(gid)), unix.AT_EMPTY_PATH))
		}
		e.make(0, errno)
	}
}

func (s *Supervisor) onFchown(e *event) {
	l := s.described(e, int32(e.args[0]))
	defer l.close()
	s.addOwner(e, l, e.args[1], e.args[2])
}

func (s *Supervisor) addOwner(e *event, l location, uid, gid uint64) unix.Errno {
	errno := foretellAttributes(l)
	if errno == 0 && int32(uid) != -1 && uint32(uid) != l.stat.Uid {
		errno = unix.EPERM // needs CAP_CHOWN, which no traced process has
	}
	s.records++
	owner := strconv.Itoa(int(int32(uid))) + ":" + strconv.Itoa(int(int32(gid)))
	ops := &e.p.record.FileOps
	ops.PermChanges = append(ops.PermChanges, evidence.PermChange{Path: l.path, Mode: owner, Errno: errnoName(errno), Timestamp: e.at})
	return errno
}

func (s *Supervisor) onTruncate(e *event) {
	l, ok := s.object(e, unix.AT_FDCWD, e.args[0], 0)
	defer l.close()
	if !ok {
		return
	}
	errno := l.errno
	if errno == 0 {
		errno = access(l.fd, unix.W_OK)
	}
	if s.exposed(e) {
		if errno == 0 {
			errno = errnoOf(unix.Truncate(selfDescriptor(l.fd), int64(e.args[1])))
		}
		e.make(0, errno)
	}
	if errno == 0 {
		s.addWrite(e, l.path, false)
	}
}

func (s *Supervisor) onMkdir(e *event) {
	s.makeEntry(e, unix.AT_FDCWD, e.args[0], unix.S_IFDIR|e.args[1]&0o7777, 0)
}

func (s *Supervisor) onMkdirat(e *event) {
	s.makeEntry(e, int32(e.args[0]), e.args[1], unix.S_IFDIR|e.args[2]&0o7777, 0)
}

func (s *Supervisor) onMknod(e *event) {
	s.makeEntry(e, unix.AT_FDCWD, e.args[0], e.args[1]&0xffff, e.args[2])
}

func (s *Supervisor) onMknodat(e *event) {
	s.makeEntry(e, int32(e.args[0]), e.args[1], e.args[2]&0xffff, e.args[3])
}

func entryKind(mode uint64) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "directory"
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

func (s *Supervisor) makeEntry(e *event, dirfd int32, address, mode, device uint64) {
	p, ok := s.entry(e, dirfd, address)
	if !ok {
		return
	}
	defer p.close()
	errno := p.ready()
	var mask uint64
	if errno == 0 {
		mask, errno = umask(e.thread())
	}
	switch isDirectory := e.name == "mkdir" || e.name == "mkdirat"; {
	case errno != 0:
	case isDirectory:
		errno = errnoOf(unix.Mkdirat(p.directory.fd, p.name, uint32(mode&0o7777&^mask)))
	default:
		errno = errnoOf(unix.Mknodat(p.directory.fd, p.name, uint32(mode&^mask), int(uint32(device))))
	}
	e.make(0, errno)
	s.addDir(e, dirKey{p.path, entryKind(mode), errno})
}

// dirKey is what makes two attempts that failed one record: an installer makes the
// directory of each file anew.
type dirKey struct {
	path, kind string
	errno      unix.Errno
}

func (s *Supervisor) addDir(e *event, key dirKey) {
	ops := &e.p.record.FileOps
	if i, seen := e.p.dirs[key]; seen && key.errno != 0 {
		ops.Dirs[i].Count = max(ops.Dirs[i].Count, 1) + 1
		return
	}
	s.records++
	e.p.dirs[key] = len(ops.Dirs)
	ops.Dirs = append(ops.Dirs, evidence.Dir{Path: key.path, Kind: key.kind, Errno: errnoName(key.errno), Timestamp: e.at})
}
