// renameat2 with each of its flags: not over, exchanged, and leaving a whiteout.
#include "truth.h"
#include <linux/fs.h>

static void moved(const char *from, const char *to, unsigned flags) {
  say("rename\t%s\t%s\t%s", result(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags)), from, to);
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  moved(in(dir, "file"), in(dir, "other"), RENAME_NOREPLACE);
  moved(in(dir, "file"), in(dir, "fresh"), RENAME_NOREPLACE);
  moved(in(dir, "fresh"), in(dir, "dir"), RENAME_EXCHANGE);
  moved(in(dir, "dir"), in(dir, "none"), RENAME_EXCHANGE);
  moved(in(dir, "other"), in(dir, "whited"), RENAME_WHITEOUT);
  finish(0);
}
