package evidence

import "time"

// Tree is the state of one or more directory trees at one moment.
type Tree struct {
	// Roots are absolute paths inside the sandbox, sorted.
	Roots []string `json:"roots"`
	// Files maps absolute paths inside the sandbox to their state; the roots
	// themselves are included. Names that are not UTF-8 are percent-encoded
	// (each bad byte as %XX) and listed in Encoded.
	Files map[string]FileState `json:"files"`
	// Encoded are the keys of Files whose name was percent-encoded, sorted.
	Encoded []string `json:"encoded,omitempty"`
	// Unread are paths whose content or entries could not be read.
	Unread []UnreadPath `json:"unread,omitempty"`
}

// FileKind is the kind of a file system entry.
type FileKind string

// Kinds of file system entries.
const (
	KindFile      FileKind = "file"
	KindDirectory FileKind = "directory"
	KindSymlink   FileKind = "symlink"
	KindSocket    FileKind = "socket"
	KindFIFO      FileKind = "fifo"
	KindDevice    FileKind = "device"
)

// FileState is one file system entry. Digests is set for regular files that
// could be read: sha256, sha1, gitoid:sha1, gitoid:sha256. Target is the text
// of a symlink.
type FileState struct {
	Kind       FileKind  `json:"kind"`
	Digests    DigestSet `json:"digests,omitempty"`
	Target     string    `json:"target,omitempty"`
	Size       int64     `json:"size"`
	Mode       uint32    `json:"mode"` // permission bits with setuid, setgid, sticky, as in stat(2) & 07777
	UID        uint32    `json:"uid"`
	GID        uint32    `json:"gid"`
	ModTime    time.Time `json:"mtime"`
	ChangeTime time.Time `json:"ctime"`
	AccessTime time.Time `json:"atime"`
	Dev        uint64    `json:"-"`
	Inode      uint64    `json:"-"`
	Links      uint64    `json:"-"`
}

// UnreadPath is a path that could not be read, and why.
type UnreadPath struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}
