// mkdir, mkdirat, rmdir, unlink and unlinkat, and those that fail.
#include "truth.h"

static void made(long r, const char *path) { say("node\t%s\tdirectory\t%s", result(r), path); }
static void removed(long r, const char *path) { say("delete\t%s\t%s", result(r), path); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  made(syscall(SYS_mkdir, in(dir, "fresh"), 0755), in(dir, "fresh"));
  made(syscall(SYS_mkdirat, at, "below", 0755), in(dir, "dir/below"));
  made(syscall(SYS_mkdir, in(dir, "file"), 0755), in(dir, "file"));
  made(syscall(SYS_mkdir, in(dir, "frozen/x"), 0755), in(dir, "frozen/x"));
  removed(syscall(SYS_rmdir, in(dir, "fresh")), in(dir, "fresh"));
  removed(syscall(SYS_unlinkat, at, "below", AT_REMOVEDIR), in(dir, "dir/below"));
  removed(syscall(SYS_unlinkat, at, "inner", 0), in(dir, "dir/inner"));
  removed(syscall(SYS_unlink, in(dir, "link")), in(dir, "link"));
  removed(syscall(SYS_unlink, in(dir, "none")), in(dir, "none"));
  removed(syscall(SYS_unlink, in(dir, "dir")), in(dir, "dir"));
  removed(syscall(SYS_rmdir, in(dir, "file")), in(dir, "file"));
  finish(0);
}
