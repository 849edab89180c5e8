# METADATA
# title: Code that an installation or an import runs
# description: >-
#   Building a package runs compilers and build tools; importing it runs next to
#   nothing. What else package code runs, and how it hides that, is judged here.
# related_resources:
#   - ref: https://attack.mitre.org/tactics/TA0002/
package pip_witness.code_execution # regal ignore:file-length

import data.pip_witness.indicators.execution as table
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.credentials
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A download is piped into an interpreter
# description: >-
#   A shell or another interpreter runs what a downloader prints, so nobody has seen the code before it
#   runs.
# custom:
#   id: EXEC_SHELL_PIPE
#   severity: CRITICAL
#   attack: T1059.004
#   incidents: [ClawHavoc, AMOS]
#   false_positives: Bootstrap scripts of a compiler in an sdist, which nobody should run unseen either.
#   solution: Do not install it; the code that ran is not part of the package.
#   needs: programs with their arguments
deny contains msg if {
	some pipeline in programs.pipelines
	_piped(pipeline.stages, {"downloader"})
	msg := sprintf(
		"CRITICAL:EXEC_SHELL_PIPE: %s ran \"%s\", which runs whatever the other end sends",
		[pipeline.who, text.safe(_stages_line(pipeline.stages))],
	)
}

deny contains msg if {
	some command in programs.commands
	some argument in _evaluated(command)
	regex.match(_downloading, argument)
	msg := sprintf(
		"CRITICAL:EXEC_SHELL_PIPE: %s ran \"%s\", which runs whatever the other end sends",
		[command.who, text.safe(command.line)],
	)
}

deny contains msg if {
	some [source, sink] in _fed
	"downloader" in source.classes
	msg := sprintf(
		"CRITICAL:EXEC_SHELL_PIPE: %s ran \"%s\" and beside it \"%s\", which reads its program from standard input",
		[source.who, text.safe(source.line), text.safe(sink.line)],
	)
}

deny contains msg if {
	some command in programs.commands
	not "shell" in command.classes
	code := programs.code(command)
	regex.match(table.decoding.fetching, code)
	regex.match(table.decoding.evaluation, code)
	msg := sprintf(
		"CRITICAL:EXEC_SHELL_PIPE: %s ran \"%s\", whose code fetches other code and runs it",
		[command.who, text.safe(command.line)],
	)
}

# METADATA
# title: Decoded code is run
# description: >-
#   An interpreter runs code that was decoded or unpacked for it a moment before, which hides it from
#   whoever reads the package.
# custom:
#   id: EXEC_B64_DECODE
#   severity: CRITICAL
#   attack: T1027
#   incidents: [litellm 1.82.7, litellm 1.82.8, ClawHavoc]
#   false_positives: none during an installation
#   solution: Do not install it; decode the text to see what it does.
#   needs: programs with their arguments
deny contains msg if {
	some pipeline in programs.pipelines
	some i, stage in pipeline.stages
	_decodes(stage)
	some j, sink in pipeline.stages
	j > i
	programs.reads_input(sink)
	msg := sprintf(
		"CRITICAL:EXEC_B64_DECODE: %s ran \"%s\", which runs code that was hidden by an encoding",
		[pipeline.who, text.safe(_stages_line(pipeline.stages))],
	)
}

deny contains msg if {
	some command in programs.commands
	some argument in _evaluated(command)
	regex.match(_decoding, argument)
	msg := sprintf(
		"CRITICAL:EXEC_B64_DECODE: %s ran \"%s\", which runs code that was hidden by an encoding",
		[command.who, text.safe(command.line)],
	)
}

deny contains msg if {
	some [source, sink] in _fed
	_decodes(source)
	msg := sprintf(
		"CRITICAL:EXEC_B64_DECODE: %s ran \"%s\" and beside it \"%s\", which reads its program from standard input",
		[source.who, text.safe(source.line), text.safe(sink.line)],
	)
}

deny contains msg if {
	some command in programs.commands
	_hidden_code(command)
	msg := sprintf(
		"CRITICAL:EXEC_B64_DECODE: %s ran \"%s\", whose code decodes and runs other code",
		[command.who, text.safe(command.line)],
	)
}

# METADATA
# title: Code in an argument
# description: >-
#   Package code gave an interpreter a long program, an encoded one, or one on standard input, which
#   leaves no file to look at.
# custom:
#   id: EXEC_INLINE_INTERPRETER
#   severity: HIGH
#   attack: T1059.006
#   incidents: [litellm 1.82.8, telnyx 4.87.2, xinference]
#   false_positives: Build tools that ask the interpreter about itself, which are known by their place in the build.
#   solution: Read the argument in the evidence before using the package.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	_inline(command)
	not _building(command.index)
	msg := sprintf(
		"HIGH:EXEC_INLINE_INTERPRETER: %s ran \"%s\", a program that is in no file (%d characters)",
		[command.who, text.safe(command.line), count(programs.code(command))],
	)
}

deny contains msg if {
	some command in programs.commands
	_from_descriptor(command)
	not command.failed
	not _building(command.index)
	msg := sprintf(
		"HIGH:EXEC_INLINE_INTERPRETER: %s ran \"%s\", which reads its program from standard input or from a descriptor",
		[command.who, text.safe(command.line)],
	)
}

# METADATA
# title: A program from a temporary or hidden place
# description: >-
#   Package code ran a program, or started an interpreter on a file, in a directory for temporary files
#   or in a hidden one.
# custom:
#   id: EXEC_FROM_TMP
#   severity: CRITICAL
#   attack: T1059
#   incidents: [mistralai, durabletask, ultralytics 8.3.41, Hades]
#   false_positives: What the installer unpacked and what a compiler made for a build are exempt.
#   solution: Do not install it; the digest of the file is in the evidence.
#   needs: programs with their arguments, files written
deny contains msg if {
	some drop in _dropped
	msg := sprintf(
		"%s:EXEC_FROM_TMP: %s ran \"%s\" (\"%s\"); programs of a package do not lie there",
		[drop.severity, drop.who, text.safe(drop.path), text.safe(drop.line)],
	)
}

