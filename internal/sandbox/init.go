package sandbox

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Descriptors of init: its control socket, and the one on which it is asked for
// sockets.
const (
	controlFD = 3
	socketsFD = 4
)

// initMain is the life of init: build the world, run commands when told to,
// reap everything, and end when the supervisor is gone.
func initMain() int {
	// All of them: the runtime handles each, so the kernel delivers what a command
	// sends to its init, and several would end it. Not signal.Ignore: ignored signals
	// stay ignored in the command, across exec.
	signal.Notify(make(chan os.Signal, 1))
	// Also what whoever started the supervisor left open: a command gets its own
	// descriptors only.
	if err := unix.CloseRange(controlFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 1
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil { // for all below too
		return 1
	}
	in := &initProcess{}
	if err := in.serve(); err != nil {
		f := frame{Kind: frameError, Error: err.Error()}
		var unavailable *UnavailableError
		if errors.As(err, &unavailable) {
			f.Error, f.Hint = unavailable.Reason, unavailable.Hint
		}
		in.send(f)
		return 1
	}
	return 0
}

// initProcess is the state of init.
type initProcess struct {
	namespaces bool
	sending    sync.Mutex
	root       int // pid of the command, 0 when none
	commands   chan received
}

func (in *initProcess) send(f frame, fds ...int) {
	// A failure means that the supervisor is gone; the read side sees that too.
	_ = in.trySend(f, fds...)
}

func (in *initProcess) trySend(f frame, fds ...int) error {
	in.sending.Lock()
	defer in.sending.Unlock()
	return sendFrame(controlFD, f, fds...)
}

func (in *initProcess) serve() error {
	f, _, err := receiveFrame(controlFD)
	if err != nil {
		return err
	}
	if f.Kind != frameSetup || f.Setup == nil {
		return fmt.Errorf("first frame is %q, expected %q", f.Kind, frameSetup)
	}
	if err := in.prepare(*f.Setup); err != nil {
		return err
	}
	in.commands = make(chan received)
	go readFrames(in.commands)
	// SIGCHLD is coalesced, so every signal reaps all that ended.
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for {
		select {
		case r, open := <-in.commands:
			if !open {
				in.killAll()
				return nil
			}
			if err := in.handle(r); err != nil {
				in.send(frame{Kind: frameError, Error: err.Error()})
			}
		case <-children:
			in.reap()
		}
	}
}

type received struct {
	frame frame
	fds   []int
}

func readFrames(to chan<- received) {
	defer close(to)
	for {
		f, fds, err := receiveFrame(controlFD)
		if err != nil {
			return
		}
		to <- received{f, fds}
	}
}

func (in *initProcess) prepare(spec Spec) error {
	in.namespaces = spec.Namespaces
	if !spec.Namespaces {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become child subreaper: %w", err)
		}
		in.send(frame{Kind: frameReady})
		return nil
	}
	built, err := buildRoot(spec)
	if err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if spec.HostNetwork {
		in.send(frame{Kind: frameReady, World: &built})
		return nil
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if spec.Everywhere {
		if err := beEverywhere(); err != nil {
			return err
		}
		go openSockets()
	}
	if spec.GatewayPort == 0 {
		in.send(frame{Kind: frameReady, World: &built})
		return nil
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: spec.GatewayPort})
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return fmt.Errorf("pass listener: %w", err)
	}
	defer file.Close()
	in.send(frame{Kind: frameReady, World: &built}, int(file.Fd()))
	return nil
}

// loopbackUp brings the interface lo of a new network namespace up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("loopback: read flags: %w", err)
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("loopback: bring up: %w", err)
	}
	return nil
}

// beEverywhere makes every address a local one: a packet to any of them is
// delivered here, and a socket may be bound to any of them.
func beEverywhere() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, destination, err := net.ParseCIDR(all)
		if err != nil {
			return fmt.Errorf("route %s: %w", all, err)
		}
		route := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: destination, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		}
		if err := netlink.RouteAdd(route); err != nil {
			if all == "::/0" && errors.Is(err, unix.EOPNOTSUPP) {
				continue // a kernel without IPv6
			}
			return fmt.Errorf("route %s to itself: %w", all, err)
		}
	}
	return nil
}

