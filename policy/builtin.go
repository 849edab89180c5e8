package policy

import _ "embed"

//go:embed builtin.json
var builtin string

// Builtin returns the source of the built-in policy: the two steps of the
// specification, with the modules that are shipped.
func Builtin() []byte { return []byte(builtin) }
