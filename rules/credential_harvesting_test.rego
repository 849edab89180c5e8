package pip_witness.credential_harvesting_test

import data.pip_witness.credential_harvesting
import data.pip_witness.lib.fixture

import rego.v1

_found(processes) := found if {
	# regal ignore:with-outside-test-context
	messages := credential_harvesting.deny with input as fixture.install(processes)
	found := fixture.findings(messages)
}

_opening(role, paths) := [fixture.process(role, {"openedfiles": {path: {"sha256": "aa"} | some path in paths}})]

_build(path) := _found(_opening("build-child", [path]))

_running(program, args) := _ran_by("build-child", program, args)

_ran_by(role, program, args) := _found([fixture.process(
	role,
	{"program": program, "parentpid": 8, "execs": fixture.ran(program, args)},
)])

_calling(event) := _found([fixture.process("package-code", {"syscallEvents": [event]})])

_attempting(paths) := _found([fixture.process("build-child", {"openedfiles": {path: {} | some path in paths}})])

_without_sandbox(opened) := {"processes": [{
	"processid": 3,
	"parentpid": 1,
	"program": "/usr/bin/python3",
	"cmdline": "python3 x.py",
	"openedfiles": opened,
}]}

test_quiet_installer if {
	_found([]) == set()
}

test_quiet_build if {
	_found(_opening("build-child", [
		"/etc/passwd",
		"/etc/ssl/certs/ca-certificates.crt",
		"/root/.cache/pip/http/a.key",
		"/root/.cargo/config.toml",
		"/root/.rustup/settings.toml",
		"/root/project/setup.py",
		"/root/venv/lib/python3.11/site-packages/docker/credentials/store.py",
		"/root/venv/lib/python3.11/site-packages/tests/.aws/credentials",
		"/root/venv/lib/python3.11/site-packages/certifi/.env",
		"/root/venv/share/x.jks",
		"/opt/python/lib/python3.11/test/.env",
		"/home/user/project/kube/config",
		"/tmp/pip-req-build-x/.env",
		"/tmp/pip-install-x/tests/cert.p12",
		"/tmp/tmpabc/.env",
		"/usr/share/doc/x.p12",
		"/proc/9/maps",
		"/proc/cpuinfo",
		"/dev/null",
	])) == set()
}

# The installer and git may read what they are there for; a copy of git may not.
test_quiet_readers if {
	_found(_opening("installer", ["/root/.netrc", "/root/.gitconfig"])) == set()
	git := {
		"program": "/usr/bin/git",
		"openedfiles": {"/root/.gitconfig": {"sha256": "aa"}, "/root/.config/git/config": {}},
	}
	_found([fixture.process("build-child", git)]) == set()
	_found([fixture.process("build-child", object.union(git, {"program": "/tmp/git"}))]) == {"MEDIUM:CRED_GIT"}
	cargo := {"program": "/root/.cargo/bin/cargo", "openedfiles": {"/root/.cargo/credentials.toml": {}}}
	_found([fixture.process("build-child", cargo)]) == set()
}

