# METADATA
# title: Indicators of the TeamPCP campaigns
# description: >-
#   What is published about the campaigns of 2026 that began with Trivy and litellm, and about the worms
#   that descend from them. Only what was contacted, run, opened, changed or installed counts, never a string in
#   a file. Rules about behaviour need no name.
# related_resources:
#   - ref: https://unit42.paloaltonetworks.com/teampcp-supply-chain-attacks/
package pip_witness.teampcp_ioc

import data.pip_witness.indicators.teampcp
import data.pip_witness.lib.coverage
import data.pip_witness.lib.indicators
import data.pip_witness.lib.process
import data.pip_witness.lib.releases
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A release of the campaign
# description: A distribution is installed, or was asked for, in a version that the campaign published.
# custom:
#   id: TEAMPCP_PACKAGE
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [litellm 1.82.7, litellm 1.82.8, telnyx 4.87.2, xinference 2.6.0, elementary-data 0.23.3, lightning
#     2.6.2, mistralai 2.4.6, durabletask 1.4.1]
#   false_positives: None; other versions of these projects are not listed.
#   solution: Take another version; replace every credential that the machine held if it ran outside a sandbox.
#   needs: packages of the installation, or paths of their metadata, or arguments of the installer
deny contains msg if {
	some release in releases.present
	some entry in releases.known(release.name, release.version)
	entry.campaign == "teampcp"
	msg := sprintf(
		"CRITICAL:TEAMPCP_PACKAGE: \"%s\" %s %s, a release of the TeamPCP campaign (%s)",
		[text.safe(release.name), text.safe(release.version), release.how, entry.source],
	)
}

# METADATA
# title: A host of the campaign
# description: A process contacted, asked for or was started with a host that the campaign used, or one below it.
# custom:
#   id: TEAMPCP_C2_HOST
#   severity: CRITICAL
#   attack: T1071.001
#   incidents: [litellm 1.82.8, xinference 2.6.0, durabletask 1.4.1]
#   false_positives: Nodes of an honest messenger, which the worms use too, are HIGH.
#   solution: Do not install it; treat the machine as read by strangers if it ran outside a sandbox.
#   needs: host names of connections and of name queries, arguments of programs
deny contains msg if {
	some hit in indicators.hosts(teampcp.hosts)
	msg := sprintf(
		"%s:TEAMPCP_C2_HOST: %s %s \"%s\", a host of the TeamPCP campaign",
		[teampcp.hosts[hit.order].severity, hit.process, hit.how, text.safe(hit.host)],
	)
}

# METADATA
# title: An address of the campaign
# description: A process contacted, or was started with, an address that the campaign used.
# custom:
#   id: TEAMPCP_C2_IP
#   severity: CRITICAL
#   attack: T1095
#   incidents: [mistralai 2.4.6, telnyx 4.87.2]
#   false_positives: An address may belong to somebody else later; by the installer alone it is HIGH.
#   solution: Do not install it; treat the machine as read by strangers if it ran outside a sandbox.
#   needs: connections of connect, sendto, sendmsg and sendmmsg
deny contains msg if {
	some hit in indicators.addresses(teampcp.addresses)
	msg := sprintf(
		"%s:TEAMPCP_C2_IP: %s %s %s, an address of the TeamPCP campaign",
		[_address_severity(hit), hit.process, hit.how, text.safe(hit.address)],
	)
}

# METADATA
# title: A file of the campaign
# description: A file was opened, changed, run, named or installed that only this campaign's tools leave.
# custom:
#   id: TEAMPCP_ARTIFACT
#   severity: CRITICAL
#   attack: T1105
#   incidents: [litellm 1.82.8, elementary-data 0.23.3, mistralai 2.4.6, durabletask 1.4.1]
#   false_positives: A scanner that unpacks samples; what an installer only unpacks counts for few of these names.
#   solution: Do not install it; look for the same file on machines that had it.
#   needs: opened, changed and run files
deny contains msg if {
	some hit in indicators.files(teampcp.artifacts)
	msg := sprintf(
		"CRITICAL:TEAMPCP_ARTIFACT: %s, %s",
		[indicators.did(hit), teampcp.artifacts[hit.order].what],
	)
}

# METADATA
# title: A back door of the campaign
# description: A service, a start file or a program was put where this campaign's back doors lie.
# custom:
#   id: TEAMPCP_PERSISTENCE
#   severity: CRITICAL
#   attack: T1543.002
#   incidents: [litellm 1.82.8, durabletask 1.4.1, coolbox 0.4.1]
#   false_positives: None; Sysmon for Linux is a service of the system, not of a user.
#   solution: Do not install it; stop and remove the service where it ran outside a sandbox.
#   needs: opened and changed files
deny contains msg if {
	some hit in indicators.files(teampcp.persistence)
	msg := sprintf(
		"CRITICAL:TEAMPCP_PERSISTENCE: %s, %s",
		[indicators.did(hit), teampcp.persistence[hit.order].what],
	)
}

# METADATA
# title: A command of the campaign
# description: Package code ran, or tried to run, a command with the campaign's names, headers or payloads in its
#   arguments.
# custom:
#   id: TEAMPCP_CMDLINE
#   severity: CRITICAL
#   attack: T1059
#   incidents: [litellm 1.82.8, xinference 2.6.0, lightning 2.6.2, tpcp-docs]
#   false_positives: Letting services go on without a log-in is HIGH.
#   solution: Do not install it; treat the machine as read by strangers if it ran outside a sandbox.
#   needs: arguments of programs
deny contains msg if {
	some hit in indicators.commands(teampcp.commands)
	group := teampcp.commands[hit.order]
	msg := sprintf(
		"%s:TEAMPCP_CMDLINE: %s ran \"%s\", which %s, as the TeamPCP campaign does",
		[group.severity, hit.process, text.safe(hit.line), group.what],
	)
}

# METADATA
# title: Loot is encrypted for somebody else
# description: >-
#   Package code made a random key, encrypted with it and wrapped the key for a public key, in three commands. The
#   program
#   may have any name.
# custom:
#   id: TEAMPCP_EXFIL_SEQ
#   severity: CRITICAL
#   attack: T1560.001
#   incidents: [litellm 1.82.8]
#   false_positives: None; no installation encrypts for a stranger.
#   solution: Do not install it; the loot cannot be read back.
#   needs: arguments of programs
deny contains msg if {
	some key in _code_runs
	regex.match(teampcp.encryption.key, key.line)
	some archive in _code_runs
	regex.match(teampcp.encryption.archive, archive.line)
	some wrap in _code_runs
	regex.match(teampcp.encryption.wrap, wrap.line)
	msg := sprintf(
		"CRITICAL:TEAMPCP_EXFIL_SEQ: %s ran \"%s\", \"%s\" and \"%s\": files are encrypted for a stranger",
		[wrap.process, text.safe(key.line), text.safe(archive.line), text.safe(wrap.line)],
	)
}

# METADATA
# title: A runtime that the package brings along
# description: >-
#   Package code fetched, unpacked or ran Bun, or ran a script of JavaScript with a program of its own, to act
#   outside Python.
# custom:
#   id: TEAMPCP_BUN_DROPPER
#   severity: CRITICAL
#   attack: T1059.007
#   incidents: [lightning 2.6.2, lightning 2.6.3, coolbox 0.4.1, ensmallen 0.8.101]
#   false_positives: A Bun of the machine, outside every throw-away directory, is left alone.
#   solution: Do not install it; look at the script that it runs.
#   needs: arguments of programs, changed files
deny contains msg if {
	some run in _code_runs
	_brought(run)
	msg := sprintf(
		"CRITICAL:TEAMPCP_BUN_DROPPER: %s ran \"%s\", a runtime of JavaScript that came with the package",
		[run.process, text.safe(run.line)],
	)
}

deny contains msg if {
	some run in _code_runs
	contains(run.line, teampcp.bun.downloads)
	msg := sprintf(
		"CRITICAL:TEAMPCP_BUN_DROPPER: %s ran \"%s\", which fetches a runtime of JavaScript",
		[run.process, text.safe(run.line)],
	)
}

deny contains msg if {
	some proc in input.processes
	some flow in proc.network.flows
	is_string(flow.httpRequest)
	contains(flow.httpRequest, teampcp.bun.downloads)
	msg := sprintf(
		"CRITICAL:TEAMPCP_BUN_DROPPER: %s asked for \"%s\", a runtime of JavaScript",
		[process.describe(proc), text.safe(flow.httpRequest)],
	)
}

deny contains msg if {
	some hit in indicators.files(teampcp.bun_files)
	msg := sprintf(
		"CRITICAL:TEAMPCP_BUN_DROPPER: %s, %s",
		[indicators.did(hit), teampcp.bun_files[hit.order].what],
	)
}

# METADATA
# title: Content of the campaign
# description: The SHA-256 of a file that was opened, run, left or installed, or of a distribution file, is one of
#   the campaign's.
# custom:
#   id: TEAMPCP_HASH
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [litellm 1.82.8, telnyx 4.87.2, xinference 2.6.0, durabletask 1.4.1]
#   false_positives: None.
#   solution: Do not install it; replace every credential that the machine held if it ran outside a sandbox.
#   needs: digests of files
deny contains msg if {
	some hit in indicators.contents(teampcp.hashes)
	msg := sprintf(
		"CRITICAL:TEAMPCP_HASH: %s; its content is that of %s",
		[hit.what, teampcp.hashes[hit.order].what],
	)
}

# METADATA
# title: A pod on each node
# description: Package code asked a cluster for the campaign's pods, or for a pod that holds a node's whole disk.
# custom:
#   id: TEAMPCP_K8S
#   severity: CRITICAL
#   attack: T1610
#   incidents: [litellm 1.82.8, kamikaze]
#   false_positives: none during an installation
#   solution: Do not install it; look for pods of these names in kube-system.
#   needs: arguments of programs, changed files
deny contains msg if {
	some hit in indicators.commands(teampcp.cluster)
	msg := sprintf(
		"CRITICAL:TEAMPCP_K8S: %s ran \"%s\": %s",
		[hit.process, text.safe(hit.line), teampcp.cluster[hit.order].what],
	)
}

deny contains msg if {
	some hit in indicators.files(teampcp.cluster_files)
	msg := sprintf(
		"CRITICAL:TEAMPCP_K8S: %s, %s",
		[indicators.did(hit), teampcp.cluster_files[hit.order].what],
	)
}

# METADATA
# title: A wiper
# description: Package code ran a command that destroys a machine's files, after something asked where the machine is.
# custom:
#   id: TEAMPCP_WIPER
#   severity: CRITICAL
#   attack: T1485
#   incidents: [durabletask 1.4.1, CanisterWorm]
#   false_positives: None; no installation deletes a home directory or a disk.
#   solution: Do not install it; restore from a backup if it ran outside a sandbox.
#   needs: arguments of programs, opened files
deny contains msg if {
	some run in _code_runs
	some pattern in teampcp.wiper.commands
	regex.match(pattern, run.line)
	some clue in _place_clues
	msg := sprintf(
		"CRITICAL:TEAMPCP_WIPER: %s ran \"%s\", which destroys files, in a run that %s",
		[run.process, text.safe(run.line), clue],
	)
}

# Beside the watcher of the campaign any part of the home directory will do.
deny contains msg if {
	some run in _code_runs
	regex.match(teampcp.wiper.accounts, run.line)
	some clue in _persistence_clues
	msg := sprintf(
		"CRITICAL:TEAMPCP_WIPER: %s ran \"%s\", which destroys files, in a run that %s",
		[run.process, text.safe(run.line), clue],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

_needs := {
	"TEAMPCP_C2_HOST": {"connect", "sendto"},
	"TEAMPCP_C2_IP": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"TEAMPCP_ARTIFACT": {"openat", "execve"},
	"TEAMPCP_PERSISTENCE": {"openat", "renameat2"},
	"TEAMPCP_CMDLINE": {"execve", "execveat"},
	"TEAMPCP_EXFIL_SEQ": {"execve", "execveat"},
	"TEAMPCP_BUN_DROPPER": {"execve", "execveat"},
	"TEAMPCP_HASH": {"openat", "execve"},
	"TEAMPCP_K8S": {"execve", "execveat"},
	"TEAMPCP_WIPER": {"execve", "execveat"},
}

# The installer's own contacts are those that its user asked for.
_address_severity(hit) := teampcp.addresses[hit.order].severity if indicators.controlled(hit.role)

_address_severity(hit) := "HIGH" if not indicators.controlled(hit.role)

_code_runs contains run if {
	some run in indicators.runs
	indicators.controlled(run.role)
}

# A program that this run could have put where it lies.
_brought(run) if {
	regex.match(teampcp.bun.programs, process.base(run.program))
	process.writable(run.program)
}

_brought(run) if {
	process.writable(run.program)
	run.args[1] == "run"
	regex.match(teampcp.bun.scripts, run.args[2])
}

_place_clues := _place | _persistence_clues

_place contains sprintf("read \"%s\"", [path]) if {
	some path in teampcp.wiper.places
	some proc in input.processes
	indicators.controlled(process.role(proc))
	proc.openedfiles[path]
}

_place contains sprintf("asked with \"%s\"", [text.safe(run.line)]) if {
	some run in _code_runs
	regex.match(teampcp.wiper.questions, process.base(run.program))
}

_place contains sprintf("contacted \"%s\"", [text.safe(hit.host)]) if {
	some hit in indicators.hosts([teampcp.wiper])
}

_persistence_clues contains sprintf("had %s", [teampcp.persistence[hit.order].what]) if {
	some hit in indicators.files(teampcp.persistence)
}
