# METADATA
# title: What an import does
# description: >-
#   An import loads modules. Connections, credentials, programs, changes of files
#   and security-relevant system calls are judged here against what the
#   installation did and what honest packages do. The five rule ids of the
#   specification's example keep their names. What the behavioural modules find in
#   the import's evidence is carried along under the ids of those modules.
# related_resources:
#   - ref: https://attack.mitre.org/techniques/T1195/002/
package pip_witness.import_behavior # regal ignore:file-length

import data.pip_witness.attack_sequences
import data.pip_witness.code_execution
import data.pip_witness.container_escape
import data.pip_witness.credential_harvesting
import data.pip_witness.indicators.import_behavior as known
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.credentials
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.startup
import data.pip_witness.lib.text
import data.pip_witness.lib.writes
import data.pip_witness.network_exfiltration
import data.pip_witness.openclaw_ioc
import data.pip_witness.persistence
import data.pip_witness.pth_injection
import data.pip_witness.teampcp_ioc

import rego.v1

# What the behavioural modules say of this evidence.
deny contains msg if some msg in attack_sequences.deny

deny contains msg if some msg in code_execution.deny

deny contains msg if some msg in container_escape.deny

deny contains msg if some msg in credential_harvesting.deny

deny contains msg if some msg in network_exfiltration.deny

deny contains msg if some msg in openclaw_ioc.deny

deny contains msg if some msg in persistence.deny

deny contains msg if some msg in pth_injection.deny

deny contains msg if some msg in teampcp_ioc.deny

# METADATA
# title: A connection at import
# description: >-
#   Importing contacted a peer, of any family and by any call. Peers of the
#   installation are not left out: an sdist could have contacted its server then
#   to be trusted now.
# custom:
#   id: IMPORT_NEW_CONNECTION
#   severity: CRITICAL
#   attack: T1071
#   incidents: [litellm 1.82.7, telnyx, mistralai 2.4.6, durabletask]
#   false_positives: >-
#     Telemetry agents, and lists that are fetched. The built-in policy has exceptions for those that are known,
#     each for one distribution and one peer.
#   solution: Do not use it until its owner explains the connection; waive a known peer by an exception.
#   needs: connections of connect, sendto, sendmsg and sendmmsg
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:IMPORT_NEW_CONNECTION: %s contacted by %s (%s)%s%s; an import needs no network",
		[
			_contact_severity(contact),
			connections.peer(contact),
			contact.process,
			text.safe(contact.syscall),
			_installed_too(contact),
			_importing,
		],
	) |
		some contact in connections.contacts
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:IMPORT_NEW_CONNECTION: importing sent %d name queries below \"%s\" that carry encoded data",
		[queries, text.safe(domain)],
	) |
		some domain, queries in connections.tunnels
	})
}

# METADATA
# title: A decoy credential was sent at import
# description: A value that only this run's decoys hold was in what the import sent, or in a name that it asked for.
# custom:
#   id: IMPORT_CANARY_LEAK
#   severity: CRITICAL
#   attack: T1041
#   incidents: [litellm 1.82.8, durabletask, bittensor-wallet]
#   false_positives: None is known; no honest package sends what it finds in HOME.
#   solution: Do not use it; report it to the index.
#   needs: what was sent and asked
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:IMPORT_CANARY_LEAK: %s sent the decoy credential \"%s\" to %s, which is theft",
		[leak.process, leak.decoy, leak.to],
	) |
		some leak in connections.leaks
	})
}

# METADATA
# title: A module that cannot be imported
# description: What a module does was not observed, because importing it ended with an error.
# custom:
#   id: IMPORT_FAILED
#   severity: LOW
#   attack: none
#   incidents: []
#   false_positives: Modules for other platforms or for optional dependencies.
#   solution: Install what it needs beside it and check again, if you use that module.
#   needs: results of the import harness
deny contains msg if {
	some msg in text.few({sprintf(
		"LOW:IMPORT_FAILED: module \"%s\" could not be imported (%s environment): \"%s\"",
		[text.safe(result.module), text.safe(result.environment), text.safe(result.error)],
	) |
		some result in input.imports
		not result.ok
	})
}

# METADATA
# title: Credentials at import
# description: >-
#   Importing opened, listed or tried to open a path that holds credentials, whether or not the
#   installation did too.
# custom:
#   id: IMPORT_CRED_ACCESS
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.7, xinference, lightning]
#   false_positives: A look at the user's settings is LOW or MEDIUM.
#   solution: Do not use it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in text.few({credentials.message(access, "IMPORT_CRED_ACCESS", "an import has no business with credentials") |
		some access in credentials.accesses
		access.rule != "CRED_PROC_ENVIRON"
	})
}

