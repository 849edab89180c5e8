package capture

import (
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// Which digests outlive a run: of files that are large enough to be worth it and
// have not changed for a while, that is of interpreters, compilers and libraries.
const (
	rememberSize  = 64 << 10 // 64 KiB
	rememberAge   = 10 * settleTime
	rememberFiles = 20_000
)

// remembered is one line of what Export writes. A file is the same while device,
// inode, size and both times are; the change time cannot be set by its owner.
type remembered struct {
	Dev    uint64        `json:"dev"`
	Inode  uint64        `json:"inode"`
	Size   int64         `json:"size"`
	Mtime  unix.Timespec `json:"mtime"`
	Ctime  unix.Timespec `json:"ctime"`
	SHA256 string        `json:"sha256"`
}

// Export returns the digests that are worth keeping for the next run, as JSON.
// The bytes must be kept where nothing untrusted can write.
func (d *Digests) Export() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := []remembered{}
	for key, n := range d.known {
		select {
		case <-n.done:
		default:
			continue
		}
		if key.size < rememberSize || time.Since(time.Unix(key.ctime.Unix())) < rememberAge || n.set["sha256"] == "" {
			continue
		}
		if lines = append(lines, remembered{key.dev, key.ino, key.size, key.mtime, key.ctime, n.set["sha256"]}); len(lines) == rememberFiles {
			break
		}
	}
	data, err := json.Marshal(lines)
	if err != nil {
		return nil, fmt.Errorf("export digests: %w", err)
	}
	return data, nil
}

// Import takes what Export wrote. What is known already stands.
func (d *Digests) Import(data []byte) error {
	var lines []remembered
	if err := json.Unmarshal(data, &lines); err != nil {
		return fmt.Errorf("import digests: %w", err)
	}
	done := make(chan struct{})
	close(done)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range lines {
		key := fileKey{l.Dev, l.Inode, l.Size, l.Mtime, l.Ctime}
		if _, known := d.known[key]; !known && len(l.SHA256) == 64 {
			d.known[key] = &digest{done: done, set: evidence.DigestSet{"sha256": l.SHA256}}
		}
	}
	return nil
}
