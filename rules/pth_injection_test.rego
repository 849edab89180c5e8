package pip_witness.pth_injection_test

import data.pip_witness.lib.fixture
import data.pip_witness.pth_injection

import rego.v1

_site(name) := sprintf("%s/%s", [fixture.site, name])

_found(more) := found if {
	# regal ignore:with-outside-test-context
	messages := pth_injection.deny with input as object.union(fixture.install([]), more)
	found := fixture.findings(messages)
}

_processes(processes) := found if {
	# regal ignore:with-outside-test-context
	messages := pth_injection.deny with input as fixture.install(processes)
	found := fixture.findings(messages)
}

# The installer's facts: a file with an owner and executable lines.
_owned(name, owner, lines) := _analysis([_detail(name, owner, lines)], [])

_detail(name, owner, lines) := {
	"path": _site(name),
	"size": 100,
	"sha256": "00",
	"owner": owner,
	"executableLines": [{"line": 1, "text": line, "calls": []} | some line in lines],
}

_analysis(files, dists) := _found({"pip-install": {
	"packages": array.concat([{"name": "demo", "version": "1.0", "installType": "wheel"}], dists),
	"installedFileAnalysis": {"pthFiles": files, "startupModules": [], "unownedFiles": []},
}})

_file(name, lines) := _owned(name, "demo", lines)

_paths(name, lines) := _analysis([object.union(_detail(name, "demo", []), {"pathLines": lines})], [])

_product(name, digest) := _found({
	"product": {_site(name): {"digest": {"sha256": digest}}, _site("demo/data.pth"): {"digest": {"sha256": "00"}}},
	"pip-install": {"packages": [{"name": "Setup_Tools"}, {"name": "setuptools"}]},
})

_writing(role, path) := _processes([fixture.process(role, {"fileOps": {"writes": [{"path": path}]}})])

_precedence := "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224"

test_quiet if {
	_processes([]) == set()
	_product("distutils-precedence.pth", _precedence) == set()
	_paths("demo.pth", ["demo", "./other", "/root/venv/share/demo"]) == set()
	_owned("distutils-precedence.pth", "setuptools", [_precedence_line]) == set()
	_file("x-py3.11-nspkg.pth", [_namespace]) == set()
	_owned("_virtualenv.pth", "virtualenv", ["import _virtualenv"]) == set()
	_analysis(
		[_detail("__editable__.demo_e-1.0.pth", "demo-e", [_finder])],
		[{"name": "Demo-E", "installType": "editable"}],
	) == set()
}

_precedence_line := concat("", [
	"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; ",
	"enabled = os.environ.get(var, 'local') == 'local'; ",
	"enabled and __import__('_distutils_hack').add_shim(); ",
])

_finder := "import __editable___demo_finder; __editable___demo_finder.install()"

_namespace := concat("", [
	"import sys, types, os;has_mfs = sys.version_info > (3, 5);",
	"p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('google',));",
	"importlib = has_mfs and __import__('importlib.util');has_mfs and __import__('importlib.machinery');",
	"m = has_mfs and sys.modules.setdefault('google', importlib.util.module_from_spec(",
	"importlib.machinery.PathFinder.find_spec('google', [os.path.dirname(p)])));",
	"m = m or sys.modules.setdefault('google', types.ModuleType('google'));",
	"mp = (m or []) and m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)",
])

# A build writes its wheel, its caches and temporary files; pip writes the rest.
test_quiet_writes if {
	_writing("build-child", "/tmp/pip-req-build-x/build/bdist.linux-x86_64/wheel/demo.pth") == set()
	_writing(
		"build-child",
		"/tmp/pip-build-env-x/overlay/lib/python3.11/site-packages/distutils-precedence.pth",
	) == set()
	_writing("build-child", _site("setuptools/__pycache__/x.cpython-311.pyc.140000")) == set()
	_writing("installer", _site("demo/__init__.py")) == set()
	_processes([fixture.process("build-child", {
		"args": ["python", "-u", "-c", "…", "install", "--record", "/tmp/r"],
		"fileOps": {"writes": [{"path": _site("demo.py")}]},
	})]) == set()
}

test_executable_line if {
	_file("demo.pth", ["import os; os.environ.setdefault('A', '1')"]) == {"CRITICAL:PTH_EXEC_LINE"}
	_file("demo.pth", ["import\tos"]) == {"CRITICAL:PTH_EXEC_LINE"}
	_file("demo-nspkg.pth", [concat("", [_namespace, "; import os"])]) == {"CRITICAL:PTH_EXEC_LINE"}
	_file("__editable__.demo-1.0.pth", [_finder]) == {"CRITICAL:PTH_EXEC_LINE"}
	"CRITICAL:PTH_EXEC_LINE" in _owned(
		"distutils-precedence.pth",
		"setuptools",
		["import os; os.system('true'); __import__('_distutils_hack').add_shim()"],
	)
}

