package provenance

import (
	"bytes"
	_ "embed"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// MaxRootSize is the size of a trusted root, in bytes.
const MaxRootSize = 4 << 20 // 4 MiB; the public one has 7 KiB

// publicRoot is the trusted root of Sigstore's public instance as its clients
// ship it: the certificate authority, the certificate logs and the transparency
// logs, each with the time for which it was in use.
//
//go:embed trusted_root.json
var publicRoot []byte

// Root is what attestations are verified against. It may be used concurrently.
type Root struct{ verifier *verify.Verifier }

// ShippedRoot returns the bytes of the trusted root that this program ships.
func ShippedRoot() []byte { return bytes.Clone(publicRoot) }

// NewRoot reads a trusted root in Sigstore's JSON form. It may take some
// milliseconds; verifying with it takes a few for each attestation.
func NewRoot(raw []byte) (*Root, error) {
	if len(raw) > MaxRootSize {
		return nil, fmt.Errorf("read trusted root: larger than %d bytes", MaxRootSize)
	}
	trusted, err := root.NewTrustedRootFromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	// The time of a signature is the log's: certificates live for ten minutes, and
	// attestations are read years later.
	v, err := verify.NewVerifier(trusted,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	return &Root{v}, nil
}
