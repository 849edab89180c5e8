package pip_witness.import_behavior_test

import data.pip_witness.import_behavior
import data.pip_witness.lib.fixture

import rego.v1

_all(input_more, processes) := found if {
	# regal ignore:with-outside-test-context
	messages := import_behavior.deny with input as object.union(fixture.imported(processes), input_more)
	found := fixture.findings(messages)
}

# What the module says itself, without what it carries.
_with(input_more, processes) := {finding |
	some finding in _all(input_more, processes)
	contains(finding, ":IMPORT_")
}

_import(more) := _with({}, [fixture.harness(more)])

_children(children) := _with({}, array.concat([fixture.harness({})], children))

_child(program, args) := fixture.process("package-code", {"program": program, "execs": fixture.ran(program, args)})

_running(program, args) := _children([_child(program, args)])

_writing(path) := _import({"fileOps": {"writes": [{"path": path}]}})

_changed(path, change) := _with({"changes": [{"path": path, "change": change}]}, [fixture.harness({})])

# Nothing but what is kept for the record.
_quiet(more) if {
	every finding in _all({}, [fixture.harness(more)]) {
		startswith(finding, "LOW:")
	}
}

_connecting(connections) := _import({"network": {"connections": connections}})

_site(name) := sprintf("%s/%s", [fixture.site, name])

# What the survey of popular packages saw at a bare import.
test_quiet_import if {
	_quiet({
		"openedfiles": {
			_site("anthropic/types/beta_settings_history.py"): {"sha256": "aa"},
			_site("kubernetes/config/kube_config.py"): {"sha256": "aa"},
			"/opt/python/lib/python3.11/os.py": {"sha256": "aa"},
			"/proc/2/cgroup": {"sha256": "aa"},
			"/.dockerenv": {},
		},
		"network": {"connections": [
			{"syscall": "bind", "family": "AF_INET6", "address": "::1", "port": 0, "type": "SOCK_STREAM", "fd": 3},
			{"syscall": "connect", "family": "AF_UNIX", "address": "/var/run/nscd/socket"},
			{"syscall": "sendto", "family": "AF_NETLINK", "address": "0"},
			fixture.datagram("connect", "127.0.0.53", 53),
		]},
		"syscallEvents": [
			{"syscall": "prctl", "detail": "PR_SET_NAME", "args": [15, 1]},
			{"syscall": "prctl", "detail": "PR_SET_VMA", "args": [1398164801, 0]},
			{"syscall": "memfd_create", "detail": "", "args": [1]},
			{"syscall": "mmap", "detail": "", "args": [0, 4096, 5]},
		],
		"fileOps": {
			"writes": [
				{"path": _site("demo/__pycache__/x.cpython-311.pyc.139000")},
				{"path": "/tmp/abcd1234"},
				{"path": "/tmp/.ses"},
				{"path": "/dev/shm/sem.mp-x"},
				{"path": "/dev/null"},
				{"path": "/proc/2/comm"},
				{"path": "/memfd:ddtrace"},
				{"path": "pipe:[1]"},
				{"path": "/root/.cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db"},
				{"path": "/var/cache/fontconfig/x"},
				{"path": "/root/.config/matplotlib/matplotlibrc"},
			],
			"renames": [{
				"oldPath": _site("demo/__pycache__/x.cpython-311.pyc.139000"),
				"newPath": _site("demo/__pycache__/x.cpython-311.pyc"),
			}],
			"deletes": [{"path": "/tmp/abcd1234"}],
		},
	})
	_changed(_site("demo/__pycache__"), "created") == set()
	_changed(_site("demo/__pycache__/x.cpython-311.pyc"), "created") == set()
	_changed("/root/.config", "created") == set()
}

_executing(attempt) := _children([fixture.process("package-code", {"execs": [attempt]})])

