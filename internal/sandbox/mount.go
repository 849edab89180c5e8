package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// special are top-level entries that are never taken from the host as they are.
var special = [...]string{"proc", "sys", "dev", "tmp", "run", "home", "root"}

// buildRoot makes the file system that the command sees and makes it the root.
// It returns what it shows, which includes the protections that could not be had.
//
// The host's top-level directories are shown one by one on a new tmpfs, each below
// a layer of its own that takes the changes (see view): what is not shown is not
// there. /tmp, /run, /home, /root and the hidden paths start empty; /run in
// particular holds the sockets of host services.
func buildRoot(spec Spec) (world, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return world{}, fmt.Errorf("make mounts private: %w", err)
	}
	root := spec.RootDir
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return world{}, fmt.Errorf("mount root %q: %w", root, err)
	}
	v, err := newView(spec)
	if err != nil {
		return world{}, err
	}
	steps := []func() error{
		v.host,
		func() error { return mountSys(root) },
		func() error { return mountDev(root) },
		func() error { return v.makeEmpty(spec.Hidden) },
		v.applyMounts,
		func() error { return writeFiles(root, spec.Files) },
		func() error { return mountProc(root) },
		func() error { return enter(root) },
		func() error { return hideSockets(spec.Sockets) },
		readOnlyRoot,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return world{}, err
		}
	}
	return world{Layers: v.layers, Made: v.made, Missing: v.missing()}, nil
}

// missing says in words which layers there should be and are not.
func (v *view) missing() []string {
	if v.refused != "" {
		return []string{"overlay of host directories: " + v.refused}
	}
	var missing []string
	for _, l := range v.layers {
		if l.Whole {
			missing = append(missing, fmt.Sprintf("overlay of %s: %s", l.Path, l.Reason))
		}
	}
	for _, earlier := range v.spec.Layers.Below {
		same := func(l Layer) bool { return l.Path == earlier.Path && l.Upper != "" }
		if earlier.Upper != "" && !slices.ContainsFunc(v.layers, same) {
			missing = append(missing, "what was changed before in "+earlier.Path)
		}
	}
	return missing
}

func isSpecial(name string) bool {
	return slices.Contains(special[:], name)
}

// bind shows source at the host path target, which is made when absent.
func bind(b Bind) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("bind %q: %w", b.Source, err)
	}
	if err := makeMountPoint(b.Target, info.IsDir()); err != nil {
		return fmt.Errorf("bind %q: %w", b.Source, err)
	}
	if err := unix.Mount(b.Source, b.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %q to %q: %w", b.Source, b.Target, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !b.Writable {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, b.Target, unix.AT_RECURSIVE, attr); err != nil {
		return fmt.Errorf("restrict mount %q: %w", b.Target, err)
	}
	return nil
}

