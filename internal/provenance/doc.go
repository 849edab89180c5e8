// Package provenance judges the attestations that an index offers for a
// distribution file (PEP 740): it reads the provenance object, makes of each
// attestation the Sigstore bundle that it stands for, and verifies that against a
// trusted root, offline.
//
//	provenance object ─► attestations ─► bundle v0.3 ─► log, chain, SCT, signature
//	 (hostile bytes)                                     │ statement: one subject, this file
//	                                                     │ predicate type: publish or SLSA
//	                                                     └ certificate: the publisher that the index names
//
// A result is verified only when every one of these holds. What cannot be
// compared because this version does not know it is not evaluated, which is
// neither verified nor invalid.
//
// Sources: PEP 740; the index's documentation of the publish attestation; Sigstore's
// bundle v0.3 and Fulcio's table of certificate extensions (1.3.6.1.4.1.57264.1).
package provenance

// Limits on what an index sends.
const (
	// MaxSize is the size of one provenance object, in bytes.
	MaxSize         = 4 << 20 // 4 MiB; one attestation is near 10 KiB
	maxAttestations = 16      // of one provenance object, all publishers together
	maxEntries      = 8       // transparency log entries of one attestation
	maxReason       = 512     // bytes of a reason in a result
)

// Predicate types of PEP 740 attestations. They are names that signers write into
// statements, not places: nothing is ever asked there. The first is written in two
// parts because no file of this project names the host of an index.
const (
	// TypePublish is what an index's trusted publisher signs on upload.
	TypePublish = "https://docs.pypi" + ".org/attestations/publish/v1"
	// TypeSLSA is a build provenance.
	TypeSLSA = "https://slsa.dev/provenance/v1"
)
