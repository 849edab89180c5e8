# METADATA
# title: Credentials read during an installation
# description: >-
#   Reads, listings and attempts of files that hold credentials, by any process
#   that has no business with them. An attempt on a file that does not exist is
#   the same finding: on a clean machine a thief leaves nothing else.
# related_resources:
#   - ref: https://attack.mitre.org/tactics/TA0006/
package pip_witness.credential_harvesting # regal ignore:file-length

import data.pip_witness.indicators.credential_programs as table
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.credentials
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: SSH keys
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_SSH_KEY
#   severity: CRITICAL
#   attack: T1552.004
#   incidents: [litellm 1.82.8, xinference, torchtriton]
#   false_positives: git over SSH, for which ssh itself reads the key
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_SSH_KEY", "a package that installs or builds has no use for keys")
}

# METADATA
# title: Cloud credentials
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_CLOUD
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8, durabletask, fabrice]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_CLOUD", "with them a stranger rents machines and reads data in your name")
}

# METADATA
# title: Kubernetes credentials
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_KUBE
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8, xinference]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_KUBE", "they open a whole cluster")
}

# METADATA
# title: Service account tokens
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_K8S_SA_TOKEN
#   severity: CRITICAL
#   attack: T1528
#   incidents: [litellm 1.82.8]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_K8S_SA_TOKEN", "it opens the cluster in which this container runs")
}

# METADATA
# title: Container registry credentials
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_DOCKER
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [xinference]
#   false_positives: container tools reading their own file
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_DOCKER", "with them a stranger replaces your images")
}

# METADATA
# title: Package registry credentials
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_REGISTRY
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [lightning, CanisterSprawl, tensorlake]
#   false_positives: build tools of other languages reading their own file
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_REGISTRY", "with them a worm publishes itself under your name")
}

# METADATA
# title: The netrc file
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_NETRC
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8]
#   false_positives: the installer and git, for the index or the repository
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_NETRC", "it holds passwords for many hosts")
}

# METADATA
# title: Git credentials
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_GIT
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8, TrapDoor]
#   false_positives: git reading its own settings
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_GIT", "with them a stranger pushes to your repositories")
}

# METADATA
# title: Tokens of developer tools
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_DEVTOOLS
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [lightning, Hades]
#   false_positives: a tool reading its own file
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_DEVTOOLS", "each of them opens another service")
}

# METADATA
# title: Credentials of AI assistants
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_AI_AGENT
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [Hades, s1ngularity]
#   false_positives: an assistant reading its own file
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_AI_AGENT", "they hold tokens, conversations and commands that run later")
}

# METADATA
# title: Password stores
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_PASSWORD_MANAGER
#   severity: CRITICAL
#   attack: T1555.005
#   incidents: [durabletask]
#   false_positives: a password manager reading its own store
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_PASSWORD_MANAGER", "it is everything that the user protects")
}

# METADATA
# title: Browser data
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_BROWSER
#   severity: CRITICAL
#   attack: T1555.003
#   incidents: [soopsocks, fake tools of 2024 to 2026]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_BROWSER", "cookies and passwords open every account")
}

# METADATA
# title: Wallets
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_CRYPTO_WALLET
#   severity: CRITICAL
#   attack: T1657
#   incidents: [TrapDoor, xinference, bittensor-wallet 4.0.2]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_CRYPTO_WALLET", "what it holds is gone once it is read")
}

# METADATA
# title: Shell histories
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_SHELL_HISTORY
#   severity: HIGH
#   attack: T1552.003
#   incidents: [xinference]
#   false_positives: an interactive client reading its own history
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_SHELL_HISTORY", "secrets are typed there")
}

# METADATA
# title: Environment files
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_DOTENV
#   severity: HIGH
#   attack: T1552.001
#   incidents: [xinference, litellm 1.82.8]
#   false_positives: python-dotenv with one file in the working directory, which is MEDIUM
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_DOTENV", "such files hold the secrets of an application")
}

# METADATA
# title: Database passwords
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_DB_CLIENT
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [xinference]
#   false_positives: a database client reading its own file
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_DB_CLIENT", "it opens the database")
}

