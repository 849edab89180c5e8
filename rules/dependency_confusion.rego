# METADATA
# title: Where distributions came from
# description: >-
#   Which indexes the installer was told to ask, which one answered for a name that another one has as
#   well, and versions and addresses that do not fit.
# related_resources:
#   - ref: https://attack.mitre.org/techniques/T1195/001/
package pip_witness.dependency_confusion # regal ignore:file-length

import data.pip_witness.indicators.internal_names
import data.pip_witness.indicators.lookalike_hosts
import data.pip_witness.lib.distributions
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: More than one index
# description: >-
#   The installer asks further indexes and takes the highest version that any of them has. CRITICAL
#   where the default index answered for a project of a private one with a project of its own that is
#   new or hardly has releases.
# custom:
#   id: DEPCONF_EXTRA_INDEX
#   severity: CRITICAL
#   attack: T1195.001
#   incidents: [torchtriton 2022-12, internal names of 2021]
#   false_positives: Indexes of hardware vendors beside the default one; MEDIUM.
#   solution: Ask one index that mirrors the others, or name the index of each project.
#   needs: sources in pip-install, or the installer's arguments
deny contains msg if {
	some location in _extra
	msg := sprintf(
		"MEDIUM:DEPCONF_EXTRA_INDEX: the installer also asks \"%s\" for every name and takes the highest version",
		[text.safe(location)],
	)
}

deny contains msg if {
	some rival in _rivals
	rival.scope == "default"
	rival.other_scope == "private"
	msg := sprintf(
		"CRITICAL:DEPCONF_EXTRA_INDEX: %s came from \"%s\", where it is new; it is a project of the private index \"%s\"",
		[rival.what, rival.index, rival.other],
	)
}

# METADATA
# title: Another index than the one that has the project
# description: >-
#   Two indexes offer the project, and the file came from the one that has hardly a release of it and
#   whose version is far above those of the other; or from an index that the installer was not told to
#   ask.
# custom:
#   id: DEPCONF_UNEXPECTED_SOURCE
#   severity: HIGH
#   attack: T1195.001
#   incidents: [torchtriton 2022-12]
#   false_positives: none known
#   solution: Do not use the file; name the index of the project.
#   needs: sources and offers in pip-install
deny contains msg if {
	some rival in _rivals
	msg := sprintf(
		"HIGH:DEPCONF_UNEXPECTED_SOURCE: %s came from \"%s\", which hardly has it; \"%s\" has it up to \"%s\"",
		[rival.what, rival.index, rival.other, rival.highest],
	)
}

deny contains msg if {
	count(_configured) > 0
	some p in distributions.packages
	some f in distributions.files(p)
	index := distributions.str(f, "index")
	index != ""
	not _bare(index) in _configured
	msg := sprintf(
		"HIGH:DEPCONF_UNEXPECTED_SOURCE: %s came from \"%s\", which the installer was not told to ask",
		[distributions.describe(p), text.safe(index)],
	)
}

# METADATA
# title: A version that nobody counts up to
# description: >-
#   The first number is 90 or more and neither a year nor a date, in a project with hardly any releases:
#   the highest version wins where several indexes are asked. MEDIUM for a file of the user's own, and
#   for a jump of ten or more.
# custom:
#   id: DEPCONF_VERSION_ANOMALY
#   severity: HIGH
#   attack: T1195.001
#   incidents: [internal names of 2021, torchtriton 2022-12]
#   false_positives: Projects that follow the version of another product and are new.
#   solution: Look whether the project is the one that you mean.
#   needs: packages in pip-install
deny contains msg if {
	some p in distributions.every_one
	version := distributions.str(p, "version")
	distributions.absurd(version)
	not _many(p)
	msg := sprintf(
		"%s:DEPCONF_VERSION_ANOMALY: %s has a version that a project with few releases does not get to",
		[_absurd_severity(p), distributions.describe(p)],
	)
}

deny contains msg if {
	some p in distributions.packages
	some anomaly in distributions.history(distributions.key(p)).anomalies
	anomaly.kind == "jump"
	msg := sprintf(
		"MEDIUM:DEPCONF_VERSION_ANOMALY: %s is far above every release before it: %s",
		[distributions.describe(p), text.safe(anomaly.text)],
	)
}

