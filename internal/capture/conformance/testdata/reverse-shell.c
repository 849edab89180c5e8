// A socket that becomes standard input, and another by dup3: the mark of a shell
// that is served to somebody else.
#include "truth.h"

int main(void) {
  int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  say("event\tdup2\t%s\tsocket onto descriptor 0", result(syscall(SYS_dup2, s, 0)));
  say("event\tdup3\t%s\tsocket onto descriptor 0", result(syscall(SYS_dup3, s, 0, 0)));
  syscall(SYS_dup2, s, 50); // of no interest
  finish(0);
}
