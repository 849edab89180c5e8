// The program that the kernel starts when a control group is empty: the groups
// of version 1 are mounted, in namespaces of its own too, and their file opened.
#include "truth.h"
#include <sys/mount.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (syscall(SYS_mount, "cgroup", in(dir, "empty"), "cgroup", 0, "memory") == 0) die("mount without rights");
  say("event\tmount\tEPERM\t%s", in(dir, "empty"));
  if (open_truly("/sys/fs/cgroup/release_agent", O_WRONLY, 0) >= 0) die("release_agent");
  say("event\tunshare\t%s\t", result(syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)));
  if (syscall(SYS_mount, "cgroup", in(dir, "empty"), "cgroup", 0, "memory") == 0) die("cgroup version 1 in namespaces of its own");
  finish(0);
}
