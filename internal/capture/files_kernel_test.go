package capture_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// furnish makes files of every kind in the world's directory.
func furnish(t *testing.T, w world) {
	t.Helper()
	in := func(name string) string { return filepath.Join(w.dir, name) }
	for _, err := range []error{
		os.WriteFile(in("file"), []byte("content"), 0o644),
		os.WriteFile(in("other"), []byte("other"), 0o644),
		os.Mkdir(in("dir"), 0o755),
		os.WriteFile(in("dir/inner"), []byte("inner"), 0o644),
		os.Mkdir(in("dir/empty"), 0o755),
		os.Symlink("file", in("link")),
		os.Symlink("dir", in("dirlink")),
		os.Symlink(in("file"), in("absolute")),
		os.Symlink("../"+filepath.Base(w.dir)+"/dirlink/../file", in("winding")),
		os.Symlink("missing", in("dangling")),
		os.Symlink("dangling", in("dangling2")),
		os.Symlink("loop", in("loop")),
		os.Symlink("/proc/self", in("me")),
		os.Symlink("/proc/self/root", in("rootlink")),
		os.Symlink("/proc/thread-self/cwd", in("cwdlink")),
		os.Link(in("file"), in("hard")),
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
			_ = os.Chmod(in(name), 0o755) // so that an ordinary user can remove it
		}
	})
}

func op(words ...any) []string {
	var list []string
	for _, w := range words {
		list = append(list, fmt.Sprint(w))
	}
	return list
}

// opens are the opens of a process as "errno path", repetitions included,
// sorted.
func opens(p evidence.Process) []string {
	var list []string
	for _, o := range p.FileOps.Opens {
		list = append(list, slices.Repeat([]string{errnoText(o.Errno) + " " + o.Path}, max(o.Count, 1))...)
	}
	return sorted(list)
}

// saidOpens is what the kernel told the probe about its opens; the path of one
// that failed is what the test expects.
func saidOpens(t *testing.T, r tracing, fails []string) []string {
	t.Helper()
	var list []string
	for _, line := range r.said {
		fields := strings.SplitN(line, " ", 3)
		switch {
		case !strings.HasPrefix(line, "open") && !strings.HasPrefix(line, "creat"):
		case len(fields) == 3:
			list = append(list, fields[1]+" "+fields[2])
		case len(fails) == 0:
			t.Fatalf("the kernel said %q, which the test did not expect", line)
		default:
			list = append(list, fields[1]+" "+fails[0])
			fails = fails[1:]
		}
	}
	if len(fails) > 0 {
		t.Errorf("expected to fail, and did not: %q", fails)
	}
	return sorted(list)
}

