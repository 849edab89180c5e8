// clone3, with and without CLONE_UNTRACED.
#include "truth.h"

static const char *dir;

static void beget(uint64_t flags) {
  struct clone_args c = {.exit_signal = SIGCHLD, .flags = flags};
  long child = must(syscall(SYS_clone3, &c, sizeof c), "clone3");
  if (child == 0) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  say("child\t%ld", child);
  await(child);
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  beget(0);
  beget(CLONE_UNTRACED);
  say("event\tclone3\t0\tflags");
  finish(0);
}