func makeMountPoint(target string, dir bool) error {
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func mountProc(root string) error {
	target := filepath.Join(root, "proc")
	if err := os.MkdirAll(target, 0o555); err != nil {
		return fmt.Errorf("make /proc: %w", err)
	}
	err := unix.Mount("proc", target, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.EPERM) {
		return &UnavailableError{
			Reason: "mount /proc: " + err.Error() + ": an enclosing container masks parts of /proc",
			Hint:   "start it with: docker run --security-opt systempaths=unconfined",
		}
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := limitPIDs(target); err != nil {
		return err
	}
	if err := forbidNesting(target); err != nil {
		return err
	}
	return protectProc(target)
}

// forbidNesting allows no user namespace inside this one: a package has no use for
// one, and it is the way to most of the kernel that needs a privilege. In the
// initial user namespace the setting is the whole machine's and stays.
func forbidNesting(proc string) error {
	own, err := os.ReadFile(filepath.Join(proc, "self/uid_map"))
	if err != nil {
		return fmt.Errorf("read the user id map: %w", err)
	}
	if fields := strings.Fields(string(own)); len(fields) == 3 && fields[2] == "4294967295" {
		return nil
	}
	err = os.WriteFile(filepath.Join(proc, "sys/user/max_user_namespaces"), []byte("0"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forbid user namespaces: %w", err)
	}
	return nil
}

// maxPIDs bounds the threads and processes inside: the number that kernels start
// with, below which numbers come around soon enough to be confused.
const maxPIDs = 1 << 15

// limitPIDs lowers kernel.pid_max where it belongs to the pid namespace, which is
// since 6.14. On older kernels it is the whole machine's, and only read-only here.
func limitPIDs(proc string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's release: %w", err)
	}
	if !atLeast(unix.ByteSliceToString(u.Release[:]), 6, 14) {
		return nil
	}
	name := filepath.Join(proc, "sys/kernel/pid_max")
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("limit processes: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("limit processes: read %q: %w", name, err)
	}
	if n <= maxPIDs {
		return nil
	}
	err = os.WriteFile(name, []byte(strconv.Itoa(maxPIDs)), 0o644)
	if errors.Is(err, os.ErrPermission) {
		return nil // settings are the machine owner's here; the supervisor counts processes too
	}
	if err != nil {
		return fmt.Errorf("limit processes: %w", err)
	}
	return nil
}

// atLeast compares a kernel release, "6.14.0-rc1", with a version.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

// protectProc makes read-only what in /proc belongs to the whole machine. The
// user id 0 of the host keeps the owner's rights there without any capability,
// and among it are settings such as the program that the kernel starts, outside,
// for every crash.
func protectProc(proc string) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("list /proc: %w", err)
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil || e.Type()&os.ModeSymlink != 0 {
			continue // a process, or a link to one
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("look at /proc/%s: %w", e.Name(), err)
		}
		if !e.IsDir() && info.Mode()&0o222 == 0 {
			continue
		}
		name := filepath.Join(proc, e.Name())
		if err := bind(Bind{Source: name, Target: name}); err != nil {
			return err
		}
	}
	return nil
}

func mountSys(root string) error {
	return bind(Bind{Source: "/sys", Target: filepath.Join(root, "sys")})
}

// devices are the host devices that a command may use.
var devices = [...]string{"null", "zero", "full", "random", "urandom", "tty"}

// sharedMemory bounds /dev/shm, which lies in memory that is no process's own.
const sharedMemory = "mode=1777,size=1g,nr_inodes=65536"

// links are the usual names in /dev.
var links = [...][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
}

func mountDev(root string) error {
	dev := filepath.Join(root, "dev")
	if err := mountTmpfs(dev, "mode=0755"); err != nil {
		return err
	}
	for _, name := range devices {
		target := filepath.Join(dev, name)
		if err := makeMountPoint(target, false); err != nil {
			return fmt.Errorf("make %q: %w", target, err)
		}
		if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind /dev/%s: %w", name, err)
		}
	}
	for _, l := range links {
		if err := os.Symlink(l[0], filepath.Join(dev, l[1])); err != nil {
			return fmt.Errorf("make /dev/%s: %w", l[1], err)
		}
	}
	if err := mountTmpfs(filepath.Join(dev, "shm"), sharedMemory); err != nil {
		return err
	}
	pts := filepath.Join(dev, "pts")
	if err := os.MkdirAll(pts, 0o755); err != nil {
		return fmt.Errorf("make /dev/pts: %w", err)
	}
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}

func mountTmpfs(target, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make %q: %w", target, err)
	}
	if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount tmpfs on %q: %w", target, err)
	}
	return nil
}

// makeEmpty makes the throw-away directories and the hidden paths empty, outermost
// first.
func (v *view) makeEmpty(hidden []string) error {
	for _, p := range []string{"/tmp", "/run"} {
		if err := mountTmpfs(filepath.Join(v.root, p), "mode=0755"); err != nil {
			return err
		}
	}
	paths := append([]string{"/home", "/root"}, hidden...)
	slices.Sort(paths)
	last := ""
	for _, p := range paths {
		if within(p, "/tmp") || within(p, "/run") || last != "" && within(p, last) {
			continue // below one that is empty already
		}
		last = p
		if err := v.empty(p); err != nil {
			return err
		}
	}
	return nil
}