// Every open is recorded with the path that the kernel opened and with its
// result; of one that fails, the name that was wanted.
func TestOpens(t *testing.T) {
	const read, write, both = unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR
	create := func(more int) int { return unix.O_CREAT | write | more }
	for _, c := range []struct {
		name  string
		ops   [][]string
		fails []string // paths of those that fail, in order
	}{
		{"absolute", [][]string{op("open", "$D/file", read)}, nil},
		{"relative to the working directory", [][]string{op("chdir", "$D/dir"), op("open", "inner", read), op("open", "../file", both)}, nil},
		{"relative to a descriptor", [][]string{op("openat", "$D/dir", "inner", read), op("openat", "$D/dirlink", "../link", read)}, nil},
		{"absolute name, descriptor ignored", [][]string{op("openat", "77", "$D/file", read)}, nil},
		{"bad descriptor", [][]string{op("openat", "77", "file", read)}, []string{"file"}},
		{"descriptor of a file", [][]string{op("open", "file", read), op("openat", "last", "x", read)}, []string{"$D/file/x"}},
		{"working directory that was removed", [][]string{
			op("mkdir", "$D/gone"), op("chdir", "$D/gone"), op("rmdir", "$D/gone"), op("open", "x", read), op("open", "..", read)},
			[]string{"$D/gone (deleted)/x"}},
		{"doubled and single dots and slashes", [][]string{op("open", "$D//dir/./../dir///inner", read)}, nil},
		{"root is its own parent", [][]string{op("open", "/../../..$D/file", read)}, nil},
		{"symlink", [][]string{op("open", "link", read), op("open", "absolute", read), op("open", "winding", read)}, nil},
		{"symlink to a directory", [][]string{op("open", "dirlink/inner", read), op("open", "dirlink/../file", read), op("open", "dirlink/", read)}, nil},
		{"dangling symlink", [][]string{op("open", "dangling", read), op("open", "dangling2", read)}, []string{"$D/missing", "$D/missing"}},
		{"dangling symlink is created through", [][]string{op("open", "dangling2", create(0))}, nil},
		{"symlink loop", [][]string{op("open", "loop", read), op("open", "loop/x", read)}, []string{"$D/loop", "$D/loop/x"}},
		{"hard link", [][]string{op("open", "hard", read)}, nil},
		{"missing", [][]string{op("open", "nothing", read), op("open", "no/such/file", read), op("open", "dirlink/none", read)},
			[]string{"$D/nothing", "$D/no/such/file", "$D/dir/none"}},
		{"missing, then dots", [][]string{op("open", "no/../file", read)}, []string{"$D/file"}},
		{"empty", [][]string{op("open", "", read)}, []string{""}},
		{"slash after a file", [][]string{op("open", "file/", read), op("open", "link/", read), op("open", "file/x", read)},
			[]string{"$D/file", "$D/file", "$D/file/x"}},
		{"slash after a name to create", [][]string{op("open", "new/", create(0))}, []string{"$D/new"}},
		{"/proc/self/root", [][]string{op("open", "/proc/self/root$D/file", read)}, nil},
		{"/proc/self/root in other words", [][]string{
			op("open", "/proc/./self/root$D/file", read), op("open", "//proc//self//root/$D/file", read),
			op("open", "/proc/../proc/self/root$D/dirlink/../file", read), op("open", "/proc/self/task/../root$D/file", read),
			op("open", "/proc/thread-self/root$D/file", read), op("open", "/dev/../proc/self/root$D/file", read)}, nil},
		{"/proc/self through symlinks", [][]string{
			op("open", "rootlink$D/file", read), op("open", "me/root$D/file", read), op("open", "me/cwd/file", read),
			op("open", "cwdlink/file", read), op("open", "cwdlink/dirlink/../link", read)}, nil},
		{"/proc/self by directory", [][]string{
			op("openat", "/proc/self", "root$D/file", read), op("chdir", "/proc/self"), op("open", "cwd/root$D/file", read),
			op("chdir", "/proc"), op("open", "self/root$D/file", read)}, nil},
		{"/proc/self/environ", [][]string{
			op("open", "/proc/self/environ", read), op("open", "/proc//self/environ", read), op("open", "me/environ", read),
			op("open", "/proc/thread-self/environ", read)}, nil},
		{"/proc/self/exe", [][]string{op("open", "/proc/self/exe", read)}, nil},
		{"/proc/mounts", [][]string{op("open", "/proc/mounts", read)}, nil},
		{"/proc/self/fd", [][]string{op("open", "file", read), op("open", "/proc/self/fd/3", read), op("open", "/dev/fd/3", read)}, nil},
		{"/proc/self/fd of a deleted file", [][]string{
			op("open", "file", read), op("unlink", "file"), op("unlink", "hard"), op("open", "/proc/self/fd/3", read)}, nil},
		{"/dev/stdin", [][]string{op("open", "/dev/stdin", read)}, nil},
		{"O_PATH", [][]string{op("open", "secret", unix.O_PATH), op("open", "link", unix.O_PATH|unix.O_NOFOLLOW), op("open", "socket", unix.O_PATH)}, nil},
		{"O_TMPFILE", [][]string{op("open", "frozen", unix.O_TMPFILE|write)}, []string{"$D/frozen"}},
		{"O_NOFOLLOW", [][]string{
			op("open", "file", unix.O_NOFOLLOW), op("open", "link", unix.O_NOFOLLOW), op("open", "dirlink/inner", unix.O_NOFOLLOW),
			op("open", "dangling", unix.O_NOFOLLOW|unix.O_CREAT|write)}, []string{"$D/link", "$D/dangling"}},
		{"O_DIRECTORY", [][]string{
			op("open", "dir", unix.O_DIRECTORY), op("open", "file", unix.O_DIRECTORY), op("open", "link", unix.O_DIRECTORY|unix.O_NOFOLLOW)},
			[]string{"$D/file", "$D/link"}},
		{"O_CREAT", [][]string{op("open", "new", create(0)), op("open", "dir/new", create(unix.O_EXCL)), op("creat", "newer"), op("creat", "file")}, nil},
		{"O_CREAT of what exists", [][]string{
			op("open", "file", create(unix.O_EXCL)), op("open", "link", create(unix.O_EXCL)), op("open", "dangling", create(unix.O_EXCL)),
			op("open", "dir", create(unix.O_EXCL)), op("open", "dir", unix.O_CREAT), op("creat", "dir")},
			[]string{"$D/file", "$D/link", "$D/dangling", "$D/dir", "$D/dir", "$D/dir"}},
		{"O_CREAT in a place that is not there", [][]string{op("creat", "no/new"), op("creat", "file/new")}, []string{"$D/no/new", "$D/file/new"}},
		{"permission denied", [][]string{
			op("open", "secret", read), op("open", "readonly", read), op("open", "readonly", write), op("open", "readonly", both),
			op("open", "readonly", read|unix.O_TRUNC), op("open", "closed", read), op("open", "closed/x", read), op("creat", "frozen/new")},
			[]string{"$D/secret", "$D/readonly", "$D/readonly", "$D/readonly", "$D/closed", "$D/closed/x", "$D/frozen/new"}},
		{"directory for writing", [][]string{op("open", "dir", write), op("open", "dir", both), op("open", "dir", read)}, []string{"$D/dir", "$D/dir"}},
		{"socket and pipe", [][]string{op("open", "socket", read), op("open", "fifo", both)}, []string{"$D/socket"}},
		{"name too long", [][]string{op("open", "long:300", read)}, []string{"$D/" + strings.Repeat("a", 300)}},
		{"string that ends with its page", [][]string{op("open", "edge:file", read), op("open", "edge:nothing", read)}, []string{"$D/nothing"}},
		{"openat2", [][]string{op("openat2", "$D/dir", "inner", read, 0), op("openat2", ".", "none", read, 0)}, []string{"$D/none"}},
		{"openat2 in another root", [][]string{
			op("openat2", "$D/dir", "/inner", read, unix.RESOLVE_IN_ROOT), op("openat2", "$D", "absolute", read, unix.RESOLVE_IN_ROOT),
			op("openat2", "$D/dir", "../../inner", read, unix.RESOLVE_IN_ROOT)}, []string{"$D" + "$D/file"}},
		{"openat2 that forbids", [][]string{
			op("openat2", "$D/dir", "../file", read, unix.RESOLVE_BENEATH), op("openat2", "$D", "link", read, unix.RESOLVE_NO_SYMLINKS),
			op("openat2", "$D", "link", read, unix.RESOLVE_BENEATH)}, []string{"$D/file", "$D/link"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w world) {
				furnish(t, w)
				r := w.probe(t, c.ops...)
				r.wholly(t)
				fails := slices.Clone(c.fails)
				for i := range fails {
					fails[i] = strings.ReplaceAll(fails[i], "$D", w.dir)
				}
				if diff := cmp.Diff(saidOpens(t, r, fails), opens(r.Processes[0])); diff != "" {
					t.Errorf("kernel -, record +:\n%s", diff)
				}
			})
		})
	}
}

