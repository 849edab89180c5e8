// The program that the kernel starts when a control group is empty: the groups
// are mounted, in namespaces of its own too; a group is made and the file is
// written with what it holds already. Nothing of it may work, because the groups
// are those of the whole machine.
#include "truth.h"
#include <sys/mount.h>

static const char *dir;

static void attempt(const char *type, const char *options) {
  long r = syscall(SYS_mount, type, in(dir, "empty"), type, 0, options);
  say("event\tmount\t%s\t%s", result(r), in(dir, "empty"));
  if (r < 0) return;
  char *group = in(dir, "empty/conformance"), *agent = in(dir, "empty/release_agent");
  r = syscall(SYS_mkdirat, AT_FDCWD, group, 0755);
  say("node\t%s\tdirectory\t%s", result(r), group);
  if (r == 0) {
    rmdir(group);
    say("delete\t0\t%s", group);
    dprintf(2, "a control group of the machine was made by %s\n", type);
  }
  long fd = syscall(SYS_openat, AT_FDCWD, agent, O_RDWR);
  opened(fd, O_RDWR, agent);
  if (fd >= 0) {
    char text[PATH_MAX];
    ssize_t n = read(fd, text, sizeof text);
    if (n > 0 && pwrite(fd, text, n, 0) == n) dprintf(2, "release_agent was written by %s\n", type);
  }
  say("event\tumount2\t%s\t%s", result(syscall(SYS_umount2, in(dir, "empty"), MNT_DETACH)), in(dir, "empty"));
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  attempt("cgroup", "memory");
  attempt("cgroup2", "");
  if (open_truly("/sys/fs/cgroup/release_agent", O_WRONLY, 0) >= 0) die("release_agent");
  say("event\tunshare\t%s\t", result(syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)));
  attempt("cgroup", "memory");
  attempt("cgroup2", "");
  finish(0);
}