test_quiet_programs if {
	_running("/sbin/ldconfig", ["-p"]) == set()
	_running("/usr/bin/uname", ["-p"]) == set()
	_running("/usr/bin/git", ["version"]) == set()
	_running("/usr/bin/x86_64-linux-gnu-ld.bfd", ["-t", "-o", "/dev/null", "-lfoo"]) == set()
	_executing({"program": "/bin/busybox", "argv": ["uname", "-m"]}) == set()
	_running(fixture.python, ["-s", "-c", "from multiprocessing.resource_tracker import main;main(5)"]) == set()
	_executing({"program": "/usr/bin/x", "argv": ["x"], "errno": "ENOENT"}) == set()
	_children([
		object.union(_child("/usr/bin/gcc", ["-Wl,-t", "-o", "/tmp/x", "-lfoo"]), {"processid": 30}),
		object.union(_child("/usr/lib/gcc/collect2", ["-plugin", "x"]), {"processid": 31, "parentpid": 30}),
		object.union(_child("/usr/bin/ld", ["-plugin", "x"]), {"processid": 33, "parentpid": 31}),
		fixture.process("package-code", {"processid": 32, "parentpid": 30}),
	]) == set()
}

test_connections if {
	_connecting([fixture.connection("127.0.0.1", 9)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.connection("::1", 9)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.datagram("sendto", "127.0.0.1", 9)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.datagram("sendmmsg", "198.51.100.10", 9999)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.datagram("sendto", "198.51.100.53", 53)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.datagram("connect", "198.51.100.10", 9999)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.datagram("connect", "8.8.8.8", 80)]) == {"MEDIUM:IMPORT_NEW_CONNECTION"}
	_connecting([fixture.connection("127.0.0.1", 40123)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
}

# An exception of the policy is for a distribution that was asked for.
test_asked_for if {
	evidence := object.union(
		fixture.imported([fixture.harness({"network": {"connections": [fixture.connection("127.0.0.1", 8126)]}})]),
		{"steps": {"pip-install": {"pip-install": {"packages": [
			{"name": "ddtrace", "requested": true},
			{"name": "other", "requested": true},
			{"name": "wrapt", "requested": false},
		]}}}},
	)
	messages := import_behavior.deny with input as evidence
	some message in messages
	startswith(message, "CRITICAL:IMPORT_NEW_CONNECTION: 127.0.0.1:8126 contacted by the import-harness process ")
	contains(message, ", importing ddtrace and other; an import needs no network")
	not contains(message, "wrapt")
}

# Everything that the behavioural modules say of an import is said here too.
test_carried if {
	stealing := fixture.harness({
		"openedfiles": {"/root/.ssh/id_rsa": {"sha256": "aa"}},
		"network": {"connections": [fixture.connection("198.51.100.10", 4444)]},
		"fileOps": {"writes": [
			{"path": "/root/.bashrc"},
			{"path": _site("x.pth")},
			{"path": "/root/.openclaw/skills/x/SKILL.md"},
		]},
	})
	found := _all({}, [stealing])
	{
		"CRITICAL:CRED_SSH_KEY", "CRITICAL:NET_RAW_IP", "HIGH:NET_SUSPICIOUS_PORT", "CRITICAL:PERSIST_SHELL_RC",
		"CRITICAL:PTH_WRITE_OUTSIDE_PIP", "CRITICAL:IMPORT_PERSISTENCE", "CRITICAL:IMPORT_PTH_WRITE",
	} - found == set()
	families := {split(split(finding, ":")[1], "_")[0] | some finding in found}
	{"SEQ", "CRED", "NET", "PERSIST", "PTH", "OPENCLAW", "IMPORT"} - families == set()
	not "HIGH:NET_NONPIP_PROCESS_CONNECT" in found
	blind := {"coverage": {"trapped": []}, "processes": []}
	said := {split(reason, ":")[0] | some reason in import_behavior.not_evaluated with input as blind}
	{"NET_RAW_IP", "CRED_SWEEP", "PTH_CHILD_SPAWN"} - said == set()
}

# Published names and what programs do are carried too.
test_carried_programs_and_campaigns if {
	asking := fixture.harness({"network": {"dnsLookups": [{"serverPort": 53, "query": "models.litellm.cloud"}]}})
	mining := object.union(_child("/tmp/xmrig", ["--donate-level", "1"]), {"processid": 30})
	reaching := fixture.process("package-code", {
		"processid": 31,
		"openedfiles": {"/proc/1/root/etc/shadow": {"sha256": "aa"}},
	})
	families := {split(split(finding, ":")[1], "_")[0] | some finding in _all({}, [asking, mining, reaching])}
	{"TEAMPCP", "EXEC", "ESC"} - families == set()
}

test_tunnel if {
	hexadecimal := [{"query": sprintf("0123456789abcdef0123456789abcdef%d.t.example.com", [i])} | some i in [1, 2, 3]]
	_import({"network": {"dnsLookups": hexadecimal}}) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	_import({"network": {"dnsLookups": [{"query": "a.example.com"}, {"serverPort": 53}]}}) == set()
}

test_contacted_at_installation_too if {
	evidence := object.union(
		fixture.imported([fixture.harness({"network": {"connections": [fixture.connection("198.51.100.10", 443)]}})]),
		{"steps": {"pip-install": {"command-run": {"processes": [
			fixture.installer,
			fixture.process("build-child", {"network": {"connections": [fixture.connection("198.51.100.10", 443)]}}),
		]}}}},
	)
	messages := import_behavior.deny with input as evidence
	some message in messages
	contains(message, "as a process other than the installer did before")
}

test_credentials if {
	_import({"openedfiles": {"/root/.ssh/id_rsa": {"sha256": "aa"}}}) == {"CRITICAL:IMPORT_CRED_ACCESS"}
	_import({"openedfiles": {"/root/.aws/credentials": {}}}) == {"CRITICAL:IMPORT_CRED_ACCESS"}
	_import({"openedfiles": {"/root/.ssh/known_hosts": {}}}) == {"LOW:IMPORT_CRED_ACCESS"}
	"CRITICAL:IMPORT_ENV_HARVEST" in _import({"openedfiles": {"/proc/1/environ": {}}})
	_import({"openedfiles": {"/proc/2/environ": {}}}) == {"MEDIUM:IMPORT_ENV_HARVEST"}
}

test_programs if {
	_running("/usr/bin/true", []) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/usr/bin/git", ["clone", "x"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running(fixture.python, ["-c", "import os"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/root/venv/bin/demo", []) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/root/venv/bin/uname", ["-p"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_children([fixture.process("package-code", {})]) == {"MEDIUM:IMPORT_NEW_PROCESS"}
}

test_compilers if {
	_running("/usr/bin/gcc-12", ["-shared", "/root/.cache/demo/k.c", "-o", "/root/.cache/demo/k.so"]) == _compiled
	_running("/usr/bin/x86_64-linux-gnu-as", ["--64", "-o", "/tmp/a.o", "/tmp/a.s"]) == _compiled
	_running("/usr/bin/gcc", ["k.c"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/usr/bin/gcc", ["k.c", "-o", "/root/.local/bin/k"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/usr/bin/gcc", ["k.c", "-o", "/tmp/../root/k"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	_running("/root/venv/bin/gcc", ["k.c", "-o", "/tmp/k"]) == {"HIGH:IMPORT_NEW_PROCESS"}
}

_compiled := {"MEDIUM:IMPORT_NEW_PROCESS"}

test_program_of_the_installation if {
	evidence := object.union(
		fixture.imported([fixture.harness({}), _child("/usr/bin/true", [])]),
		{"steps": {"pip-install": {"command-run": {"processes": [{"program": "/usr/bin/true"}]}}}},
	)
	messages := import_behavior.deny with input as evidence
	some message in messages
	contains(message, "as the installation did")
}

test_system_calls if {
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "ptrace", "args": [16, 1]}])
	"MEDIUM:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "ptrace", "args": [0]}])
	"MEDIUM:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "ptrace", "detail": "attach"}])
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "mount", "count": 3}])
	"MEDIUM:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "prctl", "args": [4, 0]}])
}

