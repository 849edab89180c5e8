package capture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is foretold of an open, and what an open made for the caller gives, is what
// the kernel then says to the same thread, for every kind of file and many flags,
// under random names.
func TestForetellOpen(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := yieldRights(1 << unix.CAP_SYS_PTRACE); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raiseRights(^uint32(0)) }() // what is permitted cannot be refused
	dir := furnish(t)
	s, e := here(t)
	flags := []int{
		0, unix.O_NOFOLLOW, unix.O_DIRECTORY, unix.O_PATH, unix.O_PATH | unix.O_NOFOLLOW, unix.O_TRUNC, unix.O_CREAT, unix.O_CREAT | unix.O_EXCL,
		unix.O_CREAT | unix.O_NOFOLLOW, unix.O_CREAT | unix.O_TRUNC, unix.O_DIRECTORY | unix.O_NOFOLLOW,
	}
	parts := []string{
		"file", "dir", "dir/inner", "link", "dirlink", "dangling", "loop", "secret", "readonly", "closed", "frozen", "fifo", "socket", "none",
		"..", ".", "", "up", "me", "absolute", "new", "root" + dir,
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		var words []string
		for range 1 + random.IntN(3) {
			words = append(words, parts[random.IntN(len(parts))])
		}
		name := strings.Join(words, "/")
		if random.IntN(3) == 0 {
			name = dir + "/" + name
		}
		flag := flags[random.IntN(len(flags))] | random.IntN(3)
		compare(t, s, e, dir, name, flag)
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

// compare foretells one open, then makes it, and undoes what it did.
func compare(t *testing.T, s *Supervisor, e *event, dir, name string, flags int) {
	t.Helper()
	if err := os.Chdir(dir); err != nil {
		t.Fatal(err)
	}
	flag := uint64(flags)
	o := opening{dirfd: unix.AT_FDCWD, name: name, flags: flag | unix.O_NONBLOCK, mode: 0o644}
	l := s.resolveAs(e, unix.AT_FDCWD, name, o.lookup())
	errno, created := foretell(l, flag)
	path := l.path
	madePath, instead := l.path, errno
	if flags&unix.O_PATH == 0 { // which is never opened for the caller
		madePath, instead = makeAndUndo(t, s, e, o, l)
	}
	l.close()
	fd, err := unix.Open(name, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	got := errnoOf(err)
	if got == unix.ENXIO && errno == 0 {
		got = 0 // a pipe without a reader: who will read it cannot be foretold
	}
	if got == unix.EISDIR && errno == unix.ELOOP && flags&unix.O_CREAT != 0 && strings.HasSuffix(name, "/") {
		got = errno // both are true, and which is found first does not matter
	}
	if got != errno {
		t.Errorf("open %q flags %#x: foretold %v, the kernel said %v (path %q)", name, flags, errno, got, path)
	}
	if said := errnoOf(err); instead != said && (said != unix.EISDIR || instead != unix.ELOOP) {
		t.Errorf("open %q flags %#x for the caller: %v, the kernel said %v", name, flags, instead, said)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if real := descriptorPath(fd); real != path || real != madePath {
		t.Errorf("open %q flags %#x: path %q, for the caller %q, the kernel opened %q", name, flags, path, madePath, real)
	}
	if created {
		if err := os.Remove(path); err != nil {
			t.Errorf("open %q flags %#x: said to be created: %v", name, flags, err)
		}
	}
}

// makeAndUndo makes an open for the caller and removes what it created.
func makeAndUndo(t *testing.T, s *Supervisor, e *event, o opening, l location) (path string, errno unix.Errno) {
	t.Helper()
	made, errno, created := s.make(e, o, l)
	if errno != 0 {
		return "", errno
	}
	defer unix.Close(made)
	path = descriptorPath(made)
	if created {
		if err := os.Remove(path); err != nil {
			t.Errorf("open %q flags %#x for the caller: said to be created: %v", o.name, o.flags, err)
		}
	}
	return path, 0
}

// here is a supervisor and an event of the calling thread itself.
func here(t *testing.T) (*Supervisor, *event) {
	t.Helper()
	s, err := New(Options{
		Redact: func(a []string) []string { return a }, RedactEnviron: func([]string) string { return "" }, Stop: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.digests.Close)
	e := &event{name: "openat", p: &process{root: -1, pages: -1, inside: os.Getpid(), space: &space{}}, given: -1}
	e.pid = uint32(unix.Gettid())
	return s, e
}

func furnish(t *testing.T) string {
	t.Helper()
	old, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chdir(old) })
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(in("file"), []byte("content"), 0o644),
		os.Mkdir(in("dir"), 0o755),
		os.WriteFile(in("dir/inner"), []byte("inner"), 0o644),
		os.Symlink("../link", in("dir/link")),
		os.Symlink("file", in("link")),
		os.Symlink("dir", in("dirlink")),
		os.Symlink("..", in("dir/up")),
		os.Symlink(in("dir"), in("absolute")),
		os.Symlink("missing", in("dangling")),
		os.Symlink("loop", in("loop")),
		os.Symlink("/proc/"+strconv.Itoa(os.Getpid()), in("me")),
		os.WriteFile(in("secret"), nil, 0),
		os.WriteFile(in("readonly"), []byte("r"), 0o444),
		os.Mkdir(in("closed"), 0),
		os.Mkdir(in("frozen"), 0o555),
		unix.Mkfifo(in("fifo"), 0o644),
		unix.Mknod(in("socket"), unix.S_IFSOCK|0o644, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, name := range []string{"closed", "frozen"} {
			_ = os.Chmod(in(name), 0o755)
		}
	})
	return dir
}

// Memory is read up to the end of what is mapped, and a string that ends there
// is whole.
func TestReadMemory(t *testing.T) {
	page := os.Getpagesize()
	mapped, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	start := uint64(uintptr(unsafe.Pointer(&mapped[0])))
	copy(mapped[page-5:], "12345")
	if err := unix.Mprotect(mapped[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3*page)
	for _, c := range []struct {
		name    string
		address uint64
		want    int
	}{
		{"whole page", start, page}, {"end of a page", start + uint64(page) - 5, 5}, {"not readable", start + uint64(page), 0},
		{"null", 0, 0}, {"beyond the address space", 1<<63 + 5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := readMemory(os.Getpid(), c.address, buf); n != c.want {
				t.Errorf("%d bytes, want %d", n, c.want)
			}
		})
	}
	if n := readMemory(os.Getpid(), start+uint64(page)-5, buf); string(buf[:n]) != "12345" {
		t.Errorf("%q", buf[:n])
	}
	if n := readMemory(1<<30, start, buf); n != 0 {
		t.Errorf("%d bytes of a process that is not there", n)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Error(err)
	}
}