# METADATA
# title: An internal name from a public place
# description: >-
#   The name is one that the policy declares internal, or looks like one, and the file came from no
#   private index. HIGH for declared names, and where the project is also new and says nothing of
#   itself.
# custom:
#   id: DEPCONF_INTERNAL_NAME
#   severity: HIGH
#   attack: T1195.001
#   incidents: [internal names of 2021]
#   false_positives: Public projects with such a word in their name; MEDIUM or LOW.
#   solution: Register the name, or ask only the private index for it.
#   needs: packages in pip-install; internal_names of the policy
deny contains msg if {
	some p in distributions.packages
	severity := _internal_severity(p)
	msg := sprintf(
		"%s:DEPCONF_INTERNAL_NAME: %s has an internal name and came from \"%s\"",
		[severity, distributions.describe(p), text.safe(_origin(p))],
	)
}

# METADATA
# title: Distributions of several indexes
# description: The installed distributions came from more than one index.
# custom:
#   id: DEPCONF_MIXED_INDEX
#   severity: MEDIUM
#   attack: T1195.001
#   incidents: [torchtriton 2022-12]
#   false_positives: Indexes of hardware vendors beside the default one.
#   solution: Ask one index that mirrors the others.
#   needs: files in pip-install
deny contains msg if {
	indexes := {_bare(index) |
		some p in distributions.packages
		some f in distributions.files(p)
		index := distributions.str(f, "index")
		index != ""
	}
	count(indexes) > 1
	msg := sprintf(
		"MEDIUM:DEPCONF_MIXED_INDEX: distributions came from \"%s\"",
		[text.safe(concat("\", \"", sort(indexes)))],
	)
}

# METADATA
# title: An index without encryption
# description: >-
#   The installer asks an index of another machine over http, so whoever is on the way chooses what is
#   installed.
# custom:
#   id: DEPCONF_HTTP_INDEX
#   severity: HIGH
#   attack: T1557
#   incidents: [technique only]
#   false_positives: Indexes inside one's own network; use https there too.
#   solution: Use https.
#   needs: sources in pip-install, or the installer's arguments
deny contains msg if {
	some location in _cleartext
	msg := sprintf("HIGH:DEPCONF_HTTP_INDEX: the installer asks \"%s\" without encryption", [text.safe(location)])
}

# METADATA
# title: A host whose certificate is not verified
# description: The installer trusts a host without a valid certificate. MEDIUM where it is not the host of an index.
# custom:
#   id: DEPCONF_TRUSTED_HOST
#   severity: HIGH
#   attack: T1557
#   incidents: [technique only]
#   false_positives: Indexes with a certificate of one's own; give the installer the authority instead.
#   solution: Use --cert with the authority of the index.
#   needs: sources in pip-install, or the installer's arguments
deny contains msg if {
	some host in _trusted
	not _loopback(host)
	msg := sprintf(
		"%s:DEPCONF_TRUSTED_HOST: the installer does not verify the certificate of \"%s\"",
		[_trusted_severity(host), text.safe(host)],
	)
}

# METADATA
# title: A distribution from an address
# description: >-
#   A requirement names an address instead of a version. CRITICAL where its host could be taken for a
#   host of the index, or is known for that.
# custom:
#   id: DEPCONF_DIRECT_URL
#   severity: CRITICAL
#   attack: T1195.001
#   incidents: [colorama clone 2024-03]
#   false_positives: Wheels of hardware vendors and of one's own builds; MEDIUM.
#   solution: Ask for it by name and version.
#   needs: sources or direct_url in pip-install
deny contains msg if {
	some direct in _direct
	msg := sprintf(
		"%s:DEPCONF_DIRECT_URL: \"%s\" comes from \"%s\", past every index%s",
		[_direct_severity(direct), text.safe(direct.what), text.safe(direct.url), _like_text(direct)],
	)
}

# METADATA
# title: Further places for files
# description: The installer also looks for files in places that are no index.
# custom:
#   id: DEPCONF_FIND_LINKS
#   severity: LOW
#   attack: T1195.001
#   incidents: [technique only]
#   false_positives: Directories with one's own wheels.
#   solution: Know what lies there.
#   needs: sources in pip-install, or the installer's arguments
deny contains msg if {
	some location in _links
	msg := sprintf("LOW:DEPCONF_FIND_LINKS: the installer also takes files of \"%s\"", [text.safe(location)])
}

