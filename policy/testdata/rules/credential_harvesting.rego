package pip_witness.credential_harvesting

import rego.v1

deny contains msg if {
	some proc in input.processes
	some file, _ in proc.openedfiles
	data.pip_witness.lib.paths.secret(file)
	msg := sprintf("%s:CRED_READ: %s", [data.pip_witness.indicators.credentials.severity, file])
}

deny contains msg if {
	some dir in data.pip_witness.lib.paths.roots
	some proc in input.processes
	proc.openedfiles[dir]
	msg := concat("", ["LOW:CRED_ROOT: opened ", dir, data.pip_witness.lib.paths.suffix])
}
