package walk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// home is a layout that shows dir as /home/user.
func home(dir string) attest.Layout {
	return attest.Layout{
		Prefix: "/home/user/venv", Home: "/home/user",
		Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}},
	}
}

func kinds(tree *evidence.Tree) map[string]evidence.FileKind {
	out := make(map[string]evidence.FileKind)
	for p, s := range tree.Files {
		out[p] = s.Kind
	}
	return out
}

func TestTreeKinds(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, dir+"/venv/a.txt", "hello\n")
	write(t, outside+"/secret", "do not read")
	for target, name := range map[string]string{outside + "/secret": "leaves", outside: "leavesdir", "nowhere": "dangling", "a.txt": "inside", ".": "loop"} {
		if err := os.Symlink(target, dir+"/venv/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(dir+"/venv/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dir+"/venv/a.txt", dir+"/b.txt"); err != nil {
		t.Fatal(err)
	}
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user/venv", "/home/user", "/home/user/venv/", "/home/user/missing", "/home/missing"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]evidence.FileKind{
		"/home/user": "directory", "/home/user/b.txt": "file", "/home/user/venv": "directory", "/home/user/venv/a.txt": "file",
		"/home/user/venv/leaves": "symlink", "/home/user/venv/leavesdir": "symlink", "/home/user/venv/dangling": "symlink",
		"/home/user/venv/inside": "symlink", "/home/user/venv/loop": "symlink", "/home/user/venv/fifo": "fifo",
	}
	if d := cmp.Diff(want, kinds(tree)); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"/home/missing", "/home/user", "/home/user/missing", "/home/user/venv"}, tree.Roots); d != "" {
		t.Errorf("roots (-want +got):\n%s", d)
	}
	if len(tree.Unread) != 1 || tree.Unread[0].Path != "/home/missing" {
		t.Errorf("unread = %v, want the root that does not exist", tree.Unread)
	}
	a, b := tree.Files["/home/user/venv/a.txt"], tree.Files["/home/user/b.txt"]
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("two names of one file differ:\n%s", d)
	}
	if got := tree.Files["/home/user/venv/leaves"]; got.Target != outside+"/secret" || got.Digests != nil {
		t.Errorf("symlink = %+v", got)
	}
	if got := a.Digests["sha1"]; got != "f572d396fae9206628714fb2ce00f72e94f2258f" || a.Size != 6 || a.Mode != 0o644 {
		t.Errorf("file = %+v", a)
	}
}

// TestTreeAgainstTools compares the digests of random files with what
// sha256sum, sha1sum and git say of them.
func TestTreeAgainstTools(t *testing.T) {
	for _, tool := range []string{"sha256sum", "sha1sum", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	var paths []string
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		size := rnd.IntN(1 << rnd.IntN(19))
		p := filepath.Join(dir, fmt.Sprint(i%7), fmt.Sprintf("f %d", i))
		content := make([]byte, size)
		for j := range content {
			content[j] = byte(rnd.Uint32())
		}
		write(t, p, string(content))
		paths = append(paths, p)
	}
	tree, err := Tree(t.Context(), attest.Layout{}, []string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) []string {
		cmd := exec.Command(name, append(args, paths...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	}
	sha256, sha1 := run("sha256sum"), run("sha1sum")
	git := run("git", "hash-object", "--no-filters")
	git256 := gitSHA256(t, paths)
	for i, p := range paths {
		want := evidence.DigestSet{
			"sha256": strings.Fields(sha256[i])[0], "sha1": strings.Fields(sha1[i])[0],
			"gitoid:sha1": "gitoid:blob:sha1:" + git[i], "gitoid:sha256": "gitoid:blob:sha256:" + git256[i],
		}
		if d := cmp.Diff(want, tree.Files[p].Digests); d != "" {
			t.Fatalf("%s (-tools +walk):\n%s", p, d)
		}
	}
}

// gitSHA256 asks git inside a repository of the SHA-256 object format.
func gitSHA256(t *testing.T, paths []string) []string {
	repo := t.TempDir()
	if out, err := exec.Command("git", "init", "-q", "--object-format=sha256", repo).CombinedOutput(); err != nil {
		t.Skipf("needs a git with SHA-256 repositories: %s", out)
	}
	cmd := exec.Command("git", append([]string{"hash-object", "--no-filters"}, paths...)...)
	cmd.Dir = repo
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestTreeNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ok %FF", "caf\xe9", "caf%E9", "\xff\xfe/x", "tab\there", "日本"} {
		write(t, dir+"/"+name, name)
	}
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"/home/user/%FF%FE", "/home/user/%FF%FE/x"}, tree.Encoded); d != "" {
		t.Errorf("encoded (-want +got):\n%s", d)
	}
	want := []evidence.UnreadPath{{Path: "/home/user/caf%E9", Reason: errClash.Error()}}
	if d := cmp.Diff(want, tree.Unread); d != "" {
		t.Errorf("unread (-want +got):\n%s", d)
	}
	if got := tree.Files["/home/user/caf%E9"].Size; got != int64(len("caf%E9")) {
		t.Errorf("the file whose name is UTF-8 lost its place: size %d", got)
	}
}

