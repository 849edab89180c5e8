package pip_witness.supply_chain_test

import data.pip_witness.lib.distributions
import data.pip_witness.lib.fixture
import data.pip_witness.supply_chain

import rego.v1

_package := {
	"name": "demo",
	"version": "1.0",
	"installType": "wheel",
	"requested": true,
	"requires": ["helper"],
	"requiresDist": ["helper>=1; python_version > '3'", "unused; extra == 'x'"],
	"summary": "A demonstration",
	"author": "A. Person",
	"authorEmail": "person@example.org",
	"homePage": "https://example.org/demo",
	"projectUrls": {"Source": "https://example.org/demo.git"},
}

_helper := object.union(_package, {"name": "Helper", "requested": false, "requires": [], "requiresDist": []})

_history(more) := object.union(
	{"package": "demo", "version": "1.0", "releases": 40, "ageSeconds": 86400 * 30, "projectAgeSeconds": 86400 * 900},
	more,
)

_files := {
	"pickleAnalysis": [],
	"importTime": [],
	"obfuscation": [],
	"nativeLibraries": [_library("demo", "/v/demo/_x.so", {})],
}

_library(name, path, more) := object.union({"package": name, "path": path, "kind": "shared"}, more)

_sbom := {
	"metadata": {"properties": [{"name": "pip-witness:vulnerabilities", "value": "evaluated"}]},
	"vulnerabilities": [{
		"id": "PYSEC-1",
		"affects": [{"ref": "pkg:pypi/demo@1.0"}],
	}],
}

_honest := {
	"packages": [_package, _helper],
	"setupPyAnalysis": [],
	"pyprojectAnalysis": [],
	"installedFileAnalysis": _files,
	"indexHistory": [_history({}), _history({"package": "helper"})],
	"similarNames": [],
	"notExamined": [],
	"sbom": _sbom,
}

_found(more) := _judged(object.union(_honest, more))

_judged(document) := found if {
	# regal ignore:with-outside-test-context
	messages := supply_chain.deny with input as document
	found := fixture.findings(messages)
}

_with(dist) := {"packages": [object.union(_package, dist), _helper]}

test_honest if {
	_found({}) == set()
	supply_chain.not_evaluated == set() with input as _honest
}

test_nothing_known if {
	supply_chain.deny == set() with input as {}
	count(supply_chain.not_evaluated) == 8 with input as {}
	supply_chain.deny == set() with input as {
		"packages": "none",
		"setupPyAnalysis": 5,
		"similarNames": [7],
		"installedFileAnalysis": [],
	}
}

test_known_malicious if {
	_found(_with({"name": "LiteLLM", "version": "1.82.8"})) == {"CRITICAL:SC_KNOWN_MALICIOUS"}
	_found(_with({"name": "litellm", "version": "1.82.9"})) == set()
	every_version := {"releases": [{"name": "demo", "versions": ["*"], "source": "a report", "date": "2026-01-01"}]}
	_found({}) == {"CRITICAL:SC_KNOWN_MALICIOUS"} with data.pip_witness.indicators.compromised_releases as every_version
	candidate := {"notInstalled": [{"name": "litellm", "version": "1.82.7", "filename": "litellm-1.82.7-py3-none-any.whl"}]}
	_found(candidate) == {"CRITICAL:SC_KNOWN_MALICIOUS"}
}

test_malware_advisory if {
	malware := object.union(_sbom, {"vulnerabilities": [{
		"id": "MAL-2026-1",
		"affects": [{"ref": "pkg:pypi/demo@1.0"}],
		"properties": [{"name": "pip-witness:malicious", "value": "true"}],
	}]})
	_found({"sbom": malware}) == {"CRITICAL:SC_KNOWN_MALICIOUS"}
	unknown := {"sbom": {"metadata": {"properties": []}}}
	"SC_KNOWN_MALICIOUS: advisories were not looked up" in supply_chain.not_evaluated with input as object.union(
		_honest,
		unknown,
	)
}