not_evaluated contains sprintf("%s: nothing says which indexes the installer asks", [id]) if {
	not _recorded
	count(_arguments) == 0
	some id in ["DEPCONF_EXTRA_INDEX", "DEPCONF_HTTP_INDEX", "DEPCONF_TRUSTED_HOST", "DEPCONF_UNEXPECTED_SOURCE"]
}

# What the installer was told: as recorded, else by its own arguments and variables.
# Inside the sandbox those name the gateway on loopback.
_locations := [i | some i in input.sources.indexes; is_object(i)]

_configured := {_bare(distributions.str(i, "url")) | some i in _locations} | {_bare(distributions.str(i, "url")) |
	some i in input.sources.findLinks
	is_object(i)
}

_recorded if is_object(input.sources)

_bare(location) := trim_right(location, "/")

_extra contains distributions.str(i, "url") if {
	some order, i in _locations
	order > 0
}

_extra contains value if some value in _values({"--extra-index-url"}, "PIP_EXTRA_INDEX_URL")

_links contains distributions.str(i, "url") if {
	some i in input.sources.findLinks
	is_object(i)
}

_links contains value if some value in _values({"--find-links", "-f"}, "PIP_FIND_LINKS")

_cleartext contains distributions.str(i, "url") if {
	some i in array.concat(_locations, [l | some l in input.sources.findLinks; is_object(l)])
	i.cleartext == true
}

_cleartext contains value if {
	some value in (_values({"--index-url", "-i", "--extra-index-url", "--find-links", "-f"}, "PIP_INDEX_URL") | _extra)
	startswith(value, "http://")
	not _loopback(_host(value))
}

_trusted contains host if {
	some host in input.sources.trustedHosts
	is_string(host)
}

_trusted contains value if some value in _values({"--trusted-host"}, "PIP_TRUSTED_HOST")

_trusted_severity(host) := "HIGH" if _of_index(host)

_trusted_severity(host) := "MEDIUM" if not _of_index(host)

_of_index(host) if {
	some location in (_configured | _values({"--index-url", "-i", "--extra-index-url"}, "PIP_INDEX_URL"))
	_host(location) == split(lower(host), ":")[0]
}

_host(location) := lower(found[0][1]) if {
	found := regex.find_all_string_submatch_n(`^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?(\[[^\]]*\]|[^/:?#]*)`, location, 1)
	count(found) == 1
}

_loopback(host) if regex.match(`^(localhost|127\.[0-9.]+|\[?::1\]?)(:[0-9]+)?$`, host)

_arguments := [_words(proc) |
	some proc in input["command-run"].processes
	_installer(proc)
]

_installer(proc) if proc.role == "installer"

_installer(proc) if {
	not proc.role
	regex.match(`\bpip[0-9.]*(\.pyz)? .*\binstall\b`, distributions.str(proc, "cmdline"))
}

_words(proc) := proc.args if is_array(proc.args)

_words(proc) := split(distributions.str(proc, "cmdline"), " ") if not _listed(proc)

_listed(proc) if is_array(proc.args)

# _values(flags, variable) are the values that the installer was given.
_values(flags, variable) := ({value |
	some list in _arguments
	some order, argument in list
	argument in flags
	value := list[order + 1]
	is_string(value)
	_outside(value)
} | {value |
	some list in _arguments
	some argument in list
	is_string(argument)
	some flag in flags
	startswith(argument, sprintf("%s=", [flag]))
	value := substring(argument, count(flag) + 1, -1)
	_outside(value)
}) | {value |
	some proc in input["command-run"].processes
	some entry in split(distributions.str(proc, "environ"), " ")
	startswith(entry, sprintf("%s=", [variable]))
	value := substring(entry, count(variable) + 1, -1)
	_outside(value)
}

_outside(value) if {
	value != "<redacted>"
	not _loopback(_host_or_text(value))
}

_host_or_text(value) := _host(value)

_host_or_text(value) := value if not _host(value)

