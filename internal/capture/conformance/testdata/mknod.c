// mknod and mknodat: a pipe, a socket, a file; a device is denied.
#include "truth.h"
#include <sys/sysmacros.h>

static void made(long r, const char *kind, const char *path) { say("node\t%s\t%s\t%s", result(r), kind, path); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  made(syscall(SYS_mknod, in(dir, "pipe"), S_IFIFO | 0600, 0), "fifo", in(dir, "pipe"));
  made(syscall(SYS_mknodat, at, "sock", S_IFSOCK | 0600, 0), "socket", in(dir, "dir/sock"));
  made(syscall(SYS_mknod, in(dir, "plain"), S_IFREG | 0600, 0), "file", in(dir, "plain"));
  made(syscall(SYS_mknod, in(dir, "mem"), S_IFCHR | 0600, makedev(1, 1)), "char", in(dir, "mem"));
  made(syscall(SYS_mknodat, at, "disk", S_IFBLK | 0600, makedev(8, 0)), "block", in(dir, "dir/disk"));
  made(syscall(SYS_mknod, in(dir, "file"), S_IFIFO | 0600, 0), "fifo", in(dir, "file"));
  finish(0);
}
