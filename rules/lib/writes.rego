# Every way in which a path comes to be or is changed, by whom, and which paths
# outlive the run.
package pip_witness.lib.writes

import data.pip_witness.indicators.persistence as table
import data.pip_witness.lib.opens
import data.pip_witness.lib.process

import rego.v1

# entries are [index, path, verb, attempt]: the position of the process in
# input.processes, -1 for what only the tree after the run shows; what was done, as a
# message says it; attempt is true where the call failed. Site directories, temporary
# ones and the caches of the installer are left out: an installation is that.
entries := _calls | {[-1, path, "changed", false] | some path in _unexplained}

_unexplained := {c.path |
	some c in input.changes
	is_string(c.path)
	not strings.any_prefix_match(c.path, _bulk)
	c.change in {"created", "modified", "type"}
	not _cache(-1, c.path)
} - {path | some [_, path, _, _] in _calls}

_cache(i, path) if {
	contains(path, "/.cache/")
	not i in process.controlled
}

# Where an installation puts thousands of files.
_bulk := array.concat(
	[directory | some directory in _scratch_directories; not _home_below(directory)],
	[sprintf("%s/", [directory]) | some directory in input.coverage.sandbox.sitePackages],
)

_home_below(directory) if startswith(_home, directory)

# who(index) names the process of an entry in a message.
who(index) := process.names[index] if index in process.controlled

who(index) := process.describe(input.processes[index]) if {
	index >= 0
	not index in process.controlled
}

who(index) := "the run" if index < 0

# said(entry) is what an entry did, for a message.
said(entry) := sprintf("%s %s", [who(entry[0]), entry[2]]) if not entry[3]

said(entry) := sprintf("%s tried and failed: it %s", [who(entry[0]), entry[2]]) if entry[3]

# by_package(index) is true for what package code did, and for what nobody was seen
# doing.
by_package(index) if index in process.controlled

by_package(index) if index < 0

# scratch(path) is true below temporary directories.
scratch(path) if {
	strings.any_prefix_match(path, _scratch_directories)
	not _home_in_scratch(path)
}

_home_in_scratch(path) if {
	strings.any_prefix_match(_home, _scratch_directories)
	startswith(path, sprintf("%s/", [_home]))
}

_home := input.coverage.sandbox.home if is_string(input.coverage.sandbox.home)

_scratch_directories := _common if not _own_temporary

_scratch_directories := array.concat(_common, [_own_temporary]) if _own_temporary

_common := ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/lock/", "/proc/", "/dev/"]

_own_temporary := sprintf("%s/", [trim_suffix(directory, "/")]) if {
	directory := input.coverage.sandbox.tempDir
	is_string(directory)
	startswith(directory, "/")
}

# build(path) is true in the directories that the installer made to unpack and build in.
build(path) if {
	some root in _build_roots
	startswith(path, root)
}

_build_roots contains sprintf("%s/", [d.path]) if {
	some i, proc in input.processes
	not i in process.controlled
	some d in proc.fileOps.dirs
	is_string(d.path)
	regex.match(`/(pip-|\.tmp)[^/]+$`, d.path)
}

# site(path) is true below site directories of the environment.
site(path) if {
	some directory in input.coverage.sandbox.sitePackages
	startswith(path, sprintf("%s/", [directory]))
}

# foreign_code are [position, path] of installed code that package code changed,
# although the installer or another distribution brought it. setup.py install and
# develop, as older installers start them, put their own there.
foreign_code contains [i, path] if {
	some [i, path] in _changed_code
	not installs(i)
}

_changed_code contains [i, w.path] if {
	some i in process.controlled
	some w in input.processes[i].fileOps.writes
	code(w.path)
	not object.get(w, "created", false)
}

_changed_code contains [i, r.newPath] if {
	some i in process.controlled
	some r in input.processes[i].fileOps.renames
	process.succeeded(r)
	code(r.newPath)
	r.newPath in _modified
}

