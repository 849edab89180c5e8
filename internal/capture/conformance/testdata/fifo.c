// A named pipe, whose opens wait for each other.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char byte = 0, *name = in(dir, "pipe");
  say("node\t%s\tfifo\t%s", result(syscall(SYS_mknod, name, S_IFIFO | 0600, 0)), name);
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    usleep(50000);
    long fd = open_truly(name, O_WRONLY, 0);
    if (write(fd, "x", 1) != 1) die("write");
    finish(0);
  }
  long fd = open_truly(name, O_RDONLY, 0);
  if (read(fd, &byte, 1) != 1 || byte != 'x') die("read");
  await(child);
  say("child\t%ld", child);
  finish(0);
}
