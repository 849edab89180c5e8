package testpkg

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"net/mail"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			if seen[p.Name] {
				t.Errorf("two packages have this name")
			}
			seen[p.Name] = true
			if p.Doc == "" || !slices.IsSorted(p.Modules) {
				t.Errorf("doc %q, modules %q: want a sentence and a sorted list", p.Doc, p.Modules)
			}
			found, err := Find(p.Name)
			if err != nil || found.Doc != p.Doc {
				t.Errorf("Find gives %q, %v", found.Doc, err)
			}
			wantSuffix := map[Kind]string{KindWheel: ".whl", KindSdist: ".tar.gz"}[p.Kind]
			if !strings.HasSuffix(p.Archive.Filename(), wantSuffix) {
				t.Errorf("file %q of kind %q", p.Archive.Filename(), p.Kind)
			}
		})
	}
	if _, err := Find("testpkg-nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Find of an unknown name: %v, want ErrUnknown", err)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			path, err := p.Build(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			first, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Find(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			second, err := again.Archive.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Errorf("two builds differ: %d and %d bytes", len(first), len(second))
			}
		})
	}
}

func TestBuildError(t *testing.T) {
	_, err := Honest()[0].Build(filepath.Join(t.TempDir(), "absent"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("build into an absent directory: %v, want ErrNotExist", err)
	}
}

func TestWheels(t *testing.T) {
	for _, p := range sound() {
		if p.Kind != KindWheel {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			members := unzip(t, p.Archive)
			stem := escapeName(p.Name) + "-" + p.Version + ".dist-info"
			if got, want := recorded(t, members[stem+"/RECORD"]), digests(members, stem+"/RECORD"); !cmp.Equal(got, want) {
				t.Errorf("RECORD differs from the archive (-archive +RECORD):\n%s", cmp.Diff(want, got))
			}
			header, err := mail.ReadMessage(strings.NewReader(members[stem+"/METADATA"] + "\n"))
			if err != nil {
				t.Fatalf("read METADATA: %v", err)
			}
			got := []string{header.Header.Get("Name"), header.Header.Get("Version")}
			if want := []string{p.Name, p.Version}; !cmp.Equal(got, want) {
				t.Errorf("METADATA is of %q, want %q", got, want)
			}
			if !strings.Contains(members[stem+"/WHEEL"], "\nTag: py3-none-any\n") {
				t.Errorf("WHEEL has no tag: %q", members[stem+"/WHEEL"])
			}
			var want []string // a module of a namespace package counts by its first part
			for _, m := range p.Modules {
				first, _, _ := strings.Cut(m, ".")
				want = append(want, first)
			}
			if got := topLevel(members); !slices.Equal(got, slices.Compact(want)) {
				t.Errorf("the archive has modules %q, the catalogue says %q", got, p.Modules)
			}
		})
	}
}

func TestSdists(t *testing.T) {
	for _, p := range sound() {
		if p.Kind != KindSdist {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			members := untar(t, p.Archive)
			top := strings.TrimSuffix(p.Archive.Filename(), ".tar.gz") + "/"
			for name := range members {
				if !strings.HasPrefix(name, top) {
					t.Errorf("%q is outside %q", name, top)
				}
			}
			want := "Metadata-Version: 2.1\nName: " + p.Name + "\nVersion: " + p.Version + "\n"
			if got := members[top+"PKG-INFO"]; got != want {
				t.Errorf("PKG-INFO is %q, want %q", got, want)
			}
			if members[top+"pyproject.toml"] == "" {
				t.Errorf("no pyproject.toml")
			}
		})
	}
}

// The faulty wheels are broken in one way each, and in no other.
func TestBrokenWheels(t *testing.T) {
	bytesOf := func(t *testing.T, name string) ([]byte, *zip.Reader, error) {
		t.Helper()
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := p.Archive.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		return content, r, err
	}
	t.Run("truncated", func(t *testing.T) {
		if _, _, err := bytesOf(t, "testpkg-truncated"); !errors.Is(err, zip.ErrFormat) {
			t.Errorf("open: %v, want zip.ErrFormat", err)
		}
	})
	t.Run("record-wrong", func(t *testing.T) {
		p, err := Find("testpkg-record-wrong")
		if err != nil {
			t.Fatal(err)
		}
		members := unzip(t, p.Archive)
		name := "testpkg_record_wrong-1.0.dist-info/RECORD"
		got, want := recorded(t, members[name]), digests(members, name)
		wrong := 0
		for path := range want {
			if got[path] != want[path] {
				wrong++
			}
		}
		if wrong != 1 || len(got) != len(want) {
			t.Errorf("%d rows are wrong of %d, want one of %d", wrong, len(got), len(want))
		}
	})
	t.Run("record-missing", func(t *testing.T) {
		p, err := Find("testpkg-record-missing")
		if err != nil {
			t.Fatal(err)
		}
		if record, ok := unzip(t, p.Archive)["testpkg_record_missing-1.0.dist-info/RECORD"]; ok {
			t.Errorf("there is a RECORD: %q", record)
		}
	})
	t.Run("escaping", func(t *testing.T) {
		// The Go reader reports such a name itself where GODEBUG asks for it.
		_, r, err := bytesOf(t, "testpkg-escaping")
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.File, func(f *zip.File) bool { return strings.HasPrefix(f.Name, "../") }) {
			t.Error("no member leaves the archive")
		}
	})
}

