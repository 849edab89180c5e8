// Through a hard link: the name that was used, and the inode of both.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  open_truly(in(dir, "hard"), O_RDONLY, 0);
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
