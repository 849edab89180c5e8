# METADATA
# title: What is known of a distribution and of its contents
# description: >-
#   Names, ages, metadata, build systems and static facts about the files of the installed
#   distributions, and of files that the installer had and did not install.
# related_resources:
#   - ref: https://ossf.github.io/osv-schema/
#   - ref: https://attack.mitre.org/techniques/T1195/002/
package pip_witness.supply_chain # regal ignore:file-length

import data.pip_witness.indicators.build_systems
import data.pip_witness.indicators.mail_domains
import data.pip_witness.lib.distributions
import data.pip_witness.lib.releases
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A release that is known to be malicious
# description: >-
#   The release is on the list of compromised releases, or an advisory of the local database says that
#   it is malware. Releases of a project before and after a take-over are not.
# custom:
#   id: SC_KNOWN_MALICIOUS
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [litellm 1.82.8, ultralytics 8.3.41, num2words 0.5.15]
#   false_positives: none known
#   solution: Remove it, and replace every credential that the machine could read.
#   needs: packages in pip-install; vulnerabilities in sbom
deny contains msg if {
	some p in distributions.every_one
	some listed in releases.known(distributions.str(p, "name"), distributions.str(p, "version"))
	msg := sprintf(
		"CRITICAL:SC_KNOWN_MALICIOUS: %s is a release that was published by an attacker (%s)",
		[distributions.describe(p), text.safe(listed.source)],
	)
}

deny contains msg if {
	some advisory in input.sbom.vulnerabilities
	_malware(advisory)
	refs := [affected.ref | some affected in advisory.affects; is_string(affected.ref)]
	msg := sprintf(
		"CRITICAL:SC_KNOWN_MALICIOUS: the advisory \"%s\" says that \"%s\" is malware",
		[text.safe(object.get(advisory, "id", "")), text.safe(concat(", ", sort(refs)))],
	)
}

# METADATA
# title: A name like that of a well-known project
# description: >-
#   The name differs from a popular one by one keystroke, by characters that look alike, by separators,
#   or by a word before or after it. HIGH where it looks the same to the eye, or where the project is
#   new and little else speaks for it; LOW for a word or a number more.
# custom:
#   id: SC_TYPOSQUAT
#   severity: HIGH
#   attack: T1036.005
#   incidents: [jeIlyfish, fabrice, sympy-dev, deepseeek]
#   false_positives: Successors and forks that have a similar name; MEDIUM or LOW without further signs.
#   solution: Compare the name with the project that you mean.
#   needs: similarNames and indexHistory in pip-install
deny contains msg if {
	some similar in _similar
	some match in similar.matches
	match == similar.matches[0]
	is_string(match.name)
	severity := _squat_severity(similar, match)
	msg := sprintf(
		"%s:SC_TYPOSQUAT: \"%s\" is a name like that of the well-known \"%s\" (%s)%s",
		[severity, text.safe(similar.package), text.safe(match.name), text.safe(match.how), _signs_text(similar.package)],
	)
}

# METADATA
# title: The home page of another project
# description: A distribution whose name is like a popular one names a repository of that one as its home page.
# custom:
#   id: SC_STARJACK
#   severity: MEDIUM
#   attack: T1036.005
#   incidents: [technique only]
#   false_positives: Forks that kept the metadata of the original.
#   solution: Look whether the repository publishes this name.
#   needs: similarNames and project URLs in pip-install
deny contains msg if {
	some similar in _similar
	some match in similar.matches
	some p in _by_key[distributions.normal(similar.package)]
	some url in _urls(p)
	distributions.normal(_tail(url)) == match.name
	msg := sprintf(
		"MEDIUM:SC_STARJACK: %s names \"%s\" as its own, which is that of \"%s\"",
		[distributions.describe(p), text.safe(url), text.safe(match.name)],
	)
}