_similar(how) := {"similarNames": [{"package": "demo", "matches": [{"name": "demos", "how": how}]}]}

_young := {"indexHistory": [_history({"projectAgeSeconds": 86400 * 20, "releases": 2}), _history({"package": "helper"})]}

test_typosquat if {
	_found(_similar("keystroke")) == {"MEDIUM:SC_TYPOSQUAT"}
	_found(_similar("separators")) == {"MEDIUM:SC_TYPOSQUAT"}
	_found(_similar("affix")) == {"LOW:SC_TYPOSQUAT"}
	_found(_similar("look-alike")) == {"HIGH:SC_TYPOSQUAT"}
	_found(object.union(_similar("keystroke"), _young)) == {"HIGH:SC_TYPOSQUAT"}
	_found(object.union(_similar("affix"), _young)) == {"LOW:SC_TYPOSQUAT"}
	successor := {"similarNames": [{"package": "demo", "matches": [{"name": "demo2", "how": "keystroke"}]}]}
	_found(successor) == {"LOW:SC_TYPOSQUAT"}
	_found(object.union(successor, _young)) == {"HIGH:SC_TYPOSQUAT"}
}

test_typosquat_that_says_nothing if {
	bare := {"packages": [object.remove(_package, ["homePage", "projectUrls"]), _helper]}
	some msg in supply_chain.deny with input as object.union(
		object.union(_honest, bare),
		object.union(_similar("keystroke"), _young),
	)
	contains(msg, "its metadata says nothing, the project is less than 30 days old")
}

test_starjack if {
	_found(object.union(_similar("keystroke"), _with({"homePage": "https://example.org/someone/demos.git/"}))) == {
		"MEDIUM:SC_TYPOSQUAT",
		"MEDIUM:SC_STARJACK",
	}
}

test_ages if {
	_found({"indexHistory": [_history({"ageSeconds": 3600})]}) == {"MEDIUM:SC_NEW_VERSION_AGE"}
	new := {"indexHistory": [_history({"ageSeconds": 86400 * 5, "projectAgeSeconds": 86400 * 5})]}
	_found(new) == {"MEDIUM:SC_NEW_PACKAGE"}
	hiding := {"setupPyAnalysis": [_script({"obfuscation": ["line 3: exec-decoded: exec of base64.b64decode"]})]}
	"HIGH:SC_NEW_PACKAGE" in _found(object.union(new, hiding))
	unknown := object.union(_honest, {"indexHistory": []})
	count(supply_chain.not_evaluated) == 4 with input as unknown
}

_script(more) := object.union(
	{
		"path": "setup.py",
		"package": "demo",
		"role": "setup.py",
		"suspiciousCalls": [],
		"networkImports": [],
		"encodedPayloads": false,
		"fileOperations": [],
	},
	more,
)

_scripted(more) := {"setupPyAnalysis": [_script(more)]}

# As array libraries have it: the version is executed, compilers are asked.
test_honest_build_script if {
	calls := ["line 3: exec", "line 9: subprocess.check_output", "line 20: os.popen"]
	_found(object.union(_scripted({"suspiciousCalls": calls}), _with({"hasCmdClass": true}))) == set()
	_found(_scripted({"encodedPayloads": true, "suspiciousCalls": ["line 3: exec"]})) == set()
}

test_odd_build_script if {
	calls := ["line 3: exec", "line 9: subprocess.run"]
	_found(_scripted({
		"suspiciousCalls": calls,
		"networkImports": ["line 1: urllib.request"],
	})) == {"MEDIUM:SC_SETUP_SUSPICIOUS"}
	stealer := {"suspiciousCalls": calls, "fileOperations": ["line 5: \"~/.ssh/id_rsa\""]}
	_found(_scripted(stealer)) == {"MEDIUM:SC_SETUP_SUSPICIOUS"}
	payload := {"suspiciousCalls": calls, "encodedPayloads": true}
	_found(_scripted(payload)) == {"MEDIUM:SC_SETUP_SUSPICIOUS"}
	pure := {"installedFileAnalysis": object.union(_files, {"nativeLibraries": []})}
	_found(object.union(pure, _scripted(payload))) == {"HIGH:SC_SETUP_SUSPICIOUS"}
	hidden := {"obfuscation": ["line 3: exec-decoded: exec of zlib.decompress", 7]}
	_found(_scripted(hidden)) == {"HIGH:SC_SETUP_SUSPICIOUS", "HIGH:SC_OBFUSCATION"}
	_found(_scripted({"obfuscation": ["line 3: marshal: marshal.loads"]})) == set()
}

