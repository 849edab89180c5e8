// ptrace of pid 1, and its memory, environment, root and descriptors.
#include "truth.h"

int main(void) {
  char byte;
  struct iovec here = {&byte, 1}, there = {&byte, 1};
  say("event\tptrace\t%s\trequest %d pid 1", result(syscall(SYS_ptrace, PTRACE_SEIZE, 1, 0, 0)), PTRACE_SEIZE);
  say("event\tprocess_vm_readv\t%s\tpid 1", result(syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0)));
  say("event\tprocess_vm_writev\t%s\tpid 1", result(syscall(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0)));
  const struct { const char *name; long flags; } parts[] = {
    {"/proc/1/mem", O_RDONLY}, {"/proc/1/mem", O_RDWR}, {"/proc/1/environ", O_RDONLY}, {"/proc/1/root", O_RDONLY | O_DIRECTORY},
    {"/proc/1/cwd", O_RDONLY | O_DIRECTORY}, {"/proc/1/fd", O_RDONLY | O_DIRECTORY}, {"/proc/1/fd/3", O_RDWR},
    {"/proc/1/root/etc/passwd", O_RDONLY}, {"/proc/1/maps", O_RDONLY},
  };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (open_truly(parts[i].name, parts[i].flags, 0) >= 0) die("init is open");
  finish(0);
}