# METADATA
# title: A program at import
# description: >-
#   Importing started a program that is none of those honest libraries ask about
#   the machine. Python itself is no exception. A fork that runs on as the same
#   program is MEDIUM, and so is the system's compiler that writes to caches and
#   temporary files only; running what it made is another finding.
# custom:
#   id: IMPORT_NEW_PROCESS
#   severity: HIGH
#   attack: T1059
#   incidents: [litellm 1.82.7, telnyx, xinference, mistralai 2.4.6]
#   false_positives: Libraries that ask a tool for its version; waive them by an exception.
#   solution: Find out what the program is for before using the package.
#   needs: processes with parents, arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:IMPORT_NEW_PROCESS: %s was started as \"%s\"%s; an import runs no programs",
		[process.describe(proc), text.safe(concat(" ", image.args)), _ran_at_install(image)],
	) |
		some index in _strangers
		proc := input.processes[index]
		some image in _images(proc)
		not _ordinary(image)
		not _compiles(image)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:IMPORT_NEW_PROCESS: %s was started as \"%s\"; importing compiled code into a cache",
		[process.describe(proc), text.safe(concat(" ", image.args))],
	) |
		some index in _strangers
		proc := input.processes[index]
		some image in _images(proc)
		not _ordinary(image)
		_compiles(image)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:IMPORT_NEW_PROCESS: importing forked %s, which ran on beside the import",
		[process.describe(proc)],
	) |
		some index in _strangers
		proc := input.processes[index]
		object.get(proc, "execs", []) == []
		_images(proc) == []
	})
}

# METADATA
# title: Security-relevant system calls at import
# description: >-
#   Importing made system calls that loading modules does not need. What honest
#   libraries do (thread names, executable memory, memory files that are not run)
#   is left out; calls that reach into other processes or the system are CRITICAL.
# custom:
#   id: IMPORT_SYSCALL_EVENTS
#   severity: CRITICAL
#   attack: T1106
#   incidents: [IronWorm, bittensor-wallet 4.0.2]
#   false_positives: Debuggers and profilers at MEDIUM.
#   solution: Look at the call and at the other findings of this process.
#   needs: security-relevant system calls
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:IMPORT_SYSCALL_EVENTS: importing called %s (%v times), which loading modules does not need",
		[_call_severity(call), text.safe(call), count_of],
	) |
		some call, count_of in _calls
	})
}

deny contains msg if {
	some severity, ids in _carried("EXEC_MEMFD")
	msg := sprintf("%s:IMPORT_SYSCALL_EVENTS: importing ran a program that was never on disk (%s)", [severity, ids])
}

# METADATA
# title: Files changed at import
# description: >-
#   Importing created, changed or deleted files other than caches, temporary files
#   and compiled modules. CRITICAL for installed code, the environment's programs and
#   what outlives the run.
# custom:
#   id: IMPORT_FILE_MUTATION
#   severity: CRITICAL
#   attack: T1565.001
#   incidents: [lightning, CanisterSprawl]
#   false_positives: Libraries that keep settings in the home directory; waive them by an exception with the path.
#   solution: Look at what was written; recreate the environment.
#   needs: the tree after the import (changes), writes, renames, links, deletes, permissions
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:IMPORT_FILE_MUTATION: importing changed \"%s\" (%s); imports are read-only",
		[_mutation_severity(path), text.safe(path), concat(", ", sort(object.keys(how)))],
	) |
		some path, how in _mutations
	})
}

# METADATA
# title: Another tree than was installed
# description: The environment that was imported from is not the one that the installation left.
# custom:
#   id: IMPORT_TREE_BINDING
#   severity: CRITICAL
#   attack: T1554
#   incidents: [technique only]
#   false_positives: none
#   solution: Run both steps again; do not accept evidence of two different trees.
#   needs: product and omnitrail of the installation, omnitrail of the import
deny contains msg if {
	_bindable
	count(_differences) > 0
	msg := sprintf(
		"CRITICAL:IMPORT_TREE_BINDING: %d files are not as the installation left them, as \"%s\"",
		[count(_differences), text.safe(sort(_differences)[0])],
	)
}

