# METADATA
# title: Steps that only together are an attack
# description: >-
#   Joins what package code did over all processes and the whole run: whoever reads in one
#   process and sends in another, in whichever order, is found. The run's processes are one
#   tree; what the installer does for itself is left out.
# related_resources:
#   - ref: https://attack.mitre.org/tactics/
package pip_witness.attack_sequences # regal ignore:file-length

import data.pip_witness.credential_harvesting
import data.pip_witness.indicators.network
import data.pip_witness.indicators.persistence as known
import data.pip_witness.indicators.sequences as table
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.sequences
import data.pip_witness.lib.text
import data.pip_witness.lib.writes
import data.pip_witness.network_exfiltration

import rego.v1

# METADATA
# title: Credentials and a connection
# description: >-
#   Package code touched credentials and reached out, in whichever order and processes of one run.
# custom:
#   id: SEQ_CRED_THEN_CONNECT
#   severity: CRITICAL
#   attack: T1041
#   incidents: [litellm 1.82.7, fabrice, lightning, durabletask]
#   false_positives: the installer, which reads netrc for the index, is left out
#   solution: Do not install it; replace every credential that the other findings name.
#   needs: opened files, failed opens of watched paths, connections
deny contains msg if {
	count(_credentials) > 0
	some peer in _reached
	msg := sprintf(
		"CRITICAL:SEQ_CRED_THEN_CONNECT: package code touched credentials (%s) and contacted %s in the same run",
		[concat(", ", sort(_credentials)), peer],
	)
}

deny contains msg if {
	count(_credentials) > 0
	count(_reached) == 0
	msg := sprintf(
		"CRITICAL:SEQ_CRED_THEN_CONNECT: package code touched credentials (%s) and %s in the same run",
		[concat(", ", sort(_credentials)), _one(sequences.uploads)],
	)
}

# What a build read stays read: the import can send it.
deny contains msg if {
	count(_credentials) == 0
	count(_earlier) > 0
	some peer in _reached
	msg := sprintf(
		"CRITICAL:SEQ_CRED_THEN_CONNECT: the installation opened \"%s\", and importing contacted %s",
		[text.safe(sort(_earlier)[0]), peer],
	)
}

# METADATA
# title: A decoy that left
# description: >-
#   A value that only this run's decoys hold was sent, asked of the name service, or given to a program as an
#   argument.
# custom:
#   id: SEQ_CANARY_LEAK
#   severity: CRITICAL
#   attack: T1041
#   incidents: [litellm 1.82.7, ctx, torchtriton]
#   false_positives: none
#   solution: Do not install it; report it to the index.
#   needs: what was sent and asked, arguments of programs
deny contains msg if {
	some leak in connections.leaks
	msg := sprintf(
		"CRITICAL:SEQ_CANARY_LEAK: the decoy credential \"%s\" was taken, and %s sent it to %s",
		[leak.decoy, leak.process, leak.to],
	)
}

deny contains msg if {
	some decoy in input.coverage.sandbox.decoys
	is_string(decoy.canary)
	some command in programs.commands
	contains(command.line, decoy.canary)
	msg := sprintf(
		"CRITICAL:SEQ_CANARY_LEAK: %s gave the decoy credential \"%s\" to the program \"%s\" as an argument",
		[command.who, text.safe(object.get(decoy, "path", object.get(decoy, "variable", ""))), text.safe(command.base)],
	)
}

# METADATA
# title: Cloud metadata and a connection
# description: >-
#   Package code asked where a cloud hands out credentials and contacted somebody else.
# custom:
#   id: SEQ_IMDS_THEN_CONNECT
#   severity: CRITICAL
#   attack: T1552.005
#   incidents: [litellm 1.82.7, durabletask]
#   false_positives: none during an installation or an import
#   solution: Do not install it; rotate the machine's role credentials if it ran outside a sandbox.
#   needs: connections
deny contains msg if {
	services := {connections.peer(contact) |
		some contact in sequences.outward
		contact.address in network.metadata_services.addresses
	}
	some contact in sequences.outward
	not contact.address in network.metadata_services.addresses
	contact.scope != "loopback"
	msg := sprintf(
		"CRITICAL:SEQ_IMDS_THEN_CONNECT: package code asked %s for credentials and contacted %s in the same run",
		[_one(services), connections.peer(contact)],
	)
}

