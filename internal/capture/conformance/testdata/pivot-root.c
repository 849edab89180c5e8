// Another root directory: denied, and in a user namespace of its own of that
// process only. What it opens there is named by its path outside of the new root.
#include "truth.h"
#include <sys/mount.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  say("event\tpivot_root\t%s\t%s", result(syscall(SYS_pivot_root, dir, dir)), dir);
  say("event\tchroot\t%s\t%s", result(syscall(SYS_chroot, in(dir, "dir"))), in(dir, "dir"));
  long r = syscall(SYS_unshare, CLONE_NEWUSER);
  say("event\tunshare\t%s\t", result(r));
  if (r == 0) {
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s/dir/inner", dir);
    r = syscall(SYS_chroot, in(dir, "dir"));
    say("event\tchroot\t%s\t%s", result(r), in(dir, "dir"));
    if (r == 0) {
      long fd = must(syscall(SYS_openat, AT_FDCWD, "/inner", O_RDONLY), "open");
      struct stat s;
      must(fstat(fd, &s), "fstat");
      say("open\t0\tread\t%lu\t%s", (unsigned long)s.st_ino, inner);
    }
  }
  finish(0);
}
