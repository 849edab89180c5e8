# METADATA
# title: What outlives the run
# description: >-
#   An installation puts files into its environment and an import reads them. Whoever
#   changes what starts programs later, lets others in or gives orders to other tools wants to
#   come back. Failed attempts, links, renames and changes that no process was seen
#   making count like writes.
# related_resources:
#   - ref: https://attack.mitre.org/tactics/TA0003/
package pip_witness.persistence # regal ignore:file-length

import data.pip_witness.indicators.persistence as table
import data.pip_witness.lib.coverage
import data.pip_witness.lib.distributions
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text
import data.pip_witness.lib.writes

import rego.v1

# METADATA
# title: A systemd unit
# description: A process wrote, linked or renamed a unit into place, or had systemd start something.
# custom:
#   id: PERSIST_SYSTEMD
#   severity: CRITICAL
#   attack: T1543.002
#   incidents: [litellm 1.82.8, durabletask, Hades]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, disable the unit and remove its file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_SYSTEMD"
	msg := _message(finding, "PERSIST_SYSTEMD", "with the machine or the next login it starts again")
}

# METADATA
# title: Services without a login
# description: A process asked that the user's services keep running after the logout.
# custom:
#   id: PERSIST_LINGER
#   severity: CRITICAL
#   attack: T1543.002
#   incidents: [Hades]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, disable lingering and look at the user's units.
#   needs: arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_LINGER"
	msg := _message(finding, "PERSIST_LINGER", "what it left runs without a login")
}

# METADATA
# title: A job on a clock
# description: A process changed what cron, at or their like run, or ran the program that does.
# custom:
#   id: PERSIST_CRON
#   severity: CRITICAL
#   attack: T1053.003
#   incidents: [GhostLoader, SilentSync]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, look at the tables of cron and at.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_CRON"
	msg := _message(finding, "PERSIST_CRON", "a clock starts it again")
}

# METADATA
# title: A shell's start-up file
# description: A process changed a file that shells, terminals or editors of the user run.
# custom:
#   id: PERSIST_SHELL_RC
#   severity: CRITICAL
#   attack: T1546.004
#   incidents: [GhostLoader, s1ngularity]
#   false_positives: tools that ask to change a profile, when they are called
#   solution: Do not install it; where it ran, restore the file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_SHELL_RC"
	msg := _message(finding, "PERSIST_SHELL_RC", "it runs in the user's next shell")
}

# METADATA
# title: The desktop's start-up
# description: A process changed what starts with the desktop or answers on its bus.
# custom:
#   id: PERSIST_AUTOSTART
#   severity: CRITICAL
#   attack: T1547.013
#   incidents: [SilentSync]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, remove the file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_AUTOSTART"
	msg := _message(finding, "PERSIST_AUTOSTART", "it starts with the next login")
}

# METADATA
# title: Keys that may log in
# description: A process changed who may log in over SSH, or what SSH runs.
# custom:
#   id: PERSIST_SSH_AUTHORIZED_KEYS
#   severity: CRITICAL
#   attack: T1098.004
#   incidents: [Polymarket bot backdoor]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, remove the key and look at who logged in.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_SSH_AUTHORIZED_KEYS"
	msg := _message(finding, "PERSIST_SSH_AUTHORIZED_KEYS", "a stranger can log in")
}

# METADATA
# title: A library in every program
# description: A process changed what the dynamic loader puts into programs.
# custom:
#   id: PERSIST_LD_PRELOAD
#   severity: CRITICAL
#   attack: T1574.006
#   incidents: [qlnx]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file from a rescue system.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_LD_PRELOAD"
	msg := _message(finding, "PERSIST_LD_PRELOAD", "every program then carries it")
}

# METADATA
# title: The log-in itself
# description: A process changed what takes part when somebody logs in.
# custom:
#   id: PERSIST_PAM
#   severity: CRITICAL
#   attack: T1556.003
#   incidents: [technique only]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file and replace passwords.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_PAM"
	msg := _message(finding, "PERSIST_PAM", "it sees every password")
}

# METADATA
# title: A program in place of another
# description: >-
#   A program was put where the user's own are found, by package code, or by the installer under the name of a
#   tool that the distribution does not own.
# custom:
#   id: PERSIST_PATH_SHIM
#   severity: CRITICAL
#   attack: T1574.007
#   incidents: [fabrice, durabletask, command jacking of 2024, sudo grabbers of 2026]
#   false_positives: distributions that bring a well-known tool, which are listed by name
#   solution: Do not install it; where it ran, remove the program.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_PATH_SHIM"
	msg := _message(finding, "PERSIST_PATH_SHIM", "the user runs it in good faith")
}

