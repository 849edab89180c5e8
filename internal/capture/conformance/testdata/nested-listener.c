// A listener of its own, which would answer for the supervisor: nobody gets a
// second one.
#include "truth.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  struct sock_filter ask[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, ask};
  long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (r >= 0) die("a listener was given");
  say("event\tseccomp\t%s\toperation 1 flags 0x8", result(r));
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
