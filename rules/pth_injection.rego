# METADATA
# title: Code at every start of the interpreter
# description: >-
#   A .pth or .start file, or a sitecustomize module, in a site directory runs
#   each time that Python starts, whether or not the package is ever imported.
# related_resources:
#   - ref: https://peps.python.org/pep-0829/
#   - ref: https://attack.mitre.org/techniques/T1546/018/
package pip_witness.pth_injection # regal ignore:file-length

import data.pip_witness.indicators.startup_files
import data.pip_witness.lib.coverage
import data.pip_witness.lib.credentials
import data.pip_witness.lib.process
import data.pip_witness.lib.startup
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: An executable line
# description: >-
#   A .pth file in a site directory holds a line that starts with import and is
#   none of those known from honest distributions. HIGH where the content is not
#   in the evidence and the digest is not known.
# custom:
#   id: PTH_EXEC_LINE
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [litellm 1.82.8, elementary-data, Hades]
#   false_positives: Editable installs and namespace packages, which are known by their form.
#   solution: Do not install it; delete the file from every environment that has it.
#   needs: lines of the .pth files in pip-install, or digests in product
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_EXEC_LINE: \"%s\" runs \"%s\" at every start of Python, whether or not the package is imported",
		[text.safe(path), text.safe(line)],
	) |
		some path in _path_files
		some line in _foreign_lines(path)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_EXEC_LINE: \"%s\" may run code at every start of Python; the evidence does not show its content",
		[text.safe(path)],
	) |
		some path in _path_files
		endswith(path, ".pth")
		not _read[path]
		not _known_digest(path)
	})
}

# METADATA
# title: A start file
# description: A .start file in a site directory names entry points that Python 3.15 and newer run at every start.
# custom:
#   id: PTH_START_FILE
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: Distributions that replaced their .pth file by a .start file; waive them by digest.
#   solution: Do not install it unless its owner explains the entry point.
#   needs: written files, or product
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_START_FILE: \"%s\" names code that Python 3.15 and newer run at every start",
		[text.safe(path)],
	) |
		some path in _path_files
		endswith(path, ".start")
		not _known_digest(path)
	})
}

# METADATA
# title: Something happened while Python started
# description: >-
#   A Python process started another program, used the network or opened
#   credentials before it had opened the script that it was started on, so a
#   start-up file did it.
# custom:
#   id: PTH_CHILD_SPAWN
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [litellm 1.82.8, Hades]
#   false_positives: none measured
#   solution: Do not install it; look for .pth, .start and sitecustomize files.
#   needs: times of opens, of process starts and of connections
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_CHILD_SPAWN: %s started \"%s\" before it opened its own script, so a start-up file did it",
		[start.process, text.safe(proc.program)],
	) |
		some start in _starts
		some proc in input.processes
		proc.parentpid == start.pid
		count(process.images(proc)) > 0
		_before(proc.starttime, start)
		_clock(proc.starttime) >= start.born
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_CHILD_SPAWN: %s contacted \"%s\" before it opened its own script, so a start-up file did it",
		[start.process, text.safe(c.address)],
	) |
		some start in _starts
		some c in input.processes[start.index].network.connections
		c.family in {"AF_INET", "AF_INET6"}
		not _tries_protocol(c)
		_before(c.timestamp, start)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_CHILD_SPAWN: %s opened \"%s\" before it opened its own script, so a start-up file did it",
		[start.process, text.safe(access.path)],
	) |
		some start in _starts
		some access in credentials.accesses
		access.pid == start.pid
		access.severity in {"CRITICAL", "HIGH"}
		some o in input.processes[start.index].fileOps.opens
		o.path == access.path
		_before(o.timestamp, start)
	})
}

# METADATA
# title: A start-up file that the installer did not write
# description: A process other than the installer created, replaced or linked a start-up file in a site directory.
# custom:
#   id: PTH_WRITE_OUTSIDE_PIP
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: "setup.py develop, which no installation from an index runs"
#   solution: Do not install it; a build has nothing to write there.
#   needs: writes, renames, links
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_WRITE_OUTSIDE_PIP: %s wrote the start-up file \"%s\", which only the installer may do",
		[change.process, text.safe(change.path)],
	) |
		some change in _foreign_changes
		startup.file(change.path)
	})
}

# METADATA
# title: A name of known attacks
# description: A .pth file is called like those of known attacks.
# custom:
#   id: PTH_SETUP_NAME
#   severity: HIGH
#   attack: T1546.018
#   incidents: [litellm 1.82.8, Hades]
#   false_positives: none in the ecosystem
#   solution: Do not install it until its owner explains the file.
#   needs: written files, or product
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_SETUP_NAME: \"%s\" is called like the start-up files of known attacks",
		[text.safe(path)],
	) |
		some path in _path_files
		regex.match(startup_files.setup_names.pattern, process.base(path))
	})
}

