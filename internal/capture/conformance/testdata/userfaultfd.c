// userfaultfd: who holds it decides when another one's argument can be read, and
// what is read. It is refused.
#include "truth.h"
#include <linux/userfaultfd.h>

int main(void) {
  long u = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (u >= 0) die("userfaultfd was given");
  say("event\tuserfaultfd\t%s\t", result(u));
  finish(0);
}