test_memory_of_its_own if {
	_events([{"syscall": "process_vm_readv", "args": [2]}, {"syscall": "process_vm_writev", "args": [2]}]) == set()
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "process_vm_readv", "args": [1]}])
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _events([{"syscall": "process_vm_writev", "args": [3]}])
}

test_detached if {
	sleeping := object.union(_child("/bin/sh", ["-c", "sleep 9"]), {"processid": 30})
	leaving := object.union(sleeping, {"syscallEvents": [{"syscall": "setsid"}]})
	"IMPORT_DETACHED" in {split(finding, ":")[1] | some finding in _children([leaving])}
	not "IMPORT_DETACHED" in {split(finding, ":")[1] | some finding in _children([sleeping])}
}

_events(events) := _import({"syscallEvents": events})

test_program_in_memory if {
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _running("/memfd:x", [])
	not "CRITICAL:IMPORT_SYSCALL_EVENTS" in _running("/usr/bin/uname", ["-p"])
}

_operating(kind, operation) := _import({"fileOps": {kind: [operation]}})

_mutating(input_more, processes) := {finding |
	some finding in _with(input_more, processes)
	contains(finding, "IMPORT_FILE_MUTATION")
}

_written(path) := _mutating({}, [fixture.harness({"fileOps": {"writes": [{"path": path}]}})])

