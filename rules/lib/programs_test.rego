package pip_witness.lib.programs_test

import data.pip_witness.lib.fixture
import data.pip_witness.lib.programs

import rego.v1

_evidence(execs) := fixture.install([fixture.process("build-child", {"parentpid": 3, "execs": execs})])

_shell(line) := _evidence([{"program": "/usr/bin/dash", "argv": ["sh", "-c", line]}])

# The commands of a shell text, as lines.
_lines(line) := {command.line |
	# regal ignore:with-outside-test-context
	some command in programs.commands with input as _shell(line)
	command.source == "shell"
}

_piped(line) := {[stage.base | some stage in pipeline.stages] |
	# regal ignore:with-outside-test-context
	some pipeline in programs.pipelines with input as _shell(line)
}

test_shell_texts if {
	every line, want in {
		"a; b && c || d & e\nf": {"a", "b", "c", "d", "e", "f"},
		"curl -s x | sh": {"curl -s x", "sh"},
		"(cd /x && make) > log 2>&1 < in": {"cd /x", "make"},
		`echo "a; b" 'c | d' e\ f`: {"echo a; b c | d e f"},
		`c"u"r\l${IFS}x`: {"curl x"},
		"A=1 B=2 env -i C=3 nohup timeout -s KILL 5 sudo -n -u root nice -n 5 python3 x.py": {"python3 x.py"},
		"if true; then ls; fi": {"true", "ls", "fi"},
		"command -v curl": set(),
		"xargs -n 1 -I {} rm {}": {"rm {}"},
		"cat <<<word": {"cat"},
		"a 2>&1 | b >| f": {"a", "b"},
		"echo it's": {"echo it s"},
		"env; env A=1": {"env", "env A=1"},
		"-x": set(),
	} {
		_lines(line) == want
	}
}

test_texts_inside if {
	_lines("bash -c \"$(curl -s x)\"") == {"bash -c $(curl -s x)", "curl -s x"}
	_lines("bash <(wget -qO- y)") == {"bash <(wget -qO- y)", "wget -qO- y"}
	_lines("eval `fetch z`") == {"eval `fetch z`", "fetch z"}
	_lines("sh -c 'bash -lc \"a | b\"'") & {"a", "b"} == {"a", "b"}
	some found in programs.texts with input as _shell("echo $(id)")
	found.text == "id"
}

test_pipelines if {
	_piped("a | b |& c; d | e") == {["a", "b", "c"], ["d", "e"]}
	_piped("a; b") == set()
}

_one(execs) := command if {
	# regal ignore:with-outside-test-context
	some command in programs.commands with input as _evidence(execs)
	command.source == "exec"
}

test_names if {
	_one(fixture.ran("/usr/bin/python3.11", ["-m", "x"])).classes == {"python"}
	_one([{"program": "/bin/busybox", "argv": ["wget", "u"]}]).line == "wget u"
	_one([{"program": "/bin/busybox", "argv": ["busybox", "sh", "-c", "x"]}]).line == "sh -c x"
	_one([{"program": "/bin/busybox", "argv": ["busybox"]}]).line == "busybox"
	_one(fixture.ran("/usr/bin/x86_64-linux-gnu-gcc-12", [])).classes == {"compiler"}
	"downloader" in programs.classes_of("curl")
	"curl" in programs.named("downloader")
}

# A copy of an interpreter under another name.
test_copies if {
	count(programs.commands) == 1 with input as fixture.install([
		fixture.process("build-child", {"openedfiles": {"/usr/bin/bash": {"sha256": "b1"}}}),
		fixture.process("build-child", {"processid": 10, "execs": [{
			"program": "/tmp/x",
			"argv": ["x", "-c", "id"],
			"digest": {"sha256": "none"},
		}]}),
	])
	some copied in programs.commands with input as fixture.install([
		fixture.process("build-child", {"openedfiles": {"/usr/bin/bash": {"sha256": "b1"}}}),
		fixture.process("build-child", {"processid": 10, "execs": [{
			"program": "/tmp/x",
			"argv": ["x", "-c", "id"],
			"digest": {"sha256": "b1"},
		}]}),
	])
	copied.base == "x"
	copied.classes == {"shell"}
	some known in programs.commands with input as _evidence([
		{"program": "/opt/python/bin/python3.11", "argv": ["python", "x.py"], "digest": {"sha256": "p1"}},
		{"program": "/dev/shm/q", "argv": ["q", "y.py"], "digest": {"sha256": "p1"}},
	])
	known.base == "q"
	known.classes == {"python"}
}