# Files that came from one index while another one has the project: the answering one
# hardly has a release of it, and its version is far above.
_rivals contains rival if {
	some p in distributions.packages
	some f in distributions.files(p)
	some own in p.offeredBy
	some other in p.offeredBy
	_bare(distributions.str(own, "index")) == _bare(distributions.str(f, "index"))
	_bare(distributions.str(other, "index")) != _bare(distributions.str(own, "index"))
	own.releases <= 3
	_above(distributions.str(p, "version"), distributions.str(other, "highest"))
	rival := {
		"what": distributions.describe(p),
		"index": text.safe(distributions.str(own, "index")),
		"scope": distributions.str(own, "scope"),
		"other": text.safe(distributions.str(other, "index")),
		"other_scope": distributions.str(other, "scope"),
		"highest": text.safe(distributions.str(other, "highest")),
	}
}

_above(version, highest) if distributions.major(version) > distributions.major(highest)

_above(version, highest) if {
	distributions.absurd(version)
	not distributions.absurd(highest)
}

# A project with a history of its own counts as it likes.
_many(p) if {
	number := distributions.history(distributions.key(p)).releases
	is_number(number)
	number > 10
}

_absurd_severity(p) := "MEDIUM" if distributions.local_file(p)

_absurd_severity(p) := "HIGH" if not distributions.local_file(p)

_origin(p) := distributions.str(f, "index") if {
	some f in array.slice(distributions.files(p), 0, 1)
	distributions.str(f, "index") != ""
}

# The scope of the index is known for our own evidence; else it is not private.
_public(p) if {
	index := _bare(_origin(p))
	not _private[index]
}

_private contains _bare(distributions.str(i, "url")) if {
	some i in _locations
	i.scope == "private"
}

_internal_severity(p) := "HIGH" if {
	_public(p)
	_declared(p)
}

_internal_severity(p) := "HIGH" if {
	_public(p)
	not _declared(p)
	_sounds_internal(p)
	distributions.young(distributions.key(p), 30)
	_silent(p)
}

_internal_severity(p) := "MEDIUM" if {
	_public(p)
	not _declared(p)
	_sounds_internal(p)
	distributions.few(distributions.key(p))
	not _new_and_silent(p)
}

_new_and_silent(p) if {
	distributions.young(distributions.key(p), 30)
	_silent(p)
}

_silent(p) if {
	distributions.str(p, "homePage") == ""
	count([url | some url in p.projectUrls]) == 0
}

_declared(p) if distributions.key(p) in {distributions.normal(name) | some name in internal_names.names}

_declared(p) if {
	some prefix in internal_names.prefixes
	startswith(distributions.key(p), distributions.normal(prefix))
}

_sounds_internal(p) if regex.match(internal_names.heuristic.pattern, distributions.key(p))

_direct contains {
	"what": distributions.str(d, "project"),
	"url": distributions.str(d, "url"),
	"host": lower(distributions.str(d, "host")),
	"like": distributions.str(d, "like"),
} if {
	some d in input.sources.directUrls
	is_object(d)
}

# A direct requirement as it was installed; files of the user's own machine are none.
_direct contains {"what": distributions.key(p), "url": url, "host": _host(url), "like": ""} if {
	some p in distributions.packages
	url := distributions.str(p, "directUrl")
	not distributions.key(p) in {distributions.str(d, "project") | some d in input.sources.directUrls}
	_host(url) != ""
}

# Evidence of other tools: the requirement as the metadata has it.
_direct contains {"what": distributions.key(p), "url": found[0][1], "host": _host(found[0][1]), "like": ""} if {
	not _recorded
	some p in distributions.every_one
	some requirement in p.requiresDist
	is_string(requirement)
	found := regex.find_all_string_submatch_n(`@\s*([A-Za-z][A-Za-z0-9+.-]*://[^\s;]+)`, requirement, 1)
	count(found) == 1
}

_direct_severity(direct) := "CRITICAL" if _false_host(direct)

_direct_severity(direct) := "MEDIUM" if not _false_host(direct)

_false_host(direct) if direct.like != ""

_false_host(direct) if {
	some domain in lookalike_hosts.known.domains
	_below(direct.host, domain)
}

_below(host, domain) if host == domain

_below(host, domain) if endswith(host, sprintf(".%s", [domain]))

_like_text(direct) := sprintf("; its host looks like \"%s\"", [text.safe(direct.like)]) if direct.like != ""

_like_text(direct) := "" if direct.like == ""
