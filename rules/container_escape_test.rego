package pip_witness.container_escape_test

import data.pip_witness.container_escape
import data.pip_witness.lib.fixture

import rego.v1

_found(evidence) := found if {
	# regal ignore:with-outside-test-context
	messages := container_escape.deny with input as evidence
	found := fixture.findings(messages)
}

_process(more) := _found(fixture.install([fixture.process("package-code", more)]))

_opening(path) := _process({"openedfiles": {path: {"sha256": "aa"}}})

_attempting(path) := _process({"fileOps": {"opens": [{"path": path, "mode": "read", "errno": "EACCES"}]}})

_writing(path) := _process({"fileOps": {"opens": [{"path": path, "mode": "write"}]}})

_calling(event) := _process({"syscallEvents": [event]})

_running(program, args) := _process({"parentpid": 3, "execs": fixture.ran(program, args)})

_connecting(connection) := _process({"network": {"connections": [connection]}})

# What honest programs read and call.
test_quiet if {
	_found(fixture.install([])) == set()
	every path in [
		"/proc/1/cgroup", "/proc/1/stat", "/proc/1/cmdline", "/proc/self/cgroup", "/proc/9/root/etc/passwd",
		"/proc/9/ns/mnt",
		"/proc/9/exe", "/proc/sys/kernel/ngroups_max", "/dev/null", "/dev/shm/sem.x", "/dev/nvidia0",
		"/dev/dri/card0", "/etc/hosts",
		"/sys/class/dmi/id/product_name", "/sys/kernel/mm/transparent_hugepage/enabled", "/usr/bin/runc", "/hosts",
		"/.dockerenv",
	] {
		_opening(path) == set()
	}
	every path in ["/dev/null", "/dev/tty", "/proc/9/oom_score_adj", "/tmp/x", "/proc/9/comm"] {
		_writing(path) == set()
	}
	every event in [
		{"syscall": "unshare", "args": [512]},
		{"syscall": "clone", "args": [8388625]},
		{"syscall": "prctl", "args": [15, 0]},
		{"syscall": "memfd_create", "detail": "x", "args": [0, 1]},
	] {
		_calling(event) == set()
	}
}

test_quiet_programs if {
	every command in [
		["docker", "--version"], ["lxc", "list"], ["kubectl", "version", "--client"], ["mount"], [
			"nsenter",
			"--version",
		],
		["gcc", "-c", "x.c"], ["ip", "addr"],
	] {
		_running(concat("/", ["/usr/bin", command[0]]), array.slice(command, 1, count(command))) == set()
	}
}

# Monitors look at every process, also at the first.
test_quiet_monitor if {
	_process({"program": "/usr/bin/ps", "openedfiles": {"/proc/1/environ": {"sha256": "aa"}}}) == set()
	"CRITICAL:ESC_PROC1_ROOT" in _process({
		"program": "/tmp/ps",
		"openedfiles": {"/proc/1/environ": {"sha256": "aa"}},
	})
}

# A project of one's own below a directory of that name.
test_quiet_project if {
	evidence := object.union(
		fixture.install([fixture.process("build-child", {"openedfiles": {"/host/home/me/x": {"sha256": "aa"}}})]),
		{"coverage": {"sandbox": {"workDir": "/host/home/me", "home": "/root", "prefix": "/root/venv"}}},
	)
	_found(evidence) == set()
}

test_paths if {
	every path, id in {
		"/proc/1/root/etc/shadow": "ESC_PROC1_ROOT",
		"/proc/17/cwd/x": "ESC_PROC1_ROOT",
		"/proc/1/environ": "ESC_PROC1_ROOT",
		"/proc/1/ns/mnt": "ESC_NS_SETNS",
		"/dev/mem": "ESC_DEVICE",
		"/dev/nvme0n1": "ESC_DEVICE",
		"/dev/kmsg": "ESC_DEVICE",
		"/var/lib/kubelet/pki/kubelet-client-current.pem": "ESC_KUBELET",
		"/etc/rancher/k3s/k3s.yaml": "ESC_KUBELET",
		"/host/etc/shadow": "ESC_HOST_MOUNT",
		"/proc/self/fd/7/../../../etc/passwd": "ESC_RUNC",
		"/run/docker.sock": "ESC_DOCKER_SOCK",
	} {
		finding := concat(":", ["CRITICAL", id])
		finding in _attempting(path)
		finding in (_opening(path) | _writing(path))
	}
}

test_writes if {
	every path, finding in {
		"/proc/sys/kernel/core_pattern": "CRITICAL:ESC_CORE_PATTERN",
		"/proc/sysrq-trigger": "CRITICAL:ESC_CORE_PATTERN",
		"/sys/kernel/uevent_helper": "CRITICAL:ESC_CORE_PATTERN",
		"/tmp/cgrp/release_agent": "CRITICAL:ESC_RELEASE_AGENT",
		"/usr/sbin/runc": "CRITICAL:ESC_RUNC",
		"/lib/modules/6.1/x.ko": "CRITICAL:ESC_KERNEL_MODULE",
		"/proc/9/uid_map": "HIGH:ESC_CAP",
	} {
		_writing(path) == {finding}
		_attempting(path) == set()
	}
}

test_opened_without_reading if {
	_process({"fileOps": {"opens": [{"path": "/dev/sda", "mode": "path"}]}}) == {"CRITICAL:ESC_DEVICE"}
}

