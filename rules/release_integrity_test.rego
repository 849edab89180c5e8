package pip_witness.release_integrity_test

import data.pip_witness.lib.fixture
import data.pip_witness.release_integrity

import rego.v1

_site := "/v/lib/python3.11/site-packages"

_check := {
	"matching": 9,
	"unhashed": 1,
	"mismatches": [],
	"missing": [],
	"outside": [],
	"duplicates": [],
	"overwritten": [],
}

_structure := {
	"members": 9,
	"defects": [],
	"changed": [],
	"dataFiles": ["scripts/demo", "data/etc/jupyter/demo.json", "headers/demo.h"],
}

_file := {
	"filename": "demo-1.2-py3-none-any.whl",
	"size": 1000,
	"index": "https://index.example/simple",
	"projectStatus": "active",
}

_package := {
	"name": "demo",
	"version": "1.2",
	"installType": "wheel",
	"location": _site,
	"recordedFiles": 10,
	"recordCheck": _check,
	"wheelStructure": _structure,
	"files": [_file],
}

_history := {"package": "demo", "version": "1.2", "releases": 9, "burstHour": ["1.1"], "notOffered": []}

_files := {
	"unownedFiles": [],
	"byteCode": [],
	"pthFiles": [{"path": concat("", [_site, "/distutils-precedence.pth"]), "owner": "setuptools"}],
}

_honest := {
	"pythonVersion": "3.11.7",
	"packages": [_package],
	"installedFileAnalysis": _files,
	"indexHistory": [_history],
	"notExamined": [],
}

_found(dist, more) := _judged(object.union(object.union(_honest, {"packages": [object.union(_package, dist)]}), more))

_judged(document) := found if {
	# regal ignore:with-outside-test-context
	messages := release_integrity.deny with input as document
	found := fixture.findings(messages)
}

_unknown(more) := _open(object.union(_honest, more))

_open(document) := found if {
	# regal ignore:with-outside-test-context
	messages := release_integrity.not_evaluated with input as document
	found := {split(message, ":")[0] | some message in messages}
}

test_honest if {
	_found({}, {}) == set()
	_unknown({}) == set()
}

test_nothing_known if {
	release_integrity.deny == set() with input as {}
	release_integrity.deny == set() with input as {
		"packages": [{"name": "demo"}, 7, {"files": "x"}],
		"installedFileAnalysis": 5,
	}
	_unknown({"indexHistory": []}) == {"REL_BURST", "REL_QUARANTINED", "REL_YANKED"}
	_unknown({"indexHistory": [object.union(_history, {"notOffered": ["project-status"]})]}) == {"REL_QUARANTINED"}
	_unknown({"packages": [object.remove(_package, ["recordCheck"])]}) == {
		"REL_RECORD_HASH_MISMATCH",
		"REL_UNRECORDED_FILE",
	}
	_unknown({"notExamined": [{"what": "packages[].sourceComparison of demo", "why": "not at hand"}]}) == {"REL_SDIST_WHEEL_DIFF"}
}

_checked(more) := {"recordCheck": object.union(_check, more)}

_path(name) := concat("/", [_site, name])

test_record_mismatch if {
	_found(_checked({"mismatches": [{"path": _path("demo/a.py")}]}), {}) == {"CRITICAL:REL_RECORD_HASH_MISMATCH"}
	_found(
		_checked({"mismatches": [{"path": _path("demo/a.py"), "why": "link"}]}),
		{},
	) == {"CRITICAL:REL_RECORD_HASH_MISMATCH"}
	_found(_checked({"mismatches": [{"path": _path("demo/a.py"), "why": "unread"}]}), {}) == set()
	_found(_checked({"mismatches": [{"path": _path("demo/__pycache__/a.cpython-311.pyc")}]}), {}) == set()
	_found(
		{"wheelStructure": object.union(_structure, {"changed": [_path("demo/a.py")]})},
		{},
	) == {"CRITICAL:REL_RECORD_HASH_MISMATCH"}
	_found(_checked({"missing": [_path("demo/a.py"), _path("demo/a.pyc")]}), {}) == {"MEDIUM:REL_RECORD_HASH_MISMATCH"}
}

_overwritten(name, same) := _checked({
	"mismatches": [{"path": _path(name)}],
	"overwritten": [{"path": _path(name), "by": ["other"], "sameContent": same}],
})

test_overwritten if {
	_found(_overwritten("demo/a.py", false), {}) == {"HIGH:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_overwritten("google/__init__.py", false), {}) == {"MEDIUM:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_overwritten("tests/__init__.py", false), {}) == {"LOW:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_overwritten("LICENSE.txt", false), {}) == {"LOW:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_overwritten("demo/a.py", true), {}) == set()
}

_defect(kind, what) := {"wheelStructure": object.union(_structure, {"defects": [{"kind": kind, "member": "demo/a.py", "what": what}]})}

