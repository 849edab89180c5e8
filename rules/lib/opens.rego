# Opens that openedfiles does not have: directories that were opened to list
# them, and files that were opened to write.
package pip_witness.lib.opens

import rego.v1

# other holds the positions [process, open] of all opens but those for reading.
# It is the one pass over all opens, of which an honest run has very many.
other contains [i, j] if {
	some i, j
	input.processes[i].fileOps.opens[j].mode != "read"
}

# directories holds [process, path] of directories that were opened to list them.
directories contains [i, o.path] if {
	some [i, j] in other
	o := input.processes[i].fileOps.opens[j]
	o.mode == "directory"
}

# writing holds [process, path] of files that were opened to write.
writing contains [i, o.path] if {
	some [i, j] in other
	o := input.processes[i].fileOps.opens[j]
	o.mode in {"write", "readwrite"}
}

# read_paths are all paths that any process opened to read.
read_paths := union({object.keys(proc.openedfiles) |
	some proc in input.processes
	is_object(proc.openedfiles)
})
