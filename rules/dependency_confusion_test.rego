package pip_witness.dependency_confusion_test

import data.pip_witness.dependency_confusion
import data.pip_witness.lib.fixture

import rego.v1

_main := {"url": "https://index.example/simple", "scope": "default"}

_corp := {"url": "https://packages.corp.example/simple/", "scope": "private"}

_file := {
	"filename": "acme_auth-1.0.tar.gz",
	"index": "https://index.example/simple/",
	"url": "https://files.example/acme_auth-1.0.tar.gz",
}

_package := {
	"name": "acme-auth",
	"version": "1.0",
	"requested": true,
	"homePage": "https://acme.example",
	"files": [_file],
}

_sources := {"requirements": ["acme-auth"], "indexes": [_main]}

_installer(args, environ) := {"command-run": {"processes": [
	{"role": "installer", "args": array.concat(["python", "-m", "pip"], args), "environ": environ},
	{"role": "build-child", "args": ["pip", "--extra-index-url", "https://child.example/simple"]},
]}}

_of_others(cmdline) := {"command-run": {"processes": [{"program": "/usr/bin/python3", "processid": 4, "cmdline": cmdline}]}}

_found(dist, sources, more) := _judged(object.union(_told_of(dist, sources), more))

_judged(document) := found if {
	# regal ignore:with-outside-test-context
	messages := dependency_confusion.deny with input as document
	found := fixture.findings(messages)
}

_told(more) := _judged(object.union({"packages": [_package]}, more))

_told_of(dist, sources) := {"packages": [object.union(_package, dist)], "sources": object.union(_sources, sources)}

test_honest if {
	_found({}, {}, {}) == set()
	_told(_installer(
		["install", "--no-binary", "x", "--index-url", "http://127.0.0.1:3141/i0/simple/"],
		"PIP_INDEX_URL=<redacted> A=b",
	)) == set()
	dependency_confusion.not_evaluated == set() with input as {"sources": _sources}
}

test_nothing_known if {
	dependency_confusion.deny == set() with input as {"packages": [_package, 7, {"name": 3}]}
	count(dependency_confusion.not_evaluated) == 4 with input as {"packages": [_package]}
}

test_extra_index if {
	_found({}, {"indexes": [_main, _corp]}, {}) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
	_told(_installer(
		["install", "--extra-index-url", "https://packages.corp.example/simple"],
		"",
	)) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
	_told(_installer(
		["install", "--extra-index-url=https://packages.corp.example/simple"],
		"",
	)) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
	_told(_installer(
		["install"],
		"A=b PIP_EXTRA_INDEX_URL=https://packages.corp.example/simple",
	)) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
	other := _of_others("/usr/bin/python3 -m pip install --extra-index-url https://packages.corp.example/simple x")
	_told(other) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
}

_offers(releases, highest) := {"version": "99.0", "offeredBy": [
	{"index": "https://index.example/simple", "scope": "default", "releases": releases, "highest": "99.0"},
	{"index": "https://packages.corp.example/simple", "scope": "private", "releases": 20, "highest": highest},
]}

_both := {"indexes": [_main, _corp]}

_aged(releases) := {"indexHistory": [{"package": "acme-auth", "version": "99.0", "releases": releases}]}

test_another_project_of_that_name if {
	expected := {
		"CRITICAL:DEPCONF_EXTRA_INDEX", "MEDIUM:DEPCONF_EXTRA_INDEX", "HIGH:DEPCONF_UNEXPECTED_SOURCE",
		"HIGH:DEPCONF_VERSION_ANOMALY",
	}
	_found(_offers(1, "1.4"), _both, _aged(1)) == expected
	vendor := object.union(_both, {"indexes": [_main, object.union(_corp, {"scope": "other"})]})
	offers := object.union(_offers(1, "1.4"), {"offeredBy": [
		_offers(1, "1.4").offeredBy[0],
		object.union(_offers(1, "1.4").offeredBy[1], {"scope": "other"}),
	]})
	_found(offers, vendor, _aged(1)) == expected - {"CRITICAL:DEPCONF_EXTRA_INDEX"}
	old := object.union(_offers(1, "100.2"), {"version": "99.0"})
	_found(old, _both, _aged(1)) == {"MEDIUM:DEPCONF_EXTRA_INDEX", "HIGH:DEPCONF_VERSION_ANOMALY"}
}

# A vendor's index that mirrors well-known projects.
test_mirrors if {
	_found(_offers(200, "59.1"), _both, _aged(200)) == {"MEDIUM:DEPCONF_EXTRA_INDEX"}
}

test_unnumbered if {
	strange := object.union(_offers(2, "latest"), {"version": "999"})
	"HIGH:DEPCONF_UNEXPECTED_SOURCE" in _found(strange, _both, _aged(2))
}

test_index_that_was_not_named if {
	_found({}, {"indexes": [_corp]}, {}) == {"HIGH:DEPCONF_UNEXPECTED_SOURCE"}
	_found(
		{},
		{"indexes": [_corp], "findLinks": [{"url": "https://index.example/simple", "scope": "other"}]},
		{},
	) == {"LOW:DEPCONF_FIND_LINKS"}
}

