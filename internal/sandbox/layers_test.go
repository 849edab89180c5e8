package sandbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/walk"
)

// layered is a Spec with layers in a new directory; hidden is what hides that.
func layered(t *testing.T, dir string, below []sandbox.Layer) sandbox.Spec {
	t.Helper()
	run, err := os.MkdirTemp(dir, "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, run) })
	for _, d := range []string{"root", "layers"} {
		if err := os.Mkdir(filepath.Join(run, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return sandbox.Spec{
		Namespaces: true, RootDir: filepath.Join(run, "root"),
		Layers: &sandbox.Layers{Directory: filepath.Join(run, "layers"), Below: below},
	}
}

// removeAll removes what a box wrote to.
func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := sandbox.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// overlaidDir is a directory of the host that the sandbox shows below a layer: not
// below /tmp, which is empty inside.
func overlaidDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "pip-witness-test-")
	if err != nil {
		t.Skipf("needs a directory outside /tmp to write to: %v", err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	return dir
}

// changed are the differences that the layers of a box tell, without what was made
// to mount something.
func changed(t *testing.T, box *sandbox.Box) []evidence.TreeChange {
	t.Helper()
	var all []evidence.TreeChange
	for _, l := range box.Layers() {
		if l.Upper == "" || l.Whole {
			continue
		}
		before, after, err := walk.Changed(t.Context(), walk.Layer{Inside: l.Path, Upper: l.Upper, Lower: l.Lower}, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(after.Unread) > 0 {
			t.Errorf("unread: %v", after.Unread)
		}
		for _, c := range evidence.DiffTrees(before, after) {
			if c.Path != l.Path && !slices.Contains(box.Made(), c.Path) {
				all = append(all, c)
			}
		}
	}
	return all
}

// What is written below a host directory succeeds inside, is in the list of changes
// and not on the host; a second box stands on what the first one left.
func TestLayers(t *testing.T) {
	dir := overlaidDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"sub", "full", "opaque"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"kept", "changed", "removed", "chmod", "read", "full/a", "full/b", "opaque/old", "sub/same"} {
		if err := os.WriteFile(in(f), []byte("host "+f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("kept", in("link")); err != nil {
		t.Fatal(err)
	}
	first := start(t, layered(t, t.TempDir(), nil))
	shell(t, first, "cd "+dir+` && cat read && echo new > made && mkdir -p deep/er && echo x > deep/er/file && echo more >> changed &&
rm removed && chmod 600 chmod && rm -r full && rm -r opaque && mkdir opaque && echo x > opaque/new && ln -sfn changed link && : >> sub/same && echo done`)
	want := []evidence.TreeChange{}
	for _, c := range [][2]string{
		{"changed", "modified"}, {"chmod", "mode"}, {"deep", "created"}, {"deep/er", "created"}, {"deep/er/file", "created"},
		{"full", "deleted"}, {"full/a", "deleted"}, {"full/b", "deleted"}, {"link", "modified"}, {"made", "created"},
		{"opaque/new", "created"}, {"opaque/old", "deleted"}, {"removed", "deleted"},
	} {
		want = append(want, evidence.TreeChange{Path: in(c[0]), Change: c[1]})
	}
	if diff := cmp.Diff(want, changed(t, first)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, f := range []string{"changed", "removed", "full/a", "opaque/old"} {
		if content, err := os.ReadFile(in(f)); err != nil || string(content) != "host "+f {
			t.Errorf("%s on the host: %q, %v", f, content, err)
		}
	}
	if _, err := os.Lstat(in("made")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was made inside is on the host: %v", err)
	}
	first.Close()

	second := start(t, layered(t, t.TempDir(), first.Layers()))
	got := shell(t, second, "cd "+dir+" && ls && ls opaque && cat made && stat -c %a chmod && echo 2 >> made && rm deep/er/file && mkdir full && echo 3 > full/c && rm opaque/new")
	if diff := cmp.Diff("changed\nchmod\ndeep\nkept\nlink\nmade\nopaque\nread\nsub\nnew\nnew\n600", got); diff != "" {
		t.Errorf("the second box sees (-want +got):\n%s", diff)
	}
	want = []evidence.TreeChange{
		{Path: in("deep/er/file"), Change: "deleted"}, {Path: in("full"), Change: "created"}, {Path: in("full/c"), Change: "created"},
		{Path: in("made"), Change: "modified"}, {Path: in("opaque/new"), Change: "deleted"},
	}
	if diff := cmp.Diff(want, changed(t, second)); diff != "" {
		t.Errorf("changes of the second box (-want +got):\n%s", diff)
	}
}

// The list of changes is compared with two walks of the whole tree, as it is seen
// inside, for random operations in two boxes on top of each other.
func TestLayersAgreeWithWalks(t *testing.T) {
	dir := overlaidDir(t)
	names := []string{"a", "b", "c", "a/x", "a/y", "b/x", "b/x/z", "a/x/z", "c/w"}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range names {
		if random.IntN(3) == 0 {
			_ = os.MkdirAll(filepath.Join(dir, n), 0o755) // some names are below files: those fail
		} else if os.MkdirAll(filepath.Dir(filepath.Join(dir, n)), 0o755) == nil {
			_ = os.WriteFile(filepath.Join(dir, n), []byte(n), 0o644)
		}
	}
	var below []sandbox.Layer
	total := 0
	for round := range 8 {
		box := start(t, layered(t, t.TempDir(), below))
		before := inside(t, box, dir)
		var script strings.Builder
		fmt.Fprintf(&script, "cd %s; { ", dir)
		for range 12 {
			n := names[random.IntN(len(names))]
			m := names[random.IntN(len(names))]
			operations := []string{
				"rm -rf %[1]s", "mkdir -p %[1]s", "echo %[3]d > %[1]s", "echo >> %[1]s", "chmod 7%[4]d0 %[1]s", "mv %[1]s %[2]s", "ln -sfn %[2]s %[1]s",
				"rm -rf %[1]s; mkdir -p %[1]s", "cp -r %[1]s %[2]s", "ln -f %[1]s %[2]s", "rmdir %[1]s", "mkfifo %[1]s",
			}
			fmt.Fprintf(&script, operations[random.IntN(len(operations))]+"; ", n, m, random.IntN(3), random.IntN(8))
		}
		script.WriteString("} 2>/dev/null; echo done")
		if got := shell(t, box, script.String()); got != "done" {
			t.Fatalf("round %d: %q", round, got)
		}
		want := evidence.DiffTrees(before, inside(t, box, dir))
		total += len(want)
		if diff := cmp.Diff(want, changed(t, box)); diff != "" {
			t.Errorf("round %d: changes (-walks +layers):\n%s\n%s", round, diff, script.String())
		}
		box.Close()
		for _, l := range box.Layers() {
			below = append([]sandbox.Layer{l}, below...)
		}
	}
	if total < 12 {
		t.Errorf("only %d changes in all", total)
	}
}

// inside walks a directory as the box shows it.
func inside(t *testing.T, box *sandbox.Box, dir string) *evidence.Tree {
	t.Helper()
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: dir, Outside: fmt.Sprintf("/proc/%d/root%s", box.InitPID(), dir)}}}
	tree, err := walk.Tree(t.Context(), layout, []string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Layers whose own directory lies below one of the host's, and has characters in
// its name that separate mount options.
func TestLayersInAnOddPlace(t *testing.T) {
	dir := filepath.Join(overlaidDir(t), `a:b,c\d e`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	beside := overlaidDir(t)
	for _, hide := range []bool{true, false} {
		t.Run(fmt.Sprintf("hidden %v", hide), func(t *testing.T) {
			spec := layered(t, dir, nil)
			if hide {
				spec.Hidden = []string{dir}
			}
			box := start(t, spec)
			if got := shell(t, box, "echo x > "+beside+"/made && cat "+beside+"/made; ls "+filepath.Dir(spec.RootDir)+"/layers 2>/dev/null"); got != "x" {
				t.Errorf("inside: %q", got)
			}
			if diff := cmp.Diff([]evidence.TreeChange{{Path: beside + "/made", Change: "created"}}, changed(t, box)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if len(box.Missing()) > 0 {
				t.Errorf("missing %q", box.Missing())
			}
		})
	}
}

// A service of the host that listens on a path cannot be reached, neither through
// an overlay nor through a bind.
func TestHostSockets(t *testing.T) {
	dir := overlaidDir(t)
	path := filepath.Join(dir, "service.sock")
	service, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	reached := make(chan struct{}, 16)
	go func() {
		for {
			c, err := service.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			c.Close()
		}
	}()
	python := pythonPath(t)
	specs := map[string]sandbox.Spec{
		"layers":    layered(t, t.TempDir(), nil),
		"no layers": {Namespaces: true},
		"bind":      {Namespaces: true, Binds: []sandbox.Bind{{Source: dir, Target: dir}}},
	}
	bound := layered(t, t.TempDir(), nil)
	bound.Binds = []sandbox.Bind{{Source: dir, Target: dir}}
	specs["bind over layers"] = bound
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			box := start(t, spec)
			script := "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ntry: s.connect(sys.argv[1]); print('connected')\nexcept OSError as e: print(e.strerror)"
			out, _ := run(t, box, sandbox.Command{Args: []string{python, "-I", "-S", "-c", script, path}})
			if strings.TrimSpace(out) != "Connection refused" {
				t.Errorf("connect: %q", out)
			}
		})
	}
	if n := len(reached); n > 0 {
		t.Errorf("the service was reached %d times", n)
	}
}

// ownMounts runs the calling test again in user and mount namespaces of its own, as
// their root, and returns false; in there it returns true.
func ownMounts(t *testing.T) bool {
	t.Helper()
	const variable = "PIP_WITNESS_TEST_OWN_MOUNTS"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	command := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), variable+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := command.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skipf("needs user namespaces: %v", err)
	case err != nil:
		t.Errorf("in namespaces of its own: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("in namespaces of its own:\n%s", out)
	}
	return false
}

// mount mounts a file system, or for a path what is there, until the test ends.
func mount(t *testing.T, source, target, options string) {
	t.Helper()
	flags := uintptr(0)
	if filepath.IsAbs(source) {
		flags = unix.MS_BIND | unix.MS_REC
	}
	if err := unix.Mount(source, target, source, flags, options); err != nil {
		t.Fatalf("mount %s on %q: %v", source, target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %q: %v", target, err)
		}
	})
}

// Directories with mounts below them are shown entry by entry, and what cannot be
// changed is named.
func TestLayersAroundMounts(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	dir := overlaidDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string]string{"d/plain": "p", "d/own": "o", "d/mounted": "hidden by a mount", "e/f": "f", "source": "s"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(in(name)), 0o755), os.WriteFile(in(name), []byte(content), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("own", in("d/link")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"d/mnt", "d/sys"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "tmpfs", in("d/mnt"), "")
	if err := os.WriteFile(in("d/mnt/deep"), []byte("d"), 0o644); err != nil {
		t.Fatal(err)
	}
	mount(t, "/sys", in("d/sys"), "")
	mount(t, in("source"), in("d/mounted"), "")
	box := start(t, layered(t, t.TempDir(), nil))
	got := shell(t, box, "cd "+dir+`/d && cat plain own mounted link mnt/deep && echo && ls && echo new > made && echo x >> own && echo x > mnt/made && rm mnt/deep && echo x > ../e/made
(echo x > mounted) 2>&1 | grep -c -i read-only; (echo x > sys/made) 2>&1 | grep -c -i -e read-only -e denied`)
	if diff := cmp.Diff("posod\nlink\nmade\nmnt\nmounted\nown\nplain\nsys\n1\n1", strings.Replace(got, "link\nmnt", "link\nmade\nmnt", 1)); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
	want := []evidence.TreeChange{
		{Path: in("d/made"), Change: "created"}, {Path: in("d/own"), Change: "modified"}, {Path: in("d/mnt/deep"), Change: "deleted"},
		{Path: in("d/mnt/made"), Change: "created"}, {Path: in("e/made"), Change: "created"},
	}
	if diff := cmp.Diff(want, changed(t, box)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	reasons := map[string]string{}
	for _, l := range box.Layers() {
		if strings.HasPrefix(l.Path, dir) && l.Upper == "" {
			reasons[strings.TrimPrefix(l.Path, dir)] = l.Reason
		}
	}
	if diff := cmp.Diff(map[string]string{"/d/mounted": "a file beside a mount point", "/d/sys": "not a file system of files"}, reasons); diff != "" {
		t.Errorf("read-only (-want +got):\n%s", diff)
	}
	if content, err := os.ReadFile(in("d/own")); err != nil || string(content) != "o" {
		t.Errorf("on the host: %q, %v", content, err)
	}
}

// Where the file system of the layers is no good for them, the host's directories
// are read-only, the reason is told, and an overlay that was asked for by name
// becomes a copy.
func TestLayersRefused(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	place, beside := overlaidDir(t), overlaidDir(t)
	if err := os.WriteFile(beside+"/file", []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"l", "u", "w", "m", "lower", "lower/sub"} {
		if err := os.Mkdir(filepath.Join(place, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(place+"/lower/sub/file", []byte("host"), 0o640), os.Symlink("sub/file", place+"/lower/link")); err != nil {
		t.Fatal(err)
	}
	mount(t, "overlay", place+"/m", fmt.Sprintf("userxattr,lowerdir=%[1]s/l,upperdir=%[1]s/u,workdir=%[1]s/w", place))
	spec := layered(t, place+"/m", nil)
	for _, d := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(place, "m", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	spec.Hidden = []string{place}
	spec.Overlays = []sandbox.Overlay{{Lower: place + "/lower", Upper: place + "/m/upper", Work: place + "/m/work", Target: "/home/user"}}
	box := start(t, spec)
	got := shell(t, box, "cat "+beside+"/file; (echo x > "+beside+"/made) 2>&1 | grep -c -i read-only; cd /home/user && cat link && stat -c %a sub/file && echo new > sub/file && cat link")
	if diff := cmp.Diff("host1\nhost640\nnew", got); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
	if missing := strings.Join(box.Missing(), "\n"); !strings.Contains(missing, "no overlay can be had in the temporary directory") {
		t.Errorf("missing %q", missing)
	}
	i := slices.IndexFunc(box.Layers(), func(l sandbox.Layer) bool { return l.Path == "/home/user" })
	if i < 0 || !box.Layers()[i].Whole {
		t.Errorf("the overlay of HOME is no copy: %+v", box.Layers())
	}
	if content, err := os.ReadFile(place + "/lower/sub/file"); err != nil || string(content) != "host" {
		t.Errorf("on the host: %q, %v", content, err)
	}
}

// Root can do without a user namespace; the command has no capability either way.
func TestWithoutUserNamespace(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	// The limit belongs to the user namespace that this test has for itself.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o644); err != nil {
		t.Skipf("needs a writable user.max_user_namespaces: %v", err)
	}
	box := start(t, layered(t, t.TempDir(), nil))
	if diff := cmp.Diff([]string{"ipc", "mount", "network", "pid", "uts"}, box.Namespaces()); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	got := shell(t, box, `grep -h -e CapEff -e CapPrm -e CapBnd -e NoNewPrivs /proc/self/status | tr -d '\t'
mount -t tmpfs none /tmp 2>&1 | grep -c -i -e permission -e superuser -e denied; kill -9 1; ls /proc/1/root 2>&1 | grep -c -i denied
echo x > /home/made && cat /home/made; (echo x > /proc/sys/kernel/core_pattern) 2>&1 | grep -c -i -e read-only -e denied`)
	if diff := cmp.Diff("CapPrm:0000000000000000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\n1\n1\nx\n1", got); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
}

// Where the kernel has a limit of process numbers per namespace, it is lowered
// inside and stays as it is outside.
func TestProcessNumbers(t *testing.T) {
	outside, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Skipf("needs kernel.pid_max: %v", err)
	}
	got := shell(t, start(t, sandbox.Spec{Namespaces: true}), "cat /proc/sys/kernel/pid_max; uname -r")
	limit, release, _ := strings.Cut(got, "\n")
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if major < 6 || major == 6 && minor < 14 {
		t.Skipf("needs kernel 6.14, this is %s", release)
	}
	if limit != "32768" {
		t.Errorf("inside %s", limit)
	}
	if now, err := os.ReadFile("/proc/sys/kernel/pid_max"); err != nil || string(now) != string(outside) {
		t.Errorf("outside it became %s, %v", now, err)
	}
}
