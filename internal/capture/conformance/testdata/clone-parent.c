// CLONE_PARENT: a child that becomes its maker's sibling.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long middle = must(syscall(SYS_fork), "fork");
  if (middle == 0) {
    long sibling = must(syscall(SYS_clone, SIGCHLD | CLONE_PARENT, 0, 0, 0, 0), "clone");
    if (sibling == 0) {
      open_truly(in(dir, "other"), O_RDONLY, 0);
      finish(8);
    }
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  int status;
  long first = wait(&status), second = wait(&status);
  say("child\t%ld", first);
  say("child\t%ld", second);
  finish(0);
}