// openSockets answers requests for sockets until the supervisor is gone.
func openSockets() {
	for {
		f, fds, err := receiveFrame(socketsFD)
		closeAll(fds)
		if err != nil {
			return
		}
		fd, err := openSocket(f.Network, f.Address, f.Port)
		if err != nil {
			err = sendFrame(socketsFD, frame{Kind: frameError, Error: err.Error()})
		} else {
			err = sendFrame(socketsFD, frame{Kind: frameListen}, fd)
			unix.Close(fd)
		}
		if err != nil {
			return
		}
	}
}

func openSocket(network, address string, port int) (int, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return -1, err
	}
	kind := unix.SOCK_STREAM
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	var to unix.Sockaddr
	family, level, freely := unix.AF_INET, unix.SOL_IP, unix.IP_FREEBIND
	if ip = ip.Unmap(); ip.Is4() {
		to = &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		family, level, freely = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_FREEBIND
		to = &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// The address is on no interface; the route alone makes it local.
	for _, option := range [...][2]int{{unix.SOL_SOCKET, unix.SO_REUSEADDR}, {level, freely}} {
		if err := unix.SetsockoptInt(fd, option[0], option[1], 1); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	if err := unix.Bind(fd, to); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 128); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

func (in *initProcess) handle(r received) error {
	switch r.frame.Kind {
	case frameRun:
		defer closeAll(r.fds)
		return in.run(*r.frame.Run, r.fds)
	case frameKill:
		closeAll(r.fds)
		in.killAll()
		return nil
	}
	closeAll(r.fds)
	return fmt.Errorf("unexpected frame %q", r.frame.Kind)
}

// run starts one command. fds are its standard input, output, error and, when
// there is one, the results socket.
func (in *initProcess) run(c Command, fds []int) error {
	if len(fds) < 3 {
		return fmt.Errorf("run %q: %d descriptors, expected 3 or 4", c.Args, len(fds))
	}
	files := append([]int{}, fds[:3]...)
	if len(fds) > 3 {
		files = append(files, -1, fds[3]) // ResultsFD
	}
	pid, err := launch(c, files, in.namespaces, handOver{
		listener: func(fd int) error {
			defer unix.Close(fd)
			return in.trySend(frame{Kind: frameNotify}, fd)
		},
		thread: in.awaitTracer,
	})
	var notRun *notRunError
	var noListener *noListenerError
	switch {
	case err == nil:
		in.root = pid
	case errors.As(err, &notRun) || len(c.Filter) == 0:
		// As a shell does.
		_, _ = unix.Write(fds[2], []byte("pip-witness: error: "+err.Error()+"\n"))
		in.send(frame{Kind: frameExited, Status: exitNotRun})
	case errors.As(err, &noListener):
		in.send(frame{Kind: frameError, Error: err.Error(), NoListener: true})
	default:
		return err
	}
	return nil
}

// awaitTracer tells the supervisor the number of a thread and waits until it is
// traced.
func (in *initProcess) awaitTracer(thread int) error {
	if err := in.trySend(frame{Kind: frameThread, PID: thread}); err != nil {
		return err
	}
	r, open := <-in.commands
	closeAll(r.fds)
	if !open || r.frame.Kind != frameGo {
		return errors.New("nobody traces the command")
	}
	return nil
}

// reap waits for every child that has ended; the command's end is reported.
func (in *initProcess) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid == in.root && (status.Exited() || status.Signaled()) {
			in.root = 0
			in.send(frame{Kind: frameExited, PID: pid, Status: exitStatus(status)})
		}
	}
}

func exitStatus(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// killAll ends every process below init: all of the pid namespace, or without
// one every descendant, repeatedly, because they may fork meanwhile.
func (in *initProcess) killAll() {
	if in.namespaces {
		_ = unix.Kill(-1, unix.SIGKILL) // ESRCH: nobody is there
		return
	}
	for range 100 {
		pids := descendants(os.Getpid())
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: it ended meanwhile
		}
		in.reap()
	}
}

// descendants lists the live processes below pid, from /proc.
func descendants(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (comm) state ppid …; comm may hold spaces and parentheses.
		rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		children[parent] = append(children[parent], child)
	}
	var all []int
	queue := []int{pid}
	for len(queue) > 0 {
		below := children[queue[0]]
		queue = append(queue[1:], below...)
		all = append(all, below...)
	}
	return all
}
