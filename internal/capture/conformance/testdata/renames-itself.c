// A process that renames itself, by prctl, by /proc and over its own arguments, and
// would like others, by PR_SET_MM, which is refused:
// the record keeps what the image got, and has the new name as an event.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char own[PATH_MAX], name[64];
  snprintf(own, sizeof own, "%s", argv[0]);
  open_truly(in(dir, "file"), O_RDONLY, 0);
  say("event\tprctl\t%s\tPR_SET_NAME \"kworker/0:1\" main thread", result(syscall(SYS_prctl, PR_SET_NAME, "kworker/0:1")));
  say("event\tprctl\t%s\tPR_SET_MM", result(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_ARG_START, own, 0, 0)));
  snprintf(name, sizeof name, "/proc/%d/task/%d/comm", number(), number());
  long fd = open_truly(name, O_WRONLY, 0);
  if (write(fd, "sshd", 4) != 4) die("write");
  memset(argv[0], 'z', strlen(argv[0]));
  open_truly(in(dir, "file"), O_RDONLY, 0);
  say("image\t%s\trenames-itself\t%s", own, own);
  finish(0);
}
