package step

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/sandbox"
)

// Limits bound what the processes of a recording may use together; they are
// looked at every limitsPoll. 0 is no bound.
type Limits struct {
	// Memory is the sum of resident memory of all processes inside, in bytes; pages
	// that they share count for each.
	Memory int64
	// FreeDisk is what must stay free on the file system of Directory, in bytes.
	FreeDisk int64
	// Disk is what may lie in Directory, in bytes on the disk, and Files in how many
	// entries.
	Disk  int64
	Files int64
	// Directory has all that can be written inside.
	Directory string
}

// limitsPoll is how often the use of memory and disk is looked at.
const limitsPoll = 500 * time.Millisecond

// Counting a large directory takes longer than asking its file system. So it is
// counted when the file system as a whole says that it may be too large, and
// otherwise now and then, never for more than this part of the time.
const (
	countEvery = 5 * time.Second
	countShare = 20
)

// gauge compares use with limits.
type gauge struct {
	limits Limits
	inside bool          // in a pid namespace
	start  unix.Statfs_t // of the file system of Directory
	known  bool          // start is
	next   time.Time     // when Directory may be counted again
	due    time.Time     // when it is counted anyway
}

func (l Limits) gauge(namespaces bool) *gauge {
	g := &gauge{limits: l, inside: namespaces, due: time.Now().Add(countEvery)}
	if l.Directory != "" {
		g.known = unix.Statfs(l.Directory, &g.start) == nil
	}
	return g
}

// exceeded returns the limit that is reached, if one is.
func (g *gauge) exceeded(init int) *evidence.Limit {
	l := g.limits
	if l.Memory > 0 && residentMemory(g.processes(init)) > l.Memory {
		return &evidence.Limit{Name: "memory", Value: l.Memory, Unit: "bytes"}
	}
	var fs unix.Statfs_t
	if l.Directory == "" || unix.Statfs(l.Directory, &fs) != nil {
		return nil
	}
	if l.FreeDisk > 0 && int64(fs.Bavail)*fs.Bsize < l.FreeDisk {
		return &evidence.Limit{Name: "free-disk", Value: l.FreeDisk, Unit: "bytes"}
	}
	now := time.Now()
	if l.Disk == 0 && l.Files == 0 || now.Before(g.next) || now.Before(g.due) && !g.suspicious(&fs) {
		return nil
	}
	bytes, files := use(l.Directory, l.Disk, l.Files)
	took := time.Since(now)
	g.next, g.due = now.Add(took*countShare), now.Add(countEvery+took*countShare)
	switch {
	case l.Disk > 0 && bytes > l.Disk:
		return &evidence.Limit{Name: "disk", Value: l.Disk, Unit: "bytes"}
	case l.Files > 0 && files > l.Files:
		return &evidence.Limit{Name: "files", Value: l.Files, Unit: "entries"}
	}
	return nil
}

// suspicious tells whether the file system, which others use as well, has filled by
// as much as the limits allow.
func (g *gauge) suspicious(now *unix.Statfs_t) bool {
	if !g.known {
		return false
	}
	grown := (int64(g.start.Bfree) - int64(now.Bfree)) * now.Bsize
	made := int64(g.start.Ffree) - int64(now.Ffree)
	return g.limits.Disk > 0 && grown > g.limits.Disk || g.limits.Files > 0 && made > g.limits.Files
}

// use counts the bytes on the disk and the entries of a directory, and stops where
// either is beyond its limit. What disappears meanwhile does not count; a file with
// several names counts for each.
func use(dir string, maxBytes, maxFiles int64) (bytes, files int64) {
	// Errors are entries that went away: nothing that is not counted can stay.
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			bytes, files = bytes+st.Blocks*512, files+1
		}
		if maxBytes > 0 && bytes > maxBytes || maxFiles > 0 && files > maxFiles {
			return fs.SkipAll
		}
		return nil
	})
	return bytes, files
}

// processes lists the directories of all processes of a recording in some /proc:
// the sandbox's own, or ours.
func (g *gauge) processes(init int) []string {
	var dirs []string
	if !g.inside {
		for _, pid := range sandbox.Descendants(init) {
			dirs = append(dirs, fmt.Sprintf("/proc/%d", pid))
		}
		return dirs
	}
	root := fmt.Sprintf("/proc/%d/root/proc", init)
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != 1 {
			dirs = append(dirs, filepath.Join(root, e.Name()))
		}
	}
	return dirs
}

// residentMemory sums the second field of /proc/PID/statm (proc(5)), in pages.
func residentMemory(processes []string) int64 {
	var pages int64
	for _, dir := range processes {
		text, err := os.ReadFile(filepath.Join(dir, "statm"))
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
