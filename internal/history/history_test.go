package history

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/pypi"
)

// project lists versions, each with the day of 2024 on which it was uploaded; a
// negative day has no time.
func project(name string, releases ...any) evidence.IndexProject {
	p := evidence.IndexProject{Name: name, Index: "https://index.example/simple", Format: "json", APIVersion: "1.4"}
	for i := 0; i < len(releases); i += 2 {
		version, day := releases[i].(string), releases[i+1].(int)
		for _, suffix := range []string{".tar.gz", "-py3-none-any.whl"} {
			f := evidence.IndexFile{Filename: name + "-" + version + suffix, Size: -1}
			if day >= 0 {
				f.UploadTime = time.Date(2024, 1, 1+day, 12, 0, 0, 123456000, time.UTC).Format("2006-01-02T15:04:05.000000Z")
			}
			p.Files = append(p.Files, f)
		}
	}
	return p
}

func TestOf(t *testing.T) {
	at := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		project    evidence.IndexProject
		version    string
		age        int64 // hours; -1 for none
		burst      string
		anomalies  string
		notOffered string
	}{
		"ordinary":          {project("p", "1.0", 0, "1.1", 10, "1.2", 20), "1.2", 40*24 - 1, "[]", "[]", "owners project-status provenance size versions"},
		"burst":             {project("p", "1.0", 0, "1.1", 58, "1.2", 58, "1.3", 59), "1.2", 2*24 - 1, "[1.1]", "[]", "owners project-status provenance size versions"},
		"other spelling":    {project("p", "1.0", 0), "1.0.0", 60*24 - 1, "[]", "[]", "owners project-status provenance size versions"},
		"jump":              {project("p", "1.0", 0, "99.9.9", 1), "99.9.9", 59*24 - 1, "[]", "[jump: 99.9.9 follows 1.0]", "owners project-status provenance size versions"},
		"year":              {project("p", "1.0", 0, "2024.1", 2), "2024.1", 58*24 - 1, "[]", "[]", "owners project-status provenance size versions"},
		"high and alone":    {project("p", "99.0", 59), "99.0", 23, "[]", "[high-first: 99.0 is the only release of the project]", "owners project-status provenance size versions"},
		"maintained branch": {project("p", "2.0", 1, "1.9", 10), "1.9", 50*24 - 1, "[]", "[lower: 1.9 was uploaded after 2.0]", "owners project-status provenance size versions"},
		"dormant":           {project("p", "1.0", 0, "1.1", 800), "1.1", 0, "[]", "[dormant: 1.1 came 800 days after 1.0]", "owners project-status provenance size versions"},
		"no times":          {project("p", "1.0", -1, "30.0", -1), "30.0", -1, "[]", "[jump: 30.0 follows 1.0]", "owners project-status provenance size upload-time versions"},
		"not listed":        {project("p", "1.0", 0), "1.1", -1, "[]", "[]", "owners project-status provenance size versions"},
		"no version":        {project("p", "1.0", 0), "latest", -1, "[]", "[]", "owners project-status provenance size versions"},
		"empty page":        {project("p"), "1.0", -1, "[]", "[]", "owners project-status provenance size upload-time versions"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Of(test.project, test.version, at)
			age := int64(-1)
			if f.AgeSeconds != nil {
				age = *f.AgeSeconds / 3600
			}
			if age != test.age {
				t.Errorf("age %d hours, want %d", age, test.age)
			}
			if got := fmt.Sprint(f.Burst); got != test.burst {
				t.Errorf("burst %s, want %s", got, test.burst)
			}
			got := []string{}
			for _, a := range f.Anomalies {
				got = append(got, string(a.Kind)+": "+a.Text)
			}
			if fmt.Sprint(got) != test.anomalies {
				t.Errorf("anomalies %v, want %s", got, test.anomalies)
			}
			if got := fmt.Sprint(f.NotOffered); got != "["+test.notOffered+"]" {
				t.Errorf("not offered %s, want %s", got, test.notOffered)
			}
		})
	}
}

