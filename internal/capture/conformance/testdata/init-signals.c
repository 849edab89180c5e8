// Every signal to pid 1, which must survive them: a child is still reaped then.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  for (int signal = 1; signal <= 64; signal++)
    say("event\tkill\t%s\tpid 1 signal %d", result(syscall(SYS_kill, 1, signal)), signal);
  usleep(100000);
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