_altered(path, change) := _mutating({"changes": [{"path": path, "change": change}]}, [fixture.harness({})])

_operated(kind, operation) := _mutating({}, [fixture.harness({"fileOps": {kind: [operation]}})])

test_mutations if {
	_written(_site("other/__init__.py")) == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_altered(_site("other/__init__.py"), "modified") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_altered(_site("other/__pycache__/x.cpython-311.pyc"), "modified") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_altered(_site("other/__pycache__/x.cpython-311.pyc"), "deleted") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_written("/root/venv/bin/python") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_written("/opt/python/lib/python3.11/os.py") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_altered("/root/venv/pyvenv.cfg", "mode") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_written("/root/venv/share/x") == {"HIGH:IMPORT_FILE_MUTATION"}
	_written("/root/project/x") == {"HIGH:IMPORT_FILE_MUTATION"}
	_written("/dev/shm/x") == {"MEDIUM:IMPORT_FILE_MUTATION"}
	_operated("permChanges", {"path": "/root/x", "mode": "0777"}) == {"HIGH:IMPORT_FILE_MUTATION"}
	_operated("links", {"path": "/root/y", "target": "/etc"}) == {"HIGH:IMPORT_FILE_MUTATION"}
	_operated("deletes", {"path": "/root/x", "errno": "ENOENT"}) == set()
	twice := fixture.harness({"fileOps": {"writes": [{"path": "/root/x"}]}})
	_mutating({"changes": [{"path": "/root/x", "change": "created"}]}, [twice]) == {"HIGH:IMPORT_FILE_MUTATION"}
}

test_persistence if {
	_writing("/root/.config/systemd/user/x.service") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
	_writing("/etc/cron.d/x") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
	_changed("/root/.bashrc", "modified") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
}

