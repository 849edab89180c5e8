package osv

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// archive packs advisories, each a JSON text, as a database has them.
func archive(t testing.TB, records ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, text := range records {
		f, err := w.Create(fmt.Sprintf("advisory-%04d.json", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// place writes an archive where a database is looked for and returns its path.
func put(t testing.TB, data []byte) string {
	t.Helper()
	path := ArchivePath(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path, cache string) *Database {
	t.Helper()
	d, err := Open(t.Context(), path, cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// match asks a database of these advisories about one package.
func match(t *testing.T, name, version string, records ...string) Result {
	t.Helper()
	result, err := open(t, put(t, archive(t, records...)), "").Match(t.Context(), []Package{{name, version}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// advisory is a record about the project "demo".
func advisory(id, affected string, more ...string) string {
	return fmt.Sprintf(`{"id":%q,"modified":"2024-05-01T00:00:00Z",%s"affected":[{"package":{"ecosystem":"PyPI","name":"Demo_Pkg"},%s}]}`,
		id, strings.Join(append(more, ""), ","), affected)
}

func events(kind string, events ...string) string {
	return fmt.Sprintf(`{"type":%q,"events":[%s]}`, kind, strings.Join(events, ","))
}

func ranges(r ...string) string { return `"ranges":[` + strings.Join(r, ",") + `]` }

// TestAffected decides single advisories: which versions they affect, and what of
// them stays open.
func TestAffected(t *testing.T) {
	const git = `{"type":"GIT","repo":"https://git.example/demo","events":[{"introduced":"0"}]}`
	for name, test := range map[string]struct {
		affected    string
		yes, no     []string
		open        []string // versions that stay open
		fixed, vers string   // for the first of yes
	}{
		"introduced and fixed": {
			affected: ranges(events("ECOSYSTEM", `{"introduced":"1.0"}`, `{"fixed":"1.2"}`)),
			yes:      []string{"1.0", "1", "1.1.9", "1.2rc1", "1.0.post1", "1.0+local"}, no: []string{"0.9", "1.0a1", "1.0.dev3", "1.2", "1.2.0", "2"},
			fixed: "1.2", vers: "vers:pypi/>=1.0|<1.2",
		},
		"events in the opposite order": {
			affected: ranges(events("ECOSYSTEM", `{"fixed":"2.2"}`, `{"introduced":"2.0"}`, `{"fixed":"1.2"}`, `{"introduced":"1.0"}`)),
			yes:      []string{"1.1", "2.1"}, no: []string{"0.9", "1.2", "1.9", "2.2"}, fixed: "1.2", vers: "vers:pypi/>=1.0|<1.2|>=2.0|<2.2",
		},
		"zero is before all versions": {
			affected: ranges(events("ECOSYSTEM", `{"fixed":"1.0"}`, `{"introduced":"0"}`)),
			yes:      []string{"0", "0.dev1", "0a1", "1.0rc1"}, no: []string{"1.0", "1!0.1"}, fixed: "1.0", vers: "vers:pypi/<1.0",
		},
		"never fixed": {affected: ranges(events("ECOSYSTEM", `{"introduced":"0"}`)), yes: []string{"0", "9!9"}, vers: "vers:pypi/*"},
		"last affected": {
			affected: ranges(events("ECOSYSTEM", `{"last_affected":"1.5"}`, `{"introduced":"0"}`)),
			yes:      []string{"1.5", "1.5.0", "1.4"}, no: []string{"1.5.1", "1.5.post1", "2"}, vers: "vers:pypi/<=1.5",
		},
		"one version only": {
			affected: ranges(events("ECOSYSTEM", `{"last_affected":"1.5"}`, `{"introduced":"1.5"}`)),
			yes:      []string{"1.5"}, no: []string{"1.4", "1.6"}, vers: "vers:pypi/1.5",
		},
		"empty interval": {affected: ranges(events("ECOSYSTEM", `{"introduced":"1.0"}`, `{"fixed":"1.0"}`)), no: []string{"0.9", "1.0", "1.1"}},
		"intervals that touch": {
			affected: ranges(events("ECOSYSTEM", `{"introduced":"0"}`, `{"fixed":"1.0"}`, `{"introduced":"1.0"}`, `{"fixed":"2.0"}`)),
			yes:      []string{"0.9", "1.0", "1.5"}, no: []string{"2.0"}, fixed: "2.0", vers: "vers:pypi/<2.0",
		},
		"limit": {
			affected: ranges(events("ECOSYSTEM", `{"introduced":"1.0"}`, `{"limit":"1.5"}`)),
			yes:      []string{"1.0", "1.4.9"}, no: []string{"0.9", "1.5", "2.0"},
		},
		"greatest of several limits": {
			affected: ranges(events("ECOSYSTEM", `{"limit":"1.5"}`, `{"limit":"1.7"}`, `{"introduced":"1.0"}`)),
			yes:      []string{"1.6"}, no: []string{"1.7"},
		},
		"unlimited": {affected: ranges(events("ECOSYSTEM", `{"introduced":"1.0"}`, `{"limit":"*"}`, `{"limit":"1.1"}`)), yes: []string{"3"}, vers: "vers:pypi/>=1.0"},
		"semver":    {affected: ranges(events("SEMVER", `{"introduced":"1.0.0"}`, `{"fixed":"1.2.0"}`)), yes: []string{"1.1"}, no: []string{"1.2"}, fixed: "1.2.0", vers: "vers:pypi/>=1.0.0|<1.2.0"},
		"git first": {
			affected: ranges(git, events("ECOSYSTEM", `{"introduced":"0"}`, `{"fixed":"2"}`)),
			yes:      []string{"1"}, no: []string{"2"}, fixed: "2", vers: "vers:pypi/<2",
		},
		"git only":          {affected: ranges(git), open: []string{"1", "2"}},
		"git and versions":  {affected: ranges(git) + `,"versions":["1.0","1.0.1"]`, yes: []string{"1", "1.0.1"}, no: []string{"2"}},
		"listed only":       {affected: `"versions":["2004d-final","1.0rc1","v1.10"]`, yes: []string{"2004d-final", "1.0c1", "1.10.0"}, no: []string{"1.1", "2004d", "1.0"}},
		"list beside range": {affected: ranges(events("ECOSYSTEM", `{"introduced":"2"}`, `{"fixed":"3"}`)) + `,"versions":["1.0"]`, yes: []string{"2.5", "1.0"}, no: []string{"1.5"}, fixed: "3", vers: "vers:pypi/>=2|<3"},
		"no version in range": {
			affected: ranges(events("ECOSYSTEM", `{"introduced":"0"}`, `{"fixed":"today"}`)) + `,"versions":["1.0"]`,
			yes:      []string{"1.0"}, open: []string{"1.1"},
		},
		"unknown type":            {affected: ranges(events("CALENDAR", `{"introduced":"0"}`)), open: []string{"1.0"}},
		"installed is no PEP 440": {affected: ranges(events("ECOSYSTEM", `{"introduced":"0"}`)), open: []string{"1.0-final-really"}},
		"nothing":                 {affected: `"versions":[]`, open: []string{"1.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, version := range test.yes {
				r := match(t, "demo.pkg", version, advisory("X-1", test.affected))
				if len(r.Vulnerabilities) != 1 || len(r.Open) > 0 {
					t.Fatalf("%s: %+v, want it affected", version, r)
				}
				a := r.Vulnerabilities[0].Affects[0]
				if got := strings.Join(a.Ranges, " "); i == 0 && (a.Fixed != test.fixed || got != test.vers) {
					t.Errorf("%s: fixed %q range %q, want %q and %q", version, a.Fixed, got, test.fixed, test.vers)
				}
			}
			for _, version := range test.no {
				if r := match(t, "demo.pkg", version, advisory("X-1", test.affected)); len(r.Vulnerabilities) > 0 || len(r.Open) > 0 {
					t.Errorf("%s: %+v, want it not affected", version, r)
				}
			}
			for _, version := range test.open {
				if r := match(t, "demo.pkg", version, advisory("X-1", test.affected)); len(r.Vulnerabilities) > 0 || len(r.Open) == 0 {
					t.Errorf("%s: %+v, want it undecided", version, r)
				}
			}
		})
	}
}

// TestTooMany affects a package more often than is written, and states the rest.
func TestTooMany(t *testing.T) {
	var many []string
	for i := range maxHits + 3 {
		many = append(many, fmt.Sprintf(`{"id":"X-%d","affected":[{"package":{"ecosystem":"PyPI","name":"demo-pkg"},"versions":["1"]}]}`, i))
	}
	for i := range maxOpen + 5 {
		many = append(many, fmt.Sprintf(`{"id":"Y-%d","affected":[{"package":{"ecosystem":"PyPI","name":"demo-pkg"}}]}`, i))
	}
	r := match(t, "demo-pkg", "1", many...)
	if len(r.Vulnerabilities) != maxHits || r.LeftOut != 3 || len(r.Open) != maxOpen || r.Undecided != maxOpen+5 {
		t.Errorf("%d vulnerabilities, %d left out, %d open, %d undecided", len(r.Vulnerabilities), r.LeftOut, len(r.Open), r.Undecided)
	}
}

func TestMerge(t *testing.T) {
	all := ranges(events("ECOSYSTEM", `{"introduced":"0"}`, `{"fixed":"2.0"}`))
	score := func(f float64) *float64 { return &f }
	got := match(t, "DEMO-pkg", "1.0",
		advisory("PYSEC-2024-1", all, `"published":"2024-02-02T00:00:00Z"`, `"aliases":["CVE-2024-1"]`, `"details":"  First line of\tit.\nSecond."`,
			`"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},{"type":"CVSS_V3","score":"CVSS:3.1/AV:nonsense"}]`),
		advisory("GHSA-aaaa-bbbb-cccc", ranges(events("ECOSYSTEM", `{"introduced":"0"}`, `{"fixed":"2.1"}`)), `"published":"2024-01-02T01:00:00+01:00"`, `"aliases":["CVE-2024-1"]`, `"summary":"In short"`,
			`"database_specific":{"severity":"MODERATE","cwe_ids":["CWE-79","CWE-79","CWE-x",""]}`),
		advisory("MAL-2024-9", all, `"database_specific":{"severity":3,"cwe_ids":"none"}`),
		advisory("PYSEC-2024-2", all, `"withdrawn":"2024-03-01T00:00:00Z"`),
		`{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":"demo-pkg"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`,
	)
	affects := func(vers, fixed string) []Affect {
		return []Affect{{Package{"DEMO-pkg", "1.0"}, strings.Fields(vers), fixed}}
	}
	want := Result{Vulnerabilities: []Vulnerability{
		{
			ID: "CVE-2024-1", Names: []string{"GHSA-aaaa-bbbb-cccc", "PYSEC-2024-1"}, Records: []string{"GHSA-aaaa-bbbb-cccc", "PYSEC-2024-1"},
			Description: "In short", CWEs: []int{79}, Published: "2024-01-02T00:00:00Z", Modified: "2024-05-01T00:00:00Z",
			Ratings: []Rating{
				{Method: "other", Severity: "medium", By: "GHSA-aaaa-bbbb-cccc"},
				{Method: "CVSSv31", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: score(9.8), Severity: "critical", By: "PYSEC-2024-1"},
			},
			Affects: affects("vers:pypi/<2.1 vers:pypi/<2.0", "2.1"),
		},
		{ID: "MAL-2024-9", Names: []string{}, Records: []string{"MAL-2024-9"}, Malicious: true, Modified: "2024-05-01T00:00:00Z", Affects: affects("vers:pypi/<2.0", "2.0")},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRate compares scores with those that FIRST's specifications and examples
// give for the vectors.
func TestRate(t *testing.T) {
	for vector, want := range map[string]string{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H":                    "CVSSv31 9.8 critical",
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N":                    "CVSSv3 6.1 medium",
		"CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N":                    "CVSSv31 0.0 none",
		"AV:N/AC:L/Au:N/C:C/I:C/A:C":                                      "CVSSv2 10.0 high",
		"AV:N/AC:L/Au:N/C:N/I:N/A:C":                                      "CVSSv2 7.8 high",
		"AV:L/AC:H/Au:N/C:P/I:N/A:N":                                      "CVSSv2 1.2 low",
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H": "CVSSv4 10.0 critical",
		"CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N": "CVSSv4 7.7 high",
		"CVSS:9.9/AV:N": "", "": "", "CVSS:3.1/": "", "CVSS:3.1/AV:N": "", strings.Repeat("CVSS:3.1/", 200): "",
	} {
		kind := "CVSS_V3"
		if strings.HasPrefix(vector, "AV:") {
			kind = "CVSS_V2"
		}
		got := ""
		if r, ok := rate(Severity{kind, vector}, "X-1"); ok {
			got = fmt.Sprintf("%s %.1f %s", r.Method, *r.Score, r.Severity)
		}
		if got != want {
			t.Errorf("%.80q: %q, want %q", vector, got, want)
		}
	}
}

// TestHostile reads what is wrong on purpose: the rest of the archive counts, and
// what was left out is stated.
func TestHostile(t *testing.T) {
	good := advisory("X-1", ranges(events("ECOSYSTEM", `{"introduced":"0"}`)))
	bad := []string{
		`{"id":"X-2","affected":{}}`, `{"id":7}`, `[]`, ``, `{"id":""}`, `{"id":"with space"}`, `{"id":"X-3","affected":[{"versions":"1.0"}]}`,
		`{"id":"X-4","affected":[{"ranges":[{"events":[{"introduced":0}]}]}]}`, strings.Repeat("[", 20_000), "\xff\xfe",
		`{"id":"X-5","details":"` + strings.Repeat("x", 100<<20) + `"}`, // 100 MB
	}
	d := open(t, put(t, archive(t, append(bad, good)...)), "")
	facts := d.Facts()
	if facts.Advisories != 1 || facts.Unreadable != len(bad) || len(facts.Problems) != len(bad) {
		t.Errorf("%+v", facts)
	}
	if last := facts.Problems[len(bad)-1]; !strings.Contains(last, "want at most 4194304") {
		t.Errorf("%q", last)
	}
	r, err := d.Match(t.Context(), []Package{{"demo-pkg", "1"}})
	if err != nil || len(r.Vulnerabilities) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestLyingHeader has an entry that unpacks to far more than it says: nothing
// beyond what it says is unpacked, and it is unreadable.
func TestLyingHeader(t *testing.T) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	content := []byte(advisory("X-1", `"versions":["1"]`, `"details":"`+strings.Repeat("0", 64<<20)+`"`))
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	f, err := z.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	inner, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := inner.File[0].OpenRaw()
	if err != nil {
		t.Fatal(err)
	}
	lie, err := w.CreateRaw(&zip.FileHeader{Name: "bomb.json", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(content),
		CompressedSize64: inner.File[0].CompressedSize64, UncompressedSize64: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(lie, raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if facts := open(t, put(t, out.Bytes()), "").Facts(); facts.Unreadable != 1 || !strings.Contains(facts.Problems[0], "size is not the 1000 bytes") {
		t.Errorf("%+v", facts)
	}
}

// TestBomb has more bytes of advisories in it, by its own account, than are read of
// any database: it is refused as a whole.
func TestBomb(t *testing.T) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range maxTotal/maxRecord + 1 {
		if _, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i, ".json"), Method: zip.Store, UncompressedSize64: maxRecord}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), put(t, out.Bytes()), ""); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "more than 4096 MiB") {
		t.Errorf("%v", err)
	}
}

func TestDamaged(t *testing.T) {
	whole := archive(t, advisory("X-1", `"versions":["1"]`))
	for name, data := range map[string][]byte{"truncated": whole[:len(whole)-30], "empty": nil, "no zip": []byte("<html>")} {
		if _, err := Open(t.Context(), put(t, data), ""); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
	if _, err := Open(t.Context(), t.TempDir(), ""); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Open(ended, put(t, whole), ""); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v, want the cause", err)
	}
}

// TestIndex makes an index, uses it, and does not believe one that was changed.
func TestIndex(t *testing.T) {
	path, cache := put(t, archive(t, advisory("X-1", `"versions":["1"]`))), filepath.Join(t.TempDir(), "new")
	first := open(t, path, cache)
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	kept, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	// A header that says something else shows that the file is used.
	marked := bytes.Replace(kept, []byte(`"withdrawn":0`), []byte(`"withdrawn":5`), 1)
	if err := os.WriteFile(files[0], marked, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(t, path, cache).Facts().Withdrawn; got != 5 {
		t.Errorf("the index was not used: %d withdrawn", got)
	}
	for name, damage := range map[string]func() []byte{
		"cut off":       func() []byte { return kept[:len(kept)-3] },
		"another place": func() []byte { return bytes.Replace(kept, []byte("demo-pkg "), []byte("demo-pkg 9"), 1) },
		"another archive": func() []byte {
			return bytes.Replace(kept, []byte(first.Facts().Digest), []byte(strings.Repeat("0", 64)), 1)
		},
		"another format": func() []byte { return bytes.Replace(kept, []byte("index 1"), []byte("index 0"), 1) },
		"empty":          func() []byte { return nil },
	} {
		if err := os.WriteFile(files[0], damage(), 0o600); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.Facts(), open(t, path, cache).Facts()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if again, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(again, kept) {
			t.Errorf("%s: the index was not made anew: %v", name, err)
		}
	}
	for i := range 5 {
		open(t, put(t, archive(t, advisory(fmt.Sprint("X-", i), `"versions":["2"]`))), cache)
	}
	if files, err = filepath.Glob(filepath.Join(cache, "*")); err != nil || len(files) != 3 {
		t.Errorf("%d indexes kept, %v", len(files), err)
	}
}

// TestFindName looks up every name of an index, and names around them.
func TestFindName(t *testing.T) {
	places := map[string][]place{}
	for i := range 300 {
		places[fmt.Sprint("p", i*i)] = []place{{int64(i), 1, 2, 3, i%2 == 0}, {int64(i), 1, 2, 4, false}}
	}
	data, err := marshalIndex(Facts{Digest: "d", Size: 1000}, places)
	if err != nil {
		t.Fatal(err)
	}
	x, err := parseIndex(data, "d", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range places {
		for _, ask := range []string{name, name + "x", name[:1], ""} {
			got, err := x.find(ask)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(places[ask], got, cmp.AllowUnexported(place{})); diff != "" {
				t.Errorf("%q of %v: %s", ask, want, diff)
			}
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if got := Find(dir); got != "" {
		t.Errorf("%q", got)
	}
	if got, want := ArchivePath(dir), filepath.Join(dir, "osv-scalibr", "PyPI", "all.zip"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{"", "osv-scanner", "osv-scalibr"} {
		path := filepath.Join(dir, name, "PyPI", "all.zip")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Find(dir); got != path || ArchivePath(dir) != path {
			t.Errorf("%q, want %q", got, path)
		}
	}
}

func TestUpdate(t *testing.T) {
	path := ArchivePath(t.TempDir())
	old, fresh := archive(t, advisory("X-1", `"versions":["1"]`)), archive(t, advisory("X-2", `"versions":["1"]`), advisory("X-3", `"versions":["1"]`))
	update := func(data []byte, size int) error {
		_, err := Update(t.Context(), bytes.NewReader(data), int64(size), path, "")
		return err
	}
	if err := update(old, -1); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"truncated":     update(fresh[:len(fresh)-20], -1),
		"short":         update(fresh, len(fresh)+1),
		"empty archive": update(archive(t), -1),
		"mostly broken": update(archive(t, "x", "y", advisory("X-2", `"versions":["1"]`)), -1),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the old one is gone: %v", err)
	}
	// What a killed update left goes; what another one is writing stays.
	stale, busy := filepath.Join(filepath.Dir(path), ".all.zip.tmp1"), filepath.Join(filepath.Dir(path), ".all.zip.tmp2")
	for _, name := range []string{stale, busy} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if before := time.Now().Add(-25 * time.Hour); os.Chtimes(stale, before, before) != nil {
		t.Fatal("the time of a file cannot be set")
	}
	if err := update(fresh, len(fresh)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(busy); err != nil {
		t.Errorf("the other update's file is gone: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, fresh) {
		t.Errorf("it was not replaced: %v", err)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("left: %v, %v", names, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(advisory("X-1", ranges(events("ECOSYSTEM", `{"introduced":"0"}`, `{"limit":"2"}`)), `"aliases":["CVE-1"]`)), "1.0")
	f.Fuzz(func(t *testing.T, data []byte, version string) {
		record, err := ParseRecord(data)
		if err != nil {
			return
		}
		if !validID(record.ID) {
			t.Errorf("id %q", record.ID)
		}
		for _, name := range record.names() {
			v := installed{text: version}
			vs := versions{}
			v.version, v.err = vs.parse(version)
			says := decide(record, name, v, vs)
			if says.affected && len(says.open) > 0 {
				t.Errorf("decided and open: %+v", says)
			}
			got := merge([]hit{{record, Affect{Package{name, version}, says.ranges, says.fixed}, vectorsOf(record, name)}})
			if _, err := json.Marshal(got); err != nil || len(got.Description) > maxText+len("…") {
				t.Errorf("%+v, %v", got, err)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	data, err := marshalIndex(Facts{Digest: "d", Size: 1000}, map[string][]place{"demo": {{1, 2, 3, 4, true}}, "other": {{5, 6, 7, 8, false}}})
	if err != nil {
		f.Fatal(err)
	}
	_, body, _ := bytes.Cut(data, []byte{'\n'})
	f.Add(body, "demo")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		// The checksum keeps damage out; what is behind it has to hold by itself.
		x := index{facts: Facts{Size: 1000}, body: body}
		places, err := x.find(name)
		if err != nil {
			return
		}
		for _, p := range places {
			if p.offset < 0 || p.packed < 0 || p.offset+p.packed > 1000 || p.size > maxRecord {
				t.Errorf("%+v is beyond the archive", p)
			}
		}
		if _, err := parseIndex(body, "d", 1000); err == nil && !bytes.Contains(body, []byte(indexFormat)) {
			t.Error("a file without the format's name was taken")
		}
	})
}
