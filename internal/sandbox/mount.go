package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// special are top-level entries that are never taken from the host as they are.
var special = [...]string{"proc", "sys", "dev", "tmp", "run", "home", "root"}

// buildRoot makes the file system that the command sees and makes it the root.
// It returns the protections that could not be had.
//
// The host's top-level directories are bound one by one, read-only, on a new
// tmpfs: what is not bound is not there. /tmp, /run, /home, /root and the hidden
// paths start empty; /run in particular holds the sockets of host services,
// which a read-only mount would still let a process connect to.
func buildRoot(spec Spec) ([]string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	root := spec.RootDir
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return nil, fmt.Errorf("mount root %q: %w", root, err)
	}
	steps := []func() error{
		func() error { return bindHost(root) },
		func() error { return mountSys(root) },
		func() error { return mountDev(root) },
		func() error { return makeEmpty(root, spec.Hidden) },
		func() error { return applyOverlays(root, spec.Overlays) },
		func() error { return applyBinds(root, spec.Binds) },
		func() error { return writeFiles(root, spec.Files) },
		func() error { return mountProc(root) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := enter(root); err != nil {
		return nil, err
	}
	return readOnlyRoot()
}

func bindHost(root string) error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return fmt.Errorf("list /: %w", err)
	}
	for _, e := range entries {
		if isSpecial(e.Name()) {
			continue
		}
		source, target := "/"+e.Name(), filepath.Join(root, e.Name())
		if e.Type()&os.ModeSymlink != 0 {
			text, err := os.Readlink(source)
			if err != nil {
				return fmt.Errorf("read link %q: %w", source, err)
			}
			if err := os.Symlink(text, target); err != nil {
				return fmt.Errorf("make link %q: %w", source, err)
			}
			continue
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		if err := bind(Bind{Source: source, Target: target}); err != nil {
			return err
		}
	}
	return nil
}

func isSpecial(name string) bool {
	for _, s := range special {
		if s == name {
			return true
		}
	}
	return false
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
		return fmt.Errorf("mount /proc: %w (an enclosing container masks parts of /proc: run it with --security-opt systempaths=unconfined)", err)
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return protectProc(target)
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
	if err := mountTmpfs(filepath.Join(dev, "shm"), "mode=1777"); err != nil {
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

// makeEmpty lays an empty tmpfs over the throw-away directories and the hidden
// paths, outermost first.
func makeEmpty(root string, hidden []string) error {
	paths := append([]string{"/tmp", "/run", "/home", "/root"}, hidden...)
	sort.Strings(paths)
	for i, p := range paths {
		if i > 0 && (p == paths[i-1] || strings.HasPrefix(p, paths[i-1]+"/")) {
			continue // below one that is empty already
		}
		if err := mountTmpfs(filepath.Join(root, p), "mode=0755"); err != nil {
			return err
		}
	}
	return nil
}

func applyOverlays(root string, overlays []Overlay) error {
	for _, o := range overlays {
		target := filepath.Join(root, o.Target)
		if err := makeMountPoint(target, true); err != nil {
			return fmt.Errorf("overlay %q: %w", o.Target, err)
		}
		// userxattr (5.11) keeps the overlay's own marks in user attributes, which a
		// user namespace may set.
		options := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s", escape(o.Lower), escape(o.Upper), escape(o.Work))
		if err := unix.Mount("overlay", target, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("overlay %q: %w", o.Target, err)
		}
	}
	return nil
}

// escape protects the characters that separate overlay mount options.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(path)
}

func applyBinds(root string, binds []Bind) error {
	for _, b := range binds {
		target, err := inRoot(root, b.Target)
		if err != nil {
			return err
		}
		if err := bind(Bind{Source: b.Source, Target: target, Writable: b.Writable}); err != nil {
			return err
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
func readOnlyRoot() ([]string, error) {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for _, p := range []string{"/", "/run", "/dev"} {
		if err := unix.MountSetattr(unix.AT_FDCWD, p, 0, attr); err != nil {
			return nil, fmt.Errorf("make %q read-only: %w", p, err)
		}
	}
	return []string{"overlay of host directories"}, nil
}
