// Attempts on the supervisor by its number outside: signals, ptrace, memory,
// environment and descriptors. Inside there is no such process.
#include "truth.h"

int main(int argc, char **argv) {
  (void)argc;
  int pid = atoi(argv[1]);
  char byte, name[64];
  struct iovec here = {&byte, 1}, there = {&byte, 1};
  if (syscall(SYS_kill, pid, SIGKILL) == 0) die("the signal was sent");
  say("event\tkill\t%s\tpid %d signal 9", result(-1), pid);
  say("event\tptrace\t%s\trequest %d pid %d", result(syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0)), PTRACE_SEIZE, pid);
  say("event\tprocess_vm_readv\t%s\tpid %d", result(syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0)), pid);
  say("event\tprocess_vm_writev\t%s\tpid %d", result(syscall(SYS_process_vm_writev, pid, &here, 1, &there, 1, 0)), pid);
  const char *parts[] = {"mem", "environ", "fd", "maps", "root"};
  for (int i = 0; i < 5; i++) {
    snprintf(name, sizeof name, "/proc/%d/%s", pid, parts[i]);
    if (open_truly(name, O_RDONLY, name) >= 0) die("it is there");
  }
  finish(0);
}