_changed_code contains [i, w.path] if {
	some i in process.controlled
	process.role(input.processes[i]) == "build-child"
	some w in input.processes[i].fileOps.writes
	code(w.path)
	not _own(w.path)
}

_modified contains c.path if {
	some c in input.changes
	c.change in {"modified", "type"}
}

# code(path) is true for installed code.
code(path) if {
	is_string(path)
	regex.match(`\.(py|pyw|so|pyd|pth|start)$`, path)
	site(path)
}

# The top of a path below a site directory, as this run's distributions call theirs.
_own(path) if {
	some directory in input.coverage.sandbox.sitePackages
	startswith(path, sprintf("%s/", [directory]))
	first := split(split(substring(path, count(directory) + 1, -1), "/")[0], ".")[0]
	some dist in input["pip-install"].packages
	dist.installType != "wheel"
	some own in dist.importNames
	first == split(own, ".")[0]
}

# installs(i) is true for setup.py install and develop.
installs(i) if {
	proc := input.processes[i]
	process.role(proc) == "build-child"
	some argument in proc.args
	argument in {"install", "develop"}
	some option in proc.args
	option in {"--record", "--no-deps"}

	# regal ignore:non-loop-expression
	process.role(input.processes[process.parents[i]]) == "installer"
}

# below_home(path) is what follows a home directory in path: that of the sandbox, of
# root, and every one below /home.
below_home(path) := {rest |
	some home in _homes
	startswith(path, sprintf("%s/", [home]))
	rest := substring(path, count(home) + 1, -1)
} | {concat("/", array.slice(elements, 3, count(elements))) |
	startswith(path, "/home/")
	elements := split(path, "/")
	count(elements) > 3
}

_homes := {"/root"} | {_home | startswith(_home, "/")}

# places(path) are the entries of indicators/persistence.yaml for a path: rule,
# severity, what.
places(path) := {_place(order) |
	orders := _orders(path)
	some order in orders
	not _covered(order, orders)
}

# What a project has in a home directory is the user's own; the system's settings as a
# whole give way to any other place.
_covered(order, orders) if {
	# regal ignore:external-reference
	table.places[order].project
	some other in orders

	# regal ignore:external-reference
	not table.places[other].project

	# regal ignore:external-reference
	table.places[other].rule == table.places[order].rule
}

_covered(order, orders) if {
	table.places[order].rest
	count(orders) > 1
}

# parents_of(path) are the places that lie below path: who puts a link or a directory
# there, brings what is in it.
parents_of(path) := {_place(order) |
	some rest in below_home(path)
	some pattern, orders in _home_patterns[split(rest, "/")[0]]
	startswith(pattern, sprintf("%s/", [rest]))
	some order, _ in orders
} | {_place(order) |
	some pattern, orders in _whole_patterns[_top(path)]
	startswith(pattern, sprintf("%s/", [path]))
	some order, _ in orders
}

_place(order) := {
	"rule": entry.rule,
	"severity": entry.severity,
	"what": entry.what,
	"installer": object.get(entry, "installer", false),
	"project": object.get(entry, "project", "") != "",
} if {
	entry := table.places[order]
}

_orders(path) := {order |
	startswith(path, "/")
	not site(path)
	not scratch(path)
	not regex.match(table.harmless.pattern, path)
	some order in ((_home_orders(path) | _whole_orders(path)) | (_prefix_orders(path) | _project_orders(path)))
}

_home_orders(path) := {order |
	some rest in below_home(path)
	some pattern, orders in _home_patterns[split(rest, "/")[0]]
	glob.match(pattern, ["/"], rest)
	some order, _ in orders
} | {order |
	some rest in below_home(path)
	some pattern, orders in _wild_home_patterns
	glob.match(pattern, ["/"], rest)
	some order, _ in orders
}

_whole_orders(path) := {order |
	some pattern, orders in _whole_patterns[_top(path)]
	glob.match(pattern, ["/"], path)
	some order, _ in orders
}

_prefix_orders(path) := {order |
	prefix := input.coverage.sandbox.prefix
	startswith(path, sprintf("%s/", [prefix]))
	rest := substring(path, count(prefix) + 1, -1)
	some order, entry in table.places
	some pattern in entry.prefix
	glob.match(pattern, ["/"], rest)
}

