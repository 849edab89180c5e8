# Evidence for tests, in the form that the capture writes.
package pip_witness.lib.fixture

import rego.v1

home := "/root"

site := "/root/venv/lib/python3.11/site-packages"

python := "/opt/python/bin/python3.11"

pip := "/opt/python/lib/python3.11/site-packages/pip"

sandbox := {
	"kind": "namespaces",
	"network": "index",
	"home": home,
	"prefix": "/root/venv",
	"tempDir": "/tmp",
	"workDir": "/root/project",
	"sitePackages": [site],
	"basePrefixes": ["/opt/python"],
	"gateway": "127.0.0.1:40123",
	"readOnly": ["/", "/root/.cargo"],
	"overlaid": ["/etc", "/usr", "/var"],
	"writable": ["/root", "/tmp", "/dev/shm"],
}

trapped := [
	"bind", "bpf", "clone", "clone3", "connect", "dup3", "execve", "execveat", "fchmodat", "linkat", "listen",
	"memfd_create", "mkdirat", "mount", "openat", "openat2", "pidfd_getfd", "prctl", "process_vm_readv", "ptrace",
	"renameat2", "sendmmsg", "sendmsg", "sendto", "setns", "setsid", "socket", "symlinkat", "unlinkat",
]

coverage := {"backend": "seccomp-notify", "complete": true, "trapped": trapped, "sandbox": sandbox}

# The installer, as pip runs: itself, and itself again on the environment.
installer := {
	"program": python,
	"processid": 2,
	"parentpid": 0,
	"comm": "python3.11",
	"cmdline": "/opt/python/bin/python3.11 -m pip --python /root/venv install demo",
	"args": [python, "-m", "pip", "--python", "/root/venv", "install", "demo"],
	"role": "installer",
	"starttime": "2026-11-23T10:00:00Z",
	"execs": [{"program": python, "argv": [python, "-m", "pip"]}],
	"openedfiles": {"/etc/os-release": {"sha256": "aa"}, "/root/.netrc": {}},
	"network": {"connections": [
		connection("127.0.0.1", 40123),
		{"syscall": "connect", "family": "AF_UNIX", "address": "/var/run/nscd/socket"},
		{"syscall": "bind", "family": "AF_NETLINK", "address": "0"},
	]},
	"fileOps": {"writes": [{"path": concat("/", [site, "demo/__init__.py"])}]},
}

# process(role, more) is a process of that role with what more says.
process(role, more) := object.union(
	{
		"program": python,
		"processid": 9,
		"parentpid": 2,
		"comm": "python3.11",
		"cmdline": "",
		"args": [],
		"role": role,
		"starttime": "2026-11-23T10:00:05Z",
		"openedfiles": {},
		"network": {},
		"fileOps": {},
	},
	more,
)

# ran(program, args) is one successful exec.
ran(program, args) := [{"program": program, "argv": array.concat([program], args)}]

connection(address, port) := {
	"syscall": "connect",
	"family": _family(address),
	"address": address,
	"port": port,
	"type": "SOCK_STREAM",
	"fd": 7,
	"timestamp": "2026-11-23T10:00:06Z",
}

_family(address) := "AF_INET6" if contains(address, ":")

_family(address) := "AF_INET" if not contains(address, ":")

datagram(call, address, port) := object.union(connection(address, port), {"syscall": call, "type": "SOCK_DGRAM"})

# install(processes) is the input of an install step with these beside pip.
install(processes) := {
	"step": {"name": "pip-install"},
	"processes": array.concat([installer], processes),
	"coverage": coverage,
}

# harness is the interpreter that imports; merged with what more says.
harness(more) := object.union(
	{
		"program": python,
		"processid": 2,
		"parentpid": 0,
		"comm": "python",
		"cmdline": "/root/venv/bin/python /opt/harness.py demo",
		"args": ["/root/venv/bin/python", "/opt/harness.py", "demo"],
		"role": "import-harness",
		"starttime": "2026-11-23T10:00:00Z",
		"execs": [{"program": python, "argv": ["/root/venv/bin/python", "/opt/harness.py", "demo"]}],
		"openedfiles": {concat("/", [site, "demo/__init__.py"]): {"sha256": "aa"}},
		"network": {},
		"fileOps": {},
	},
	more,
)

# imported(processes) is the input of an import step on the tree that was installed.
imported(processes) := {
	"step": {"name": "pip-import"},
	"processes": processes,
	"coverage": coverage,
	"changes": [],
	"omnitrail": {"Envelope": {"mapping": {
		"/root/venv/pyvenv.cfg": {"type": "file", "sha256": "cc"},
		concat("/", [site, "demo/__init__.py"]): {"type": "file", "sha256": "aa"},
		"/root/venv/bin/python": {"type": "symlink", "sha256": "dd"},
		"/root/.ssh/id_rsa": {"type": "file", "sha256": "ee"},
	}}},
	"steps": {"pip-install": {
		"command-run": {"processes": [installer]},
		"pip-install": {"packages": [{"name": "demo", "version": "1.0", "installType": "wheel"}]},
		"omnitrail": {"Envelope": {"mapping": {"/root/venv/pyvenv.cfg": {"type": "file", "sha256": "cc"}}}},
		"product": {concat("/", [site, "demo/__init__.py"]): {"digest": {"sha256": "aa"}}},
	}},
}

# findings(messages) are the severities and ids of messages, as SEVERITY:ID.
findings(messages) := {concat(":", array.slice(split(message, ":"), 0, 2)) | some message in messages}