# METADATA
# title: TLS private keys
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_TLS_PRIVATE_KEY
#   severity: CRITICAL
#   attack: T1552.004
#   incidents: [xinference]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_TLS_PRIVATE_KEY", "with it a stranger is your server")
}

# METADATA
# title: System password files
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_ETC_SHADOW
#   severity: CRITICAL
#   attack: T1003.008
#   incidents: [Unit 42 2026-07]
#   false_positives: programs that authenticate a user
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_ETC_SHADOW", "it holds the system's password hashes or tickets")
}

# METADATA
# title: Environments of processes
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_PROC_ENVIRON
#   severity: CRITICAL
#   attack: T1552.001
#   incidents: [litellm 1.82.8, Hades]
#   false_positives: reading the own environment, which is MEDIUM
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_PROC_ENVIRON", "the environment of another process holds its secrets")
}

# METADATA
# title: Memory of processes
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_PROC_MEM
#   severity: CRITICAL
#   attack: T1003.007
#   incidents: [Mini Shai-Hulud, lightning]
#   false_positives: debuggers, when they run; a process that reads itself or what it started is none
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_PROC_MEM", "secrets that are masked in a log are plain in memory")
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:CRED_PROC_MEM: %s called %s on another process; secrets that are masked in a log are plain in memory",
		[process.describe(proc), text.safe(event.syscall)],
	) |
		some i, proc in input.processes
		some event in proc.syscallEvents
		_reads_memory(event)
		not _reads_own(i, event)
	})
}

# METADATA
# title: Credentials of the CI runner
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_CI_OIDC
#   severity: CRITICAL
#   attack: T1528
#   incidents: [Mini Shai-Hulud]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_CI_OIDC", "with them a stranger publishes as your pipeline")
}

# METADATA
# title: Messenger stores
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_MESSENGER
#   severity: CRITICAL
#   attack: T1539
#   incidents: [fake Discord tools]
#   false_positives: none during an installation
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_MESSENGER", "the session opens the account")
}

# METADATA
# title: Input and screen
# description: A process opened, listed or tried to open a path of this family.
# custom:
#   id: CRED_INPUT_CAPTURE
#   severity: HIGH
#   attack: T1056
#   incidents: [stealers of 2024 to 2026]
#   false_positives: sound libraries that list devices, which is MEDIUM
#   solution: Do not install it; if it ran outside a sandbox, replace what it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	some msg in credentials.messages("CRED_INPUT_CAPTURE", "it shows what the user types, says or sees")
}

deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:CRED_INPUT_CAPTURE: %s \"%s\", which shows what the user copies or sees",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		run.base in table.input_capture.programs
	})
}

# METADATA
# title: Agents that hold keys
# description: >-
#   A process connected to the socket of an SSH or GPG agent or of a keyring. A look at the kernel's own
#   keyring is MEDIUM.
# custom:
#   id: CRED_SSH_AGENT
#   severity: CRITICAL
#   attack: T1563.001
#   incidents: [technique only]
#   false_positives: git over SSH, and the session bus of desktop programs, which is LOW
#   solution: Do not install it; an agent signs for whoever asks.
#   needs: connections to local sockets
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:CRED_SSH_AGENT: %s connected to \"%s\", %s, which answers for whoever asks",
		[socket.severity, process.describe(proc), text.safe(c.address), socket.what],
	) |
		some proc in input.processes
		some c in proc.network.connections
		c.family == "AF_UNIX"
		c.syscall == "connect"
		some socket in table.agent_sockets
		_agent(socket, connections.word(c, "address"))
		not _own_client(proc, socket)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:CRED_SSH_AGENT: %s called %s, which reads keys that the kernel holds",
		[process.describe(proc), text.safe(event.syscall)],
	) |
		some proc in input.processes
		process.package_controlled(proc)
		some event in proc.syscallEvents
		event.syscall in {"keyctl", "request_key"}
	})
}

