package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are the settings of a machine that decide whether a sandbox can be had.
// A setting that this kernel does not have is empty.
type Facts struct {
	Release string // uname -r
	UID     int
	// Clone is kernel.unprivileged_userns_clone (Debian), AppArmor is
	// kernel.apparmor_restrict_unprivileged_userns (Ubuntu 23.10), MaxUser is
	// user.max_user_namespaces.
	Clone    string
	AppArmor string
	MaxUser  string
	// Actions is kernel.seccomp.actions_avail (seccomp(2)).
	Actions string
	// FileSystems is /proc/filesystems; a module that is not loaded is not in it.
	FileSystems string
	// Seccomp is the field of /proc/self/status: 2 where a filter is on this process,
	// as in most containers.
	Seccomp string
	// Container names an enclosing container's runtime; empty outside one.
	Container string
}

// ReadFacts looks at this machine.
func ReadFacts() Facts {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	f := Facts{
		UID: os.Getuid(), Clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
		AppArmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"), MaxUser: read("/proc/sys/user/max_user_namespaces"),
		Actions: read("/proc/sys/kernel/seccomp/actions_avail"), FileSystems: read("/proc/filesystems"),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Release = unix.ByteSliceToString(u.Release[:])
	}
	for line := range strings.Lines(read("/proc/self/status")) {
		if value, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			f.Seccomp = strings.TrimSpace(value)
		}
	}
	for _, c := range [...][2]string{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}} {
		if _, err := os.Stat(c[0]); err == nil {
			f.Container = c[1]
		}
	}
	return f
}

// Problems are what these facts alone say against a sandbox.
func (f Facts) Problems() []*UnavailableError {
	var problems []*UnavailableError
	if f.Release != "" && !atLeast(f.Release, 5, 19) {
		problems = append(problems, &UnavailableError{
			Reason: fmt.Sprintf("kernel %s is older than 5.19: it cannot wait for a traced call undisturbed (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)", f.Release),
			Hint:   "boot a newer kernel (Debian 11: apt-get install -t bullseye-backports linux-image-amd64; Ubuntu 22.04: apt-get install linux-generic-hwe-22.04)",
		})
	}
	if f.Actions != "" && !strings.Contains(" "+f.Actions+" ", " user_notif ") {
		problems = append(problems, &UnavailableError{
			Reason: "this kernel has no seccomp user notification (kernel.seccomp.actions_avail lacks user_notif)",
			Hint:   "use a kernel with CONFIG_SECCOMP_FILTER, 5.19 or newer; gVisor and other emulations of one do not have it",
		})
	}
	if p := f.userNamespaces(); p != nil && f.UID != 0 {
		problems = append(problems, p)
	}
	return problems
}

// Overlay is why directories of the host would be read-only inside, which a check
// can do with; nil when these facts know of nothing.
func (f Facts) Overlay() *UnavailableError {
	switch {
	case f.FileSystems != "" && !slices.Contains(strings.Fields(f.FileSystems), "overlay"):
		return &UnavailableError{Reason: "the overlay file system is not loaded", Hint: "load it: modprobe overlay"}
	case f.Release != "" && !atLeast(f.Release, 5, 11):
		return &UnavailableError{
			Reason: fmt.Sprintf("kernel %s has no overlays in user namespaces, which came with 5.11", f.Release), Hint: "boot a newer kernel",
		}
	}
	return nil
}

// userNamespaces is the setting that forbids them to an ordinary user, nil when
// none does.
func (f Facts) userNamespaces() *UnavailableError {
	switch {
	case f.MaxUser == "0":
		return &UnavailableError{
			Reason: "no user namespaces are allowed: user.max_user_namespaces is 0", Hint: "raise the limit: sysctl -w user.max_user_namespaces=10000",
		}
	case f.Clone == "0":
		return &UnavailableError{
			Reason: "user namespaces are for root only: kernel.unprivileged_userns_clone is 0", Hint: "allow them: sysctl -w kernel.unprivileged_userns_clone=1",
		}
	case f.AppArmor == "1":
		return &UnavailableError{
			Reason: "AppArmor restricts user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1",
			Hint:   "allow them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
		}
	}
	return nil
}

// explainSetUp turns init's failure into what to do about it. Where AppArmor
// restricts user namespaces they can be made, and then nothing can be done in them.
func explainSetUp(err error, f Facts) error {
	var unavailable *UnavailableError
	known := f.userNamespaces()
	denied := strings.HasSuffix(err.Error(), unix.EPERM.Error()) || strings.HasSuffix(err.Error(), unix.EACCES.Error())
	if errors.As(err, &unavailable) || known == nil || !denied {
		return err
	}
	return &UnavailableError{Reason: known.Reason + " (" + err.Error() + ")", Hint: known.Hint}
}

// explain turns a failed clone into what to do about it.
func explain(err error, f Facts) error {
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS)
	known := f.userNamespaces()
	switch {
	case known != nil && (denied || full):
		return known
	case denied && (f.Container != "" || f.Seccomp == "2"):
		return &UnavailableError{
			Reason: "the enclosing container forbids user namespaces (its seccomp profile): " + err.Error(),
			Hint:   "start it with: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined",
		}
	case denied:
		return &UnavailableError{
			Reason: "user namespaces are not permitted here: " + err.Error(),
			Hint:   "allow them: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)",
		}
	case full:
		return &UnavailableError{
			Reason: "no more user namespaces are allowed: " + err.Error(), Hint: "raise the limit: sysctl -w user.max_user_namespaces=10000",
		}
	case errors.Is(err, unix.EINVAL):
		return &UnavailableError{Reason: "this kernel has no user namespaces", Hint: "use a kernel with CONFIG_USER_NS, 5.19 or newer"}
	}
	return fmt.Errorf("sandbox: %w", err)
}