# METADATA
# title: A file that was brought and run
# description: >-
#   Package code made a file and had it run, by itself, through an interpreter or through the loader; CRITICAL
#   where it reached out in the same run, else HIGH.
# custom:
#   id: SEQ_DOWNLOAD_CHMOD_EXEC
#   severity: CRITICAL
#   attack: T1105
#   incidents: [lightning, mistralai 2.4.6, Hades, ultralytics 8.3.41, fabrice]
#   false_positives: products of compilers and scripts of the build directory are left out
#   solution: Do not install it; look at the file.
#   needs: writes, renames, links, arguments of programs, connections
deny contains msg if {
	some drop in sequences.drops
	not _building(drop)
	msg := sprintf(
		"%s:SEQ_DOWNLOAD_CHMOD_EXEC: package code made \"%s\" and %s %s it%s",
		[_drop_severity, text.safe(drop.path), drop.who, drop.how, _source],
	)
}

# METADATA
# title: Packed, encrypted and sent
# description: >-
#   Package code packed files, encrypted something and reached out.
# custom:
#   id: SEQ_ARCHIVE_ENCRYPT_UPLOAD
#   severity: CRITICAL
#   attack: T1560.001
#   incidents: [litellm 1.82.8, the TeamPCP stealers]
#   false_positives: none during an installation or an import
#   solution: Do not install it; replace every credential of that machine.
#   needs: arguments of programs, writes, connections
deny contains msg if {
	# regal ignore:unconditional-assignment
	msg := sprintf(
		"CRITICAL:SEQ_ARCHIVE_ENCRYPT_UPLOAD: package code packed (%s), encrypted (%s) and reached out (%s), as thieves do",
		[_one(_archives), _one(_encryptions), _one(_sent_to)],
	)
}

# METADATA
# title: Packed and sent
# description: >-
#   Package code packed files and sent something away.
# custom:
#   id: SEQ_ARCHIVE_UPLOAD
#   severity: HIGH
#   attack: T1560.001
#   incidents: [xinference]
#   false_positives: builds that publish their logs
#   solution: Do not install it; look at what was packed.
#   needs: arguments of programs, writes, what was sent
deny contains msg if {
	# regal ignore:defer-assignment
	archive := _one(_archives)
	count(_encryptions) == 0
	msg := sprintf(
		"HIGH:SEQ_ARCHIVE_UPLOAD: package code packed (%s) and sent something away (%s)",
		[archive, _one(_sent)],
	)
}

# METADATA
# title: Put into place and started
# description: >-
#   Package code changed what outlives the run and ran a program that starts it.
# custom:
#   id: SEQ_DROP_PERSIST_START
#   severity: CRITICAL
#   attack: T1543
#   incidents: [litellm 1.82.8, durabletask, Hades]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, stop and remove what it started.
#   needs: writes, renames, links, arguments of programs
deny contains msg if {
	some path in _placed
	msg := sprintf(
		"CRITICAL:SEQ_DROP_PERSIST_START: package code put \"%s\" into place and %s to start it",
		[text.safe(path), _one(_starters)],
	)
}

# METADATA
# title: Decoded and run
# description: >-
#   Package code decoded a text and gave it to an interpreter.
# custom:
#   id: SEQ_DECODE_EXEC
#   severity: CRITICAL
#   attack: T1140
#   incidents: [litellm 1.82.7, ClawHavoc]
#   false_positives: none during an installation or an import
#   solution: Do not install it; look at the decoded text.
#   needs: arguments of programs
deny contains msg if {
	some what in _decoded
	msg := sprintf(
		"CRITICAL:SEQ_DECODE_EXEC: %s, so that what runs is nowhere to be read",
		[what],
	)
}

