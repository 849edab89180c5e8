// Read through a mapping, without any read call.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long fd = open_truly(in(dir, "file"), O_RDONLY, 0);
  struct stat s;
  must(fstat(fd, &s), "fstat");
  void *data = mmap(0, s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) die("mmap");
  say("read\t%s\t%s", hex(data, s.st_size), in(dir, "file"));
  finish(0);
}