_paths := {
	"/root/.ssh/id_ed25519": "CRITICAL:CRED_SSH_KEY",
	"/home/user/.ssh/id_rsa": "CRITICAL:CRED_SSH_KEY",
	"/etc/ssh/ssh_host_rsa_key": "CRITICAL:CRED_SSH_KEY",
	"/root/.ssh/authorized_keys": "HIGH:CRED_SSH_KEY",
	"/root/.ssh/known_hosts": "LOW:CRED_SSH_KEY",
	"/root/.aws/credentials": "CRITICAL:CRED_CLOUD",
	"/root/.aws/sso/cache/a.json": "CRITICAL:CRED_CLOUD",
	"/root/.kube/config": "CRITICAL:CRED_KUBE",
	"/run/secrets/kubernetes.io/serviceaccount/token": "CRITICAL:CRED_K8S_SA_TOKEN",
	"/root/.docker/config.json": "CRITICAL:CRED_DOCKER",
	"/run/user/1000/containers/auth.json": "CRITICAL:CRED_DOCKER",
	"/root/.pypirc": "CRITICAL:CRED_REGISTRY",
	"/root/.netrc": "CRITICAL:CRED_NETRC",
	"/root/.git-credentials": "CRITICAL:CRED_GIT",
	"/root/.gitconfig": "MEDIUM:CRED_GIT",
	"/root/.config/gh/hosts.yml": "CRITICAL:CRED_DEVTOOLS",
	"/srv/infra/main.tfstate": "HIGH:CRED_DEVTOOLS",
	"/root/.claude.json": "CRITICAL:CRED_AI_AGENT",
	"/root/.password-store/a/b.gpg": "CRITICAL:CRED_PASSWORD_MANAGER",
	"/root/documents/all.kdbx": "CRITICAL:CRED_PASSWORD_MANAGER",
	"/root/.mozilla/firefox/x.default/logins.json": "CRITICAL:CRED_BROWSER",
	"/root/.ethereum/keystore/a": "CRITICAL:CRED_CRYPTO_WALLET",
	"/root/.bash_history": "HIGH:CRED_SHELL_HISTORY",
	"/srv/app/.env": "HIGH:CRED_DOTENV",
	"/root/project/.env": "MEDIUM:CRED_DOTENV",
	"/root/.pgpass": "CRITICAL:CRED_DB_CLIENT",
	"/etc/ssl/private/server.key": "CRITICAL:CRED_TLS_PRIVATE_KEY",
	"/srv/app/server.p12": "HIGH:CRED_TLS_PRIVATE_KEY",
	"/etc/shadow": "CRITICAL:CRED_ETC_SHADOW",
	"/tmp/krb5cc_1000": "CRITICAL:CRED_ETC_SHADOW",
	"/proc/1/environ": "CRITICAL:CRED_PROC_ENVIRON",
	"/proc/9/environ": "MEDIUM:CRED_PROC_ENVIRON",
	"/proc/self/environ": "MEDIUM:CRED_PROC_ENVIRON",
	"/proc/7/mem": "CRITICAL:CRED_PROC_MEM",
	"/proc/7/maps": "HIGH:CRED_PROC_MEM",
	"/home/runner/runners/2.3/.credentials_rsaparams": "CRITICAL:CRED_CI_OIDC",
	"/root/.config/Slack/Cookies": "CRITICAL:CRED_MESSENGER",
	"/dev/input/event3": "HIGH:CRED_INPUT_CAPTURE",
	"/dev/snd/controlC0": "MEDIUM:CRED_INPUT_CAPTURE",
}

test_each_path if {
	every path, want in _paths {
		_build(path) == {want}
	}
}

# An attempt on a file that is not there is the same finding, in other words.
test_attempts if {
	attempt := [fixture.process("build-child", {"openedfiles": {"/root/.aws/credentials": {}}})]
	messages := credential_harvesting.deny with input as fixture.install(attempt)
	some message in messages
	startswith(message, "CRITICAL:CRED_CLOUD: the build-child process ")
	contains(message, " tried to open \"/root/.aws/credentials\"")
	absent := [fixture.process("build-child", {"openedfiles": {"/root/.aws/credentials": null}})]
	_found(absent) == {"CRITICAL:CRED_CLOUD"}
}

test_open_without_digest if {
	messages := credential_harvesting.deny with input as fixture.install([fixture.process("build-child", {
		"openedfiles": {"/root/.aws/credentials": {}},
		"fileOps": {"opens": [{"path": "/root/.aws/credentials", "mode": "read"}]},
	})])
	some message in messages
	contains(message, "\" opened \"")
}

test_listing if {
	_found([fixture.process("package-code", {"fileOps": {"opens": [
		{"path": "/root/.ssh", "mode": "directory"},
		{"path": "/usr/lib", "mode": "directory"},
	]}})]) == {"CRITICAL:CRED_SSH_KEY"}
}

test_two_environment_files if {
	_found(_opening("build-child", ["/root/project/.env", "/root/project/.env.local"])) == {"HIGH:CRED_DOTENV"}
}

test_own_memory if {
	_calling({"syscall": "process_vm_readv", "detail": "pid 9", "args": [9]}) == set()
	reading := fixture.process("package-code", {"syscallEvents": [{"syscall": "process_vm_readv", "args": [10]}]})
	worker := fixture.process("package-code", {"processid": 10, "parentpid": 9})
	_found([reading, worker]) == set()
	_found([reading, object.union(worker, {"parentpid": 2})]) == {"CRITICAL:CRED_PROC_MEM"}
}

test_memory if {
	_calling({"syscall": "ptrace", "detail": "", "args": [16, 7]}) == {"CRITICAL:CRED_PROC_MEM"}
	_calling({"syscall": "process_vm_readv", "detail": "", "args": [7]}) == {"CRITICAL:CRED_PROC_MEM"}
	_calling({"syscall": "ptrace", "detail": "", "args": [0]}) == set()
}

_socket(program, address) := _found([fixture.process("package-code", {
	"program": program,
	"network": {"connections": [{"syscall": "connect", "family": "AF_UNIX", "address": address}]},
})])

