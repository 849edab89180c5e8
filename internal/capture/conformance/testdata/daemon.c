// A daemon: forked twice, in a session of its own, it outlives the command and
// then acts. argv[1] says by which call it was forked.
#include "truth.h"

static long beget(const char *how) {
  struct clone_args c = {.exit_signal = SIGCHLD};
  if (!strcmp(how, "clone3")) {
    long child = syscall(SYS_clone3, &c, sizeof c);
    if (child >= 0 || errno != ENOSYS) return child;
    how = "clone"; // where the kernel seems not to have it
  }
  if (!strcmp(how, "clone")) return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  return syscall(SYS_fork);
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1], *how = argv[1];
  long middle = must(beget(how), "fork");
  if (middle == 0) {
    say("event\tsetsid\t%s\t", result(syscall(SYS_setsid)));
    long last = must(beget(how), "fork");
    if (last == 0) {
      usleep(400000);
      open_truly(in(dir, "file"), O_RDONLY, 0);
      finish(3);
    }
    say("child\t%ld", last);
    finish(0);
  }
  say("child\t%ld", middle);
  await(middle);
  finish(0);
}
