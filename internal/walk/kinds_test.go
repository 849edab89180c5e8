package walk

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// TestTreeSpecialFiles: sockets, devices and sparse files.
func TestTreeSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	want := map[string]evidence.FileKind{"/home/user": "directory", "/home/user/s": "socket", "/home/user/sparse": "file"}
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 64 << 20 // 64 MiB of which nothing is on the disk
	write(t, dir+"/sparse", "")
	if err := os.Truncate(dir+"/sparse", size); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]uint32{"char": unix.S_IFCHR, "block": unix.S_IFBLK} {
		switch err := unix.Mknod(dir+"/"+name, mode|0o600, int(unix.Mkdev(1, 3))); {
		case err == nil:
			want["/home/user/"+name] = "device"
		case errors.Is(err, unix.EPERM):
			t.Logf("no %s device: it needs root", name)
		default:
			t.Fatal(err)
		}
	}
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, kind := range want {
		if got := tree.Files[p]; got.Kind != kind {
			t.Errorf("%s is %q, want %q", p, got.Kind, kind)
		}
	}
	if len(tree.Files) != len(want) || len(tree.Unread) != 0 {
		t.Errorf("%d entries, unread %v", len(tree.Files), tree.Unread)
	}
	// sha256sum of 64 MiB of zeros.
	if got := tree.Files["/home/user/sparse"]; got.Size != size || got.Digests["sha256"] != "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351" {
		t.Errorf("sparse file: %+v", got)
	}
}

// TestTreeUnreadable: a file and a directory of somebody else's are listed with
// the reason. Root reads everything, so it looks from a user namespace that does
// not have the other user.
func TestTreeUnreadable(t *testing.T) {
	const variable = "WALK_UNREADABLE"
	dir := os.Getenv(variable)
	if dir == "" {
		dir = t.TempDir()
		write(t, dir+"/private", "x")
		write(t, dir+"/closed/x", "x")
		write(t, dir+"/open", "x")
		for name, mode := range map[string]os.FileMode{"private": 0o600, "closed": 0o700} {
			if err := os.Chown(dir+"/"+name, 12345, 12345); err != nil {
				t.Skipf("needs root, to give files away: %v", err)
			}
			if err := os.Chmod(dir+"/"+name, mode); err != nil {
				t.Fatal(err)
			}
		}
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTreeUnreadable$", "-test.v")
		again.Env = append(os.Environ(), variable+"="+dir)
		one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: one, GidMappings: one}
		out, err := again.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
			t.Skipf("needs user namespaces: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestTreeUnreadable") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var unread []string
	for _, u := range tree.Unread {
		unread = append(unread, u.Path+" "+u.Reason)
	}
	if len(unread) != 2 || !strings.HasPrefix(unread[0], "/home/user/closed ") || !strings.HasPrefix(unread[1], "/home/user/private ") ||
		!strings.Contains(unread[0], "permission denied") || !strings.Contains(unread[1], "permission denied") {
		t.Errorf("unread: %q", unread)
	}
	if got := tree.Files["/home/user/private"]; got.Kind != evidence.KindFile || got.Digests != nil {
		t.Errorf("an unreadable file: %+v", got)
	}
	if tree.Files["/home/user/open"].Digests == nil {
		t.Error("the file that can be read has no digests")
	}
}
