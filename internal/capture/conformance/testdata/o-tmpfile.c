// O_TMPFILE: a file without a name, which then gets one.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char name[64], path[PATH_MAX + 16];
  // The record names the directory: the call has no other name.
  long fd = syscall(SYS_openat, AT_FDCWD, dir, O_TMPFILE | O_WRONLY, 0644);
  say("open\t%s\twrite\t0\t%s", result(fd), dir);
  must(write(fd, "nameless", 8), "write");
  snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
  snprintf(path, sizeof path, "%s", path_of(fd));
  long r = syscall(SYS_linkat, AT_FDCWD, name, AT_FDCWD, in(dir, "named"), AT_SYMLINK_FOLLOW);
  say("link\t%s\t%s\t%s", result(r), path, in(dir, "named"));
  finish(0);
}
