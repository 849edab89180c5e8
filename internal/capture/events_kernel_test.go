package capture_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
)

// pythonPath is the interpreter itself, without any shim.
func pythonPath(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import os, sys; print(os.path.realpath(sys.executable))").Output()
	if err != nil {
		t.Skipf("needs python3: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func connections(p evidence.Process) []string {
	var list []string
	for _, c := range p.Network.Connections {
		list = append(list, strings.Join([]string{c.Syscall, c.Family, c.Type, c.Address, strconv.Itoa(c.Port), "x" + strconv.Itoa(max(c.Count, 1))}, " "))
	}
	return list
}

func TestConnections(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		if err := os.Symlink("sock", w.dir+"/link"); err != nil {
			t.Fatal(err)
		}
		r := w.probe(t,
			op("connect", "stream", "inet", "127.0.0.1", 9), op("connect", "dgram", "inet", "192.0.2.7", 53), op("connect", "stream", "inet6", "::1", 9),
			op("connect", "stream", "unix", "link", 0), op("connect", "stream", "unix", "/none/x", 0), op("connect", "dgram", "abstract", "hidden", 0),
			op("sendto", "dgram", "inet", "127.0.0.1", 9), op("sendto", "dgram", "inet", "127.0.0.1", 9), op("sendto", "dgram", "inet6", "2001:db8::1", 53),
			op("sendto", "dgram", "unspec", "127.0.0.1", 4444), op("sendmsg", "dgram", "unspec", "127.0.0.1", 4445),
			op("sendmsg", "dgram", "inet", "127.0.0.1", 10), op("sendmmsg", "dgram", "inet", "127.0.0.1", 20), op("sendmsg", "dgram", "abstract", "hidden", 0),
			op("bind", "stream", "inet", "127.0.0.1", 0), op("listen"), op("bind", "stream", "unix", "bound", 0), op("listen"),
			op("bind", "stream", "abstract", "here-"+filepath.Base(filepath.Dir(w.dir)), 0), op("listen"), op("connect", "dgram", "netlink", "", 0))
		r.wholly(t)
		here := "@here-" + filepath.Base(filepath.Dir(w.dir))
		want := []string{
			"connect AF_INET SOCK_STREAM 127.0.0.1 9 x1", "connect AF_INET SOCK_DGRAM 192.0.2.7 53 x1", "connect AF_INET6 SOCK_STREAM ::1 9 x1",
			"connect AF_UNIX SOCK_STREAM " + w.dir + "/sock 0 x1", "connect AF_UNIX SOCK_STREAM /none/x 0 x1", "connect AF_UNIX SOCK_DGRAM @hidden 0 x1",
			"sendto AF_INET SOCK_DGRAM 127.0.0.1 9 x2", "sendto AF_INET6 SOCK_DGRAM 2001:db8::1 53 x1",
			"sendto AF_INET SOCK_DGRAM 127.0.0.1 4444 x1", "sendmsg AF_INET SOCK_DGRAM 127.0.0.1 4445 x1",
			"sendmsg AF_INET SOCK_DGRAM 127.0.0.1 10 x1", "sendmmsg AF_INET SOCK_DGRAM 127.0.0.1 20 x1", "sendmmsg AF_INET SOCK_DGRAM 127.0.0.1 21 x1",
			"sendmsg AF_UNIX SOCK_DGRAM @hidden 0 x1",
			"bind AF_INET SOCK_STREAM 127.0.0.1 0 x1", "listen AF_INET SOCK_STREAM 127.0.0.1 PORT x1",
			"bind AF_UNIX SOCK_STREAM " + w.dir + "/bound 0 x1", "listen AF_UNIX SOCK_STREAM bound 0 x1",
			"bind AF_UNIX SOCK_STREAM " + here + " 0 x1", "listen AF_UNIX SOCK_STREAM " + here + " 0 x1", "connect AF_NETLINK SOCK_DGRAM 0 0 x1",
		}
		p := r.Processes[0]
		for _, c := range p.Network.Connections {
			if c.Syscall == "listen" && c.Family == "AF_INET" && c.Port > 0 {
				want[15] = strings.Replace(want[15], "PORT", strconv.Itoa(c.Port), 1)
			}
		}
		if diff := cmp.Diff(want, connections(p)); diff != "" {
			t.Errorf("want -, got +:\n%s\nthe kernel said %q", diff, r.said)
		}
		lookups := []evidence.DNSLookup{{ServerAddress: "192.0.2.7", ServerPort: 53}, {ServerAddress: "2001:db8::1", ServerPort: 53}}
		if diff := cmp.Diff(lookups, p.Network.DNSLookups); diff != "" {
			t.Errorf("look-ups: want -, got +:\n%s", diff)
		}
	})
}