test_agents if {
	_socket(fixture.python, "/tmp/ssh-XXXXabc/agent.12") == {"CRITICAL:CRED_SSH_AGENT"}
	_socket(fixture.python, "/root/.gnupg/S.gpg-agent") == {"CRITICAL:CRED_SSH_AGENT"}
	_socket(fixture.python, "/run/user/1000/bus") == {"LOW:CRED_SSH_AGENT"}
	_found([fixture.process("build-child", {"syscallEvents": [{"syscall": "keyctl"}]})]) == {"MEDIUM:CRED_SSH_AGENT"}
	_socket("/usr/bin/ssh", "/tmp/ssh-XXXXabc/agent.12") == set()
	_socket("/tmp/ssh", "/tmp/ssh-XXXXabc/agent.12") == {"CRITICAL:CRED_SSH_AGENT"}
	_socket(fixture.python, "/var/run/nscd/socket") == set()
	_socket(fixture.python, "/dev/log") == set()
}

test_programs if {
	_running("/usr/bin/kubectl", ["get", "secrets", "-A", "-o", "json"]) == {"CRITICAL:CRED_CLI_DUMP"}
	_running("/usr/bin/gh", ["auth", "token"]) == {"CRITICAL:CRED_CLI_DUMP"}
	_running("/usr/bin/docker-credential-pass", ["list"]) == {"CRITICAL:CRED_CLI_DUMP"}
	_running("/bin/sh", ["-c", "printenv > /tmp/x"]) == {"HIGH:CRED_CLI_DUMP"}
	_running("/usr/bin/env", ["A=b", "make"]) == set()
	_running("/usr/bin/npm", ["config", "get", "registry"]) == set()
	_running("/usr/bin/git", ["rev-parse", "HEAD"]) == set()
	_found([fixture.process("build-child", {
		"parentpid": 8,
		"execs": [{"program": "/usr/bin/gh", "argv": ["gh", "auth", "token"], "errno": "ENOENT"}],
	})]) == {"CRITICAL:CRED_CLI_DUMP"}
	_running("/usr/bin/gitleaks", ["detect"]) == {"HIGH:CRED_SCANNER_TOOL"}
	_running("/usr/bin/grep", ["-r", "PRIVATE KEY", "/"]) == {"HIGH:CRED_SCANNER_TOOL"}
	_running("/usr/bin/grep", ["-q", "password", "configure"]) == set()
	_running("/usr/bin/xclip", ["-o"]) == {"HIGH:CRED_INPUT_CAPTURE"}
}

# The same programs, had the installer itself run them.
test_quiet_installer_programs if {
	_ran_by("installer", "/usr/bin/git", ["credential", "fill"]) == set()
}

_sweep(third) := _found(_opening("build-child", ["/root/.ssh/id_rsa", "/root/.aws/credentials", third]))

test_sweep if {
	"CRITICAL:CRED_SWEEP" in _sweep("/root/.kube/config")
	"CRITICAL:CRED_SWEEP" in _attempting(["/root/.pypirc", "/root/.npmrc", "/root/.kube/config"])
	not "CRITICAL:CRED_SWEEP" in _sweep("/root/.gitconfig")
}

# Another home directory than the usual ones, and evidence without sandbox.
test_homes if {
	elsewhere := object.union(
		fixture.install(_opening("build-child", ["/srv/people/ann/.ssh/id_rsa"])),
		{"coverage": object.union(fixture.coverage, {"sandbox": {"home": "/srv/people/ann"}})},
	)
	fixture.findings(credential_harvesting.deny) == {"CRITICAL:CRED_SSH_KEY"} with input as elsewhere
	bare := _without_sandbox({"/home/bob/.ssh/id_rsa": {"sha256": "aa"}})
	fixture.findings(credential_harvesting.deny) == {"CRITICAL:CRED_SSH_KEY"} with input as bare
	count(credential_harvesting.deny) == 0 with input as _without_sandbox(null)
}

test_not_evaluated if {
	count(credential_harvesting.not_evaluated) == 0 with input as fixture.install([])
	blind := {"coverage": {"trapped": ["openat"]}}
	"CRED_SSH_AGENT: not observed: connect" in credential_harvesting.not_evaluated with input as blind
}

# A process that goes through very many of these files is found in the other order.
test_many_paths if {
	opened := {sprintf("/root/.ssh/id_%d", [i]): {"sha256": "aa"} | some i in numbers.range(1, 600)}
	sweeping := fixture.process("build-child", {"openedfiles": opened})
	messages := credential_harvesting.deny with input as fixture.install([sweeping])
	count([m | some m in messages; startswith(m, "CRITICAL:CRED_SSH_KEY: the build-child process")]) == 100
	"CRITICAL:CRED_SSH_KEY: the same of 500 more files, peers or commands" in messages
}