# METADATA
# title: A new project
# description: >-
#   The first release of the project is less than a week old. HIGH where its build also runs code that hides
#   what it does.
# custom:
#   id: SC_NEW_PACKAGE
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [deepseeek, dlmm-sdk, sisaws]
#   false_positives: Every project is new once.
#   solution: Look at the source, or wait until others have.
#   needs: indexHistory in pip-install
deny contains msg if {
	some p in distributions.packages
	name := distributions.key(p)
	distributions.young(name, 7)
	msg := sprintf(
		"%s:SC_NEW_PACKAGE: the project of %s is less than a week old",
		[_new_severity(name), distributions.describe(p)],
	)
}

# METADATA
# title: A release of the last days
# description: The release is less than 72 hours old. Most malicious releases are found and removed within that time.
# custom:
#   id: SC_NEW_VERSION_AGE
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [litellm 1.82.8, telnyx 4.87.1, elementary-data 0.23.3, lightning 2.6.2]
#   false_positives: Every release is new once.
#   solution: Wait some days where nothing is urgent.
#   needs: indexHistory in pip-install
deny contains msg if {
	some p in distributions.packages
	seconds := distributions.history(distributions.key(p)).ageSeconds
	is_number(seconds)
	seconds < 3 * distributions.day
	msg := sprintf("MEDIUM:SC_NEW_VERSION_AGE: %s is less than 72 hours old", [distributions.describe(p)])
}

# METADATA
# title: A build script that does several odd things
# description: >-
#   A Python file of the build does at least three of: it runs code from text, starts processes, imports
#   network modules, holds an encoded payload, names sensitive paths, replaces commands of the
#   installer. HIGH where it hides what it runs, and for an encoded payload beside the first three
#   unless the project has compiled code.
# custom:
#   id: SC_SETUP_SUSPICIOUS
#   severity: HIGH
#   attack: T1059.006
#   incidents: [sisaws, fabrice, TrapDoor]
#   false_positives: Old build scripts of projects with compiled code; MEDIUM at most.
#   solution: Read the script before anything builds it.
#   needs: setupPyAnalysis in pip-install
deny contains msg if {
	some script in _scripts
	signs := _script_signs(script)
	severity := _script_severity(script, signs)
	msg := sprintf(
		"%s:SC_SETUP_SUSPICIOUS: \"%s\" of \"%s\", which runs in the build, %s",
		[
			severity,
			text.safe(distributions.str(script, "path")),
			text.safe(distributions.str(script, "package")),
			concat(", ", sort(signs)),
		],
	)
}

# METADATA
# title: A build backend of its own
# description: >-
#   What builds the distribution is code of the project itself, or a backend that is hardly known. HIGH
#   where that code hides what it runs, or uses the network.
# custom:
#   id: SC_CUSTOM_BACKEND
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [technique of xz]
#   false_positives: Projects that wrap setuptools, such as pyyaml and pillow.
#   solution: Read the backend, or take a wheel.
#   needs: pyprojectAnalysis in pip-install
deny contains msg if {
	some project in _projects
	_own_backend(project)
	msg := sprintf(
		"%s:SC_CUSTOM_BACKEND: \"%s\" is built by \"%s\", which is its own or hardly known",
		[
			_backend_severity(project),
			text.safe(distributions.str(project, "package")),
			text.safe(distributions.str(project, "buildBackend")),
		],
	)
}

# METADATA
# title: A build that needs an unusual project
# description: >-
#   The build asks for a project that is on no list of well-known ones. It runs in the build and is gone
#   afterwards. HIGH where its name looks like that of a well-known one.
# custom:
#   id: SC_BUILD_REQUIRES_UNUSUAL
#   severity: MEDIUM
#   attack: T1195.001
#   incidents: [nvidia-nat-semantic-kernel with ruamel-yaml-clibz]
#   false_positives: Build tools of a small community.
#   solution: Check the named project as well.
#   needs: pyprojectAnalysis in pip-install
deny contains msg if {
	some project in _projects
	some name in _unusual(project)
	msg := sprintf(
		"%s:SC_BUILD_REQUIRES_UNUSUAL: the build of \"%s\" runs code of \"%s\", which is hardly known",
		[_unusual_severity(project, name), text.safe(distributions.str(project, "package")), text.safe(name)],
	)
}