_project(more) := {"pyprojectAnalysis": [object.union(
	{
		"package": "demo",
		"path": "pyproject.toml",
		"buildBackend": "own",
		"buildRequires": ["setuptools"],
		"isCustomBackend": false,
	},
	more,
)]}

test_custom_backend if {
	_found(_project({})) == set()
	_found(_project({"isCustomBackend": true})) == {"MEDIUM:SC_CUSTOM_BACKEND"}
	_found(_project({"isCustomBackend": true, "buildBackend": "mesonpy"})) == set()
	_found(_project({
		"isCustomBackend": true,
		"buildBackend": "mesonpy",
		"backendPath": ["."],
	})) == {"MEDIUM:SC_CUSTOM_BACKEND"}
	own := _project({"isCustomBackend": true})
	reaching := _scripted({
		"role": "build backend",
		"suspiciousCalls": ["line 3: exec"],
		"networkImports": ["line 1: socket"],
	})
	_found(object.union(own, reaching)) == {"HIGH:SC_CUSTOM_BACKEND"}
	hiding := _scripted({"role": "build backend", "obfuscation": ["line 3: hidden-code: column 400"]})
	_found(object.union(own, hiding)) == {"HIGH:SC_CUSTOM_BACKEND", "HIGH:SC_SETUP_SUSPICIOUS", "HIGH:SC_OBFUSCATION"}
}

test_build_requires if {
	_found(_project({"unknownRequires": ["evil-helper", "pybind11"]})) == {"MEDIUM:SC_BUILD_REQUIRES_UNUSUAL"}
	_found(_project({"unknownRequires": ["pybind11"]})) == set()
	near := [{"package": "setuptoolz", "matches": [{"name": "setuptools", "how": "keystroke"}]}]
	_found(_project({"unknownRequires": ["setuptoolz"], "similar": near})) == {"HIGH:SC_BUILD_REQUIRES_UNUSUAL"}
	_found(_project({"buildRequires": ["x @ https://example.org/x.zip"]})) == {"HIGH:SC_BUILD_REQUIRES_UNUSUAL"}
}

_in_files(more) := {"installedFileAnalysis": object.union(_files, more)}

test_pickle if {
	pickle := {"path": "/v/demo/model.pkl", "globalRefs": ["posix.system"]}
	_found(_in_files({"pickleAnalysis": [pickle]})) == {"HIGH:SC_PICKLE"}
	_found(_in_files({"pickleAnalysis": [object.union(pickle, {"dangerousGlobals": ["os.system"]})]})) == {"HIGH:SC_PICKLE"}
	_found(_in_files({"pickleAnalysis": [object.union(pickle, {"dangerousGlobals": ["?.?"]})]})) == {"MEDIUM:SC_PICKLE"}
	arrays := {
		"path": "/v/demo/a.npy",
		"globalRefs": ["numpy.core.multiarray._reconstruct", "builtins.set", "collections.OrderedDict"],
	}
	_found(_in_files({"pickleAnalysis": [arrays]})) == set()
}

_fact(kind, more) := object.union(
	{"package": "demo", "path": "/v/demo/__init__.py", "line": 3, "kind": kind, "what": "x"},
	more,
)

test_at_import if {
	facts := [_fact("network", {}), _fact("process", {"line": 4}), _fact("process", {"line": 5}), _fact("socket", {})]
	_found(_in_files({"importTime": facts})) == {"LOW:SC_INIT_NETWORK", "LOW:SC_INIT_SUBPROCESS"}
	_found(_in_files({"importTime": [_fact("network", {"deferred": true})]})) == set()
}

