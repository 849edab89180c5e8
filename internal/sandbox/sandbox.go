package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initName is argument zero of the re-executed binary; see the package comment.
const initName = "pip-witness: init"

// Main takes the part of init when this process was re-executed as that, and then
// never returns; otherwise it returns at once. Programs and test binaries that use
// the package call it before anything else.
func Main() {
	if len(os.Args) > 0 && os.Args[0] == initName {
		os.Exit(initMain())
	}
}

// Bind shows a path of the host inside the sandbox. Both are absolute.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Writable bool   `json:"writable"`
}

// Overlay shows the host directory Lower at Target inside; what is changed there
// goes to Upper, Work being the file system's own scratch directory. Upper and Work
// are on one file system and start empty. Where no overlay can be had and
// Spec.Layers is set, Upper becomes a copy.
type Overlay struct {
	Lower string `json:"lower"`
	// Below are the upper directories of earlier overlays of Lower, the latest first:
	// what was changed there is seen here.
	Below  []string `json:"below,omitempty"`
	Upper  string   `json:"upper"`
	Work   string   `json:"work"`
	Target string   `json:"target"`
}

// Spec is the world of a sandbox.
type Spec struct {
	// Namespaces asks for confinement; without it only the process tree is kept
	// together.
	Namespaces bool `json:"namespaces"`
	// HostNetwork leaves the network of the host reachable.
	HostNetwork bool `json:"hostNetwork"`
	// GatewayPort is the port on 127.0.0.1 inside on which Box.Listener accepts
	// connections; 0 listens on none.
	GatewayPort int `json:"gatewayPort,omitempty"`
	// Everywhere makes every address one of the sandbox itself, so that Box.Listen
	// can open sockets for any of them; without it only loopback is there.
	Everywhere bool `json:"everywhere,omitempty"`
	// RootDir is an empty directory of the host; the root file system inside is
	// built on a tmpfs mounted over it.
	RootDir string `json:"rootDir"`
	// Hidden are absolute paths that are empty inside (tmpfs), before Binds.
	Hidden []string `json:"hidden"`
	// Layers makes the directories of the host and the hidden ones writable inside,
	// each change landing in a directory of the run; nil shows the host read-only.
	Layers *Layers `json:"layers,omitempty"`
	// Binds are laid over the view of the host, outer ones before those below them.
	Binds []Bind `json:"binds"`
	// Overlays are laid like Binds, before one at the same place.
	Overlays []Overlay `json:"overlays,omitempty"`
	// Files are made below /run, by absolute path, read-only.
	Files map[string][]byte `json:"files,omitempty"`
	// Sockets are paths of the host's listening sockets, which are covered where they
	// could be connected to. Start fills it in.
	Sockets []string `json:"sockets,omitempty"`
	// Hostname inside.
	Hostname string `json:"hostname"`
}

// Command is one command to run in the sandbox.
type Command struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	// Filter is a classic BPF program whose user notifications go to
	// Running.Notify; empty runs the command untraced.
	Filter []Instruction `json:"filter,omitempty"`
	// Ptrace says that the filter has no listener: the thread that forks the command
	// is Running.Thread, and waits to be traced until Running.Go is called.
	Ptrace bool `json:"ptrace,omitempty"`
	// Stdin, Stdout, Stderr of the command; nil is the null device. Results is
	// inherited as descriptor ResultsFD when set.
	Stdin   *os.File `json:"-"`
	Stdout  *os.File `json:"-"`
	Stderr  *os.File `json:"-"`
	Results *os.File `json:"-"`
}

// Instruction is one classic BPF instruction, as in struct sock_filter.
type Instruction struct {
	Code uint16 `json:"c"`
	Jt   uint8  `json:"t"`
	Jf   uint8  `json:"f"`
	K    uint32 `json:"k"`
}

// closeGrace is how long init may take to end all others.
const closeGrace = 5 * time.Second

