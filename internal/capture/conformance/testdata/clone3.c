// clone3, with and without CLONE_UNTRACED; where the kernel seems not to have it,
// clone instead, as every caller does.
#include "truth.h"

static const char *dir;

static int beget(uint64_t flags) {
  struct clone_args c = {.exit_signal = SIGCHLD, .flags = flags};
  long child = syscall(SYS_clone3, &c, sizeof c);
  int there = child >= 0 || errno != ENOSYS;
  if (!there) child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (must(child, "clone3") == 0) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  say("child\t%ld", child);
  await(child);
  return there;
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  beget(0);
  if (beget(CLONE_UNTRACED)) say("event\tclone3\t0\tflags");
  finish(0);
}
