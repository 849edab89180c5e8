package step

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// Limits bound what the processes of a recording may use together; they are
// looked at every limitsPoll. 0 is no bound.
type Limits struct {
	// Memory is the sum of resident memory of all processes inside, in bytes; pages
	// that they share count for each.
	Memory int64
	// FreeDisk is what must stay free on the file system of Directory, in bytes.
	FreeDisk  int64
	Directory string
}

// limitsPoll is how often the use of memory and disk is looked at.
const limitsPoll = 500 * time.Millisecond

// exceeded returns the limit that is reached, if one is.
func (l Limits) exceeded(init int) *evidence.Limit {
	if l.Memory > 0 && residentMemory(init) > l.Memory {
		return &evidence.Limit{Name: "memory", Value: l.Memory, Unit: "bytes"}
	}
	if l.FreeDisk > 0 {
		var fs unix.Statfs_t
		if err := unix.Statfs(l.Directory, &fs); err == nil && int64(fs.Bavail)*fs.Bsize < l.FreeDisk {
			return &evidence.Limit{Name: "free-disk", Value: l.FreeDisk, Unit: "bytes"}
		}
	}
	return nil
}

// residentMemory sums the second field of /proc/PID/statm (proc(5)), in pages,
// over the processes that the sandbox's own /proc lists.
func residentMemory(init int) int64 {
	root := fmt.Sprintf("/proc/%d/root/proc", init)
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0
	}
	var pages int64
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == 1 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, e.Name(), "statm"))
		if err != nil {
			continue // it ended meanwhile
		}
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				pages += n
			}
		}
	}
	return pages * int64(os.Getpagesize())
}
