# Stands for the shipped module of this name.
package pip_witness.supply_chain

import rego.v1

deny contains "HIGH:TEST_SUPPLY_CHAIN: the evidence names this module" if "supply_chain" in input.names
