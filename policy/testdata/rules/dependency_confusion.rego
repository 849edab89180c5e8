# Stands for the shipped module of this name.
package pip_witness.dependency_confusion

import rego.v1

deny contains "HIGH:TEST_DEPENDENCY_CONFUSION: the evidence names this module" if "dependency_confusion" in input.names
