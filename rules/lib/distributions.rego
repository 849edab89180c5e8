# The distributions of an installation, whoever wrote the evidence: a field can be
# absent, or of another type than it should be.
package pip_witness.lib.distributions

import data.pip_witness.lib.text

import rego.v1

day := 86400

# str(object, field) is a string, empty where there is none.
str(from, field) := value if {
	value := from[field]
	is_string(value)
}

str(from, field) := "" if not _has_text(from, field)

# A negated call with a field that is not there would be undefined, not true.
_has_text(from, field) if is_string(from[field])

# packages are the installed distributions, candidates the files that were at hand
# and that nothing was installed from.
packages contains p if {
	some p in input.packages
	is_object(p)
}

candidates contains p if {
	some p in input.notInstalled
	is_object(p)
}

every_one := packages | candidates

# normal(name) is a name in the form in which names are compared (PEP 503).
normal(name) := lower(regex.replace(name, `[-_.]+`, "-"))

key(p) := normal(str(p, "name"))

# describe(p) names a distribution in a message.
describe(p) := sprintf("\"%s %s\"", [text.safe(str(p, "name")), text.safe(str(p, "version"))])

# files(p) are the distribution files of one: those of an installed one, or itself.
files(p) := [f | some f in p.files; is_object(f)] if p.files

files(p) := [p] if {
	not p.files
	str(p, "filename") != ""
}

files(p) := [] if {
	not p.files
	str(p, "filename") == ""
}

# history(name) is what the index's page says of a release; undefined without one.
history(name) := _history[name]

_history := object.union_n([{normal(str(f, "package")): f} |
	some f in input.indexHistory
	is_object(f)
])

# young(name, days) is true for a project that is known to be younger.
young(name, days) if {
	seconds := history(name).projectAgeSeconds
	is_number(seconds)
	seconds < days * day
}

# few(name) is true for a project that is known to have hardly any releases.
few(name) if {
	releases := history(name).releases
	is_number(releases)
	releases <= 3
}

# major(version) is the first number of a version, without its epoch.
major(version) := to_number(found[0]) if {
	plain := regex.replace(version, `^v?[0-9]{1,9}!`, "")
	found := regex.find_n(`^[0-9]{1,12}`, plain, 1)
	count(found) == 1
}

# absurd(version) is true for a first number that no project counts up to, and that
# is neither a year nor a date.
absurd(version) if {
	number := major(version)
	number >= 90
	not _calendar(number)
}

_calendar(number) if {
	number >= 1990
	number <= 2100
}

_calendar(number) if regex.match(`^(20)?[0-9]{2}(0[1-9]|1[0-2])([0-3][0-9])?$`, sprintf("%d", [number]))

# local_file(p) is true for what the user gave as a file or a directory.
local_file(p) if {
	some f in files(p)
	startswith(str(f, "url"), "file:")
	str(f, "index") == ""
}

# not_examined(prefix) are the reasons for which something was not looked at.
not_examined(prefix) := {sprintf("%s: %s", [text.safe(n.what), text.safe(n.why)]) |
	some n in input.notExamined
	startswith(str(n, "what"), prefix)
}

# sample(places) names three of them, and how many more there are.
sample(places) := sprintf("\"%s\"%s", [concat("\", \"", named), _more(count(places) - 3)]) if {
	named := [text.safe(place) | some place in array.slice(sort(places), 0, 3)]
}

_more(number) := sprintf(" and %d more", [number]) if number > 0

_more(number) := "" if number <= 0