test_unrecorded if {
	unowned := {"installedFileAnalysis": object.union(
		_files,
		{"unownedFiles": [_path("x.pth"), _path("__pycache__/x.cpython-311.pyc")]},
	)}
	_found({}, unowned) == {"HIGH:REL_UNRECORDED_FILE"}
	_found({"recordedFiles": 0}, unowned) == {"MEDIUM:REL_UNRECORDED_FILE", "MEDIUM:REL_RECORD_MISSING"}
	_found({"recordedFiles": 0, "installType": "editable"}, {}) == set()
	_found(_checked({"unhashedFiles": [_path("demo/a.py")]}), {}) == {"HIGH:REL_UNRECORDED_FILE"}
	_found(_defect("unrecorded", "RECORD does not list it"), {}) == {"HIGH:REL_UNRECORDED_FILE"}
}

test_digest if {
	problem := {"kind": "digest-mismatch", "filename": "demo-1.2.tar.gz", "message": "sha256 is a, the index announced b"}
	_found({}, {"sources": {"problems": [problem]}}) == {"CRITICAL:REL_DIGEST_MISMATCH"}
	attested := {"pep740Verification": [{"package": "demo", "attestations": [{"status": "invalid", "failed": "digest"}]}]}
	_found({}, attested) == {"CRITICAL:REL_DIGEST_MISMATCH"}
	_found({}, {"sources": {"problems": [object.union(problem, {"kind": "unreachable"})]}}) == set()
}

test_yanked if {
	_found({"files": [object.union(_file, {"yanked": "wrong dependency"})]}, {}) == {"MEDIUM:REL_YANKED"}
	_found({"files": [object.union(_file, {"yanked": "Compromised release"})]}, {}) == {"HIGH:REL_YANKED"}
	candidate := {"notInstalled": [object.union(_file, {"name": "other", "version": "1", "yanked": "true"})]}
	_found({}, candidate) == {"MEDIUM:REL_YANKED"}
}

test_quarantined if {
	_found({"files": [object.union(_file, {"projectStatus": "quarantined"})]}, {}) == {"CRITICAL:REL_QUARANTINED"}
	_found(
		{},
		{"indexHistory": [object.union(_history, {"projectStatus": "quarantined"})]},
	) == {"CRITICAL:REL_QUARANTINED"}
	_found({}, {"indexHistory": [object.union(_history, {"projectStatus": "archived"})]}) == set()
}

_code(name, why) := {"installedFileAnalysis": object.union(_files, {"byteCode": [{"path": _path(name), "package": "demo", "why": why}]})}

test_byte_code if {
	_found({}, _code("demo/a.pyc", ["no-source"])) == {"HIGH:REL_PYC_ONLY"}
	_found({}, _code("demo/__pycache__/a.cpython-311.pyc", ["no-source", "shipped"])) == {"MEDIUM:REL_PYC_ONLY"}
	_found({}, _code("demo/__pycache__/a.cpython-37.pyc", ["no-source"])) == {"LOW:REL_PYC_ONLY"}
	_found({}, _code("demo/__pycache__/a.cpython-311.pyc", ["unchecked"])) == {"HIGH:REL_PYC_SOURCE_MISMATCH"}
	_found({}, _code("demo/__pycache__/a.cpython-311.pyc", ["shipped"])) == set()
}

_shadow(kind, name, of) := {"shadows": [{"kind": kind, "name": name, "where": _path(name), "of": of}]}

test_shadows if {
	_found(_shadow("standard-library", "json", []), {}) == {"HIGH:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_shadow("standard-library", "typing", []), {}) == {"MEDIUM:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_shadow("other-project", "yaml", ["pyyaml"]), {}) == {"MEDIUM:REL_OUT_OF_PACKAGE_WRITE"}
	_found(_shadow("other-project", "_distutils_hack", ["setuptools"]), {}) == {"HIGH:REL_OUT_OF_PACKAGE_WRITE"}
	both := {"packages": [
		object.union(_package, _shadow("other-project", "yaml", ["pyyaml"])),
		object.union(_package, {"name": "PyYAML"}),
	]}
	"HIGH:REL_OUT_OF_PACKAGE_WRITE" in _found({}, both)
	_found(_shadow("installed-project", "demo", ["other"]), {}) == set()
	_found(_checked({"outside": ["/etc/cron.d/x"]}), {}) == {"HIGH:REL_OUT_OF_PACKAGE_WRITE"}
	stolen := {"installedFileAnalysis": object.union(
		_files,
		{"pthFiles": [{"path": _path("distutils-precedence.pth"), "owner": "demo"}]},
	)}
	_found({}, stolen) == {"HIGH:REL_OUT_OF_PACKAGE_WRITE"}
}

