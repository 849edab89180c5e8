// Relative to the working directory: by chdir, by fchdir, in one that was
// removed, and for a child that has another one than its parent.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  must(chdir(in(dir, "dir")), "chdir");
  open_truly("inner", O_RDONLY, 0);
  open_truly("../file", O_RDONLY, 0);
  long at = open_truly(dir, O_RDONLY | O_DIRECTORY, 0);
  must(fchdir(at), "fchdir");
  open_truly("other", O_RDWR, 0);
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    must(chdir("dir"), "chdir");
    open_truly("inner", O_RDONLY, 0);
    finish(0);
  }
  await(child);
  say("child\t%ld", child);
  open_truly("dir/inner", O_RDONLY, 0);
  must(chdir(in(dir, "empty")), "chdir");
  say("delete\t%s\t%s", result(syscall(SYS_unlinkat, AT_FDCWD, in(dir, "empty"), AT_REMOVEDIR)), in(dir, "empty"));
  char gone[PATH_MAX];
  snprintf(gone, sizeof gone, "%s (deleted)/x", in(dir, "empty"));
  open_truly("x", O_RDONLY, gone);
  finish(0);
}