# METADATA
# title: A program that is only in memory
# description: >-
#   A process ran a program, or an interpreter a script, from an anonymous file in memory, or was about
#   to.
# custom:
#   id: EXEC_MEMFD
#   severity: CRITICAL
#   attack: T1620
#   incidents: [secretslib, sympy-dev]
#   false_positives: none; anonymous files that are not run are not reported
#   solution: Do not install it; there is no file that could be looked at.
#   needs: programs
deny contains msg if {
	some command in programs.commands
	some path in _names_of(command)
	_in_memory(path)
	msg := sprintf(
		"CRITICAL:EXEC_MEMFD: %s ran \"%s\", a program that exists in memory only",
		[command.who, text.safe(path)],
	)
}

deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall == "execveat"
	_in_memory(object.get(event, "path", ""))
	msg := sprintf(
		"CRITICAL:EXEC_MEMFD: %s ran \"%s\", a program that exists in memory only",
		[process.names[i], text.safe(event.path)],
	)
}

deny contains msg if {
	some path in opens.read_paths
	startswith(path, "/memfd:")
	some i in process.controlled
	input.processes[i].openedfiles[path]
	msg := sprintf(
		"HIGH:EXEC_MEMFD: %s opened \"%s\", a file in memory, by its path, as a loader of hidden libraries does",
		[process.names[i], text.safe(path)],
	)
}

