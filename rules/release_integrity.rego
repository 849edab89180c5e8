# METADATA
# title: Whether files are what was released
# description: >-
#   RECORD against the installed tree and the wheel, the structure of the archive, what the index says
#   of the release, and names that belong to others.
# related_resources:
#   - ref: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
#   - ref: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
package pip_witness.release_integrity # regal ignore:file-length

import data.pip_witness.indicators.startup_files
import data.pip_witness.indicators.system_names
import data.pip_witness.lib.distributions
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A file that is not what was recorded
# description: >-
#   An installed file has another digest, size or type than RECORD says, as installed or in the wheel:
#   it was changed after the installation, or the wheel never was what it says. MEDIUM for recorded
#   files that are gone.
# custom:
#   id: REL_RECORD_HASH_MISMATCH
#   severity: CRITICAL
#   attack: T1554
#   incidents: [technique only]
#   false_positives: none measured; files that another distribution overwrote are told apart
#   solution: Do not use the environment.
#   needs: recordCheck and wheelStructure in pip-install
deny contains msg if {
	some p in distributions.packages
	paths := _changed(p)
	count(paths) > 0
	msg := sprintf(
		"CRITICAL:REL_RECORD_HASH_MISMATCH: files of %s are not what is recorded: %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

deny contains msg if {
	some p in distributions.packages
	paths := {path | some path in p.recordCheck.missing; is_string(path); not _byte_code(path)}
	count(paths) > 0
	msg := sprintf(
		"MEDIUM:REL_RECORD_HASH_MISMATCH: recorded files of %s are gone: %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

# METADATA
# title: A file that no RECORD lists
# description: >-
#   A file of a site directory or of a wheel is in no RECORD, or there without a digest, so nobody can tell
#   what it should be.
# custom:
#   id: REL_UNRECORDED_FILE
#   severity: HIGH
#   attack: T1036
#   incidents: [technique only]
#   false_positives: Files beside distributions without RECORD; MEDIUM.
#   solution: Find out what wrote the file.
#   needs: unownedFiles, recordCheck and wheelStructure in pip-install
deny contains msg if {
	paths := {path | some path in input.installedFileAnalysis.unownedFiles; is_string(path); not _byte_code(path)}
	count(paths) > 0
	msg := sprintf(
		"%s:REL_UNRECORDED_FILE: no distribution has recorded %s",
		[_unowned_severity, distributions.sample(paths)],
	)
}

deny contains msg if {
	some p in distributions.every_one
	paths := {path | some path in p.recordCheck.unhashedFiles; is_string(path)} | _members(p, {"unrecorded"})
	count(paths) > 0
	msg := sprintf(
		"HIGH:REL_UNRECORDED_FILE: RECORD of %s does not say what these files are: %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

# METADATA
# title: A distribution without RECORD
# description: An installed distribution has no RECORD, so nothing of it can be compared.
# custom:
#   id: REL_RECORD_MISSING
#   severity: MEDIUM
#   attack: T1036
#   incidents: [technique only]
#   false_positives: Very old distributions, and those of operating systems.
#   solution: Install it from a wheel.
#   needs: packages in pip-install
deny contains msg if {
	some p in distributions.packages
	p.recordedFiles == 0
	not p.installType == "editable"
	msg := sprintf("MEDIUM:REL_RECORD_MISSING: %s has no RECORD", [distributions.describe(p)])
}

# METADATA
# title: Other bytes than the index announced
# description: >-
#   A file that the index or its mirror served has another digest than its page gives. It was withheld from
#   the installer.
# custom:
#   id: REL_DIGEST_MISMATCH
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [technique only]
#   false_positives: Broken mirrors.
#   solution: Ask another index; tell the operator of this one.
#   needs: sources in pip-install
deny contains msg if {
	some problem in input.sources.problems
	problem.kind == "digest-mismatch"
	msg := sprintf(
		"CRITICAL:REL_DIGEST_MISMATCH: \"%s\" is not what the index announced: %s",
		[text.safe(distributions.str(problem, "filename")), text.safe(distributions.str(problem, "message"))],
	)
}

deny contains msg if {
	some v in input.pep740Verification
	some attestation in v.attestations
	attestation.status == "invalid"
	attestation.failed == "digest"
	msg := sprintf(
		"CRITICAL:REL_DIGEST_MISMATCH: \"%s\" has other bytes than its publisher signed",
		[text.safe(distributions.str(v, "filename"))],
	)
}

# METADATA
# title: A release that was withdrawn
# description: >-
#   The index says that the file is yanked. HIGH where the reason tells of malware, a compromise or a
#   security problem.
# custom:
#   id: REL_YANKED
#   severity: HIGH
#   attack: T1195.002
#   incidents: [ultralytics 8.3.41]
#   false_positives: Releases that were broken; MEDIUM.
#   solution: Take another release.
#   needs: files in pip-install
deny contains msg if {
	some p in distributions.every_one
	some f in distributions.files(p)
	reason := distributions.str(f, "yanked")
	reason != ""
	msg := sprintf(
		"%s:REL_YANKED: %s was withdrawn: \"%s\"",
		[_yanked_severity(reason), distributions.describe(p), text.safe(reason)],
	)
}

# METADATA
# title: A project in quarantine
# description: The index says that the project is quarantined, which it does when it suspects malware.
# custom:
#   id: REL_QUARANTINED
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [litellm 1.82.8]
#   false_positives: none known
#   solution: Do not use it before the index has decided.
#   needs: files or indexHistory in pip-install
deny contains msg if {
	some p in distributions.every_one
	_quarantined(p)
	msg := sprintf("CRITICAL:REL_QUARANTINED: the index has the project of %s in quarantine", [distributions.describe(p)])
}

# METADATA
# title: Byte code without source
# description: >-
#   A compiled module has no source beside it. HIGH where an import finds it; MEDIUM in __pycache__,
#   from where only a loader of its own runs it; LOW for another version of Python.
# custom:
#   id: REL_PYC_ONLY
#   severity: HIGH
#   attack: T1027
#   incidents: [fshec2]
#   false_positives: Products that are distributed without source, and left-overs of modules that are gone.
#   solution: Ask for the source.
#   needs: byteCode in pip-install
deny contains msg if {
	some severity, paths in _sourceless
	msg := sprintf("%s:REL_PYC_ONLY: compiled code without its source: %s", [severity, distributions.sample(paths)])
}

# METADATA
# title: Byte code that need not match its source
# description: >-
#   A compiled module is marked to be valid whatever its source says, so what runs can differ from what is
#   read.
# custom:
#   id: REL_PYC_SOURCE_MISMATCH
#   severity: HIGH
#   attack: T1027
#   incidents: [technique only]
#   false_positives: Builds for file systems that are never changed.
#   solution: Compile the sources anew.
#   needs: byteCode in pip-install
deny contains msg if {
	paths := {distributions.str(code, "path") |
		some code in _byte_codes
		"unchecked" in code.why
		not "no-source" in code.why
	}
	count(paths) > 0
	msg := sprintf(
		"HIGH:REL_PYC_SOURCE_MISMATCH: compiled code that is valid whatever its source says: %s",
		[distributions.sample(paths)],
	)
}

# METADATA
# title: A distribution that takes the place of others
# description: >-
#   It installs modules of Python, of the installer, or of another project, overwrites files of another
#   distribution, or files outside the environment. MEDIUM for forks of projects that are not there, and
#   for replacements of modules that Python has taken over; LOW for directories that everybody forgets,
#   such as tests.
# custom:
#   id: REL_OUT_OF_PACKAGE_WRITE
#   severity: HIGH
#   attack: T1574
#   incidents: [technique only]
#   false_positives: Builds of one project under two names that are installed together.
#   solution: Do not install both, or look at what differs.
#   needs: shadows and recordCheck in pip-install
deny contains msg if {
	some p in distributions.packages
	some shadow in p.shadows
	severity := _shadow_severity(shadow)
	msg := sprintf(
		"%s:REL_OUT_OF_PACKAGE_WRITE: %s installs \"%s\", which is the name of %s",
		[severity, distributions.describe(p), text.safe(shadow.name), _belongs(shadow)],
	)
}

deny contains msg if {
	some p in distributions.packages
	some severity, paths in _overwritten(p)
	msg := sprintf(
		"%s:REL_OUT_OF_PACKAGE_WRITE: %s and other distributions install different files in one place: %s",
		[severity, distributions.describe(p), distributions.sample(paths)],
	)
}

deny contains msg if {
	some p in distributions.packages
	paths := {path | some path in p.recordCheck.outside; is_string(path)}
	count(paths) > 0
	msg := sprintf(
		"HIGH:REL_OUT_OF_PACKAGE_WRITE: %s records files outside the environment: %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

deny contains msg if {
	some file in input.installedFileAnalysis.pthFiles
	some known in startup_files.allowed
	endswith(distributions.str(file, "path"), sprintf("/%s", [known.name]))
	owner := distributions.str(file, "owner")
	owner != ""
	not owner in known.owners
	msg := sprintf(
		"HIGH:REL_OUT_OF_PACKAGE_WRITE: \"%s\" installs \"%s\", a start-up file of \"%s\"",
		[text.safe(owner), known.name, concat("\", \"", known.owners)],
	)
}

# METADATA
# title: Files placed past the package
# description: >-
#   The data directory of a wheel puts start-up files or modules into a site directory, or settings where a
#   system reads them.
# custom:
#   id: REL_DATA_SCHEME
#   severity: HIGH
#   attack: T1546.018
#   incidents: [technique only]
#   false_positives: none measured
#   solution: Do not install it.
#   needs: wheelStructure in pip-install
deny contains msg if {
	some p in distributions.every_one
	paths := {path |
		some path in p.wheelStructure.dataFiles
		is_string(path)
		regex.match(system_names.data_files.pattern, path)
	}
	count(paths) > 0
	msg := sprintf(
		"HIGH:REL_DATA_SCHEME: the data directory of %s installs %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

# METADATA
# title: A command under the name of another
# description: >-
#   A console script has the name of a program of the system or of another project. MEDIUM for names that
#   are words as well.
# custom:
#   id: REL_SCRIPT_SHADOW
#   severity: HIGH
#   attack: T1574.007
#   incidents: [command jacking 2024-10]
#   false_positives: Projects that distribute such a program themselves.
#   solution: Do not install it where PATH finds it first.
#   needs: shadows in pip-install
deny contains msg if {
	some p in distributions.packages
	names := {shadow.name | some shadow in p.shadows; shadow.kind == "command"; is_string(shadow.name)}
	some severity, chosen in _commands(names)
	msg := sprintf(
		"%s:REL_SCRIPT_SHADOW: %s installs commands of others: %s",
		[severity, distributions.describe(p), distributions.sample(chosen)],
	)
}

deny contains msg if {
	some p in distributions.candidates
	names := {trim_space(split(entry, "=")[0]) | some entry in p.entryPoints; is_string(entry)}
	taken := {name |
		some name in names
		_known_command(name)
		not distributions.key(p) in object.get(system_names.owners, name, [])
	}
	some severity, chosen in _commands(taken)
	msg := sprintf(
		"%s:REL_SCRIPT_SHADOW: %s would install commands of others: %s",
		[severity, distributions.describe(p), distributions.sample(chosen)],
	)
}

# METADATA
# title: Installed modules that the source has not
# description: The build of a source distribution added or changed Python files.
# custom:
#   id: REL_SDIST_WHEEL_DIFF
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [litellm 1.82.8]
#   false_positives: Builds that generate modules.
#   solution: Compare the named files with the repository.
#   needs: sourceComparison in pip-install
deny contains msg if {
	some p in distributions.packages
	paths := {path |
		some list in [p.sourceComparison.added, p.sourceComparison.changed]
		some path in list
		is_string(path)
		not regex.match(`(^|/)_?_?version_?_?(\.|_info\.)?[a-z]*\.?py$`, path)
	}
	count(paths) > 0
	msg := sprintf(
		"MEDIUM:REL_SDIST_WHEEL_DIFF: the build of %s made files that its source has not: %s",
		[distributions.describe(p), distributions.sample(paths)],
	)
}

# METADATA
# title: Several releases within an hour
# description: Three or more releases of one series were uploaded within an hour.
# custom:
#   id: REL_BURST
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [durabletask 1.4.1]
#   false_positives: Releases that were broken and replaced.
#   solution: Look what changed between them.
#   needs: indexHistory in pip-install
deny contains msg if {
	some p in distributions.packages
	others := [version | some version in distributions.history(distributions.key(p)).burstHour; is_string(version)]
	count(others) >= 2
	msg := sprintf(
		"MEDIUM:REL_BURST: %s was released within an hour of %s",
		[distributions.describe(p), distributions.sample(others)],
	)
}

# METADATA
# title: An archive with two contents
# description: >-
#   Members occur twice, the local headers differ from the directory, paths leave the root, or bytes
#   belong to no member: installers and scanners see different files. HIGH for the latter.
# custom:
#   id: REL_WHEEL_DUPLICATE_ENTRY
#   severity: CRITICAL
#   attack: T1036
#   incidents: [technique only]
#   false_positives: none measured
#   solution: Do not install it.
#   needs: wheelStructure in pip-install
deny contains msg if {
	some p in distributions.every_one
	found := _defects(p, {"duplicate", "local-header"}) | {what | some what in _defects(p, {"name"}); _escapes(what)}
	count(found) > 0
	msg := sprintf(
		"CRITICAL:REL_WHEEL_DUPLICATE_ENTRY: the archive of %s has two contents: %s",
		[distributions.describe(p), distributions.sample(found)],
	)
}

deny contains msg if {
	some p in distributions.every_one
	found := _defects(p, {"archive"})
	count(found) > 0
	msg := sprintf(
		"HIGH:REL_WHEEL_DUPLICATE_ENTRY: readers of the archive of %s see different things: %s",
		[distributions.describe(p), distributions.sample(found)],
	)
}

# METADATA
# title: A wheel that is not as it should be
# description: >-
#   HIGH for a wheel that cannot be read, that holds links or encrypted files, or that unpacks to more
#   than a machine has. MEDIUM for a RECORD that does not fit, LOW for names and tags that only some
#   platforms read differently.
# custom:
#   id: REL_WHEEL_DEFECT
#   severity: HIGH
#   attack: T1036
#   incidents: [technique only]
#   false_positives: Wheels of tools that write them by hand; MEDIUM or LOW.
#   solution: Build the wheel anew.
#   needs: wheelStructure in pip-install
deny contains msg if {
	some p in distributions.every_one
	some severity, kinds in {"HIGH": {"type", "size"}, "MEDIUM": {"record"}, "LOW": {"folded", "tags", "data"}}
	found := _defects(p, kinds)
	count(found) > 0
	msg := sprintf(
		"%s:REL_WHEEL_DEFECT: the wheel of %s is not as it should be: %s",
		[severity, distributions.describe(p), distributions.sample(found)],
	)
}

deny contains msg if {
	some p in distributions.every_one
	error := distributions.str(object.get(p, "wheelStructure", {}), "error")
	error != ""
	msg := sprintf(
		"HIGH:REL_WHEEL_DEFECT: the wheel of %s cannot be read: \"%s\"",
		[distributions.describe(p), text.safe(error)],
	)
}

deny contains msg if {
	some p in distributions.every_one
	found := {what | some what in _defects(p, {"name"}); not _escapes(what)} | {what |
		some what in _defects(p, {"metadata"})
		not _skewed(what)
	}
	count(found) > 0
	msg := sprintf(
		"MEDIUM:REL_WHEEL_DEFECT: the wheel of %s is not as it should be: %s",
		[distributions.describe(p), distributions.sample(found)],
	)
}

# METADATA
# title: Metadata of more than one distribution
# description: A wheel has more than one metadata directory, or none, so it can pass for another distribution.
# custom:
#   id: REL_MULTI_DIST_INFO
#   severity: HIGH
#   attack: T1036.005
#   incidents: [technique only]
#   false_positives: none measured
#   solution: Do not install it.
#   needs: wheelStructure in pip-install
deny contains msg if {
	some p in distributions.every_one
	found := _defects(p, {"info"})
	count(found) > 0
	msg := sprintf(
		"HIGH:REL_MULTI_DIST_INFO: the wheel of %s has %s",
		[distributions.describe(p), distributions.sample(found)],
	)
}

deny contains msg if {
	some problem in input.problems
	is_string(problem)
	contains(problem, "more than one metadata directory")
	msg := sprintf("HIGH:REL_MULTI_DIST_INFO: in the environment, \"%s\"", [text.safe(problem)])
}

# METADATA
# title: Metadata that contradicts the file name
# description: Name or version in the metadata are not those of the file.
# custom:
#   id: REL_NAME_VERSION_SKEW
#   severity: CRITICAL
#   attack: T1036.005
#   incidents: [technique only]
#   false_positives: none measured
#   solution: Do not install it.
#   needs: wheelStructure in pip-install
deny contains msg if {
	some p in distributions.every_one
	found := {what | some what in _defects(p, {"metadata"}); _skewed(what)}
	count(found) > 0
	msg := sprintf(
		"CRITICAL:REL_NAME_VERSION_SKEW: the wheel of %s contradicts itself: %s",
		[distributions.describe(p), distributions.sample(found)],
	)
}

# METADATA
# title: A release that is much larger
# description: >-
#   The file is more than five times, and more than a mebibyte, larger than that of the release before it,
#   of the same form.
# custom:
#   id: REL_SIZE_JUMP
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [lightning 2.6.2]
#   false_positives: Releases that bundle something new.
#   solution: Look what was added.
#   needs: pep740Verification with earlier releases in pip-install
deny contains msg if {
	some v in input.pep740Verification
	some p in distributions.packages
	distributions.key(p) == distributions.normal(distributions.str(v, "package"))
	some f in distributions.files(p)
	before := v.earlier.releases[0]
	_same_form(distributions.str(f, "filename"), distributions.str(before, "filename"))
	before.size > 0
	is_number(f.size)
	f.size > 5 * before.size
	f.size - before.size > 1048576
	msg := sprintf(
		"MEDIUM:REL_SIZE_JUMP: %s has %d bytes, the release before it %d",
		[distributions.describe(p), f.size, before.size],
	)
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some prefix, ids in {
		"packages[].recordCheck": ["REL_RECORD_HASH_MISMATCH", "REL_UNRECORDED_FILE", "REL_OUT_OF_PACKAGE_WRITE"],
		"recordCheck.": ["REL_RECORD_HASH_MISMATCH", "REL_OUT_OF_PACKAGE_WRITE"],
		"packages[].wheelStructure": [
			"REL_WHEEL_DUPLICATE_ENTRY",
			"REL_WHEEL_DEFECT",
			"REL_NAME_VERSION_SKEW",
			"REL_MULTI_DIST_INFO",
			"REL_DATA_SCHEME",
		],
		"wheelStructure.": ["REL_WHEEL_DUPLICATE_ENTRY", "REL_WHEEL_DEFECT", "REL_DATA_SCHEME"],
		"packages[].shadows": ["REL_SCRIPT_SHADOW", "REL_OUT_OF_PACKAGE_WRITE"],
		"packages[].sourceComparison": ["REL_SDIST_WHEEL_DIFF"],
	}
	some reason in distributions.not_examined(prefix)
	some id in ids
}

not_evaluated contains sprintf("%s: the index said nothing of %s", [id, distributions.describe(p)]) if {
	some p in distributions.packages
	not distributions.history(distributions.key(p))
	some id in ["REL_BURST", "REL_QUARANTINED", "REL_YANKED"]
}

not_evaluated contains sprintf(
	"REL_QUARANTINED: the index of %s gives no project status",
	[distributions.describe(p)],
) if {
	some p in distributions.packages
	"project-status" in distributions.history(distributions.key(p)).notOffered
}

not_evaluated contains sprintf("%s: the installed files were not compared with RECORD", [id]) if {
	count(distributions.packages) > 0
	every p in distributions.packages {
		not _compared(p)
	}
	some id in ["REL_RECORD_HASH_MISMATCH", "REL_UNRECORDED_FILE"]
}

_compared(p) if is_object(p.recordCheck)

_changed(p) := {distributions.str(m, "path") |
	some m in p.recordCheck.mismatches
	distributions.str(m, "why") in {"", "type", "link"}
	not _byte_code(distributions.str(m, "path"))
	not distributions.str(m, "path") in _shared(p)
} | {path |
	some path in p.wheelStructure.changed
	is_string(path)
	not _byte_code(path)
	not path in _shared(p)
}

_byte_code(path) if regex.match(`\.py[co](\.[0-9]+)?$|/__pycache__/`, path)

# Files that several distributions record: whoever came last wrote them.
_shared(p) := {distributions.str(o, "path") | some o in p.recordCheck.overwritten}

# Without a RECORD nothing can be told of the files around it.
_unowned_severity := "MEDIUM" if {
	some p in distributions.packages
	p.recordedFiles == 0
}

_unowned_severity := "HIGH" if {
	every p in distributions.packages {
		not p.recordedFiles == 0
	}
}

_members(p, kinds) := {distributions.str(d, "member") | some d in p.wheelStructure.defects; d.kind in kinds}

_defects(p, kinds) := {trim_space(sprintf("%s %s", [distributions.str(d, "member"), distributions.str(d, "what")])) |
	some d in p.wheelStructure.defects
	d.kind in kinds
}

_escapes(what) if regex.match(`its path (leaves|is absolute|names a drive)|a backslash in its path`, what)

_skewed(what) if regex.match(`the (name|version) is "|the directory is not that of`, what)

_yanked_severity(reason) := "HIGH" if _alarming(reason)

_yanked_severity(reason) := "MEDIUM" if not _alarming(reason)

_alarming(reason) if regex.match(`(?i)malicious|malware|compromis|backdoor|hijack|stolen|supply.chain`, reason)

_quarantined(p) if {
	some f in distributions.files(p)
	f.projectStatus == "quarantined"
}

_quarantined(p) if distributions.history(distributions.key(p)).projectStatus == "quarantined"

_byte_codes contains code if {
	some code in input.installedFileAnalysis.byteCode
	is_array(code.why)
}

_sourceless[severity] contains distributions.str(code, "path") if {
	some code in _byte_codes
	"no-source" in code.why
	severity := _sourceless_severity(distributions.str(code, "path"))
}

_sourceless_severity(path) := "HIGH" if not contains(path, "/__pycache__/")

_sourceless_severity(path) := "MEDIUM" if {
	contains(path, "/__pycache__/")
	_own_tag(path)
}

_sourceless_severity(path) := "LOW" if {
	contains(path, "/__pycache__/")
	not _own_tag(path)
}

_own_tag(path) if {
	parts := split(distributions.str(input, "pythonVersion"), ".")
	contains(path, sprintf(".cpython-%s%s.", [parts[0], parts[1]]))
}

_installed contains distributions.key(p) if some p in distributions.packages

_shadow_severity(shadow) := "HIGH" if {
	shadow.kind == "standard-library"
	not shadow.name in system_names.backports.modules
}

_shadow_severity(shadow) := "MEDIUM" if {
	shadow.kind == "standard-library"
	shadow.name in system_names.backports.modules
}

_shadow_severity(shadow) := "HIGH" if {
	shadow.kind == "other-project"
	_taken(shadow)
}

_shadow_severity(shadow) := "MEDIUM" if {
	shadow.kind == "other-project"
	not _taken(shadow)
}

# A project that is there as well, or what installs distributions.
_taken(shadow) if {
	some owner in shadow.of
	owner in _installed
}

_taken(shadow) if {
	some owner in shadow.of
	owner in system_names.installers.projects
}

_belongs(shadow) := "a module of Python" if shadow.kind == "standard-library"

_belongs(shadow) := sprintf(
	"\"%s\"",
	[text.safe(concat("\", \"", sort([owner | some owner in shadow.of; is_string(owner)])))],
) if {
	shadow.kind == "other-project"
}

_overwritten(p) := {severity: paths |
	some severity in ["HIGH", "MEDIUM", "LOW"]
	paths := {distributions.str(o, "path") |
		some o in p.recordCheck.overwritten
		o.sameContent == false
		_overwritten_severity(p, distributions.str(o, "path")) == severity
	}
	count(paths) > 0
}

_overwritten_severity(p, path) := "LOW" if _careless(_within(p, path))

_overwritten_severity(p, path) := "MEDIUM" if {
	not _careless(_within(p, path))
	_namespace(_within(p, path))
}

_overwritten_severity(p, path) := "HIGH" if {
	not _careless(_within(p, path))
	not _namespace(_within(p, path))
}

_within(p, path) := trim_prefix(path, sprintf("%s/", [distributions.str(p, "location")]))

_careless(rest) if split(rest, "/")[0] in system_names.careless.directories

_careless(rest) if regex.match(`(?i)^(license|licence|readme|changelog|changes|authors|notice|copying)[^/]*$`, rest)

# Old namespace packages have an __init__.py of each distribution's own.
_namespace(rest) if regex.match(`^[^/]+(/[^/]+)?/__init__\.py$`, rest)

_known_command(name) if name in system_names.commands.names

_known_command(name) if name in system_names.words.names

_commands(names) := {severity: chosen |
	some severity in ["HIGH", "MEDIUM"]
	chosen := {name | some name in names; _command_severity(name) == severity}
	count(chosen) > 0
}

_command_severity(name) := "HIGH" if _serious(name)

_command_severity(name) := "MEDIUM" if not _serious(name)

_serious(name) if trim_right(name, "0123456789.") in system_names.commands.names

_same_form(a, b) if {
	endswith(a, ".whl")
	endswith(b, ".whl")
	_form(a) == _form(b)
}

_same_form(a, b) if {
	regex.match(`\.(tar\.gz|zip)$`, a)
	regex.match(`\.(tar\.gz|zip)$`, b)
}

_pure(filename) if endswith(filename, "-none-any.whl")

_form(filename) := "pure" if _pure(filename)

_form(filename) := "platform" if not _pure(filename)
