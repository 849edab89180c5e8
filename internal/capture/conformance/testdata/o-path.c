// O_PATH: of a file without rights, of a symlink itself, and turned into a
// descriptor that reads.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char name[64];
  open_truly(in(dir, "secret"), O_PATH, 0);
  open_truly(in(dir, "link"), O_PATH | O_NOFOLLOW, 0);
  long fd = open_truly(in(dir, "file"), O_PATH, 0);
  snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
  open_truly(name, O_RDONLY, 0);
  finish(0);
}
