// openat: an absolute path, for which the descriptor does not count, and one
// relative to a descriptor that is not open.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  opened(syscall(SYS_openat, AT_FDCWD, in(dir, "file"), O_RDONLY), O_RDONLY, "");
  opened(syscall(SYS_openat, 77, in(dir, "other"), O_RDWR), O_RDWR, "");
  opened(syscall(SYS_openat, 77, "file", O_RDONLY), O_RDONLY, "file");
  finish(0);
}