deny contains msg if {
	some project in _projects
	some requirement in project.buildRequires
	is_string(requirement)
	regex.match(`@\s*[A-Za-z+]+:`, requirement)
	msg := sprintf(
		"HIGH:SC_BUILD_REQUIRES_UNUSUAL: the build of \"%s\" takes code from an address: \"%s\"",
		[text.safe(distributions.str(project, "package")), text.safe(requirement)],
	)
}

# METADATA
# title: A pickle that runs code
# description: A pickle file imports functions that run commands or code, which happens when it is loaded.
# custom:
#   id: SC_PICKLE
#   severity: HIGH
#   attack: T1059.006
#   incidents: [aliyun-ai-labs-snippets-sdk]
#   false_positives: Test data of pickle libraries and of scanners.
#   solution: Do not load it.
#   needs: pickleAnalysis in pip-install
deny contains msg if {
	some pickle in input.installedFileAnalysis.pickleAnalysis
	names := _dangerous(pickle)
	count(names) > 0
	msg := sprintf(
		"%s:SC_PICKLE: \"%s\" calls \"%s\" when it is loaded",
		[_pickle_severity(names), text.safe(distributions.str(pickle, "path")), text.safe(concat(", ", sort(names)))],
	)
}

# METADATA
# title: Network use at import
# description: A module of the distribution uses the network when it is imported, as its source shows.
# custom:
#   id: SC_INIT_NETWORK
#   severity: LOW
#   attack: T1071.001
#   incidents: [most stealers]
#   false_positives: Modules that are never imported by others, such as scripts and tests.
#   solution: Look at what the import step recorded.
#   needs: importTime in pip-install
deny contains msg if {
	some name, places in _at_import("network")
	msg := sprintf(
		"LOW:SC_INIT_NETWORK: \"%s\" uses the network at import: %s",
		[text.safe(name), distributions.sample(places)],
	)
}

# METADATA
# title: A process at import
# description: A module of the distribution starts a process when it is imported, as its source shows.
# custom:
#   id: SC_INIT_SUBPROCESS
#   severity: LOW
#   attack: T1059
#   incidents: [litellm 1.82.7]
#   false_positives: Modules that are never imported by others, such as scripts and tests.
#   solution: Look at what the import step recorded.
#   needs: importTime in pip-install
deny contains msg if {
	some name, places in _at_import("process")
	msg := sprintf(
		"LOW:SC_INIT_SUBPROCESS: \"%s\" starts a process at import: %s",
		[text.safe(name), distributions.sample(places)],
	)
}

# METADATA
# title: A program inside a distribution
# description: >-
#   The distribution holds a compiled program. MEDIUM where its name says that it is something else:
#   data, or a library that cannot be one.
# custom:
#   id: SC_BINARY_BUNDLED
#   severity: MEDIUM
#   attack: T1027.009
#   incidents: [torchtriton, Hades, sympy-dev]
#   false_positives: Compilers and browsers that are distributed as wheels; LOW.
#   solution: Look at what the program is.
#   needs: nativeLibraries in pip-install
deny contains msg if {
	some name, found in _binaries
	disguised := [path | some path, kind in found; kind == "disguised"]
	count(disguised) > 0
	msg := sprintf(
		"MEDIUM:SC_BINARY_BUNDLED: \"%s\" holds programs whose names say something else: %s",
		[text.safe(name), distributions.sample(disguised)],
	)
}

deny contains msg if {
	some name, found in _binaries
	plain := [path | some path, kind in found; kind == "plain"]
	count(plain) > 0
	msg := sprintf(
		"LOW:SC_BINARY_BUNDLED: \"%s\" holds compiled programs: %s",
		[text.safe(name), distributions.sample(plain)],
	)
}

