# What a run contacted, ran, touched and loaded, compared with lists of indicators.
# A list is an array of groups, each with its own severity or text; a hit names
# its group by position.
package pip_witness.lib.indicators

import data.pip_witness.lib.connections
import data.pip_witness.lib.opens
import data.pip_witness.lib.process
import data.pip_witness.lib.releases
import data.pip_witness.lib.text

import rego.v1

# controlled(role) is true for what package code decides, see process.package_controlled.
controlled(role) if not role in {"installer", "build-frontend"}

# hosts(groups) are the hosts of the groups, or below them, that a process contacted,
# asked for, or was given as an argument. Whether the other side was reached is
# of no importance.
hosts(groups) := _named_hosts(groups) | _argument_hosts(groups)

_named_hosts(groups) := {hit |
	table := _by_host(groups)
	some named in _named
	some suffix in _suffixes(named.host)
	some order, _ in table[suffix]
	hit := object.union(named, {"order": order})
}

_argument_hosts(groups) := {hit |
	table := _by_host(groups)
	listed := sprintf(
		`(?i)(?:^|[^a-z0-9-])(%s)(?:[^a-z0-9.-]|\.?$|\.[^a-z0-9])`,
		[concat("|", [replace(host, ".", `\.`) | some host, _ in table])],
	)
	some run in runs
	controlled(run.role)
	some found in regex.find_all_string_submatch_n(listed, run.line, 20)
	some order, _ in table[lower(found[1])]
	hit := {
		"host": lower(found[1]), "process": run.process,
		"role": run.role, "how": "was started with", "port": 0, "order": order,
	}
}

_by_host(groups) := object.union_n([{lower(host): {order: true}} |
	some order, group in groups
	some host in group.hosts
])

# Names longer than a name service takes are cut from the left.
_suffixes(host) := {concat(".", array.slice(labels, start, total)) |
	labels := split(lower(trim_suffix(host, ".")), ".")
	total := count(labels)
	some start in numbers.range(max([0, total - 40]), total - 1)
}

_named contains named if {
	some proc in input.processes
	some connection in proc.network.connections
	is_string(connection.hostname)
	connection.hostname != ""
	named := _naming(proc, connection.hostname, "contacted", object.get(connection, "port", 0))
}

_named contains named if {
	some proc in input.processes
	some lookup in proc.network.dnsLookups
	is_string(lookup.query)
	named := _naming(proc, lookup.query, "asked for", 0)
}

_named contains named if {
	some proc in input.processes
	some flow in proc.network.flows
	some field in ["hostname", "serverName", "httpHost"]
	is_string(flow[field])
	flow[field] != ""
	named := _naming(proc, split(flow[field], ":")[0], "contacted", object.get(flow, "port", 0))
}

_naming(proc, host, how, port) := {
	"host": trim_suffix(lower(host), "."),
	"process": process.describe(proc),
	"role": process.role(proc),
	"how": how,
	"port": port,
}

# addresses(groups) are the addresses of the groups that a process contacted, or was
# given in an argument. An entry with a slash is a range.
addresses(groups) := (_listed_peers(groups) | _peers_in_ranges(groups)) | _argument_addresses(groups)

_listed_peers(groups) := {hit |
	table := _by_address(groups)
	some peer in peers
	some order, _ in table[peer.address]
	hit := object.union(peer, {"order": order})
}

_peers_in_ranges(groups) := {hit |
	ranges := _ranges(groups)
	count(ranges) > 0
	some peer in peers
	some [range, order] in ranges
	_inside(range, peer.address)
	hit := object.union(peer, {"order": order})
}

_argument_addresses(groups) := {hit |
	table := _by_address(groups)
	some run in runs
	controlled(run.role)
	some found in regex.find_n(`\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|\[[0-9A-Fa-f:.]+\]`, run.line, 20)
	address := connections.normal(trim(found, "[]"))
	some order, _ in table[address]
	hit := {
		"address": address, "process": run.process, "role": run.role,
		"how": "was started with", "port": 0, "gateway": false, "order": order,
	}
}

