// vfork: the child is a record of its own, with its parent and its exit code.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long child = must(vfork(), "vfork"); // the wrapper: a raw call would share the return address
  if (child == 0) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  say("child\t%ld", child);
  await(child);
  open_truly(in(dir, "other"), O_RDONLY, 0);
  finish(0);
}
