// Files of /proc for which the mode says little, because the kernel asks whether one
// may trace the process that they are about: its own, those of a child, and of pid 1.
#include "truth.h"

int main(void) {
  const char *names[] = {"maps", "environ", "auxv", "fd", "pagemap", "stat"};
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    pause();
    finish(0);
  }
  long pids[] = {number(), child, 1};
  for (int p = 0; p < 3; p++)
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      char path[64];
      snprintf(path, sizeof path, "/proc/%ld/%s", pids[p], names[i]);
      long fd = open_truly(path, O_RDONLY | (strcmp(names[i], "fd") ? 0 : O_DIRECTORY), 0);
      if (fd >= 0 && pids[p] == 1 && strcmp(names[i], "stat")) die("init is open");
      if (fd >= 0) close(fd);
    }
  say("event\tkill\t%s\tpid %ld signal %d", result(syscall(SYS_kill, child, SIGKILL)), child, SIGKILL);
  await(child);
  finish(0);
}
