// argv[1] opens that fail, of 1,000 names: the record stays small and tells how
// often.
#include "truth.h"

int main(int argc, char **argv) {
  int times = atoi(argv[1]);
  if (argc != 3) die("arguments");
  for (int i = 0; i < times; i++) {
    char name[32];
    snprintf(name, sizeof name, "/missing-%d", i % 1000);
    if (syscall(SYS_openat, AT_FDCWD, name, O_RDONLY) >= 0) die("open");
  }
  say("count\t%d\tfailed\t/missing-", times);
  finish(0);
}
