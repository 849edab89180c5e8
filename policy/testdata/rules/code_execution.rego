# Stands for the shipped module of this name.
package pip_witness.code_execution

import rego.v1

deny contains "HIGH:TEST_CODE_EXECUTION: the evidence names this module" if "code_execution" in input.names
