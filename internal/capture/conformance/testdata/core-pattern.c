// The program that the kernel starts for every crash, and other settings of the
// whole machine: opened for writing, never written.
#include "truth.h"

int main(void) {
  const char *names[] = {
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
    "/proc/sys/vm/overcommit_memory", "/sys/kernel/uevent_helper", "/dev/kmsg", "/dev/mem",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (open_truly(names[i], O_WRONLY, 0) >= 0) die(names[i]);
  finish(0);
}
