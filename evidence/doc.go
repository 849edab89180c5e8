// Package evidence holds the nouns of what was observed: processes, file
// accesses, connections, security-relevant events, the state of a file tree,
// and the limits of the observation itself. It has types and pure functions
// over them, no I/O. The JSON form of [CommandRun] is the command-run/v0.1
// predicate; field names are fixed by the witness ecosystem and extended, never
// renamed.
//
// Three encodings are kept apart everywhere: observed (a value), observed none
// (an empty list) and could not observe (an entry in [Coverage]).
package evidence
