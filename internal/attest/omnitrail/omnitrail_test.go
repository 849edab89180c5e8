package omnitrail

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func trail(t *testing.T, dir string) *Predicate {
	t.Helper()
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}}}
	tree, err := walk.Tree(t.Context(), layout, []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Attestor().Run(t.Context(), &attest.Input{Before: tree})
	if err != nil {
		t.Fatal(err)
	}
	return got.(*Predicate)
}

// TestAgainstTools compares 200 random files with sha256sum and git hash-object.
func TestAgainstTools(t *testing.T) {
	for _, tool := range []string{"sha256sum", "sha1sum", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(3, 4))
	var names []string
	for i := range 200 {
		content := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
		for j := range content {
			content[j] = byte(rnd.Uint32())
		}
		name := fmt.Sprintf("d%d/f%d", rnd.IntN(9), i)
		if err := os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	run := func(name string, args ...string) []string {
		cmd := exec.Command(name, append(args, names...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	sum256, sum1, git := run("sha256sum"), run("sha1sum"), run("git", "hash-object", "--no-filters")
	got := trail(t, dir).Envelope.Mapping
	for i, name := range names {
		e := got["/home/user/"+name]
		want := [3]string{strings.Fields(sum256[i])[0], strings.Fields(sum1[i])[0], "gitoid:blob:sha1:" + git[i]}
		if have := [3]string{e.SHA256, e.SHA1, e.GitOIDSHA1}; have != want || e.Type != "file" {
			t.Fatalf("%s: %+v, want %v", name, e, want)
		}
	}
}

// TestVirtualEnvironment takes the trail of a real environment, whose
// interpreter is a symbolic link that leaves it.
func TestVirtualEnvironment(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	dir := t.TempDir()
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", "--symlinks", dir+"/venv").CombinedOutput(); err != nil {
		t.Skipf("needs a python3 with venv: %s", out)
	}
	got := trail(t, dir)
	target, err := os.Readlink(dir + "/venv/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(target))
	link := got.Envelope.Mapping["/home/user/venv/bin/python3"]
	if link.Type != "symlink" || link.Target != target || link.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("symlink = %+v, want the target %q and its digest", link, target)
	}
	if e := got.Envelope.Mapping["/home/user/venv/pyvenv.cfg"]; e.Type != "file" || e.SHA256 == "" {
		t.Errorf("pyvenv.cfg = %+v", e)
	}
	if len(got.Unread) != 0 {
		t.Errorf("unread = %v", got.Unread)
	}
}

// TestDirectoryDigest builds the listing by hand, as the documentation says.
func TestDirectoryDigest(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/b", []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", dir+"/a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/c", 0o700); err != nil {
		t.Fatal(err)
	}
	hash256 := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	git1 := func(s string) string {
		h := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(s), s))
		return "gitoid:blob:sha1:" + hex.EncodeToString(h[:])
	}
	got := trail(t, dir).Envelope.Mapping["/home/user"]
	if want := hash256("symlink " + hash256("/nowhere") + " a\x00file " + hash256("b") + " b\x00directory " + hash256("") + " c\x00"); got.SHA256 != want {
		t.Errorf("sha256 = %s, want %s", got.SHA256, want)
	}
	if want := git1("symlink " + git1("/nowhere") + " a\x00file " + git1("b") + " b\x00directory " + git1("") + " c\x00"); got.GitOIDSHA1 != want {
		t.Errorf("gitoid:sha1 = %s, want %s", got.GitOIDSHA1, want)
	}
	before := got.SHA256
	if err := os.WriteFile(dir+"/c/deep", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if trail(t, dir).Envelope.Mapping["/home/user"].SHA256 == before {
		t.Error("a new file two levels down does not change the digest of the root")
	}
}

func TestGolden(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 123, time.FixedZone("CET", 3600))
	state := func(kind evidence.FileKind, mode uint32) evidence.FileState {
		return evidence.FileState{Kind: kind, Mode: mode, UID: 1000, GID: 100, Size: 6, ModTime: at, ChangeTime: at, AccessTime: at}
	}
	file := state(evidence.KindFile, 0o4644)
	file.Digests = evidence.DigestSet{"sha256": "aa", "sha1": "bb", "gitoid:sha256": "gitoid:blob:sha256:cc", "gitoid:sha1": "gitoid:blob:sha1:dd"}
	link := state(evidence.KindSymlink, 0o777)
	link.Target = "../../etc"
	got, err := New(t.Context(), &evidence.Tree{
		Roots: []string{"/home/user"},
		Files: map[string]evidence.FileState{
			"/home/user": state(evidence.KindDirectory, 0o1777), "/home/user/a": file, "/home/user/l": link,
			"/home/user/%FF": state(evidence.KindFIFO, 0o600), "/home/user/u": state(evidence.KindFile, 0),
		},
		Encoded: []string{"/home/user/%FF"},
		Unread:  []evidence.UnreadPath{{Path: "/home/user/u", Reason: "permission denied"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, '\n')
	const golden = "testdata/predicate.json"
	if *update {
		if err := os.WriteFile(golden, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(data)); d != "" {
		t.Errorf("%s (-want +got):\n%s", golden, d)
	}
}

func TestPermissions(t *testing.T) {
	for mode, want := range map[uint32]string{
		0o644: "-rw-r--r--", 0o4755: "-rwsr-xr-x", 0o4644: "-rwSr--r--", 0o2755: "-rwxr-sr-x", 0o1777: "-rwxrwxrwt", 0o1000: "---------T", 0: "----------",
	} {
		if got := permissions(evidence.KindFile, mode); got != want {
			t.Errorf("permissions(%#o) = %q, want %q", mode, got, want)
		}
	}
}

func TestNoTree(t *testing.T) {
	if _, err := Attestor().Run(t.Context(), &attest.Input{}); !errors.Is(err, attest.ErrNoTree) {
		t.Errorf("error = %v, want %v", err, attest.ErrNoTree)
	}
}
