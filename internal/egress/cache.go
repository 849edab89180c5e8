package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
)

// cache is a directory of files by their SHA-256: sha256/ab/abcdef…. It may be
// shared by runs at the same time. What is in it is compared with its name at
// every use; what does not fit is removed. The cache is a convenience: that it
// cannot be read or written is never a failure of the run.
type cache struct{ dir string }

func (c cache) path(digest string) string {
	return filepath.Join(c.dir, "sha256", digest[:2], digest)
}

// open returns the file of a digest, verified and at its start.
func (c cache) open(digest string) (file *os.File, length int64, ok bool) {
	if c.dir == "" || !hexDigest(digest) {
		return nil, 0, false
	}
	path := c.path(digest)
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, false
	}
	h := sha256.New()
	length, err = io.Copy(h, io.LimitReader(file, maxFileSize+1))
	if err == nil && hex.EncodeToString(h.Sum(nil)) == digest {
		if _, err = file.Seek(0, io.SeekStart); err == nil {
			return file, length, true
		}
	}
	file.Close()
	os.Remove(path)
	return nil, 0, false
}

// create starts a new file; the result is nil, and its methods do nothing, when
// there is no cache, no digest, or no room.
func (c cache) create(digest string) *keeper {
	if c.dir == "" || !hexDigest(digest) {
		return nil
	}
	path := c.path(digest)
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return nil
	}
	return &keeper{file: file, path: path}
}

// keeper writes one file of the cache. It appears under its name complete or
// not at all.
type keeper struct {
	file *os.File // nil once it was given up or finished
	path string
}

func (k *keeper) write(b []byte) {
	if k == nil || k.file == nil {
		return
	}
	if _, err := k.file.Write(b); err != nil {
		k.discard()
	}
}

// commit gives the file its name. The caller has compared its digest.
func (k *keeper) commit() {
	if k == nil || k.file == nil {
		return
	}
	name := k.file.Name()
	err := k.file.Close()
	k.file = nil
	if err == nil {
		err = os.Rename(name, k.path)
	}
	if err != nil {
		os.Remove(name)
	}
}

// discard removes an unfinished file.
func (k *keeper) discard() {
	if k == nil || k.file == nil {
		return
	}
	k.file.Close()
	os.Remove(k.file.Name())
	k.file = nil
}
