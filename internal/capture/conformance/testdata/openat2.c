// openat2: with each of its restrictions, in another root, and refused by them.
#include "truth.h"

static long with(int at, const char *path, long flags, long resolve, const char *wanted) {
  struct open_how how = {.flags = flags, .mode = flags & O_CREAT ? 0644 : 0, .resolve = resolve};
  return opened(syscall(SYS_openat2, at, path, &how, sizeof how), flags, wanted);
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long top = open_truly(dir, O_RDONLY | O_DIRECTORY, 0), below = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  with(top, "dirlink/inner", O_RDONLY, 0, "");
  with(top, "made", O_WRONLY | O_CREAT, 0, "");
  with(below, "/inner", O_RDONLY, RESOLVE_IN_ROOT, "");
  with(below, "../../../inner", O_RDONLY, RESOLVE_IN_ROOT, "");
  with(below, "inner", O_RDONLY, RESOLVE_BENEATH, "");
  with(below, "../file", O_RDONLY, RESOLVE_BENEATH, in(dir, "file"));
  with(top, "link", O_RDONLY, RESOLVE_NO_SYMLINKS, in(dir, "link"));
  finish(0);
}
