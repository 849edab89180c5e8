// Filters of its own, by seccomp and by prctl, that allow everything: what
// follows is recorded all the same. A listener of its own is not given.
#include "truth.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {1, &allow};
  say("event\tseccomp\t%s\toperation 1 flags 0x0", result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)));
  say("event\tprctl\t%s\tPR_SET_SECCOMP", result(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)));
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