test_binaries if {
	plain := _library("demo", "/v/demo/bin/tool", {"kind": "executable"})
	_found(_in_files({"nativeLibraries": [plain]})) == {"LOW:SC_BINARY_BUNDLED"}
	disguised := [_library("demo", "/v/demo/libb.so", {"program": true}), _library("demo", "/v/demo/logo.png", {})]
	_found(_in_files({"nativeLibraries": disguised})) == {"MEDIUM:SC_BINARY_BUNDLED"}
	_found(_in_files({"nativeLibraries": [_library("demo", "/v/demo.libs/libz-1a.so.1.3", {})]})) == set()
}

test_undeclared if {
	stranger := object.union(_helper, {"name": "stranger"})
	_found({"packages": [_package, _helper, stranger]}) == {"HIGH:SC_UNDECLARED_DEP"}
	_found({"packages": [_package, _helper, object.union(stranger, {"name": "pip"})]}) == set()
	_found({"packages": [_package, object.union(stranger, {"name": "unused"})]}) == set()
	unknown := object.union(_honest, {"packages": [stranger, _helper], "notExamined": [
		{"what": "packages[].requires", "why": "no markers"},
		{"what": "packages[].requested", "why": "no report"},
	]})
	supply_chain.deny == set() with input as unknown
	found := {reason |
		some reason in supply_chain.not_evaluated
		startswith(reason, "SC_UNDECLARED_DEP: ")
	} with input as unknown
	count(found) == 3
}

test_direct_url if {
	_found(_with({"requiresDist": ["helper", "x @ https://files.example/x-1.tar.gz"]})) == {"HIGH:SC_DIRECT_URL_DEP"}
	_found(_with({"requiresDist": ["helper", "x[e]@git+https://files.example/x ; extra == 'y'"]})) == {"HIGH:SC_DIRECT_URL_DEP"}
	_found(_with({"requiresDist": ["helper", "x; extra == 'a@b:c'"]})) == set()
}

test_mail if {
	_found(_with({"authorEmail": "Some One <x@Mailinator.com>"})) == {"MEDIUM:SC_MAINTAINER_EMAIL"}
}

test_metadata_empty if {
	nothing := object.remove(_package, ["summary", "author", "authorEmail", "homePage", "projectUrls"])
	_found({"packages": [object.union(nothing, {"summary": "UNKNOWN"}), _helper]}) == {"LOW:SC_METADATA_EMPTY"}
}

test_obfuscation if {
	_found(_in_files({"obfuscation": [_fact("exec-decoded", {})]})) == {"HIGH:SC_OBFUSCATION"}
	_found(_in_files({"obfuscation": [_fact("exec-decoded", {"deferred": true})]})) == {"MEDIUM:SC_OBFUSCATION"}
	_found(_in_files({"obfuscation": [_fact("computed-name", {})]})) == {"MEDIUM:SC_OBFUSCATION"}
	_found(_in_files({"obfuscation": [_fact("marshal", {}), _fact("long-line", {})]})) == set()
}

test_much_obfuscation if {
	many := [_fact("hidden-code", {"line": line}) | some line in numbers.range(1, 9)]
	some msg in supply_chain.deny with input as object.union(_honest, _in_files({"obfuscation": many}))
	endswith(msg, "and 6 more")
}

test_sources_not_at_hand if {
	missing := object.union(
		_honest,
		{"notExamined": [{"what": "setupPyAnalysis and pyprojectAnalysis of demo", "why": "not at hand"}]},
	)
	count(supply_chain.not_evaluated) == 3 with input as missing
}

test_releases if {
	distributions.major("1!2026.1") == 2026
	not distributions.major("latest")
	distributions.absurd("99.0")
	not distributions.absurd("20261101")
	not distributions.absurd("2410.1")
	not distributions.absurd("2026.1")
	not distributions.absurd("84.2")
	distributions.files({"name": "x"}) == []
}
