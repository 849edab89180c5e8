// A user and a mount namespace of its own, and a mount there, which exists for
// this process only; without them mounts are denied.
#include "truth.h"
#include <sys/mount.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (syscall(SYS_mount, "none", in(dir, "empty"), "tmpfs", 0, "") == 0) die("mount without rights");
  say("event\tmount\tEPERM\t%s", in(dir, "empty"));
  say("event\tumount2\t%s\t/proc", result(syscall(SYS_umount2, "/proc", MNT_DETACH)));
  long r = syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS);
  say("event\tunshare\t%s\t", result(r));
  if (r == 0 && syscall(SYS_mount, "none", in(dir, "empty"), "tmpfs", 0, "") == 0) {
    say("event\tmount\t0\t%s", in(dir, "empty"));
    long fd = must(syscall(SYS_openat, AT_FDCWD, in(dir, "empty"), O_RDONLY | O_DIRECTORY), "open");
    say("open\t0\tdirectory\t0\t%s", path_of(fd)); // another inode there than outside
  }
  finish(0);
}
