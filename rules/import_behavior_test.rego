package pip_witness.import_behavior_test

import data.pip_witness.import_behavior
import data.pip_witness.lib.fixture

import rego.v1

_with(input_more, processes) := found if {
	# regal ignore:with-outside-test-context
	messages := import_behavior.deny with input as object.union(fixture.imported(processes), input_more)
	found := fixture.findings(messages)
}

_import(more) := _with({}, [fixture.harness(more)])

_children(children) := _with({}, array.concat([fixture.harness({})], children))

_child(program, args) := fixture.process("package-code", {"program": program, "execs": fixture.ran(program, args)})

_running(program, args) := _children([_child(program, args)])

_writing(path) := _import({"fileOps": {"writes": [{"path": path}]}})

_changed(path, change) := _with({"changes": [{"path": path, "change": change}]}, [fixture.harness({})])

_connecting(connections) := _import({"network": {"connections": connections}})

_site(name) := sprintf("%s/%s", [fixture.site, name])

# What the survey of popular packages saw at a bare import.
test_quiet_import if {
	_import({
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
	}) == set()
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

# A telemetry agent of a known distribution, only where that is installed.
test_known_connection if {
	_connecting([fixture.connection("127.0.0.1", 8126)]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	installed := {"steps": {"pip-install": {"pip-install": {"packages": [{"name": "ddtrace"}]}}}}
	importing := fixture.harness({"network": {"connections": [fixture.connection("127.0.0.1", 8126)]}})
	_with(installed, [importing]) == {"MEDIUM:IMPORT_NEW_CONNECTION"}
}

test_known_host if {
	fetching := fixture.harness({"network": {"connections": [object.union(
		fixture.connection("198.18.0.1", 443),
		{"hostname": "raw.githubusercontent.com"},
	)]}})
	_with({}, [fetching]) == {"CRITICAL:IMPORT_NEW_CONNECTION"}
	installed := {"steps": {"pip-install": {"pip-install": {"packages": [{"name": "litellm"}]}}}}
	_with(installed, [fetching]) == {"MEDIUM:IMPORT_NEW_CONNECTION"}
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
	_import({"openedfiles": {"/proc/1/environ": {}}}) == {"CRITICAL:IMPORT_ENV_HARVEST"}
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
	_events([{"syscall": "ptrace", "args": [16, 1]}]) == {"CRITICAL:IMPORT_SYSCALL_EVENTS"}
	_events([{"syscall": "ptrace", "args": [0]}]) == {"MEDIUM:IMPORT_SYSCALL_EVENTS"}
	_events([{"syscall": "ptrace", "detail": "attach"}]) == {"MEDIUM:IMPORT_SYSCALL_EVENTS"}
	_events([{"syscall": "mount", "count": 3}]) == {"CRITICAL:IMPORT_SYSCALL_EVENTS"}
	_events([{"syscall": "prctl", "args": [4, 0]}]) == {"MEDIUM:IMPORT_SYSCALL_EVENTS"}
	_events([{"syscall": "setsid"}]) == {"HIGH:IMPORT_DETACHED"}
}

_events(events) := _import({"syscallEvents": events})

test_program_in_memory if {
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _running("/memfd:x", [])
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _running("memfd:x", [])
	"CRITICAL:IMPORT_SYSCALL_EVENTS" in _running("/proc/2/fd/7", [])
}

_operating(kind, operation) := _import({"fileOps": {kind: [operation]}})

test_mutations if {
	_writing(_site("other/__init__.py")) == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_changed(_site("other/__init__.py"), "modified") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_changed(_site("other/__pycache__/x.cpython-311.pyc"), "modified") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_changed(_site("other/__pycache__/x.cpython-311.pyc"), "deleted") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_writing("/root/venv/bin/python") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_writing("/opt/python/lib/python3.11/os.py") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_changed("/root/venv/pyvenv.cfg", "mode") == {"CRITICAL:IMPORT_FILE_MUTATION"}
	_writing("/root/venv/share/x") == {"HIGH:IMPORT_FILE_MUTATION"}
	_writing("/root/project/x") == {"HIGH:IMPORT_FILE_MUTATION"}
	_writing("/dev/shm/x") == {"MEDIUM:IMPORT_FILE_MUTATION"}
	_operating("permChanges", {"path": "/root/x", "mode": "0777"}) == {"HIGH:IMPORT_FILE_MUTATION"}
	_operating("links", {"path": "/root/y", "target": "/etc"}) == {"HIGH:IMPORT_FILE_MUTATION"}
	_operating("deletes", {"path": "/root/x", "errno": "ENOENT"}) == set()
	twice := fixture.harness({"fileOps": {"writes": [{"path": "/root/x"}]}})
	_with({"changes": [{"path": "/root/x", "change": "created"}]}, [twice]) == {"HIGH:IMPORT_FILE_MUTATION"}
}

test_persistence if {
	_writing("/root/.config/systemd/user/x.service") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
	_writing("/etc/cron.d/x") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
	_changed("/root/.bashrc", "modified") == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PERSISTENCE"}
}

test_startup_files if {
	_writing(_site("x.pth")) == {"CRITICAL:IMPORT_FILE_MUTATION", "CRITICAL:IMPORT_PTH_WRITE"}
	_writing("/srv/ann/.local/lib/python3.11/site-packages/x.pth") == {
		"CRITICAL:IMPORT_FILE_MUTATION",
		"CRITICAL:IMPORT_PTH_WRITE",
	}
}

test_temporary_programs if {
	_running("/tmp/x", []) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running(fixture.python, ["/tmp/x.pyz"]) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running("/bin/sh", ["-e", "/tmp/x"]) == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP"}
	_running("/usr/bin/gcc", ["/tmp/x.c"]) == {"HIGH:IMPORT_NEW_PROCESS"}
}

# Below a layer the host's own programs are trusted, and what was put there is not.
test_exec_of_what_was_put_into_a_host_directory if {
	put := {"fileOps": {"writes": [{"path": "/usr/lib/x"}]}}
	found := _with({}, [fixture.harness(put), _child("/usr/lib/x", [])])
	found == {"HIGH:IMPORT_NEW_PROCESS", "CRITICAL:IMPORT_EXEC_TMP", "HIGH:IMPORT_FILE_MUTATION"}
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
	count(import_behavior.not_evaluated) == 0 with input as fixture.imported([fixture.harness({})])
	bare := import_behavior.not_evaluated with input as {"processes": [], "coverage": {"trapped": fixture.trapped}}
	bare == {
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
