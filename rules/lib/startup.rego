# Files that the interpreter runs at every start: .pth and .start files (PEP
# 829), sitecustomize and usercustomize, directly in a site directory.
package pip_witness.lib.startup

import rego.v1

# file(path) is true for such a file.
file(path) if {
	path_file(path)
}

file(path) if customization(path)

# path_file(path) is true for a .pth or .start file in a site directory.
path_file(path) if {
	strings.any_suffix_match(path, [".pth", ".start"])
	_directly_in_site(path)
}

# customization(path) is true for a module that site imports by its fixed name:
# a file, a compiled file, an extension, or a package.
customization(path) if {
	contains(path, "customize")
	regex.match(`/(sitecustomize|usercustomize)(\.[^/]*|/__init__\.[^/]*)$`, path)
	some directory in _site_directories(path)
	regex.match(`^/(sitecustomize|usercustomize)(\.[^/]*|/__init__\.[^/]*)$`, trim_prefix(path, directory))
}

# compiled(path) is true for caches beside modules: of the interpreter, NAME.pyc and what it
# is called while it is written, and of compilers for Python.
compiled(path) if regex.match(`/__pycache__(/[^/]+\.(pyc|nbi|nbc)([.0-9a-z_-]*)?)?$`, path)

# user_site(path) is true below the site directory of the user's home.
user_site(path) if regex.match(`^/.*/\.local/lib/python3[^/]*/site-packages/`, path)

_directly_in_site(path) if {
	some directory in _site_directories(path)
	startswith(path, sprintf("%s/", [directory]))
	not contains(substring(path, count(directory) + 1, -1), "/")
}

# The site directories that path could lie in: the environment's, the user's,
# the trusted interpreter's.
_site_directories(path) := {directory | some directory in input.coverage.sandbox.sitePackages} | {found |
	some found in regex.find_n(
		`^/.*/\.local/lib/python3[^/]*/site-packages|^/.*/lib/python3[^/]*/(?:site|dist)-packages|^/.*/lib/python3[^/]*`,
		path,
		1,
	)
	_trusted_or_user(found)
}

_trusted_or_user(directory) if contains(directory, "/.local/lib/")

_trusted_or_user(directory) if {
	some prefix in input.coverage.sandbox.basePrefixes
	startswith(directory, sprintf("%s/", [prefix]))
}
