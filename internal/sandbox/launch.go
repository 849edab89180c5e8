package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ResultsFD is the descriptor on which a command finds Command.Results.
const ResultsFD = 4

// exitNotRun is the exit status of a command that could not be started, as in
// shells.
const exitNotRun = 127

// launch starts a command from a thread of its own, which gives up its rights and
// installs the filter on itself alone before it forks: the child has both from its
// first instruction on, and its first exec is recorded already. files are its
// descriptors from 0 on, -1 for none. traced is called before the fork, which waits
// for the supervisor's answer. It returns the process id.
func launch(c Command, files []int, session bool, traced handOver) (pid int, err error) {
	onOwnThread(func() { pid, err = launchHere(c, files, session, traced) })
	return pid, err
}

// onOwnThread runs f on a thread that ends with it.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The process's first thread never ends. It is held until another one did it.
			onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		f() // never unlocked, so the thread ends with this goroutine
	}()
	<-done
}

func launchHere(c Command, files []int, session bool, traced handOver) (int, error) {
	if err := unix.Access(c.Dir, unix.X_OK); err != nil {
		return 0, fmt.Errorf("run %q: change directory to %q: %w", c.Args, c.Dir, err)
	}
	program, err := lookUp(c.Args[0], c.Env)
	if err != nil {
		return 0, err
	}
	if session {
		// The caller's keys stay outside: the session keyring is inherited. ENOSYS: a
		// kernel without keys.
		_, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0) // without a name
		if errno != 0 && errno != unix.ENOSYS {
			return 0, fmt.Errorf("run %q: join a session keyring of its own: %w", c.Args, errno)
		}
	}
	if err := dropRights(); err != nil {
		return 0, err
	}
	if len(c.Filter) > 0 {
		if err := submit(c, traced); err != nil {
			return 0, err
		}
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Sys: &syscall.SysProcAttr{Setsid: session}}
	for _, fd := range files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	// Not os.StartProcess, which tries out what the kernel can do, under the filter.
	pid, err := syscall.ForkExec(program, c.Args, attr)
	if err != nil {
		return 0, &notRunError{fmt.Errorf("run %q: %w", program, err)}
	}
	return pid, nil
}

// submit puts the calling thread under the filter and has somebody answer for it.
func submit(c Command, traced handOver) error {
	told := make(chan error)
	if c.Ptrace {
		thread := unix.Gettid()
		go func() { told <- traced.thread(thread) }()
		if err := <-told; err != nil {
			return err
		}
		_, err := installFilter(c.Filter, 0)
		return err
	}
	// WAIT_KILLABLE_RECV (5.19): once a call was received by the supervisor only a
	// fatal signal interrupts it, so no call is seen twice.
	listener, err := installFilter(c.Filter, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if err != nil {
		return &noListenerError{err}
	}
	// Sending is among what the filter traps: another thread does it.
	go func() { told <- traced.listener(listener) }()
	return <-told
}

// handOver is how the supervisor learns of what it has to answer for.
type handOver struct {
	listener func(fd int) error
	thread   func(number int) error
}

// noListenerError is a kernel that does not give a listener.
type noListenerError struct{ error }

// notRunError is a command that the kernel did not run; the filter is installed
// already.
type notRunError struct{ error }

// lookUp finds the program on the PATH of the command's own environment.
func lookUp(name string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			os.Setenv("PATH", value)
		}
	}
	program, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("run %q: %w", name, err)
	}
	return program, nil
}

// dropRights leaves the calling thread without any capability and without a way
// to gain one by exec.
func dropRights() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(header, &have[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if have[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		for capability := 0; capability <= unix.CAP_LAST_CAP; capability++ {
			// EINVAL: the running kernel knows fewer capabilities.
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("drop capability %d: %w", capability, err)
			}
		}
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// installFilter gives the calling thread the filter and returns its listener, if
// the flags ask for one.
func installFilter(program []Instruction, flags uintptr) (int, error) {
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return -1, fmt.Errorf("install seccomp filter (needs Linux 5.19 or newer, and no other user-notification listener): %w", errno)
	}
	return int(fd), nil
}
