package pip_witness.openclaw_ioc_test

import data.pip_witness.lib.fixture
import data.pip_witness.openclaw_ioc

import rego.v1

_found(document) := found if {
	# regal ignore:with-outside-test-context
	messages := openclaw_ioc.deny with input as document
	found := fixture.findings(messages)
}

_code(more) := _found(fixture.install([fixture.process("package-code", more)]))

_ran(program, args) := _code({"execs": fixture.ran(program, args)})

_wrote(path) := _code({"fileOps": {"writes": [{"path": path}]}})

_harness(more) := _found(fixture.imported([fixture.harness(more)]))

test_quiet if {
	_found(fixture.install([])) == set()
	_harness({}) == set()
	_found({}) == set()
}

# A kit for the assistant has its name, its files as data, its unit as a template.
test_honest_kit if {
	site := sprintf("%s/openclaw_sdk", [fixture.site])
	_harness({
		"openedfiles": {
			sprintf("%s/__init__.py", [site]): {"sha256": "aa"},
			sprintf("%s/data/openclaw.json", [site]): {"sha256": "aa"},
			sprintf("%s/templates/systemd/user/openclaw-gateway.service", [site]): {"sha256": "aa"},
		},
		"fileOps": {"writes": [{"path": sprintf("%s/data/SOUL.md", [site])}]},
		"execs": [{"program": fixture.python, "argv": ["python", "/opt/harness.py", "openclaw", "gateway"]}],
	}) == set()
	_code({"fileOps": {"writes": [{"path": "/tmp/pip-install-x/openclaw.json"}]}}) == set()
	_ran("/usr/bin/pip", ["install", "openclaw-sdk"]) == set()
	_ran("/usr/bin/openclaw", ["--version"]) == set()
	_ran("/usr/bin/openclaw", []) == set()
}

test_install if {
	every args in [
		["install", "-g", "openclaw@latest"],
		["i", "--global", "clawdbot"],
		["exec", "moltbot", "--", "gateway"],
	] {
		_ran("/usr/bin/npm", args) == {"CRITICAL:OPENCLAW_INSTALL"}
	}
	_ran("/tmp/x/npx", ["--yes", "openclaw@latest", "onboard"]) == {"CRITICAL:OPENCLAW_INSTALL"}
	_ran("/usr/bin/node", ["/usr/lib/node_modules/npm/bin/npm-cli.js", "add", "clawhub"]) == {"CRITICAL:OPENCLAW_INSTALL"}
	_ran("/bin/sh", ["-c", "curl -fsSL https://openclaw.ai/install.sh | bash"]) == {"CRITICAL:OPENCLAW_INSTALL", "HIGH:OPENCLAW_INSTALL"}
	_ran("/usr/bin/git", ["clone", "https://github.com/openclaw/openclaw.git"]) == {"CRITICAL:OPENCLAW_INSTALL"}
	_ran("/usr/bin/env", ["openclaw", "gateway"]) == {"CRITICAL:OPENCLAW_INSTALL"}
	_code({"execs": [{"program": "/usr/bin/openclaw", "argv": ["openclaw", "pairing"], "errno": "ENOENT"}]}) == {"CRITICAL:OPENCLAW_INSTALL"}
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "clawhub.ai"}]}}) == {"HIGH:OPENCLAW_INSTALL"}
	_ran("/usr/bin/npm", ["install", "left-pad"]) == set()
}

test_servers if {
	_harness({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "socifiapp.com"}]}}) == {"CRITICAL:OPENCLAW_C2"}
	_harness({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "bore.pub"}]}}) == {"HIGH:OPENCLAW_C2"}
	_harness({"network": {"connections": [fixture.connection("91.92.242.30", 80)]}}) == {"CRITICAL:OPENCLAW_C2"}
	_harness({"network": {"connections": [fixture.connection("96.92.242.30", 80)]}}) == {"HIGH:OPENCLAW_C2"}
	_ran("/usr/bin/curl", ["https://glot.io/snippets/hfd3x9ueu5"]) == {"HIGH:OPENCLAW_C2"}
	_harness({"network": {"connections": [fixture.connection("91.92.242.31", 80)]}}) == set()
}