deny contains msg if {
	some [path, name] in _stand_ins

	# regal ignore:non-loop-expression
	_installed_known
	msg := sprintf(
		"CRITICAL:PERSIST_PATH_SHIM: \"%s\" was installed, but no distribution of the run owns \"%s\"",
		[text.safe(path), text.safe(name)],
	)
}

# METADATA
# title: What git runs
# description: A process changed hooks or settings through which git runs programs.
# custom:
#   id: PERSIST_GIT_HOOK
#   severity: CRITICAL
#   attack: T1546
#   incidents: [technique only]
#   false_positives: hooks that git ships as examples are left out
#   solution: Do not install it; where it ran, look at the hooks and git's settings.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_GIT_HOOK"
	msg := _message(finding, "PERSIST_GIT_HOOK", "the next commit or pull runs it")
}

# METADATA
# title: An editor's orders
# description: >-
#   A process changed settings, tasks or extensions of an editor; CRITICAL for the user's own, HIGH in a
#   project.
# custom:
#   id: PERSIST_IDE_TASK
#   severity: CRITICAL
#   attack: T1176.002
#   incidents: [Hades]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file before opening the editor.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_IDE_TASK"
	msg := _message(finding, "PERSIST_IDE_TASK", "opening the folder runs it")
}

# METADATA
# title: An AI assistant's orders
# description: >-
#   A process changed what AI assistants read as instructions, hooks or tools; CRITICAL for the user's own, HIGH
#   in a project.
# custom:
#   id: PERSIST_AGENT_CONFIG
#   severity: CRITICAL
#   attack: T1546
#   incidents: [TrapDoor, Hades, ClawHavoc]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file before the assistant is used.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_AGENT_CONFIG"
	msg := _message(finding, "PERSIST_AGENT_CONFIG", "the assistant obeys it with the user's rights")
}

# METADATA
# title: Where packages and names come from
# description: A process changed settings of package tools, of the resolver, or the trusted certificates.
# custom:
#   id: PERSIST_PIP_CONF
#   severity: CRITICAL
#   attack: T1195.001
#   incidents: [technique only]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_PIP_CONF"
	msg := _message(finding, "PERSIST_PIP_CONF", "the next download comes from a stranger")
}

# METADATA
# title: A project's pipeline
# description: A process changed what runs in the project's pipelines.
# custom:
#   id: PERSIST_CI_WORKFLOW
#   severity: HIGH
#   attack: T1677
#   incidents: [GhostAction, Hades]
#   false_positives: none during an installation or an import
#   solution: Do not install it; look at the change before it is committed.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_CI_WORKFLOW"
	msg := _message(finding, "PERSIST_CI_WORKFLOW", "it runs with the secrets of the pipeline")
}

# METADATA
# title: The system's start and settings
# description: >-
#   A process changed what takes part when the machine starts, or other settings and code of the whole system.
# custom:
#   id: PERSIST_SYSTEM_INIT
#   severity: CRITICAL
#   attack: T1037
#   incidents: [technique only]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_SYSTEM_INIT"
	msg := _message(finding, "PERSIST_SYSTEM_INIT", "it holds for every user and after every start")
}

# METADATA
# title: The environment of programs
# description: A process changed the variables that every program of the user gets.
# custom:
#   id: PERSIST_ENVIRONMENT
#   severity: CRITICAL
#   attack: T1546
#   incidents: [technique only]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, restore the file.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_ENVIRONMENT"
	msg := _message(finding, "PERSIST_ENVIRONMENT", "a variable is enough to load code")
}

# METADATA
# title: Start-up of macOS or Windows
# description: A process wrote where macOS or Windows look for what they start.
# custom:
#   id: PERSIST_LAUNCHD
#   severity: CRITICAL
#   attack: T1543.001
#   incidents: [cross-platform stealers]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, remove the entry.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_LAUNCHD"
	msg := _message(finding, "PERSIST_LAUNCHD", "it starts with the next login")
}

# METADATA
# title: Users and their rights
# description: A process changed the users of the system or what they may do.
# custom:
#   id: PERSIST_USER_ADD
#   severity: CRITICAL
#   attack: T1136.001
#   incidents: [technique only]
#   false_positives: none during an installation or an import
#   solution: Do not install it; where it ran, look at the users and at sudo's rules.
#   needs: writes, renames, links, permissions, failed opens, the tree after the run (changes), arguments of programs
deny contains msg if {
	some finding in _findings
	finding.rule == "PERSIST_USER_ADD"
	msg := _message(finding, "PERSIST_USER_ADD", "a stranger has an account")
}

