// Asynchronous input and output as it was before io_uring: the kernel writes into the
// memory of the caller while that does something else.
#include "truth.h"
#include <linux/aio_abi.h>

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  static char path[PATH_MAX];
  aio_context_t context = 0;
  snprintf(path, sizeof path, "%s/other", dir);
  long fd = open_truly(in(dir, "file"), O_RDONLY, 0);
  long r = syscall(SYS_io_setup, 1, &context);
  say("event\tio_setup\t%s\t", result(must(r, "io_setup")));
  struct iocb read = {
    .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)strrchr(path, 'o'), .aio_nbytes = 4,
  }, *list[] = {&read};
  if (must(syscall(SYS_io_submit, context, 1, list), "io_submit") != 1) die("io_submit");
  struct io_event done;
  if (must(syscall(SYS_io_getevents, context, 1, 1, &done, 0), "io_getevents") != 1) die("io_getevents");
  open_truly(in(dir, "other"), O_RDONLY, 0);
  say("kernel\t%s", in(dir, "other"));
  finish(0);
}