# METADATA
# title: A shell at the other end
# description: >-
#   A process connected to another machine and became, or started, a shell on that connection.
# custom:
#   id: SEQ_REVERSE_SHELL
#   severity: CRITICAL
#   attack: T1059.004
#   incidents: [Unit 42 2026-07]
#   false_positives: none
#   solution: Do not install it; if it ran outside a sandbox, treat the machine as lost.
#   needs: connections with descriptors, dup2 and dup3, arguments of programs
deny contains msg if {
	some i in _shells_on_sockets
	msg := sprintf(
		"CRITICAL:SEQ_REVERSE_SHELL: %s connected to another machine and ran a shell on that connection",
		[process.names[i]],
	)
}

deny contains msg if {
	some finding in network_exfiltration.deny
	startswith(finding, "CRITICAL:NET_REVERSE_SHELL: ")
	msg := sprintf("CRITICAL:SEQ_REVERSE_SHELL: %s", [substring(finding, 28, -1)])
}

# METADATA
# title: A shell behind a connection
# description: >-
#   A process holds a connection to another machine and the input of a shell.
# custom:
#   id: SEQ_SHELL_BRIDGE
#   severity: HIGH
#   attack: T1059.004
#   incidents: [technique only]
#   false_positives: builds that feed a script to a shell and also download
#   solution: Do not install it; look at what the process passes on.
#   needs: connections, arguments of programs, processes with parents
deny contains msg if {
	some [i, j] in _bridges
	not i in _shells_on_sockets
	not j in _shells_on_sockets
	msg := sprintf(
		"HIGH:SEQ_SHELL_BRIDGE: %s is connected to another machine and holds the input of a shell%s",
		[process.names[i], _terminal(i, j)],
	)
}

# METADATA
# title: Tokens, and where they publish
# description: >-
#   Package code took tokens of registries or code hosts and turned to where packages or code are published.
# custom:
#   id: SEQ_TOKEN_PUBLISH
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [CanisterSprawl, lightning, tensorlake]
#   false_positives: none during an installation or an import
#   solution: Do not install it; revoke the tokens and look at what was published.
#   needs: opened files, connections, host names, arguments of programs
deny contains msg if {
	tokens := _credentials & {id | some id in table.publishers.credentials}
	count(tokens) > 0
	some where in _publishing(tokens)
	msg := sprintf(
		"CRITICAL:SEQ_TOKEN_PUBLISH: package code took tokens (%s) and turned to where they publish (%s), as worms do",
		[concat(", ", sort(tokens)), where],
	)
}

# METADATA
# title: Code put into the code of others
# description: >-
#   Package code changed installed code of another distribution, or a project's files that it then published.
# custom:
#   id: SEQ_SELF_PROPAGATE
#   severity: CRITICAL
#   attack: T1554
#   incidents: [Hades, CanisterSprawl]
#   false_positives: setup.py install and develop, which older installers start, are left out
#   solution: Do not install it; recreate the environment, look at what was published.
#   needs: writes, renames, deletes, arguments of programs
deny contains msg if {
	some [i, path] in writes.foreign_code
	msg := sprintf(
		"CRITICAL:SEQ_SELF_PROPAGATE: %s changed \"%s\", code that another distribution brought",
		[process.names[i], text.safe(path)],
	)
}

deny contains msg if {
	some [path, i, _] in sequences.made
	regex.match(table.publishers.manifests, path)
	not writes.build(path)
	msg := sprintf(
		"CRITICAL:SEQ_SELF_PROPAGATE: %s changed \"%s\", and %s to publish it",
		[process.names[i], text.safe(path), _one(_published)],
	)
}

