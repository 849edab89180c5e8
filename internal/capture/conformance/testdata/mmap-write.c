// Written through a shared mapping after the descriptor was closed: the digest
// must be that of the final content.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long fd = open_truly(in(dir, "other"), O_RDWR, 0);
  struct stat s;
  must(fstat(fd, &s), "fstat");
  char *data = mmap(0, s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) die("mmap");
  must(close(fd), "close");
  usleep(20000);
  memcpy(data, "LATER", 5);
  say("wrote\t%s\t%s", hex(data, s.st_size), in(dir, "other"));
  finish(0);
}
