package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/internal/sandbox"
)

// runPrefix begins the names of the throw-away directories of runs.
const runPrefix = "pip-witness-"

// ownerFile lies in the throw-away directory of each run. The run holds a lock
// (flock(2)) on it, which the kernel takes back when the process ends in any way:
// unlike a process id it cannot be mistaken for the one of somebody else. The
// name appears locked, so who finds it without a lock has found a dead run's.
const ownerFile = ".owner"

// abandonedAfter is when an empty directory without owner counts as left by a run
// that was killed between making the directory and owning it.
const abandonedAfter = time.Hour

// ownDirectory marks dir as the directory of a live run until the returned file
// is closed or this process ends.
func ownDirectory(dir string) (*os.File, error) {
	draft := filepath.Join(dir, ownerFile+".new")
	f, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("own the run's directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = os.Rename(draft, filepath.Join(dir, ownerFile))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("own the run's directory %q: %w", dir, err), f.Close())
	}
	return f, nil
}

// keepDirectory makes dir nobody's: it stays until the user removes it.
func keepDirectory(dir string) error {
	if err := os.Remove(filepath.Join(dir, ownerFile)); err != nil {
		return fmt.Errorf("keep the run's directory: %w", err)
	}
	return nil
}

// removeStale removes the directories below parent that runs of this user left
// when they were killed. Those of live runs, kept ones and what only has a
// similar name stay. An error is about directories that could not be removed;
// the others were.
func removeStale(parent string, now time.Time) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("look for directories of dead runs: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), runPrefix) {
			continue
		}
		if err := removeDead(filepath.Join(parent, e.Name()), now); err != nil {
			failed = append(failed, fmt.Errorf("remove the directory of a dead run: %w", err))
		}
	}
	return errors.Join(failed...)
}

// removeDead removes one directory if its run is dead.
func removeDead(dir string, now time.Time) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) {
		return nil // its own run removed it meanwhile, or it is somebody else's
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", dir, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("look at %q: %w", dir, err)
	}
	if int(stat.Uid) != os.Geteuid() {
		return nil // anybody can make such a name in a shared directory
	}
	owner, err := unix.Openat(fd, ownerFile, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return removeAbandoned(dir, time.Unix(stat.Mtim.Unix()), now)
	}
	defer unix.Close(owner)
	if err := unix.Flock(owner, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its run is alive, or another check removes it already
	}
	return sandbox.RemoveAll(dir)
}

// removeAbandoned removes what a run left that was killed before it owned its
// directory: nothing but the directory, or the draft of the owner file in it.
func removeAbandoned(dir string, modified, now time.Time) error {
	if now.Sub(modified) < abandonedAfter {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != ownerFile+".new" {
		return nil // kept, or none of ours
	}
	if len(entries) == 1 {
		err = os.Remove(filepath.Join(dir, entries[0].Name()))
	}
	return errors.Join(err, os.Remove(dir))
}