// The kernel takes a datagram's destination of no family for IPv4, and so does
// the record: this is where it arrives.
func TestDestinationWithoutFamily(t *testing.T) {
	w := newWorld(t, false)
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := server.LocalAddr().(*net.UDPAddr).Port
	r := w.probe(t, op("sendto", "dgram", "unspec", "127.0.0.1", port))
	buf := make([]byte, 16)
	if n, err := server.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("received %q, %v", buf[:n], err)
	}
	want := fmt.Sprintf("sendto AF_INET SOCK_DGRAM 127.0.0.1 %d x1", port)
	if diff := cmp.Diff([]string{want}, connections(r.Processes[0])); diff != "" {
		t.Error(diff)
	}
}

func TestSockets(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("socket", unix.AF_INET, unix.SOCK_STREAM, 0), op("socket", unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0),
			op("socket", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE),
			op("socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), op("socket", unix.AF_PACKET, unix.SOCK_RAW, 3),
			op("socket", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG))
		r.wholly(t)
		want := []evidence.Socket{
			{Family: "AF_INET", Type: "SOCK_RAW", Protocol: unix.IPPROTO_ICMP, FD: -1},
			{Family: "AF_17", Type: "SOCK_RAW", Protocol: 3, FD: -1},
			{Family: "AF_NETLINK", Type: "SOCK_RAW", Protocol: unix.NETLINK_SOCK_DIAG, FD: -1},
		}
		if diff := cmp.Diff(want, r.Processes[0].Network.Sockets); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		if diff := cmp.Diff([]string{"0", "0", "0", "EPERM", "EPERM", "0"}, r.errnos("socket")); diff != "" {
			t.Errorf("the kernel said: %s", diff)
		}
	})
}

func TestEvents(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		r := w.probe(t, op("ptrace"), op("vmread", 0), op("memfdonly", "payload"), op("name", "innocent"), op("mmapwx"), op("mmapwx"),
			op("socket0"), op("setsid"), op("kill", 0, 0), op("listener"), op("unshare", unix.CLONE_NEWUSER), op("open", "/etc/passwd", 0))
		listener := fmt.Sprintf("seccomp operation 1 flags %#x", unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
		if w.backend == capture.Ptrace { // the kernel would allow it
			listener += " EBUSY"
		} else {
			r.wholly(t)
		}
		want := []string{
			"ptrace request 0 pid 0", "process_vm_readv pid " + strconv.Itoa(r.Processes[0].ProcessID), "memfd_create payload",
			`prctl PR_SET_NAME "innocent" main thread`, "mmap writable and executable", "dup2 socket onto descriptor 0", "setsid",
			"kill pid 0 signal 0", listener, "unshare",
		}
		if diff := cmp.Diff(want, r.events()); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		for _, e := range r.Processes[0].SyscallEvents {
			if e.Syscall == "dup2" && (len(e.Args) != 2 || e.Args[0] < 3 || e.Args[1] != 0) {
				t.Errorf("descriptors %v", e.Args)
			}
			if e.Syscall == "mmap" && e.Count != 2 {
				t.Errorf("two mappings have count %d", e.Count)
			}
		}
		// A second listener could answer for the supervisor; the kernel allows one.
		if diff := cmp.Diff([]string{"EBUSY"}, r.errnos("listener")); diff != "" {
			t.Errorf("a listener of its own: %s", diff)
		}
	})
}

func TestRefusals(t *testing.T) {
	eachWorld(t, func(t *testing.T, w world) {
		ops := [][]string{op("uring"), op("uring"), op("handle")}
		want, events := map[string]int{"io_uring_setup": 2, "open_by_handle_at": 1}, []string{"io_uring_setup ENOSYS", "open_by_handle_at EPERM"}
		said := []string{"uring ENOSYS", "uring ENOSYS", "handle EPERM"}
		if runtime.GOARCH == "amd64" {
			ops = append(ops, op("int80", 20, 0), op("x32", unix.SYS_GETPID))
			said = append(said, "int80 ENOSYS", "x32 ENOSYS")
			want["foreign"] = 2
			events = append(events, "foreign architecture 0x40000003 number 20 ENOSYS",
				fmt.Sprintf("foreign architecture 0xc000003e number %d ENOSYS", 0x40000000|unix.SYS_GETPID))
		}
		r := w.probe(t, ops...)
		if diff := cmp.Diff(said, r.said); diff != "" {
			t.Errorf("the kernel said: %s", diff)
		}
		if diff := cmp.Diff(want, r.Coverage.Refusals); diff != "" || !r.Coverage.Complete {
			t.Errorf("complete %v, refusals: %s", r.Coverage.Complete, diff)
		}
		if diff := cmp.Diff(events, r.events()); diff != "" {
			t.Errorf("events: %s", diff)
		}
	})
}
