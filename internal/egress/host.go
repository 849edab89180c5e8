package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Host is a place that the user allows the installer to contact.
type Host struct {
	// Name is a host name in lower case, without final dot, or an IP address.
	Name string
	// Port is 0 for any.
	Port int
}

var (
	errNoHost   = errors.New("want HOST, HOST:PORT or an IP address")
	errLoopback = errors.New("loopback inside is the sandbox's own")
)

// ParseHost reads HOST, HOST:PORT, an IP address, or [IPv6]:PORT. Loopback is
// refused: an address there means the sandbox itself.
func ParseHost(text string) (Host, error) {
	h := Host{Name: text}
	if name, port, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Host{}, fmt.Errorf("host %q: port %q, want 1 to 65535", text, port)
		}
		h = Host{Name: name, Port: int(n)}
	} else if inner, ok := strings.CutPrefix(text, "["); ok {
		h.Name = strings.TrimSuffix(inner, "]")
	}
	if ip, err := netip.ParseAddr(h.Name); err == nil {
		if ip = ip.Unmap().WithZone(""); ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() {
			return Host{}, fmt.Errorf("host %q: %w", text, errLoopback)
		}
		h.Name = ip.String()
		return h, nil
	}
	h.Name = hostName(h.Name)
	switch {
	case h.Name == "localhost" || strings.HasSuffix(h.Name, ".localhost"):
		return Host{}, fmt.Errorf("host %q: %w", text, errLoopback)
	case !validHostName(h.Name):
		return Host{}, fmt.Errorf("host %q: %w", text, errNoHost)
	}
	return h, nil
}

// HostOf is the host and port that an http or https URL goes to.
func HostOf(u *url.URL) (Host, error) {
	at := originOf(u)
	return ParseHost(net.JoinHostPort(at.host, at.port))
}

// String is the host as ParseHost reads it.
func (h Host) String() string {
	if h.Port == 0 {
		return h.Name
	}
	return net.JoinHostPort(h.Name, strconv.Itoa(h.Port))
}

// is tells whether the host is the name or address with that port.
func (h Host) is(name string, port int) bool {
	return name != "" && h.Name == hostName(name) && (h.Port == 0 || h.Port == port)
}

func hostName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// validHostName knows letters, digits, "-" and "_" in labels (RFC 1123, and what
// is in use beside it); patterns are none.
func validHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' {
			return false
		}
	}
	return true
}
