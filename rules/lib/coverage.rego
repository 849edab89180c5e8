# What the capture did not observe.
package pip_witness.lib.coverage

import rego.v1

# reason(calls) says why a rule that needs the given system calls cannot speak
# for the whole run; undefined when it can.
reason(_) := "the evidence does not say which system calls were observed" if not input.coverage.trapped

reason(calls) := sprintf("not observed: %s", [concat(", ", sort(missing))]) if {
	input.coverage.trapped
	missing := calls - {call | some call in input.coverage.trapped}
	count(missing) > 0
}
