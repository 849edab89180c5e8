package secretscan

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func zipped(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestArchives puts a made-up key into archives of each kind, into an archive in
// an archive, and where the bounds leave it out.
func TestArchives(t *testing.T) {
	dir, in := environment(t, nil)
	key := "gh" + "p_" + random(40, 36, alnum)
	text := "\ntoken = '" + key + "'\n"
	inner := zipped(t, "in/key.py", text)
	put(t, dir, map[string]string{
		site + "a.dat":                  zipped(t, "x.py", text, "y.py", "nothing", "big", strings.Repeat("0", maxFileSize+1)),
		site + "b.tar.gz":               gzipped(t, tarred(t, "dir/k.py", text)),
		site + "c.tar":                  tarred(t, "inner.zip", inner),
		site + "d.gz":                   gzipped(t, text),
		site + "deep.zip":               zipped(t, "1.zip", zipped(t, "2.zip", inner)),
		site + "broken.zip":             zipped(t, "x.py", text)[:40],
		site + "cut.gz":                 gzipped(t, text)[:20],
		site + "evil.zip":               zipped(t, "../../\xff.py", text),
		site + "d-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: d_x\nVersion: 1\n",
		site + "d-1.dist-info/RECORD":   "d.gz,,\na.dat,,\nd-1.dist-info/RECORD,,\n",
	})
	got := scan(t, in)
	sum := sha256.Sum256([]byte(key))
	var found []string
	for _, f := range got.Findings {
		if f.RuleID == "github-pat" && f.Secret["sha256"] == hex.EncodeToString(sum[:]) {
			found = append(found, fmt.Sprint(strings.TrimPrefix(f.Location, "/home/user/"+site), ":", f.StartLine, " ", f.Distribution))
		}
	}
	want := []string{
		"a.dat!x.py:2 d-x", "b.tar.gz!!dir/k.py:2 ", "c.tar!inner.zip!in/key.py:2 ", "d.gz!:2 d-x", "evil.zip!../../\uFFFD.py:2 ",
	}
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("found in (-want +got):\n%s", d)
	}
	var reasons []string
	for _, n := range got.NotScanned {
		reasons = append(reasons, strings.TrimPrefix(n.Path, "/home/user/"+site)+": "+n.Reason)
	}
	if d := cmp.Diff([]string{
		"a.dat!big: more than 16777216 bytes",
		"broken.zip: an archive that cannot be read: read zip archive: no end of the central directory",
		"cut.gz!: unpack: unexpected EOF",
		"deep.zip!1.zip!2.zip: an archive in more than 2 archives",
	}, reasons); d != "" {
		t.Errorf("not scanned (-want +got):\n%s", d)
	}
	if got.InArchives.Files != 9 {
		t.Errorf("in archives: %+v", got.InArchives)
	}
}

// TestBomb: what archives unpack to is bounded in all.
func TestBomb(t *testing.T) {
	dir, in := environment(t, nil)
	members := []string{}
	for i := range maxUnpacked/maxFileSize + 2 {
		members = append(members, fmt.Sprint("m", i), strings.Repeat("\n", maxFileSize-1))
	}
	put(t, dir, map[string]string{site + "bomb.zip": zipped(t, members...), site + "later.zip": zipped(t, "x", "y")})
	got := scan(t, in)
	if got.InArchives.Bytes > maxUnpacked {
		t.Errorf("%d bytes were unpacked", got.InArchives.Bytes)
	}
	if n := len(got.NotScanned); n != 2 || !strings.Contains(got.NotScanned[0].Reason, "its limit: the rest was not scanned") {
		t.Errorf("not scanned: %+v", got.NotScanned)
	}
}

// TestRepetitions: what is there twice is found twice, and a rule that looks at
// paths still tells the two apart.
func TestRepetitions(t *testing.T) {
	dir, in := environment(t, nil)
	text := "\napi_key = '" + random(50, 40, alnum) + "'\n"
	archived := zipped(t, "k.py", text)
	put(t, dir, map[string]string{site + "a.py": text, site + "b.py": text, site + "c.zip": archived, site + "d.zip": archived, site + "e.p12": "x", site + "f.txt": "x"})
	got := scan(t, in)
	var found []string
	for _, f := range got.Findings {
		found = append(found, strings.TrimPrefix(f.Location, "/home/user/"+site)+" "+f.RuleID)
	}
	want := []string{"a.py generic-api-key", "b.py generic-api-key", "c.zip!k.py generic-api-key", "d.zip!k.py generic-api-key", "e.p12 pkcs12-file"}
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	if got.Scanned.Files != 6 || got.InArchives.Files != 2 {
		t.Errorf("scanned %+v, in archives %+v", got.Scanned, got.InArchives)
	}
}

// FuzzArchive: no bytes make the scan fail or grow.
func FuzzArchive(f *testing.F) {
	s, err := newScanner()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(zipped(f, "a", "b", "c/d", "e")))
	f.Add([]byte(gzipped(f, tarred(f, "a", "b"))))
	f.Add([]byte(tarred(f, "a.zip", zipped(f, "a", "b"))))
	f.Add([]byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out scanned
		w := newWorker(s, 1<<20)
		w.content(t.Context(), &out, "/x", section(data), 0)
		if out.members.Bytes > 1<<20 || len(out.notScanned) > maxListed+1 {
			t.Errorf("%+v, %d not scanned", out.members, len(out.notScanned))
		}
		for _, n := range out.notScanned {
			if !strings.HasPrefix(n.Path, "/x"+separator) && len(out.notScanned) <= maxListed {
				t.Errorf("not scanned: %q", n.Path)
			}
		}
	})
}

// TestArchiveOfTheInterpreter scans the standard library as a zip: the same
// findings as of the files.
func TestArchiveOfTheInterpreter(t *testing.T) {
	stdlib := corpus(t)
	dir, in := environment(t, nil)
	var members []string
	files, err := filepath.Glob(filepath.Join(stdlib, "email", "*.py"))
	if err != nil || len(files) == 0 {
		t.Skip("needs the package email of the standard library")
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, filepath.Base(f), string(content)+"\nsecret = '"+random(60, 30, alnum)+"'\n")
		put(t, dir, map[string]string{site + "plain/" + filepath.Base(f): members[len(members)-1]})
	}
	put(t, dir, map[string]string{site + "all.zip": zipped(t, members...)})
	counts := map[string][]string{}
	for _, f := range scan(t, in).Findings {
		at := strings.LastIndexAny(f.Location, "/!")
		counts[f.Location[at:at+1]] = append(counts[f.Location[at:at+1]], fmt.Sprint(f.Location[at+1:], f.StartLine, f.RuleID, f.Secret["sha256"]))
	}
	if d := cmp.Diff(counts["/"], counts["!"]); d != "" || len(counts["/"]) < len(files) {
		t.Errorf("%d findings; in the archive (-plain +archive):\n%s", len(counts["/"]), d)
	}
}