// Box is a running sandbox. Its methods are called from one goroutine, except
// Listen, Kill and Close.
type Box struct {
	cmd        *exec.Cmd
	ended      chan struct{} // closed when init has ended
	namespaces bool
	control    int
	gateway    net.Listener

	listening sync.Mutex
	sockets   int // requests for listening sockets
	world     world

	closing sync.Once
	waiting sync.Once
	waitErr error
}

// ErrNoListener is what Box.Run returns where the kernel gives no seccomp listener;
// Command.Ptrace needs none.
var ErrNoListener = errors.New("no seccomp user notification here")

// UnavailableError says that this machine does not allow the sandbox.
type UnavailableError struct {
	Reason string
	Hint   string
}

func (e *UnavailableError) Error() string { return "sandbox: " + e.Reason }

// Start builds the sandbox. It returns an *UnavailableError when the kernel or
// an enclosing container forbids it.
//
// Where user namespaces are not to be had and the caller may make the others
// without, it does (Box.Namespaces says so): init then keeps the caller's
// capabilities, the command has none either way.
func Start(ctx context.Context, spec Spec) (*Box, error) {
	if spec.Namespaces {
		spec.Sockets = append(spec.Sockets, hostSockets()...)
	}
	b, err := start(ctx, spec, spec.Namespaces)
	if err != nil && spec.Namespaces && mayDoWithoutUser(err) {
		if without, err := start(ctx, spec, false); err == nil {
			return without.ready(spec)
		}
	}
	if err != nil {
		return nil, explain(err, ReadFacts())
	}
	return b.ready(spec)
}

// mayDoWithoutUser tells whether a clone failed for the user namespace and the
// others can be had without it.
func mayDoWithoutUser(err error) bool {
	if os.Getuid() != 0 || !slices.ContainsFunc([]error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL},
		func(target error) bool { return errors.Is(err, target) }) {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// ready has init build the world.
func (b *Box) ready(spec Spec) (*Box, error) {
	if err := b.setUp(spec); err != nil {
		b.Close()
		return nil, explainSetUp(err, ReadFacts())
	}
	return b, nil
}

// start starts init.
func start(ctx context.Context, spec Spec, user bool) (*Box, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sandbox: control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("sandbox: control socket: %w", err)
	}
	requests := os.NewFile(uintptr(sockets[1]), "sockets")
	defer requests.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{initName}
	// Two, because a fork under the filter keeps one until it is answered.
	cmd.Env = []string{"GOMAXPROCS=2", "GOGC=off"}
	cmd.ExtraFiles = []*os.File{theirs, requests}
	cmd.SysProcAttr = attributes(spec, user)
	ended := make(chan struct{})
	if err := startKept(cmd, ended); err != nil {
		unix.Close(pair[0])
		unix.Close(sockets[0])
		return nil, fmt.Errorf("start init: %w", err)
	}
	return &Box{cmd: cmd, ended: ended, namespaces: spec.Namespaces, control: pair[0], sockets: sockets[0]}, nil
}

// startKept starts init from a thread that does nothing else until init has ended:
// the kernel sends a parent death signal when the thread ends that made the child,
// see PR_SET_PDEATHSIG(2const).
func startKept(cmd *exec.Cmd, ended <-chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}

