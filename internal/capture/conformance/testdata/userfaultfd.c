// Arguments in memory whose pages never come: the supervisor must not wait for
// them, and a call whose argument it cannot read must not take place.
#include "truth.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

int main(void) {
  long u = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  say("event\tuserfaultfd\t%s\t", result(must(u, "userfaultfd")));
  struct uffdio_api api = {.api = UFFD_API};
  must(ioctl(u, UFFDIO_API, &api), "UFFDIO_API");
  char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register r = {.range = {(uintptr_t)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  must(ioctl(u, UFFDIO_REGISTER, &r), "UFFDIO_REGISTER");
  if (syscall(SYS_openat, AT_FDCWD, page, O_RDONLY) >= 0 || (errno != EPERM && errno != EFAULT)) die("open took place");
  if (errno == EPERM) say("lost\targument:openat");
  finish(0);
}
