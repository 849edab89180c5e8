# Who a process is, what it ran, and what the run could write.
package pip_witness.lib.process

import data.pip_witness.lib.text

import rego.v1

# role(proc) is the role that the evidence states. Evidence of other tools has
# none: there only the first process can be the installer or the harness.
role(proc) := proc.role

role(proc) := "installer" if {
	not proc.role
	_first(proc)
	contains(proc.cmdline, " -m pip ")
}

role(proc) := "import-harness" if {
	not proc.role
	_first(proc)
	not contains(proc.cmdline, " -m pip ")
}

role(proc) := "package-code" if {
	not proc.role
	not _first(proc)
}

_first(proc) if proc.processid == input.processes[0].processid

# describe(proc) names a process in a message.
describe(proc) := sprintf("the %s process \"%s\"", [text.safe(role(proc)), text.safe(proc.program)])

# base(path) is the last element of a path.
base(path) := elements[count(elements) - 1] if elements := split(path, "/")

# images(proc) are the programs that a process ran, with their arguments; failed
# attempts, such as a search along PATH, are none. Evidence without attempts has
# the last image only.
images(proc) := [{"program": e.program, "args": e.argv} |
	some e in proc.execs
	object.get(e, "errno", "") == ""
] if {
	proc.execs
}

images(proc) := [{"program": proc.program, "args": split(proc.cmdline, " ")}] if {
	not proc.execs
	not _traced
}

images(proc) := [] if {
	not proc.execs
	_traced
}

# Our own capture records every attempt, so a process without one was forked.
_traced if {
	some proc in input.processes
	proc.execs
}

# under(path, dir) is true for dir itself and for everything below it.
under(path, dir) if path == dir

under(path, dir) if startswith(path, concat("", [dir, "/"]))

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
	startswith(dir, "/")
}

_soft contains dir if {
	some dir in input.coverage.sandbox.writable
	startswith(dir, "/")
}

_hard contains dir if {
	some key in ["basePrefixes", "readOnly"]
	some dir in input.coverage.sandbox[key]
	startswith(dir, "/")
}
