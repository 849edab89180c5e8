# Stands for the shipped module of this name.
package pip_witness.container_escape

import rego.v1

deny contains "HIGH:TEST_CONTAINER_ESCAPE: the evidence names this module" if "container_escape" in input.names
