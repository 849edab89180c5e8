// open_by_handle_at: a file by its handle, without any path.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  struct { struct file_handle h; char room[128]; } handle = {.h.handle_bytes = 128};
  int mount;
  long at = open_truly(dir, O_RDONLY | O_DIRECTORY, 0);
  syscall(SYS_name_to_handle_at, AT_FDCWD, in(dir, "file"), &handle, &mount, 0);
  long fd = syscall(SYS_open_by_handle_at, at, &handle, O_RDONLY);
  say("event\topen_by_handle_at\t%s\t", result(fd));
  finish(0);
}
