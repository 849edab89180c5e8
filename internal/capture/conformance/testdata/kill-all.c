// kill(-1): every process but the caller and init, inside only.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int ready[2];
  must(pipe2(ready, 0), "pipe");
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    if (write(ready[1], "x", 1) != 1) die("write");
    pause();
    finish(0);
  }
  say("child\t%ld", child);
  char c;
  if (read(ready[0], &c, 1) != 1) die("read");
  say("event\tkill\t%s\tpid -1 signal 9", result(syscall(SYS_kill, -1, SIGKILL)));
  await(child);
  open_truly(in(dir, "other"), O_RDONLY, 0);
  finish(0);
}
