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
    long fd = syscall(SYS_openat, AT_FDCWD, in(dir, "empty/x"), O_WRONLY | O_CREAT, 0644);
    say("open\t%s\twrite\t0\t%s", result(fd), in(dir, "empty/x"));
    if (fd >= 0) say("write\t%s", in(dir, "empty/x"));
  }
  finish(0);
}
