// Package conformance holds every capture backend to the truth. It has tests
// only.
//
// Each behaviour is one small program of testdata. It is compiled when it is
// needed, runs in the sandbox under one backend, and prints its own ground truth
// (what the kernel told it: errno, inode, path of a descriptor, content, port,
// process id), a line a fact, see testdata/truth.h. The test compares these facts
// with the record, in both directions: a fact that is not in the record is a
// behaviour that went unseen, a line of the record that no program stated is an
// untrue one. What became of each behaviour is written to docs/coverage.md:
//
//	go test ./internal/capture/conformance -update
//
// That the suite would notice is shown by taking one trap or one step of the path
// resolution away at a time; some behaviour must then fail:
//
//	PIP_WITNESS_MUTATIONS=1 go test ./internal/capture/conformance -run TestMutations -timeout 60m
package conformance
