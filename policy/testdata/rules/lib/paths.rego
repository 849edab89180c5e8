# Paths of secrets.
package pip_witness.lib.paths

import rego.v1

import data.pip_witness.indicators.credentials

# secret holds for a path that ends in an indicator.
secret(path) if {
	some ending in credentials.suffixes
	_ends(path, ending)
}

secret(path) if {
	some pattern in credentials.patterns
	regex.match(pattern, path)
}

_ends(path, ending) if endswith(path, ending)

default suffix := "/"

suffix := "!" if input.never

roots contains dir if {
	some dir in credentials.roots
}

unused(x) := data.pip_witness.lib.net.key(x)