// An attack may name loopback addresses and /bin/true, and nothing else of the
// world: this is what makes the catalogue harmless.
func TestAttacksAreHarmless(t *testing.T) {
	addresses := regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*::[0-9a-fA-F]*|[a-z]+://\S+`)
	for _, a := range append(Attacks(), KeyReadAndConnect()) {
		t.Run(a.Name, func(t *testing.T) {
			for name, source := range sources(t, a.Package) {
				for _, found := range addresses.FindAllString(source, -1) {
					if found != "127.0.0.1" && found != "::1" {
						t.Errorf("%s names the address %q", name, found)
					}
				}
				for _, word := range []string{"eval(", "exec(", "shutil", "urllib", "http.", "ctypes", "os.remove", "os.unlink"} {
					if strings.Contains(source, word) {
						t.Errorf("%s uses %q", name, word)
					}
				}
			}
		})
	}
}

func TestAttacksAreComplete(t *testing.T) {
	var undenied []string
	for _, a := range Attacks() {
		if len(a.WantRules) == 0 || len(a.WantRecord) == 0 || a.Behaviour == "" {
			t.Errorf("%s: rules %q, records %v, behaviour %q: want all", a.Name, a.WantRules, a.WantRecord, a.Behaviour)
		}
		if !a.Denied {
			undenied = append(undenied, a.Name)
		}
	}
	if got := len(Attacks()); got != 12 {
		t.Errorf("%d attacks, want 12", got)
	}
	if want := []string{"testpkg-attack-daemon", "testpkg-attack-unit"}; !cmp.Equal(undenied, want) {
		t.Errorf("not denied: %q, want %q", undenied, want)
	}
}

func TestPlantKey(t *testing.T) {
	home := t.TempDir()
	if err := PlantKey(home); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(home, ".ssh", "id_rsa"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if err := PlantKey(filepath.Join(home, ".ssh", "id_rsa")); err == nil {
		t.Error("planting below a file succeeded")
	}
}

// sound are the packages whose archives are whole.
func sound() []Package {
	packages := Honest()
	for _, f := range Faulty() {
		if f.Stage == StageImport || f.Stage == StageBuild {
			packages = append(packages, f.Package)
		}
	}
	for _, a := range append(Attacks(), KeyReadAndConnect()) {
		packages = append(packages, a.Package)
	}
	return packages
}

func unzip(t *testing.T, a Archive) map[string]string {
	t.Helper()
	content, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for _, f := range r.File {
		if _, twice := members[f.Name]; twice {
			t.Errorf("%q is in the archive twice", f.Name)
		}
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body) // checks the CRC
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatalf("read %q: %v", f.Name, err)
		}
		members[f.Name] = string(text)
	}
	return members
}

func untar(t *testing.T, a Archive) map[string]string {
	t.Helper()
	content, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		members[header.Name] = string(body)
	}
}

// sources are the Python sources of a package that its own author wrote: the
// backend is the same everywhere.
func sources(t *testing.T, p Package) map[string]string {
	t.Helper()
	unpack := untar
	if p.Kind == KindWheel {
		unpack = unzip
	}
	members := unpack(t, p.Archive)
	maps.DeleteFunc(members, func(name, _ string) bool {
		extension := path.Ext(name)
		return extension != ".py" && extension != ".pth" || strings.HasSuffix(name, "/testpkg_backend.py")
	})
	return members
}

// entry is a row of RECORD.
type entry struct {
	Digest string
	Size   int
}

// recorded parses a RECORD; its own row, without digest, is checked and left out.
func recorded(t *testing.T, record string) map[string]entry {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(record)).ReadAll()
	if err != nil {
		t.Fatalf("read RECORD: %v", err)
	}
	entries := map[string]entry{}
	for _, row := range rows {
		if strings.HasSuffix(row[0], ".dist-info/RECORD") && row[1] == "" && row[2] == "" {
			continue
		}
		size, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatalf("read RECORD: %v", err)
		}
		entries[row[0]] = entry{row[1], size}
	}
	return entries
}

func digests(members map[string]string, record string) map[string]entry {
	entries := map[string]entry{}
	for name, content := range members {
		if name == record {
			continue
		}
		digest := sha256.Sum256([]byte(content))
		entries[name] = entry{"sha256=" + base64.RawURLEncoding.EncodeToString(digest[:]), len(content)}
	}
	return entries
}

// topLevel returns the import names that the members give.
func topLevel(members map[string]string) []string {
	names := map[string]bool{}
	for name := range members {
		first, _, nested := strings.Cut(name, "/")
		switch {
		case strings.HasSuffix(first, ".dist-info") || strings.HasSuffix(first, ".data"):
		case nested:
			names[first] = true
		case path.Ext(first) == ".py":
			names[strings.TrimSuffix(first, ".py")] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