# Of a search along PATH one attempt is left; one that fails is an attempt.
test_attempts if {
	found := programs.commands with input as _evidence([
		{"program": "/a/docker", "argv": ["docker", "ps"], "errno": "ENOENT"},
		{"program": "/b/docker", "argv": ["docker", "ps"], "errno": "ENOENT"},
	])
	{[c.line, c.failed] | some c in found} == {["docker ps", true]}
	succeeded := programs.commands with input as _evidence([
		{"program": "/a/ls", "argv": ["ls"], "errno": "ENOENT"},
		{"program": "/b/ls", "argv": ["ls"]},
	])
	{[c.program, c.failed] | some c in succeeded} == {["/b/ls", false]}
}

# Behind another program: also where nobody has it.
test_wrapped if {
	found := programs.commands with input as _evidence(fixture.ran("/usr/bin/env", ["-i", "A=1", "docker", "ps"]))
	{[c.source, c.line] | some c in found} == {["exec", "env -i A=1 docker ps"], ["wrapper", "docker ps"]}
}

# What the trusted side started is not the package's choice; what it started where the
# run can write is.
test_given if {
	hook := ["python", "/opt/python/lib/python3.11/site-packages/pip/_in_process.py"]
	first := fixture.process("build-child", {"execs": [{"program": fixture.python, "argv": hook}]})
	count(programs.commands) == 0 with input as fixture.install([first])
	planted := fixture.process("package-code", {"execs": [{"program": "/tmp/uname", "argv": ["uname"]}]})
	count(programs.commands) == 1 with input as fixture.install([planted])
	count(programs.commands) == 0 with input as fixture.imported([fixture.harness({"parentpid": 7})])
	count(programs.commands) == 0 with input as fixture.imported([fixture.harness({}), fixture.harness({"processid": 3})])
	count(programs.commands) == 0 with input as fixture.imported([
		fixture.harness({}),
		fixture.harness({"processid": 3, "parentpid": 2}),
	])
}

# Evidence of other tools.
test_other_shapes if {
	count(programs.commands) == 1 with input as {"processes": [
		{"processid": 5, "program": "/usr/bin/python3", "cmdline": "python3 -m pip install x"},
		{"processid": 6, "parentpid": 5, "program": "/usr/bin/curl", "cmdline": "curl http://x"},
	]}
	count(programs.commands) == 0 with input as {"processes": [
		{"processid": 5, "program": 5},
		{"processid": 7, "parentpid": 5, "execs": [{"program": 1, "argv": 2}, {"program": "a", "argv": [3]}]},
	]}
}

_command(classes, args) := {"classes": classes, "args": args}

test_code if {
	programs.code(_command({"shell"}, ["-euxc", "x"])) == "x"
	programs.code(_command({"shell"}, ["-o", "pipefail", "-c", "x"])) == "x"
	programs.code(_command({"python"}, ["-I", "-c", "x"])) == "x"
	programs.code(_command({"perl"}, ["-ne", "x"])) == "x"
	programs.code(_command({"javascript"}, ["--eval", "x"])) == "x"
	programs.code(_command({"php"}, ["-r", "x"])) == "x"
	programs.code(_command({"powershell"}, ["-EncodedCommand", "x"])) == "x"
	not programs.code(_command({"python"}, ["./x.py", "-c", "y"]))
	not programs.code(_command({"compiler"}, ["-c", "y"]))
}

test_script if {
	programs.script(_command({"python"}, ["-W", "ignore", "x.py", "y"])) == "x.py"
	programs.script(_command({"loader"}, ["--list", "/tmp/x"])) == "/tmp/x"
	not programs.script(_command({"python"}, ["-m", "pip", "install"]))
	not programs.script(_command({"compiler"}, ["x.c"]))
}

test_reads_input if {
	programs.reads_input(_command({"shell"}, []))
	programs.reads_input(_command({"shell"}, ["-s"]))
	programs.reads_input(_command({"python"}, ["-"]))
	not programs.reads_input(_command({"python"}, ["--version"]))
	not programs.reads_input(_command({"python"}, ["-m", "x"]))
	not programs.reads_input(_command({"compiler"}, []))
	programs.interpreter(_command({"perl"}, []))
}
