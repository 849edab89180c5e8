package pip_witness.network_exfiltration

import rego.v1

deny contains msg if {
	some proc in input.processes
	some c in proc.network.connections
	c.family == "AF_INET"
	msg := sprintf("HIGH:NET_CONNECT: %s connected to %s", [proc.program, c.address])
}

not_evaluated contains "NET_BYTES: the capture does not count bytes" if "write" in input.coverage.notTrapped
