# Stands for the shipped module of this name.
package pip_witness.teampcp_ioc

import rego.v1

deny contains "HIGH:TEST_TEAMPCP_IOC: the evidence names this module" if "teampcp_ioc" in input.names
