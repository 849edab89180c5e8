// clone, and clone with CLONE_UNTRACED, which hides a child from a ptrace tracer:
// each child is recorded, or refused.
#include "truth.h"

static const char *dir;

static void begotten(long child) {
  if (must(child, "clone") == 0) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  say("child\t%ld", child);
  await(child);
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  begotten(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  long child = syscall(SYS_clone, SIGCHLD | CLONE_UNTRACED, 0, 0, 0, 0);
  if (child < 0) say("event\tclone\t%s\tCLONE_UNTRACED", result(child));
  else {
    begotten(child);
    say("event\tclone\t0\tflags");
  }
  finish(0);
}