# METADATA
# title: A distribution that nothing asked for
# description: >-
#   An installed distribution was not requested and is not required by anything that was, so something
#   else put it there.
# custom:
#   id: SC_UNDECLARED_DEP
#   severity: HIGH
#   attack: T1195.002
#   incidents: [technique only]
#   false_positives: none measured
#   solution: Find out what installed it; do not use the environment.
#   needs: packages with requirements in pip-install
deny contains msg if {
	_graph_known
	some p in distributions.packages
	not _wanted[distributions.key(p)]
	not distributions.key(p) in build_systems.installers.names
	msg := sprintf(
		"HIGH:SC_UNDECLARED_DEP: %s was not asked for and nothing that was requires it",
		[distributions.describe(p)],
	)
}

# METADATA
# title: A dependency from an address
# description: >-
#   A requirement of a distribution names an address instead of a version, so no index has ever seen what it
#   fetches.
# custom:
#   id: SC_DIRECT_URL_DEP
#   severity: HIGH
#   attack: T1195.001
#   incidents: [colorama clone 2024-03]
#   false_positives: Distributions that an organisation builds for itself; public indexes refuse such metadata.
#   solution: Check what the address gives, and ask for it by version.
#   needs: requirements in pip-install
deny contains msg if {
	some p in distributions.every_one
	some requirement in p.requiresDist
	is_string(requirement)
	regex.match(`^[^;]*@\s*[A-Za-z][A-Za-z0-9+.-]*:`, requirement)
	msg := sprintf(
		"HIGH:SC_DIRECT_URL_DEP: %s requires \"%s\", past every index",
		[distributions.describe(p), text.safe(requirement)],
	)
}

# METADATA
# title: An address of a throw-away mail service
# description: The author or the maintainer has an address of a service whose mailboxes anybody can open.
# custom:
#   id: SC_MAINTAINER_EMAIL
#   severity: MEDIUM
#   attack: T1585.002
#   incidents: [technique only]
#   false_positives: Authors who want no mail.
#   solution: Look who publishes the project.
#   needs: addresses in pip-install
deny contains msg if {
	some p in distributions.every_one
	some field in ["author", "authorEmail", "maintainer", "maintainerEmail"]
	some domain in regex.find_n(`@[A-Za-z0-9.-]+`, distributions.str(p, field), 5)
	trim_prefix(lower(domain), "@") in mail_domains.disposable.domains
	msg := sprintf(
		"MEDIUM:SC_MAINTAINER_EMAIL: %s gives an address of a throw-away mail service, \"%s\"",
		[distributions.describe(p), text.safe(domain)],
	)
}

# METADATA
# title: Metadata that says nothing
# description: A distribution has neither summary nor author nor any address.
# custom:
#   id: SC_METADATA_EMPTY
#   severity: LOW
#   attack: T1195.002
#   incidents: [dependency confusion probes]
#   false_positives: Private and very small projects.
#   solution: Look where it comes from.
#   needs: packages in pip-install
deny contains msg if {
	some p in distributions.packages
	every field in ["summary", "author", "authorEmail", "maintainer", "homePage"] {
		distributions.str(p, field) in {"", "UNKNOWN"}
	}
	count(_urls(p)) == 0
	msg := sprintf("LOW:SC_METADATA_EMPTY: %s says neither what it is nor who made it", [distributions.describe(p)])
}

# METADATA
# title: Code that hides what it does
# description: >-
#   A module, a build script or a start-up line runs code that it decodes first, hides code beside what
#   is shown, or puts names together from pieces. HIGH where decoded or hidden code runs at import or in
#   a build.
# custom:
#   id: SC_OBFUSCATION
#   severity: HIGH
#   attack: T1027
#   incidents: [litellm 1.82.7, aiocpa 0.1.13, TrapDoor]
#   false_positives: Products whose code is encrypted on purpose.
#   solution: Do not use what cannot be read.
#   needs: obfuscation in pip-install
deny contains msg if {
	some name, places in _obscured("hard")
	msg := sprintf(
		"HIGH:SC_OBFUSCATION: \"%s\" runs code that it hides: %s",
		[text.safe(name), distributions.sample(places)],
	)
}

deny contains msg if {
	some name, places in _obscured("soft")
	msg := sprintf("MEDIUM:SC_OBFUSCATION: \"%s\" hides what it does: %s", [text.safe(name), distributions.sample(places)])
}

