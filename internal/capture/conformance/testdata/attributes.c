// Extended attributes of a file: one of the user's, one that only root may set,
// through a symlink and by descriptor.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1], *file = in(dir, "file"), *link = in(dir, "link");
  say("event\tsetxattr\t%s\tuser.one", result(syscall(SYS_setxattr, file, "user.one", "1", 1, 0)));
  say("event\tsetxattr\t%s\tsecurity.capability %s", result(syscall(SYS_setxattr, link, "security.capability", "1", 1, 0)), file);
  say("event\tlsetxattr\t%s\tuser.two %s", result(syscall(SYS_lsetxattr, link, "user.two", "1", 1, 0)), link);
  long fd = opened(syscall(SYS_openat, AT_FDCWD, file, O_WRONLY), O_WRONLY, file);
  say("event\tfsetxattr\t%s\tuser.three %s", result(syscall(SYS_fsetxattr, fd, "user.three", "1", 1, 0)), file);
  finish(0);
}
