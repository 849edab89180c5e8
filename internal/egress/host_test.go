package egress

import (
	"errors"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct {
		text string
		want Host
		err  error
	}{
		{"Files.Example.", Host{"files.example", 0}, nil},
		{"files.example:8443", Host{"files.example", 8443}, nil},
		{"192.0.2.7", Host{"192.0.2.7", 0}, nil},
		{"192.0.2.7:80", Host{"192.0.2.7", 80}, nil},
		{"2001:DB8::7", Host{"2001:db8::7", 0}, nil},
		{"[2001:db8::7]", Host{"2001:db8::7", 0}, nil},
		{"[2001:db8::7]:443", Host{"2001:db8::7", 443}, nil},
		{"::ffff:192.0.2.7", Host{"192.0.2.7", 0}, nil},
		{"localhost", Host{}, errLoopback},
		{"127.0.0.2:80", Host{}, errLoopback},
		{"[::1]:80", Host{}, errLoopback},
		{"::ffff:127.0.0.1", Host{}, errLoopback},
		{"0.0.0.0", Host{}, errLoopback},
		{"", Host{}, errNoHost},
		{"*.example", Host{}, errNoHost},
		{"user@files.example", Host{}, errNoHost},
		{"files.example/path", Host{}, errNoHost},
		{"a..example", Host{}, errNoHost},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := ParseHost(c.text)
			if got != c.want || !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
			if err == nil {
				if again, err := ParseHost(got.String()); err != nil || again != got {
					t.Errorf("%q reads as %+v (%v), want %+v", got, again, err, got)
				}
			}
		})
	}
	for _, text := range []string{"files.example:0", "files.example:65536", "files.example:http", "https://files.example"} {
		if h, err := ParseHost(text); err == nil {
			t.Errorf("%q reads as %+v, want an error", text, h)
		}
	}
}

func TestHostIs(t *testing.T) {
	for _, c := range []struct {
		host Host
		name string
		port int
		want bool
	}{
		{Host{"a.example", 0}, "A.Example.", 80, true},
		{Host{"a.example", 443}, "a.example", 443, true},
		{Host{"a.example", 443}, "a.example", 80, false},
		{Host{"a.example", 0}, "b.a.example", 80, false},
		{Host{"a.example", 0}, "aa.example", 80, false},
		{Host{"a.example", 0}, "", 80, false},
	} {
		if got := c.host.is(c.name, c.port); got != c.want {
			t.Errorf("%+v is %q port %d: %t, want %t", c.host, c.name, c.port, got, c.want)
		}
	}
}