// applyMounts lays overlays and binds over the view, outer ones before those below
// them; of those at one place overlays first, then binds in their order.
func (v *view) applyMounts() error {
	type place struct {
		target string
		apply  func() error
	}
	var places []place
	for _, o := range v.spec.Overlays {
		places = append(places, place{o.Target, func() error { return v.applyOverlay(o) }})
	}
	for _, b := range v.spec.Binds {
		places = append(places, place{b.Target, func() error { return v.applyBind(b) }})
	}
	slices.SortStableFunc(places, func(a, b place) int { return strings.Compare(a.target, b.target) })
	for _, p := range places {
		if err := p.apply(); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) applyOverlay(o Overlay) error {
	if err := v.point(filepath.Join(v.root, o.Target), true); err != nil {
		return fmt.Errorf("overlay %q: %w", o.Target, err)
	}
	l := Layer{Path: o.Target, Lower: append(slices.Clone(o.Below), o.Lower), Upper: o.Upper}
	var st unix.Stat_t
	if err := unix.Stat(o.Upper, &st); err != nil {
		return fmt.Errorf("overlay %q: look at %q: %w", o.Target, o.Upper, err)
	}
	l.Mode = st.Mode & 0o7777
	return v.stack(l, o.Work)
}

func (v *view) applyBind(b Bind) error {
	target, err := inRoot(v.root, b.Target)
	if err != nil {
		return err
	}
	info, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("bind %q: %w", b.Source, err)
	}
	if err := v.point(target, info.IsDir()); err != nil {
		return fmt.Errorf("bind %q: %w", b.Source, err)
	}
	return bind(Bind{Source: b.Source, Target: target, Writable: b.Writable})
}

// hideSockets covers the sockets of host services that can be reached by path. In
// an overlay they cannot be connected to (see view.readOnly), in a bind they can.
func hideSockets(paths []string) error {
	for _, p := range paths {
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Lstat(p, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || unix.Statfs(p, &fs) != nil || fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
			continue
		}
		if err := unix.Mount("/dev/null", p, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide socket %q: %w", p, err)
		}
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, p, 0, attr); err != nil {
			return fmt.Errorf("restrict mount %q: %w", p, err)
		}
	}
	return nil
}

// inRoot is the place of a path below the new root. A link in its last element
// (/etc/resolv.conf often is one) is followed there, not on the host.
func inRoot(root, path string) (string, error) {
	const maxLinks = 8
	for range maxLinks {
		target := filepath.Join(root, path)
		info, err := os.Lstat(target)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode()&os.ModeSymlink == 0 {
			return target, nil
		}
		if err != nil {
			return "", fmt.Errorf("bind to %q: %w", path, err)
		}
		text, err := os.Readlink(target)
		if err != nil {
			return "", fmt.Errorf("bind to %q: %w", path, err)
		}
		if !filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(path), text)
		}
		path = text
	}
	return "", fmt.Errorf("bind to %q: too many links", path)
}

func writeFiles(root string, files map[string][]byte) error {
	for path, content := range files {
		if !strings.HasPrefix(path, "/run/") {
			return fmt.Errorf("write %q: only files below /run can be made", path)
		}
		target := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("write %q: %w", path, err)
		}
		if err := os.WriteFile(target, content, 0o444); err != nil {
			return fmt.Errorf("write %q: %w", path, err)
		}
	}
	return nil
}

// enter makes root the root directory and lets go of the host's.
func enter(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	// pivot_root(".", ".") stacks the old root on the new one, see pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}

// readOnlyRoot closes the skeleton, so that all that a command can write is in
// the throw-away directories, which the supervisor can look at.
func readOnlyRoot() error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for _, p := range []string{"/", "/run", "/dev"} {
		if err := unix.MountSetattr(unix.AT_FDCWD, p, 0, attr); err != nil {
			return fmt.Errorf("make %q read-only: %w", p, err)
		}
	}
	return nil
}
