// process_vm_readv and process_vm_writev on a child, which then finds its memory
// changed.
#include "truth.h"

static volatile char text[] = "before";

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int go[2];
  must(pipe2(go, 0), "pipe");
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    char c;
    if (read(go[0], &c, 1) != 1) die("read");
    open_truly(in(dir, strcmp((char *)text, "before") ? "file" : "other"), O_RDONLY, 0);
    finish(0);
  }
  say("child\t%ld", child);
  char buf[sizeof text];
  struct iovec here = {buf, sizeof buf}, there = {(void *)text, sizeof text};
  say("event\tprocess_vm_readv\t%s\tpid %ld", result(syscall(SYS_process_vm_readv, child, &here, 1, &there, 1, 0)), child);
  memcpy(buf, "after!", sizeof buf);
  say("event\tprocess_vm_writev\t%s\tpid %ld", result(syscall(SYS_process_vm_writev, child, &here, 1, &there, 1, 0)), child);
  if (write(go[1], "x", 1) != 1) die("write");
  await(child);
  finish(0);
}
