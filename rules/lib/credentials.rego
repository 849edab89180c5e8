# Which opened paths hold credentials, and who opened them.
package pip_witness.lib.credentials

import data.pip_witness.indicators.credential_paths as table
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.text

import rego.v1

# accesses are reads, listings and attempts of credential paths by processes
# that have no business with them. attempt is true when nothing was read.
accesses contains access if {
	some [index, path] in _opened
	proc := input.processes[index]
	entry := table.entries[_watched[path]]
	not _exempt(proc, entry)
	severity := _severity(proc, path, entry)
	access := {
		"rule": entry.rule,
		"severity": severity,
		"what": entry.what,
		"path": path,
		"attempt": _attempt(index, path),
		"pid": object.get(proc, "processid", 0),
		"process": process.describe(proc),
	}
}

# verb(access) says in a message what was done.
verb(access) := "tried to open" if access.attempt

verb(access) := "opened" if not access.attempt

# message(access, rule, why) is the finding for an access.
message(access, rule, why) := sprintf(
	"%s:%s: %s %s \"%s\", %s; %s",
	[access.severity, rule, access.process, verb(access), text.safe(access.path), access.what, why],
)

# messages(rule, why) are the findings of one family.
messages(rule, why) := text.few({message(access, rule, why) |
	some access in accesses
	access.rule == rule
})

# Which process opened which of them. Honest runs have few of these paths and many
# files, which are not looked at one by one then; a hostile one may have it the other
# way round.
_opened contains [index, path] if {
	count(_watched) <= _few_paths
	some path, _ in _watched
	some index, proc in input.processes
	proc.openedfiles[path]
}

_opened contains [index, path] if {
	count(_watched) > _few_paths
	some index, proc in input.processes
	some path, _ in proc.openedfiles
	_watched[path] >= 0
}

_opened contains [index, path] if {
	some [index, path] in opens.directories
	_watched[path] >= 0
}

_few_paths := 500

_attempt(index, path) if not _read(index, path)

_attempt(index, path) := false if _read(index, path)

# A digest says that the content was there.
_read(index, path) if {
	some digest in input.processes[index].openedfiles[path]
	digest != ""
}

_read(index, path) if [index, path] in _opened_well

_opened_well contains [index, o.path] if {
	some index, proc in input.processes
	some o in proc.fileOps.opens
	_watched[o.path] >= 0
	object.get(o, "errno", "") == ""
}

# Paths that match the table, with the number of the first entry that does.
_watched[path] := order if {
	some path in _paths
	_plausible(path)
	not _excluded(path)
	orders := _orders(path)
	count(orders) > 0
	order := min(orders)
}

_paths := opens.read_paths | {path | some [_, path] in opens.directories}

# Nearly every path of a run ends here: two cheap tests.
_plausible(path) if strings.any_prefix_match(path, _prefixes)

_plausible(path) if strings.any_suffix_match(path, _suffixes)

_plausible(path) if {
	startswith(path, "/home/")
	every home in _homes {
		not startswith(path, sprintf("%s/", [home]))
	}
}

# The engine keeps a trie for a set that it matches against more than once.
_prefixes := {sprintf("/%s/", [first]) | some first, _ in _absolute} | {sprintf("%s/%s", [home, first]) |
	some home in _homes
	some first, _ in _relative
}

_homes contains "/root"

_homes contains home if {
	home := input.coverage.sandbox.home
	is_string(home)
	startswith(home, "/")
}

# By first element below a home directory, and below the root: pattern → number
# of its entry. union_n merges one level down, in one pass.
_relative := object.union_n([{split(rest, "/")[0]: {rest: order}} |
	some order, entry in table.entries
	some pattern in entry.paths
	startswith(pattern, "~/")
	rest := substring(pattern, 2, -1)
])

_absolute := object.union_n([{split(rest, "/")[0]: {rest: order}} |
	some order, entry in table.entries
	some pattern in entry.paths
	startswith(pattern, "/")
	rest := substring(pattern, 1, -1)
])

_suffixes := {sprintf("/%s", [name]) | some name, _ in _names; not startswith(name, "*")} | {substring(name, 1, -1) |
	some name, _ in _names
	startswith(name, "*")
}

_names[name] := order if {
	some order, entry in table.entries
	some name in entry.names
}

_orders(path) := (_home_orders(path) | _root_orders(path)) | {order |
	some name, order in _names
	_named(name, path)
}

_home_orders(path) := {order |
	some rest in _rests(path)
	some pattern, order in _relative[split(rest, "/")[0]]
	_matches(pattern, rest)
}

_root_orders(path) := {order |
	rest := substring(path, 1, -1)
	some pattern, order in _absolute[split(rest, "/")[0]]
	_matches(pattern, rest)
}

# What follows the home directory in path.
_rests(path) := {rest |
	some home in _homes
	startswith(path, sprintf("%s/", [home]))
	rest := substring(path, count(home) + 1, -1)
} | {rest |
	startswith(path, "/home/")
	elements := split(path, "/")
	count(elements) > 3
	rest := concat("/", array.slice(elements, 3, count(elements)))
}

_matches(pattern, rest) if pattern == rest

_matches(pattern, rest) if {
	contains(pattern, "*")
	glob.match(pattern, ["/"], rest)
}

_named(name, path) if {
	_name_matches(name, path)
	not strings.any_prefix_match(path, table.names_excluded)
}

_name_matches(name, path) if endswith(path, sprintf("/%s", [name]))

_name_matches(name, path) if {
	startswith(name, "*")
	endswith(path, substring(name, 1, -1))
}

_excluded(path) if {
	some part in table.excluded.contains
	contains(path, part)
}

_excluded(path) if strings.any_prefix_match(path, table.excluded.prefixes)

_excluded(path) if {
	some prefix in _trusted_prefixes
	process.under(path, prefix)
}

_trusted_prefixes contains prefix if some prefix in input.coverage.sandbox.basePrefixes

_trusted_prefixes contains input.coverage.sandbox.prefix if input.coverage.sandbox.prefix != ""

# Reading one's own entry of /proc is ordinary or, for the environment, curious.
_severity(proc, path, entry) := entry.severity if {
	not _own(proc, path)
	not _project_file(path, entry)
}

_severity(proc, path, entry) := entry.own_severity if _own(proc, path)

# One .env in the working directory is what python-dotenv is for.
_severity(_, path, entry) := "MEDIUM" if _project_file(path, entry)

_own(proc, path) if {
	startswith(path, "/proc/")
	split(path, "/")[2] in {sprintf("%v", [proc.processid]), "self", "thread-self"}
}

_project_file(path, entry) if {
	entry.rule == "CRED_DOTENV"
	regex.replace(path, `/[^/]*$`, "") == input.coverage.sandbox.workDir
	count([other | some other, order in _watched; table.entries[order].rule == "CRED_DOTENV"]) < 2
}

_exempt(proc, entry) if {
	entry.installer
	process.role(proc) == "installer"
}

_exempt(proc, entry) if {
	is_string(proc.program)
	process.base(proc.program) in entry.readers
	not process.writable(proc.program)
}
