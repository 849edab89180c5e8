// Calls by other tables: int 0x80 of the 32-bit one, and the x32 numbers.
#include "truth.h"

static long int80(long nr, long a, long b, long c) {
  long r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
  if (r >= 0) return r;
  errno = -r;
  return -1;
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) die("mmap");
  snprintf(low, 4096, "%s/file", dir);
  enum { open32 = 5, getpid32 = 20, x32 = 0x40000000 };
  say("event\tforeign\t%s\tarchitecture 0x40000003 number %d", result(int80(open32, (long)low, O_RDONLY, 0)), open32);
  say("event\tforeign\t%s\tarchitecture 0x40000003 number %d", result(int80(getpid32, 0, 0, 0)), getpid32);
  say("event\tforeign\t%s\tarchitecture 0xc000003e number %d", result(syscall(x32 | SYS_openat, AT_FDCWD, low, O_RDONLY)), x32 | SYS_openat);
  finish(0);
}
