package walk

import (
	"context"
	"crypto/sha1" //nolint:gosec // SHA-1 is a field of the format, never the only digest.
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"pip-witness/evidence"
)

// errChanged means that a file was not the same before and after it was read.
var errChanged = errors.New("changed while it was read")

// readSize is how much of a file is read at a time.
const readSize = 128 << 10 // 128 KiB

// digester computes the four digests of a file in one pass over its content.
// It belongs to one goroutine.
type digester struct {
	sha256, sha1       hash.Hash
	gitSHA256, gitSHA1 hash.Hash
	buffer             []byte
}

// newDigester returns a digester that reads size bytes at a time.
func newDigester(size int64) *digester {
	return &digester{
		sha256: sha256.New(), sha1: sha1.New(), //nolint:gosec // See the import.
		gitSHA256: sha256.New(), gitSHA1: sha1.New(), //nolint:gosec // See the import.
		buffer: make([]byte, size),
	}
}

// digest reads r to its end. size, not negative, is the length that was announced: it is part
// of a gitoid ("blob N\0" and then the content), so another length than that is
// errChanged, found without reading more than one buffer beyond size.
func (d *digester) digest(ctx context.Context, r io.Reader, size int64) (evidence.DigestSet, error) {
	header := fmt.Appendf(nil, "blob %d\x00", size)
	for _, h := range []hash.Hash{d.sha256, d.sha1, d.gitSHA256, d.gitSHA1} {
		h.Reset()
	}
	d.gitSHA256.Write(header)
	d.gitSHA1.Write(header)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := r.Read(d.buffer)
		chunk := d.buffer[:n]
		for _, h := range []hash.Hash{d.sha256, d.sha1, d.gitSHA256, d.gitSHA1} {
			h.Write(chunk)
		}
		total += int64(n)
		if total > size {
			return nil, errChanged
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if total != size {
		return nil, errChanged
	}
	return evidence.DigestSet{
		"sha256":        hex.EncodeToString(d.sha256.Sum(nil)),
		"sha1":          hex.EncodeToString(d.sha1.Sum(nil)),
		"gitoid:sha256": "gitoid:blob:sha256:" + hex.EncodeToString(d.gitSHA256.Sum(nil)),
		"gitoid:sha1":   "gitoid:blob:sha1:" + hex.EncodeToString(d.gitSHA1.Sum(nil)),
	}, nil
}

// Digest returns the digest set of the content of r, which is size bytes long:
// sha256, sha1, gitoid:sha256 and gitoid:sha1. Content of another length is an
// error.
func Digest(ctx context.Context, r io.Reader, size int64) (evidence.DigestSet, error) {
	if size < 0 {
		return nil, fmt.Errorf("digest of %d bytes: negative size", size)
	}
	return newDigester(min(size+1, readSize)).digest(ctx, r, size)
}