# METADATA
# title: A look around and a connection
# description: >-
#   Package code asked about the machine with two or more programs and reached out.
# custom:
#   id: SEQ_RECON_THEN_CONNECT
#   severity: HIGH
#   attack: T1082
#   incidents: [dependency confusion beacons, litellm 1.82.8]
#   false_positives: questions of builds and of honest libraries (uname, lscpu) are left out
#   solution: Do not install it; look at what was sent.
#   needs: arguments of programs, connections
deny contains msg if {
	asked := {command.base | some command in programs.commands; command.base in table.recon.names}
	count(asked) >= 2
	some peer in _reached
	msg := sprintf(
		"HIGH:SEQ_RECON_THEN_CONNECT: package code asked about the machine (%s) and contacted %s, as beacons do",
		[concat(", ", sort(asked)), peer],
	)
}

# METADATA
# title: Traces removed
# description: >-
#   Package code removed what it had run, rewrote its own sources, or changed histories and logs.
# custom:
#   id: SEQ_ANTIFORENSICS
#   severity: HIGH
#   attack: T1070
#   incidents: [axios plain-crypto-js]
#   false_positives: temporary files that are never run, and products of compilers, are left out
#   solution: Do not install it; look at the recorded digests of what was removed.
#   needs: writes, deletes, renames, arguments of programs
deny contains msg if {
	some drop in sequences.drops
	not sequences.at_home(drop)
	drop.how == "ran"
	drop.path in _removed
	msg := sprintf(
		"HIGH:SEQ_ANTIFORENSICS: package code made \"%s\", ran it and removed it",
		[text.safe(drop.path)],
	)
}

deny contains msg if {
	some [i, path, how] in _erased
	msg := sprintf(
		"HIGH:SEQ_ANTIFORENSICS: %s %s \"%s\", in which the user would see what ran",
		[writes.who(i), how, text.safe(path)],
	)
}

deny contains msg if {
	some command in sequences.matching(table.traces.programs)
	msg := sprintf(
		"HIGH:SEQ_ANTIFORENSICS: %s ran \"%s\", which removes traces",
		[command.who, text.safe(command.line)],
	)
}

deny contains msg if {
	some [i, path] in _rewritten
	msg := sprintf(
		"HIGH:SEQ_ANTIFORENSICS: %s changed or removed \"%s\", which this run had executed",
		[process.names[i], text.safe(path)],
	)
}

# METADATA
# title: Protection off, then on with it
# description: >-
#   Package code stopped or removed something that protects the machine, and ran or fetched something.
# custom:
#   id: SEQ_DISABLE_THEN_EXEC
#   severity: CRITICAL
#   attack: T1562.001
#   incidents: [miners]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, check the protection of the machine.
#   needs: arguments of programs, connections, writes
deny contains msg if {
	some command in sequences.matching(table.security_tools.stoppers)
	what := _one(_went_on)
	msg := sprintf(
		"CRITICAL:SEQ_DISABLE_THEN_EXEC: %s ran \"%s\" against what protects the machine, and package code %s",
		[command.who, text.safe(command.line), what],
	)
}

# METADATA
# title: A process that cut its ties
# description: >-
#   A forked process left its session, forked again and ended, so that nobody is the parent of what goes on.
# custom:
#   id: SEQ_DOUBLE_FORK_SURVIVOR
#   severity: HIGH
#   attack: T1564.011
#   incidents: [telnyx, xinference]
#   false_positives: servers of developer tools that detach by themselves
#   solution: Do not install it; look for what still runs.
#   needs: setsid, processes with parents
deny contains msg if {
	some [i, j] in _survivors
	msg := sprintf(
		"HIGH:SEQ_DOUBLE_FORK_SURVIVOR: %s left its session, forked process %v and ended, so that that one survives",
		[process.names[i], input.processes[j].processid],
	)
}

