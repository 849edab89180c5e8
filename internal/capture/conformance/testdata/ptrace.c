// ptrace in every direction: a child that asks its parent to trace it, and a child
// that attaches to its parent. Who has a tracer already gets no second one.
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
    long traced = asked(PTRACE_TRACEME, 0, 0, 0);
    if (traced == 0) {
      kill(number(), SIGSTOP);
      say("event\tkill\t0\tpid %d signal %d", number(), SIGSTOP);
    }
    open_truly(in(dir, "file"), O_RDONLY, 0);
    if (traced == 0) say("kernel\t%s", in(dir, "file")); // a tracer can write arguments
    finish(0);
  }
  say("child\t%ld", child);
  if (must(waitpid(child, &status, 0), "wait") == child && WIFSTOPPED(status)) {
    struct user_regs_struct registers;
    struct iovec set = {&registers, sizeof registers};
    asked(PTRACE_GETREGSET, child, (void *)1, &set);
    asked(PTRACE_CONT, child, 0, 0);
    await(child);
  }
  long second = must(syscall(SYS_fork), "fork");
  if (second == 0) { // attaches to its parent, and lets go
    int parent = getppid();
    if (asked(PTRACE_SEIZE, parent, 0, 0) == 0) {
      asked(PTRACE_INTERRUPT, parent, 0, 0);
      waitpid(parent, &status, __WALL);
      asked(PTRACE_DETACH, parent, 0, 0);
      finish(1);
    }
    finish(0);
  }
  say("child\t%ld", second);
  must(waitpid(second, &status, 0), "wait");
  if (WEXITSTATUS(status) == 1) {
    open_truly(in(dir, "other"), O_RDONLY, 0);
    say("kernel\t%s", in(dir, "other"));
  }
  finish(0);
}
