// Package attestation holds the signed side of the evidence: in-toto
// statements, DSSE envelopes, Sigstore bundles, the collection of one step, and
// the table of attestation types. It signs bytes and checks signatures over
// bytes; it never marshals a document a second time, because a signature is
// about the bytes that were signed and about nothing else.
//
// Everything read here comes from outside: reads are bounded (see
// [MaxDocument]), JSON is refused when it is ambiguous (an object with the same
// key twice, text that is not UTF-8, anything after the document).
package attestation
