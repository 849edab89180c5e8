package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scenarioText is a whole scenario file of these lines of a head and files.
func scenarioText(head, files string) []byte {
	return []byte("title: a test\nstep: import\nkind: wheel\nchannel: __init__\ndifficulty: 1\n" + head + "\n" + files)
}

const expectOne = "expect: {rules: [NET_RAW_IP]}"

func parsed(t *testing.T, head, files string) scenario {
	t.Helper()
	s, err := parseScenario("NET-900", scenarioText(head, files))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseScenarioRefuses(t *testing.T) {
	for name, c := range map[string]struct{ head, files, want string }{
		"an unknown key":                   {expectOne + "\nexpects: {}", "", "field expects not found"},
		"no expectation":                   {"", "", "expect.rules is empty"},
		"what is beyond, without a reason": {"expect: {rules: [NET_RAW_IP], beyond: {NET_BIND: ''}}", "", "want a reason"},
		"what is beyond, and expected":     {"expect: {rules: [NET_RAW_IP], beyond: {NET_RAW_IP: unseen}}", "", "no other expectation"},
		"a file twice":                     {expectOne, "-- a.py --\n-- a.py --\n", "is there twice"},
		"an unknown place":                 {expectOne, "-- @elsewhere/a.py --\n", "no such place"},
		"a channel of sdists":              {expectOne + "\nchannels: [setup.py]", "-- payload.py --\n", `channel "setup.py"`},
		"a difficulty too large":           {expectOne, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := scenarioText(c.head, c.files)
			if c.want == "" {
				text, c.want = bytes.Replace(text, []byte("difficulty: 1"), []byte("difficulty: 6"), 1), "difficulty 6"
			}
			_, err := parseScenario("NET-900", text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// members are the files of a wheel.
func members(t *testing.T, content []byte) map[string]string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(text)
	}
	return all
}

func buildScenario(t *testing.T, s scenario, seed uint64) (project, file) {
	t.Helper()
	p, err := s.expand(s.names(seed), nil)
	if err != nil {
		t.Fatal(err)
	}
	built, err := toolchain{}.build(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return p, built[""]
}

func TestChannels(t *testing.T) {
	const payload = "MARK = '{{name \"mark\"}}'\n"
	for channel, want := range map[string]map[string]string{
		channelInit:      {"acme_net_900/__init__.py": "MARK = 'mark'\n"},
		channelSubmodule: {"acme_net_900/__init__.py": "from . import _hook\n", "acme_net_900/_hook.py": "MARK = 'mark'\n"},
		channelEncoded:   {"acme_net_900/__init__.py": "import base64\n\nexec(base64.b64decode(\"TUFSSyA9ICdtYXJrJwo=\").decode())\n"},
		channelPth: {
			"_hookacme_net_900.py": "MARK = 'mark'\n", "acme_net_900_hook.pth": "import _hookacme_net_900\n", "acme_net_900/__init__.py": "",
		},
	} {
		t.Run(channel, func(t *testing.T) {
			s := parsed(t, expectOne, "-- payload.py --\n"+payload)
			s.Channel = channel
			_, built := buildScenario(t, s, 0)
			got := members(t, built.content)
			for name := range got {
				if strings.Contains(name, ".dist-info/") {
					delete(got, name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetupChannels(t *testing.T) {
	for _, channel := range []string{channelSetup, channelCommand, channelBackend} {
		text := strings.Replace(string(scenarioText(expectOne, "-- payload.py --\nMARK = \"é\\n\"\n")), "kind: wheel", "kind: sdist", 1)
		s, err := parseScenario("NET-900", []byte(strings.Replace(text, "channel: __init__", "channel: "+channel, 1)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.expand(s.names(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, script := p.own["setup.py"]
		if script == (channel == channelBackend) {
			t.Errorf("channel %q: setup.py is there: %v", channel, script)
		}
	}
}

// TestMutation: the same seed gives the same names, another one others, and what
// programs go by stays.
func TestMutation(t *testing.T) {
	s := parsed(t, expectOne+"\nnames: {c2: bad.example, drop: 203.0.113.4, stage: .stage.sh}\nchannels: [submodule, encoded]",
		"-- payload.py --\nVALUES = [\"{{host \"c2\"}}\", \"{{addr \"drop\"}}\", \"{{file \"stage\"}}\", \"{{dist}}\", \"{{module}}\"]\n")
	values := func(seed uint64) []string {
		n := s.names(seed)
		return []string{n.host("c2"), n.addr("drop"), n.file("stage"), n.dist(), n.module(), n.channel(s)}
	}
	if diff := cmp.Diff([]string{"bad.example", "203.0.113.4", ".stage.sh", "acme-net-900", "acme_net_900", "__init__"}, values(0)); diff != "" {
		t.Errorf("without a seed (-want +got):\n%s", diff)
	}
	channels := map[string]bool{}
	for seed := uint64(1); seed < 40; seed++ {
		got := values(seed)
		if !slices.Equal(got, values(seed)) {
			t.Fatalf("seed %d gives different names twice", seed)
		}
		for i, plain := range values(0)[:5] {
			if got[i] == plain {
				t.Errorf("seed %d leaves %q", seed, plain)
			}
		}
		if !strings.HasPrefix(got[2], ".") || !strings.HasSuffix(got[2], ".sh") {
			t.Errorf("seed %d: file %q", seed, got[2])
		}
		if _, built := buildScenario(t, s, seed); !strings.HasPrefix(built.name, strings.ReplaceAll(got[3], "-", "_")) {
			t.Errorf("seed %d: built %q of %q", seed, built.name, got[3])
		}
		channels[got[5]] = true
	}
	if len(channels) != 3 {
		t.Errorf("channels %v, want all three", channels)
	}
}

func TestRecordChanges(t *testing.T) {
	s := parsed(t, expectOne+"\nunrecorded: ['{{module}}/extra.py']\nmisrecorded: ['{{module}}/wrong.py']",
		"-- {{module}}/__init__.py --\n-- {{module}}/extra.py --\nX = 1\n-- {{module}}/wrong.py --\nX = 2\n-- @dist-info/licenses/NOTICE --\nfree\n")
	_, built := buildScenario(t, s, 0)
	all := members(t, built.content)
	record := all["acme_net_900-1.0.dist-info/RECORD"]
	if all["acme_net_900-1.0.dist-info/licenses/NOTICE"] != "free\n" {
		t.Errorf("the .dist-info directory has no NOTICE: %v", all)
	}
	if strings.Contains(record, "extra.py") || !strings.Contains(record, "wrong.py,sha256=") || strings.Contains(record, "wrong.py,sha256="+"W5") {
		t.Errorf("RECORD:\n%s", record)
	}
}

// TestScenarios reads every scenario and builds it as far as this machine can,
// with and without a seed.
func TestScenarios(t *testing.T) {
	all, err := readScenarios("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	tools, err := newToolchain(t.Context(), "python3")
	if err != nil {
		t.Skipf("needs python3: %v", err)
	}
	for _, s := range all {
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			for _, seed := range []uint64{0, 7} {
				placeholders := map[string]any{
					"index": func(string) string { return "http://127.0.0.1:9/simple/" }, "indexhost": func() string { return "127.0.0.1:9" },
					"wheels": t.TempDir, "git": func(string) string { return "/nowhere" },
				}
				p, err := s.expand(s.names(seed), placeholders)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tools.build(t.Context(), p); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

func TestNotRun(t *testing.T) {
	all, err := readNotRun("not-run.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scenarios, err := readScenarios("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if slices.ContainsFunc(scenarios, func(s scenario) bool { return s.ID == n.ID }) {
			t.Errorf("%s is not run, and there is a scenario for it", n.ID)
		}
	}
	path := filepath.Join(t.TempDir(), "many.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("- {id: A, reason: b}\n", maxNotRun+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readNotRun(path); err == nil {
		t.Errorf("%d scenarios were accepted, want at most %d", maxNotRun+1, maxNotRun)
	}
}

func FuzzParseScenario(f *testing.F) {
	f.Add(scenarioText(expectOne, "-- payload.py --\nX = \"{{host \"c2\"}}\"\n"))
	f.Add(scenarioText("quiet: [persistence]\nothers: {dep: {dist: x}}", "-- @dep/x.py --\n-- @index/main/simple/x/index.html --\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseScenario("NET-900", text)
		if err != nil {
			return
		}
		for _, seed := range []uint64{0, 3} {
			p, err := s.expand(s.names(seed), nil)
			if err == nil && p.module == "" {
				t.Errorf("seed %d: no module", seed)
			}
		}
	})
}
