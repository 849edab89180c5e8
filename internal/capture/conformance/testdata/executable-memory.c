// Memory that is written and executed: by mmap and by mprotect. Memory that only
// is read, or only written, is no event.
#include "truth.h"

int main(void) {
  long p = syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("event\tmprotect\t%s\twritable and executable", result(syscall(SYS_mprotect, p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)));
  say("event\tmmap\t%s\twritable and executable", result(syscall(SYS_mmap, 0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  say("event\tmmap\t%s\tanonymous and executable", result(syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  finish(0);
}
