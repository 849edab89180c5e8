// A fork bomb: it is ended at the limit of live processes.
#include "truth.h"

int main(void) {
  say("limit\tlive-processes");
  for (;;) syscall(SYS_fork);
}
