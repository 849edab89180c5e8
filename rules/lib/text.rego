# What packages choose (paths, arguments, names of hosts) goes into messages
# only through here.
package pip_witness.lib.text

import rego.v1

_longest := 200

# Control and format characters (line breaks, terminal escapes, characters that
# reverse or hide text) and the double quote that delimits values in messages.
_unsafe := `[\p{Cc}\p{Cf}\p{Zl}\p{Zp}"]`

# safe(value) is value as text that cannot end its quotes, start a line or hide
# something: bounded, and with unsafe characters percent-encoded.
safe(value) := clipped if {
	clipped := _clip(sprintf("%v", [value]))
	not regex.match(_unsafe, clipped)
}

safe(value) := escaped if {
	clipped := _clip(sprintf("%v", [value]))
	regex.match(_unsafe, clipped)
	escaped := concat("", [_escape(c) | some c in split(clipped, "")])
}

_escape(c) := c if not regex.match(_unsafe, c)

_escape(c) := urlquery.encode(c) if regex.match(_unsafe, c)

_clip(s) := s if count(s) <= _longest

_clip(s) := clipped if {
	count(s) > _longest
	clipped := sprintf("%s...%s", [substring(s, 0, 150), substring(s, count(s) - 40, -1)])
}
