// What the program was given: standard input, output and error, and nothing more.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  for (int fd = 3; fd < 4096; fd++)
    if (fcntl(fd, F_GETFD) >= 0) {
      errno = 0;
      dprintf(2, "descriptor %d is open: %s\n", fd, path_of(fd));
    }
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