_by_address(groups) := object.union_n([{connections.normal(address): {order: true}} |
	some order, group in groups
	some address in group.addresses
])

_ranges(groups) := {[address, order] |
	some order, group in groups
	some address in group.addresses
	contains(address, "/")
}

_inside(range, address) if {
	net.cidr_is_valid(sprintf("%s/%d", [address, _width(address)]))
	contains(range, ":") == contains(address, ":")
	net.cidr_contains(range, address)
}

_width(address) := 128 if contains(address, ":")

_width(address) := 32 if not contains(address, ":")

# peers are the Internet addresses that each process contacted.
peers contains peer if {
	some proc in input.processes
	some connection in proc.network.connections
	connections.internet(connection)
	connections.outgoing(connection)
	is_string(connection.address)
	peer := _peer(proc, connection)
}

peers contains peer if {
	some proc in input.processes
	some flow in proc.network.flows
	is_string(flow.address)
	peer := _peer(proc, flow)
}

_peer(proc, contact) := {
	"address": address,
	"port": port,
	"process": process.describe(proc),
	"role": process.role(proc),
	"how": "contacted",
	"gateway": connections.gateway(address, port),
} if {
	address := connections.normal(contact.address)
	port := object.get(contact, "port", 0)
}

# runs are the programs that were run, or would have been: a program that is not
# there says as much about whoever asked for it. The command line of the harness is
# ours.
runs contains run if {
	some index, proc in input.processes
	some position, attempt in proc.execs
	is_array(attempt.argv)
	not _of_harness(proc, position)
	run := _run(index, object.get(attempt, "program", ""), attempt.argv)
}

runs contains run if {
	not _attempts_recorded
	some index, proc in input.processes
	is_string(proc.cmdline)
	not _of_harness(proc, 0)
	run := _run(index, object.get(proc, "program", ""), split(proc.cmdline, " "))
}

_of_harness(proc, 0) if process.role(proc) == "import-harness"

_attempts_recorded if {
	some proc in input.processes
	proc.execs
}

_run(index, program, argv) := {
	"program": sprintf("%v", [program]),
	"args": args,
	"line": concat(" ", args),
	"process": process.describe(input.processes[index]),
	"role": process.role(input.processes[index]),
} if {
	args := [argument | some argument in argv; is_string(argument)]
}

# commands(groups) are the commands of package code that match an expression of the
# groups.
commands(groups) := _commands(groups, {run | some run in runs; controlled(run.role)})

# all_commands(groups) has those of the installer too.
all_commands(groups) := _commands(groups, runs)

# One expression for all comes first: nearly every command ends there.
_commands(groups, chosen) := {hit |
	anything := concat("|", [sprintf("(?:%s)", [pattern]) |
		some group in groups
		some pattern in group.patterns
	])
	some run in chosen
	regex.match(anything, run.line)
	some order, group in groups
	some pattern in group.patterns
	regex.match(pattern, run.line)
	hit := object.union(run, {"order": order})
}

# files(groups) are the files that a pattern of the groups names and that the run
# opened, changed, ran, named in an argument or installed; where a group is about
# package code, the installer's own deeds are left out. act is read, change, run, name
# or present. Patterns are described in teampcp.yaml.
files(groups) := {hit |
	some path in _candidates(groups)
	some order, group in groups
	regex.match(expression(group.paths), path)
	some deed in _deeds_on(path)
	_counts(object.get(group, "by", "code"), deed)
	hit := object.union(deed, {"path": path, "order": order})
}

_counts("any", _)

_counts("code", deed) if controlled(deed.role)

# expression(patterns) is the RE2 expression of path patterns.
expression(patterns) := sprintf("^(?:%s)$", [concat("|", [concat("", [_anchor(pattern), _globbed(_rest(pattern))]) |
	some pattern in patterns
])])

# What follows the anchor of a pattern.
_rest(pattern) := regex.replace(pattern, `^(~/|\$TMP/|/)`, "")

