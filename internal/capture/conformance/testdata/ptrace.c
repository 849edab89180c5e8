// ptrace in every direction: a parent that seizes its child, a child that asks
// its parent to trace it, and a child that attaches to its parent.
#include "truth.h"
#include <sys/user.h>

// asked is the event of a request; the process number stands in the text.
static long asked(int request, int pid, void *address, void *data) {
  long r = syscall(SYS_ptrace, request, pid, address, data);
  say("event\tptrace\t%s\trequest %d pid %d", result(r), request, pid);
  return r;
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long child = must(syscall(SYS_fork), "fork");
  int status;
  if (child == 0) { // traced by its parent; what it does then is recorded
    asked(PTRACE_TRACEME, 0, 0, 0);
    kill(number(), SIGSTOP);
    say("event\tkill\t0\tpid %d signal %d", number(), SIGSTOP);
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(0);
  }
  say("child\t%ld", child);
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) die("the child did not stop");
  struct user_regs_struct registers;
  struct iovec set = {&registers, sizeof registers};
  asked(PTRACE_GETREGSET, child, (void *)1, &set);
  asked(PTRACE_CONT, child, 0, 0);
  await(child);
  long second = must(syscall(SYS_fork), "fork");
  if (second == 0) { // attaches to its parent, and lets go
    int parent = getppid();
    if (asked(PTRACE_SEIZE, parent, 0, 0) == 0) {
      asked(PTRACE_INTERRUPT, parent, 0, 0);
      waitpid(parent, &status, __WALL);
      asked(PTRACE_DETACH, parent, 0, 0);
    }
    finish(0);
  }
  say("child\t%ld", second);
  await(second);
  finish(0);
}