not_evaluated contains "SC_KNOWN_MALICIOUS: no bill of materials tells of advisories" if not input.sbom

not_evaluated contains sprintf("SC_KNOWN_MALICIOUS: advisories were %s", [text.safe(_advisories)]) if {
	input.sbom
	_advisories != "evaluated"
}

not_evaluated contains sprintf("%s: the index said nothing of %s", [id, distributions.describe(p)]) if {
	some p in distributions.packages
	not _aged(p)
	some id in ["SC_NEW_PACKAGE", "SC_NEW_VERSION_AGE"]
}

not_evaluated contains sprintf("SC_UNDECLARED_DEP: %s", [reason]) if some reason in _graph_unknown

not_evaluated contains sprintf("%s: the installed files were not read", [id]) if {
	not _read
	some id in ["SC_PICKLE", "SC_INIT_NETWORK", "SC_INIT_SUBPROCESS", "SC_BINARY_BUNDLED", "SC_OBFUSCATION"]
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some reason in distributions.not_examined("setupPyAnalysis")
	some id in ["SC_SETUP_SUSPICIOUS", "SC_CUSTOM_BACKEND", "SC_BUILD_REQUIRES_UNUSUAL"]
}

not_evaluated contains "SC_TYPOSQUAT: the names were not compared" if not input.similarNames

_aged(p) if is_number(distributions.history(distributions.key(p)).ageSeconds)

_read if is_object(input.installedFileAnalysis)

default _advisories := "not looked up"

_advisories := property.value if {
	some property in input.sbom.metadata.properties
	property.name == "pip-witness:vulnerabilities"
}

_malware(advisory) if {
	some property in advisory.properties
	property.name == "pip-witness:malicious"
	property.value == "true"
}

_by_key[distributions.key(p)] contains p if some p in distributions.every_one

_similar contains similar if {
	some similar in input.similarNames
	is_string(similar.package)
	is_array(similar.matches)
}

# One letter or number at the end is what successors and forks add.
_squat_severity(_, match) := "LOW" if match.how == "affix"

_squat_severity(similar, match) := "LOW" if {
	match.how == "keystroke"
	_numbered(similar.package, match.name)
	count(_signs(similar.package)) < 2
}

_squat_severity(_, match) := "HIGH" if {
	match.how == "look-alike"
}

_squat_severity(similar, match) := "HIGH" if {
	match.how in {"keystroke", "separators"}
	count(_signs(similar.package)) >= 2
}

_squat_severity(similar, match) := "MEDIUM" if {
	match.how in {"keystroke", "separators"}
	not _numbered(similar.package, match.name)
	count(_signs(similar.package)) < 2
}

_numbered(a, b) if {
	trim_right(a, "0123456789") == trim_right(b, "0123456789")
}

# What else speaks against a name that is like another. A project of long standing
# with many releases has none of these.
_signs(name) := ({"the project is less than 30 days old" |
	distributions.young(name, 30)
} | {"it has hardly any releases" |
	distributions.few(name)
	distributions.young(name, 365)
}) | ({"its metadata says nothing" | _bare(name)} | {"its build runs code that hides what it does" |
	_hidden_build[name]
})

_bare(name) if {
	distributions.young(name, 365)
	some p in _by_key[name]
	count(_urls(p)) == 0
}

_signs_text(name) := sprintf("; %s", [concat(", ", sort(_signs(name)))]) if count(_signs(name)) > 0

_signs_text(name) := "" if count(_signs(name)) == 0

_urls(p) := {url |
	some url in array.concat([distributions.str(p, "homePage")], [u | some u in p.projectUrls])
	is_string(url)
	not url in {"", "UNKNOWN"}
}

_tail(url) := trim_suffix(elements[count(elements) - 1], ".git") if elements := split(trim_right(url, "/"), "/")

_new_severity(name) := "HIGH" if _hidden_build[name]

_new_severity(name) := "MEDIUM" if not _hidden_build[name]

_scripts contains script if {
	some script in input.setupPyAnalysis
	is_object(script)
}

