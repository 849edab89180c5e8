# METADATA
# title: Ways out of a container
# description: >-
#   Continuous integration installs packages in containers. What leads from there to
#   the host is judged here; an attempt that failed counts like one that did not.
# related_resources:
#   - ref: https://attack.mitre.org/techniques/T1611/
package pip_witness.container_escape # regal ignore:file-length

import data.pip_witness.indicators.escape as table
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A container engine
# description: >-
#   Package code contacted the socket of a container engine, with which the host can be taken over, or
#   tried to.
# custom:
#   id: ESC_DOCKER_SOCK
#   severity: CRITICAL
#   attack: T1611
#   incidents: [strapi, AntV]
#   false_positives: Clients of an engine when they are used; importing one contacts nothing.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: connections, opens, programs with their arguments
deny contains msg if {
	some [i, address] in _sockets
	msg := sprintf(
		"CRITICAL:ESC_DOCKER_SOCK: %s contacted \"%s\", a container engine, which rules the host",
		[process.names[i], text.safe(address)],
	)
}

deny contains msg if {
	some contact in connections.contacts
	contact.role != "installer"
	contact.port in table.sockets.ports
	msg := sprintf(
		"CRITICAL:ESC_DOCKER_SOCK: %s contacted %s, a container engine, which rules the host",
		[contact.process, connections.peer(contact)],
	)
}

deny contains msg if {
	some command in programs.commands
	some argument in command.args
	regex.match(table.sockets.arguments, argument)
	not command.base in {"sh", "bash", "dash", "sed", "grep", "echo", "cat"}
	msg := sprintf(
		"CRITICAL:ESC_DOCKER_SOCK: %s ran \"%s\", which names a container engine",
		[command.who, text.safe(command.line)],
	)
}

# METADATA
# title: The first process
# description: >-
#   Package code reached for the root directory, the environment or the memory of the first process,
#   which on a shared host is the host's.
# custom:
#   id: ESC_PROC1_ROOT
#   severity: CRITICAL
#   attack: T1611
#   incidents: [TeamPCP]
#   false_positives: Process monitors read other things of it.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_PROC1_ROOT"
	msg := _access_message("ESC_PROC1_ROOT", access)
}

# METADATA
# title: A program for the kernel
# description: >-
#   Package code wrote where the kernel of the host finds a program to run or a switch of its own, or
#   tried to.
# custom:
#   id: ESC_CORE_PATTERN
#   severity: CRITICAL
#   attack: T1611
#   incidents: [generic]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_CORE_PATTERN"
	msg := _access_message("ESC_CORE_PATTERN", access)
}

# METADATA
# title: The agent of a control group
# description: >-
#   Package code wrote the program that a control group runs on the host when it gets empty, or tried
#   to.
# custom:
#   id: ESC_RELEASE_AGENT
#   severity: CRITICAL
#   attack: T1611
#   incidents: [CVE-2022-0492]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens, mount
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_RELEASE_AGENT"
	msg := _access_message("ESC_RELEASE_AGENT", access)
}

deny contains msg if {
	some [i, event] in _events
	event.syscall in {"mount", "fsopen"}
	regex.match(`^cgroup2?$`, object.get(event, "detail", ""))
	msg := sprintf(
		"CRITICAL:ESC_RELEASE_AGENT: %s mounted control groups at \"%s\", whose agent runs on the host",
		[process.names[i], text.safe(object.get(event, "targetPath", ""))],
	)
}

