// link and linkat: of a file, of a symlink and through it, of a descriptor, of a
// directory, over a name and to another file system.
#include "truth.h"

static void linked(long r, const char *from, const char *to) { say("link\t%s\t%s\t%s", result(r), from, to); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char name[64];
  linked(syscall(SYS_link, in(dir, "file"), in(dir, "second")), in(dir, "file"), in(dir, "second"));
  linked(syscall(SYS_link, in(dir, "link"), in(dir, "third")), in(dir, "link"), in(dir, "third"));
  linked(syscall(SYS_linkat, AT_FDCWD, in(dir, "link"), AT_FDCWD, in(dir, "fourth"), AT_SYMLINK_FOLLOW), in(dir, "file"), in(dir, "fourth"));
  long fd = open_truly(in(dir, "other"), O_RDONLY, 0);
  snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
  linked(syscall(SYS_linkat, AT_FDCWD, name, AT_FDCWD, in(dir, "fifth"), AT_SYMLINK_FOLLOW), in(dir, "other"), in(dir, "fifth"));
  linked(syscall(SYS_link, in(dir, "dir"), in(dir, "x")), in(dir, "dir"), in(dir, "x"));
  linked(syscall(SYS_link, in(dir, "file"), in(dir, "other")), in(dir, "file"), in(dir, "other"));
  linked(syscall(SYS_link, in(dir, "file"), "/dev/shm/x"), in(dir, "file"), "/dev/shm/x");
  finish(0);
}
