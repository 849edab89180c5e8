// truncate: by path, to other lengths, and of a file that may not be written.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  must(syscall(SYS_truncate, in(dir, "other"), 2), "truncate");
  say("write\t%s", in(dir, "other"));
  say("wrote\t%s\t%s", hex("ot", 2), in(dir, "other"));
  if (syscall(SYS_truncate, in(dir, "readonly"), 0) >= 0) die("truncate of a read-only file");
  finish(0);
}
