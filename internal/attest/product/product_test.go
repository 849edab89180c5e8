package product

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/walk"
)

func tree(t *testing.T, layout attest.Layout) *evidence.Tree {
	t.Helper()
	out, err := walk.Tree(t.Context(), layout, []string{"/home/user"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRandomChanges makes random changes to a real tree: the products are what
// was written, with the digest of what was written, and nothing else.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			layout := attest.Layout{Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}}}
			rnd := rand.New(rand.NewPCG(seed, 1))
			content := make(map[string]string)
			name := func(i int) string { return fmt.Sprintf("/d%d/f%d.bin", i%5, i) }
			put := func(n, c string) {
				if err := os.MkdirAll(filepath.Dir(dir+n), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(dir+n, []byte(c), 0o644); err != nil {
					t.Fatal(err)
				}
				content[n] = c
			}
			for i := range 60 {
				put(name(i), fmt.Sprint("before ", i))
			}
			before := tree(t, layout)
			want := make(map[string]string)
			for i := range 90 {
				n, path := name(i), "/home/user"+name(i)
				_, exists := content[n]
				switch action := rnd.IntN(8); {
				case !exists || action == 0:
					put(n, fmt.Sprint("after ", i, rnd.Uint64()))
					want[path] = content[n]
				case action == 1:
					if err := os.Remove(dir + n); err != nil {
						t.Fatal(err)
					}
				case action == 2: // the same bytes again: no product
					put(n, content[n])
				case action == 3:
					if err := os.Chmod(dir+n, 0o700); err != nil {
						t.Fatal(err)
					}
				case action == 4: // replaced by a link
					if err := os.Remove(dir + n); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink("elsewhere", dir+n); err != nil {
						t.Fatal(err)
					}
				case action == 5: // moved: a product under its new name
					if err := os.Rename(dir+n, dir+n+".moved"); err != nil {
						t.Fatal(err)
					}
					want[path+".moved"] = content[n]
				}
			}
			got, err := Attestor().Run(t.Context(), &attest.Input{Before: before, After: tree(t, layout), Layout: layout})
			if err != nil {
				t.Fatal(err)
			}
			digests := make(map[string]string)
			for p, d := range got.(Predicate) {
				digests[p] = d.Digest["sha256"]
			}
			wanted := make(map[string]string)
			for p, c := range want {
				sum := sha256.Sum256([]byte(c))
				wanted[p] = hex.EncodeToString(sum[:])
			}
			if d := cmp.Diff(wanted, digests); d != "" {
				t.Errorf("products (-want +got):\n%s", d)
			}
		})
	}
}

func TestMIMEType(t *testing.T) {
	dir := t.TempDir()
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: "/home/user", Outside: dir}}}
	before := tree(t, layout)
	for name, c := range map[string]string{
		"a.py": "print()", "METADATA": "Metadata-Version: 2.1\n", "x": "\x7fELF\x02\x01\x01\x00\x00", "page": "<!DOCTYPE html><p>", "empty": "",
		"picture": "\x89PNG\r\n\x1a\n", "a.pth": "import x", "caf\xe9": "text",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(c), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Attestor().Run(t.Context(), &attest.Input{Before: before, After: tree(t, layout), Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]string)
	for p, d := range got.(Predicate) {
		types[p] = d.MIMEType
	}
	want := map[string]string{
		"/home/user/a.py": "text/x-python", "/home/user/METADATA": "text/plain; charset=utf-8", "/home/user/x": "application/octet-stream",
		"/home/user/page": "text/html; charset=utf-8", "/home/user/empty": "text/plain; charset=utf-8", "/home/user/picture": "image/png",
		"/home/user/a.pth": "text/plain", "/home/user/caf%E9": "application/octet-stream",
	}
	if d := cmp.Diff(want, types); d != "" {
		t.Errorf("types (-want +got):\n%s", d)
	}
}

func TestNoTree(t *testing.T) {
	if _, err := Attestor().Run(t.Context(), &attest.Input{Before: &evidence.Tree{}}); !errors.Is(err, attest.ErrNoTree) {
		t.Errorf("error = %v, want %v", err, attest.ErrNoTree)
	}
}