_data(path) := {"wheelStructure": object.union(_structure, {"dataFiles": [path]})}

test_data_scheme if {
	_found(_data("purelib/x.pth"), {}) == {"HIGH:REL_DATA_SCHEME"}
	_found(_data("data/lib/python3.12/site-packages/x.pth"), {}) == {"HIGH:REL_DATA_SCHEME"}
	_found(_data("data/etc/profile.d/x.sh"), {}) == {"HIGH:REL_DATA_SCHEME"}
	_found(_data("purelib/demo/x.py"), {}) == set()
	_found(_data("data/share/man/man1/demo.1"), {}) == set()
	_found(_data("data/share/jupyter/kernels/python3/kernel.json"), {}) == set()
}

test_commands if {
	_found(_shadow("command", "kubectl", []), {}) == {"HIGH:REL_SCRIPT_SHADOW"}
	_found(_shadow("command", "python3.11", []), {}) == {"HIGH:REL_SCRIPT_SHADOW"}
	_found(_shadow("command", "watch", []), {}) == {"MEDIUM:REL_SCRIPT_SHADOW"}
	refused := {"notInstalled": [{"name": "tool", "version": "1", "entryPoints": ["ls = tool:main", "screen = tool:main", "tool = tool:main"]}]}
	_found({}, refused) == {"HIGH:REL_SCRIPT_SHADOW", "MEDIUM:REL_SCRIPT_SHADOW"}
	_found({}, {"notInstalled": [{"name": "awscli", "version": "1", "entryPoints": ["aws = awscli:main"]}]}) == set()
}

test_source if {
	_found(
		{"sourceComparison": {"same": 9, "added": [_path("demo/_boot.py")], "changed": []}},
		{},
	) == {"MEDIUM:REL_SDIST_WHEEL_DIFF"}
	_found({"sourceComparison": {"same": 9, "added": [], "changed": [_path("demo/_version.py")]}}, {}) == set()
}

test_burst if {
	_found({}, {"indexHistory": [object.union(_history, {"burstHour": ["1.0", "1.1"]})]}) == {"MEDIUM:REL_BURST"}
}

test_archives if {
	_found(_defect("duplicate", "it occurs more than once"), {}) == {"CRITICAL:REL_WHEEL_DUPLICATE_ENTRY"}
	_found(_defect("local-header", "its local header names it otherwise"), {}) == {"CRITICAL:REL_WHEEL_DUPLICATE_ENTRY"}
	_found(_defect("name", "its path leaves the root"), {}) == {"CRITICAL:REL_WHEEL_DUPLICATE_ENTRY"}
	_found(_defect("name", "its name is not UTF-8"), {}) == {"MEDIUM:REL_WHEEL_DEFECT"}
	_found(_defect("archive", "9 bytes follow the end record"), {}) == {"HIGH:REL_WHEEL_DUPLICATE_ENTRY"}
	_found(_defect("type", "it is a symbolic link"), {}) == {"HIGH:REL_WHEEL_DEFECT"}
	_found(_defect("record", "it lists more"), {}) == {"MEDIUM:REL_WHEEL_DEFECT"}
	_found(_defect("folded", "the same file as another"), {}) == {"LOW:REL_WHEEL_DEFECT"}
	_found({"wheelStructure": object.union(_structure, {"error": "no archive"})}, {}) == {"HIGH:REL_WHEEL_DEFECT"}
	_found(_defect("info", "2 .dist-info directories, want 1"), {}) == {"HIGH:REL_MULTI_DIST_INFO"}
	_found({}, {"problems": ["demo: more than one metadata directory: a and b", 7]}) == {"HIGH:REL_MULTI_DIST_INFO"}
	_found(_defect("metadata", "the name is \"x\", the file's \"demo\""), {}) == {"CRITICAL:REL_NAME_VERSION_SKEW"}
	_found(_defect("metadata", "there is none"), {}) == {"MEDIUM:REL_WHEEL_DEFECT"}
}

_sized(filename, before, size, was) := _found(
	{"files": [object.union(_file, {"filename": filename, "size": size})]},
	{"pep740Verification": [{"package": "demo", "earlier": {"releases": [{"filename": before, "size": was}]}}]},
)

test_size if {
	_sized("demo-1.2-py3-none-any.whl", "demo-1.1-py3-none-any.whl", 9000000, 1000000) == {"MEDIUM:REL_SIZE_JUMP"}
	_sized("demo-1.2.tar.gz", "demo-1.1.tar.gz", 9000000, 1000000) == {"MEDIUM:REL_SIZE_JUMP"}
	_sized("demo-1.2-cp311-cp311-linux_x86_64.whl", "demo-1.1-py3-none-any.whl", 9000000, 1000000) == set()
	_sized("demo-1.2-py3-none-any.whl", "demo-1.1-py3-none-any.whl", 90000, 1000) == set()
}