test_chain if {
	_code({"execs": array.concat(
		fixture.ran("/bin/sh", ["-c", "echo Y3Vyb | base64 -D | bash"]),
		fixture.ran("/usr/bin/xattr", ["-c", "/tmp/x"]),
	)}) == {"CRITICAL:OPENCLAW_AMOS_CHAIN"}
	_ran("/usr/bin/osascript", ["-e", `display dialog "x" default answer "" with hidden answer`]) == {"CRITICAL:OPENCLAW_AMOS_CHAIN"}
	_ran("/usr/bin/unzip", ["-P", "openclaw", "x.zip"]) == {"CRITICAL:OPENCLAW_AMOS_CHAIN"}
	_wrote("/root/Downloads/openclawcli.zip") == {"CRITICAL:OPENCLAW_AMOS_CHAIN"}
	_code({"writtenDigests": {"/tmp/y": {"sha256": "30f97ae88f8861eeadeb54854d47078724e52e2ef36dd847180663b7f5763168"}}}) == {"CRITICAL:OPENCLAW_AMOS_CHAIN"}
	_ran("/usr/bin/xattr", ["-c", "/tmp/x"]) == set()
	_ran("/usr/bin/base64", ["-d", "x"]) == set()
}

test_read if {
	every path in ["/root/.openclaw/openclaw.json", "/home/ann/.clawdbot/clawdbot.json", "/root/.openclaw-dev/.env", "/srv/state/openclaw.json", "/srv/a/agents/main/agent/auth-profiles.json"] {
		_harness({"openedfiles": {path: {}}}) == {"CRITICAL:OPENCLAW_CONFIG_READ"}
	}
	_harness({"fileOps": {"opens": [{"path": "/root/.openclaw", "mode": "directory", "errno": "ENOENT"}]}}) == {"CRITICAL:OPENCLAW_CONFIG_READ"}
	_harness({"openedfiles": {"/root/.config/app/config.json": {}, "/root/.openclawed/x": {}}}) == set()
	_found({"processes": [object.union(fixture.installer, {"openedfiles": {"/root/.openclaw/openclaw.json": {}}})]}) == set()
}

test_write if {
	_wrote("/root/.openclaw/openclaw.json") == {"CRITICAL:OPENCLAW_CONFIG_WRITE"}
	_code({"fileOps": {"deletes": [{"path": "/root/.moltbot/config.json5"}]}}) == {"CRITICAL:OPENCLAW_CONFIG_WRITE"}
	_wrote("/root/.config/other/openclaw") == set()
}

test_memory if {
	_wrote("/root/.openclaw/workspace/HEARTBEAT.md") == {"CRITICAL:OPENCLAW_AGENT_MEMORY"}
	_wrote("/srv/assistant/SOUL.md") == {"CRITICAL:OPENCLAW_AGENT_MEMORY"}
	_code({"fileOps": {"renames": [{"oldPath": "/tmp/x", "newPath": "/root/.openclaw/workspace-b/MEMORY.md"}]}}) == {"CRITICAL:OPENCLAW_AGENT_MEMORY"}
	_wrote("/srv/assistant/README.md") == set()
}

test_skills if {
	_wrote("/root/.openclaw/skills/a/SKILL.md") == {"CRITICAL:OPENCLAW_SKILL_DROP"}
	_code({"fileOps": {"links": [{"path": "/root/.openclaw/workspace/skills/a", "target": "/x", "symbolic": true}]}}) == {"CRITICAL:OPENCLAW_SKILL_DROP"}
	_wrote("/root/.openclaw/skills/a/SOUL.md") == {"CRITICAL:OPENCLAW_SKILL_DROP"}
	_wrote("/root/skills/a/SKILL.md") == set()
}

