// symlink and symlinkat: the text is recorded as it is.
#include "truth.h"

static void linked(long r, const char *text, const char *at) { say("symlink\t%s\t%s\t%s", result(r), text, at); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  linked(syscall(SYS_symlink, "../any where", in(dir, "new")), "../any where", in(dir, "new"));
  linked(syscall(SYS_symlinkat, "/etc/shadow", at, "shade"), "/etc/shadow", in(dir, "dir/shade"));
  linked(syscall(SYS_symlink, "x", in(dir, "dangling")), "x", in(dir, "dangling"));
  linked(syscall(SYS_symlink, "x", in(dir, "frozen/x")), "x", in(dir, "frozen/x"));
  finish(0);
}