// A name of more than PATH_MAX names nothing: the kernel says so, and nothing is
// lost.
func TestNameWithoutEnd(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("open", "long:5000", 0), op("unlink", "long:5000"))
		r.wholly(t)
		if diff := cmp.Diff([]string{"open ENAMETOOLONG", "unlink ENAMETOOLONG"}, r.said); diff != "" {
			t.Error(diff)
		}
	})
}

// The mode and flags of an open are those that were asked for, and a file that
// is written is listed as such, with what is in it in the end.
func TestOpenModes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		furnish(t, w)
		r := w.probe(t,
			op("open", "file", unix.O_RDONLY|unix.O_CLOEXEC), op("open", "file", unix.O_WRONLY|unix.O_APPEND), op("open", "other", unix.O_RDWR),
			op("open", "dir", unix.O_RDONLY), op("open", "dir/inner", unix.O_PATH), op("open", "file", unix.O_RDONLY|unix.O_CLOEXEC),
			op("open", "new", unix.O_RDWR|unix.O_CREAT), op("write", "written", "text"), op("truncate", "dir/inner", 2), op("truncate", "none", 2))
		r.wholly(t)
		p := r.Processes[0]
		var got []string
		for _, o := range p.FileOps.Opens {
			got = append(got, strings.Join([]string{filepath.Base(o.Path), o.Mode, o.Flags, strconv.Itoa(o.Count), string(o.Truth)}, " "))
		}
		want := []string{
			"file read O_RDONLY|O_CLOEXEC 2 entry", "file write O_WRONLY|O_APPEND 0 entry", "other readwrite O_RDWR 0 entry",
			"dir directory O_RDONLY 0 entry", "inner path O_RDONLY|O_PATH 0 entry", "new readwrite O_RDWR|O_CREAT 0 entry",
			"written write O_WRONLY|O_CREAT|O_TRUNC 0 entry",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("opens: want -, got +:\n%s", diff)
		}
		got = nil
		for _, o := range p.FileOps.Writes {
			got = append(got, filepath.Base(o.Path)+" "+strconv.FormatBool(o.Created))
		}
		if diff := cmp.Diff([]string{"file false", "other false", "new true", "written true", "inner false"}, got); diff != "" {
			t.Errorf("writes: want -, got +:\n%s", diff)
		}
		for _, name := range []string{"file", "other", "new", "written", "dir/inner"} {
			if got, want := p.WrittenDigests[w.dir+"/"+name]["sha256"], digestOf(t, w.dir+"/"+name); got != want {
				t.Errorf("written digest of %s: %q, want %q", name, got, want)
			}
		}
		if diff := cmp.Diff([]evidence.UnhashedOpen{{Path: w.dir + "/new", Reason: "created"}}, p.UnhashedOpens); diff != "" {
			t.Errorf("unhashed: want -, got +:\n%s", diff)
		}
	})
}

