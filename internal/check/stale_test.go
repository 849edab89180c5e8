package check

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/internal/sandbox"
)

// runDirectory makes a directory as a run does and returns it with its lock.
func runDirectory(t *testing.T, parent string) (string, *os.File) {
	t.Helper()
	dir, err := os.MkdirTemp(parent, runPrefix)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := ownDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owner.Close() })
	if err := os.MkdirAll(filepath.Join(dir, dirHome, "venv"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, owner
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRemoveStale(t *testing.T) {
	parent := t.TempDir()
	now := time.Now()
	live, _ := runDirectory(t, parent)
	dead, lock := runDirectory(t, parent)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	kept, lock := runDirectory(t, parent)
	if err := errors.Join(keepDirectory(kept), lock.Close()); err != nil {
		t.Fatal(err)
	}
	named := func(name string, age time.Duration, inside ...string) string {
		path := filepath.Join(parent, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, i := range inside {
			if err := os.WriteFile(filepath.Join(path, i), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	target := named("target", 0, "file")
	link := filepath.Join(parent, runPrefix+"link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	// The owner file is no way to have another file locked or removed.
	tricked := named(runPrefix+"tricked", 2*abandonedAfter)
	if err := os.Symlink(filepath.Join(target, "file"), filepath.Join(tricked, ownerFile)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		path string
		want bool // it stays
	}{
		"live run":                     {live, true},
		"dead run":                     {dead, false},
		"kept by --keep":               {kept, true},
		"empty and young":              {named(runPrefix+"young", 0), true},
		"empty and old":                {named(runPrefix+"old", 2*abandonedAfter), false},
		"killed before it was locked":  {named(runPrefix+"draft", 2*abandonedAfter, ownerFile+".new"), false},
		"of another program":           {named(runPrefix+"other", 2*abandonedAfter, "file"), true},
		"of another name":              {named("other", 2*abandonedAfter), true},
		"link with such a name":        {link, true},
		"target of that link":          {filepath.Join(target, "file"), true},
		"owner file that is a symlink": {filepath.Join(tricked, ownerFile), true},
	}
	if err := removeStale(parent, now); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		if got := there(c.path); got != c.want {
			t.Errorf("%s: there afterwards: %t, want %t", name, got, c.want)
		}
	}
}

func TestRemoveStaleOfOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a directory of another user")
	}
	parent := t.TempDir()
	dir, lock := runDirectory(t, parent)
	if err := errors.Join(lock.Close(), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if err := removeStale(parent, time.Now()); err != nil || !there(dir) {
		t.Errorf("the directory of another user is gone: %t, %v", !there(dir), err)
	}
}

// TestOwnerDies kills a process that holds the lock: the kernel takes it back.
func TestOwnerDies(t *testing.T) {
	parent := t.TempDir()
	dir, lock := runDirectory(t, parent)
	// The child shares the lock through the descriptor that it inherits.
	holder := exec.Command("sleep", "600")
	holder.ExtraFiles = []*os.File{lock}
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(holder.Start(), lock.Close()); err != nil {
		t.Fatal(err)
	}
	if err := removeStale(parent, time.Now()); err != nil || !there(dir) {
		t.Errorf("a live run's directory is gone: %t, %v", !there(dir), err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // killed
	if err := removeStale(parent, time.Now()); err != nil || there(dir) {
		t.Errorf("a dead run's directory is there: %t, %v", there(dir), err)
	}
}

// TestRemoveTree removes what a hostile package leaves, with few descriptors and
// as a user who has no rights but those of an owner.
func TestRemoveTree(t *testing.T) {
	for _, uid := range []int{0, nobody} {
		t.Run(map[int]string{0: "owner", nobody: "ordinary user"}[uid], func(t *testing.T) {
			if uid != 0 && os.Getuid() != 0 {
				t.Skip("needs root, to become another user; the other case is one already")
			}
			parent := t.TempDir()
			outside := filepath.Join(parent, "outside")
			dir := filepath.Join(parent, "run")
			plantHostileTree(t, dir, outside)
			if uid == 0 {
				limitDescriptors(t)
				if err := sandbox.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			} else {
				removeAs(t, uid, parent, dir)
			}
			if there(dir) || !there(filepath.Join(outside, "file")) {
				t.Errorf("afterwards the tree is there: %t, the file outside: %t", there(dir), there(filepath.Join(outside, "file")))
			}
		})
	}
	if err := sandbox.RemoveAll(filepath.Join(t.TempDir(), "absent")); err != nil {
		t.Errorf("remove what is absent: %v", err)
	}
}

// limitDescriptors leaves the test fewer than the tree is deep.
func limitDescriptors(t *testing.T) {
	t.Helper()
	var had unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
		t.Fatal(err)
	}
	fewer := had
	fewer.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &fewer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
			t.Error(err)
		}
	})
}

// removeTreeVariable makes the test binary remove the tree of that name.
const removeTreeVariable = "PIP_WITNESS_TEST_REMOVE_TREE"

// removeAs gives the tree to another user and has that user remove it.
func removeAs(t *testing.T, uid int, parent, dir string) {
	t.Helper()
	if out, err := exec.Command("chown", "-Rh", "--", "65534:65534", dir, parent).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	for path := parent; path != "/" && path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(parent, "test-binary")
	text, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(binary, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "-test.run", "^TestRemoveTreeChild$", "-test.v")
	command.Env = append(os.Environ(), removeTreeVariable+"="+dir)
	command.Dir = parent
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("remove as user %d: %v\n%s", uid, err, out)
	}
}

// TestRemoveTreeChild is the other user's part of TestRemoveTree.
func TestRemoveTreeChild(t *testing.T) {
	dir := os.Getenv(removeTreeVariable)
	if dir == "" {
		t.Skip("is a part of TestRemoveTree, which names the tree")
	}
	if err := sandbox.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func plantHostileTree(t *testing.T, dir, outside string) {
	t.Helper()
	fatal := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	fatal(os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "file"), nil, 0o644), os.Mkdir(dir, 0o755))
	fatal(os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink("loop", filepath.Join(dir, "loop")))
	fatal(os.Link(filepath.Join(outside, "file"), filepath.Join(dir, "hard")))
	fatal(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600), os.WriteFile(filepath.Join(dir, "two\nlines \xff"), nil, 0))
	closed := filepath.Join(dir, "closed", "below")
	fatal(os.MkdirAll(closed, 0o755), os.WriteFile(filepath.Join(closed, "file"), nil, 0), os.Chmod(closed, 0), os.Chmod(filepath.Dir(closed), 0))
	for i := range 600 { // more than are listed at once, some of them full
		name := filepath.Join(dir, "many", "d"+string(rune('a'+i%26)), time.Duration(i).String())
		fatal(os.MkdirAll(name, 0o755))
	}
	const depth = 3000 // deeper than a path may be long, with that name
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	fatal(err)
	for range depth {
		fatal(unix.Mkdirat(fd, "deep", 0o755))
		below, err := unix.Openat(fd, "deep", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		fatal(err, unix.Close(fd))
		fd = below
	}
	fatal(unix.Close(fd))
	if _, err := os.Lstat(filepath.Join(dir, "closed")); errors.Is(err, fs.ErrNotExist) {
		t.Fatal("nothing was planted")
	}
}
