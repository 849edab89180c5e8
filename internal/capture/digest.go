package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
)

// digestWorkers read files beside the supervisor's thread.
const digestWorkers = 2

// maxDigest bounds the size of what is read, in bytes: a sparse file may claim
// any size, and a run waits for every digest.
const maxDigest = 1 << 30 // 1 GiB

// settleTime is how old a file's last change must be before its digest is kept
// for the next open: a younger file may change again without a visible change of
// its times.
const settleTime = 2 * time.Second

// Digests computes and remembers file digests. One value serves all recordings
// of a run. Its methods are safe for concurrent use.
type Digests struct {
	mu    sync.Mutex
	known map[fileKey]*digest
	queue chan *digest
	busy  sync.WaitGroup
}

// fileKey identifies a content: another content has another key, unless it was
// changed within settleTime.
type fileKey struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// digest is the digest of one file, to come.
type digest struct {
	fd     int // to read from, owned
	key    fileKey
	done   chan struct{}
	set    evidence.DigestSet
	reason string // why there is none
}

// NewDigests starts the workers.
func NewDigests() *Digests {
	d := &Digests{known: map[fileKey]*digest{}, queue: make(chan *digest, 256)}
	for range digestWorkers {
		go d.work()
	}
	return d
}

// Close ends the workers. No recording may be in use any more.
func (d *Digests) Close() { close(d.queue) }

func (d *Digests) wait() { d.busy.Wait() }

// of returns the digest of an object, computed beside. Only the content of
// regular files that are no pseudo files is digested.
func (d *Digests) of(l location) *digest {
	key := keyOf(&l.stat)
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[key]; known != nil && l.fd >= 0 {
		return known
	}
	if reason := undigestible(l); reason != "" {
		return &digest{reason: reason}
	}
	host, alias := hostKey(key, l.path)
	if known := d.known[host]; alias && known != nil {
		d.known[key] = known
		return known
	}
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return &digest{reason: err.Error()}
	}
	next := &digest{fd: fd, key: key, done: make(chan struct{})}
	changed := time.Unix(l.stat.Ctim.Unix())
	if time.Since(changed) > settleTime {
		d.known[key] = next
		if alias {
			d.known[host] = next // for the next run, whose overlay is another device
		}
	}
	d.busy.Add(1)
	d.queue <- next
	return next
}

func keyOf(st *unix.Stat_t) fileKey {
	return fileKey{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// hostKey is the key that a large file has on the host, when it is seen through an
// overlay: there the number of the device is the overlay's own and another one in
// every run. What the overlay's upper layer holds is another content: it has a later
// change time, which nobody can set.
func hostKey(key fileKey, path string) (fileKey, bool) {
	var st unix.Stat_t
	if key.size < rememberSize || unix.Lstat(path, &st) != nil {
		return key, false
	}
	host := keyOf(&st)
	same := host
	same.dev = key.dev
	return host, same == key && host != key
}

func undigestible(l location) string {
	if l.fd < 0 {
		return "not reachable by path"
	}
	switch l.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFSOCK:
		return "socket"
	default:
		return "device"
	}
	if l.stat.Size > maxDigest {
		return "larger than 1 GiB"
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(l.fd, &fs); err != nil {
		return err.Error()
	}
	switch fs.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.SECURITYFS_MAGIC:
		return "pseudo file"
	}
	return ""
}

func (d *Digests) work() {
	buf := make([]byte, 256<<10) // 256 KiB
	for next := range d.queue {
		next.compute(buf)
		close(next.done)
		d.busy.Done()
	}
}

func (n *digest) compute(buf []byte) {
	defer unix.Close(n.fd)
	// The descriptor is O_PATH; opening it anew by its own name gives the same object.
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(n.fd))
	if err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		n.reason = "not readable: " + err.Error()
		return
	}
	defer f.Close()
	h := sha256.New()
	from := io.LimitReader(f, maxDigest+1) // it may grow meanwhile
	for {
		k, err := from.Read(buf)
		h.Write(buf[:k])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			n.reason = "read failed"
			return
		}
	}
	// The caller went on meanwhile: what was hashed is what it opened only if
	// nothing changed the file since.
	var after unix.Stat_t
	if err := unix.Fstat(n.fd, &after); err != nil || keyOf(&after) != n.key {
		n.reason = "changed before it was read"
		return
	}
	n.set = evidence.DigestSet{"sha256": hex.EncodeToString(h.Sum(nil))}
}

// result waits for the digest; of nil it is the empty set. The reason is why
// there is none.
func (n *digest) result() (evidence.DigestSet, string) {
	if n == nil {
		return evidence.DigestSet{}, ""
	}
	if n.done != nil {
		<-n.done
	}
	if n.set == nil {
		return evidence.DigestSet{}, n.reason
	}
	return n.set, ""
}