# METADATA
# title: Credentials in another file
# description: >-
#   A process that took credentials wrote a file, or a file has the content of a credential.
# custom:
#   id: SEQ_STAGED_SECRET_FILE
#   severity: HIGH
#   attack: T1074.001
#   incidents: [xinference]
#   false_positives: none during an installation or an import
#   solution: Do not install it; look at the file, and at what reads it later.
#   needs: opened files, writes, digests of what was written
deny contains msg if {
	some [i, path, from] in _staged
	msg := sprintf(
		"HIGH:SEQ_STAGED_SECRET_FILE: %s wrote \"%s\" and took \"%s\"%s",
		[process.names[i], text.safe(path), text.safe(from), _identical(path, from)],
	)
}

# METADATA
# title: A way out, and what lies behind
# description: >-
#   Package code used something through which containers are left, and reached for the files or processes of the
#   machine.
# custom:
#   id: SEQ_ESCAPE_CHAIN
#   severity: CRITICAL
#   attack: T1611
#   incidents: [litellm 1.82.8, kube-health-tools]
#   false_positives: none during an installation or an import
#   solution: Do not install it.
#   needs: connections to local sockets, system calls, arguments of programs, opens
deny contains msg if {
	some door in _doors
	beyond := _one(_beyond)
	msg := sprintf(
		"CRITICAL:SEQ_ESCAPE_CHAIN: package code %s and %s, which leads out of the container",
		[door, beyond],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

not_evaluated contains sprintf("%s: what was sent, and the names that were asked, are not in the evidence", [id]) if {
	count(sequences.outward) > 0
	not connections.sinkhole
	some id in ["SEQ_CANARY_LEAK", "SEQ_ARCHIVE_UPLOAD", "SEQ_TOKEN_PUBLISH"]
}

_needs := {
	"SEQ_CRED_THEN_CONNECT": {"openat", "openat2", "connect", "sendto", "sendmsg", "sendmmsg"},
	"SEQ_CANARY_LEAK": {"connect", "execve", "execveat"},
	"SEQ_IMDS_THEN_CONNECT": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"SEQ_DOWNLOAD_CHMOD_EXEC": {"openat", "openat2", "renameat2", "linkat", "execve", "execveat", "connect"},
	"SEQ_ARCHIVE_ENCRYPT_UPLOAD": {"openat", "execve", "execveat", "connect"},
	"SEQ_ARCHIVE_UPLOAD": {"openat", "execve", "execveat", "connect"},
	"SEQ_DROP_PERSIST_START": {"openat", "openat2", "renameat2", "linkat", "symlinkat", "execve", "execveat"},
	"SEQ_DECODE_EXEC": {"execve", "execveat"},
	"SEQ_REVERSE_SHELL": {"connect", "dup3", "execve", "execveat"},
	"SEQ_SHELL_BRIDGE": {"connect", "openat", "execve", "execveat"},
	"SEQ_TOKEN_PUBLISH": {"openat", "connect", "execve"},
	"SEQ_SELF_PROPAGATE": {"openat", "openat2", "renameat2", "execve"},
	"SEQ_RECON_THEN_CONNECT": {"connect", "execve", "execveat"},
	"SEQ_ANTIFORENSICS": {"openat", "unlinkat", "renameat2", "execve"},
	"SEQ_DISABLE_THEN_EXEC": {"connect", "execve", "execveat"},
	"SEQ_DOUBLE_FORK_SURVIVOR": {"setsid", "clone", "clone3"},
	"SEQ_STAGED_SECRET_FILE": {"openat", "openat2"},
	"SEQ_ESCAPE_CHAIN": {"connect", "mount", "setns", "openat", "execve"},
}

# Rules about credentials that spoke with weight.
_credentials contains id if {
	some finding in credential_harvesting.deny
	[severity, id] := array.slice(split(finding, ":"), 0, 2)
	severity in {"CRITICAL", "HIGH"}
}

_reached contains peer if some peer in sequences.peers

# _one(set) is its first member, for a message; undefined without any.
_one(found) := sort(found)[0]

# Credentials with their content that package code opened in the installation, at the
# import.
_earlier contains path if {
	some step in input.steps
	some proc in step["command-run"].processes
	not proc.role in {"installer", "build-frontend"}
	some path, _ in proc.openedfiles
	path in _decoy_files
}

_decoy_files contains decoy.path if some decoy in input.coverage.sandbox.decoys

# Where package code reached out, a build's own work is not a download unless who made
# the file did that.
_building(drop) if {
	sequences.at_home(drop)
	not sequences.brought(drop)
}

_drop_severity := "CRITICAL" if count(_reached) > 0

_drop_severity := "CRITICAL" if {
	count(_reached) == 0
	count(_downloads) > 0
}

_drop_severity := "HIGH" if {
	count(_reached) == 0
	count(_downloads) == 0
}

_source := sprintf("; it contacted %s", [concat(", ", array.slice(sort(_reached), 0, 3))]) if count(_reached) > 0

_source := "; no package brought it" if count(_reached) == 0

_downloads contains command.line if {
	some command in programs.commands
	"downloader" in command.classes
	regex.match(`://`, command.line)
}

_archives contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in sequences.matching(table.archivers.programs)
}

_archives contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in programs.commands
	"python" in command.classes
	regex.match(table.archivers.modules, concat(" ", command.args))
}

