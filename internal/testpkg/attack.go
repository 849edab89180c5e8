package testpkg

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"pip-witness/evidence"
)

// Attack is a package that does one thing that only malicious packages do, in a
// harmless form: below a throw-away HOME, on loopback, with /bin/true.
type Attack struct {
	Package
	// Behaviour says what it does, when, in a sentence.
	Behaviour string
	// WantRules are the ids of the rules of which at least one must deny.
	// Where Denied is false the rules are of modules that come later.
	WantRules []string
	// Denied is true when the shipped modules must make the verdict fail.
	Denied bool
	// Plant is true when the attack reads the file that [PlantKey] makes.
	Plant bool
	// WantRecord are the events that the evidence must hold, all of them.
	WantRecord []Record
}

// The steps that a Record names.
const (
	StepInstall = "pip-install"
	StepImport  = "pip-import"
)

// PlantKey writes what an attack may find at ~/.ssh/id_rsa: a line of text.
func PlantKey(home string) error {
	dir := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("plant a key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "id_rsa"), []byte("not a key\n"), 0o600); err != nil {
		return fmt.Errorf("plant a key: %w", err)
	}
	return nil
}

// Attacks returns the twelve attacks, one of each family.
func Attacks() []Attack {
	return append(credentialAttacks(), append(connectionAttacks(), intrusionAttacks()...)...)
}

// KeyReadAndConnect reads a key and connects in one import: the combination
// that the specification's own import_behavior module must deny twice.
func KeyReadAndConnect() Attack {
	a := importing("testpkg-attack-key-connect",
		"at import, reads ~/.ssh/id_rsa and connects to 127.0.0.1:9",
		readKey+connectTo("AF_INET", "127.0.0.1"),
		keyRecord(StepImport, evidence.RoleImportHarness), connection("connect", "AF_INET", "127.0.0.1"))
	a.WantRules = []string{"IMPORT_CRED_ACCESS", "IMPORT_NEW_CONNECTION"}
	a.Plant = true
	return a
}

// readKey is Python that reads the key where there is one.
const readKey = `import os

try:
    with open(os.path.expanduser("~/.ssh/id_rsa"), "rb") as f:
        f.read()
except OSError:
    pass
`

func credentialAttacks() []Attack {
	keyRead := importing("testpkg-attack-key",
		"at import, reads ~/.ssh/id_rsa",
		readKey, keyRecord(StepImport, evidence.RoleImportHarness))
	keyRead.WantRules, keyRead.Plant = []string{"IMPORT_CRED_ACCESS"}, true

	aliased := importing("testpkg-attack-key-alias",
		"at import, reads ~/.ssh/id_rsa by a path relative to a directory descriptor, through a symbolic link",
		`import os
import tempfile

with tempfile.TemporaryDirectory() as scratch:
    os.symlink(os.path.expanduser("~"), os.path.join(scratch, "notes"))
    directory = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    try:
        key = os.open("notes/.ssh/../.ssh/id_rsa", os.O_RDONLY, dir_fd=directory)
        os.read(key, 4096)
        os.close(key)
    except OSError:
        pass
    os.close(directory)
`, keyRecord(StepImport, evidence.RoleImportHarness))
	aliased.WantRules, aliased.Plant = []string{"IMPORT_CRED_ACCESS"}, true

	missing := importing("testpkg-attack-missing",
		"at import, tries to read ~/.config/doctl/config.yaml, which does not exist",
		`import os

try:
    open(os.path.expanduser("~/.config/doctl/config.yaml"), "rb").close()
except FileNotFoundError:
    pass
`, Record{
			Step: StepImport, Role: evidence.RoleImportHarness, Op: OpOpen,
			Path: "$HOME/.config/doctl/config.yaml", Errno: "ENOENT",
		})
	missing.WantRules = []string{"IMPORT_CRED_ACCESS"}

	backend := building("testpkg-attack-backend",
		"while its wheel is built, reads ~/.ssh/id_rsa in the build backend",
		readKey, keyRecord(StepInstall, evidence.RoleBuildChild))
	backend.WantRules, backend.Denied, backend.Plant = []string{"CRED_SSH_KEY"}, true, true
	return []Attack{keyRead, aliased, missing, backend}
}

func connectionAttacks() []Attack {
	attacks := []Attack{
		importing("testpkg-attack-connect", "at import, connects to 127.0.0.1:9 by TCP",
			connectTo("AF_INET", "127.0.0.1"), connection("connect", "AF_INET", "127.0.0.1")),
		importing("testpkg-attack-udp", "at import, sends a datagram to 127.0.0.1:9 without connecting",
			`import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.sendto(b"testpkg", ("127.0.0.1", 9))
`, connection("sendto", "AF_INET", "127.0.0.1")),
		importing("testpkg-attack-ipv6", "at import, connects to [::1]:9 by TCP",
			connectTo("AF_INET6", "::1"), connection("connect", "AF_INET6", "::1")),
	}
	for i := range attacks {
		attacks[i].WantRules = []string{"IMPORT_NEW_CONNECTION"}
	}
	return attacks
}