# METADATA
# title: Other namespaces
# description: A process entered the namespaces of another process, or tried to.
# custom:
#   id: ESC_NS_SETNS
#   severity: CRITICAL
#   attack: T1611
#   incidents: [TeamPCP]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: setns, opens, programs with their arguments
deny contains msg if {
	some [i, event] in _events
	event.syscall == "setns"
	msg := sprintf(
		"CRITICAL:ESC_NS_SETNS: %s called %s%s, which enters the namespaces of another process",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

deny contains msg if {
	some access in _accesses
	access.rule == "ESC_NS_SETNS"
	msg := _access_message("ESC_NS_SETNS", access)
}

deny contains msg if {
	some command in programs.commands
	_enters(command)
	msg := sprintf(
		"CRITICAL:ESC_NS_SETNS: %s %s \"%s\", which enters the namespaces of another process",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: New namespaces
# description: A process made namespaces of its own, in which it has rights that it lacks outside.
# custom:
#   id: ESC_NS_UNSHARE
#   severity: HIGH
#   attack: T1611
#   incidents: [generic]
#   false_positives: Browsers and build sandboxes when they are used.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: unshare, clone
deny contains msg if {
	some [i, event] in _events
	_new_namespaces(event)
	msg := sprintf(
		"HIGH:ESC_NS_UNSHARE: %s made namespaces by %s, in which it has rights that it lacks outside",
		[process.names[i], event.syscall],
	)
}

# METADATA
# title: Mounting
# description: A process mounted a file system or changed its root directory, or tried to.
# custom:
#   id: ESC_MOUNT
#   severity: CRITICAL
#   attack: T1611
#   incidents: [generic]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: mount, fsopen, move_mount, pivot_root, chroot, umount2
deny contains msg if {
	some [i, event] in _events
	event.syscall in table.calls.mount
	msg := sprintf(
		"CRITICAL:ESC_MOUNT: %s called %s%s, which changes what the file system is",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

# METADATA
# title: A device
# description: A process opened or made a device that gives the memory or the disks of the host.
# custom:
#   id: ESC_DEVICE
#   severity: CRITICAL
#   attack: T1611
#   incidents: [generic]
#   false_positives: none; graphics cards and terminals are not among them
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens, mknodat
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_DEVICE"
	msg := _access_message("ESC_DEVICE", access)
}

deny contains msg if {
	some i in process.controlled
	some made in input.processes[i].fileOps.dirs
	made.kind in {"block", "char"}
	msg := sprintf(
		"%s:ESC_DEVICE: %s made \"%s\", a %s device of the host",
		[{"block": "CRITICAL", "char": "HIGH"}[made.kind], process.names[i], text.safe(made.path), made.kind],
	)
}

# METADATA
# title: A node of a cluster
# description: Package code opened files of the kubelet or of the control plane, or contacted a kubelet.
# custom:
#   id: ESC_KUBELET
#   severity: CRITICAL
#   attack: T1611
#   incidents: [litellm 1.82.8, durabletask]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens, connections
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_KUBELET"
	msg := _access_message("ESC_KUBELET", access)
}

deny contains msg if {
	some contact in connections.contacts
	contact.role != "installer"
	contact.port in table.kubelet_ports.ports
	msg := sprintf(
		"CRITICAL:ESC_KUBELET: %s contacted %s, the port of a kubelet",
		[contact.process, connections.peer(contact)],
	)
}

# METADATA
# title: The file system of the host
# description: Package code opened files where containers have the file system of their host.
# custom:
#   id: ESC_HOST_MOUNT
#   severity: CRITICAL
#   attack: T1611
#   incidents: [litellm 1.82.8]
#   false_positives: A project that lies there itself is exempt.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_HOST_MOUNT"
	msg := _access_message("ESC_HOST_MOUNT", access)
}

# METADATA
# title: Programs in the kernel
# description: A process used bpf or performance events, by which a program runs in the kernel of the host.
# custom:
#   id: ESC_BPF
#   severity: CRITICAL
#   attack: T1611
#   incidents: [IronWorm]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: bpf, perf_event_open
deny contains msg if {
	some [i, event] in _events
	event.syscall == "bpf"
	msg := sprintf(
		"CRITICAL:ESC_BPF: %s called %s%s, which puts a program into the kernel of the host",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

deny contains msg if {
	some [i, event] in _events
	event.syscall == "perf_event_open"
	msg := sprintf(
		"HIGH:ESC_BPF: %s called %s%s, which watches the kernel of the host",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

# METADATA
# title: A module for the kernel of the host
# description: A process loaded a kernel module or put one in place, or tried to.
# custom:
#   id: ESC_KERNEL_MODULE
#   severity: CRITICAL
#   attack: T1547.006
#   incidents: [IronWorm]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: init_module, finit_module, opens
deny contains msg if {
	some [i, event] in _events
	event.syscall in table.calls.modules
	msg := sprintf(
		"CRITICAL:ESC_KERNEL_MODULE: %s called %s%s, which changes the kernel of the host",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

deny contains msg if {
	some access in _accesses
	access.rule == "ESC_KERNEL_MODULE"
	msg := _access_message("ESC_KERNEL_MODULE", access)
}

# METADATA
# title: Capabilities
# description: A process changed its capabilities or the switches that guard them.
# custom:
#   id: ESC_CAP
#   severity: HIGH
#   attack: T1548
#   incidents: [generic]
#   false_positives: none during an installation
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: capset, opens
deny contains msg if {
	some [i, event] in _events
	event.syscall == "capset"
	msg := sprintf(
		"HIGH:ESC_CAP: %s called %s%s, which changes its capabilities",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

deny contains msg if {
	some access in _accesses
	access.rule == "ESC_CAP"
	msg := _access_message("ESC_CAP", access)
}

# METADATA
# title: The program that runs containers
# description: >-
#   Package code wrote to the program that runs containers, or reached outside by a descriptor that it
#   left open.
# custom:
#   id: ESC_RUNC
#   severity: CRITICAL
#   attack: T1611
#   incidents: [CVE-2019-5736, CVE-2024-21626]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: opens, programs with their arguments
deny contains msg if {
	some access in _accesses
	access.rule == "ESC_RUNC"
	msg := _access_message("ESC_RUNC", access)
}

deny contains msg if {
	some command in programs.commands
	some argument in command.args
	regex.match(`(/proc/(self|[0-9]+)|/dev)/fd/[0-9]+/\.\.(/|$)`, argument)
	msg := sprintf(
		"CRITICAL:ESC_RUNC: %s ran \"%s\", which reaches outside of the container by a descriptor",
		[command.who, text.safe(command.line)],
	)
}

# METADATA
# title: Cryptography in the kernel
# description: >-
#   A process opened a socket of the cryptography in the kernel, which is seldom used and was a way to
#   more rights.
# custom:
#   id: ESC_AF_ALG
#   severity: HIGH
#   attack: T1068
#   incidents: [CVE-2026-31431]
#   false_positives: Bindings for that interface.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: socket
deny contains msg if {
	some i in process.controlled
	_kernel_crypto(input.processes[i].network)
	msg := sprintf(
		"HIGH:ESC_AF_ALG: %s opened a socket of the cryptography in the kernel, which was a way to more rights",
		[process.names[i]],
	)
}

# METADATA
# title: Faults handled by the program
# description: >-
#   A process asked to handle its own page faults, which helps to exploit the kernel. The sandbox
#   refuses it.
# custom:
#   id: ESC_USERFAULTFD
#   severity: LOW
#   attack: T1068
#   incidents: [generic]
#   false_positives: Virtual machines and databases when they are used.
#   solution: None by itself.
#   needs: userfaultfd
deny contains msg if {
	some [i, event] in _events
	event.syscall == "userfaultfd"
	msg := sprintf(
		"LOW:ESC_USERFAULTFD: %s called %s%s, which helps to exploit the kernel",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

# METADATA
# title: Keys of the kernel
# description: A process used the keyrings of the kernel.
# custom:
#   id: ESC_KEYCTL
#   severity: LOW
#   attack: T1068
#   incidents: [generic]
#   false_positives: Programs that keep tickets there.
#   solution: None by itself.
#   needs: keyctl, add_key, request_key
deny contains msg if {
	some [i, event] in _events
	event.syscall in table.calls.keys
	msg := sprintf(
		"LOW:ESC_KEYCTL: %s called %s%s, the keyrings of the kernel",
		[process.names[i], event.syscall, _on_path(event)],
	)
}

# METADATA
# title: Tools for containers
# description: Package code ran a program that handles containers, namespaces or mounts, or tried to.
# custom:
#   id: ESC_TOOL
#   severity: CRITICAL
#   attack: T1610
#   incidents: [strapi]
#   false_positives: Questions for a version are not reported.
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	_escape_tool(command)
	msg := sprintf(
		"CRITICAL:ESC_TOOL: %s %s \"%s\", a tool for containers and their host",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: A new workload in a cluster
# description: Package code made a pod or something that makes pods, or tried to.
# custom:
#   id: ESC_K8S_POD_CREATE
#   severity: CRITICAL
#   attack: T1610
#   incidents: [litellm 1.82.8, kamikaze]
#   false_positives: none
#   solution: Do not install it; look at the host, not only at the container, if it ran outside a sandbox.
#   needs: programs with their arguments, what was sent
deny contains msg if {
	some command in programs.commands
	regex.match(table.tools.pods, command.line)
	msg := sprintf(
		"CRITICAL:ESC_K8S_POD_CREATE: %s %s \"%s\", which starts a workload in a cluster",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

deny contains msg if {
	some i in process.controlled
	some flow in input.processes[i].network.flows
	request := connections.word(flow, "httpRequest")
	regex.match(table.tools.pod_requests, request)
	msg := sprintf(
		"CRITICAL:ESC_K8S_POD_CREATE: %s sent \"%s\", which starts a workload in a cluster",
		[process.names[i], text.safe(request)],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

_needs := {
	"ESC_DOCKER_SOCK": {"connect", "execve", "execveat"},
	"ESC_PROC1_ROOT": {"openat", "openat2"},
	"ESC_CORE_PATTERN": {"openat", "openat2"},
	"ESC_RELEASE_AGENT": {"openat", "openat2", "mount"},
	"ESC_NS_SETNS": {"openat", "openat2", "setns", "execve", "execveat"},
	"ESC_NS_UNSHARE": {"unshare", "clone", "clone3"},
	"ESC_MOUNT": {"chroot", "fsopen", "mount", "move_mount", "pivot_root", "umount2"},
	"ESC_DEVICE": {"mknodat", "openat", "openat2"},
	"ESC_KUBELET": {"connect", "openat", "openat2"},
	"ESC_HOST_MOUNT": {"openat", "openat2"},
	"ESC_BPF": {"bpf", "perf_event_open"},
	"ESC_KERNEL_MODULE": {"finit_module", "init_module", "openat"},
	"ESC_CAP": {"capset", "openat"},
	"ESC_RUNC": {"openat", "openat2", "execve", "execveat"},
	"ESC_AF_ALG": {"socket"},
	"ESC_USERFAULTFD": {"userfaultfd"},
	"ESC_KEYCTL": {"add_key", "keyctl", "request_key"},
	"ESC_TOOL": {"execve", "execveat"},
	"ESC_K8S_POD_CREATE": {"execve", "execveat"},
}

_access_message(id, access) := sprintf(
	"%s:%s: %s %s \"%s\", %s",
	[access.severity, id, process.names[access.index], access.verb, text.safe(access.path), access.what],
)

# Security-relevant calls of package code.
_events contains [i, event] if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
}

_on_path(event) := sprintf(" on \"%s\"", [text.safe(path)]) if {
	path := object.get(event, "targetPath", object.get(event, "path", ""))
	path != ""
}

_on_path(event) := "" if object.get(event, "targetPath", object.get(event, "path", "")) == ""

# Files of the tables that package code opened, or tried to.
_accesses contains access if {
	some [i, path, order, verb] in _opened
	entry := table.paths[order]
	not _own(i, path)
	not _project(entry, path)
	not _monitors(i, entry)
	access := {
		"index": i,
		"path": path,
		"verb": verb,
		"rule": entry.rule,
		"severity": entry.severity,
		"what": entry.what,
	}
}

_opened contains [i, path, order, "opened"] if {
	some path, orders in _readable
	some i in process.controlled
	input.processes[i].openedfiles[path]
	some order in orders
}

_opened contains [i, path, order, verb] if {
	some [i, path, mode, verb] in _noted
	some order in _orders(path)
	_counts(table.paths[order], mode)
}

_readable[path] := orders if {
	some path in opens.read_paths
	_worth(path)
	orders := {order | some order in _orders(path); table.paths[order].access == "any"}
	count(orders) > 0
}

# Opens that were not for reading alone, and those that failed: process, path, mode and
# what to call it.
_noted contains [i, o.path, o.mode, _verb(o)] if {
	some [i, j] in opens.other
	i in process.controlled
	o := input.processes[i].fileOps.opens[j]
	is_string(o.path)
	_worth(o.path)
}

_noted contains [i, o.path, o.mode, _verb(o)] if {
	some [i, j] in opens.failed
	i in process.controlled
	o := input.processes[i].fileOps.opens[j]
	is_string(o.path)
	_worth(o.path)
}

# Nearly every path of a run ends here.
_worth(path) if strings.any_prefix_match(path, _prefixes)

_worth(path) if strings.any_suffix_match(path, _suffixes)

# Sets, for which the engine keeps a tree between calls.
_prefixes := {prefix | some prefix in table.candidates.prefixes}

_suffixes := {suffix | some suffix in table.candidates.suffixes}

_orders(path) := {order |
	some order, entry in table.paths
	regex.match(entry.pattern, path)
}

_counts(entry, _) if entry.access == "any"

_counts(entry, mode) if {
	entry.access == "write"
	mode in {"write", "readwrite"}
}

_verb(o) := "tried to open" if object.get(o, "errno", "") != ""

_verb(o) := "opened to write" if {
	object.get(o, "errno", "") == ""
	o.mode in {"write", "readwrite"}
}

_verb(o) := "opened" if {
	object.get(o, "errno", "") == ""
	not o.mode in {"write", "readwrite"}
}

# What /proc holds about a process itself is its own.
_own(i, path) if {
	startswith(path, "/proc/")
	split(path, "/")[2] == sprintf("%v", [input.processes[i].processid])
	not contains(path, "/..")
	not regex.match(`/(uid_map|gid_map|setgroups)$`, path)
}

_monitors(i, entry) if {
	entry.rule == "ESC_PROC1_ROOT"
	program := input.processes[i].program
	process.base(program) in table.monitors.programs
	not process.writable(program)
}

# A project, an environment or a home that lies below such a directory.
_project(entry, path) if {
	entry.rule == "ESC_HOST_MOUNT"
	some key in ["workDir", "home", "prefix"]
	own := input.coverage.sandbox[key]
	is_string(own)
	split(own, "/")[1] == split(path, "/")[1]
}

_sockets contains [i, c.address] if {
	some i in process.controlled
	some c in input.processes[i].network.connections
	c.family == "AF_UNIX"
	is_string(c.address)
	regex.match(table.sockets.paths, c.address)
}

_sockets contains [i, path] if {
	some [i, path, _, _] in _noted
	regex.match(table.sockets.paths, path)
}

_ran(command) := "ran" if not command.failed

_ran(command) := "tried to run" if command.failed

_enters(command) if {
	command.base in table.tools.namespaces
	not _asks_version(command)
}

_enters(command) if regex.match(`^ip( -[^ ]+)* netns exec `, command.line)

_escape_tool(command) if {
	command.base in table.tools.programs
	not table.tools.arguments[command.base]
	not _asks_version(command)
}

_escape_tool(command) if {
	command.base in table.tools.programs
	regex.match(table.tools.arguments[command.base], concat(" ", command.args))
	not _asks_version(command)
}

_escape_tool(command) if regex.match(table.tools.kubernetes, command.line)

_asks_version(command) if {
	count(command.args) == 1
	command.args[0] in {"--version", "-version", "-V", "-v", "version", "--help", "-h", "help"}
}

# Flags of namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_new_namespaces(event) if {
	event.syscall in {"unshare", "clone", "clone3"}
	bits.and(event.args[0], 2114060288) != 0
}

_kernel_crypto(network) if {
	some socket in network.sockets
	socket.family in {"AF_38", "AF_ALG"}
}
