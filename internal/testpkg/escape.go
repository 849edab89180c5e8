package testpkg

import (
	_ "embed" // for the text of the package
	"encoding/json"
	"fmt"
)

// escapeSource is never assigned; embedding allows variables only.
//
//go:embed escape.py
var escapeSource string

// EscapeTargets are the places outside the sandbox that [Escape] tries to reach:
// the test makes each of them and looks afterwards whether it was touched.
type EscapeTargets struct {
	// Abstract is the name of an abstract socket that somebody listens on, Port a
	// port of the host's loopback, TCP and UDP.
	Abstract string `json:"abstract"`
	Port     int    `json:"port"`
	// Directories, Files, Sockets, Fifos and Devices are paths of the host.
	Directories []string `json:"directories"`
	Files       []string `json:"files"`
	Sockets     []string `json:"sockets"`
	Fifos       []string `json:"fifos"`
	Devices     []string `json:"devices"`
	// Cgroups are the top directories of mounted hierarchies, Groups files of
	// control groups of the test's own, Disks the host's block devices.
	Cgroups []string     `json:"cgroups"`
	Groups  []GroupWrite `json:"groups"`
	Disks   []string     `json:"disks"`
	// Pids are processes of the host by their number there.
	Pids []int `json:"pids"`
	// Key is the description of a key of type "user" in the session keyring.
	Key string `json:"key"`
	// Depth is how many directories are nested for the clean-up.
	Depth int `json:"depth"`
}

// GroupWrite is a write into a control group through a mount of its hierarchy that
// the package makes itself.
type GroupWrite struct {
	// Kind and Options are those of the mount: "cgroup2", or "cgroup" with the
	// controllers.
	Kind    string `json:"kind"`
	Options string `json:"options"`
	// File is below the control group of the test; Text is what is written.
	File string `json:"file"`
	Text string `json:"text"`
}

// escapeProject is the name of the project that [Escape] describes.
const escapeProject = "testpkg-escape"

// Escape is an sdist of which the build backend and the import try every way out
// of the sandbox. It prints the outcome of each attempt at import, one a line:
// "build" or "import", the name of the attempt, "ok" or an errno. Every attempt
// does no harm where it succeeds. [EscapeTargets.Attempts] says what the evidence
// must hold of each.
func Escape(targets EscapeTargets) (Package, error) {
	mod := escapeName(escapeProject)
	// A JSON document of strings, numbers and lists is Python as well; null is none.
	text, err := json.Marshal(struct {
		EscapeTargets
		Module string `json:"module"`
	}{targets.withoutNull(), mod})
	if err != nil {
		return Package{}, fmt.Errorf("describe %q: %w", escapeProject, err)
	}
	source := func(phase string) string {
		return fmt.Sprintf("TARGETS = %s\nPHASE = %q\n%s", text, phase, escapeSource)
	}
	t := InTree{
		Wheel: Wheel{Name: escapeProject, Version: version, Files: module(mod, source(PhaseImport))},
		Hook:  source(PhaseBuild),
	}
	return inTreePackage("while it is built and at import, tries every way out of the sandbox", t, mod), nil
}

// withoutNull has empty lists where there are none.
func (t EscapeTargets) withoutNull() EscapeTargets {
	for _, list := range []*[]string{&t.Directories, &t.Files, &t.Sockets, &t.Fifos, &t.Devices, &t.Cgroups, &t.Disks} {
		if *list == nil {
			*list = []string{}
		}
	}
	if t.Pids == nil {
		t.Pids = []int{}
	}
	if t.Groups == nil {
		t.Groups = []GroupWrite{}
	}
	return t
}

// daemonsSource starts two processes that mean to outlive everything.
const daemonsSource = `import os
import signal
import time

for _stubborn in (False, True):
    if os.fork() == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.closerange(3, 64)
        if _stubborn:
            for number in range(1, signal.NSIG):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
        if os.fork() == 0 or _stubborn:
            end = time.monotonic() + 600
            while time.monotonic() < end:
                time.sleep(1)
        os._exit(0)
`

// Daemons is a wheel of which the import leaves daemons that would stay for ten
// minutes; one ignores every signal that can be ignored.
func Daemons() Package {
	const name = "testpkg-daemons"
	mod := escapeName(name)
	return wheelPackage("at import, leaves daemons", Wheel{Name: name, Version: version, Files: module(mod, daemonsSource)}, mod)
}
