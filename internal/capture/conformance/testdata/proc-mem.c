// /proc/PID/mem of a child, opened for reading and writing.
#include "truth.h"

static volatile char text[] = "before";

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int go[2];
  must(pipe2(go, 0), "pipe");
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    char c;
    if (read(go[0], &c, 1) != 1) die("read");
    open_truly(in(dir, strcmp((char *)text, "before") ? "file" : "other"), O_RDONLY, 0);
    finish(0);
  }
  say("child\t%ld", child);
  char name[64];
  snprintf(name, sizeof name, "/proc/%ld/mem", child);
  long fd = open_truly(name, O_RDWR, name);
  if (fd >= 0) must(pwrite(fd, "after!", sizeof text, (off_t)(uintptr_t)text), "pwrite");
  if (write(go[1], "x", 1) != 1) die("write");
  await(child);
  finish(0);
}