# regal ignore:use-some-for-output-vars
_archives contains sprintf("%s wrote \"%s\"", [process.names[i], text.safe(path)]) if {
	some [path, i, at] in sequences.made
	regex.match(table.archivers.paths, path)
	not writes.build(path)
	not writes.site(path)
	not _fetched(i, at)
}

# An archive that a process wrote after it had reached out is what it fetched.
_fetched(i, at) if {
	count(_credentials) == 0
	some c in input.processes[i].network.connections
	connections.internet(c)
	c.timestamp < at
}

_encryptions contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in sequences.matching(table.encryptors.programs)
}

_encryptions contains sprintf("it loaded \"%s\"", [text.safe(path)]) if some path in sequences.loaded

_sent_to contains peer if some peer in _reached

_sent_to contains upload if some upload in sequences.uploads

_sent contains upload if some upload in sequences.uploads

_sent contains sprintf("it contacted %s and touched credentials", [peer]) if {
	count(_credentials) > 0
	some peer in _reached
}

# What outlives the run, the user's own or the system's.
_placed contains path if {
	some [i, path, _, _] in writes.entries
	writes.by_package(i)
	some place in writes.places(path)
	not place.project
	place.rule in {
		"PERSIST_SYSTEMD", "PERSIST_CRON", "PERSIST_AUTOSTART", "PERSIST_SYSTEM_INIT",
		"PERSIST_LAUNCHD", "PERSIST_PATH_SHIM", "PERSIST_ENVIRONMENT",
	}
}

_starters contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in sequences.matching(_starting_programs)
}

_starters contains sprintf("%s ran \"%s\"", [drop.who, text.safe(drop.path)]) if {
	some drop in sequences.drops
	drop.path in _placed
}

_starting_programs := [object.union({"arguments": ""}, entry) |
	some entry in known.programs
	entry.rule in {"PERSIST_SYSTEMD", "PERSIST_LINGER", "PERSIST_CRON", "PERSIST_SYSTEM_INIT", "PERSIST_LAUNCHD"}
]

# A decoder in front of an interpreter, in a pipeline.
_decoded contains sprintf("%s decoded with \"%s\" into \"%s\"", [
	pipeline.who,
	text.safe(decoder.line),
	text.safe(reader.line),
]) if {
	some pipeline in programs.pipelines
	some i, decoder in pipeline.stages
	_decodes(decoder)
	some j, reader in pipeline.stages
	programs.interpreter(reader)
	i < j
}

# The two as processes with one parent.
_decoded contains sprintf("%s decoded with \"%s\" beside \"%s\", which reads its program", [
	decoder.who,
	text.safe(decoder.line),
	text.safe(reader.line),
]) if {
	some decoder in programs.commands
	_decodes(decoder)
	some reader in _readers[process.parents[decoder.index]]
}

