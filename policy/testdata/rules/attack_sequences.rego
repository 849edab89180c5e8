# Stands for the shipped module of this name.
package pip_witness.attack_sequences

import rego.v1

deny contains "HIGH:TEST_ATTACK_SEQUENCES: the evidence names this module" if "attack_sequences" in input.names
