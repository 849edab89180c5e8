// pidfd_getfd: a descriptor that is taken out of another process.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int ready[2], go[2];
  must(pipe2(ready, 0), "pipe");
  must(pipe2(go, 0), "pipe");
  long child = must(syscall(SYS_fork), "fork");
  char c = 0;
  if (child == 0) {
    long fd = open_truly(in(dir, "file"), O_RDONLY, 0);
    must(dup2(fd, 60), "dup2");
    if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1) die("pipe");
    finish(0);
  }
  say("child\t%ld", child);
  if (read(ready[0], &c, 1) != 1) die("read");
  long pidfd = must(syscall(SYS_pidfd_open, child, 0), "pidfd_open"), fd = syscall(SYS_pidfd_getfd, pidfd, 60, 0);
  say("event\tpidfd_getfd\t%s\t", result(fd));
  if (write(go[1], &c, 1) != 1) die("write");
  await(child);
  finish(0);
}
