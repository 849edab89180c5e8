// Package oracle compares recordings with what strace, a tracer that we did not
// write, prints of the same run. It has tests only.
package oracle
