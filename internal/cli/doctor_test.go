package cli

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
)

func TestWriteDiagnosis(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []diagnosis
		good bool
		want string
	}{
		{"good", []diagnosis{{name: "kernel", detail: "6.8.0"}, {name: "space", detail: "2048 MiB free in /tmp"}}, true, `ok        kernel       6.8.0
ok        space        2048 MiB free in /tmp
this machine can check packages
`},
		{"limited", []diagnosis{{name: "layers", optional: true, err: usage("TMPDIR=/var/tmp pip-witness check …", "no overlay")}}, true, `LIMITED   layers       no overlay
                       → TMPDIR=/var/tmp pip-witness check …
this machine can check packages
`},
		{"missing", []diagnosis{
			{name: "sandbox", err: &sandbox.UnavailableError{Reason: "the limit is 0", Hint: "sysctl -w user.max_user_namespaces=10000"}},
			{name: "tracer", err: errors.New("something else")},
		}, false, `MISSING   sandbox      sandbox: the limit is 0
                       → sysctl -w user.max_user_namespaces=10000
MISSING   tracer       something else
this machine cannot check packages until what is missing is there
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			good := writeDiagnosis(&text, c.all)
			if diff := cmp.Diff(c.want, text.String()); diff != "" || good != c.good {
				t.Errorf("good %v, want %v (-want +got):\n%s", good, c.good, diff)
			}
		})
	}
}

// Every cause that settings name has a command to type.
func TestFromFacts(t *testing.T) {
	fine := sandbox.Facts{Release: "6.8.0", UID: 1000, MaxUser: "1000", Actions: "user_notif", FileSystems: "overlay"}
	for _, c := range []struct {
		name   string
		change func(*sandbox.Facts)
		want   []string // hints
	}{
		{"fine", func(*sandbox.Facts) {}, nil},
		{"old kernel", func(f *sandbox.Facts) { f.Release = "5.10.0" }, []string{"boot a newer kernel"}},
		{"no notification", func(f *sandbox.Facts) { f.Actions = "errno" }, []string{"CONFIG_SECCOMP_FILTER"}},
		{"Debian", func(f *sandbox.Facts) { f.Clone = "0" }, []string{"unprivileged_userns_clone=1"}},
		{"Ubuntu", func(f *sandbox.Facts) { f.AppArmor = "1" }, []string{"apparmor_restrict_unprivileged_userns=0"}},
		{"limit", func(f *sandbox.Facts) { f.MaxUser = "0" }, []string{"max_user_namespaces=10000"}},
		{"two", func(f *sandbox.Facts) { f.Release, f.MaxUser = "5.10.0", "0" }, []string{"boot a newer kernel", "max_user_namespaces=10000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fine
			c.change(&f)
			all := fromFacts(f)
			if len(c.want) == 0 {
				if len(all) != 1 || all[0].err != nil || all[0].detail != f.Release {
					t.Errorf("%+v", all)
				}
				return
			}
			if len(all) != len(c.want) {
				t.Fatalf("%+v, want %q", all, c.want)
			}
			for i, want := range c.want {
				code, hint := classify(all[i].err)
				if code != exitUndecided || !strings.Contains(hint, want) {
					t.Errorf("code %d, hint %q, want %q", code, hint, want)
				}
			}
		})
	}
}

func TestLayersOf(t *testing.T) {
	refused := evidence.Sandbox{Missing: []string{"overlay of host directories: invalid argument"}}
	for _, c := range []struct {
		name  string
		tried evidence.Sandbox
		facts sandbox.Facts
		hint  string
	}{
		{"there", evidence.Sandbox{}, sandbox.Facts{FileSystems: "overlay"}, ""},
		{"the place is no good", refused, sandbox.Facts{FileSystems: "overlay"}, "TMPDIR=/var/tmp"},
		{"no module", refused, sandbox.Facts{FileSystems: "ext4"}, "modprobe overlay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := layersOf(c.tried, c.facts)
			if c.hint == "" {
				if d.err != nil {
					t.Errorf("%v", d.err)
				}
				return
			}
			if _, hint := classify(d.err); !strings.Contains(hint, c.hint) || !d.optional {
				t.Errorf("%v, hint %q, optional %v", d.err, hint, d.optional)
			}
		})
	}
}

func TestSpace(t *testing.T) {
	if d := space(os.TempDir()); d.err != nil && !strings.Contains(d.err.Error(), "MiB are free") {
		t.Errorf("%v", d.err)
	}
	if d := space("/nonexistent/directory"); d.err == nil {
		t.Error("no error for a directory that is not there")
	}
}

// What Python lacks is named with the command that brings it.
func TestPythonHints(t *testing.T) {
	_, err := interpreter.Discover(t.Context(), "/nonexistent/python")
	if _, hint := classify(err); !strings.Contains(hint, "python3-venv") {
		t.Errorf("%v, hint %q", err, hint)
	}
}