# METADATA
# title: A large start-up file
# description: A .pth file with an executable line is larger than 2 KiB, or has a line of more than 600 characters.
# custom:
#   id: PTH_LARGE
#   severity: HIGH
#   attack: T1027
#   incidents: [litellm 1.82.8, elementary-data]
#   false_positives: none; the longest honest line is about 530 characters
#   solution: Do not install it; a payload is packed into the file.
#   needs: lines and sizes of the .pth files in pip-install
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_LARGE: \"%s\" has an executable line and is too large to be anything but a payload",
		[text.safe(path)],
	) |
		some path in _path_files
		count(_foreign_lines(path)) > 0
		_large(path)
	})
}

# METADATA
# title: What no start-up line needs
# description: An executable line of a .pth file starts programs, uses the network, decodes or compiles.
# custom:
#   id: PTH_CONTENT
#   severity: CRITICAL
#   attack: T1059.006
#   incidents: [litellm 1.82.8, Hades]
#   false_positives: none among files that are not known by their content
#   solution: Do not install it; delete the file from every environment that has it.
#   needs: lines of the .pth files in pip-install
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_CONTENT: \"%s\" uses \"%s\" at every start of Python, which no start-up line needs",
		[text.safe(path), text.safe(found)],
	) |
		some path in _path_files
		some line in _foreign_lines(path)
		found := regex.find_n(startup_files.content.pattern, concat(" ", array.concat([line], _calls(path, line))), 1)[0]
	})
}

# METADATA
# title: The user's own site directory
# description: A start-up file was put below the home directory, where every Python of the user reads it.
# custom:
#   id: PTH_USER_SITE
#   severity: HIGH
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: Installations with the installer's --user option.
#   solution: Do not install it; look into that directory on machines where it ran.
#   needs: writes, renames, links
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_USER_SITE: \"%s\" is read by every Python of this user, outside the environment that was installed into",
		[text.safe(path)],
	) |
		some path in _startup_files
		startup.user_site(path)
		not _environment_site(path)
	})
}

# METADATA
# title: sitecustomize
# description: A top-level sitecustomize or usercustomize module was installed or written.
# custom:
#   id: PTH_SITECUSTOMIZE
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: none; packages that use one keep it in their own directory
#   solution: Do not install it.
#   needs: written files, or product
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_SITECUSTOMIZE: \"%s\" runs at every start of Python and is for the machine's owner, not for a package",
		[text.safe(path)],
	) |
		some path in _startup_files
		startup.customization(path)
	})
}

# METADATA
# title: The interpreter or another package changed
# description: >-
#   A process that is not the installer wrote to the standard library, to the
#   environment's configuration, or to installed packages.
# custom:
#   id: PTH_STDLIB_TAMPER
#   severity: CRITICAL
#   attack: T1554
#   incidents: [CanisterSprawl]
#   false_positives: "setup.py install, which pip before 23.1 runs for old sdists and which is left out"
#   solution: Do not install it; recreate the environment.
#   needs: writes, renames, links, deletes
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_STDLIB_TAMPER: %s changed \"%s\", which belongs to the interpreter or to an installed package",
		[change.process, text.safe(change.path)],
	) |
		some change in _foreign_changes
		_interpreter_file(change.path)
		not startup.file(change.path)
	})
}

# METADATA
# title: A search path to elsewhere
# description: A path line of a .pth file adds a directory outside the environment to the module search path.
# custom:
#   id: PTH_PATH_HIJACK
#   severity: HIGH
#   attack: T1574
#   incidents: [technique only]
#   false_positives: Editable installs of a local directory.
#   solution: Do not install it; modules from that directory can stand in for others.
#   needs: lines of the .pth files in pip-install
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_PATH_HIJACK: \"%s\" adds \"%s\", outside the environment, to where modules are looked for",
		[text.safe(path), text.safe(line)],
	) |
		some path in _path_files
		some line in _details[path].pathLines
		is_string(line)
		_outside(line)
		not _editable(path)
	})
}

# METADATA
# title: A hidden start-up file
# description: The name of a start-up file begins with a dot or holds characters that are not ASCII.
# custom:
#   id: PTH_HIDDEN
#   severity: HIGH
#   attack: T1564.001
#   incidents: [technique only]
#   false_positives: none
#   solution: Do not install it.
#   needs: written files, or product
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_HIDDEN: \"%s\" has a name that hides it from a look at the directory",
		[text.safe(path)],
	) |
		some path in _path_files
		_hidden(process.base(path))
	})
}

