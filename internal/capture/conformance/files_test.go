package conformance

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
)

func opening() []behaviour {
	return []behaviour{
		{name: "open", title: "open for reading, writing, both, creating, truncating"},
		{name: "openat", title: "openat with an absolute path, and relative to no descriptor"},
		{name: "openat2", title: "openat2 with each restriction, and in another root"},
		{name: "creat", title: "creat"},
		{name: "dirfd", title: "relative to a descriptor, also of a directory that was renamed"},
		{name: "cwd", title: "relative to the working directory, also one that was removed"},
		{name: "symlink-path", title: "through symlinks, dangling and looping ones too"},
		{name: "hard-link-path", title: "through a hard link"},
		{name: "dotdot", title: "with `..`, `.` and doubled slashes"},
		{name: "proc-self-root", title: "through /proc/self/root and /proc/thread-self/root, from a thread too"},
		{name: "proc-self-fd", title: "through /proc/self/fd, also of a deleted file"},
		{name: "o-path", title: "O_PATH, and read through it afterwards"},
		{name: "o-tmpfile", title: "O_TMPFILE, and a name given afterwards"},
		{name: "umask", title: "files, directories, pipes and sockets made under three masks"},
		{name: "fifo", title: "a named pipe, whose opens wait for each other"},
		{name: "open-by-handle", title: "open_by_handle_at"},
		{name: "failed-open", title: "opens that fail, of a watched credential too", check: func(t *testing.T, r run) {
			want := map[string]evidence.DigestSet{r.dir + "/id_rsa": {}, r.dir + "/secret": {}}
			if diff := cmp.Diff(want, r.Processes[0].OpenedFiles); diff != "" {
				t.Errorf("watched: want -, recorded +:\n%s", diff)
			}
		}},
	}
}

func contents() []behaviour {
	return []behaviour{
		{name: "mmap-read", title: "read through a mapping: the digest is of what was read"},
		{name: "mmap-write", title: "written through a mapping after close: the digest is of the final content"},
		{name: "splice", title: "splice from file to file through a pipe"},
		{name: "sendfile", title: "sendfile"},
		{name: "copy-file-range", title: "copy_file_range"},
		{name: "truncate", title: "truncate by path"},
	}
}

func changing() []behaviour {
	return []behaviour{
		{name: "rename", title: "rename, renameat, renameat2"},
		{name: "rename-flags", title: "renameat2 with RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT"},
		{name: "hard-link", title: "link and linkat, of a symlink and of a descriptor too"},
		{name: "symbolic-link", title: "symlink and symlinkat"},
		{name: "attributes", title: "setxattr, lsetxattr, fsetxattr"},
		{name: "chmod", title: "chmod, fchmod, fchmodat, fchmodat2, with set-user-ID"},
		{name: "chown", title: "chown, lchown, fchown, fchownat"},
		{name: "mknod", title: "mknod and mknodat; devices are denied"},
		{name: "directory", title: "mkdir, mkdirat, rmdir, unlink, unlinkat"},
	}
}