_hidden_build contains distributions.normal(distributions.str(script, "package")) if {
	some script in _scripts
	_conceals(script)
}

_conceals(script) if {
	some what in script.obfuscation
	is_string(what)
	regex.match(`^line [0-9]+: (exec-decoded|hidden-code|compatibility-name|lookalike-name|escaped-name)\b`, what)
}

_script_signs(script) := {sign |
	some sign, patterns in _script_patterns
	some field, pattern in patterns
	some what in script[field]
	is_string(what)
	regex.match(pattern, what)
} | ({"holds an encoded payload" |
	script.encodedPayloads == true
} | {"replaces commands of the installer" | _replaces(script)})

_script_patterns := {
	"runs code from text": {"suspiciousCalls": `\b(exec|eval|compile|__import__|execfile)\b`},
	"starts processes": {"suspiciousCalls": `\b(subprocess|os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*)|pty)\b`},
	"uses network modules": {"networkImports": `.`, "suspiciousCalls": `\b(urlopen|urlretrieve|socket|requests|http)\b`},
	"names sensitive paths": {"fileOperations": _sensitive},
}

_sensitive := `\.(ssh|aws|kube|gnupg|netrc|pypirc|npmrc|bashrc|profile)\b|/etc/|authorized_keys|site-packages`

_replaces(script) if {
	script.role == "setup.py"
	some p in _by_key[distributions.normal(distributions.str(script, "package"))]
	p.hasCmdClass == true
}

# Honest build scripts run the file with the version, ask compilers and replace
# build_ext; what they do not do is hide what they run.
_script_severity(script, _) := "HIGH" if _conceals(script)

_script_severity(script, signs) := "HIGH" if {
	not _conceals(script)
	_payload(script, signs)
}

_script_severity(script, signs) := "MEDIUM" if {
	not _conceals(script)
	not _payload(script, signs)
	_notable(signs)
}

_payload(script, signs) if {
	"holds an encoded payload" in signs
	count(signs) >= 3
	not _compiled[distributions.normal(distributions.str(script, "package"))]
}

_notable(signs) if {
	count(signs) >= 3
	count(signs & {"holds an encoded payload", "names sensitive paths", "uses network modules"}) > 0
}

# Distributions with compiled code.
_compiled contains distributions.normal(name) if {
	some library in input.installedFileAnalysis.nativeLibraries
	name := distributions.str(library, "package")
}

_projects contains project if {
	some project in input.pyprojectAnalysis
	is_object(project)
}

_own_backend(project) if {
	project.isCustomBackend == true
	not distributions.str(project, "buildBackend") in build_systems.backends.names
}

_own_backend(project) if {
	project.isCustomBackend == true
	count(project.backendPath) > 0
}

_backend_severity(project) := "HIGH" if _bad_backend[distributions.str(project, "package")]

_backend_severity(project) := "MEDIUM" if not _bad_backend[distributions.str(project, "package")]

_bad_backend contains distributions.str(script, "package") if {
	some script in _scripts
	script.role in {"build backend", "build hook"}
	_conceals(script)
}

_bad_backend contains distributions.str(script, "package") if {
	some script in _scripts
	script.role in {"build backend", "build hook"}
	{"uses network modules", "runs code from text"} - _script_signs(script) == set()
}

# Evidence of other tools has no list of what is unusual: the known ones decide.
_unusual(project) := {name |
	some name in project.unknownRequires
	is_string(name)
	not name in build_systems.requirements.names
}

_unusual_severity(project, name) := "HIGH" if _look_alike(project, name)

_unusual_severity(project, name) := "MEDIUM" if not _look_alike(project, name)

_look_alike(project, name) if {
	some similar in project.similar
	similar.package == name
	similar.matches[0].how in {"look-alike", "separators", "keystroke"}
	not _numbered(name, similar.matches[0].name)
}

# Evidence of other tools has all globals only.
_dangerous(pickle) := {name | some name in pickle.dangerousGlobals; is_string(name)} if pickle.dangerousGlobals

_dangerous(pickle) := {name |
	some name in pickle.globalRefs
	is_string(name)
	regex.match(
		build_systems.pickle_globals.pattern,
		name,
	)
} if {
	not pickle.dangerousGlobals
}

