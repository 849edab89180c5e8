package walk

import (
	"sync"
	"time"

	"pip-witness/evidence"
)

// identity is what a file must still have for its digests to hold. The change
// time cannot be set by a program, so a write cannot be hidden by restoring the
// modification time.
type identity struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

func identityOf(s evidence.FileState) identity {
	return identity{
		dev: s.Dev, inode: s.Inode, size: s.Size,
		mtime: s.ModTime.UnixNano(), ctime: s.ChangeTime.UnixNano(),
	}
}

const (
	// settleTime is how long a file must have been left alone before its
	// digests are kept. Kernel times are as coarse as a timer tick, on some file
	// systems a second: a file that is written twice within one tick has the
	// same identity with different content.
	settleTime = 2 * time.Second
	// maxCacheEntries bounds the memory of a cache: about 0.8 KiB an entry.
	maxCacheEntries = 1 << 18 // entries
)

// DigestCache remembers the digests of files between walks, so that a file
// that has not changed is not read again. The zero value is ready to use, and a
// nil cache remembers nothing. It is safe for concurrent use, and must not be
// shared with anything untrusted.
type DigestCache struct {
	mu      sync.Mutex
	entries map[identity]evidence.DigestSet
}

func (c *DigestCache) get(id identity) (evidence.DigestSet, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.entries[id]
	return d, ok
}

// put remembers the digests of the file id, whose reading began at the time
// began. A file that was changed within settleTime before is not remembered,
// nor is one whose change time lies in the future.
func (c *DigestCache) put(id identity, d evidence.DigestSet, began time.Time) {
	if c == nil || began.UnixNano()-id.ctime < int64(settleTime) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[identity]evidence.DigestSet)
	}
	if len(c.entries) < maxCacheEntries {
		c.entries[id] = d
	}
}

// Len is the number of files that are remembered.
func (c *DigestCache) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