func TestOfCounts(t *testing.T) {
	p := project("my-sdk", "1.0", 0, "1.1", 3)
	for i := range p.Files {
		p.Files[i].Filename = "my_sdk" + p.Files[i].Filename[len("my-sdk"):]
	}
	p.Files[2].Yanked, p.Files[3].Provenance, p.Files[3].Size = "broken", "https://index.example/p", 5
	p.Files = append(p.Files, evidence.IndexFile{Filename: "other-9.0.tar.gz", Size: -1}, evidence.IndexFile{Filename: "my_sdk-1.1.exe", Size: -1})
	p.Versions, p.Cut, p.Status, p.StatusReason = []string{"0.9", "1.0", "1.1", "nonsense"}, 4, "archived", "moved"
	seconds := func(n int64) *int64 { return &n }
	want := Facts{
		Package: "my-sdk", Version: "1.1", Index: p.Index, Format: "json", APIVersion: "1.4", ProjectStatus: "archived", ProjectStatusReason: "moved",
		Releases: 3, Files: 6, UnreadableNames: 2,
		First:      &Release{Version: "1.0", Time: "2024-01-01T12:00:00Z", Files: 2},
		This:       &Release{Version: "1.1", Time: "2024-01-04T12:00:00Z", Files: 2, Yanked: 1, Provenance: 1},
		Latest:     &Release{Version: "1.1", Time: "2024-01-04T12:00:00Z", Files: 2, Yanked: 1, Provenance: 1},
		AgeSeconds: seconds(0), ProjectAgeSeconds: seconds(2*24*3600 - 1), NotOffered: []string{"owners"},
	}
	if diff := cmp.Diff(want, Of(p, "1.1", time.Date(2024, 1, 3, 12, 0, 0, 0, time.UTC))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBurstHour tells releases of one series within an hour from those of several
// series on one day.
func TestBurstHour(t *testing.T) {
	p := project("p", "1.4.0", 0, "1.4.1", 5, "1.4.2", 5, "1.4.3", 5, "1.5.0", 5, "1.4.4", 6)
	for i, clock := range []string{"10:00:00", "10:20:00", "10:59:00", "10:30:00"} {
		p.Files[2+2*i].UploadTime, p.Files[3+2*i].UploadTime = "2024-01-06T"+clock+"Z", "2024-01-06T"+clock+"Z"
	}
	for version, want := range map[string]string{"1.4.1": "[1.4.2 1.4.3]", "1.4.3": "[1.4.1 1.4.2]", "1.5.0": "[]", "1.4.4": "[]"} {
		if got := fmt.Sprint(Of(p, version, time.Now()).BurstHour); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

func TestEarlier(t *testing.T) {
	p := project("p", "1.0", 1, "1.1", 2, "1.2", 3, "1.3", 4, "2.0", 5, "1.4", 6)
	p.Versions = []string{"1.3.1"} // without a file
	p.Files[4].Provenance = "https://index.example/1.2"
	names := func(files []evidence.IndexFile) string {
		var out []string
		for _, f := range files {
			out = append(out, f.Filename)
		}
		return fmt.Sprint(out)
	}
	for name, test := range map[string]struct{ version, file, want string }{
		"by time":    {"1.4", "p-1.4.tar.gz", "[p-2.0.tar.gz p-1.3.tar.gz p-1.2.tar.gz]"},
		"wheel":      {"2.0", "p-2.0-py3-none-any.whl", "[p-1.3-py3-none-any.whl p-1.2.tar.gz p-1.1-py3-none-any.whl]"},
		"first":      {"1.0", "p-1.0.tar.gz", "[]"},
		"not listed": {"3.0", "p-3.0.tar.gz", "[]"},
	} {
		if got := names(Earlier(p, test.version, test.file)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	untimed := project("p", "1.0", -1, "1.10", -1, "1.9", -1)
	if got := names(Earlier(untimed, "1.10", "p-1.10.tar.gz")); got != "[p-1.9.tar.gz p-1.0.tar.gz]" {
		t.Errorf("by version: %s", got)
	}
}

// TestOfLargePage computes on a page of the size that is kept at most.
func TestOfLargePage(t *testing.T) {
	p := evidence.IndexProject{Name: "p"}
	for i := range 20_000 {
		p.Files = append(p.Files, evidence.IndexFile{
			Filename: fmt.Sprintf("p-%d.%d.tar.gz", i%251, i), Size: -1, UploadTime: time.Unix(int64(i)*60, 0).UTC().Format(time.RFC3339),
		})
	}
	started := time.Now()
	f := Of(p, "0.251", time.Unix(0, 0))
	if f.Releases != 20_000 || len(f.Burst) != maxBurst || f.BurstReleases < 1000 || len(f.Anomalies) == 0 {
		t.Errorf("%d releases, burst %d of %d, %d anomalies", f.Releases, len(f.Burst), f.BurstReleases, len(f.Anomalies))
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("%v", took)
	} else {
		t.Logf("%v", took)
	}
}

func TestKey(t *testing.T) {
	for _, same := range [][]string{{"1", "1.0", "1.0.0", "v1"}, {"1.0.dev1", "1.dev1"}, {"1!2.0", "1!2"}, {"1.0rc1", "1rc1", "1.0-rc.1"}, {"0", "0.0"}, {"1.0+a", "1+a"}, {"1.0.post1", "1-1"}} {
		first, err := pypi.ParseVersion(same[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range same {
			v, err := pypi.ParseVersion(text)
			if err != nil || key(v) != key(first) || v.Compare(first) != 0 {
				t.Errorf("%q: key %q, want %q; %v", text, key(v), key(first), err)
			}
		}
	}
	for _, pair := range [][2]string{{"1.0", "10"}, {"1.0", "1.0.1"}, {"1.0.dev1", "1.0"}, {"1!1", "1"}, {"0.10", "0.1"}} {
		a, errA := pypi.ParseVersion(pair[0])
		b, errB := pypi.ParseVersion(pair[1])
		if errA != nil || errB != nil || key(a) == key(b) {
			t.Errorf("%q: the same key %q", pair, key(a))
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("p-1.0.tar.gz", "2024-01-01T00:00:00.5Z", "1!2.0", "1.0", int64(0))
	f.Add("p-99999999999999999999.0-py3-none-any.whl", "9999-12-31T23:59:59Z", "1.0.dev1+local", "1.0.0", int64(1<<40))
	f.Add("p-1.tar.gz", "0000-01-01T00:00:00Z", "", "1", int64(-1<<40))
	f.Fuzz(func(t *testing.T, filename, uploaded, listed, version string, at int64) {
		p := evidence.IndexProject{Name: "p", Versions: []string{listed, "0.1"}, Files: []evidence.IndexFile{
			{Filename: filename, UploadTime: uploaded, Size: -1}, {Filename: "p-1.0.tar.gz", UploadTime: "2020-01-01T00:00:00Z"},
		}}
		facts := Of(p, version, time.Unix(at, 0))
		if facts.AgeSeconds != nil && *facts.AgeSeconds < 0 {
			t.Errorf("age %d", *facts.AgeSeconds)
		}
		if len(Earlier(p, version, filename)) > 2 {
			t.Error("more earlier releases than files")
		}
		if _, err := json.Marshal(facts); err != nil {
			t.Error(err)
		}
	})
}
