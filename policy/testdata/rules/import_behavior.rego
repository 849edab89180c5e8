package pip_witness.import_behavior

import rego.v1

import data.pip_witness.lib.paths
import data.pip_witness.lib.net as network

# A new connection at import.
deny contains msg if {
	some c in network.connections(input)
	not network.key(c) in network.seen
	msg := sprintf("CRITICAL:IMPORT_NEW_CONNECTION: connected to %s", [network.key(c)])
}

deny contains msg if {
	some proc in input.processes
	some file, _ in proc.openedfiles
	paths.secret(file)
	msg := sprintf("CRITICAL:IMPORT_CRED_ACCESS: read %s", [file])
}