func digestOf(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Changes of names and attributes are recorded with both paths and the kernel's
// result.
func TestChanges(t *testing.T) {
	const frozen = "$D/frozen/x"
	me := os.Getuid()
	for _, c := range []struct {
		name string
		ops  [][]string
		want []string // "kind errno path…", in order
	}{
		{"delete", [][]string{op("unlink", "file"), op("unlink", "link"), op("unlink", "dirlink/inner"), op("unlinkat", "$D/dir", "empty", unix.AT_REMOVEDIR), op("rmdir", "dir")},
			[]string{"delete 0 $D/file", "delete 0 $D/link", "delete 0 $D/dir/inner", "delete 0 $D/dir/empty", "delete 0 $D/dir"}},
		{"delete that fails", [][]string{op("unlink", "none"), op("unlink", "dir"), op("rmdir", "file"), op("unlink", "file/x"), op("rmdir", "none"), op("unlink", "closed/x")},
			[]string{"delete ENOENT $D/none", "delete EISDIR $D/dir", "delete ENOTDIR $D/file", "delete ENOTDIR $D/file/x", "delete ENOENT $D/none", "delete EACCES $D/closed/x"}},
		{"rename", [][]string{op("rename", "file", "dir/moved"), op("renameat", "$D/dir", "moved", "$D", "back"), op("rename", "link", "link2"), op("rename", "dir", "dir2")},
			[]string{"rename 0 $D/file $D/dir/moved", "rename 0 $D/dir/moved $D/back", "rename 0 $D/link $D/link2", "rename 0 $D/dir $D/dir2"}},
		{"rename over", [][]string{op("rename", "file", "other"), op("renameat2", "other", "readonly", 0)},
			[]string{"rename 0 $D/file $D/other", "rename 0 $D/other $D/readonly"}},
		{"rename flags", [][]string{op("renameat2", "file", "other", unix.RENAME_NOREPLACE), op("renameat2", "file", "dir", unix.RENAME_EXCHANGE), op("renameat2", "dir", "none", unix.RENAME_EXCHANGE)},
			[]string{"rename EEXIST $D/file $D/other", "rename 0 $D/file $D/dir", "rename ENOENT $D/dir $D/none"}},
		{"rename that fails", [][]string{op("rename", "none", "x"), op("rename", "file", "no/x"), op("rename", "file", "dir"), op("rename", "dir", "file"), op("rename", "file", "frozen/x"), op("rename", "file", "/dev/shm/x")},
			[]string{"rename ENOENT $D/none $D/x", "rename ENOENT $D/file $D/no/x", "rename EISDIR $D/file $D/dir", "rename ENOTDIR $D/dir $D/file", "rename EACCES $D/file " + frozen, "rename EXDEV $D/file /dev/shm/x"}},
		{"link", [][]string{op("link", "file", "second"), op("link", "link", "third"), op("linkat", "link", "fourth", unix.AT_SYMLINK_FOLLOW)},
			[]string{"link 0 $D/file $D/second", "link 0 $D/link $D/third", "link 0 $D/file $D/fourth"}},
		{"link that fails", [][]string{op("link", "none", "x"), op("link", "file", "other"), op("link", "dir", "x"), op("link", "file", "/dev/shm/x"), op("link", "file", "frozen/x")},
			[]string{"link ENOENT $D/none $D/x", "link EEXIST $D/file $D/other", "link EPERM $D/dir $D/x", "link EXDEV $D/file /dev/shm/x", "link EACCES $D/file " + frozen}},
		{"symlink", [][]string{op("symlink", "../any where", "new"), op("symlinkat", "x", "$D/dir", "new"), op("symlink", "x", "dangling"), op("symlink", "", "y"), op("symlink", "x", "frozen/x")},
			[]string{"symlink 0 ../any where $D/new", "symlink 0 x $D/dir/new", "symlink EEXIST x $D/dangling", "symlink ENOENT  $D/y", "symlink EACCES x " + frozen}},
		{"directory", [][]string{op("mkdir", "new"), op("mkdirat", "$D/dir", "new/"), op("mkdir", "file"), op("mkdir", "no/new"), op("mkdir", "frozen/x"), op("mkdir", "dangling")},
			[]string{"directory 0 $D/new", "directory 0 $D/dir/new", "directory EEXIST $D/file", "directory ENOENT $D/no/new", "directory EACCES " + frozen, "directory EEXIST $D/dangling"}},
		{"node", [][]string{op("mknod", "pipe", unix.S_IFIFO), op("mknodat", "$D/dir", "sock", unix.S_IFSOCK), op("mknod", "plain", unix.S_IFREG), op("mknod", "fifo", unix.S_IFIFO)},
			[]string{"fifo 0 $D/pipe", "socket 0 $D/dir/sock", "file 0 $D/plain", "fifo EEXIST $D/fifo"}},
		{"device", [][]string{op("mknod", "zero", unix.S_IFCHR, 0x105), op("mknod", "disk", unix.S_IFBLK, 0x800), op("mknod", "whiteout", unix.S_IFCHR, 0)},
			[]string{"char EPERM $D/zero", "block EPERM $D/disk", "char 0 $D/whiteout"}},
		{"mode", [][]string{op("chmod", "file", 0o755), op("chmod", "link", 0o4711), op("fchmodat", "$D/dir", "inner", 0o600), op("open", "other", 0), op("fchmod", 0o640), op("chmod", "none", 0o600)},
			[]string{"mode 0 $D/file 0755 x", "mode 0 $D/file 4711 x", "mode 0 $D/dir/inner 0600", "mode 0 $D/other 0640", "mode ENOENT $D/none 0600"}},
		{"mode of another's file", [][]string{op("chmod", "/proc/1/comm", 0o600)}, []string{"mode EPERM /proc/1/comm 0600"}},
		{"owner", [][]string{op("chown", "file", me, -1), op("chown", "link", -1, -1), op("lchown", "link", me, -1), op("chown", "file", me+1, -1), op("open", "other", 0), op("fchown", me+1, -1), op("fchownat", "$D/dir", "inner", -1, -1, 0)},
			[]string{fmt.Sprintf("mode 0 $D/file %d:-1", me), "mode 0 $D/file -1:-1", fmt.Sprintf("mode 0 $D/link %d:-1", me), fmt.Sprintf("mode EPERM $D/file %d:-1", me+1), fmt.Sprintf("mode EPERM $D/other %d:-1", me+1), "mode 0 $D/dir/inner -1:-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w world) {
				if c.name == "mode of another's file" && (w.confined || me == 0) {
					t.Skip("needs a file of another owner: an ordinary user without a sandbox")
				}
				furnish(t, w)
				r := w.probe(t, c.ops...)
				r.wholly(t)
				var want []string
				for _, line := range c.want {
					want = append(want, strings.ReplaceAll(line, "$D", w.dir))
				}
				if diff := cmp.Diff(want, changes(r.Processes[0])); diff != "" {
					t.Errorf("want -, record +:\n%s", diff)
				}
				var said, expected []string
				for _, line := range r.said {
					if fields := strings.Fields(line); fields[0] != "open" {
						// An id that the sandbox does not have is EINVAL, otherwise it is EPERM.
						said = append(said, strings.Replace(fields[1], "EINVAL", "EPERM", 1))
					}
				}
				for _, line := range want {
					expected = append(expected, strings.Fields(line)[1])
				}
				if diff := cmp.Diff(expected, said); diff != "" {
					t.Errorf("the kernel's results: expected -, said +:\n%s", diff)
				}
			})
		})
	}
}