test_startup_files if {
	wanted := {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PTH_WRITE"}
	wanted - _writing(_site("x.pth")) == set()
	wanted - _writing("/srv/ann/.local/lib/python3.11/site-packages/x.pth") == set()
	not "CRITICAL:IMPORT_PTH_WRITE" in _writing(_site("x.py"))
}

test_temporary_programs if {
	_running("/tmp/x", []) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running(fixture.python, ["/tmp/x.pyz"]) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running("/bin/sh", ["-e", "/tmp/x"]) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running("/usr/bin/gcc", ["/tmp/x.c"]) == {"HIGH:IMPORT_NEW_PROCESS"}
	"CRITICAL:IMPORT_EXEC_TMP" in _running("bin/x", [])
}

# Below a layer the host's own programs are trusted, and what was put there is not.
test_exec_of_what_was_put_into_a_host_directory if {
	put := {"fileOps": {"writes": [{"path": "/usr/lib/x"}]}}
	found := _with({}, [fixture.harness(put), _child("/usr/lib/x", [])])
	{"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP", "HIGH:IMPORT_FILE_MUTATION"} - found == set()
	moved := {"fileOps": {"renames": [{"oldPath": "/tmp/x", "newPath": "/usr/bin/uname"}]}}
	"CRITICAL:IMPORT_EXEC_TMP" in _with({}, [fixture.harness(moved), _child("/usr/bin/uname", ["-p"])])
	kept := {"changes": [{"path": "/usr/bin/uname", "change": "modified"}]}
	"CRITICAL:IMPORT_EXEC_TMP" in _with(kept, [fixture.harness({}), _child("/usr/bin/uname", ["-p"])])
	not "CRITICAL:IMPORT_EXEC_TMP" in _running("/usr/lib/x", [])
}

test_metadata_service if {
	_connecting([fixture.connection("169.254.169.254", 80)]) == {
		"CRITICAL:IMPORT_NEW_CONNECTION",
		"CRITICAL:IMPORT_IMDS",
	}
}

test_server if {
	_connecting([object.union(fixture.connection("0.0.0.0", 31337), {"syscall": "bind"})]) == {"HIGH:IMPORT_LISTEN"}
}

test_escape if {
	_connecting([{"syscall": "connect", "family": "AF_UNIX", "address": "/run/docker.sock"}]) == {"CRITICAL:IMPORT_ESCAPE"}
	_import({"openedfiles": {"/proc/1/root/etc/shadow": {"sha256": "aa"}}}) == {"CRITICAL:IMPORT_ESCAPE"}
	refused := {"path": "/proc/sys/kernel/core_pattern", "mode": "write", "errno": "EACCES"}
	_operating("opens", refused) == {"CRITICAL:IMPORT_ESCAPE"}
}

_tree(step, mapping) := _with(
	{"steps": {"pip-install": {"product": step}}, "omnitrail": {"Envelope": {"mapping": mapping}}},
	[fixture.harness({})],
)

test_tree if {
	_tree({}, {}) == set()
	_tree({}, {_site("demo/__init__.py"): {"type": "file", "sha256": "bb"}}) == {"CRITICAL:IMPORT_TREE_BINDING"}
	_tree({}, {_site("demo/added.py"): {"type": "file", "sha256": "bb"}}) == {"CRITICAL:IMPORT_TREE_BINDING"}
	_tree({}, {"/root/venv/pyvenv.cfg": {"type": "file", "sha256": "bb"}}) == {"CRITICAL:IMPORT_TREE_BINDING"}
	_tree({_site("demo/gone.py"): {"digest": {"sha256": "bb"}}}, {}) == {"CRITICAL:IMPORT_TREE_BINDING"}
	_tree({"/root/other": {"digest": {"sha256": "bb"}}}, {"/root/new": {"type": "file", "sha256": "bb"}}) == set()
}

test_not_evaluated if {
	whole := import_behavior.not_evaluated with input as fixture.imported([fixture.harness({})])
	every reason in whole {
		not startswith(reason, "IMPORT_")
	}
	bare := import_behavior.not_evaluated with input as {"processes": [], "coverage": {"trapped": fixture.trapped}}
	{reason | some reason in bare; startswith(reason, "IMPORT_")} == {
		"IMPORT_FILE_MUTATION: the tree after the import is not in the evidence",
		"IMPORT_TREE_BINDING: the evidence lacks product or an omnitrail of the environment",
	}
	blind := {"coverage": {"trapped": []}}
	"IMPORT_LISTEN: not observed: bind, listen" in import_behavior.not_evaluated with input as blind
}

test_canary_leak if {
	sent := {"flows": [{"protocol": "tcp", "address": "198.51.100.10", "port": 443, "canaries": ["/root/.pypirc"]}]}
	"CRITICAL:IMPORT_CANARY_LEAK" in _import({"network": sent})
	quiet := {"flows": [{"protocol": "tcp", "address": "198.51.100.10", "port": 443}]}
	not "CRITICAL:IMPORT_CANARY_LEAK" in _import({"network": quiet})
}

test_failed_import if {
	results := [
		{"module": "good", "environment": "plain", "ok": true},
		{"module": "bad", "environment": "plain", "ok": false, "error": "ImportError: no libx"},
	]
	_with({"imports": results}, [fixture.harness({})]) == {"LOW:IMPORT_FAILED"}
	count(_with({"imports": [results[0]]}, [fixture.harness({})])) == 0
}
