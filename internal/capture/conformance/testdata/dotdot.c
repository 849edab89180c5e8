// With "..", ".", doubled slashes, above the root, and after a symlink.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char above[PATH_MAX];
  open_truly(in(dir, "dir/../file"), O_RDONLY, 0);
  open_truly(in(dir, "./dir//.././dir///inner"), O_RDONLY, 0);
  snprintf(above, sizeof above, "/../../..%s/file", dir);
  open_truly(above, O_RDONLY, 0);
  open_truly(in(dir, "dirlink/../other"), O_RDONLY, 0);
  open_truly(in(dir, "none/../file"), O_RDONLY, in(dir, "file"));
  finish(0);
}
