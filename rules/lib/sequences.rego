# Steps that attacks are made of, as package code takes them: reaching out, taking
# credentials, bringing a file and running it.
package pip_witness.lib.sequences

import data.pip_witness.indicators.sequences as table
import data.pip_witness.lib.connections
import data.pip_witness.lib.credentials
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text
import data.pip_witness.lib.writes

import rego.v1

# outward are the contacts that package code made, without those that the installer is
# allowed and those that nobody knows to have been used.
outward contains contact if {
	some contact in connections.contacts
	not contact.allowed
	not contact.weak
	not contact.role in {"installer", "build-frontend"}
}

# peers names, for messages, whom package code reached or asked for; loopback is among
# them only where it is this run's index.
peers contains connections.peer(contact) if {
	some contact in outward
	_elsewhere(contact)
}

peers contains sprintf("the name \"%s\"", [text.safe(query)]) if {
	some i in process.controlled
	some lookup in input.processes[i].network.dnsLookups
	query := connections.word(lookup, "query")
	query != ""
	not lower(trim_suffix(query, ".")) in _hostnames
}

_hostnames contains lower(contact.hostname) if some contact in outward

_elsewhere(contact) if contact.scope != "loopback"

_elsewhere(contact) if contact.gateway

# reaching are the positions of processes with a stream to another machine.
reaching contains i if {
	some i in process.controlled
	some c in input.processes[i].network.connections
	connections.internet(c)
	c.syscall == "connect"
	object.get(c, "type", "SOCK_STREAM") == "SOCK_STREAM"
	connections.scope(connections.normal(c.address)) != "loopback"
}

# taken are accesses of weight to credentials, each with the position of a process
# that made it.
taken contains object.union(access, {"index": i}) if {
	some access in credentials.accesses
	access.severity in {"CRITICAL", "HIGH"}
	some i in _numbered[access.pid]
	access.process == process.names[i]
}

_numbered[pid] contains i if {
	some i in process.controlled
	pid := input.processes[i].processid
}

# matching(lists) are the commands of package code that one of the lists describes, by
# name and arguments.
matching(lists) := {command |
	some known in lists
	some name in known.names
	some command in _called[name]
	line := concat(" ", command.args)
	regex.match(known.arguments, line)
	not _excepted(known, line)
}

_excepted(known, line) if regex.match(known.except, line)

_called[name] contains command if {
	some command in programs.commands
	name := command.base
}

# made are [path, position, time] of what package code wrote, renamed or linked into
# place.
made contains [w.path, i, object.get(w, "timestamp", "")] if {
	some i in process.controlled
	some w in input.processes[i].fileOps.writes
	is_string(w.path)
}

made contains [r.newPath, i, object.get(r, "timestamp", "")] if {
	some i in process.controlled
	some r in input.processes[i].fileOps.renames
	process.succeeded(r)
	is_string(r.newPath)
}

made contains [l.path, i, object.get(l, "timestamp", "")] if {
	some i in process.controlled
	some l in input.processes[i].fileOps.links
	process.succeeded(l)
	is_string(l.path)
}

makers := object.union_n([{path: {i: true}} | some [path, i, _] in made])

# drops are files that package code made and then had run, by the kernel, by an
# interpreter or by the loader: path, how, and the positions of makers and runner.
# Products of a compiler are none.
drops contains drop if {
	some run in _runs
	makers[run.path]
	not _product(run.path)
	drop := {
		"path": run.path,
		"makers": object.keys(makers[run.path]),
		"runner": run.index,
		"who": run.who,
		"how": run.how,
	}
}

# A program that never was a file.
drops contains drop if {
	some command in programs.commands
	_memory(command.program)
	drop := {
		"path": command.program,
		"makers": {command.index},
		"runner": command.index,
		"who": command.who,
		"how": "ran",
	}
}

# brought(drop) is true where a process that made the file reached out itself, or is
# a program that downloads.
brought(drop) if {
	some i in drop.makers
	_fetches(i)
}

# at_home(drop) is true in the directories in which the installer builds: scripts that
# a build makes there and runs are its work.
at_home(drop) if writes.build(drop.path)

_fetches(i) if i in reaching

_fetches(i) if "downloader" in _classes[i]

_memory(program) if startswith(program, "/memfd:")

_memory(program) if startswith(program, "memfd:")

_memory(program) if regex.match(`^/(proc/[^/]+|dev)/fd/[0-9]+$`, program)

_runs contains {"path": command.program, "index": command.index, "who": command.who, "how": "ran"} if {
	some command in programs.commands
	makers[command.program]
}

_runs contains {"path": script, "index": command.index, "who": command.who, "how": "ran"} if {
	some command in programs.commands
	script := writes.normal(programs.script(command))
	makers[script]
}

# A script that was named relative to the working directory is known by what the
# interpreter opened.
_runs contains {"path": path, "index": command.index, "who": command.who, "how": "ran"} if {
	some command in programs.commands
	script := programs.script(command)
	not startswith(script, "/")
	suffix := sprintf("/%s", [process.base(script)])
	some path, _ in input.processes[command.index].openedfiles
	endswith(path, suffix)
	makers[path]
}

# A library that was made and then loaded.
# regal ignore:use-some-for-output-vars
_runs contains {"path": path, "index": i, "who": process.names[i], "how": "loaded"} if {
	count(_libraries) > 0
	some i in process.controlled
	opened := input.processes[i].openedfiles
	is_object(opened)
	some path in (object.keys(opened) & _libraries)
}

_libraries contains path if {
	some path, _ in makers
	regex.match(`\.so(\.[0-9.]+)?$|\.pyz$`, path)
	not writes.build(path)
}

_product(path) if {
	every i, _ in makers[path] {
		_toolchain(i)
	}
}

# A shell that ends as a compiler has written as a shell before.
_toolchain(i) if {
	count(_classes[i] & {"compiler", "linker", "driver"}) > 0
	not _interprets(i)
	not makers[input.processes[i].program]
}

_toolchain(i) if {
	# regal ignore:external-reference
	process.base(input.processes[i].program) in table.toolchain.names

	# regal ignore:external-reference
	not makers[input.processes[i].program]
	some above in process.ancestors(i)
	count(_classes[above] & {"compiler", "linker", "driver"}) > 0
}

_interprets(i) if {
	some command in _of_process[i]
	programs.interpreter(command)
}

_classes[i] := union({command.classes | some command in _of_process[i]}) if some i, _ in _of_process

_of_process[i] contains command if {
	some command in programs.commands
	command.source == "exec"
	i := command.index
}

# loaded are the paths of libraries that package code opened.
loaded contains path if {
	some path in opens.read_paths
	regex.match(table.encryptors.libraries, path)
}

# uploads are, for messages, what package code sent away or tried to: programs that
# upload, requests that carry a body, and much that was sent unasked.
uploads contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in matching(table.couriers.programs)
}

# regal ignore:use-some-for-output-vars
uploads contains sprintf("%s sent %v bytes to %s", [process.names[i], flow.bytes, text.safe(flow.address)]) if {
	some i in process.controlled
	some flow in input.processes[i].network.flows
	_carries(flow)
}

_carries(flow) if regex.match(`^(POST|PUT|PATCH)\b`, connections.word(flow, "httpRequest"))

_carries(flow) if flow.bytes > 4096
