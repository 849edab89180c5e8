// Package testpkg builds the Python distributions that tests and benchmarks
// work on: tiny, deterministic wheels and sdists, made in memory from Go values.
//
// Three lists are the catalogue. [Honest] packages install and import without
// anything to report. [Faulty] ones are broken: archives that do not open,
// builds that fail, imports that hang. [Attacks] do one thing that a malicious
// package does, on a loopback address or below a throw-away HOME, and name the
// rules that must answer and the [Record] that must be in the evidence.
//
// An attack is harmless but not polite: install and import it inside the
// sandbox only. Building one runs nothing of it. No product code imports this
// package; deps_test.go of the module sees to that.
package testpkg
