# Distributions of a run, and which of them are known to be malicious.
package pip_witness.lib.releases

import data.pip_witness.indicators.compromised_releases
import data.pip_witness.lib.distributions
import data.pip_witness.lib.opens
import data.pip_witness.lib.process

import rego.v1

# normal_version(version) is a version without what PEP 440 ignores: a leading v, and
# zeros at the end of the release.
normal_version(version) := regex.replace(trim_prefix(lower(version), "v"), `^([0-9!]+(?:\.[0-9]+)*?)(?:\.0+)*$`, "$1")

# known(name, version) are the entries of the list that this release matches.
known(name, version) := {entry |
	some order, _ in _by_name[distributions.normal(name)]
	entry := compromised_releases.releases[order]
	some listed in entry.versions
	_same(listed, version)
}

_same("*", _)

_same(listed, version) if normal_version(listed) == normal_version(version)

_by_name := object.union_n([{distributions.normal(entry.name): {order: true}} |
	some order, entry in compromised_releases.releases
])

# present are the releases of this run, each with how that is known: from the
# metadata of the installation, from a directory of metadata that was opened or
# written where there is no such metadata, and from what an installer was asked for.
present contains {"name": item.name, "version": item.version, "how": "is installed"} if {
	some item in packages
	is_string(item.name)
	is_string(item.version)
}

present contains release if {
	count(packages) == 0
	some path in _metadata_paths
	some parts in regex.find_all_string_submatch_n(
		`/(?:site|dist)-packages/([A-Za-z0-9][A-Za-z0-9._]*)-([^/-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info(?:/|$)`,
		path, 1,
	)
	release := {"name": parts[1], "version": parts[2], "how": "is installed"}
}

present contains release if {
	some line in _requests
	some parts in regex.find_all_string_submatch_n(
		`(?:^|[\s"',/])([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]\s]*\])?\s?={2,3}\s?([0-9][A-Za-z0-9.!+_-]*)`,
		line, 500,
	)
	release := {"name": parts[1], "version": parts[2], "how": "was asked for"}
}

present contains release if {
	some line in _requests
	some parts in regex.find_all_string_submatch_n(
		`(?:^|[\s"',/=])([A-Za-z0-9][A-Za-z0-9._]*)-([0-9][A-Za-z0-9.!+_]*)-[^\s"'/]*\.whl\b`,
		line, 500,
	)
	release := {"name": parts[1], "version": parts[2], "how": "was asked for"}
}

present contains release if {
	some line in _requests
	some parts in regex.find_all_string_submatch_n(
		`(?:^|[\s"',/=])([A-Za-z0-9][A-Za-z0-9._-]*)-([0-9][A-Za-z0-9.!+_]*)\.(?:tar\.gz|zip)\b`,
		line, 500,
	)
	release := {"name": parts[1], "version": parts[2], "how": "was asked for"}
}

# packages are what the attestation of the installation lists, this step's or the
# one's that this step reads.
packages contains item if {
	some item in input["pip-install"].packages
}

packages contains item if {
	some step in input.steps
	some item in step["pip-install"].packages
}

_metadata_paths contains path if {
	some path in opens.read_paths
	strings.any_suffix_match(path, _metadata_files)
}

_metadata_paths contains written.path if {
	some proc in input.processes
	some written in proc.fileOps.writes
	is_string(written.path)
	strings.any_suffix_match(written.path, _metadata_files)
}

_metadata_files := {"-info/METADATA", "-info/PKG-INFO", "-info/RECORD", ".dist-info", ".egg-info"}

# Arguments of installers that may name a release.
_requests contains line if {
	some proc in input.processes
	some line in _lines(proc)
	regex.match(`==|\.whl\b|\.tar\.gz\b|\.zip\b`, line)
	_installs(proc, line)
}

_lines(proc) := _command_line(proc) | {line |
	some attempt in proc.execs
	is_array(attempt.argv)
	line := concat(" ", [argument | some argument in attempt.argv; is_string(argument)])
}

_command_line(proc) := {proc.cmdline | is_string(proc.cmdline)}

_installs(proc, _) if process.role(proc) == "installer"

_installs(_, line) if regex.match(
	`\b(pip|pip3|uv|pipx|poetry|pdm|conda|mamba)\b.*\b(install|add|download|wheel|sync|run)\b`,
	line,
)