# METADATA
# title: Something that outlives the run
# description: Importing changed a file that starts programs later, lets others in, or gives orders to another tool.
# custom:
#   id: IMPORT_PERSISTENCE
#   severity: CRITICAL
#   attack: T1546
#   incidents: [litellm 1.82.8, durabletask, TrapDoor]
#   false_positives: none measured
#   solution: Do not use it; remove the file from machines where it was imported.
#   needs: the tree after the import (changes), writes, renames, links
deny contains msg if {
	some severity, ids in _carried("PERSIST_")
	msg := sprintf(
		"%s:IMPORT_PERSISTENCE: importing put something in place that outlives it (%s); an import ends with its interpreter",
		[severity, ids],
	)
}

# METADATA
# title: A start-up file at import
# description: Importing created or changed a file that Python runs at every start.
# custom:
#   id: IMPORT_PTH_WRITE
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: none
#   solution: Do not use it; recreate the environment.
#   needs: the tree after the import (changes), writes, renames, links
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:IMPORT_PTH_WRITE: importing changed \"%s\", which Python runs at every start",
		[text.safe(path)],
	) |
		some path, _ in _mutations
		startup.file(path)
	})
}

# METADATA
# title: A program from a temporary directory
# description: >-
#   Importing ran a file, or had an interpreter run a file, that the run itself could have written
#   outside the environment.
# custom:
#   id: IMPORT_EXEC_TMP
#   severity: CRITICAL
#   attack: T1204.002
#   incidents: [mistralai 2.4.6, durabletask, ultralytics 8.3.41]
#   false_positives: none measured
#   solution: Do not use it; look at the file.
#   needs: arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:IMPORT_EXEC_TMP: %s ran \"%s\", which no package installed",
		[command.who, text.safe(path)],
	) |
		some command in programs.commands
		command.source == "exec"
		not command.failed
		some path in _files_of(command)
		process.writable(path)
		not _in_environment(path)
		not startswith(path, "/memfd:")
	})
}

# METADATA
# title: Cloud metadata at import
# description: Importing asked the address at which a cloud hands out the machine's credentials.
# custom:
#   id: IMPORT_IMDS
#   severity: CRITICAL
#   attack: T1552.005
#   incidents: [litellm 1.82.7, xinference]
#   false_positives: none; cloud libraries ask when they are used
#   solution: Do not use it; rotate the machine's role credentials.
#   needs: connections
deny contains msg if {
	some severity, ids in _carried("NET_IMDS_ACCESS")
	msg := sprintf(
		"%s:IMPORT_IMDS: importing asked where a cloud hands out this machine's credentials (%s)",
		[severity, ids],
	)
}

# METADATA
# title: A server at import
# description: Importing waits for connections.
# custom:
#   id: IMPORT_LISTEN
#   severity: HIGH
#   attack: T1571
#   incidents: [soopsocks]
#   false_positives: A bind to port 0, with which libraries test for IPv6, is left out.
#   solution: Do not use it until its owner explains the server.
#   needs: bind and listen
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:IMPORT_LISTEN: %s waits for connections at %s port %v; an import serves nobody",
		[listener.process, text.safe(listener.address), listener.port],
	) |
		some listener in connections.listeners
	})
}

# METADATA
# title: Environments at import
# description: Importing read the environment of a process from /proc; the own one is MEDIUM.
# custom:
#   id: IMPORT_ENV_HARVEST
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8, Hades]
#   false_positives: Reading the own entry.
#   solution: Do not use it; replace the secrets of the processes that ran beside it.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in text.few({credentials.message(
		access,
		"IMPORT_ENV_HARVEST",
		"it holds the secrets of whoever started the process",
	) |
		some access in credentials.accesses
		access.rule == "CRED_PROC_ENVIRON"
	})
}

# METADATA
# title: A detached process
# description: Importing started a process that left its session, so that it outlives its parent.
# custom:
#   id: IMPORT_DETACHED
#   severity: HIGH
#   attack: T1564.011
#   incidents: [telnyx, xinference, litellm 1.82.8]
#   false_positives: none measured
#   solution: Do not use it; look for what still runs.
#   needs: setsid
deny contains msg if {
	some severity, ids in _carried("EXEC_DETACHED")
	msg := sprintf(
		"%s:IMPORT_DETACHED: importing left a process behind that outlives it (%s); an import ends with its interpreter",
		[severity, ids],
	)
}

