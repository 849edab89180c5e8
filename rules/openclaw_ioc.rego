# METADATA
# title: Attacks through the assistant OpenClaw
# description: >-
#   Package code has no business with an assistant that acts for its user: it must not install it, read or change its
#   files, talk to its gateway or start it. What is published about campaigns that pretend to be the assistant is
#   here too. A
#   name or a text that speaks of OpenClaw is never evidence.
# related_resources:
#   - ref: https://github.com/openclaw/openclaw
package pip_witness.openclaw_ioc

import data.pip_witness.indicators.openclaw
import data.pip_witness.lib.coverage
import data.pip_witness.lib.indicators
import data.pip_witness.lib.process
import data.pip_witness.lib.releases
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: An assistant is installed or started
# description: >-
#   Package code ran, or tried to run, what installs or starts OpenClaw, by a package manager, by its own installer
#   or by its own
#   program, or contacted the host that it comes from.
# custom:
#   id: OPENCLAW_INSTALL
#   severity: CRITICAL
#   attack: T1072
#   incidents: [cline 2.3.0]
#   false_positives: Contacting the assistant's host alone is HIGH. Asking its program for a version is no finding.
#   solution: Do not install it; look for the assistant's service if it ran outside a sandbox.
#   needs: arguments of programs, host names
deny contains msg if {
	some hit in indicators.commands(openclaw.installs)
	group := openclaw.installs[hit.order]
	msg := sprintf(
		"%s:OPENCLAW_INSTALL: %s ran \"%s\", which %s",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

deny contains msg if {
	some run in _code_runs
	process.base(run.args[0]) in openclaw.programs.names
	count(run.args) > 1
	not run.args[1] in {"--version", "-V", "-v", "--help", "-h", "help", "version"}
	msg := sprintf(
		"CRITICAL:OPENCLAW_INSTALL: %s ran \"%s\", an assistant that acts for the user",
		[run.process, text.safe(run.line)],
	)
}

deny contains msg if {
	some hit in indicators.hosts(openclaw.install_hosts)
	indicators.controlled(hit.role)
	msg := sprintf(
		"%s:OPENCLAW_INSTALL: %s %s \"%s\", where the assistant or its skills come from",
		[openclaw.install_hosts[hit.order].severity, hit.process, hit.how, text.safe(hit.host)],
	)
}

# METADATA
# title: A server of a campaign against the assistant's users
# description: A process contacted, asked for or was started with a host, an address or a page of such a campaign.
# custom:
#   id: OPENCLAW_C2
#   severity: CRITICAL
#   attack: T1071.001
#   incidents: [ClawHavoc, GhostClaw]
#   false_positives: Services of others, and addresses that only one source names, are HIGH.
#   solution: Do not install it; treat the machine as read by strangers if it ran outside a sandbox.
#   needs: connections, host names, arguments of programs
deny contains msg if {
	some hit in indicators.hosts(openclaw.hosts)
	msg := sprintf(
		"%s:OPENCLAW_C2: %s %s \"%s\", a host of a campaign against users of OpenClaw",
		[openclaw.hosts[hit.order].severity, hit.process, hit.how, text.safe(hit.host)],
	)
}

deny contains msg if {
	some hit in indicators.addresses(openclaw.addresses)
	msg := sprintf(
		"%s:OPENCLAW_C2: %s %s %s, an address of a campaign against users of OpenClaw",
		[openclaw.addresses[hit.order].severity, hit.process, hit.how, text.safe(hit.address)],
	)
}

deny contains msg if {
	some hit in indicators.commands(openclaw.pages)
	group := openclaw.pages[hit.order]
	msg := sprintf(
		"%s:OPENCLAW_C2: %s ran \"%s\", which %s",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

# METADATA
# title: The chain of a false prerequisite
# description: >-
#   Package code did what the malicious skills make their users do: a hidden text becomes a shell command that fetches
#   from a bare address, quarantine marks are removed, a dialogue asks for the password, loot is packed.
# custom:
#   id: OPENCLAW_AMOS_CHAIN
#   severity: CRITICAL
#   attack: T1204.002
#   incidents: [ClawHavoc, OpenClawProvider]
#   false_positives: One step of the chain alone is left to the other modules, unless it names the campaign or asks
#     for a password.
#   solution: Do not install it; treat the machine as read by strangers if it ran outside a sandbox.
#   needs: arguments of programs, changed files, digests of files
deny contains msg if {
	some run in _code_runs
	some pattern in openclaw.amos.certain
	regex.match(pattern, run.line)
	msg := sprintf(
		"CRITICAL:OPENCLAW_AMOS_CHAIN: %s ran \"%s\", a step of the chain that ends in a stealer",
		[run.process, text.safe(run.line)],
	)
}

deny contains msg if {
	count(_amos_steps) > 1
	msg := sprintf(
		"CRITICAL:OPENCLAW_AMOS_CHAIN: package code ran %s: steps of the chain that ends in a stealer",
		[concat(", ", [sprintf("\"%s\"", [text.safe(min(lines))]) | some lines in _amos_steps])],
	)
}

deny contains msg if {
	some hit in indicators.files(openclaw.amos_files)
	msg := sprintf(
		"CRITICAL:OPENCLAW_AMOS_CHAIN: %s, %s",
		[indicators.did(hit), openclaw.amos_files[hit.order].what],
	)
}

deny contains msg if {
	some hit in indicators.contents(openclaw.hashes)
	msg := sprintf(
		"CRITICAL:OPENCLAW_AMOS_CHAIN: %s; its content is that of %s",
		[hit.what, openclaw.hashes[hit.order].what],
	)
}

# METADATA
# title: An assistant's configuration was read
# description: Package code opened, listed or tried to open files in which an assistant keeps its tokens, sessions
#   and settings.
# custom:
#   id: OPENCLAW_CONFIG_READ
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [GhostLoader, stealers of 2026]
#   false_positives: A kit for the assistant that reads its configuration when it is imported; waive it by package.
#   solution: Do not install it; replace the assistant's tokens if it ran outside a sandbox.
#   needs: opened files, failed opens of credentials
deny contains msg if {
	some hit in _files("state")
	hit.act == "read"
	msg := sprintf(
		"CRITICAL:OPENCLAW_CONFIG_READ: %s, %s",
		[indicators.did(hit), openclaw.state[hit.order].what],
	)
}

# METADATA
# title: An assistant's configuration was changed
# description: Package code wrote, replaced, linked or removed files that decide what an assistant may do and whom
#   it obeys.
# custom:
#   id: OPENCLAW_CONFIG_WRITE
#   severity: CRITICAL
#   attack: T1565.001
#   incidents: [ClawHavoc]
#   false_positives: none during an installation or an import
#   solution: Do not install it; restore the assistant's files if it ran outside a sandbox.
#   needs: changed files
deny contains msg if {
	some hit in _files("state")
	hit.act == "change"
	not hit.path in _special
	msg := sprintf(
		"CRITICAL:OPENCLAW_CONFIG_WRITE: %s, %s",
		[indicators.did(hit), openclaw.state[hit.order].what],
	)
}

# METADATA
# title: An assistant's memory was changed
# description: Package code changed a file from which an assistant learns, at every start, who it is and what it
#   has to do.
# custom:
#   id: OPENCLAW_AGENT_MEMORY
#   severity: CRITICAL
#   attack: T1565.001
#   incidents: [ClawHavoc, TrapDoor]
#   false_positives: none during an installation or an import
#   solution: Do not install it; read the file and remove what you did not write.
#   needs: changed files
deny contains msg if {
	some hit in _files("memory")
	hit.act == "change"
	not hit.path in _paths.skills
	msg := sprintf(
		"CRITICAL:OPENCLAW_AGENT_MEMORY: %s, %s",
		[indicators.did(hit), openclaw.memory[hit.order].what],
	)
}

# METADATA
# title: A skill was put into an assistant
# description: Package code put, changed or linked a file among the skills, plug-ins or hooks that an assistant
#   follows.
# custom:
#   id: OPENCLAW_SKILL_DROP
#   severity: CRITICAL
#   attack: T1546
#   incidents: [ClawHavoc, OpenClawProvider]
#   false_positives: none during an installation or an import
#   solution: Do not install it; remove the skill.
#   needs: changed files
deny contains msg if {
	some hit in _files("skills")
	hit.act == "change"
	msg := sprintf(
		"CRITICAL:OPENCLAW_SKILL_DROP: %s, %s",
		[indicators.did(hit), openclaw.skills[hit.order].what],
	)
}

# METADATA
# title: The assistant's gateway
# description: Package code contacted a port of an assistant's gateway, on this machine too, or waits for
#   connections there.
# custom:
#   id: OPENCLAW_GATEWAY_PORT
#   severity: HIGH
#   attack: T1571
#   incidents: [CVE-2026-25253, hidden gateways]
#   false_positives: Another service on such a port, contacted during an installation or an import.
#   solution: Find out what the connection is for; waive it by an exception for this port.
#   needs: connections, bind and listen
deny contains msg if {
	some peer in indicators.peers
	indicators.controlled(peer.role)
	peer.port in openclaw.gateway.ports
	not peer.gateway
	msg := sprintf(
		"HIGH:OPENCLAW_GATEWAY_PORT: %s contacted %s port %v, a port of an assistant's gateway",
		[peer.process, text.safe(peer.address), peer.port],
	)
}

deny contains msg if {
	some proc in input.processes
	indicators.controlled(process.role(proc))
	some connection in proc.network.connections
	connection.syscall in {"bind", "listen"}
	connection.port in openclaw.gateway.ports
	msg := sprintf(
		"HIGH:OPENCLAW_GATEWAY_PORT: %s waits for connections at port %v, a port of an assistant's gateway",
		[process.describe(proc), connection.port],
	)
}

# METADATA
# title: A service that starts the assistant
# description: Package code wrote, linked or managed a service with which the assistant runs on for good.
# custom:
#   id: OPENCLAW_SERVICE
#   severity: CRITICAL
#   attack: T1543.002
#   incidents: [cline 2.3.0]
#   false_positives: none during an installation or an import
#   solution: Do not install it; stop and remove the service where it ran outside a sandbox.
#   needs: changed files, arguments of programs
deny contains msg if {
	some hit in _files("services")
	hit.act in {"change", "name"}
	msg := sprintf(
		"CRITICAL:OPENCLAW_SERVICE: %s, %s",
		[indicators.did(hit), openclaw.services[hit.order].what],
	)
}

deny contains msg if {
	some hit in indicators.commands(openclaw.service_commands)
	group := openclaw.service_commands[hit.order]
	msg := sprintf(
		"%s:OPENCLAW_SERVICE: %s ran \"%s\", which %s",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

# METADATA
# title: The hidden monitor of GhostClaw
# description: Package code put, ran or named the monitor that a false command line tool of OpenClaw leaves, or was
#   started in its manner.
# custom:
#   id: OPENCLAW_GHOSTCLAW_PERSIST
#   severity: CRITICAL
#   attack: T1546.004
#   incidents: ["@openclaw-ai/openclawai"]
#   false_positives: none
#   solution: Do not install it; remove the monitor and the lines in the shell's start files.
#   needs: changed files, arguments of programs, names of environment variables
deny contains msg if {
	some hit in indicators.files(openclaw.ghostclaw)
	msg := sprintf(
		"CRITICAL:OPENCLAW_GHOSTCLAW_PERSIST: %s, %s",
		[indicators.did(hit), openclaw.ghostclaw[hit.order].what],
	)
}

deny contains msg if {
	some hit in indicators.commands(openclaw.ghostclaw_commands)
	group := openclaw.ghostclaw_commands[hit.order]
	msg := sprintf(
		"%s:OPENCLAW_GHOSTCLAW_PERSIST: %s ran \"%s\", which %s",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

deny contains msg if {
	some proc in input.processes
	indicators.controlled(process.role(proc))
	is_string(proc.environ)
	some name in openclaw.ghostclaw_variables.names
	contains(sprintf(" %s", [proc.environ]), sprintf(" %s=", [name]))
	msg := sprintf(
		"CRITICAL:OPENCLAW_GHOSTCLAW_PERSIST: %s had the variable \"%s\", with which the monitor asks for a password",
		[process.describe(proc), name],
	)
}

# METADATA
# title: A package that pretends to be the assistant
# description: Package code asked for such a package of another ecosystem, or such a release is among what was
#   installed.
# custom:
#   id: OPENCLAW_PACKAGE
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: ["@openclaw-ai/openclawai", cline 2.3.0]
#   false_positives: None; only exact names are listed, and kits for the assistant are not among them.
#   solution: Do not install it.
#   needs: arguments of programs, packages of the installation
deny contains msg if {
	some hit in indicators.commands(openclaw.packages)
	group := openclaw.packages[hit.order]
	msg := sprintf(
		"%s:OPENCLAW_PACKAGE: %s ran \"%s\", which %s",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

deny contains msg if {
	some release in releases.present
	some entry in releases.known(release.name, release.version)
	entry.campaign == "openclaw"
	msg := sprintf(
		"CRITICAL:OPENCLAW_PACKAGE: \"%s\" %s %s, a release of a campaign against users of OpenClaw (%s)",
		[text.safe(release.name), text.safe(release.version), release.how, entry.source],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

_needs := {
	"OPENCLAW_INSTALL": {"execve", "execveat"},
	"OPENCLAW_C2": {"connect", "sendto"},
	"OPENCLAW_AMOS_CHAIN": {"execve", "execveat"},
	"OPENCLAW_CONFIG_READ": {"openat"},
	"OPENCLAW_CONFIG_WRITE": {"openat", "renameat2", "unlinkat"},
	"OPENCLAW_AGENT_MEMORY": {"openat", "renameat2"},
	"OPENCLAW_SKILL_DROP": {"openat", "renameat2", "symlinkat"},
	"OPENCLAW_GATEWAY_PORT": {"bind", "connect", "listen"},
	"OPENCLAW_SERVICE": {"execve", "openat", "renameat2"},
	"OPENCLAW_GHOSTCLAW_PERSIST": {"execve", "openat"},
	"OPENCLAW_PACKAGE": {"execve", "execveat"},
}

_code_runs contains run if {
	some run in indicators.runs
	indicators.controlled(run.role)
}

# Commands by the step of the chain that they are.
_amos_steps[order] contains run.line if {
	some run in _code_runs
	some order, pattern in openclaw.amos.hints
	regex.match(pattern, run.line)
}

# What was done to files of an assistant; a package may have files with such names
# of its own.
_files(list) := {hit |
	some hit in indicators.files(openclaw[list])
	not _excluded(hit.path)
}

_excluded(path) if {
	some part in openclaw.excluded.contains
	contains(path, part)
}

_excluded(path) if strings.any_prefix_match(path, openclaw.excluded.prefixes)

_paths[list] := {hit.path | some hit in _files(list)} if some list in ["memory", "skills"]

# A path of the state that says more.
_special := union({paths | some paths in _paths})