test_unknown_content if {
	_product("demo.pth", "00") == {"HIGH:PTH_EXEC_LINE"}
	_found({"pip-install": {"installedFileAnalysis": {"pthFiles": [_site("demo.pth")]}}}) == {"HIGH:PTH_EXEC_LINE"}
	_found({"pip-install": {"installedFileAnalysis": {"pthFiles": [{
		"path": _site("a1_coverage.pth"),
		"owner": "coverage",
		"sha256": "ef2ed06d19867ec669c09a804060666a9cd5e383af0a9d11aa2de79b77d448e8",
		"error": "cut",
	}]}}}) == set()
	_found({"product": {_site("distutils-precedence.pth"): {"digest": {"sha256": _precedence}}}}) == set()
}

# The content of setuptools' file in another distribution imports that one's module.
test_content_of_another_owner if {
	_file("distutils-precedence.pth", [_precedence_line]) == {"CRITICAL:PTH_EXEC_LINE", "HIGH:PTH_DUPLICATE_OWNER"}
	_found({
		"product": {_site("distutils-precedence.pth"): {"digest": {"sha256": _precedence}}},
		"pip-install": {"packages": [{"name": "demo"}]},
	}) == {"HIGH:PTH_EXEC_LINE", "HIGH:PTH_DUPLICATE_OWNER"}
}

test_unowned if {
	_owned("demo.pth", "", []) == {"CRITICAL:PTH_UNOWNED"}
	_found({"pip-install": {"installedFileAnalysis": {
		"startupModules": [_site("sitecustomize.py")],
		"unownedFiles": [_site("sitecustomize.py")],
	}}}) == {"CRITICAL:PTH_UNOWNED", "CRITICAL:PTH_SITECUSTOMIZE"}
}

# What the environment had before is not the installation's.
test_quiet_earlier_file if {
	_found({
		"product": {},
		"omnitrail": {"Envelope": {"mapping": {_site("_virtualenv.pth"): {"type": "file"}}}},
		"pip-install": {"installedFileAnalysis": {"pthFiles": [_detail("_virtualenv.pth", "", ["import _virtualenv"])]}},
	}) == set()
}

test_content if {
	_file(
		"demo.pth",
		["import os, subprocess; subprocess.Popen(['x'])"],
	) == {"CRITICAL:PTH_EXEC_LINE", "CRITICAL:PTH_CONTENT"}
	_analysis(
		[object.union(_detail("demo.pth", "demo", []), {"executableLines": [{
			"line": 1,
			"text": "import os as o; o.x('y')",
			"calls": ["os.system"],
		}]})],
		[],
	) == {"CRITICAL:PTH_EXEC_LINE", "CRITICAL:PTH_CONTENT"}
	_file(
		"demo.pth",
		["import base64; exec(base64.b64decode('eA=='))"],
	) == {"CRITICAL:PTH_EXEC_LINE", "CRITICAL:PTH_CONTENT"}
}

test_large if {
	long := sprintf("import x; a = '%s'", [concat("", ["a" | some _ in numbers.range(1, 700)])])
	_file("demo.pth", [long]) == {"CRITICAL:PTH_EXEC_LINE", "HIGH:PTH_LARGE"}
	_analysis([object.union(_detail("demo.pth", "demo", ["import x"]), {"size": 34628})], []) == {
		"CRITICAL:PTH_EXEC_LINE",
		"HIGH:PTH_LARGE",
	}
}

test_names if {
	_file("demo-setup.pth", []) == {"HIGH:PTH_SETUP_NAME"}
	_file("demo_init.pth", []) == {"HIGH:PTH_SETUP_NAME"}
	_file(".demo.pth", []) == {"HIGH:PTH_HIDDEN"}
	_file("ａ.pth", []) == {"HIGH:PTH_HIDDEN"}
	_file("hunter.pth", []) == {"HIGH:PTH_DUPLICATE_OWNER"}
}

test_start_file if {
	_product("demo.start", "00") == {"CRITICAL:PTH_START_FILE"}
}

test_customization if {
	_product("sitecustomize.py", "00") == {"CRITICAL:PTH_SITECUSTOMIZE"}
	_product("usercustomize/__init__.py", "00") == {"CRITICAL:PTH_SITECUSTOMIZE"}
	_product("ddtrace/bootstrap/sitecustomize.py", "00") == set()
	_writing("build-child", "/opt/python/lib/python3.11/sitecustomize.py") == {
		"CRITICAL:PTH_SITECUSTOMIZE",
		"CRITICAL:PTH_WRITE_OUTSIDE_PIP",
	}
}