# METADATA
# title: A hidden place in the home directory
# description: >-
#   Package code made a dot file or directory that no known program keeps, or put something that can be run
#   among settings and caches.
# custom:
#   id: PERSIST_HIDDEN_DIR
#   severity: MEDIUM
#   attack: T1564.001
#   incidents: [litellm 1.82.8, GhostLoader]
#   false_positives: Libraries that keep settings of their own.
#   solution: Look at what was put there.
#   needs: writes, renames, links, the tree after the run (changes)
deny contains msg if {
	some [who, path] in _hidden
	msg := sprintf(
		"MEDIUM:PERSIST_HIDDEN_DIR: %s put \"%s\" where nobody looks; settings of known programs lie elsewhere",
		[who, text.safe(path)],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id in ({place.rule | some place in table.places} | {"PERSIST_HIDDEN_DIR"})
	reason := coverage.reason({"openat", "openat2", "renameat2", "linkat", "symlinkat", "fchmodat"})
}

not_evaluated contains sprintf("PERSIST_LINGER: %s", [reason]) if reason := coverage.reason({"execve", "execveat"})

not_evaluated contains "PERSIST_PATH_SHIM: the distributions that were installed are not in the evidence" if {
	count(_stand_ins) > 0
	not _installed_known
}

_message(finding, id, why) := sprintf(
	"%s:%s: %s \"%s\", which %s; %s",
	[finding.severity, id, finding.did, text.safe(finding.path), finding.what, why],
)

_findings contains {
	"rule": place.rule,
	"severity": place.severity,
	"what": place.what,
	"did": writes.said(entry),
	"path": entry[1],
} if {
	some entry in writes.entries
	some place in writes.places(entry[1])
	_applies(place, entry[0])
}

_findings contains {
	"rule": "PERSIST_PATH_SHIM",
	"severity": "CRITICAL",
	"what": "another distribution brought",
	# regal ignore:use-some-for-output-vars
	"did": sprintf("%s changed", [process.names[i]]),
	"path": path,
} if {
	some [i, path] in writes.foreign_code
}

# A link or a directory that is put in the way brings what is in it.
_findings contains {
	"rule": place.rule,
	"severity": place.severity,
	"what": sprintf("brings what %s", [place.what]),
	"did": writes.said(entry),
	"path": entry[1],
} if {
	some entry in writes.entries
	entry[2] in {"renamed a file to", "put a link at"}
	writes.by_package(entry[0])
	some place in writes.parents_of(entry[1])
}

_findings contains {
	"rule": known.rule,
	"severity": known.severity,
	"what": known.what,
	"did": sprintf("%s %s", [command.who, _ran(command)]),
	"path": command.line,
} if {
	some command in programs.commands
	some known in table.programs
	command.base in known.names
	line := concat(" ", command.args)
	_arguments_fit(known, line)
	not _excepted(known, line)
}

_ran(command) := "ran" if not command.failed

_ran(command) := "tried to run" if command.failed

_arguments_fit(known, _) if not known.arguments

_arguments_fit(known, line) if regex.match(known.arguments, line)

_excepted(known, line) if regex.match(known.except, line)

_applies(place, index) if {
	writes.by_package(index)
	not _installs(place, index)
}

# What only the installer did is its job in some places, and no project of its own.
_applies(place, index) if {
	not writes.by_package(index)
	not place.installer
	not place.project
}

# setup.py install and develop put programs into the environment.
_installs(place, index) if {
	place.installer
	writes.installs(index)
}

# Programs under the name of a tool that the installer put into place, where no installed
# distribution owns that name.
_stand_ins contains [path, name] if {
	some [i, path, verb, _] in writes.entries
	not writes.by_package(i)
	verb in {"wrote", "renamed a file to"}
	some place in writes.places(path)
	place.rule == "PERSIST_PATH_SHIM"
	name := process.base(path)
	some tool in table.tools.owners
	_called(name) in tool.names
	count(_installed & {owner | some owner in tool.owners}) == 0
}

# python3.11 is python, pip3.11 is pip.
_called(name) := regex.replace(name, `[0-9]+(\.[0-9]+)*$`, "")

_installed_known if is_array(input["pip-install"].packages)

_installed contains distributions.normal(dist.name) if {
	some dist in input["pip-install"].packages
	is_string(dist.name)
}

_hidden contains [writes.who(i), path] if {
	some [i, path, _, _] in writes.entries
	writes.by_package(i)
	some rest in writes.below_home(path)
	_out_of_sight(rest)
	count(writes.places(path)) == 0
}

_out_of_sight(rest) if {
	startswith(rest, ".")
	not split(rest, "/")[0] in table.known_dotfiles.names
}

_out_of_sight(rest) if {
	regex.match(table.runnable.below, rest)
	regex.match(table.runnable.pattern, rest)
}
