# Opens that openedfiles does not have: directories that were opened to list
# them, and files that were opened to write.
package pip_witness.lib.opens

import rego.v1

# other holds the positions [process, open] of all opens but those for reading.
# It is the one pass over all opens, of which an honest run has very many. It is a
# list: pairs of small numbers collide in a set, whose growth is then quadratic.
other := [[i, j] |
	some i, j
	input.processes[i].fileOps.opens[j].mode != "read"
]

# failed holds the positions [process, open] of opens that the kernel refused.
failed := [[i, j] |
	some i, j
	input.processes[i].fileOps.opens[j].errno != ""
]

# directories holds [process, path] of directories that were opened to list them.
directories contains [i, o.path] if {
	some [i, j] in other
	o := input.processes[i].fileOps.opens[j]
	o.mode == "directory"
	is_string(o.path)
}

# writing holds [process, path] of files that were opened to write.
writing contains [i, o.path] if {
	some [i, j] in other
	o := input.processes[i].fileOps.opens[j]
	o.mode in {"write", "readwrite"}
	is_string(o.path)
}

# read_paths are all paths that any process opened to read.
read_paths := union({object.keys(proc.openedfiles) |
	some proc in input.processes
	is_object(proc.openedfiles)
})