// Attempts that fail in the same way are one record with a count; successes and
// other failures have their own.
func TestRepeatedDirectories(t *testing.T) {
	w := newWorld(t, true)
	furnish(t, w)
	r := w.probe(t, op("mkdir", "$D/new"), op("mkdir", "$D/new"), op("mkdir", "$D/new"), op("mkdir", "$D/absent/x"), op("mkdir", "$D/new"))
	r.wholly(t)
	var got []string
	for _, d := range r.Processes[0].FileOps.Dirs {
		got = append(got, fmt.Sprint(strings.TrimPrefix(d.Path, w.dir), " ", errnoText(d.Errno), " ", d.Count))
	}
	if diff := cmp.Diff([]string{"/new 0 0", "/new EEXIST 3", "/absent/x ENOENT 0"}, got); diff != "" {
		t.Errorf("directories (-want +got):\n%s", diff)
	}
}

// changes are the changes that a process made, each kind in order.
func changes(p evidence.Process) []string {
	var list []string
	add := func(words ...string) { list = append(list, strings.Join(words, " ")) }
	ops := p.FileOps
	for _, d := range ops.Deletes {
		add("delete", errnoText(d.Errno), d.Path)
	}
	for _, r := range ops.Renames {
		add("rename", errnoText(r.Errno), r.OldPath, r.NewPath)
	}
	for _, l := range ops.Links {
		kind := "link"
		if l.Symbolic {
			kind = "symlink"
		}
		add(kind, errnoText(l.Errno), l.Target, l.Path)
	}
	for _, d := range ops.Dirs {
		add(d.Kind, errnoText(d.Errno), d.Path)
	}
	for _, m := range ops.PermChanges {
		words := []string{"mode", errnoText(m.Errno), m.Path, m.Mode}
		if m.SetExec {
			words = append(words, "x")
		}
		add(words...)
	}
	return list
}