func intrusionAttacks() []Attack {
	pth := carrying("testpkg-attack-pth",
		"installs a .pth file with a line that every later start of the interpreter runs", "",
		map[string]string{
			"testpkg_attack_pth.pth": "import os; os.environ.setdefault('TESTPKG_ATTACK_PTH', '1')\n",
		},
		Record{
			Step: StepInstall, Role: evidence.RoleInstaller, Op: OpWrite,
			Path: "$SITE/testpkg_attack_pth.pth",
		})
	pth.WantRules = []string{"PTH_EXEC_LINE"}

	child := importing("testpkg-attack-child", "at import, runs /bin/true",
		"import subprocess\n\nsubprocess.run([\"/bin/true\"], check=False)\n",
		Record{Step: StepImport, Role: evidence.RolePackageCode, Op: OpExec, Path: "true"})
	child.WantRules = []string{"IMPORT_NEW_PROCESS"}

	mutation := carrying("testpkg-attack-mutation",
		"at import, adds a module to site-packages and appends a line to one of its own files there",
		`import os

_here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(os.path.dirname(_here), "testpkg_added.py"), "w") as f:
    f.write("ADDED = True\n")
with open(os.path.join(_here, "victim.py"), "a") as f:
    f.write("# appended\n")
`,
		map[string]string{"testpkg_attack_mutation/victim.py": "ORIGINAL = True\n"},
		Record{Step: StepImport, Role: evidence.RoleImportHarness, Op: OpWrite, Path: "$SITE/testpkg_added.py"},
		Record{
			Step: StepImport, Role: evidence.RoleImportHarness, Op: OpWrite,
			Path: "$SITE/testpkg_attack_mutation/victim.py",
		})
	mutation.WantRules = []string{"IMPORT_FILE_MUTATION"}

	daemon := importing("testpkg-attack-daemon",
		"at import, starts a daemon by a double fork and setsid; it ends after a second",
		daemonSource, Record{Step: StepImport, Role: evidence.RolePackageCode, Op: OpSetsid})
	daemon.WantRules, daemon.Denied = []string{"IMPORT_DETACHED"}, false

	unit := building("testpkg-attack-unit",
		"while its wheel is built, writes a systemd user unit and starts nothing",
		unitSource, Record{
			Step: StepInstall, Role: evidence.RoleBuildChild, Op: OpWrite,
			Path: "$HOME/.config/systemd/user/testpkg.service",
		})
	unit.WantRules = []string{"PERSIST_SYSTEMD"}
	return []Attack{pth, child, mutation, daemon, unit}
}

const daemonSource = `import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    time.sleep(1)
    os._exit(0)
os.wait()
`

const unitSource = `import os

_units = os.path.expanduser("~/.config/systemd/user")
os.makedirs(_units, exist_ok=True)
with open(os.path.join(_units, "testpkg.service"), "w") as f:
    f.write("[Service]\nType=oneshot\nExecStart=/bin/true\n")
`

// importing describes a wheel whose one module is source, denied at import.
func importing(name, behaviour, source string, records ...Record) Attack {
	return carrying(name, behaviour, source, nil, records...)
}

// carrying is importing with further files below site-packages.
func carrying(name, behaviour, source string, files map[string]string, records ...Record) Attack {
	mod := escapeName(name)
	w := Wheel{Name: name, Version: version, Files: module(mod, source)}
	maps.Copy(w.Files, files)
	return Attack{
		Package: wheelPackage(behaviour, w, mod), Behaviour: behaviour, Denied: true, WantRecord: records,
	}
}

// building describes an sdist whose build backend runs source.
func building(name, behaviour, source string, records ...Record) Attack {
	mod := escapeName(name)
	t := InTree{Wheel: Wheel{Name: name, Version: version, Files: module(mod, "")}, Hook: source}
	return Attack{Package: inTreePackage(behaviour, t, mod), Behaviour: behaviour, WantRecord: records}
}

func keyRecord(step string, role evidence.Role) Record {
	return Record{Step: step, Role: role, Op: OpOpen, Path: "$HOME/.ssh/id_rsa", OrMissing: true}
}

// connection is the record of a call with the discard port of address.
func connection(call, family, address string) Record {
	return Record{
		Step: StepImport, Role: evidence.RoleImportHarness, Op: OpConnection,
		Syscall: call, Family: family, Address: address, Port: 9,
	}
}

// connectTo is Python that connects to the discard port, where nobody listens.
func connectTo(family, address string) string {
	return fmt.Sprintf(`import socket

try:
    with socket.socket(socket.%s, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect((%q, 9))
except OSError:
    pass
`, family, address)
}