test_written_by_build if {
	_writing("build-child", _site("demo.pth")) == {"CRITICAL:PTH_WRITE_OUTSIDE_PIP", "HIGH:PTH_EXEC_LINE"}
	_writing("build-child", "/root/.local/lib/python3.11/site-packages/zz.pth") == {
		"CRITICAL:PTH_WRITE_OUTSIDE_PIP",
		"HIGH:PTH_EXEC_LINE",
		"HIGH:PTH_USER_SITE",
	}
	_processes([fixture.process("package-code", {"fileOps": {
		"renames": [
			{"oldPath": "/tmp/a", "newPath": _site("a.start")},
			{"oldPath": "/tmp/b", "newPath": _site("b.start"), "errno": "EACCES"},
		],
		"links": [{"path": _site("c.start"), "target": "/tmp/c", "symbolic": true}],
	}})]) == {"CRITICAL:PTH_WRITE_OUTSIDE_PIP", "CRITICAL:PTH_START_FILE"}
}

test_tampering if {
	_writing("build-child", _site("requests/__init__.py")) == {"CRITICAL:PTH_STDLIB_TAMPER"}
	_writing("build-child", "/root/venv/pyvenv.cfg") == {"CRITICAL:PTH_STDLIB_TAMPER"}
	_writing("build-child", "/root/venv/bin/python311._pth") == {"CRITICAL:PTH_STDLIB_TAMPER"}
	_writing("build-child", "/opt/python/lib/python3.11/os.py") == {"CRITICAL:PTH_STDLIB_TAMPER"}
	_processes([fixture.process("build-child", {"fileOps": {
		"deletes": [{"path": _site("requests/api.py")}],
		"renames": [{"oldPath": _site("requests/models.py"), "newPath": "/tmp/x"}],
	}})]) == {"CRITICAL:PTH_STDLIB_TAMPER"}
}

test_search_path if {
	_paths("x.pth", ["/tmp/.lib"]) == {"HIGH:PTH_PATH_HIJACK"}
	_paths("x.pth", ["../../../../tmp"]) == {"HIGH:PTH_PATH_HIJACK"}
	_analysis(
		[object.union(_detail("__editable__.my_demo-1.0.pth", "my-demo", []), {"pathLines": ["/srv/demo/src"]})],
		[{"name": "My-Demo", "installType": "editable"}],
	) == set()
}

_interpreter(more) := object.union(
	fixture.process("build-child", {
		"processid": 20,
		"args": [fixture.python, "/opt/python/hook.py", "build_wheel"],
		"fileOps": {"opens": [
			{"path": "/root/.aws/credentials", "mode": "read", "timestamp": "2026-11-23T10:00:06Z"},
			{"path": "/opt/python/hook.py", "mode": "read", "timestamp": "2026-11-23T10:00:07.5Z"},
		]},
	}),
	more,
)

_child(started) := fixture.process("build-child", {
	"processid": 21,
	"parentpid": 20,
	"program": "/usr/bin/true",
	"starttime": started,
	"execs": fixture.ran("/usr/bin/true", []),
})

_binding(port) := {"network": {"connections": [object.union(fixture.connection("::1", port), {"syscall": "bind"})]}}

test_while_starting if {
	_processes([_interpreter({}), _child("2026-11-23T10:00:07Z")]) == {"CRITICAL:PTH_CHILD_SPAWN"}
	_processes([_interpreter({}), _child("2026-11-23T10:00:08Z")]) == set()
	_processes([_interpreter({}), _child("2026-11-23T09:00:08Z")]) == set()
	connecting := {"network": {"connections": [fixture.connection("127.0.0.1", 9)]}}
	_processes([_interpreter(connecting)]) == {"CRITICAL:PTH_CHILD_SPAWN"}
	_processes([_interpreter(_binding(4444))]) == {"CRITICAL:PTH_CHILD_SPAWN"}
	_processes([_interpreter(_binding(0))]) == set()
	_processes([_interpreter({"openedfiles": {"/root/.aws/credentials": {}}})]) == {"CRITICAL:PTH_CHILD_SPAWN"}
}

test_not_evaluated if {
	count(pth_injection.not_evaluated) == 0 with input as fixture.install([])
	answers := pth_injection.not_evaluated with input as object.union(
		fixture.install([]),
		{"product": {_site("a.pth"): {"digest": {}}}},
	)
	count(answers) == 4
	"PTH_UNOWNED: the owners of start-up files are not in the evidence" in answers
	blind := {"coverage": {"trapped": []}}
	"PTH_CHILD_SPAWN: not observed: connect, execve, openat" in pth_injection.not_evaluated with input as blind
}