_readers[parent] contains command if {
	some command in programs.commands
	programs.reads_input(command)
	parent := process.parents[command.index]
}

# A program text that decodes and runs.
# regal ignore:messy-rule
_decoded contains sprintf("%s ran \"%s\" on a text that decodes another", [command.who, text.safe(command.base)]) if {
	some command in programs.commands
	programs.interpreter(command)
	program := programs.code(command)
	regex.match(table.decoders.decodes, program)
	regex.match(table.decoders.runs, program)
	not "shell" in command.classes
}

_decodes(command) if {
	some entry in table.decoders.programs
	command.base in entry.names
	regex.match(entry.arguments, concat(" ", command.args))
}

# Shells that read what they do from a descriptor that is a connection.
_shells_on_sockets contains i if {
	some i in _reading_shells
	i in sequences.reaching
}

_shells_on_sockets contains i if {
	some i in _reading_shells
	some event in input.processes[i].syscallEvents
	event.syscall in {"dup2", "dup3"}
	event.args[1] in {0, 1, 2}
	some above in process.ancestors(i)
	some c in input.processes[above].network.connections
	connections.internet(c)
	c.fd == event.args[0]
}

_reading_shells contains command.index if {
	some command in programs.commands
	command.source == "exec"
	"shell" in command.classes
	programs.reads_input(command)
}

_bridges contains [i, j] if {
	some j in _reading_shells
	some i in process.ancestors(j)
	i in sequences.reaching
}

_terminal(i, j) := ", through a terminal of its own" if count({i, j} & _terminals) > 0

_terminal(i, j) := "" if count({i, j} & _terminals) == 0

_terminals contains i if {
	some [i, k] in opens.other
	input.processes[i].fileOps.opens[k].path in {"/dev/ptmx", "/dev/pts/ptmx"}
}

_publishing(_) := _places if count(_places) > 0

# A token of a registry is good for one thing only.
_publishing(tokens) := {sprintf("contact with %s", [connections.peer(contact)]) |
	"CRED_REGISTRY" in tokens
	some contact in sequences.outward
	contact.hostname != ""
	contact.scope != "loopback"
} if {
	count(_places) == 0
}

_places contains what if some what in _published

_published contains sprintf("%s ran \"%s\"", [command.who, text.safe(command.line)]) if {
	some command in sequences.matching(table.publishers.programs)
}

# regal ignore:messy-rule
_places contains "contact with a place to publish" if {
	some finding in network_exfiltration.deny
	startswith(finding, "CRITICAL:NET_PUBLISH_ENDPOINT: ")
}

_places contains sprintf("contact with %s", [connections.peer(contact)]) if {
	some contact in sequences.outward
	regex.match(table.publishers.labels, lower(contact.hostname))
}

_places contains "contact with the index of this run" if {
	some contact in sequences.outward
	contact.gateway
}

_removed contains d.path if {
	some i in process.controlled
	some d in input.processes[i].fileOps.deletes
	process.succeeded(d)
}

_erased contains [i, path, verb] if {
	some [i, path, verb, _] in writes.entries
	writes.by_package(i)
	_trace(path)
}

_erased contains [i, d.path, "removed"] if {
	some i in process.controlled
	some d in input.processes[i].fileOps.deletes
	is_string(d.path)
	_trace(d.path)
}

_trace(path) if regex.match(table.traces.whole, path)

_trace(path) if {
	some rest in writes.below_home(path)
	regex.match(table.traces.home, rest)
}

# Sources of the build, and installed code, that a run executes.
_rewritten contains [i, path] if {
	some i in process.controlled
	some path in _replaced(input.processes[i])
	regex.match(table.traces.sources, path)
	writes.build(path)
	_executed(path)
}

