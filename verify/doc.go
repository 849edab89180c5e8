// Package verify judges signed evidence by a signed policy. It runs anywhere,
// executes nothing and knows no attestor: it works on the bytes that were
// signed. [Verify] reads as the specification does, as ten named checks.
//
//	policy envelope ── signature, expiry ──► policy
//	evidence ── envelope, signature ──► collections by step
//	each step in topological order, each collection of it:
//	    functionary, time stamps, step name, attestation types,
//	    subjects and binding, modules, severity ──► verdict of the step
package verify