# METADATA
# title: A runtime that Python packages do not need
# description: Package code ran an interpreter of another ecosystem, a package manager of it, or tried to.
# custom:
#   id: EXEC_FOREIGN_RUNTIME
#   severity: CRITICAL
#   attack: T1059.007
#   incidents: [lightning, Hades, cline 2.3.0]
#   false_positives: Builds of front ends, which are MEDIUM; questions for a version are not reported.
#   solution: Find out what the program ran; JavaScript that was downloaded for it is not part of the package.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	some runtime in table.runtimes
	command.base in runtime.programs
	not _asks_version(command)
	msg := sprintf(
		"%s:EXEC_FOREIGN_RUNTIME: %s %s \"%s\", a runtime that a Python package has no use for",
		[_runtime_severity(command, runtime), command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: A coding assistant is made to act
# description: >-
#   Package code ran a coding assistant without its questions, so that the assistant looks for secrets
#   or changes files.
# custom:
#   id: EXEC_AI_CLI_ABUSE
#   severity: CRITICAL
#   attack: T1059
#   incidents: [s1ngularity]
#   false_positives: none during an installation
#   solution: Do not install it; look at what the assistant was asked.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	command.base in table.agents.programs
	regex.match(table.agents.arguments, concat(" ", command.args))
	msg := sprintf(
		"CRITICAL:EXEC_AI_CLI_ABUSE: %s %s \"%s\", which makes a coding assistant act unasked",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: A miner
# description: A process ran a miner, or a program with the arguments of one.
# custom:
#   id: EXEC_MINER
#   severity: CRITICAL
#   attack: T1496
#   incidents: [ultralytics 8.3.41, sympy-dev]
#   false_positives: none
#   solution: Do not install it; stop the process if it ran outside a sandbox.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	_mines(command)
	msg := sprintf(
		"CRITICAL:EXEC_MINER: %s %s \"%s\", which mines on this machine for somebody else",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: A library is put into other programs
# description: >-
#   A program was started with a library of the package that the dynamic linker loads before all others.
# custom:
#   id: EXEC_LD_PRELOAD
#   severity: HIGH
#   attack: T1574.006
#   incidents: [qlnx]
#   false_positives: Sanitizers and allocators that a user preloads lie where the run cannot write.
#   solution: Do not install it; the library sees and changes all that the program does.
#   needs: environment of programs
deny contains msg if {
	some i in process.controlled
	some [variable, path] in _preloaded(i)
	msg := sprintf(
		"HIGH:EXEC_LD_PRELOAD: %s was started with %s naming \"%s\", a library that takes other programs over",
		[process.names[i], variable, text.safe(path)],
	)
}

# METADATA
# title: Another process is entered
# description: A process attached to another one, wrote into its memory or took a descriptor from it.
# custom:
#   id: EXEC_PTRACE_INJECT
#   severity: CRITICAL
#   attack: T1055
#   incidents: [TeamPCP]
#   false_positives: Debuggers when they are used.
#   solution: Do not install it.
#   needs: ptrace, process_vm_writev, pidfd_getfd, opens
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	_injects(event, input.processes[i])
	msg := sprintf(
		"CRITICAL:EXEC_PTRACE_INJECT: %s called %s (%s), which takes another process over",
		[process.names[i], event.syscall, text.safe(object.get(event, "detail", ""))],
	)
}

deny contains msg if {
	some [i, path] in opens.writing
	i in process.controlled
	regex.match(`^/proc/[0-9]+/(task/[0-9]+/)?mem$`, path)
	not _own(i, path)
	msg := sprintf(
		"CRITICAL:EXEC_PTRACE_INJECT: %s opened \"%s\" to write, which takes another process over",
		[process.names[i], text.safe(path)],
	)
}

# METADATA
# title: A kernel module
# description: A process loaded or removed a kernel module, or tried to.
# custom:
#   id: EXEC_KERNEL_MODULE
#   severity: CRITICAL
#   attack: T1547.006
#   incidents: [IronWorm]
#   false_positives: none
#   solution: Do not install it; a module has every right on the machine.
#   needs: init_module, finit_module, programs
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall in table.kernel_modules.calls
	msg := sprintf(
		"CRITICAL:EXEC_KERNEL_MODULE: %s called %s, which changes the running kernel",
		[process.names[i], event.syscall],
	)
}

deny contains msg if {
	some command in programs.commands
	command.base in table.kernel_modules.programs
	not _asks_version(command)
	msg := sprintf(
		"CRITICAL:EXEC_KERNEL_MODULE: %s %s \"%s\", which changes the running kernel",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: More rights
# description: A process tried to become another user or to leave a program behind that makes others so.
# custom:
#   id: EXEC_PRIV_ESC
#   severity: HIGH
#   attack: T1548
#   incidents: [loquru]
#   false_positives: none during an installation
#   solution: Do not install it; no package needs more rights than its installer.
#   needs: programs with their arguments, changes of modes
deny contains msg if {
	some command in programs.commands
	command.base in table.privileges.programs
	not _asks_version(command)
	msg := sprintf(
		"HIGH:EXEC_PRIV_ESC: %s %s \"%s\" to get more rights",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

deny contains msg if {
	some [who, path] in _set_id
	msg := sprintf(
		"HIGH:EXEC_PRIV_ESC: %s made \"%s\" run with the rights of its owner or with capabilities",
		[who, text.safe(path)],
	)
}

# METADATA
# title: A process that stays
# description: >-
#   A process left its session, or was started by a program for that, so that it outlives the installer
#   and the interpreter.
# custom:
#   id: EXEC_DETACHED
#   severity: HIGH
#   attack: T1564
#   incidents: [telnyx 4.87.2, xinference, mistralai]
#   false_positives: Servers that build tools leave behind are known by name and place.
#   solution: Find out what the process does; it goes on after the installation has ended.
#   needs: setsid, programs with their arguments
deny contains msg if {
	some i in _left
	msg := sprintf(
		"%s:EXEC_DETACHED: %s left its session and can outlive what started it%s",
		[_detached_severity, process.names[i], _detached_deeds],
	)
}

deny contains msg if {
	some command in programs.commands
	_detaches(command)
	msg := sprintf(
		"HIGH:EXEC_DETACHED: %s %s \"%s\", which goes on after the installer or the interpreter has ended",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: Compiled on the spot and run
# description: A program that this run compiled was run outside of the build, and by no build tool.
# custom:
#   id: EXEC_COMPILE_AND_RUN
#   severity: HIGH
#   attack: T1027.004
#   incidents: [technique]
#   false_positives: Tests of a compiler that only compute are MEDIUM; those of configure, meson and cmake are exempt.
#   solution: Look for the source in the evidence; a package that compiles a program to run it hides it.
#   needs: files written, programs
deny contains msg if {
	some command in programs.commands
	command.source == "exec"
	not command.failed
	command.program in _compiled
	not _in_build(command, command.program)
	msg := sprintf(
		"%s:EXEC_COMPILE_AND_RUN: %s ran \"%s\", which was compiled in this run and is no part of a build",
		[_compiled_severity(command), command.who, text.safe(command.program)],
	)
}

# METADATA
# title: Looking around
# description: Package code ran several programs that tell who and where it is.
# custom:
#   id: EXEC_RECON
#   severity: MEDIUM
#   attack: T1082
#   incidents: [litellm 1.82.8]
#   false_positives: Tests of build tools are exempt.
#   solution: Look at the other findings of this run.
#   needs: programs with their arguments
deny contains msg if {
	count(_reconnaissance) >= 3
	msg := sprintf(
		"MEDIUM:EXEC_RECON: package code ran %d programs that tell who and where it is (%s), as intruders do first",
		[count(_reconnaissance), text.safe(concat(", ", sort(_reconnaissance)))],
	)
}

# METADATA
# title: It does not want to be watched
# description: Package code tested whether it is watched, or made itself harder to watch.
# custom:
#   id: EXEC_ANTI_ANALYSIS
#   severity: HIGH
#   attack: T1622
#   incidents: [bittensor-wallet 4.0.2]
#   false_positives: Debuggers and process monitors when they are used.
#   solution: Find out what it would do unwatched.
#   needs: ptrace, prctl, clone, opens
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	what := _evasion(event)
	msg := sprintf(
		"HIGH:EXEC_ANTI_ANALYSIS: %s %s, which a program does that fears to be watched",
		[process.names[i], what],
	)
}

deny contains msg if {
	count(_signs) >= 2
	msg := sprintf(
		"MEDIUM:EXEC_ANTI_ANALYSIS: package code looked for signs of a watched machine: %s",
		[concat(", ", sort(_signs))],
	)
}

# METADATA
# title: Asynchronous system calls
# description: A process asked for a ring by which the kernel opens and connects unseen. The sandbox refuses it.
# custom:
#   id: EXEC_IO_URING
#   severity: HIGH
#   attack: T1562
#   incidents: [technique]
#   false_positives: >-
#     JavaScript runtimes probe for it, which is LOW; event loops that are imported do too, which is MEDIUM
#     as long as the import touches no credentials and no other machine.
#   solution: Find out what the library wants it for; it is not needed to install or to import.
#   needs: io_uring_setup
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall == "io_uring_setup"
	msg := sprintf(
		"%s:EXEC_IO_URING: %s asked for an io_uring, by which files and sockets are used without a system call each",
		[_ring_severity(i), process.names[i]],
	)
}

# METADATA
# title: System calls of another architecture
# description: A process made system calls by a table that observers overlook. The sandbox refuses them.
# custom:
#   id: EXEC_COMPAT_SYSCALL
#   severity: HIGH
#   attack: T1562
#   incidents: [technique]
#   false_positives: none; programs of 32 bits do not come with packages
#   solution: Do not install it.
#   needs: all system calls
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall == "foreign"
	msg := sprintf(
		"HIGH:EXEC_COMPAT_SYSCALL: %s made a system call of another architecture (%s), which observers overlook",
		[process.names[i], text.safe(object.get(event, "detail", ""))],
	)
}

# METADATA
# title: A way around the recording
# description: A process asked for something that would hide from the recording what it does.
# custom:
#   id: EXEC_TRACE_GAP
#   severity: HIGH
#   attack: T1562
#   incidents: [technique]
#   false_positives: Sandboxes in sandboxes.
#   solution: Do not install it; what it wanted to hide is not known.
#   needs: seccomp, userfaultfd, open_by_handle_at
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	_blinds(event)
	msg := sprintf(
		"HIGH:EXEC_TRACE_GAP: %s called %s (%s), by which what follows could go unrecorded",
		[process.names[i], event.syscall, text.safe(object.get(event, "detail", ""))],
	)
}

# METADATA
# title: Protection is switched off
# description: A process stopped, removed or switched off software that protects the machine, or tried to.
# custom:
#   id: EXEC_SECURITY_TOOL_KILL
#   severity: CRITICAL
#   attack: T1562.001
#   incidents: [miners]
#   false_positives: none
#   solution: Do not install it.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	_disarms(command)
	msg := sprintf(
		"CRITICAL:EXEC_SECURITY_TOOL_KILL: %s %s \"%s\", which switches protection off",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: Destruction
# description: A process removed or overwrote what belongs to the user or to the system, or tried to.
# custom:
#   id: EXEC_DESTRUCTIVE
#   severity: CRITICAL
#   attack: T1485
#   incidents: [durabletask, gh-token-monitor]
#   false_positives: none; installers delete in the environment only
#   solution: Do not install it.
#   needs: programs with their arguments, deletions
deny contains msg if {
	some command in programs.commands
	_destroys(command)
	msg := sprintf(
		"CRITICAL:EXEC_DESTRUCTIVE: %s %s \"%s\", which destroys what is not the package's",
		[command.who, _ran(command), text.safe(command.line)],
	)
}

deny contains msg if {
	count(_deleted_decoys) >= 2
	msg := sprintf(
		"CRITICAL:EXEC_DESTRUCTIVE: package code deleted %d files of the user, among them \"%s\"",
		[count(_deleted_decoys), text.safe(min(_deleted_decoys))],
	)
}

deny contains msg if {
	count(_deleted_at_home) > 50
	msg := sprintf(
		"CRITICAL:EXEC_DESTRUCTIVE: package code deleted %d files below the home directory, among them \"%s\"",
		[count(_deleted_at_home), text.safe(min(_deleted_at_home))],
	)
}

# METADATA
# title: An installer inside the installation
# description: Package code ran an installer, whose packages nobody asked for and no lock file names.
# custom:
#   id: EXEC_NESTED_PIP
#   severity: HIGH
#   attack: T1195.001
#   incidents: [generic]
#   false_positives: Setuptools fetches old-style build requirements so, which is MEDIUM.
#   solution: Install what it needs yourself, pinned.
#   needs: programs with their arguments
deny contains msg if {
	some command in programs.commands
	_installs(command)
	msg := sprintf(
		"%s:EXEC_NESTED_PIP: %s %s \"%s\", whose packages nobody asked for",
		[_nested_severity(command), command.who, _ran(command), text.safe(command.line)],
	)
}

# METADATA
# title: A build requirement was built
# description: >-
#   What a build requires came without a wheel, so its own build code ran. It is never installed where
#   the packages are, and no list of them names it.
# custom:
#   id: EXEC_BUILD_REQUIREMENT
#   severity: MEDIUM
#   attack: T1195.001
#   incidents: [nvidia-nat-semantic-kernel]
#   false_positives: Build requirements that have no wheel for this platform.
#   solution: Look at what the build requires; prefer a wheel of the package.
#   needs: programs with their arguments
deny contains msg if {
	built := {_into(parent) |
		some i in _requirement_builds
		parent := input.processes[process.parents[i]]
	}
	count(built) > 0
	msg := sprintf(
		"MEDIUM:EXEC_BUILD_REQUIREMENT: package code that is only needed to build ran while it was built for \"%s\"",
		[text.safe(min(built))],
	)
}

# METADATA
# title: A build failed
# description: >-
#   A build ended with an error after it had started, so package code ran and nothing of it is
#   installed that could be looked at.
# custom:
#   id: EXEC_BUILD_FAILED
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [technique]
#   false_positives: A compiler or a library that is missing, a version of Python that is not supported.
#   solution: Read what the build did before it failed; what it did is not undone.
#   needs: exits of processes
deny contains msg if {
	statuses := {input.processes[i].exitcode | some i in _failed_builds}
	count(statuses) > 0
	msg := sprintf(
		"MEDIUM:EXEC_BUILD_FAILED: %d builds ended with an error (status %v); their code ran, and none of it is installed",
		[count(_failed_builds), max(statuses)],
	)
}

# METADATA
# title: Writable and executable memory
# description: A process made memory that can be written and run.
# custom:
#   id: EXEC_RWX
#   severity: LOW
#   attack: T1055
#   incidents: [technique]
#   false_positives: Just-in-time compilers, foreign function interfaces.
#   solution: None by itself.
#   needs: mmap, mprotect
deny contains msg if {
	some i in process.controlled
	calls := {event.syscall | some event in input.processes[i].syscallEvents; event.syscall in {"mmap", "mprotect"}}
	count(calls) > 0
	msg := sprintf(
		"LOW:EXEC_RWX: %s made memory that can be run and changed (%s), as compilers in memory and shellcode do",
		[process.names[i], concat(", ", sort(calls))],
	)
}

# METADATA
# title: Under another name
# description: A process took the name of a part of the system.
# custom:
#   id: EXEC_NAME_SPOOF
#   severity: MEDIUM
#   attack: T1036.005
#   incidents: [IronWorm]
#   false_positives: none; threads may have any name
#   solution: Look at the other findings of this process.
#   needs: prctl, programs
deny contains msg if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	name := _taken_name(event)
	msg := sprintf(
		"MEDIUM:EXEC_NAME_SPOOF: %s called itself \"%s\", which is a part of the system",
		[process.names[i], text.safe(name)],
	)
}

deny contains msg if {
	some i in process.controlled
	some e in input.processes[i].execs
	process.succeeded(e)
	called := e.argv[0]
	regex.match(table.spoofed_names.names, called)
	not regex.match(table.spoofed_names.names, process.base(e.program))
	not startswith(called, "-")
	msg := sprintf(
		"MEDIUM:EXEC_NAME_SPOOF: %s ran \"%s\" under the name \"%s\", which is a part of the system",
		[process.names[i], text.safe(e.program), text.safe(called)],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

not_evaluated contains "EXEC_COMPAT_SYSCALL: not known whether calls of other architectures were observed" if {
	not input.coverage.backend
}

not_evaluated contains "EXEC_BUILD_FAILED: exits of processes were not observed" if not _exits

_exits if {
	some proc in input.processes
	is_number(proc.exitcode)
}

_needs := {
	"EXEC_SHELL_PIPE": {"execve", "execveat"},
	"EXEC_B64_DECODE": {"execve", "execveat"},
	"EXEC_INLINE_INTERPRETER": {"execve", "execveat"},
	"EXEC_FROM_TMP": {"execve", "execveat"},
	"EXEC_MEMFD": {"execve", "execveat"},
	"EXEC_FOREIGN_RUNTIME": {"execve", "execveat"},
	"EXEC_AI_CLI_ABUSE": {"execve", "execveat"},
	"EXEC_MINER": {"execve", "execveat"},
	"EXEC_LD_PRELOAD": {"execve", "execveat"},
	"EXEC_PTRACE_INJECT": {"ptrace", "process_vm_writev", "pidfd_getfd", "openat", "openat2"},
	"EXEC_KERNEL_MODULE": {"execve", "execveat", "init_module", "finit_module"},
	"EXEC_PRIV_ESC": {"execve", "execveat", "fchmod", "fchmodat", "setxattr"},
	"EXEC_DETACHED": {"execve", "execveat", "setsid"},
	"EXEC_COMPILE_AND_RUN": {"execve", "execveat", "openat"},
	"EXEC_RECON": {"execve", "execveat"},
	"EXEC_ANTI_ANALYSIS": {"openat", "ptrace", "prctl", "clone"},
	"EXEC_IO_URING": {"io_uring_setup"},
	"EXEC_TRACE_GAP": {"seccomp", "userfaultfd", "open_by_handle_at"},
	"EXEC_SECURITY_TOOL_KILL": {"execve", "execveat"},
	"EXEC_DESTRUCTIVE": {"execve", "execveat", "unlinkat"},
	"EXEC_NESTED_PIP": {"execve", "execveat"},
	"EXEC_BUILD_REQUIREMENT": {"execve", "execveat"},
	"EXEC_RWX": {"mmap", "mprotect"},
	"EXEC_NAME_SPOOF": {"execve", "execveat", "prctl"},
}

_ran(command) := "ran" if not command.failed

_ran(command) := "tried to run" if command.failed

_stages_line(stages) := concat(" | ", [stage.line | some stage in stages])

# A stage of one of the classes feeds an interpreter.
_piped(stages, classes) if {
	some i, source in stages
	count(source.classes & classes) > 0
	some j, sink in stages
	j > i
	programs.reads_input(sink)
}

_decodes(command) if {
	pattern := table.decoding.arguments[command.base]
	some argument in array.concat([""], command.args)
	regex.match(pattern, argument)
}

# Arguments that a shell or another interpreter evaluates.
_evaluated(command) := command.args if command.base in {"eval", "source", "."}

_evaluated(command) := command.args if {
	programs.interpreter(command)
	not command.base in {"eval", "source", "."}
}

_downloaders := concat("|", sort({name | some name in programs.named("downloader")}))

_substituting := concat("", [
	`^(\$\(|<\(|`, "`",
	`)\s*([A-Za-z_][A-Za-z0-9_]*=\S*\s+)*(command |exec |sudo |env )?([^\s()|;&]*/)?`,
])

_downloading := concat("", [_substituting, "(", _downloaders, `)\s`])

_decoding := concat("", [
	`^(\$\(|<\(|`,
	"`",
	`)[^()]*\b((base64|base32|basenc)\s+(-[a-z]*[dD]|--decode)|xxd\s+-[a-z]*r|openssl\s+(enc|base64)\s.*-d|uudecode)`,
])

# A program beside an interpreter that reads its program from standard input, both
# started by one process: the two ends of a pipe.
_fed contains [source, sink] if {
	some sink in _stdin_readers
	above := process.parents[sink.index]
	some source in _possible_sources
	process.parents[source.index] == above
	source.index != sink.index
}

_stdin_readers contains command if {
	some command in programs.commands
	command.source == "exec"
	not command.failed
	programs.reads_input(command)
}

_possible_sources contains command if {
	some command in programs.commands
	command.source == "exec"
	not command.failed
	_source(command)
}

_source(command) if "downloader" in command.classes

_source(command) if _decodes(command)

_hidden_code(command) if {
	not "shell" in command.classes
	code := programs.code(command)
	not _helper(code)
	regex.match(table.decoding.code, code)
	regex.match(table.decoding.execution, code)
}

_hidden_code(command) if {
	"powershell" in command.classes
	some argument in command.args
	regex.match(table.decoding.powershell, argument)
}

_helper(code) if {
	some pattern in table.helpers.code
	regex.match(pattern, code)
}

_inline(command) if {
	not "shell" in command.classes
	code := programs.code(command)
	not _helper(code)
	_long_or_encoded(code)
}

_long_or_encoded(code) if count(code) > 512

_long_or_encoded(code) if regex.match(table.helpers.encoded_word, code)

_from_descriptor(command) if {
	command.source == "exec"
	programs.reads_input(command)
}

_from_descriptor(command) if regex.match(`^(-$|/dev/(stdin|fd/)|/proc/(self|[0-9]+)/fd/)`, programs.script(command))

# Build tools run what they have made, and ask the interpreter about itself: what they
# start, themselves or by a shell, belongs to the build.
_building(i) if {
	process.role(input.processes[i]) == "build-child"
	some above in process.ancestors(i)
	above in _drivers
}

_drivers contains command.index if {
	some command in programs.commands
	command.source == "exec"
	not command.failed
	command.role == "build-child"
	_drives(command)
}

_drives(command) if "driver" in command.classes

_drives(command) if "driver" in programs.classes_of(process.base(programs.script(command)))

_drives(command) if {
	process.base(programs.script(command)) in {"config.status", "config.guess", "config.sub", "autogen.sh"}
}

# Programs and scripts of package code that lie where no program of a package lies.
_dropped contains drop if {
	some command in programs.commands
	command.source == "exec"
	not command.failed
	some path in _files_of(command)
	_temporary(path)
	_throw_away(path)
	not _unpacked(command, path)
	not _product(command, path)
	drop := {"severity": _dropped_severity(command, path), "who": command.who, "path": path, "line": command.line}
}

_dropped_severity(command, path) := "MEDIUM" if _trial(command, path)

_dropped_severity(command, path) := "CRITICAL" if not _trial(command, path)

# Some builds compile a few lines and run them, to see what the compiler can do. Such a
# program reads libraries and does nothing else.
_trial(command, path) if {
	command.role == "build-child"
	path in _compiled
	count(process.descendants(command.index)) == 0
	proc := input.processes[command.index]
	count(object.get(proc, ["network", "connections"], [])) == 0
	count(object.get(proc, ["fileOps", "writes"], [])) == 0
	count(object.get(proc, "syscallEvents", [])) == 0
	every opened, _ in object.get(proc, "openedfiles", {}) {
		regex.match(`^/(usr/)?(local/)?lib|^/etc/ld\.so|^/(proc|sys)/(self|cpuinfo|stat|meminfo|devices/system)`, opened)
	}
}

_throw_away(path) if process.writable(path)

_throw_away(path) if startswith(path, "/run/")

# The program, and the file that it was started on where it is an interpreter: one
# that is named relative to a directory is looked for among what the process read.
_files_of(command) := ({command.program} | {path |
	named := programs.script(command)
	not startswith(named, "/")
	some path, _ in input.processes[command.index].openedfiles
	endswith(path, concat("", ["/", trim_prefix(named, "./")]))
}) | {named |
	named := programs.script(command)
	startswith(named, "/")
}

_temporary(path) if {
	some directory in _temporary_directories
	process.under(path, directory)
}

_temporary(path) if {
	home := input.coverage.sandbox.home
	is_string(home)
	startswith(path, concat("", [home, "/"]))
	not _in_environment(path)
	elements := split(substring(path, count(home) + 1, -1), "/")
	some i, element in array.slice(elements, 0, count(elements) - 1)
	startswith(element, ".")
	not _ordinary_hidden(i, element)
}

_temporary_directories contains directory if some directory in table.temporary.directories

_temporary_directories contains input.coverage.sandbox.tempDir if startswith(input.coverage.sandbox.tempDir, "/")

_ordinary_hidden(0, element) if element in table.temporary.ordinary_hidden

_in_environment(path) if process.under(path, input.coverage.sandbox.prefix)

_in_environment(path) if {
	some directory in input.coverage.sandbox.basePrefixes
	process.under(path, directory)
}

# What lies in a directory that the installer made: build environments, unpacked sdists.
_unpacked(command, path) if {
	command.role == "build-child"
	some directory in _installer_directories
	process.under(path, directory)
}

_installer_directories contains directory if {
	some proc in input.processes
	process.role(proc) == "installer"
	some made in proc.fileOps.dirs
	directory := made.path
	_temporary(directory)
	not directory in _temporary_directories
}

# Evidence without directories that were made: what the installer wrote in them.
_installer_directories contains directory if {
	some proc in input.processes
	process.role(proc) == "installer"
	not proc.fileOps.dirs
	some write in proc.fileOps.writes
	some directory in regex.find_n(`^/(var/)?tmp/(pip|uv)-[^/]+`, write.path, 1)
}

# What compilers and build tools made, run by a build tool.
_product(command, path) if {
	_building(command.index)
	path in _made_by_tools
}

_made_by_tools contains path if {
	some i in _tools
	some write in input.processes[i].fileOps.writes
	path := write.path
}

_made_by_tools contains path if {
	some i in _tools
	some rename in input.processes[i].fileOps.renames
	path := rename.newPath
}

_made_by_tools contains path if {
	some i in _tools
	some link in input.processes[i].fileOps.links
	path := link.path
}

_tools contains command.index if {
	some command in programs.commands
	command.source == "exec"
	count(command.classes & {"compiler", "linker", "driver"}) > 0
}

_compiled contains write.path if {
	some command in programs.commands
	command.source == "exec"
	count(command.classes & {"compiler", "linker"}) > 0
	some write in input.processes[command.index].fileOps.writes
}

_compiled_severity(command) := "MEDIUM" if _trial(command, command.program)

_compiled_severity(command) := "HIGH" if not _trial(command, command.program)

_in_build(command, path) if _unpacked(command, path)

_in_build(command, _) if _building(command.index)

_names_of(command) := {command.program} | {named | named := programs.script(command)}

_in_memory(path) if startswith(path, "/memfd:")

_in_memory(path) if {
	regex.match(`^(/proc/(self|thread-self|[0-9]+)/fd/|/dev/fd/)[0-9]+$`, path)
	_makes_memory_files
}

_makes_memory_files if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	event.syscall == "memfd_create"
}

_asks_version(command) if {
	count(command.args) == 1
	command.args[0] in {"--version", "-version", "-V", "-v", "version", "--help", "-h", "help"}
}

_runtime_severity(command, _) := "CRITICAL" if _installs_globally(command)

_runtime_severity(command, runtime) := "MEDIUM" if {
	not _installs_globally(command)
	runtime.severity == "HIGH"
	command.role == "build-child"
}

_runtime_severity(command, runtime) := "HIGH" if {
	not _installs_globally(command)
	runtime.severity == "HIGH"
	command.role != "build-child"
}

_runtime_severity(command, runtime) := "CRITICAL" if {
	not _installs_globally(command)
	runtime.severity == "CRITICAL"
	not command.failed
}

_runtime_severity(command, runtime) := "HIGH" if {
	not _installs_globally(command)
	runtime.severity == "CRITICAL"
	command.failed
}

_installs_globally(command) if {
	command.base in table.package_managers.programs
	regex.match(table.package_managers.global, concat(" ", command.args))
}

_mines(command) if regex.match(table.miners.names, command.base)

_mines(command) if regex.match(table.miners.arguments, concat(" ", command.args))

_mines(command) if regex.match(table.miners.wallet, concat(" ", command.args))

_mines(command) if {
	regex.match(table.miners.pools, concat(" ", command.args))
	not "downloader" in command.classes
}

_mines(command) if {
	not "downloader" in command.classes
	line := concat(" ", command.args)
	regex.match(table.miners.pool_option, line)
	regex.match(table.miners.account_option, line)
}

_preloaded(i) := {[match[1], path] |
	is_string(input.processes[i].environ)
	count(object.get(input.processes[i], "execs", [])) > 0
	some match in regex.find_all_string_submatch_n(table.preloading.variables, input.processes[i].environ, 10)
	some path in regex.split(`:|%20`, match[2])
	contains(path, "/")
	process.writable(path)
}

_injects(event, _) if {
	event.syscall == "ptrace"
	event.args[0] in {4, 5, 6, 13, 15, 16, 16901, 16902} # POKE*, SETREGS, SETFPREGS, ATTACH, SETREGSET, SEIZE
}

_injects(event, proc) if {
	event.syscall == "process_vm_writev"
	event.args[0] != proc.processid
}

_injects(event, _) if event.syscall == "pidfd_getfd"

_own(i, path) if split(path, "/")[2] == sprintf("%v", [input.processes[i].processid])

_set_id contains [who, change.path] if {
	some i in process.controlled
	who := process.names[i]
	some change in input.processes[i].fileOps.permChanges
	is_string(change.mode)
	regex.match(table.privileges.set_id, change.mode)
	not endswith(change.path, "/")
	not change.path in _directories
}

_set_id contains [who, event.path] if {
	some i in process.controlled
	some event in input.processes[i].syscallEvents
	who := process.names[i]
	event.syscall in {"setxattr", "lsetxattr", "fsetxattr"}
	event.detail == "security.capability"
}

# Directories pass their group on by the same bit.
_directories contains made.path if {
	some i in process.controlled
	some made in input.processes[i].fileOps.dirs
	object.get(made, "kind", "directory") == "directory"
}

_left contains i if {
	some i in process.controlled
	process.detached(i)
	not _server(i)
}

_server(i) if {
	some e in input.processes[i].execs
	process.base(e.program) in table.detaching.servers
	not process.writable(e.program)
}

# What processes did that had left the session, or whose parent was gone.
_gone := {below | some i in _left; some below in ({i} | process.descendants(i))} | {i |
	count(_left) > 0
	some i in process.controlled
	process.orphan(i)
}

_gone_pids contains proc.processid if {
	some i in _gone
	proc := input.processes[i]
}

_deeds contains "opens credentials" if {
	some access in credentials.accesses
	access.severity in {"CRITICAL", "HIGH"}
	access.pid in _gone_pids
}

_deeds contains "uses the network" if {
	some i in _gone
	some c in input.processes[i].network.connections
	connections.internet(c)
	connections.outgoing(c)
	object.get(c, "port", 0) != 53
}

_detached_severity := "CRITICAL" if count(_deeds) > 0

_detached_severity := "HIGH" if count(_deeds) == 0

_detached_deeds := sprintf("; it %s", [concat(" and ", sort(_deeds))]) if count(_deeds) > 0

_detached_deeds := "" if count(_deeds) == 0

_detaches(command) if {
	command.base in table.detaching.programs
	not _asks_version(command)
}

_detaches(command) if regex.match(table.detaching.sessions, command.line)

_reconnaissance contains command.base if {
	some command in programs.commands
	not command.failed
	not _building(command.index)
	"recon" in command.classes
	not command.base in table.recon.ordinary
	not _runs_another(command)
}

_reconnaissance contains command.line if {
	some command in programs.commands
	not command.failed
	not _building(command.index)
	regex.match(table.recon.reading, command.line)
}

# env VAR=x program is no question for the environment.
_runs_another(command) if {
	command.base == "env"
	some argument in command.args
	not regex.match(`^-|=`, argument)
}

_evasion(event) := "asked to be traced by its parent" if {
	event.syscall == "ptrace"
	event.args[0] == 0
}

_evasion(event) := "closed its memory to others" if {
	event.syscall == "prctl"
	event.args[0] == 4
	event.args[1] == 0
}

_evasion(event) := "started a child that no tracer follows" if {
	event.syscall in {"clone", "clone3"}
	bits.and(event.args[0], 8388608) != 0 # CLONE_UNTRACED
}

_signs contains "the state of a tracer" if {
	some path in _curious_paths
	regex.match(table.analysis.status, path)
}

_signs contains "the time since the start of the machine" if {
	some path in _curious_paths
	regex.match(table.analysis.uptime, path)
}

_signs contains "the modules of the kernel" if {
	some path in _curious_paths
	regex.match(table.analysis.modules, path)
}

_signs contains "a virtual machine" if {
	some command in programs.commands
	regex.match(table.analysis.detectors, command.base)
	not command.failed
}

_signs contains "the other processes" if {
	count({path |
		some path in _curious_paths
		regex.match(table.analysis.others_processes, path)
	}) >= 6
}

# What package code read in /proc, apart from what the tools for it read.
_curious_paths contains path if {
	some path in opens.read_paths
	startswith(path, "/proc/")
	some i in process.controlled
	input.processes[i].openedfiles[path]
	not _tool(i)
}

_tool(i) if {
	classes := programs.classes_of(process.base(input.processes[i].program))
	count(classes & {"recon", "compiler", "linker", "driver", "javascript"}) > 0
}

# JavaScript runtimes and build tools have an event loop that tries a ring first.
_ring_severity(i) := "LOW" if _event_loop(i)

_ring_severity(i) := "MEDIUM" if {
	not _event_loop(i)
	_probes(i)
}

_ring_severity(i) := "HIGH" if {
	not _event_loop(i)
	not _probes(i)
}

# An event loop asks whether the kernel has rings, is told that it has none and
# does without. Nothing else of that import may be what a ring would have hidden.
_probes(i) if {
	_nothing_hidden
	proc := input.processes[i]
	not process.writable(proc.program)
	every event in [e | some e in proc.syscallEvents; e.syscall == "io_uring_setup"] {
		event.refused == "ENOSYS"
	}
}

_nothing_hidden if {
	connections.importing
	not _worth_hiding
}

_worth_hiding if {
	some access in credentials.accesses
	access.severity in {"CRITICAL", "HIGH"}
}

_worth_hiding if {
	some contact in connections.contacts
	not contact.weak
	contact.scope != "loopback"
}

_event_loop(i) if {
	classes := programs.classes_of(process.base(input.processes[i].program))
	count(classes & {"javascript", "driver"}) > 0
}

_blinds(event) if {
	event.syscall == "seccomp"
	event.args[0] == 1
	bits.and(event.args[1], 8) != 0 # NEW_LISTENER
}

_blinds(event) if event.syscall in {"userfaultfd", "open_by_handle_at"}

_disarms(command) if {
	regex.match(table.security_tools.stopping, command.line)
	some argument in command.args
	regex.match(table.security_tools.names, argument)
}

_disarms(command) if {
	some pattern in table.security_tools.commands
	regex.match(pattern, command.line)
}

_destroys(command) if regex.match(table.destruction.programs, command.base)

_destroys(command) if {
	command.base == "rm"
	some argument in command.args
	argument == "--no-preserve-root"
}

_destroys(command) if {
	command.base == "rm"
	some option in command.args
	regex.match(`^(-[a-zA-Z]*[rR]|--recursive)`, option)
	some argument in command.args
	_root(argument)
}

_destroys(command) if {
	command.base == "find"
	regex.match(`(^| )(-delete|-exec (rm|shred|unlink) )`, concat(" ", command.args))
	some argument in command.args
	_root(argument)
}

_destroys(command) if {
	command.base == "dd"
	some argument in command.args
	regex.match(table.destruction.devices, argument)
}

# What goes on by itself after its parent has nothing of its own to tidy up in the home directory.
_destroys(command) if {
	command.base == "rm"
	some option in command.args
	regex.match(`^(-[a-zA-Z]*[rR]|--recursive)`, option)
	some argument in command.args
	_at_home(argument)
	some i in (process.ancestors(command.index) | {command.index})
	process.detached(i)
}

# A directory that lies in the home directory itself, such as documents, keys or sources.
_at_home(argument) if {
	regex.match(table.destruction.home, argument)
	not _scratch(_expanded(argument))
}

_at_home(argument) if {
	path := trim_suffix(argument, "/")
	home := concat("", [input.coverage.sandbox.home, "/"])
	startswith(path, home)
	name := trim_prefix(path, home)
	name != ""
	not contains(name, "/")
	not _scratch(path)
}

_expanded(argument) := trim_suffix(
	regex.replace(argument, table.destruction.home_itself, input.coverage.sandbox.home),
	"/",
)

_scratch(path) if path == concat("", [input.coverage.sandbox.home, "/.cache"])

_scratch(path) if _temporary_below_home(path)

_scratch(path) if _in_environment(path)

_root(argument) if regex.match(table.destruction.roots, argument)

_root(argument) if trim_suffix(trim_suffix(argument, "*"), "/") == input.coverage.sandbox.home

_deletions contains removal.path if {
	some i in process.controlled
	some removal in input.processes[i].fileOps.deletes
	process.succeeded(removal)
	is_string(removal.path)
}

_deleted_decoys := {decoy.path | some decoy in input.coverage.sandbox.decoys} & _deletions

_deleted_at_home contains path if {
	home := sprintf("%s/", [input.coverage.sandbox.home])
	some path in _deletions
	startswith(path, home)
	not startswith(path, concat("", [home, ".cache/"]))
	not _in_environment(path)
	not _temporary_below_home(path)
	not path in _own_files
}

# Where the home directory holds the directories for temporary files or for work.
_temporary_below_home(path) if {
	some key in ["tempDir", "workDir"]
	process.under(path, input.coverage.sandbox[key])
}

# What the run created it may delete.
_own_files contains write.path if {
	some proc in input.processes
	some write in proc.fileOps.writes
	write.created
}

_installs(command) if {
	regex.match(table.installers.programs, command.base)
	some argument in command.args
	regex.match(table.installers.changing, argument)
}

_installs(command) if {
	"python" in command.classes
	some i, argument in command.args
	regex.match(`^-[A-Za-z]*m$`, argument)
	regex.match(table.installers.modules, command.args[i + 1])
	some changing in array.slice(command.args, i + 2, count(command.args))
	regex.match(table.installers.changing, changing)
}

_nested_severity(command) := "MEDIUM" if _legacy(command)

_nested_severity(command) := "HIGH" if not _legacy(command)

_legacy(command) if {
	command.role == "build-child"
	"wheel" in command.args
	"--no-deps" in command.args
}

# Builds are started by the installer itself; what a build starts is its own matter.
_builds contains i if {
	some i in process.controlled
	process.role(input.processes[i]) == "build-child"
	process.role(input.processes[process.parents[i]]) == "installer"
}

# pip installs what a build requires by another one of itself, into a directory of its own.
_requirement_builds contains i if {
	some i in _builds
	_into(input.processes[process.parents[i]])
}

_into(proc) := directory if {
	some i, argument in proc.args
	argument == "--prefix"
	directory := proc.args[i + 1]
	regex.match(`/pip-build-env-[^/]+/`, directory)
}

_failed_builds contains i if {
	some i in _builds
	input.processes[i].exitcode > 0
}

_taken_name(event) := name if {
	event.syscall == "prctl"
	event.args[0] == 15
	endswith(event.detail, " main thread")
	some match in regex.find_all_string_submatch_n(`"(.*)" main thread$`, event.detail, 1)
	name := match[1]
	regex.match(table.spoofed_names.names, name)
}