_anchor(pattern) := sprintf("(?:%s|/home/[^/]+)/", [concat("|", [_literal(home) | some home in homes])]) if {
	startswith(pattern, "~/")
}

_anchor(pattern) := sprintf("(?:%s)/", [concat("|", [_literal(directory) | some directory in temporary])]) if {
	startswith(pattern, "$TMP/")
}

_anchor(pattern) := "/" if startswith(pattern, "/")

_anchor(pattern) := "(?:.*/)?" if not regex.match(`^(~/|\$TMP/|/)`, pattern)

_globbed(rest) := concat(".+", [replace(_literal(part), `\*`, "[^/]*") | some part in split(rest, "**")])

_literal(plain) := regex.replace(plain, `[.+*?^$()\[\]{}|\\]`, `\$0`)

# homes and temporary are the directories that patterns start with.
homes contains "/root"

homes contains input.coverage.sandbox.home if _absolute(input.coverage.sandbox.home)

_absolute(directory) if {
	is_string(directory)
	startswith(directory, "/")
}

temporary contains directory if some directory in ["/tmp", "/var/tmp", "/dev/shm"]

temporary contains input.coverage.sandbox.tempDir if _absolute(input.coverage.sandbox.tempDir)

# Two questions for all paths at once come first. An honest run, however large, has no
# answer to them, and none of its paths is looked at one by one.
_candidates(groups) := {path |
	starts := _starts(groups)
	ends := _ends(groups)
	_any(starts, ends)
	some path in _touched
	_plausible(path, starts, ends)
}

_any(starts, _) if strings.any_prefix_match(_touched, starts)

_any(_, ends) if strings.any_suffix_match(_touched, ends)

_plausible(path, starts, _) if strings.any_prefix_match(path, starts)

_plausible(path, _, ends) if strings.any_suffix_match(path, ends)

# A pattern is told by how its paths end, where that says more than how they start.
_ends(groups) := {tail |
	some pattern in _patterns(groups)
	not _told_by_start(pattern)
	tail := _tail(pattern)
}

_starts(groups) := {concat("/", [directory, split(_rest(pattern), "*")[0]]) |
	some pattern in _patterns(groups)
	_told_by_start(pattern)
	some directory in _directories(pattern)
}

_patterns(groups) := {pattern |
	some group in groups
	some pattern in group.paths
}

_told_by_start(pattern) if startswith(pattern, "$TMP/")

_told_by_start(pattern) if {
	regex.match(`^~?/`, pattern)
	contains(pattern, "*")
}

_tail(pattern) := sprintf("/%s", [_rest(pattern)]) if not contains(pattern, "*")

_tail(pattern) := parts[count(parts) - 1] if {
	contains(pattern, "*")
	parts := split(pattern, "*")
}

_directories(pattern) := homes if startswith(pattern, "~/")

_directories(pattern) := temporary if startswith(pattern, "$TMP/")

_directories(pattern) := {""} if startswith(pattern, "/")

_touched := (object.keys(_opened) | object.keys(_deeds)) | _present

# Files that were opened to read, each once, as one object that is made in one call: a large
# run opens the same files in very many processes. Of a file that changed meanwhile
# this has one of its digests; what is left of it is among those of written files.
_opened := object.union_n([proc.openedfiles |
	some proc in input.processes
	is_object(proc.openedfiles)
])

# What was installed, where the evidence has a list of it.
_present := object.keys(installed) if {
	installed := object.get(input, "product", {})
	is_object(installed)
}

# What package code did with a path besides reading it as a file: path → position
# of the process → acts.
_deeds := object.union_n([{path: {index: {act: true}}} | some [index, act, path] in _deed])

_deed contains [index, "change", path] if {
	some index in process.controlled
	some operation in ["writes", "permChanges", "deletes", "links", "dirs"]
	some change in input.processes[index].fileOps[operation]
	path := change.path
	is_string(path)
}

_deed contains [index, "change", path] if {
	some index in process.controlled
	some rename in input.processes[index].fileOps.renames
	some path in [rename.oldPath, rename.newPath]
	is_string(path)
}

