package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// good are the facts of a machine on which everything works.
func good() Facts {
	return Facts{
		Release: "6.8.0-31-generic", UID: 1000, Clone: "1", AppArmor: "0", MaxUser: "127000", Seccomp: "0",
		Actions: "kill_process kill_thread trap errno user_notif trace log allow", FileSystems: "nodev\tsysfs\nnodev\toverlay\n\text4",
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		reason string
		hint   string
	}{
		{"all is well", func(*Facts) {}, "", ""},
		{"nothing is known", func(f *Facts) { *f = Facts{} }, "", ""},
		{"the oldest kernel that does", func(f *Facts) { f.Release = "5.19.0" }, "", ""},
		{"old kernel", func(f *Facts) { f.Release = "5.15.0-105-generic" }, "older than 5.19", "linux-generic-hwe-22.04"},
		{"no notification", func(f *Facts) { f.Actions = "kill_process trap errno trace allow" }, "no seccomp user notification", "CONFIG_SECCOMP_FILTER"},
		{"Debian's setting", func(f *Facts) { f.Clone = "0" }, "kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"Debian's setting is not for root", func(f *Facts) { f.Clone, f.UID = "0", 0 }, "", ""},
		{"Ubuntu 24.04", func(f *Facts) { f.AppArmor = "1" }, "AppArmor restricts", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"limit of zero", func(f *Facts) { f.MaxUser = "0" }, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=10000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.change(&f)
			problems := f.Problems()
			if c.reason == "" {
				if len(problems) > 0 {
					t.Errorf("problem %+v", problems[0])
				}
				return
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Reason, c.reason) || !strings.Contains(problems[0].Hint, c.hint) {
				t.Errorf("problems %+v, want reason %q and hint %q", problems, c.reason, c.hint)
			}
		})
	}
}

func TestOverlayFacts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   string
	}{
		{"there", func(*Facts) {}, ""},
		{"nothing is known", func(f *Facts) { *f = Facts{} }, ""},
		{"module not loaded", func(f *Facts) { f.FileSystems = "nodev\tsysfs\n\text4\n\toverlayish" }, "modprobe overlay"},
		{"old kernel", func(f *Facts) { f.Release = "5.10.0" }, "newer kernel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.change(&f)
			got := f.Overlay()
			if got == nil && c.want != "" || got != nil && (c.want == "" || !strings.Contains(got.Hint, c.want)) {
				t.Errorf("%+v, want hint %q", got, c.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	clone := func(errno unix.Errno) error { return fmt.Errorf("start init: %w", errno) }
	for _, c := range []struct {
		name   string
		err    error
		change func(*Facts)
		reason string // "" is no UnavailableError
		hint   string
	}{
		{"Debian", clone(unix.EPERM), func(f *Facts) { f.Clone = "0" }, "unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"Ubuntu", clone(unix.EACCES), func(f *Facts) { f.AppArmor = "1" }, "AppArmor", "apparmor_restrict_unprivileged_userns=0"},
		{"limit of zero", clone(unix.ENOSPC), func(f *Facts) { f.MaxUser = "0" }, "max_user_namespaces is 0", "max_user_namespaces=10000"},
		{"limit used up", clone(unix.EUSERS), func(*Facts) {}, "no more user namespaces", "max_user_namespaces=10000"},
		{"docker", clone(unix.EPERM), func(f *Facts) { f.Container, f.Seccomp = "docker", "2" }, "seccomp profile", "seccomp=unconfined"},
		{"some filter", clone(unix.EPERM), func(f *Facts) { f.Seccomp = "2" }, "seccomp profile", "seccomp=unconfined"},
		{"a setting that is known comes before the container", clone(unix.EPERM), func(f *Facts) { f.Container, f.MaxUser = "podman", "0" }, "max_user_namespaces is 0", ""},
		{"nothing known", clone(unix.EPERM), func(*Facts) {}, "not permitted here", "sysctl -w"},
		{"no such kind", clone(unix.EINVAL), func(*Facts) {}, "no user namespaces", "CONFIG_USER_NS"},
		{"something else", clone(unix.ENOMEM), func(*Facts) {}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.change(&f)
			err := explain(c.err, f)
			var unavailable *UnavailableError
			if !errors.As(err, &unavailable) {
				if c.reason != "" || !errors.Is(err, unix.ENOMEM) {
					t.Errorf("%v, want %q", err, c.reason)
				}
				return
			}
			if c.reason == "" || !strings.Contains(unavailable.Reason, c.reason) || !strings.Contains(unavailable.Hint, c.hint) {
				t.Errorf("%+v, want reason %q and hint %q", unavailable, c.reason, c.hint)
			}
		})
	}
}

// Ubuntu lets a user namespace be made and then forbids everything in it.
func TestExplainSetUp(t *testing.T) {
	denied := errors.New("sandbox: make mounts private: permission denied")
	masked := &UnavailableError{Reason: "mount /proc: operation not permitted", Hint: "docker run"}
	f := good()
	if err := explainSetUp(denied, f); !errors.Is(err, denied) {
		t.Errorf("without a known setting: %v", err)
	}
	f.AppArmor = "1"
	var unavailable *UnavailableError
	if err := explainSetUp(denied, f); !errors.As(err, &unavailable) || !strings.Contains(unavailable.Hint, "apparmor") {
		t.Errorf("with AppArmor: %v", err)
	}
	if err := explainSetUp(masked, f); !errors.Is(err, masked) {
		t.Errorf("what is explained already: %v", err)
	}
}

func TestParseMounts(t *testing.T) {
	text := `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
28 27 0:25 /a /mnt/with\040space\134and\011more ro - tmpfs none ro

29 27 truncated
30 27 0:26 / /dev/pts rw,relatime -
`
	want := []mountPoint{{"/proc", "proc"}, {"/", "ext4"}, {"/mnt/with space\\and\tmore", "tmpfs"}}
	if diff := cmp.Diff(want, parseMounts(text), cmp.AllowUnexported(mountPoint{})); diff != "" {
		t.Error(diff)
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"6.14.0": true, "6.14-rc1": true, "7.0.1": true, "6.13.9": false, "5.19": false, "6": false, "": false} {
		if got := atLeast(release, 6, 14); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
