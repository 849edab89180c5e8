// The calls that are events by themselves, with arguments by which none can do
// harm, should it be allowed.
#include "truth.h"
#include <linux/keyctl.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
#define TRY(NAME, ...) say("event\t" #NAME "\t%s\t", result(syscall(SYS_##NAME, __VA_ARGS__)))
  TRY(kcmp, number(), number(), 0, 0, 1);
  TRY(fsopen, "no-such-file-system", 0);
  TRY(fsmount, -1, 0, 0);
  TRY(move_mount, -1, "", -1, "", 0);
  TRY(open_tree, -1, "x", 0);
  TRY(mount_setattr, -1, "x", 0, 0, 0);
  TRY(bpf, -1, 0, 0);
  TRY(perf_event_open, 0, number(), -1, -1, 0);
  TRY(init_module, 0, 0, 0);
  TRY(finit_module, -1, 0, 0);
  TRY(delete_module, 0, 0);
  TRY(kexec_load, 0, -1, 0, 0);
  TRY(kexec_file_load, -1, -1, 0, 0, 0);
  TRY(keyctl, -1, 0, 0, 0, 0);
  TRY(add_key, 0, 0, 0, 0, 0);
  TRY(request_key, 0, 0, 0, 0);
  TRY(userfaultfd, -1);
  TRY(seccomp, 99, 0, 0);
  TRY(setuid, 12345);
  TRY(setgid, 12345);
  TRY(setreuid, 12345, 12345);
  TRY(setregid, 12345, 12345);
  TRY(setresuid, 12345, 12345, 12345);
  TRY(setresgid, 12345, 12345, 12345);
  TRY(setgroups, 0, 0);
  TRY(capset, 0, 0);
  TRY(setsid, 0);
  TRY(reboot, 0, 0, 0, 0);
  TRY(syslog, -1, 0, 0);
  TRY(sethostname, "x", -1);
  TRY(quotactl, -1, 0, 0, 0);
  TRY(fanotify_init, -1, 0);
  TRY(clock_settime, -1, 0);
  TRY(settimeofday, -1, 0);
  TRY(personality, 0);
  TRY(iopl, 99);
  TRY(ioperm, -1, 1, 1);
  say("event\tchroot\t%s\t%s", result(syscall(SYS_chroot, in(dir, "none"))), in(dir, "none"));
  say("event\tacct\t%s\t%s", result(syscall(SYS_acct, in(dir, "none"))), in(dir, "none"));
  say("event\tswapon\t%s\t%s", result(syscall(SYS_swapon, in(dir, "none"), 0)), in(dir, "none"));
  say("event\tumount2\t%s\t%s", result(syscall(SYS_umount2, in(dir, "none"), 0)), in(dir, "none"));
  say("event\tmemfd_create\t%s\tpayload", result(syscall(SYS_memfd_create, "payload", 0)));
  say("event\tprctl\t%s\tPR_SET_CHILD_SUBREAPER", result(prctl(PR_SET_CHILD_SUBREAPER, 0)));
  finish(0);
}
