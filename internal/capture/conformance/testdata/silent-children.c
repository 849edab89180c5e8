// Children that end without any call that is trapped, one after the other by
// vfork: they are counted all the same.
#include "truth.h"

int main(void) {
  say("limit\tprocesses");
  for (;;) {
    pid_t child = vfork();
    if (child == 0) syscall(SYS_exit, 0);
    waitpid(child, 0, 0);
  }
}
