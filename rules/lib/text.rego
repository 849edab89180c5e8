# What packages choose (paths, arguments, names of hosts) goes into messages
# only through here.
package pip_witness.lib.text

import rego.v1

_longest := 200

# Control and format characters: line breaks, terminal escapes, characters that
# reverse or hide text.
_hidden := `[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]`

# The double quote delimits values in messages, the backslash escapes it.
_quoting := `["\\]`

# safe(value) is value as text that cannot end its quotes, start a line or hide
# something: bounded, hidden characters percent-encoded, quotes escaped.
safe(value) := concat("", [_escape(c) | some c in split(clipped, "")]) if {
	clipped := _clip(sprintf("%v", [value]))
	_unsafe(clipped)
}

safe(value) := clipped if {
	clipped := _clip(sprintf("%v", [value]))
	not _unsafe(clipped)
}

_unsafe(s) if regex.match(_hidden, s)

_unsafe(s) if regex.match(_quoting, s)

_escape(c) := c if not _unsafe(c)

_escape(c) := urlquery.encode(c) if regex.match(_hidden, c)

_escape(c) := sprintf("\\%s", [c]) if regex.match(_quoting, c)

_clip(s) := s if count(s) <= _longest

_clip(s) := clipped if {
	count(s) > _longest
	clipped := sprintf("%s...%s", [substring(s, 0, 150), substring(s, count(s) - 40, -1)])
}

# few(messages) are messages, of each severity and id at most 100, and how many more
# there are: a package chooses how many files and peers it has. The sum names no
# path and no host, so that no exception for one of them waives the others.
few(messages) := messages if count(messages) <= _most

few(messages) := union({_shortened(kind, object.keys(same)) | some kind, same in _kinds(messages)}) if {
	count(messages) > _most
}

_most := 100

_kinds(messages) := object.union_n([{concat(":", array.slice(split(message, ":"), 0, 2)): {message: true}} |
	some message in messages
])

_shortened(_, same) := same if count(same) <= _most

_shortened(kind, same) := kept | {more} if {
	count(same) > _most
	kept := {message | some message in array.slice(sort(same), 0, _most)}
	more := sprintf("%s: the same of %d more files, peers or commands", [kind, count(same) - _most])
}
