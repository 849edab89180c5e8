// Through /proc/self/fd: an open file, one that was deleted, a directory, and a
// number that is not open.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char name[64];
  long fd = open_truly(in(dir, "file"), O_RDONLY, 0);
  snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
  open_truly(name, O_RDONLY, 0);
  snprintf(name, sizeof name, "/dev/fd/%ld", fd);
  open_truly(name, O_RDONLY, 0);
  long at = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  snprintf(name, sizeof name, "/proc/self/fd/%ld/inner", at);
  open_truly(name, O_RDONLY, 0);
  long other = open_truly(in(dir, "other"), O_RDONLY, 0);
  say("delete\t%s\t%s", result(syscall(SYS_unlink, in(dir, "other"))), in(dir, "other"));
  snprintf(name, sizeof name, "/proc/self/fd/%ld", other);
  open_truly(name, O_RDONLY, 0);
  snprintf(name, sizeof name, "/proc/%d/fd/777", number());
  open_truly(name, O_RDONLY, name);
  finish(0);
}
