package pip_witness.pth_injection

import rego.v1

deny contains msg if {
	some path, _ in input.product
	endswith(path, ".pth")
	msg := sprintf("HIGH:PTH_FILE: %s", [path])
}
