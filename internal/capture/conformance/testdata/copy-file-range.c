// copy_file_range: content moves from one descriptor to another inside the kernel; both
// files are in the record, with the digests of what was read and written.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long from = open_truly(in(dir, "file"), O_RDONLY, 0), to = open_truly(in(dir, "copy"), O_WRONLY | O_CREAT, 0);
  must(syscall(SYS_copy_file_range, from, 0, to, 0, 7, 0), "copy_file_range");
  say("read\t%s\t%s", hex("content", 7), in(dir, "file"));
  say("wrote\t%s\t%s", hex("content", 7), in(dir, "copy"));
  finish(0);
}