_pickle_severity(names) := "MEDIUM" if names == {"?.?"}

_pickle_severity(names) := "HIGH" if names != {"?.?"}

# Facts about what runs at import, by distribution.
_at_import(kind) := {name: places |
	some name in {distributions.str(fact, "package") |
		some fact in input.installedFileAnalysis.importTime
		fact.kind == kind
	}
	places := [_place(fact) |
		some fact in input.installedFileAnalysis.importTime
		fact.kind == kind
		not fact.deferred
		distributions.str(fact, "package") == name
	]
	count(places) > 0
}

_place(fact) := sprintf("%s:%v", [distributions.str(fact, "path"), object.get(fact, "line", 0)])

# Programs, by distribution: path → plain or disguised. An extension of libraries
# is none for a program that has no symbols to offer; one of data is none at all.
_binaries := object.union_n([{name: {path: kind}} |
	some library in input.installedFileAnalysis.nativeLibraries
	name := distributions.str(library, "package")
	path := distributions.str(library, "path")
	kind := _binary(library, path)
])

_binary(library, path) := "disguised" if {
	_program(library)
	regex.match(`\.(so(\.[0-9]+)*|pyd|dll)$`, path)
}

_binary(_, path) := "disguised" if _data_name(path)

_binary(library, path) := "plain" if {
	_program(library)
	not _data_name(path)
	not regex.match(`\.(so(\.[0-9]+)*|pyd|dll)$`, path)
}

_data_name(path) if regex.match(
	`(?i)\.(bin|dat|data|db|wav|mp3|png|jpe?g|gif|ico|json|txt|md|csv|pkl|pth|log|tmp|cfg|ya?ml|xml|html?|js|py|pyc)$`,
	path,
)

_program(library) if library.kind == "executable"

_program(library) if library.program == true

_graph_known if count(_graph_unknown) == 0

_graph_unknown contains "nothing says what was requested" if {
	every p in distributions.packages {
		not p.requested == true
	}
}

_graph_unknown contains reason if some reason in distributions.not_examined("packages[].requires")

_graph_unknown contains reason if some reason in distributions.not_examined("packages[].requested")

_wanted := graph.reachable(_edges, {distributions.key(p) | some p in distributions.packages; p.requested == true})

# What the metadata names, in force or not: a marker that was decided otherwise is
# no sign of an intruder.
_edges := object.union_n([{distributions.key(p): _required(p)} | some p in distributions.packages])

_required(p) := {distributions.normal(name) |
	some name in p.requires
	is_string(name)
} | {distributions.normal(found[0]) |
	some requirement in p.requiresDist
	is_string(requirement)
	found := regex.find_n(`^[A-Za-z0-9][A-Za-z0-9._-]*`, requirement, 1)
	count(found) == 1
}

_obscured(grade) := {name: places |
	some name in {found.name | some found in _hiding; found.grade == grade}
	places := [found.place | some found in _hiding; found.grade == grade; found.name == name]
}

_hiding contains {
	"name": distributions.str(fact, "package"),
	"grade": grade,
	"place": sprintf("%s (%s)", [_place(fact), fact.kind]),
} if {
	some fact in input.installedFileAnalysis.obfuscation
	grade := _grade(fact)
}

_hiding contains {
	"name": distributions.str(script, "package"),
	"grade": "hard",
	"place": sprintf("%s (%s)", [distributions.str(script, "path"), what]),
} if {
	some script in _scripts
	some what in script.obfuscation
	is_string(what)
	regex.match(`^line [0-9]+: (exec-decoded|hidden-code)\b`, what)
}

_grade(fact) := "hard" if {
	fact.kind in {"exec-decoded", "hidden-code"}
	not fact.deferred
}

_grade(fact) := "soft" if {
	fact.kind in {"exec-decoded", "hidden-code"}
	fact.deferred == true
}

_grade(fact) := "soft" if fact.kind in {"compatibility-name", "lookalike-name", "escaped-name", "computed-name"}