// Inside a chroot the recorded path is still the one outside of it.
func TestChroot(t *testing.T) {
	w := newWorld(t, false) // no user namespace can be made inside the sandbox
	furnish(t, w)
	r := w.probe(t, op("jail", "$D/dir"), op("open", "/inner", 0), op("open", "../../inner", 0), op("creat", "made"), op("unlink", "/made"))
	if diff := cmp.Diff([]string{"jail 0", "open 0 /inner", "open 0 /inner", "creat 0 /made", "unlink 0"}, r.said); diff != "" {
		t.Skipf("needs user namespaces: %s", diff)
	}
	r.wholly(t)
	in := func(s string) string { return "0 " + w.dir + "/dir/" + s }
	if diff := cmp.Diff([]string{in("inner"), in("inner"), in("made")}, opens(r.Processes[0])); diff != "" {
		t.Errorf("opens: want -, got +:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"delete " + in("made")}, changes(r.Processes[0])); diff != "" {
		t.Errorf("changes: want -, got +:\n%s", diff)
	}
}

// A failed open of a watched path is in openedfiles, with an empty digest set.
func TestWatched(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		furnish(t, w)
		w.watched = func(path string) bool { return strings.HasSuffix(path, "id_rsa") || strings.HasSuffix(path, "secret") }
		r := w.probe(t, op("open", "$D/id_rsa", 0), op("open", "rootlink$D/no/id_rsa", 0), op("open", "$D/nothing", 0),
			op("open", "secret", 0), op("open", "file", 0))
		want := map[string]evidence.DigestSet{
			w.dir + "/id_rsa": {}, w.dir + "/no/id_rsa": {}, w.dir + "/secret": {},
			w.dir + "/file": {"sha256": digestOf(t, w.dir+"/file")},
		}
		if diff := cmp.Diff(want, r.Processes[0].OpenedFiles); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}

// The digest of what was read is that of the content when it was opened, or
// there is none, with the reason.
func TestDigests(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		furnish(t, w)
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		if err := os.WriteFile(w.dir+"/large", large, 0o644); err != nil {
			t.Fatal(err)
		}
		before := digestOf(t, w.dir+"/large")
		r := w.probe(t, op("open", "file", 0), op("open", "hard", 0), op("open", "/etc/passwd", 0), op("open", "dir", 0),
			op("open", "/proc/self/status", 0), op("open", "/dev/null", 0), op("open", "fifo", unix.O_RDWR), op("reread", "large", "X"))
		r.wholly(t)
		p := r.Processes[0]
		for _, path := range []string{w.dir + "/file", w.dir + "/hard", "/etc/passwd"} {
			if got, want := p.OpenedFiles[path]["sha256"], digestOf(t, path); got != want {
				t.Errorf("digest of %s: %q, want %q", path, got, want)
			}
		}
		reasons := map[string]string{}
		for _, u := range p.UnhashedOpens {
			reasons[u.Path] = u.Reason
		}
		switch got := p.OpenedFiles[w.dir+"/large"]["sha256"]; {
		case got == "" && reasons[w.dir+"/large"] != "changed before it was read":
			t.Errorf("no digest of a file that changed, reason %q", reasons[w.dir+"/large"])
		case got != "" && got != before:
			t.Error("the digest of a file that changed is not that of what was opened")
		}
		if got, want := p.WrittenDigests[w.dir+"/large"]["sha256"], digestOf(t, w.dir+"/large"); got != want || got == before {
			t.Errorf("written digest: %q, want %q", got, want)
		}
		delete(reasons, w.dir+"/large")
		want := map[string]string{"/dev/null": "device", w.dir + "/fifo": "pipe"}
		for path, reason := range reasons {
			if strings.HasPrefix(path, "/proc/") {
				if reason != "pseudo file" {
					t.Errorf("%s: %q, want pseudo file", path, reason)
				}
				delete(reasons, path)
			}
		}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("unhashed: want -, got +:\n%s", diff)
		}
	})
}

// A file may claim any size without having it; a run does not wait for the
// digest of all of it.
func TestSparseFile(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("open", "sparse", unix.O_RDWR|unix.O_CREAT), op("ftruncate", 1<<42), op("open", "sparse", unix.O_RDONLY))
		r.wholly(t)
		want := []evidence.UnhashedOpen{{Path: w.dir + "/sparse", Reason: "larger than 1 GiB"}}
		if diff := cmp.Diff(want, r.Processes[0].UnhashedOpens); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}
