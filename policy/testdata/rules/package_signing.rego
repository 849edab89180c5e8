# Stands for the shipped module of this name.
package pip_witness.package_signing

import rego.v1

deny contains "HIGH:TEST_PACKAGE_SIGNING: the evidence names this module" if "package_signing" in input.names