test_gateway if {
	_harness({"network": {"connections": [fixture.connection("127.0.0.1", 18789)]}}) == {"HIGH:OPENCLAW_GATEWAY_PORT"}
	_harness({"network": {"connections": [{"syscall": "listen", "family": "AF_INET", "address": "0.0.0.0", "port": 18791, "fd": 3}]}}) == {"HIGH:OPENCLAW_GATEWAY_PORT"}
	_harness({"network": {"connections": [fixture.connection("127.0.0.1", 8765)]}}) == set()
	_found(object.union(
		fixture.install([fixture.process("package-code", {"network": {"connections": [fixture.connection("127.0.0.1", 18789)]}})]),
		{"coverage": {"sandbox": {"gateway": "127.0.0.1:18789"}}},
	)) == set()
}

test_service if {
	_wrote("/root/.config/systemd/user/openclaw-gateway.service") == {"CRITICAL:OPENCLAW_SERVICE"}
	_ran("/usr/bin/systemctl", ["--user", "enable", "--now", "clawdbot-gateway.service"]) == {"CRITICAL:OPENCLAW_SERVICE"}
	_wrote("/root/.config/systemd/user/claw.service") == set()
}

test_ghostclaw if {
	_wrote("/root/.cache/.npm_telemetry/monitor.js") == {"CRITICAL:OPENCLAW_GHOSTCLAW_PERSIST"}
	_ran("/bin/sh", ["-c", "GHOST_PASSWORD_ONLY=1 x"]) == {"CRITICAL:OPENCLAW_GHOSTCLAW_PERSIST"}
	_code({"environ": "HOME=/root GHOST_PASSWORD_ONLY=<redacted>"}) == {"CRITICAL:OPENCLAW_GHOSTCLAW_PERSIST"}
	_code({"environ": "NOT_GHOST_PASSWORD_ONLY=1"}) == set()
}

test_package if {
	_ran("/usr/bin/npm", ["install", "@openclaw-ai/openclawai"]) == {"CRITICAL:OPENCLAW_PACKAGE"}
	_found(object.union(fixture.install([]), {"pip-install": {"packages": [{"name": "openclaw-sdk", "version": "1"}]}})) == set()
}

test_package_of_the_list if {
	messages := openclaw_ioc.deny with input as object.union(
		fixture.install([]),
		{"pip-install": {"packages": [{"name": "openclaw-x", "version": "1.0"}]}},
	)
		with data.pip_witness.indicators.compromised_releases as {"releases": [{"name": "openclaw-x", "versions": ["*"], "campaign": "openclaw", "source": "here"}]}
	fixture.findings(messages) == {"CRITICAL:OPENCLAW_PACKAGE"}
}

test_not_evaluated if {
	reasons := openclaw_ioc.not_evaluated with input as {"processes": []}
	count(reasons) == 11
	openclaw_ioc.not_evaluated == set() with input as fixture.install([])
}

# The shapes of go-witness and rookery: no roles, no attempts, no coverage.
test_other_shapes if {
	_found({"processes": [
		{"program": "/usr/bin/python3", "processid": 10, "parentpid": 1, "cmdline": "python3 -m pip install x", "openedfiles": {}},
		{"program": "/usr/bin/python3", "processid": 11, "parentpid": 10, "cmdline": "python3 setup.py", "openedfiles": {"/root/.openclaw/openclaw.json": {}}},
		{"program": "/usr/bin/npm", "processid": 12, "parentpid": 11, "cmdline": "npm i -g openclaw", "network": {"connections": [{"syscall": "connect", "family": "AF_INET", "address": "127.0.0.1", "port": 18789}]}},
	]}) == {"CRITICAL:OPENCLAW_CONFIG_READ", "CRITICAL:OPENCLAW_INSTALL", "HIGH:OPENCLAW_GATEWAY_PORT"}
}

# Values of other types than ours are no error and no finding.
test_other_types if {
	odd := [proc |
		some value in [null, 7, "x", true, [], {}, [null], [7], {"x": 7}]
		some changed in [
			{"execs": value, "environ": value, "network": value, "fileOps": value, "openedfiles": value},
			{"network": {"connections": [{"syscall": "listen", "family": "AF_INET", "address": value, "port": value}]}},
			{"execs": [{"program": value, "argv": value}, {"argv": [value]}, {"argv": []}]},
		]
		proc := object.union({"processid": 9, "role": "package-code"}, changed)
	]
	_found({"processes": odd}) == set()
}
