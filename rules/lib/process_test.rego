package pip_witness.lib.process_test

import data.pip_witness.lib.fixture
import data.pip_witness.lib.process

import rego.v1

# pip (0) builds (1); the build forks (2), which forks (3); the number 9 is used again (4).
_tree := fixture.install([
	fixture.process("build-child", {"processid": 9, "parentpid": 2}),
	fixture.process("build-child", {"processid": 10, "parentpid": 9}),
	fixture.process("package-code", {"processid": 11, "parentpid": 10, "syscallEvents": [{"syscall": "setsid"}]}),
	fixture.process("build-child", {"processid": 9, "parentpid": 2}),
	fixture.process("build-child", {"processid": 12, "parentpid": 9}),
	fixture.process("build-child", {"processid": 13, "parentpid": 1}),
	fixture.process("build-child", {"processid": 14, "parentpid": 30}),
])

test_parents if {
	process.parents == {1: 0, 2: 1, 3: 2, 4: 0, 5: 4} with input as _tree
}

test_ancestry if {
	process.ancestors(3) == {0, 1, 2} with input as _tree
	process.descendants(1) == {2, 3} with input as _tree
	process.family(2) == {1, 2, 3} with input as _tree
	process.family(0) == {0, 1, 2, 3, 4, 5} with input as _tree
}

test_orphans if {
	not process.orphan(0) with input as _tree
	not process.orphan(3) with input as _tree
	process.orphan(6) with input as _tree
	process.orphan(7) with input as _tree
}

test_orphan_with_a_stand_in if {
	process.orphan(2) with input as fixture.install([
		fixture.process("build-child", {"processid": 20}),
		fixture.process("build-child", {"processid": 15, "parentpid": 20}),
	])
}

test_detached if {
	process.detached(3) with input as _tree
	not process.detached(2) with input as _tree
}

test_controlled if {
	process.controlled == {1, 2, 3, 4, 5, 6, 7} with input as _tree
	process.names[1] == `the build-child process "/opt/python/bin/python3.11"` with input as _tree
	not process.names[0] with input as _tree
}

# The harness runs the package in itself.
test_harness_is_controlled if {
	process.controlled == {0} with input as fixture.imported([fixture.harness({})])
}

test_odd_evidence if {
	evidence := {"processes": [{"processid": 1}, {"cmdline": 7, "role": 8}, {"args": ["a", "b"]}]}
	[process.role(p) | some p in evidence.processes] == [
		"import-harness", "package-code",
		"package-code",
	] with input as evidence
	process.images(evidence.processes[0]) == [{"program": "", "args": []}] with input as evidence
	process.images(evidence.processes[2]) == [{"program": "", "args": ["a", "b"]}] with input as evidence
	process.parents == {} with input as evidence
}
