# Stands for the shipped module of this name.
package pip_witness.persistence

import rego.v1

deny contains "HIGH:TEST_PERSISTENCE: the evidence names this module" if "persistence" in input.names