# METADATA
# title: A known name of another owner
# description: A start-up file has the name of one that is known from another distribution, which did not install it.
# custom:
#   id: PTH_DUPLICATE_OWNER
#   severity: HIGH
#   attack: T1036.005
#   incidents: [technique only]
#   false_positives: none known
#   solution: Do not install it; it hides behind another distribution's file.
#   needs: written files, owners of the .pth files or packages of pip-install
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:PTH_DUPLICATE_OWNER: \"%s\" has the name of a file of %s, which did not install it",
		[text.safe(path), concat(", ", known.owners)],
	) |
		_installation_known
		some path in _path_files
		some known in startup_files.allowed
		known.name == process.base(path)
		not _owner_fits(path, known)
	})
}

# METADATA
# title: A start-up file that belongs to nobody
# description: No distribution's RECORD lists the start-up file, so an uninstallation leaves it behind.
# custom:
#   id: PTH_UNOWNED
#   severity: CRITICAL
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: Environments whose maker puts one there before the installation, which is not reported.
#   solution: Do not install it; delete the file.
#   needs: owners of the .pth files in pip-install
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:PTH_UNOWNED: \"%s\" runs at every start of Python and no distribution lists it as its own",
		[text.safe(path)],
	) |
		some path in _startup_files
		_unowned(path)
	})
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

not_evaluated contains sprintf("%s: the lines of \"%s\" are not in the evidence", [id, text.safe(path)]) if {
	some path in _path_files
	endswith(path, ".pth")
	not _read[path]
	not _known_digest(path)
	some id in ["PTH_CONTENT", "PTH_LARGE", "PTH_PATH_HIJACK"]
}

not_evaluated contains "PTH_UNOWNED: the owners of start-up files are not in the evidence" if {
	count(_startup_files) > 0
	not input["pip-install"].installedFileAnalysis.unownedFiles
}

_needs := {
	"PTH_CHILD_SPAWN": {"openat", "execve", "connect"},
	"PTH_WRITE_OUTSIDE_PIP": {"openat", "openat2", "renameat2", "linkat", "symlinkat"},
	"PTH_STDLIB_TAMPER": {"openat", "openat2", "renameat2", "linkat", "symlinkat", "unlinkat"},
}

# Start-up files that the step made, by any of three witnesses: the tree, the
# writes, and the installer's files.
_startup_files contains path if {
	some path, _ in input.product
	startup.file(path)
}

_startup_files contains path if {
	some proc in input.processes
	some path in _written(proc)
	startup.file(path)
}

_startup_files contains path if {
	some path in _listed
	startup.file(path)
	not _there_before(path)
}

# Whether the machine has IPv6 is tried by binding any port, which contacts nobody.
_tries_protocol(c) if {
	c.syscall == "bind"
	object.get(c, "port", 0) == 0
}

# What the pip-install attestation lists, in its form and in that of others.
_listed contains path if some path, _ in _details

_listed contains path if {
	some path in input["pip-install"].installedFileAnalysis.pthFiles
	is_string(path)
}

_listed contains path if {
	some path in input["pip-install"].installedFileAnalysis.startupModules
	is_string(path)
}

# The environment had it before the installation, unchanged.
_there_before(path) if {
	_trail[path]
	not _products[path]
}

_trail := input.omnitrail.Envelope.mapping

_products := input.product

_path_files contains path if {
	some path in _startup_files
	startup.path_file(path)
}

# Paths that a process made or replaced.
_written(proc) := union({
	{w.path | some w in proc.fileOps.writes; is_string(w.path)},
	_succeeded(proc, "renames", "newPath"),
	_succeeded(proc, "links", "path"),
})

_deleted(proc) := _succeeded(proc, "deletes", "path") | _succeeded(proc, "renames", "oldPath")

_succeeded(proc, operation, field) := {o[field] |
	some o in proc.fileOps[operation]
	is_string(o[field])
	object.get(o, "errno", "") == ""
}

_foreign_changes contains {"path": path, "process": process.describe(proc)} if {
	some proc in input.processes
	process.role(proc) != "installer"
	some path in (_written(proc) | _deleted(proc))
	_where_it_matters(path)
	not startup.compiled(path)
	not _legacy_install(proc)
}

_where_it_matters(path) if _interpreter_file(path)

_where_it_matters(path) if startup.file(path)

_interpreter_file(path) if _environment_site(path)

_interpreter_file(path) if {
	contains(path, "/lib/python3")
	some prefix in input.coverage.sandbox.basePrefixes
	startswith(path, sprintf("%s/", [prefix]))
}

_interpreter_file(path) if path == sprintf("%s/pyvenv.cfg", [input.coverage.sandbox.prefix])

