package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of the view of the host; what goes beyond them is bound read-only.
const (
	maxSplit     = 512      // entries of a directory that is shown entry by entry
	maxLayers    = 2048     // mounts of the whole view
	maxCopied    = 1 << 20  // bytes of one file that is copied: 1 MiB
	maxCopiedAll = 32 << 20 // bytes of all of them: 32 MiB
)

// Layers asks for a throw-away layer over every directory of the host.
type Layers struct {
	// Directory is an empty directory of the host that gets them. Nothing of it is
	// visible inside.
	Directory string `json:"directory"`
	// Below are the layers of an earlier sandbox: what was changed there is seen here.
	Below []Layer `json:"below,omitempty"`
}

// Layer is one directory inside and where on the host its content is.
type Layer struct {
	// Path is absolute, inside.
	Path string `json:"path"`
	// Upper has what was changed, as overlayfs keeps it (character device 0:0 for
	// what is gone, user.overlay.opaque for a directory that hides all below it);
	// empty where nothing can be changed, Reason saying why.
	Upper string `json:"upper,omitempty"`
	// Lower are the directories that it lies over, the topmost first; none for a
	// directory that starts empty.
	Lower []string `json:"lower,omitempty"`
	// Whole tells that no overlay could be had and Upper is a copy of Lower with the
	// changes in it.
	Whole bool `json:"whole,omitempty"`
	// Mode are the permission bits that Path started with.
	Mode   uint32 `json:"mode,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// pseudo are file systems without files of their own, by their name in
// /proc/self/mountinfo (proc_pid_mountinfo(5)): nothing in them can be changed in
// a layer, and an automount point must not be entered only to look at it.
func pseudo(kind string) bool {
	switch kind {
	case "proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "pstore", "efivarfs", "configfs",
		"devpts", "devtmpfs", "mqueue", "hugetlbfs", "binfmt_misc", "fusectl", "autofs", "nsfs", "rpc_pipefs", "selinuxfs":
		return true
	}
	return false
}

// mountPoint is one line of /proc/self/mountinfo.
type mountPoint struct{ path, kind string }

// readMounts reads the mount points that this process sees.
func readMounts() ([]mountPoint, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return parseMounts(string(text)), nil
}

func parseMounts(text string) []mountPoint {
	var mounts []mountPoint
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if ok && len(fields) > 4 && len(kind) > 0 {
			mounts = append(mounts, mountPoint{unescapeOctal(fields[4]), kind[0]})
		}
	}
	return mounts
}

// unescapeOctal undoes the \040 of mount tables.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// view builds what is seen of the host below root, and remembers how.
//
//	directory without mounts below it    overlay: host below, a layer above
//	directory with mounts below it       overlay of a skeleton, and its entries one by one
//	pseudo file system                   read-only bind
//	overlay refused                      read-only overlay, else read-only bind
//
// An overlay of / is refused in a user namespace, and so is one of a directory
// with mounts below it, because it would show what they hide.
type view struct {
	root   string
	spec   Spec
	mounts []mountPoint
	// hole is the path that holds the layers themselves, or what hides them: a lower
	// directory must not contain its upper one.
	hole string
	// refused is why no layer can be had in spec.Layers.Directory at all.
	refused string
	layers  []Layer
	made    []string // mount points that had to be made, inside
	serial  int
	copied  int64
}

func newView(spec Spec) (*view, error) {
	v := &view{root: spec.RootDir, spec: spec}
	var err error
	if v.mounts, err = readMounts(); err != nil {
		return nil, err
	}
	if spec.Layers == nil {
		v.refused = "not asked for"
		return v, nil
	}
	v.hole = spec.Layers.Directory
	for _, h := range spec.Hidden {
		if within(spec.Layers.Directory, h) && within(v.hole, h) {
			v.hole = h
		}
	}
	v.refused = v.try()
	return v, nil
}

// within tells whether the absolute path p is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// try mounts an overlay with its upper layer where all of them will be, and
// returns why that cannot be done.
func (v *view) try() string {
	upper, err := v.newDirectory("upper", 0o755)
	if err != nil {
		return err.Error()
	}
	// Without user attributes the kernel mounts the overlay all the same, and fails
	// later, when a directory is made where one was removed.
	if err := unix.Setxattr(upper, "user.pip_witness", []byte("1"), 0); err != nil {
		return fmt.Sprintf("the file system of the temporary directory keeps no user attributes: %v", err)
	}
	lower, err := v.newDirectory("lower", 0o755)
	if err != nil {
		return err.Error()
	}
	target, err := v.newDirectory("target", 0o755)
	if err != nil {
		return err.Error()
	}
	work, err := v.newDirectory("work", 0o700)
	if err != nil {
		return err.Error()
	}
	if err := v.overlay(target, []string{lower}, upper, work); err != nil {
		return fmt.Sprintf("no overlay can be had in the temporary directory: %v", err)
	}
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		return err.Error()
	}
	return ""
}

// newDirectory makes a directory for one layer.
func (v *view) newDirectory(what string, mode fs.FileMode) (string, error) {
	dir := filepath.Join(v.spec.Layers.Directory, fmt.Sprintf("%s-%d", what, v.serial))
	v.serial++
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make layer: %w", err)
	}
	if err := unix.Chmod(dir, uint32(mode)); err != nil { // os.Chmod knows set-id bits by other names
		return "", fmt.Errorf("make layer: %w", err)
	}
	return dir, nil
}

// overlay mounts one; without upper it is read-only, which takes a second lower
// directory. The directories are named by descriptors: their real names may hold
// characters that separate options, may be longer than the page that options have
// to fit in, and are nothing that a process inside should read in /proc/mounts.
func (v *view) overlay(target string, lower []string, upper, work string) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	name := func(dir string) (string, error) {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("open layer %q: %w", dir, err)
		}
		files = append(files, os.NewFile(uintptr(fd), dir))
		return fmt.Sprintf("/proc/self/fd/%d", fd), nil
	}
	var names []string
	for _, dir := range lower {
		n, err := name(dir)
		if err != nil {
			return err
		}
		names = append(names, n)
	}
	// userxattr (5.11) keeps the overlay's own marks in user attributes, which a user
	// namespace may set.
	options := "userxattr,lowerdir=" + strings.Join(names, ":")
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | v.noExec(lower[len(lower)-1]))
	if upper == "" {
		flags |= unix.MS_RDONLY
		return mountOverlay(target, flags, options)
	}
	for _, layer := range [...][2]string{{"upperdir", upper}, {"workdir", work}} {
		n, err := name(layer[1])
		if err != nil {
			return err
		}
		options += "," + layer[0] + "=" + n
	}
	return mountOverlay(target, flags, options)
}

func mountOverlay(target string, flags uintptr, options string) error {
	if err := unix.Mount("overlay", target, "overlay", flags, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

// noExec is the flag of the mount that dir is on: an overlay does not take it over.
func (v *view) noExec(dir string) int {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err == nil && s.Flags&unix.ST_NOEXEC != 0 {
		return unix.MS_NOEXEC
	}
	return 0
}

// host shows the host's top-level entries.
func (v *view) host() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return fmt.Errorf("list /: %w", err)
	}
	for _, e := range entries {
		if isSpecial(e.Name()) {
			continue
		}
		source, target := "/"+e.Name(), filepath.Join(v.root, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			if err := copyLink(source, target); err != nil {
				return err
			}
		case e.IsDir():
			if err := os.Mkdir(target, 0o755); err != nil {
				return fmt.Errorf("show %q: %w", source, err)
			}
			if err := v.directory(source); err != nil {
				return err
			}
		case e.Type().IsRegular():
			if err := bind(Bind{Source: source, Target: target}); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyLink(source, target string) error {
	text, err := os.Readlink(source)
	if err != nil {
		return fmt.Errorf("read link %q: %w", source, err)
	}
	if err := os.Symlink(text, target); err != nil {
		return fmt.Errorf("make link %q: %w", source, err)
	}
	return nil
}

// directory shows one directory of the host at its own path, which exists below
// the new root.
func (v *view) directory(path string) error {
	if path == v.hole {
		return nil // empty, or covered later
	}
	inner := slices.ContainsFunc(v.mounts, func(m mountPoint) bool { return m.path != path && within(m.path, path) })
	switch {
	case v.isPseudo(path):
		return v.readOnly(path, "not a file system of files")
	case v.refused != "":
		return v.readOnly(path, v.refused)
	case len(v.layers) >= maxLayers:
		return v.readOnly(path, fmt.Sprintf("more than %d directories", maxLayers))
	case !inner && !within(v.hole, path):
		return v.layer(path, []string{path})
	}
	return v.split(path)
}

// isPseudo tells whether a pseudo file system is mounted at path.
func (v *view) isPseudo(path string) bool {
	kind := ""
	for _, m := range v.mounts {
		if m.path == path {
			kind = m.kind // of several the last one is on top
		}
	}
	return pseudo(kind)
}

// readOnly shows a directory as it is, unchangeable. An overlay without a layer
// for changes is preferred to a bind: through a bind a process can still connect
// to the sockets in it, through an overlay to none, because the inode that it
// shows is not the one that the service listens on.
func (v *view) readOnly(path, reason string) error {
	l := Layer{Path: path, Lower: []string{path}, Reason: reason}
	v.layers = append(v.layers, l)
	target := filepath.Join(v.root, path)
	if v.spec.Layers != nil && !v.isPseudo(path) && !within(v.hole, path) {
		empty, err := v.newDirectory("empty", 0o755)
		if err == nil {
			err = v.overlay(target, []string{path, empty}, "", "")
		}
		if err == nil {
			return nil
		}
	}
	return bind(Bind{Source: path, Target: target})
}

// layer puts a throw-away layer over a directory, below it what earlier sandboxes
// changed there. Where it is refused the directory is read-only.
func (v *view) layer(path string, lower []string) error {
	l := Layer{Path: path, Lower: append(v.below(path), lower...)}
	mode, err := startMode(l.Lower[0])
	if err != nil {
		return v.readOnly(path, err.Error())
	}
	l.Mode = mode
	if l.Upper, err = v.newDirectory("upper", fs.FileMode(mode)); err != nil {
		return err
	}
	work, err := v.newDirectory("work", 0o700)
	if err != nil {
		return err
	}
	if err := v.openTemporary(l); err != nil {
		return err
	}
	if err := v.overlay(filepath.Join(v.root, path), l.Lower, l.Upper, work); err != nil {
		return v.readOnly(path, err.Error())
	}
	v.layers = append(v.layers, l)
	return nil
}

// temporary is the directory of the host that everybody may write to and that is
// not shown empty.
const temporary = "/var/tmp"

// openTemporary makes the temporary directory in the layer above it beforehand. The
// kernel copies a directory before the first change in it, with its owner, and for
// an ordinary user that fails where the owner is another one.
func (v *view) openTemporary(l Layer) error {
	if os.Getuid() == 0 || l.Path == temporary || !within(temporary, l.Path) || v.hole == temporary || !isDirectory(temporary) {
		return nil
	}
	var st unix.Stat_t
	dir := l.Upper
	for _, name := range strings.Split(strings.TrimPrefix(temporary, l.Path+"/"), "/") {
		dir = filepath.Join(dir, name)
		inside := filepath.Join(l.Path, strings.TrimPrefix(dir, l.Upper))
		if err := unix.Lstat(inside, &st); err != nil {
			return fmt.Errorf("look at %q: %w", inside, err)
		}
		if err := errors.Join(os.Mkdir(dir, 0o700), unix.Chmod(dir, st.Mode&0o7777)); err != nil {
			return fmt.Errorf("make %q in its layer: %w", inside, err)
		}
		v.made = append(v.made, inside)
	}
	return nil
}

// below are the layers of an earlier sandbox over the same directory.
func (v *view) below(path string) []string {
	var dirs []string
	for _, l := range v.spec.Layers.Below {
		if l.Path == path && l.Upper != "" && !l.Whole {
			dirs = append(dirs, l.Upper)
		}
	}
	return dirs
}

// startMode is the mode for the directory at the top of an overlay, which shows as
// the lower one does. Its owner cannot be kept, so where the lower one cannot be
// written to the write bits go.
func startMode(lower string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(lower, &st); err != nil {
		return 0, fmt.Errorf("look at %q: %w", lower, err)
	}
	mode := st.Mode & 0o7777
	if unix.Access(lower, unix.W_OK) != nil {
		mode &^= 0o222
	}
	return mode, nil
}

// split shows a directory entry by entry: directories each in a way of their own,
// links and the user's own files as copies, other files by read-only binds.
// Sockets, pipes and devices are left out.
func (v *view) split(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return v.readOnly(path, fmt.Sprintf("has mounts below it and cannot be listed: %v", err))
	}
	if len(entries) > maxSplit {
		return v.readOnly(path, fmt.Sprintf("has mounts below it and more than %d entries", maxSplit))
	}
	skeleton, err := v.newDirectory("skeleton", 0o755)
	if err != nil {
		return err
	}
	var directories, binds []string
	for _, e := range entries {
		source, target := filepath.Join(path, e.Name()), filepath.Join(skeleton, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			err = copyLink(source, target)
		case e.IsDir():
			directories = append(directories, source)
			err = os.Mkdir(target, 0o755)
		case e.Type().IsRegular() && v.copyOwn(source, target):
		case e.Type().IsRegular():
			binds = append(binds, source)
			err = makeMountPoint(target, false)
		}
		if err != nil {
			return fmt.Errorf("show %q: %w", source, err)
		}
	}
	mode, err := startMode(path)
	if err != nil {
		return v.readOnly(path, err.Error())
	}
	if err := unix.Chmod(skeleton, mode); err != nil {
		return fmt.Errorf("show %q: %w", path, err)
	}
	before := len(v.layers)
	if err := v.layer(path, []string{skeleton}); err != nil {
		return err
	}
	if v.layers[before].Upper == "" {
		return nil // the whole of it was bound
	}
	for _, source := range binds {
		v.layers = append(v.layers, Layer{Path: source, Lower: []string{source}, Reason: "a file beside a mount point"})
		if err := bind(Bind{Source: source, Target: filepath.Join(v.root, source)}); err != nil {
			return err
		}
	}
	for _, source := range directories {
		if err := v.directory(source); err != nil {
			return err
		}
	}
	return nil
}

// copyOwn copies a small file whose owner and group are those of this process: the
// copy then differs in nothing that can be seen, and can be changed. A file that
// is a mount point itself, and one of another owner, which nobody inside could
// change anyway, is left to a bind.
func (v *view) copyOwn(source, target string) bool {
	if slices.ContainsFunc(v.mounts, func(m mountPoint) bool { return m.path == source }) {
		return false
	}
	fd, err := unix.Open(source, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	from := os.NewFile(uintptr(fd), source)
	defer from.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG ||
		int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() || st.Size > maxCopied || v.copied+st.Size > maxCopiedAll {
		return false
	}
	v.copied += st.Size
	if err := copyContent(from, target, &st); err != nil {
		_ = os.Remove(target) // a bind takes its place, and says what is wrong
		return false
	}
	return true
}

func copyContent(from io.Reader, target string, st *unix.Stat_t) error {
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := unix.Fchmod(int(to.Fd()), st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, target, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// empty makes a directory that starts empty and can be written to. With layers
// what is made in it is kept.
func (v *view) empty(path string) error {
	target := filepath.Join(v.root, path)
	if v.spec.Layers == nil {
		return mountTmpfs(target, "mode=0755")
	}
	if err := v.point(target, true); err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	upper, err := v.newDirectory("upper", 0o755)
	if err != nil {
		return err
	}
	work, err := v.newDirectory("work", 0o700)
	if err != nil {
		return err
	}
	return v.stack(Layer{Path: path, Lower: v.below(path), Upper: upper, Mode: 0o755}, work)
}

// stack mounts the upper directory of a layer, over the lower ones or over
// nothing. Where no overlay can be had it becomes a copy of the lower one.
func (v *view) stack(l Layer, work string) error {
	target := filepath.Join(v.root, l.Path)
	if len(l.Lower) > 0 {
		err := errors.New(v.refused)
		if v.refused == "" || v.spec.Layers == nil {
			err = v.overlay(target, l.Lower, l.Upper, work)
		}
		if err == nil {
			v.layers = append(v.layers, l)
			return nil
		}
		if v.spec.Layers == nil || len(l.Lower) > 1 {
			return fmt.Errorf("overlay %q: %w", l.Path, err)
		}
		l.Whole, l.Reason = true, err.Error()
		if err := copyTree(l.Lower[0], l.Upper); err != nil {
			return fmt.Errorf("copy %q, as no overlay can be had: %w", l.Path, err)
		}
	}
	v.layers = append(v.layers, l)
	return bind(Bind{Source: l.Upper, Target: target, Writable: true})
}

// point makes a mount point and remembers what of it was not there before.
func (v *view) point(target string, dir bool) error {
	for p := target; p != v.root && p != "/"; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil {
			break
		}
		v.made = append(v.made, strings.TrimPrefix(p, v.root))
	}
	return makeMountPoint(target, dir)
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// copyTree copies directories, files and links with modes and times; other kinds
// of entries are left out. The directory to exists.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		switch {
		case d.IsDir() && path == from:
			return unix.Chmod(to, st.Mode&0o7777)
		case d.IsDir():
			return os.Mkdir(target, fs.FileMode(st.Mode&0o777)|0o700)
		case d.Type()&os.ModeSymlink != 0:
			return copyLink(path, target)
		case d.Type().IsRegular():
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return copyContent(f, target, &st)
		}
		return nil
	})
}