func TestTreeMountsBelowARoot(t *testing.T) {
	upper, venv := t.TempDir(), t.TempDir()
	write(t, upper+"/project/a", "a")
	write(t, upper+"/venv/shadowed", "x")
	write(t, venv+"/lib/b", "b")
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: "/home/user/venv", Outside: venv}, {Inside: "/home/user", Outside: upper}}}
	tree, err := Tree(t.Context(), layout, []string{"/home/user", "/home/user/venv"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]evidence.FileKind{
		"/home/user": "directory", "/home/user/project": "directory", "/home/user/project/a": "file",
		"/home/user/venv": "directory", "/home/user/venv/lib": "directory", "/home/user/venv/lib/b": "file",
	}
	if d := cmp.Diff(want, kinds(tree)); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
	if len(tree.Unread) != 0 {
		t.Errorf("unread = %v", tree.Unread)
	}
}

func TestTreeCache(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "one")
	var cache DigestCache
	walk := func() string {
		tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, &cache)
		if err != nil {
			t.Fatal(err)
		}
		return tree.Files["/home/user/a"].Digests["sha256"]
	}
	first := walk()
	if cache.Len() != 0 {
		t.Errorf("a file that was just written is remembered")
	}
	time.Sleep(settleTime + 100*time.Millisecond)
	if walk(); cache.Len() != 1 {
		t.Errorf("a settled file is not remembered")
	}
	if walk() != first {
		t.Errorf("the remembered digest differs")
	}
	// Same length, modification time restored: the change time tells.
	stamp := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir+"/a", stamp, stamp); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/a", "two")
	if err := os.Chtimes(dir+"/a", stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if walk() == first {
		t.Errorf("a changed file has the remembered digest")
	}
}

func TestDigestChanged(t *testing.T) {
	for name, content := range map[string]string{"longer": "abcd", "shorter": "ab"} {
		t.Run(name, func(t *testing.T) {
			if _, err := Digest(t.Context(), strings.NewReader(content), 3); !errors.Is(err, errChanged) {
				t.Errorf("error = %v, want %v", err, errChanged)
			}
		})
	}
	endless := readerFunc(func(p []byte) (int, error) { clear(p); return len(p), nil })
	if _, err := Digest(t.Context(), endless, 1<<20); !errors.Is(err, errChanged) {
		t.Errorf("an endless file: %v, want %v", err, errChanged)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestTreeBusyFile walks while a file grows all the time: its state is either
// right or it is listed, and the walk ends.
func TestTreeBusyFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/log", strings.Repeat("x", 4<<20))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(dir+"/log", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return
		}
		defer f.Close()
		for ctx.Err() == nil {
			if _, err := f.WriteString("y"); err != nil {
				return
			}
		}
	}()
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, nil)
	stop()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Files["/home/user/log"]; got.Digests != nil {
		t.Fatalf("digests of a file that never stood still: %v", got)
	}
	if len(tree.Unread) != 1 || tree.Unread[0].Reason != errChanged.Error() {
		t.Errorf("unread = %v", tree.Unread)
	}
}

