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

// launchFD is where the launcher finds its frame socket.
const launchFD = 3

// ResultsFD is the descriptor on which a command finds Command.Results.
const ResultsFD = 4

// exitNotRun is the launcher's exit status when the command could not be
// started, as in shells.
const exitNotRun = 127

// launchMain turns this process into the command. The thread that will exec
// gives up its rights and installs the filter on itself alone, so that another
// thread can still pass the listener on.
func launchMain() int {
	runtime.LockOSThread()
	unix.CloseOnExec(launchFD)
	f, _, err := receiveFrame(launchFD)
	if err != nil || f.Run == nil {
		return exitNotRun
	}
	if err := launch(*f.Run); err != nil {
		fmt.Fprintf(os.Stderr, "pip-witness: error: %v\n", err)
		// Before the filter is installed init still waits for an answer.
		_ = sendFrame(launchFD, frame{Kind: frameError, Error: err.Error()})
	}
	return exitNotRun
}

func launch(c Command) error {
	if err := unix.Chdir(c.Dir); err != nil {
		return fmt.Errorf("run %q: change directory to %q: %w", c.Args, c.Dir, err)
	}
	program, err := lookUp(c.Args[0], c.Env)
	if err != nil {
		return err
	}
	if err := passResults(); err != nil {
		return err
	}
	if err := limit(c); err != nil {
		return err
	}
	if err := dropRights(); err != nil {
		return err
	}
	if len(c.Filter) > 0 {
		listener, err := installFilter(c.Filter)
		if err != nil {
			return err
		}
		sent := make(chan error)
		go func() { sent <- sendFrame(launchFD, frame{Kind: frameNotify}, listener) }()
		if err := <-sent; err != nil {
			return err
		}
	}
	if err := syscall.Exec(program, c.Args, c.Env); err != nil {
		return fmt.Errorf("run %q: %w", program, err)
	}
	return nil
}

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

// passResults keeps the results pipe open across the exec, on the descriptor
// where the launcher got it.
func passResults() error {
	_, err := unix.FcntlInt(ResultsFD, unix.F_SETFD, 0)
	if err != nil && !errors.Is(err, unix.EBADF) { // EBADF: there is none
		return fmt.Errorf("pass results pipe: %w", err)
	}
	return nil
}

func limit(c Command) error {
	limits := []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, c.MaxFileSize},
		{unix.RLIMIT_NPROC, c.MaxProcesses},
	}
	for _, l := range limits {
		if l.value == 0 && l.resource != unix.RLIMIT_CORE {
			continue
		}
		r := &unix.Rlimit{Cur: l.value, Max: l.value}
		if err := unix.Setrlimit(l.resource, r); err != nil {
			return fmt.Errorf("set resource limit %d to %d: %w", l.resource, l.value, err)
		}
	}
	return nil
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

// installFilter gives the calling thread the filter and returns its listener.
func installFilter(program []Instruction) (int, error) {
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// WAIT_KILLABLE_RECV (5.19): once a call was received by the supervisor only a
	// fatal signal interrupts it, so no call is seen twice.
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return -1, fmt.Errorf("install seccomp filter (needs Linux 5.19 or newer, and no other user-notification listener): %w", errno)
	}
	return int(fd), nil
}