test_calls if {
	every call, finding in {
		"setns": "CRITICAL:ESC_NS_SETNS",
		"bpf": "CRITICAL:ESC_BPF",
		"perf_event_open": "HIGH:ESC_BPF",
		"finit_module": "CRITICAL:ESC_KERNEL_MODULE",
		"capset": "HIGH:ESC_CAP",
		"pivot_root": "CRITICAL:ESC_MOUNT",
		"userfaultfd": "LOW:ESC_USERFAULTFD",
		"keyctl": "LOW:ESC_KEYCTL",
	} {
		_calling({"syscall": call, "detail": "", "args": [0]}) == {finding}
	}
	_calling({"syscall": "unshare", "args": [268566528]}) == {"HIGH:ESC_NS_UNSHARE"}
	_calling({"syscall": "clone", "args": [268435473]}) == {"HIGH:ESC_NS_UNSHARE"}
	_calling({"syscall": "mount", "detail": "cgroup", "path": "cgroup", "targetPath": "/tmp/c", "args": [0]}) == {
		"CRITICAL:ESC_MOUNT",
		"CRITICAL:ESC_RELEASE_AGENT",
	}
}

# At the import the harness runs the package in itself.
test_import if {
	_found(fixture.imported([fixture.harness({"syscallEvents": [{
		"syscall": "setns",
		"args": [3],
	}]})])) == {"CRITICAL:ESC_NS_SETNS"}
}

test_connections if {
	every address in [
		"/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
		"/root/.docker/run/docker.sock",
	] {
		_connecting({
			"syscall": "connect", "family": "AF_UNIX", "address": address,
			"errno": "ENOENT",
		}) == {"CRITICAL:ESC_DOCKER_SOCK"}
	}
	_connecting({"syscall": "connect", "family": "AF_UNIX", "address": "/run/nscd/socket"}) == set()
	_connecting(fixture.connection("172.17.0.1", 2375)) == {"CRITICAL:ESC_DOCKER_SOCK"}
	_connecting(fixture.connection("127.0.0.1", 10250)) == {"CRITICAL:ESC_KUBELET"}
	_connecting(fixture.connection("127.0.0.1", 8126)) == set()
}

test_devices if {
	_process({"fileOps": {"dirs": [{
		"path": "/tmp/b", "kind": "block",
		"errno": "EPERM",
	}]}}) == {"CRITICAL:ESC_DEVICE"}
	_process({"fileOps": {"dirs": [{"path": "/tmp/b", "kind": "char"}]}}) == {"HIGH:ESC_DEVICE"}
	_process({"fileOps": {"dirs": [{"path": "/tmp/b", "kind": "fifo"}]}}) == set()
}

test_crypto if {
	_process({"network": {"sockets": [{"family": "AF_38", "type": "SOCK_SEQPACKET"}]}}) == {"HIGH:ESC_AF_ALG"}
	_process({"network": {"sockets": [{"family": "AF_PACKET", "type": "SOCK_RAW"}]}}) == set()
}

test_programs if {
	_running("/usr/bin/docker", ["run", "-v", "/:/h", "x"]) == {"CRITICAL:ESC_TOOL"}
	_running("/usr/bin/nsenter", ["-t", "1", "-m"]) == {"CRITICAL:ESC_TOOL", "CRITICAL:ESC_NS_SETNS"}
	_running("/usr/sbin/ip", ["netns", "exec", "x", "sh"]) == {"CRITICAL:ESC_NS_SETNS"}
	_running("/usr/bin/mount", ["-t", "cgroup", "x", "/tmp/x"]) == {"CRITICAL:ESC_TOOL"}
	_running("/usr/bin/kubectl", ["apply", "-f", "x"]) == {"CRITICAL:ESC_TOOL", "CRITICAL:ESC_K8S_POD_CREATE"}
	_running("/usr/bin/kubectl", ["-n", "kube-system", "get", "run"]) == set()
	_running("/usr/bin/kubectl", ["-n", "kube-system", "exec", "x"]) == {"CRITICAL:ESC_TOOL"}
	_running("/usr/bin/curl", ["--unix-socket", "/var/run/docker.sock", "http://x/"]) == {"CRITICAL:ESC_DOCKER_SOCK"}
	_running("/usr/bin/cat", ["/proc/self/fd/8/../../etc/shadow"]) == {"CRITICAL:ESC_RUNC"}
}

test_attempted_program if {
	_process({"parentpid": 3, "execs": [{
		"program": "/usr/bin/docker", "argv": ["docker", "ps"],
		"errno": "ENOENT",
	}]}) == {"CRITICAL:ESC_TOOL"}
}

test_request if {
	flow := {
		"protocol": "tcp", "address": "10.0.0.1", "port": 443,
		"httpRequest": "POST /api/v1/namespaces/kube-system/pods HTTP/1.1",
	}
	_process({"network": {"flows": [flow]}}) == {"CRITICAL:ESC_K8S_POD_CREATE"}
	_process({"network": {"flows": [object.union(flow, {"httpRequest": "GET / HTTP/1.1"})]}}) == set()
}

test_not_evaluated if {
	every message in container_escape.not_evaluated {
		startswith(message, "ESC_")
	} with input as fixture.install([])
	count(container_escape.not_evaluated) == 19 with input as {"processes": []}
}