_rewritten contains [i, d.path] if {
	some i in process.controlled
	some d in input.processes[i].fileOps.deletes
	process.succeeded(d)
	writes.code(d.path)
}

_replaced(proc) := {w.path |
	some w in proc.fileOps.writes
	is_string(w.path)
	not object.get(w, "created", false)
} | ({d.path |
	some d in proc.fileOps.deletes
	process.succeeded(d)
	is_string(d.path)
} | {r.newPath |
	some r in proc.fileOps.renames
	process.succeeded(r)
	is_string(r.newPath)
})

_executed(path) if {
	some i in process.controlled
	input.processes[i].openedfiles[path]
}

_went_on contains sprintf("had \"%s\" run", [text.safe(drop.path)]) if {
	some drop in sequences.drops
	not _building(drop)
}

_went_on contains sprintf("contacted %s", [peer]) if some peer in _reached

_went_on contains sprintf("ran \"%s\"", [text.safe(line)]) if some line in _downloads

_survivors contains [i, j] if {
	some i in process.controlled
	process.detached(i)
	_forked(input.processes[i])
	is_number(input.processes[i].exitcode)
	some j, above in process.parents
	above == i
	not _daemon(input.processes[i])
}

# It runs on as its parent: no program of its own.
_forked(proc) if count(object.get(proc, "execs", [])) == 0

_daemon(proc) if {
	process.base(proc.program) in table.daemons.names
	not process.writable(proc.program)
}

# The content of a credential under another name.
_staged contains [i, path, access.path] if {
	some access in sequences.taken
	some digest in input.processes[access.index].openedfiles[access.path]
	digest != ""
	some i, path in _written_as[digest]
	path != access.path
}

_staged contains [access.index, path, access.path] if {
	some access in sequences.taken
	not access.attempt
	some w in input.processes[access.index].fileOps.writes
	path := w.path
	is_string(path)
	path != access.path
	startswith(path, "/")
	not writes.build(path)
	not _incidental(path)
}

# What was written, by the digest of its content.
_written_as[digest][i] := path if {
	some i in process.controlled
	some path, digests in input.processes[i].writtenDigests
	some digest in digests
	digest in _taken_digests
}

_taken_digests contains digest if {
	some access in sequences.taken
	some digest in input.processes[access.index].openedfiles[access.path]
	digest != ""
}

_incidental(path) if regex.match(`^/(dev|proc)/|/__pycache__/|/tmp[^/]*/output\.json$`, path)

_identical(path, from) := ", whose content it has" if _same(path, from)

_identical(path, from) := "" if not _same(path, from)

_same(path, from) if {
	some digest in _taken_digests
	some i in process.controlled
	digest in object.keys({d: true | some d in input.processes[i].writtenDigests[path]})
	some access in sequences.taken
	access.path == from
	digest in {d | some d in input.processes[access.index].openedfiles[from]}
}

_doors contains sprintf("connected to \"%s\"", [text.safe(c.address)]) if {
	some i in process.controlled
	some c in input.processes[i].network.connections
	c.family == "AF_UNIX"
	is_string(c.address)
	regex.match(table.escape.sockets, c.address)
}

_doors contains sprintf("called %s", [text.safe(event.syscall)]) if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall in table.escape.calls
}

_doors contains sprintf("ran \"%s\"", [text.safe(command.line)]) if {
	some command in sequences.matching(table.escape.doors)
}

_beyond contains sprintf("opened \"%s\"", [text.safe(path)]) if {
	some path in opens.read_paths
	regex.match(table.escape.beyond, path)
}

_beyond contains sprintf("opened \"%s\"", [text.safe(o.path)]) if {
	some i in process.controlled
	some o in input.processes[i].fileOps.opens
	is_string(o.path)
	regex.match(table.escape.beyond, o.path)
}

_beyond contains sprintf("asked for \"%s\"", [text.safe(command.line)]) if {
	some command in sequences.matching(table.escape.doors)
	regex.match(table.escape.mounts, command.line)
}
