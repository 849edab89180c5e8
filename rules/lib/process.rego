# Who a process is, what it ran, and what the run could write.
package pip_witness.lib.process

import data.pip_witness.lib.text

import rego.v1

# role(proc) is the role that the evidence states. Evidence of other tools has
# none: there only the first process can be the installer or the harness.
role(proc) := proc.role if _states_role(proc)

role(proc) := "installer" if {
	not _states_role(proc)
	_first(proc)
	_runs_pip(proc)
}

role(proc) := "import-harness" if {
	not _states_role(proc)
	_first(proc)
	not _runs_pip(proc)
}

role(proc) := "package-code" if {
	not _states_role(proc)
	not _first(proc)
}

_states_role(proc) if is_string(proc.role)

_runs_pip(proc) if {
	is_string(proc.cmdline)
	contains(proc.cmdline, " -m pip ")
}

_first(proc) if proc.processid == input.processes[0].processid

# package_controlled(proc) is true where what a process does can be the package's
# doing: at the installation everything but the installer, at the import also the
# harness, which runs the package in itself.
package_controlled(proc) if not role(proc) in {"installer", "build-frontend"}

# controlled are the positions in input.processes of what package code controls, and
# names what each is called in a message. A position is a cheaper key than a process.
controlled contains i if {
	some i, proc in input.processes
	is_object(proc)
	package_controlled(proc)
}

names[i] := describe(input.processes[i]) if some i in controlled

# parents maps the position of each process to that of its parent; one whose
# parent was not seen has none. Numbers are used again after an exit: the parent
# is the latest earlier process with that number. Positions serve as identity.
parents[i] := max(earlier) if {
	some i, proc in input.processes
	proc.parentpid != 0
	earlier := {j | some j in _numbered[proc.parentpid]; j < i}
	count(earlier) > 0
}

# Positions of the processes that had a number, which are few.
_numbered[pid] := object.keys(positions) if some pid, positions in _by_number

# union_n merges one level down in one pass; a comprehension a number would not.
_by_number := object.union_n([{proc.processid: {i: true}} | some i, proc in input.processes])

_children := object.union_n([{above: {i: true}} | some i, above in parents])

_downwards[i] := object.keys(object.get(_children, i, {})) if some i, _ in input.processes

_upwards[i] := {above} if some i, above in parents

_upwards[i] := set() if {
	some i, _ in input.processes
	not _has_parent(i)
}

# ancestors(i) are the positions above a process, its own left out; descendants(i)
# those below it. family(i) has all of them: the ancestors that package code controls, and
# what lies below the topmost of those.
ancestors(i) := graph.reachable(_upwards, {i}) - {i}

descendants(i) := graph.reachable(_downwards, {i}) - {i}

family(i) := graph.reachable(_downwards, {min(line)}) if {
	line := {i} | (ancestors(i) & controlled)
}

# own(i, pid) is true for the number of process i and for those of what it started.
own(i, pid) if pid == input.processes[i].processid

own(i, pid) if {
	some below in descendants(i)
	input.processes[below].processid == pid
}

# orphan(i) is true for a process whose real parent was gone before it was seen: none
# is known, or a later one stands in for it.
orphan(i) if {
	input.processes[i].parentpid != 0
	not _has_parent(i)
}

orphan(i) if input.processes[i].parentpid > input.processes[i].processid

_has_parent(i) if parents[i] >= 0

# detached(i) is true for a process that left the session of its parent.
detached(i) if {
	some event in input.processes[i].syscallEvents
	event.syscall == "setsid"
}

# succeeded(call) is true for a recorded call without an error. What is no object is no
# call.
succeeded(call) if {
	is_object(call)
	object.get(call, "errno", "") == ""
}

# describe(proc) names a process in a message.
describe(proc) := sprintf("the %s process \"%s\"", [text.safe(role(proc)), text.safe(object.get(proc, "program", ""))])

# base(path) is the last element of a path.
base(path) := elements[count(elements) - 1] if {
	is_string(path)
	elements := split(path, "/")
}

# images(proc) are the programs that a process ran, with their arguments; failed
# attempts, such as a search along PATH, are none. Evidence without attempts has
# the last image only.
images(proc) := [{"program": e.program, "args": e.argv} |
	some e in proc.execs
	succeeded(e)
] if {
	proc.execs
}

images(proc) := [{"program": object.get(proc, "program", ""), "args": _vector(proc)}] if {
	is_object(proc)
	not proc.execs
	not _traced
}

images(proc) := [] if {
	not proc.execs
	_traced
}

_vector(proc) := proc.args if _has_vector(proc)

_vector(proc) := split(proc.cmdline, " ") if {
	not _has_vector(proc)
	is_string(proc.cmdline)
}

_vector(proc) := [] if {
	not _has_vector(proc)
	not _has_line(proc)
}

_has_vector(proc) if is_array(proc.args)

_has_line(proc) if is_string(proc.cmdline)

# Our own capture records every attempt, so a process without one was forked.
_traced if {
	some proc in input.processes
	proc.execs
}

# under(path, dir) is true for dir itself and for everything below it.
under(path, dir) if path == dir

under(path, dir) if startswith(path, sprintf("%v/", [dir]))

# writable(path) is true where code of this run could have put the file: the
# deepest directory that is known to be throw-away or read-only decides.
writable(path) if {
	some dir in _soft
	under(path, dir)
	not _protected(path, dir)
}

writable(path) if not startswith(path, "/")

# The host's directories have a throw-away layer over them: what was put there in
# this run is told from what the host has.
writable(path) if {
	path in _put
	some dir in input.coverage.sandbox.overlaid
	under(path, dir)
}

_put contains c.path if {
	some c in input.changes
	c.change in {"created", "modified", "type"}
}

_put contains w.path if {
	some proc in input.processes
	some w in proc.fileOps.writes
}

_put contains r.newPath if {
	some proc in input.processes
	some r in proc.fileOps.renames
	is_object(r)
	object.get(r, "errno", "") == ""
}

_protected(path, dir) if {
	some kept in _hard
	under(path, kept)
	count(kept) >= count(dir)
}

_soft contains "/tmp"

_soft contains "/var/tmp"

_soft contains "/dev/shm"

_soft contains dir if {
	some key in ["home", "prefix", "tempDir", "workDir"]
	dir := input.coverage.sandbox[key]
	is_string(dir)
	startswith(dir, "/")
}

_soft contains dir if {
	some dir in input.coverage.sandbox.writable
	is_string(dir)
	startswith(dir, "/")
}

_hard contains dir if {
	some key in ["basePrefixes", "readOnly"]
	some dir in input.coverage.sandbox[key]
	is_string(dir)
	startswith(dir, "/")
}
