// 1,000,000 opens that fail, of 1,000 names: the record stays small and tells
// how often.
#include "truth.h"

int main(void) {
  for (int i = 0; i < 1000000; i++) {
    char name[32];
    snprintf(name, sizeof name, "/missing-%d", i % 1000);
    if (syscall(SYS_openat, AT_FDCWD, name, O_RDONLY) >= 0) die("open");
  }
  say("count\t1000000\tfailed\t/missing-");
  finish(0);
}
