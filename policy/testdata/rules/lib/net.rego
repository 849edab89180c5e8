package pip_witness.lib.net

import rego.v1

connections(doc) := [c |
	some proc in doc.processes
	some c in proc.network.connections
]

key(c) := k if {
	c.port
	k := sprintf("%s:%d", [c.address, c.port])
} else := c.address

seen contains key(c) if {
	some c in connections(input.steps["pip-install"]["command-run"])
}