test_version if {
	_found({"version": "99.99.99"}, {}, {}) == {"HIGH:DEPCONF_VERSION_ANOMALY"}
	_found({"version": "1!2147483647"}, {}, {}) == {"HIGH:DEPCONF_VERSION_ANOMALY"}
	_found({"version": "2026.11"}, {}, {}) == set()
	_found({"version": "99.0"}, {}, _aged(300)) == set()
	_found(
		{"version": "99.0", "files": [{"filename": "a.whl", "url": "file:a.whl"}]},
		{},
		{},
	) == {"MEDIUM:DEPCONF_VERSION_ANOMALY"}
	jump := {"indexHistory": [{"package": "acme-auth", "releases": 9, "anomalies": [{"kind": "jump", "text": "35.0 follows 3.4"}]}]}
	_found({"version": "35.0"}, {}, jump) == {"MEDIUM:DEPCONF_VERSION_ANOMALY"}
}

_internal := {"name": "acme-internal-auth"}

_project(age, releases) := {"indexHistory": [{"package": "acme-internal-auth", "projectAgeSeconds": age * 86400, "releases": releases}]}

test_internal_name if {
	_found(_internal, {}, {}) == set()
	_found(_internal, {}, _project(900, 50)) == set()
	_found(_internal, {}, _project(900, 2)) == {"MEDIUM:DEPCONF_INTERNAL_NAME"}
	_found(object.union(_internal, {"homePage": ""}), {}, _project(3, 1)) == {"HIGH:DEPCONF_INTERNAL_NAME"}
	private := {"files": [object.union(_file, {"index": _corp.url})]}
	_found(object.union(_internal, private), {"indexes": [_corp]}, _project(900, 2)) == set()
}

test_declared_name if {
	names := {"names": ["Acme.Auth"], "prefixes": [], "heuristic": {"pattern": "^$"}}
	_found({}, {}, {}) == {"HIGH:DEPCONF_INTERNAL_NAME"} with data.pip_witness.indicators.internal_names as names
	prefixes := {"names": [], "prefixes": ["acme_"], "heuristic": {"pattern": "^$"}}
	_found({}, {}, {}) == {"HIGH:DEPCONF_INTERNAL_NAME"} with data.pip_witness.indicators.internal_names as prefixes
}

test_mixed if {
	other := {
		"filename": "b-1.0.tar.gz",
		"index": "https://packages.corp.example/simple",
		"url": "https://packages.corp.example/b",
	}
	_found({"files": [_file, other]}, _both, {}) == {"MEDIUM:DEPCONF_EXTRA_INDEX", "MEDIUM:DEPCONF_MIXED_INDEX"}
}

test_cleartext if {
	_found({}, {"indexes": [object.union(_main, {"cleartext": true})]}, {}) == {"HIGH:DEPCONF_HTTP_INDEX"}
	_told(_installer(["install", "-i", "http://index.example/simple"], "")) == {"HIGH:DEPCONF_HTTP_INDEX"}
}

test_trusted_host if {
	_found({}, {"trustedHosts": ["index.example:443"]}, {}) == {"HIGH:DEPCONF_TRUSTED_HOST"}
	_found({}, {"trustedHosts": ["127.0.0.1", "localhost:8080"]}, {}) == set()
	_told(_installer(["install", "--trusted-host", "cache.example"], "")) == {"MEDIUM:DEPCONF_TRUSTED_HOST"}
}

_direct(more) := {"directUrls": [object.union(
	{
		"package": "acme-auth",
		"project": "colorama",
		"url": "https://files.vendor.example/c.whl",
		"host": "files.vendor.example",
	},
	more,
)]}

test_direct_url if {
	_found({}, _direct({}), {}) == {"MEDIUM:DEPCONF_DIRECT_URL"}
	_found({}, _direct({"like": "files.example"}), {}) == {"CRITICAL:DEPCONF_DIRECT_URL"}
	_found({}, _direct({"host": "pypj.org"}), {}) == {"CRITICAL:DEPCONF_DIRECT_URL"}
	_found({}, _direct({"host": "files.pypihosted.org"}), {}) == {"CRITICAL:DEPCONF_DIRECT_URL"}
	_found({"directUrl": "https://files.vendor.example/a.whl"}, {}, {}) == {"MEDIUM:DEPCONF_DIRECT_URL"}
	_found({"directUrl": "file:///home/user/a.whl"}, {}, {}) == set()
	_found({"directUrl": "./a.whl"}, {}, {}) == set()
	others := {"packages": [object.union(_package, {"requiresDist": ["c @ https://files.pypihosted.org/c.tar.gz ; python_version > '3'"]})]}
	_told(others) == {"CRITICAL:DEPCONF_DIRECT_URL"}
}

test_find_links if {
	_told(_installer(["install", "--find-links", "https://wheels.example/"], "")) == {"LOW:DEPCONF_FIND_LINKS"}
}
