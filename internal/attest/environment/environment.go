// Package environment attests the machine and the surroundings of a step, with
// every value that may be a secret left out.
package environment

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/environment/v0.1"

// Predicate is the environment/v0.1 predicate. What follows Variables is ours.
type Predicate struct {
	// OS is the operating system, as Go names it: "linux".
	OS string `json:"os"`
	// Hostname is the name of the machine, Username that of the user who started
	// the run (the user id where the user has no name). They are empty where the
	// system does not tell them.
	Hostname string `json:"hostname"`
	Username string `json:"username"`
	// Variables are the environment variables that the user's own shell gave to
	// the program: names to values. A value is kept where its variable cannot
	// hold a secret, credentials in its URLs removed, and is "<redacted>"
	// otherwise. See [evidence.RedactVariable].
	Variables map[string]string `json:"variables"`
	// Kernel is the kernel release (uname -r), Architecture the processor's as Go
	// names it: "amd64".
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
	// Builder is the program that witnessed, with its version.
	Builder string `json:"builder,omitempty"`
	// Interpreter is the Python that the user chose; absent from a step that
	// installed nothing.
	Interpreter *evidence.Interpreter `json:"interpreter,omitempty"`
	// Sandbox is how the command was confined.
	Sandbox evidence.Sandbox `json:"sandbox"`
	// Capture is how it was observed; the full account is the coverage of the
	// command-run attestation.
	Capture Capture `json:"capture"`
	// CI is the runner, as its variables say; absent when none is recognised.
	CI *CI `json:"ci,omitempty"`
}

// Capture sums up [evidence.Coverage].
type Capture struct {
	// Backend is the capture backend: "seccomp-notify".
	Backend string `json:"backend"`
	// Complete is false when anything was lost or cut.
	Complete bool `json:"complete"`
}

// Attestor returns the catalogue entry. Its predicate is a *[Predicate]; an
// error means that the kernel does not say its release.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "environment", Type: Type, Run: run}
}

func run(_ context.Context, in *attest.Input) (any, error) {
	kernel := in.Command.Coverage.Kernel
	if kernel == "" {
		var name unix.Utsname
		if err := unix.Uname(&name); err != nil {
			return nil, fmt.Errorf("kernel release: %w", err)
		}
		kernel = unix.ByteSliceToString(name.Release[:])
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = ""
	}
	out := &Predicate{
		OS: runtime.GOOS, Hostname: hostname, Username: username(), Variables: variables(in.Environ),
		Kernel: kernel, Architecture: runtime.GOARCH, Builder: in.Builder,
		Sandbox: in.Command.Coverage.Sandbox,
		Capture: Capture{Backend: in.Command.Coverage.Backend, Complete: in.Command.Coverage.Complete},
		CI:      detectCI(in.Environ),
	}
	if in.Install != nil {
		interpreter := in.Install.Interpreter
		out.Interpreter = &interpreter
	}
	return out, nil
}

func username() string {
	u, err := user.Current()
	if err != nil {
		return strconv.Itoa(os.Getuid())
	}
	return u.Username
}

func variables(environ []string) map[string]string {
	out := make(map[string]string)
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, known := out[name]; ok && name != "" && !known {
			out[strings.ToValidUTF8(name, "\uFFFD")] = strings.ToValidUTF8(evidence.RedactVariable(name, value), "\uFFFD")
		}
	}
	return out
}
