// Package walk takes the state of directory trees that an untrusted program
// may have written: an [evidence.Tree] with four digests for each regular file.
//
// It trusts nothing below a root. Every component is opened relative to its
// parent's descriptor with O_NOFOLLOW, so no symbolic link is followed and no
// path leaves its root, even while something renames directories underneath.
// Only what lstat(2) calls a regular file is opened, with O_NONBLOCK, and it is
// looked at again after opening: a FIFO, a socket or a device never is.
//
//	roots ─► units of work (a directory, or up to 256 names of one)
//	           │  last in, first out, so that the queue stays short
//	           ▼
//	         workers ─► fstatat ─► cache? ─► openat ─► read once ─► 4 digests
//	           └─► one Tree, sorted lists
package walk
