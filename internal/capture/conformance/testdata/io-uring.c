// io_uring, by which files are opened and connections made without a call for
// each: the ring is refused. Should one be given, it opens and connects.
#include "truth.h"
#include <linux/io_uring.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  struct io_uring_params params = {0};
  long ring = syscall(SYS_io_uring_setup, 4, &params);
  say("event\tio_uring_setup\t%s\t", result(ring));
  if (ring < 0) finish(0);
  void *rings = mmap(0, params.sq_off.array + 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe *sqe = mmap(0, 4 * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (rings == MAP_FAILED || (void *)sqe == MAP_FAILED) die("mmap");
  struct sockaddr_in a = loopback(9);
  sqe[0] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)in(dir, "file")};
  sqe[1] = (struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket"), .addr = (uintptr_t)&a, .off = sizeof a};
  unsigned *array = (unsigned *)((char *)rings + params.sq_off.array);
  array[0] = 0, array[1] = 1;
  *(volatile unsigned *)((char *)rings + params.sq_off.tail) = 2;
  must(syscall(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, 0, 0), "io_uring_enter");
  say("open\t0\tread\t0\t%s", in(dir, "file"));
  say("call\tconnect\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t9");
  finish(0);
}
