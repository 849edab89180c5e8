// A path in memory that nobody may read: the open must not take place, and if it is
// the supervisor who says so, it is counted as lost.
#include "truth.h"

int main(void) {
  char *page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) die("mmap");
  if (syscall(SYS_openat, AT_FDCWD, page, O_RDONLY) >= 0 || (errno != EPERM && errno != EFAULT)) die("open took place");
  if (errno == EPERM) say("lost\targument:openat");
  finish(0);
}