func attributes(spec Spec, user bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if !spec.Namespaces {
		return attr
	}
	attr.Setsid = true
	attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if !spec.HostNetwork {
		attr.Cloneflags |= unix.CLONE_NEWNET
	}
	if !user {
		return attr
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	if os.Getuid() != 0 {
		// An exec takes the capabilities in the new user namespace away from any user
		// but its root; ambient ones stay until the launcher drops all.
		attr.AmbientCaps = []uintptr{
			unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_KILL, unix.CAP_SETPCAP,
			unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE,
		}
	}
	// One id each: files of other owners show as nobody and stay out of reach.
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	return attr
}

// maxSockets bounds the host's sockets that are looked at.
const maxSockets = 4096

// hostSockets lists the paths of unix sockets of this network namespace, from the
// eighth field of /proc/net/unix (proc_pid_net(5)).
func hostSockets() []string {
	text, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		return nil // a kernel without the table; /run is empty inside in any case
	}
	var paths []string
	for line := range strings.Lines(string(text)) {
		if at := strings.Index(line, " /"); at >= 0 && len(paths) < maxSockets {
			paths = append(paths, strings.TrimSuffix(line[at+1:], "\n"))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (b *Box) setUp(spec Spec) error {
	if err := sendFrame(b.control, frame{Kind: frameSetup, Setup: &spec}); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	f, fds, err := b.expect(frameReady)
	if err != nil {
		return err
	}
	if f.World != nil {
		b.world = *f.World
	}
	switch {
	case spec.HostNetwork && spec.GatewayPort != 0:
		if b.gateway, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", spec.GatewayPort)); err != nil {
			return fmt.Errorf("sandbox: listen for the gateway: %w", err)
		}
	case len(fds) == 1:
		file := os.NewFile(uintptr(fds[0]), "gateway")
		defer file.Close()
		if b.gateway, err = net.FileListener(file); err != nil {
			return fmt.Errorf("sandbox: gateway listener: %w", err)
		}
	}
	return nil
}

func (b *Box) expect(kind string) (frame, []int, error) {
	f, fds, err := receiveFrame(b.control)
	switch {
	case errors.Is(err, io.EOF):
		return f, nil, fmt.Errorf("sandbox: init ended early: %w", b.wait())
	case err != nil:
		return f, nil, fmt.Errorf("sandbox: %w", err)
	case f.Kind == frameError && f.Hint != "":
		closeAll(fds)
		return f, nil, &UnavailableError{Reason: f.Error, Hint: f.Hint}
	case f.Kind == frameError:
		closeAll(fds)
		if f.NoListener {
			return f, nil, fmt.Errorf("sandbox: %s: %w", f.Error, ErrNoListener)
		}
		return f, nil, fmt.Errorf("sandbox: %s", f.Error)
	case f.Kind != kind:
		closeAll(fds)
		return f, nil, fmt.Errorf("sandbox: init sent %q, expected %q", f.Kind, kind)
	}
	return f, fds, nil
}

// Listener accepts connections made to the gateway address inside the sandbox;
// nil without namespaces.
func (b *Box) Listener() net.Listener { return b.gateway }

// Listen opens a socket inside: a listening one for "tcp", a bound one for "udp".
// It fails where the address is taken. It may be called from any goroutine.
func (b *Box) Listen(network, address string, port int) (*os.File, error) {
	b.listening.Lock()
	defer b.listening.Unlock()
	if b.sockets < 0 {
		return nil, errors.New("sandbox: it is closed")
	}
	if err := sendFrame(b.sockets, frame{Kind: frameListen, Network: network, Address: address, Port: port}); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	f, fds, err := receiveFrame(b.sockets)
	switch {
	case err != nil:
		return nil, fmt.Errorf("sandbox: %w", err)
	case f.Kind == frameError || len(fds) != 1:
		closeAll(fds)
		return nil, fmt.Errorf("sandbox: listen on %s %s port %d: %s", network, address, port, f.Error)
	}
	return os.NewFile(uintptr(fds[0]), network), nil
}

// InitPID is the process id of the sandbox's init, outside.
func (b *Box) InitPID() int { return b.cmd.Process.Pid }

// Namespaces are the kinds of namespaces of the sandbox, sorted; empty without.
func (b *Box) Namespaces() []string {
	var kinds []string
	for _, k := range [...]struct {
		flag uintptr
		name string
	}{
		{unix.CLONE_NEWIPC, "ipc"}, {unix.CLONE_NEWNS, "mount"}, {unix.CLONE_NEWNET, "network"},
		{unix.CLONE_NEWPID, "pid"}, {unix.CLONE_NEWUSER, "user"}, {unix.CLONE_NEWUTS, "uts"},
	} {
		if b.cmd.SysProcAttr.Cloneflags&k.flag != 0 {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

// Missing lists protections that could not be set up.
func (b *Box) Missing() []string { return b.world.Missing }

// Layers lists the directories that can be changed inside and those of the host
// that cannot, parents before what lies over them; empty without namespaces.
func (b *Box) Layers() []Layer { return b.world.Layers }

// Made lists the paths inside that exist, or belong to who runs this, only because
// something is mounted there or has to be written there.
func (b *Box) Made() []string { return b.world.Made }

// Running is a command inside a sandbox.
type Running struct {
	box *Box
	// Notify is the seccomp listener, close on exec, owned by the caller; -1 when
	// there is none.
	Notify int
	// Thread is the thread that will fork the command, by its number outside; 0
	// without Command.Ptrace.
	Thread int
}

// Go lets the thread that waits to be traced install the filter and fork.
func (r *Running) Go() error {
	if err := sendFrame(r.box.control, frame{Kind: frameGo}); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// Run starts one command; commands of a box run one after the other.
func (b *Box) Run(c Command) (*Running, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	defer null.Close()
	fds := make([]int, 0, 4)
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f == nil {
			f = null
		}
		fds = append(fds, int(f.Fd()))
	}
	if c.Results != nil {
		fds = append(fds, int(c.Results.Fd()))
	}
	if err := sendFrame(b.control, frame{Kind: frameRun, Run: &c}, fds...); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	r := &Running{box: b, Notify: -1}
	if len(c.Filter) == 0 {
		return r, nil
	}
	if c.Ptrace {
		f, _, err := b.expect(frameThread)
		if err != nil {
			return nil, err
		}
		r.Thread, err = b.threadOutside(f.PID)
		return r, err
	}
	_, got, err := b.expect(frameNotify)
	if err != nil {
		return nil, err
	}
	if len(got) != 1 {
		closeAll(got)
		return nil, fmt.Errorf("sandbox: launcher passed %d descriptors, expected 1", len(got))
	}
	r.Notify = got[0]
	return r, nil
}

// threadOutside is the number outside of a thread of init.
func (b *Box) threadOutside(inside int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/task", b.InitPID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("sandbox: list the threads of init: %w", err)
	}
	for _, e := range entries {
		status, err := os.ReadFile(filepath.Join(dir, e.Name(), "status"))
		if err != nil {
			continue // it ended meanwhile
		}
		_, numbers, _ := strings.Cut(string(status), "\nNSpid:")
		numbers, _, _ = strings.Cut(numbers, "\n")
		fields := strings.Fields(numbers)
		if len(fields) > 0 && fields[len(fields)-1] == strconv.Itoa(inside) {
			return strconv.Atoi(e.Name())
		}
	}
	return 0, fmt.Errorf("sandbox: init has no thread %d", inside)
}

// Wait returns the exit status of the command: its code, or 128+signal. Other
// processes inside may still be alive. An error means that it never ran, or
// that the sandbox ended first.
func (r *Running) Wait() (int, error) {
	f, _, err := r.box.expect(frameExited)
	if err != nil {
		return 0, err
	}
	return f.Status, nil
}

// Kill ends every process inside but init. It may be called at any time.
func (b *Box) Kill() error {
	if err := sendFrame(b.control, frame{Kind: frameKill}); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// Close ends the sandbox and every process in it, and waits for that.
func (b *Box) Close() {
	b.closing.Do(func() {
		if b.gateway != nil {
			b.gateway.Close()
		}
		// Errors mean that init has ended already, which is what is wanted.
		_ = unix.Shutdown(b.control, unix.SHUT_RDWR)
		// Without a pid namespace init has to end the others itself, which it does
		// when the control socket is closed; a killed init would leave them.
		grace := time.AfterFunc(closeGrace, func() { _ = b.cmd.Process.Kill() })
		if b.namespaces {
			_ = b.cmd.Process.Kill()
		}
		_ = b.wait()
		grace.Stop()
		unix.Close(b.control)
		b.listening.Lock()
		defer b.listening.Unlock()
		unix.Close(b.sockets)
		b.sockets = -1
	})
}

// wait waits for init and says how it ended.
func (b *Box) wait() error {
	b.waiting.Do(func() {
		if b.waitErr = b.cmd.Wait(); b.waitErr == nil {
			b.waitErr = errors.New("exit status 0")
		}
		close(b.ended)
	})
	return b.waitErr
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
