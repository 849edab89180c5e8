package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// sockaddr is a family, and what follows it.
func sockaddr(family uint16, rest ...byte) []byte {
	return append(binary.LittleEndian.AppendUint16(nil, family), rest...)
}

func TestDecodeAddress(t *testing.T) {
	v6 := func(text string) []byte {
		a := netip.MustParseAddr(text).As16()
		return append(append([]byte{0x01, 0xbb, 0, 0, 0, 0}, a[:]...), 0, 0, 0, 0)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		want evidence.Connection
	}{
		{"IPv4", sockaddr(unix.AF_INET, 0x1f, 0x90, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0), evidence.Connection{Family: "AF_INET", Address: "192.0.2.1", Port: 8080}},
		{"IPv4, cut", sockaddr(unix.AF_INET, 0x1f, 0x90, 192), evidence.Connection{Family: "AF_INET", Address: "1f90c0"}},
		{"IPv6", sockaddr(unix.AF_INET6, v6("2001:db8::7")...), evidence.Connection{Family: "AF_INET6", Address: "2001:db8::7", Port: 443}},
		{"IPv6 of an IPv4", sockaddr(unix.AF_INET6, v6("::ffff:192.0.2.1")...), evidence.Connection{Family: "AF_INET6", Address: "::ffff:192.0.2.1", Port: 443}},
		{"IPv6, cut", sockaddr(unix.AF_INET6, 0, 80), evidence.Connection{Family: "AF_INET6", Address: "0050"}},
		{"unix path", sockaddr(unix.AF_UNIX, []byte("/run/x\x00rest")...), evidence.Connection{Family: "AF_UNIX", Address: "/run/x"}},
		{"unix path without end", sockaddr(unix.AF_UNIX, []byte("/run/x")...), evidence.Connection{Family: "AF_UNIX", Address: "/run/x"}},
		{"unix, unnamed", sockaddr(unix.AF_UNIX), evidence.Connection{Family: "AF_UNIX"}},
		{"unix, abstract", sockaddr(unix.AF_UNIX, []byte("\x00name\x00more\x00\x00")...), evidence.Connection{Family: "AF_UNIX", Address: "@name\x00more"}},
		{"netlink", sockaddr(unix.AF_NETLINK, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0), evidence.Connection{Family: "AF_NETLINK", Address: "7"}},
		{"none", sockaddr(unix.AF_UNSPEC, 0, 0), evidence.Connection{Family: "AF_0", Address: "0000"}},
		{"unknown", sockaddr(40, 1, 2), evidence.Connection{Family: "AF_40", Address: "0102"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, decodeAddress(c.raw)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever a process passes as an address, reading it ends, and what is said of
// an internet address can be parsed again.
func FuzzDecodeAddress(f *testing.F) {
	f.Add(sockaddr(unix.AF_INET, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add(sockaddr(unix.AF_INET6, make([]byte, 26)...))
	f.Add(sockaddr(unix.AF_UNIX, 0, 'x'))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 2 || len(raw) > maxAddress {
			return
		}
		c := decodeAddress(raw)
		if !strings.HasPrefix(c.Family, "AF_") || c.Port < 0 || c.Port > 0xffff {
			t.Errorf("%+v", c)
		}
		complete := map[string]int{"AF_INET": 8, "AF_INET6": 24}[c.Family]
		if complete > 0 && len(raw) >= complete {
			if _, err := netip.ParseAddr(c.Address); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{flagText(0), "O_RDONLY"},
		{flagText(unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC), "O_WRONLY|O_CREAT|O_TRUNC"},
		{flagText(unix.O_RDWR | unix.O_SYNC | unix.O_DSYNC), "O_RDWR|O_SYNC"},
		{flagText(unix.O_DSYNC), "O_RDONLY|O_DSYNC"},
		{flagText(unix.O_TMPFILE | unix.O_DIRECTORY | unix.O_RDWR), "O_RDWR|O_TMPFILE"},
		{flagText(unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW), "O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC"},
		{flagText(unix.O_ACCMODE), "O_ACCMODE"},
		{flagText(1 << 62), "O_RDONLY"},
		{typeName(unix.SOCK_STREAM), "SOCK_STREAM"}, {typeName(unix.SOCK_PACKET), "SOCK_PACKET"},
		{typeName(7), "SOCK_7"}, {typeName(-1), "SOCK_-1"}, {typeName(4), "SOCK_4"},
		{errnoName(0), ""}, {errnoName(unix.ENOENT), "ENOENT"},
		{entryKind(unix.S_IFIFO | 0o644), "fifo"}, {entryKind(0o644), "file"},
		{prctlName(unix.PR_SET_DUMPABLE), "PR_SET_DUMPABLE"}, {prctlName(unix.PR_GET_NAME), ""},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestSplitLast(t *testing.T) {
	for name, want := range map[string][2]string{
		"a": {".", "a"}, "a/": {".", "a"}, "a/b": {"a/", "b"}, "/a//": {"/", "a"}, "/": {".", ""}, "a/..": {"a/", ".."},
	} {
		if dir, last := splitLast(name); [2]string{dir, last} != want {
			t.Errorf("%q: %q, want %q", name, fmt.Sprintf("%s + %s", dir, last), want)
		}
	}
}
