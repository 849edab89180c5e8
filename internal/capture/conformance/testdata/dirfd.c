// Relative to an open directory, also one that was renamed since, and to a file.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(in(dir, "dir"), O_PATH | O_DIRECTORY, 0);
  opened(syscall(SYS_openat, at, "inner", O_RDONLY), O_RDONLY, "");
  opened(syscall(SYS_openat, at, "../other", O_RDONLY), O_RDONLY, "");
  opened(syscall(SYS_openat, at, "none", O_RDONLY), O_RDONLY, in(dir, "dir/none"));
  say("rename\t%s\t%s\t%s", result(syscall(SYS_renameat2, AT_FDCWD, in(dir, "dir"), AT_FDCWD, in(dir, "moved"), 0)), in(dir, "dir"), in(dir, "moved"));
  opened(syscall(SYS_openat, at, "inner", O_RDWR), O_RDWR, "");
  long file = open_truly(in(dir, "file"), O_RDONLY, 0);
  opened(syscall(SYS_openat, file, "x", O_RDONLY), O_RDONLY, in(dir, "file/x"));
  finish(0);
}