func TestTreeErrors(t *testing.T) {
	if _, err := Tree(t.Context(), attest.Layout{}, []string{"relative"}, nil); err == nil {
		t.Error("a relative root is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Tree(ctx, attest.Layout{}, []string{t.TempDir()}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled walk: %v", err)
	}
}

// TestTreeDeep makes directories deeper than a path can name.
func TestTreeDeep(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 40)
	for range maxDepth + 10 {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	unix.Close(fd)
	tree, err := Tree(t.Context(), home(dir), []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Unread) != 1 || !strings.Contains(tree.Unread[0].Reason, "deep") {
		t.Errorf("unread = %d paths, want the one that is too deep", len(tree.Unread))
	}
	if got := len(tree.Files); got < maxDepth {
		t.Errorf("%d entries, want at least %d", got, maxDepth)
	}
}

func TestOpen(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, dir+"/venv/lib/a.py", "a")
	write(t, outside+"/secret", "s")
	for link, target := range map[string]string{"venv/lib64": "lib", "venv/out": outside, "venv/file": outside + "/secret"} {
		if err := os.Symlink(target, dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(dir+"/venv/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		err  error
	}{
		{"/home/user/venv/lib/a.py", nil},
		{"/home/user/venv/lib64/a.py", unix.ENOTDIR},
		{"/home/user/venv/out/secret", unix.ENOTDIR},
		{"/home/user/venv/file", ErrNotRegular},
		{"/home/user/venv/fifo", ErrNotRegular},
		{"/home/user/venv", ErrNotRegular},
		{"/home/user/none", unix.ENOENT},
	}
	for _, layout := range []attest.Layout{home(dir), {Prefix: dir + "/venv", Home: dir}} {
		for _, tt := range tests {
			p := tt.path
			if len(layout.Mounts) == 0 {
				p = dir + strings.TrimPrefix(p, "/home/user")
			}
			f, err := Open(layout, p)
			if f != nil {
				f.Close()
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("Open(%q) = %v, want %v", p, err, tt.err)
			}
		}
	}
	if _, err := Open(home(dir), "relative"); err == nil {
		t.Error("a relative path is accepted")
	}
}

func FuzzEncodeNames(f *testing.F) {
	f.Add([]byte("a\x00b\xff\x00b%FF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var names []string
		seen := make(map[string]bool)
		for n := range bytes.SplitSeq(data, []byte{0}) {
			if !seen[string(n)] {
				names = append(names, string(n))
			}
			seen[string(n)] = true
		}
		entries, clashes := encodeNames(names)
		if len(entries)+len(clashes) != len(names) {
			t.Fatalf("%d names became %d and %d", len(names), len(entries), len(clashes))
		}
		keys := make(map[string]bool)
		for _, e := range entries {
			if keys[e.key] || strings.ToValidUTF8(e.key, "") != e.key {
				t.Fatalf("key %q of %q", e.key, e.disk)
			}
			keys[e.key] = true
		}
	})
}

// benchmarkTree makes 20,000 files of 4 KiB in 200 directories.
func benchmarkTree(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	content := strings.Repeat("x", 4<<10)
	for i := range 200 {
		for j := range 100 {
			write(b, fmt.Sprintf("%s/%d/%d.py", dir, i, j), content)
		}
	}
	return dir
}

func BenchmarkTreeCold(b *testing.B) {
	dir := benchmarkTree(b)
	for b.Loop() {
		if _, err := Tree(b.Context(), home(dir), []string{"/home/user"}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkTreeWarm(b *testing.B) {
	dir := benchmarkTree(b)
	time.Sleep(settleTime)
	var cache DigestCache
	if _, err := Tree(b.Context(), home(dir), []string{"/home/user"}, &cache); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Tree(b.Context(), home(dir), []string{"/home/user"}, &cache); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