# METADATA
# title: A tool made to print its credentials
# description: >-
#   Package code ran a client with arguments that print tokens or secrets. A print of the whole environment is HIGH.
# custom:
#   id: CRED_CLI_DUMP
#   severity: CRITICAL
#   attack: T1555
#   incidents: [durabletask, litellm 1.82.8]
#   false_positives: none during an installation
#   solution: Do not install it; replace the credentials of that tool.
#   needs: arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:CRED_CLI_DUMP: %s \"%s\", which prints credentials",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		some pattern in table.dumps[run.base].arguments
		regex.match(pattern, run.tail)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:CRED_CLI_DUMP: %s \"%s\", which prints credentials",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		regex.match(table.credential_helpers.names, run.base)
		regex.match(table.credential_helpers.arguments, run.tail)
	})
}

# Without arguments env only prints; with a command it is no command of its own.
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:CRED_CLI_DUMP: %s \"%s\", which prints the environment with all secrets in it",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		run.base in table.environment_printers.programs
		regex.match(table.environment_printers.arguments, run.tail)
	})
}

# METADATA
# title: A search for secrets
# description: Package code ran a secret scanner, or searched files for the marks of keys.
# custom:
#   id: CRED_SCANNER_TOOL
#   severity: HIGH
#   attack: T1083
#   incidents: [Shai-Hulud lineage]
#   false_positives: none during an installation
#   solution: Do not install it; it was looking for secrets to take.
#   needs: arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:CRED_SCANNER_TOOL: %s \"%s\", which looks for secrets",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		run.base in table.scanners.programs
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:CRED_SCANNER_TOOL: %s \"%s\", which searches files for secrets",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		run.base in table.searches.programs
		regex.match(table.searches.arguments, run.tail)
	})
}

# METADATA
# title: Many kinds of credentials
# description: One run touched three families of credentials, or tried two that were not there.
# custom:
#   id: CRED_SWEEP
#   severity: CRITICAL
#   attack: T1119
#   incidents: [litellm 1.82.8, xinference, durabletask, lightning]
#   false_positives: none
#   solution: Do not install it; replace everything that it could read.
#   needs: opened files, failed opens of watched paths
deny contains msg if {
	_sweep
	families := sort(_families(credentials.accesses))
	msg := sprintf(
		"CRITICAL:CRED_SWEEP: this run went through %d kinds of credentials (%s); only a thief wants them all",
		[count(families), concat(", ", families)],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

_needs := {
	"CRED_PROC_MEM": {"openat", "ptrace", "process_vm_readv", "pidfd_getfd"},
	"CRED_SWEEP": {"openat", "openat2"},
	"CRED_SSH_AGENT": {"connect"},
	"CRED_CLI_DUMP": {"execve", "execveat"},
	"CRED_SCANNER_TOOL": {"execve", "execveat"},
}

_sweep if count(_families(credentials.accesses)) >= 3

_sweep if count(_families({access | some access in credentials.accesses; access.attempt})) >= 2

# Families of weight: a look at the user's git settings is not a sweep.
_families(accesses) := {access.rule |
	some access in accesses
	access.severity in {"CRITICAL", "HIGH"}
}

_reads_memory(event) if event.syscall in {"process_vm_readv", "pidfd_getfd"}

# PTRACE_ATTACH and PTRACE_SEIZE, linux/ptrace.h.
_reads_memory(event) if {
	event.syscall == "ptrace"
	event.args[0] in {16, 16902}
}

# Libraries for parallel work try on themselves whether they may.
_reads_own(i, event) if {
	event.syscall == "process_vm_readv"
	process.own(i, event.args[0])
}

_agent(socket, address) if {
	some pattern in socket.paths
	glob.match(pattern, ["/"], address)
}

_agent(socket, address) if {
	some suffix in socket.home_suffixes
	endswith(address, suffix)
}

_own_client(proc, socket) if {
	is_string(proc.program)
	process.base(proc.program) in socket.clients
	not process.writable(proc.program)
}

# What package code ran or tried to run, also behind a shell or another program.
_commands contains run if {
	some command in programs.commands
	run := {
		"base": command.base,
		"tail": concat(" ", command.args),
		"line": command.line,
		"process": sprintf("%s %s", [command.who, _verb(command)]),
	}
}

_verb(command) := "ran" if not command.failed

_verb(command) := "tried to run" if command.failed
