// Through symlinks: relative, absolute, winding, to a directory, in a loop,
// dangling, created through, and not followed.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  open_truly(in(dir, "link"), O_RDONLY, 0);
  open_truly(in(dir, "absolute"), O_RDONLY, 0);
  open_truly(in(dir, "winding"), O_RDONLY, 0);
  open_truly(in(dir, "dirlink/inner"), O_RDONLY, 0);
  open_truly(in(dir, "dirlink/../file"), O_RDONLY, 0);
  open_truly(in(dir, "loop"), O_RDONLY, in(dir, "loop"));
  open_truly(in(dir, "dangling"), O_RDONLY, in(dir, "missing"));
  open_truly(in(dir, "link"), O_RDONLY | O_NOFOLLOW, in(dir, "link"));
  open_truly(in(dir, "dangling"), O_WRONLY | O_CREAT | O_EXCL, in(dir, "dangling"));
  open_truly(in(dir, "dangling"), O_WRONLY | O_CREAT, 0);
  finish(0);
}
