# Stands for the shipped module of this name.
package pip_witness.release_integrity

import rego.v1

deny contains "HIGH:TEST_RELEASE_INTEGRITY: the evidence names this module" if "release_integrity" in input.names
