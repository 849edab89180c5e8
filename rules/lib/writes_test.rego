package pip_witness.lib.writes_test # regal ignore:opa-fmt

import data.pip_witness.lib.fixture
import data.pip_witness.lib.writes

import rego.v1

test_normal if {
	writes.normal("/a/b") == "/a/b"
	writes.normal("/a/./b//c/") == "/a/b/c"
	writes.normal("/a/b/../c") == "/a/c"
	writes.normal("/a/b/c/../../d/..") == "/a"
	writes.normal("/a/..b/.c/...") == "/a/..b/.c/..."
	not writes.normal(7)
}

test_build if {
	making := fixture.install([fixture.process("build-child", {"fileOps": {"dirs": [
		{"path": "/tmp/pip-own-x", "kind": "directory"},
	]}})])
	not writes.build("/tmp/pip-own-x/a") with input as making
	document := object.union(making, {"processes": [object.union(fixture.installer, {"fileOps": {"dirs": [
		{"path": "/tmp/pip-req-build-x", "kind": "directory"},
	]}})]})
	writes.build("/tmp/pip-req-build-x/setup.py") with input as document
	not writes.build("/tmp/pip-req-build-xy/setup.py") with input as document
}

test_who if {
	writes.who(-1) == "the run" with input as {}
	writes.who(0) == "the installer process \"/opt/python/bin/python3.11\"" with input as fixture.install([])
}

test_places if {
	writes.scratch("/tmp/x") with input as {}
	count(writes.places("/tmp/x/.github/workflows/ci.yml")) == 0 with input as {}
	cron := writes.places("/etc/cron.d/x") with input as {}
	{place.rule | some place in cron} == {"PERSIST_CRON"}
	other := writes.places("/etc/acme.conf") with input as {}
	{place.rule | some place in other} == {"PERSIST_SYSTEM_INIT"}
}
