# Stands for the shipped module of this name.
package pip_witness.openclaw_ioc

import rego.v1

deny contains "HIGH:TEST_OPENCLAW_IOC: the evidence names this module" if "openclaw_ioc" in input.names