_deed contains [index, act, path] if {
	some [index, position] in opens.other
	index in process.controlled
	open := input.processes[index].fileOps.opens[position]
	act := {"write": "change", "readwrite": "change", "directory": "read"}[open.mode]
	path := open.path
	is_string(path)
}

_deed contains [index, "run", path] if {
	some index in process.controlled
	some attempt in input.processes[index].execs
	path := attempt.program
	is_string(path)
}

_deed contains [index, "name", path] if {
	some index in process.controlled
	some position, attempt in input.processes[index].execs
	not _of_harness(input.processes[index], position)
	some argument in attempt.argv
	is_string(argument)
	some found in regex.find_n(`(?:~|\$HOME|\$\{HOME\})?/[^\s"'=;|&<>(){}@,:]+`, argument, 200)
	some path in _spelt_out(found)
}

_spelt_out(found) := {found} if startswith(found, "/")

_spelt_out(found) := {regex.replace(found, `^(~|\$HOME|\$\{HOME\})`, home) | some home in homes} if {
	not startswith(found, "/")
}

_deeds_on(path) := ({deed |
	some index, acts in object.get(_deeds, path, {})
	some act, _ in acts
	deed := _deed_of(input.processes[index], act)
} | {deed |
	some proc in input.processes
	proc.openedfiles[path]
	deed := _deed_of(proc, "read")
}) | {deed |
	path in _present
	deed := {"act": "present", "process": "the installation", "role": "installer"}
}

_deed_of(proc, act) := {"act": act, "process": process.describe(proc), "role": process.role(proc)}

# did(hit) says in a message what was done with a file.
did(hit) := sprintf(_phrases[hit.act], [hit.process, text.safe(hit.path)])

_phrases := {
	"read": `%s opened or tried to open "%s"`,
	"change": `%s wrote or changed "%s"`,
	"run": `%s ran "%s"`,
	"name": `%s was started with "%s"`,
	"present": `%s holds "%s"`,
}

# contents(groups) are files that the run opened, ran, left or installed, and files that
# it installed from, whose SHA-256 is in the groups.
contents(groups) := (_opened_contents(groups) | _run_contents(groups)) | _kept_contents(groups)

_by_digest(groups) := object.union_n([{lower(digest): {order: true}} |
	some order, group in groups
	some digest in group.sha256
])

_opened_contents(groups) := {hit |
	table := _by_digest(groups)
	some path, digests in _opened
	some order, _ in table[digests.sha256]
	some proc in input.processes
	proc.openedfiles[path]
	hit := {"order": order, "what": sprintf(`%s opened "%s"`, [process.describe(proc), text.safe(path)])}
}

_run_contents(groups) := {hit |
	table := _by_digest(groups)
	some proc in input.processes
	some digests in _images(proc)
	some order, _ in table[digests.sha256]
	hit := {"order": order, "what": sprintf("%s ran it", [process.describe(proc)])}
}

_images(proc) := _own_images(proc) | {attempt.digest | some attempt in proc.execs}

_own_images(proc) := {image |
	some key in ["exedigest", "programdigest"]
	image := proc[key]
}

_kept_contents(groups) := ({hit |
	table := _by_digest(groups)
	some proc in input.processes
	some path, digests in proc.writtenDigests
	some order, _ in table[digests.sha256]
	hit := {"order": order, "what": sprintf(`%s wrote "%s"`, [process.describe(proc), text.safe(path)])}
} | {hit |
	table := _by_digest(groups)
	some path, item in input.product
	some order, _ in table[item.digest.sha256]
	hit := {"order": order, "what": sprintf(`the installation holds "%s"`, [text.safe(path)])}
}) | {hit |
	table := _by_digest(groups)
	some item in releases.packages
	some file in item.files
	some order, _ in table[file.sha256]
	hit := {"order": order, "what": sprintf(`"%s" was installed from "%s"`, [
		text.safe(object.get(item, "name", "")),
		text.safe(object.get(file, "filename", "")),
	])}
}
