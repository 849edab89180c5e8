package pip_witness.user_ioc_test

import data.pip_witness.lib.fixture
import data.pip_witness.user_ioc

import rego.v1

_listed := {"indicators": [
	{"kind": "host", "value": "Evil.example", "reason": "seen in \"March\""},
	{"kind": "address", "value": "192.0.2.7", "severity": "HIGH"},
	{"kind": "address", "value": "198.51.100.0/24"},
	{"kind": "address", "value": "2001:db8::/32"},
	{"kind": "path", "value": "~/.acme/token"},
	{"kind": "path", "value": "/etc/acme/**"},
	{"kind": "path", "value": "$TMP/acme-*"},
	{"kind": "path", "value": "acme.lock"},
	{"kind": "command", "value": `\bacme\b.*--steal`, "severity": "MEDIUM"},
	{"kind": "sha256", "value": "AA00"},
	{"kind": "package", "value": "Acme_Kit"},
	{"kind": "package", "value": "other == 1.0"},
]}

_messages(document) := found if {
	# regal ignore:with-outside-test-context
	found := user_ioc.deny with input as document
}

_code(more) := fixture.findings(_messages(fixture.install([fixture.process("package-code", more)])))

_installed(name, version) := fixture.findings(_messages(object.union(fixture.install([]), {"pip-install": {"packages": [{
	"name": name,
	"version": version,
}]}})))

test_nothing_listed if {
	user_ioc.deny == set() with input as fixture.install([])
	fixture.findings(_messages(fixture.install([]))) == set() with data.pip_witness.indicators.own as _listed
	fixture.findings(_messages({})) == set() with data.pip_witness.indicators.own as _listed
}

test_host if {
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "a.evil.example"}]}}) == {"CRITICAL:USER_IOC_HOST"} with data.pip_witness.indicators.own as _listed
	_code({"network": {"dnsLookups": [{"serverAddress": "198.18.0.1", "serverPort": 53, "query": "evil.example.org"}]}}) == set() with data.pip_witness.indicators.own as _listed
}

test_reason if {
	some msg in _messages(fixture.install([fixture.process("package-code", {"execs": fixture.ran("/bin/x", ["https://evil.example/"])})])) with data.pip_witness.indicators.own as _listed
	contains(msg, `was started with "evil.example"; your indicators list it: seen in \"March\"`)
}

test_address if {
	_code({"network": {"connections": [fixture.connection("192.0.2.7", 1)]}}) == {"HIGH:USER_IOC_ADDRESS"} with data.pip_witness.indicators.own as _listed
	_code({"network": {"connections": [fixture.connection("198.51.100.9", 1)]}}) == {"CRITICAL:USER_IOC_ADDRESS"} with data.pip_witness.indicators.own as _listed
	_code({"network": {"connections": [fixture.connection("2001:db8::9", 1)]}}) == {"CRITICAL:USER_IOC_ADDRESS"} with data.pip_witness.indicators.own as _listed
	_code({"network": {"connections": [fixture.connection("192.0.2.8", 1)]}}) == set() with data.pip_witness.indicators.own as _listed
	fixture.findings(_messages({"processes": [object.union(fixture.installer, {"network": {"connections": [fixture.connection("192.0.2.7", 1)]}})]})) == {"HIGH:USER_IOC_ADDRESS"} with data.pip_witness.indicators.own as _listed
}

test_path if {
	every path in ["/root/.acme/token", "/etc/acme/a/b", "/tmp/acme-1", "/srv/acme.lock"] {
		_code({"openedfiles": {path: {}}}) == {"CRITICAL:USER_IOC_PATH"} with data.pip_witness.indicators.own as _listed
	}
	_code({"openedfiles": {"/root/.acme/tokens": {}, "/etc/acme": {}, "/srv/acme-1": {}, "/srv/xacme.lock": {}}}) == set() with data.pip_witness.indicators.own as _listed
}

test_command if {
	_code({"execs": fixture.ran("/bin/acme", ["--steal"])}) == {"MEDIUM:USER_IOC_COMMAND"} with data.pip_witness.indicators.own as _listed
	_code({"execs": fixture.ran("/bin/acme", ["--help"])}) == set() with data.pip_witness.indicators.own as _listed
}

test_hash if {
	_code({"openedfiles": {"/root/x": {"sha256": "aa00"}}}) == {"CRITICAL:USER_IOC_HASH"} with data.pip_witness.indicators.own as _listed
	_code({"openedfiles": {"/root/x": {"sha256": "aa01"}}}) == set() with data.pip_witness.indicators.own as _listed
}

test_package if {
	_installed("acme-kit", "3") == {"CRITICAL:USER_IOC_PACKAGE"} with data.pip_witness.indicators.own as _listed
	_installed("Other", "1.0.0") == {"CRITICAL:USER_IOC_PACKAGE"} with data.pip_witness.indicators.own as _listed
	_installed("other", "1.0.1") == set() with data.pip_witness.indicators.own as _listed
	_installed("acme", "1.0") == set() with data.pip_witness.indicators.own as _listed
}

test_not_evaluated if {
	reasons := user_ioc.not_evaluated with input as {"processes": []}
	count(reasons) == 5
}