# METADATA
# title: A way out of the container
# description: Importing opened or connected to something through which a container or a user's rights are left.
# custom:
#   id: IMPORT_ESCAPE
#   severity: CRITICAL
#   attack: T1611
#   incidents: [litellm 1.82.8, durabletask]
#   false_positives: none; container clients connect when they are used
#   solution: Do not use it.
#   needs: connections to local sockets, opens
deny contains msg if {
	some severity, ids in _carried("ESC_")
	msg := sprintf(
		"%s:IMPORT_ESCAPE: importing tried a way out of the container or of a user's rights (%s)",
		[severity, ids],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

not_evaluated contains "IMPORT_FILE_MUTATION: the tree after the import is not in the evidence" if {
	not _walked
}

not_evaluated contains "IMPORT_TREE_BINDING: the evidence lacks product or an omnitrail of the environment" if {
	not _bindable
}

not_evaluated contains reason if some reason in attack_sequences.not_evaluated

not_evaluated contains reason if some reason in code_execution.not_evaluated

not_evaluated contains reason if some reason in container_escape.not_evaluated

not_evaluated contains reason if some reason in credential_harvesting.not_evaluated

not_evaluated contains reason if some reason in network_exfiltration.not_evaluated

not_evaluated contains reason if some reason in openclaw_ioc.not_evaluated

not_evaluated contains reason if some reason in persistence.not_evaluated

not_evaluated contains reason if some reason in pth_injection.not_evaluated

not_evaluated contains reason if some reason in teampcp_ioc.not_evaluated

_needs := {
	"IMPORT_NEW_CONNECTION": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"IMPORT_CRED_ACCESS": {"openat", "openat2"},
	"IMPORT_NEW_PROCESS": {"execve", "execveat", "clone", "clone3"},
	"IMPORT_SYSCALL_EVENTS": {"ptrace", "mount", "setns", "bpf", "memfd_create", "prctl"},
	"IMPORT_FILE_MUTATION": {"openat", "openat2", "renameat2", "unlinkat", "linkat", "symlinkat", "fchmodat", "mkdirat"},
	"IMPORT_EXEC_TMP": {"execve", "execveat"},
	"IMPORT_LISTEN": {"bind", "listen"},
	"IMPORT_ENV_HARVEST": {"openat"},
}

_walked if is_array(input.changes)

# What siblings found under ids that begin so: severity → the ids, for a message.
_carried(start) := {severity: concat(", ", sort(ids)) |
	some severity in {"CRITICAL", "HIGH", "MEDIUM", "LOW"}
	ids := {id | some [level, id] in _sibling_ids; level == severity; startswith(id, start)}
	count(ids) > 0
}

_sibling_ids contains [parts[0], parts[1]] if {
	some messages in [
		attack_sequences.deny,
		code_execution.deny,
		container_escape.deny,
		credential_harvesting.deny,
		network_exfiltration.deny,
		openclaw_ioc.deny,
		persistence.deny,
		pth_injection.deny,
		teampcp_ioc.deny,
	]
	some message in messages
	parts := split(message, ":")
}

# Which distributions were asked for, whose modules are what was imported.
_importing := sprintf(", importing %s", [concat(" and ", _requested)]) if count(_requested) in numbers.range(1, 20)

_importing := "" if not count(_requested) in numbers.range(1, 20)

_requested := sort([text.safe(dist.name) |
	some dist in input.steps["pip-install"]["pip-install"].packages
	dist.requested
])

_contact_severity(contact) := "CRITICAL" if not contact.weak

_contact_severity(contact) := "MEDIUM" if contact.weak

_installed_too(contact) := ", as a process other than the installer did before" if {
	_contacted_at_install(contact)
}

_installed_too(contact) := "" if not _contacted_at_install(contact)

_contacted_at_install(contact) if sprintf("%s:%v", [contact.address, contact.port]) in _install_contacts

_install_contacts contains sprintf("%s:%v", [connections.normal(c.address), object.get(c, "port", 0)]) if {
	some proc in input.steps["pip-install"]["command-run"].processes
	proc.role != "installer"
	some c in proc.network.connections
	connections.internet(c)
}

# The images of a process that are as evidence has them.
_images(proc) := [image |
	some image in process.images(proc)
	is_string(image.program)
	is_array(image.args)
	count([1 | some argument in image.args; not is_string(argument)]) == 0
]

# Processes that package code started, by index.
_strangers contains index if {
	some index, proc in input.processes
	is_object(proc)
	process.role(proc) != "import-harness"
	not _helper(proc)
}

_ran_at_install(image) := ", as the installation did" if image.program in _install_programs

_ran_at_install(image) := "" if not image.program in _install_programs

_install_programs contains proc.program if some proc in input.steps["pip-install"]["command-run"].processes

_ordinary(image) if {
	some entry in known.programs
	_is_program(entry, image)
	regex.match(entry.arguments, concat(" ", array.slice(image.args, 1, count(image.args))))
}

# A compiler of the system that says where its product goes, and that is no place of weight.
_compiles(image) if {
	regex.match(known.compilers.names, process.base(image.program))
	not process.writable(image.program)
	products := [image.args[i + 1] | some i, flag in image.args; flag == "-o"]
	count(products) > 0
	every written in products {
		_of_no_weight(written)
	}
}

_of_no_weight(path) if {
	not regex.match(`(^|/)\.\.(/|$)`, path)
	_temporary(path)
}

_of_no_weight(path) if {
	not regex.match(`(^|/)\.\.(/|$)`, path)
	_cached(path)
}

_is_program(entry, image) if {
	regex.match(entry.names, _name(image))
	not process.writable(image.program)
}

_is_program(entry, image) if {
	entry.interpreter
	image.program in _interpreters
}

_interpreters contains proc.program if {
	some proc in input.processes
	process.role(proc) == "import-harness"
}

# What a process is called: programs of many names go by the one they were given.
_name(image) := process.base(image.program) if not process.base(image.program) in known.many_names.programs

_name(image) := process.base(image.args[0]) if process.base(image.program) in known.many_names.programs

# What an ordinary program starts, and what that starts (the compiler its linker,
# a shell script its filters), as long as it is a program of the system.
_helper(proc) if {
	_below_ordinary[proc.processid]
	every image in _images(proc) {
		_of_the_system(image)
	}
}

_of_the_system(image) if {
	not process.writable(image.program)
	not image.program in _interpreters
}

_below_ordinary[id] if {
	some id in _started_by_ordinary
	not id in _ordinary_processes
}

_started_by_ordinary := graph.reachable(
	{parent: object.keys(children) | some parent, children in _children},
	_ordinary_processes,
)

# reachable returns keys of the graph only, so that every process is one.
_children := object.union_n(array.concat(
	[{proc.processid: {}} | some proc in input.processes],
	[{proc.parentpid: {proc.processid: true}} | some proc in input.processes],
))

_ordinary_processes contains proc.processid if {
	some proc in input.processes
	process.role(proc) != "import-harness"
	images := _images(proc)
	count(images) > 0
	every image in images {
		_ordinary(image)
		not image.program in _interpreters
	}
}

# By name, with what tells kinds apart, and how often; what libraries do is left out.
_calls[call] := sum([_times(e) | some e in _events; _call_name(e) == call]) if {
	some call in {_call_name(e) | some e in _events}
}

_times(event) := event.count if is_number(event.count)

_times(event) := 1 if not _has_count(event)

_has_count(event) if is_number(event.count)

_events := [event |
	some i, proc in input.processes
	some event in proc.syscallEvents
	not event.syscall in known.system_calls.ignored
	not _ignored(event)
	not _on_itself(i, event)
]

# A process may look into itself and into what it started, and write into itself.
_on_itself(i, event) if {
	event.syscall == "process_vm_readv"
	process.own(i, event.args[0])
}

_on_itself(i, event) if {
	event.syscall == "process_vm_writev"
	event.args[0] == input.processes[i].processid
}

_ignored(event) if {
	event.syscall == "prctl"
	event.args[0] in known.system_calls.prctl_ignored
}

_call_name(event) := sprintf("%s option %v", [event.syscall, _first_argument(event)]) if event.syscall == "prctl"

_call_name(event) := sprintf("%s request %v", [event.syscall, _first_argument(event)]) if event.syscall == "ptrace"

_call_name(event) := event.syscall if not event.syscall in {"prctl", "ptrace"}

_first_argument(event) := object.get(event, "args", [object.get(event, "detail", "")])[0]

_call_severity(call) := "CRITICAL" if _grave(call)

_call_severity(call) := "MEDIUM" if not _grave(call)

_grave(call) if call in known.system_calls.critical

_grave(call) if {
	some request in known.system_calls.ptrace_critical
	call == sprintf("ptrace request %v", [request])
}

# What changed, from the tree and from the processes: path → kinds of change.
# union_n merges in one pass, since a package chooses how many there are.
_changed_paths := object.union(
	object.union_n([{c.path: {c.change: true}} |
		some c in input.changes
		is_string(c.path)
		is_string(c.change)
	]),
	{path: {"during the import": true} |
		some path in _touched
		not path in _tree_paths
	},
)

_tree_paths contains c.path if some c in input.changes

_touched contains w.path if {
	some proc in input.processes
	some w in proc.fileOps.writes
	is_string(w.path)
}

_touched contains path if {
	some proc in input.processes
	some r in proc.fileOps.renames
	is_object(r)
	object.get(r, "errno", "") == ""
	some path in [r.oldPath, r.newPath]
	is_string(path)
}

_touched contains o.path if {
	some proc in input.processes
	some kind in ["deletes", "permChanges", "links"]
	some o in proc.fileOps[kind]
	is_string(o.path)
	object.get(o, "errno", "") == ""
}

_mutations[path] := how if {
	some path, how in _changed_paths
	not _innocent(path, how)
}

_innocent(path, _) if not startswith(path, "/")

_innocent(path, how) if {
	startup.compiled(path)
	not how.modified
	not how.deleted
}

_innocent(path, _) if _temporary(path)

_innocent(path, _) if {
	strings.any_prefix_match(path, ["/dev/", "/proc/", "/memfd:", "/anon_"])
	not startswith(path, "/dev/shm/")
	not startswith(path, "/proc/sys")
}

_innocent(path, _) if strings.any_prefix_match(path, known.shared_memory.prefixes)

_innocent(path, _) if strings.any_prefix_match(path, known.caches.whole)

_innocent(path, _) if _cached(path)

# A directory whose only change is what is below it has a new time, no more.
_innocent(path, how) if {
	_cache_parent(path)
	how == {"created": true}
}

_cached(path) if {
	rest := _below_home(path)
	some cache in known.caches.home
	process.under(rest, cache)
}

_cache_parent(path) if {
	rest := _below_home(path)
	some cache in known.caches.home
	startswith(cache, sprintf("%s/", [rest]))
}

_temporary(path) if {
	some directory in {"/tmp", input.coverage.sandbox.tempDir}
	process.under(path, directory)
}

_below_home(path) := substring(path, count(home) + 1, -1) if {
	home := input.coverage.sandbox.home
	is_string(home)
	startswith(path, sprintf("%s/", [home]))
}

_mutation_severity(path) := "CRITICAL" if _installed_code(path)

_mutation_severity(path) := "MEDIUM" if {
	not _installed_code(path)
	startswith(path, "/dev/shm/")
}

_mutation_severity(path) := "HIGH" if {
	not _installed_code(path)
	not startswith(path, "/dev/shm/")
}

# Installed packages, the environment's programs and settings, the interpreter's own
# library, and what outlives the run.
_installed_code(path) if {
	some directory in input.coverage.sandbox.sitePackages
	process.under(path, directory)
}

_installed_code(path) if {
	some prefix in input.coverage.sandbox.basePrefixes
	process.under(path, prefix)
}

_installed_code(path) if {
	prefix := input.coverage.sandbox.prefix
	some part in ["bin", "lib", "pyvenv.cfg"]
	process.under(path, sprintf("%s/%s", [prefix, part]))
}

_installed_code(path) if startup.file(path)

_installed_code(path) if {
	some place in writes.places(path)
	place.severity == "CRITICAL"
}

_bindable if {
	is_object(_import_trail)
	count(_import_trail) > 0
	is_object(_install_trail)
	count(_install_trail) > 0
	some path, _ in _install_product
	process.under(path, input.coverage.sandbox.prefix)
}

_install_product := input.steps["pip-install"].product

_install_trail := input.steps["pip-install"].omnitrail.Envelope.mapping

_import_trail := input.omnitrail.Envelope.mapping

# Files below the environment that the import found other than the installation
# left them: gone, changed, or come from nowhere.
_differences := ({path |
	some path, item in _install_product
	process.under(path, input.coverage.sandbox.prefix)
	item.digest.sha256
	not _import_trail[path].sha256 == item.digest.sha256
} | {path |
	some path, item in _import_trail
	item.type == "file"
	process.under(path, input.coverage.sandbox.prefix)
	not _install_product[path]
	not _install_trail[path]
}) | {path |
	some path, item in _import_trail
	item.type == "file"
	process.under(path, input.coverage.sandbox.prefix)
	not _install_product[path]
	item.sha256 != _install_trail[path].sha256
}

# The program itself and, of interpreters, the file that they were started on.
_files_of(command) := {command.program} | {file |
	file := programs.script(command)
	startswith(file, "/")
}

_in_environment(path) if process.under(path, input.coverage.sandbox.prefix)