_project_orders(path) := {order |
	not _in_prefix(path)
	not build(path)
	some order, entry in table.places
	regex.match(entry.project, path)
}

_in_prefix(path) if {
	prefix := input.coverage.sandbox.prefix
	startswith(path, sprintf("%s/", [prefix]))
}

_top(path) := split(path, "/")[1]

# Patterns, each with the entries that have it, by the first element of what they match.
# union_n merges all levels in one pass; a comprehension a first element would read
# the table once for each of them.
_home_patterns := object.union_n([{split(pattern, "/")[0]: {pattern: {order: true}}} |
	some order, entry in table.places
	some pattern in entry.home
])

_wild_home_patterns := object.union_n([patterns |
	some first, patterns in _home_patterns
	contains(first, "*")
])

_whole_patterns := object.union_n([{_top(pattern): {pattern: {order: true}}} |
	some order, entry in table.places
	some pattern in entry.whole
])

# What calls did, on paths as normal gives them.
_calls contains [i, normal(w.path), "wrote", false] if {
	some i, proc in input.processes
	some w in proc.fileOps.writes
	is_string(w.path)
	not strings.any_prefix_match(w.path, _bulk)
	not _cache(i, w.path)
}

_calls contains [i, normal(o.path), "opened to write", true] if {
	some [i, j] in opens.other
	o := input.processes[i].fileOps.opens[j]
	o.mode in {"write", "readwrite"}
	object.get(o, "errno", "") != ""
	is_string(o.path)
	not strings.any_prefix_match(o.path, _bulk)
	not _cache(i, o.path)
}

_calls contains [i, normal(r.newPath), "renamed a file to", _failed(r)] if {
	some i, proc in input.processes
	some r in proc.fileOps.renames
	is_string(r.newPath)
	not strings.any_prefix_match(r.newPath, _bulk)
	not _cache(i, r.newPath)
}

_calls contains [i, normal(l.path), "put a link at", _failed(l)] if {
	some i, proc in input.processes
	some l in proc.fileOps.links
	is_string(l.path)
	not strings.any_prefix_match(l.path, _bulk)
	not _cache(i, l.path)
}

# A second name for a file is a way to change it unseen.
_calls contains [i, normal(l.target), "made another name for", _failed(l)] if {
	some i, proc in input.processes
	some l in proc.fileOps.links
	not l.symbolic
	is_string(l.target)
	not strings.any_prefix_match(l.target, _bulk)
	not _cache(i, l.target)
}

_calls contains [i, normal(p.path), "changed the permissions of", _failed(p)] if {
	some i, proc in input.processes
	some p in proc.fileOps.permChanges
	is_string(p.path)
	not strings.any_prefix_match(p.path, _bulk)
	not _cache(i, p.path)
}

_calls contains [i, normal(d.path), "made", _failed(d)] if {
	some i, proc in input.processes
	some d in proc.fileOps.dirs
	d.kind != "directory"
	is_string(d.path)
	not strings.any_prefix_match(d.path, _bulk)
	not _cache(i, d.path)
}

_failed(call) if object.get(call, "errno", "") != ""

_failed(call) := false if object.get(call, "errno", "") == ""

# normal(path) is path without empty, "." and ".." elements; undefined for anything
# but a string.
normal(path) := path if {
	is_string(path)
	not regex.match(_unclean, path)
}

normal(path) := _tidied(cleaned) if {
	is_string(path)
	regex.match(_unclean, path)
	cleaned := regex.replace(regex.replace(path, `(/\.?)+/`, "/"), `(/\.)?/?$`, "")
}

_unclean := `//|/\.\.?(/|$)|./$`

# Each step takes back the innermost elements that ".." follows; a path that goes up
# more than six times is left at that.
_tidied(path) := _up(_up(_up(_up(_up(_up(path))))))

_up(path) := regex.replace(path, `/(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)/\.\.(/|$)`, "$1")