_interpreter_file(path) if {
	endswith(path, "._pth")
	process.under(path, input.coverage.sandbox.prefix)
}

_environment_site(path) if {
	some directory in input.coverage.sandbox.sitePackages
	startswith(path, sprintf("%s/", [directory]))
}

# setup.py install, as pip before 23.1 starts it for an sdist without a wheel:
# the build itself puts the files in place.
_legacy_install(proc) if {
	process.role(proc) == "build-child"
	some argument in proc.args
	argument == "install"
	some option in proc.args
	option == "--record"
	some parent in input.processes
	parent.processid == proc.parentpid
	process.role(parent) == "installer"
}

# What the pip-install attestation says of a file: path, size, sha256, owner,
# executableLines, pathLines.
_details[path] := detail if {
	some path, details in _all_details
	detail := details[0]
}

_all_details[path] := [detail |
	some detail in input["pip-install"].installedFileAnalysis.pthFiles
	detail.path == path
] if {
	some found in input["pip-install"].installedFileAnalysis.pthFiles
	path := found.path
	is_string(path)
}

_read[path] if {
	some path, detail in _details
	is_array(detail.executableLines)
	object.get(detail, "error", "") == ""
}

_digest(path) := input.product[path].digest.sha256

_digest(path) := _details[path].sha256 if not input.product[path].digest.sha256

# The content of an honest distribution's file, in that distribution: the same
# line in another one would import what that one brings.
_known_digest(path) if {
	some known in startup_files.allowed
	known.name == process.base(path)
	_digest(path) in known.sha256
	_owner_fits(path, known)
}

_owner_fits(path, known) if {
	some owner in known.owners
	_plain(owner) == _plain(_details[path].owner)
}

_owner_fits(path, known) if {
	not _details[path]
	some dist in input["pip-install"].packages
	some owner in known.owners
	_plain(owner) == _plain(dist.name)
}

_owner_fits(_, _) if not _installation_known

_installation_known if input["pip-install"]

_unowned(path) if {
	detail := _details[path]
	object.get(detail, "owner", "") == ""
}

_unowned(path) if path in input["pip-install"].installedFileAnalysis.unownedFiles

# Executable lines that are not known from honest distributions.
_foreign_lines(path) := lines if {
	not _known_digest(path)
	detail := _details[path]
	lines := {line.text |
		some line in detail.executableLines
		is_string(line.text)
		not _known_line(path, trim_space(line.text))
	}
}

_calls(path, text_of) := [call |
	some line in _details[path].executableLines
	line.text == text_of
	some call in line.calls
	is_string(call)
]

_known_line(path, line) if {
	some known in startup_files.allowed
	known.name == process.base(path)
	line in {trim_space(l) | some l in known.lines}
	_owner_fits(path, known)
}

_known_line(path, line) if {
	some template in startup_files.templates
	regex.match(template.names, process.base(path))
	regex.match(template.line, line)
	_template_fits(template, path)
}

_template_fits(template, _) if not template.editable

_template_fits(template, path) if {
	template.editable
	_editable(path)
}

_large(path) if _details[path].size > 2048

_large(path) if {
	some line in _foreign_lines(path)
	count(line) > 600
}

_outside(line) if {
	startswith(line, "/")
	not _in_environment(trim_space(line))
}

_outside(line) if contains(line, "..")

_in_environment(path) if process.under(path, input.coverage.sandbox.prefix)

_editable(path) if {
	some dist in input["pip-install"].packages
	dist.installType == "editable"
	contains(_plain(process.base(path)), _plain(dist.name))
}

_plain(name) := regex.replace(lower(name), `[^a-z0-9]`, "") if is_string(name)

_hidden(name) if startswith(name, ".")

_hidden(name) if regex.match(`[^ -~]`, name)

# Python processes that were started on a script: when they opened it.
_starts contains start if {
	some index, proc in input.processes
	process.role(proc) in {"installer", "build-child", "build-frontend", "import-harness"}
	script := [argument |
		some at, argument in proc.args
		at in {1, 2}
		is_string(argument)
		startswith(argument, "/")
	][0]
	endswith(script, ".py")
	opened := [_clock(o.timestamp) |
		some o in proc.fileOps.opens
		o.path == script
	]
	count(opened) > 0
	start := {
		"pid": proc.processid,
		"at": min(opened),
		"born": _clock(proc.starttime),
		"index": index,
		"process": process.describe(proc),
	}
}

_before(timestamp, start) if _clock(timestamp) < start.at

# Times of evidence are RFC 3339 in UTC: without the Z they sort as text, whatever the
# number of their decimals.
_clock(timestamp) := trim_suffix(timestamp, "Z") if is_string(timestamp)
