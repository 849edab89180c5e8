# METADATA
# title: Indicators of the user's own
# description: >-
#   What the user lists with --indicators under "own": hosts, addresses, paths, commands, digests and packages,
#   each with a
#   severity of its own. Compiling a policy with such a list adds this module wherever the policy judges a command.
#   Unlike the
#   other modules it looks at the installer too: whoever lists a host wants to hear of every contact.
package pip_witness.user_ioc

import data.pip_witness.indicators.own
import data.pip_witness.lib.coverage
import data.pip_witness.lib.distributions
import data.pip_witness.lib.indicators
import data.pip_witness.lib.releases
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A listed host
# description: A process contacted, asked for or was started with a host that the user lists, or one below it.
# custom:
#   id: USER_IOC_HOST
#   severity: CRITICAL
#   attack: T1071
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: host names of connections and of name queries, arguments of programs
deny contains msg if {
	some hit in indicators.hosts(_groups("host", "hosts"))
	values := [_severity(hit), hit.process, hit.how, text.safe(hit.host), _reason(hit)]
	msg := sprintf("%s:USER_IOC_HOST: %s %s \"%s\"%s", values)
}

# METADATA
# title: A listed address
# description: A process contacted, or was started with, an address that the user lists or that lies in a listed
#   range.
# custom:
#   id: USER_IOC_ADDRESS
#   severity: CRITICAL
#   attack: T1095
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: connections of connect, sendto, sendmsg and sendmmsg
deny contains msg if {
	some hit in indicators.addresses(_groups("address", "addresses"))
	values := [_severity(hit), hit.process, hit.how, text.safe(hit.address), _reason(hit)]
	msg := sprintf("%s:USER_IOC_ADDRESS: %s %s %s%s", values)
}

# METADATA
# title: A listed path
# description: A file whose path the user lists was opened, changed, run, named in an argument or installed.
# custom:
#   id: USER_IOC_PATH
#   severity: CRITICAL
#   attack: T1083
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: opened, changed and run files
deny contains msg if {
	some hit in indicators.files(_groups("path", "paths"))
	msg := sprintf("%s:USER_IOC_PATH: %s%s", [_severity(hit), indicators.did(hit), _reason(hit)])
}

# METADATA
# title: A listed command
# description: A process ran, or tried to run, a command whose arguments match an expression that the user lists.
# custom:
#   id: USER_IOC_COMMAND
#   severity: CRITICAL
#   attack: T1059
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: arguments of programs
deny contains msg if {
	some hit in indicators.all_commands(_groups("command", "patterns"))
	values := [_severity(hit), hit.process, text.safe(hit.line), _reason(hit)]
	msg := sprintf("%s:USER_IOC_COMMAND: %s ran \"%s\"%s", values)
}

# METADATA
# title: Listed content
# description: A file that was opened, run, left or installed, or a distribution file, has a SHA-256 that the user
#   lists.
# custom:
#   id: USER_IOC_HASH
#   severity: CRITICAL
#   attack: T1105
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: digests of files
deny contains msg if {
	some hit in indicators.contents(_groups("sha256", "sha256"))
	msg := sprintf("%s:USER_IOC_HASH: %s%s", [_severity(hit), hit.what, _reason(hit)])
}

# METADATA
# title: A listed package
# description: A distribution that the user lists, by name or by name and version, is installed or was asked for.
# custom:
#   id: USER_IOC_PACKAGE
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [the user's own]
#   false_positives: Whatever the user's list says; its severity is the finding's.
#   solution: Do what the list is for.
#   needs: packages of the installation, or paths of their metadata, or arguments of the installer
deny contains msg if {
	some order, entry in own.indicators
	entry.kind == "package"
	some release in releases.present
	_names(entry.value, release)
	msg := sprintf("%s:USER_IOC_PACKAGE: \"%s\" %s %s%s", [
		_severity({"order": order}), text.safe(release.name), text.safe(release.version), release.how,
		_reason({"order": order}),
	])
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

_needs := {
	"USER_IOC_HOST": {"connect", "sendto"},
	"USER_IOC_ADDRESS": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"USER_IOC_PATH": {"openat", "execve"},
	"USER_IOC_COMMAND": {"execve", "execveat"},
	"USER_IOC_HASH": {"openat", "execve"},
}

# The entries of one kind as groups of the library, each at its place in the list;
# entries of other kinds have none.
_groups(kind, key) := [group |
	some entry in own.indicators
	group := object.union({"by": "any"}, {key: [entry.value | entry.kind == kind]})
]

_severity(hit) := object.get(own.indicators[hit.order], "severity", "CRITICAL")

_reason(hit) := sprintf("; your indicators list it: %s", [text.safe(_stated(hit))]) if _stated(hit) != ""

_reason(hit) := "; your indicators list it" if _stated(hit) == ""

_stated(hit) := object.get(own.indicators[hit.order], "reason", "")

_names(value, release) if {
	parts := split(value, "==")
	count(parts) == 2
	distributions.normal(trim_space(parts[0])) == distributions.normal(release.name)
	releases.normal_version(trim_space(parts[1])) == releases.normal_version(release.version)
}

_names(value, release) if {
	not contains(value, "==")
	distributions.normal(trim_space(value)) == distributions.normal(release.name)
}
